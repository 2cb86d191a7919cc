# frozen_string_literal: true

require "harness"
require "minitest/autorun"

# Arguments that are none, and verifiers.
class ArgumentsTest < Minitest::Test
  NOWHERE = "http://127.0.0.1:9"

  def open(**options) = FlyteAuth::Session.for_endpoint(NOWHERE, **options)

  def test_of_a_wrong_class
    { endpoint: 5, insecure: "yes", scopes: "all", extra_params: [], client_secret: :symbol, ca_cert: 1 }.each do |name, value|
      error = assert_raises(TypeError) { FlyteAuth::Session.from_config(nil, endpoint: NOWHERE, **{ name => value }) }
      assert_match(/\A#{name} must be /, error.message)
    end
    assert_raises(TypeError) { FlyteAuth::Session.for_endpoint(nil) }
    assert_raises(TypeError) { open.invalidate("a token") }
    assert_raises(TypeError) { open.login(timeout: "long") }
    assert_match(/unknown keyword: :magic/, assert_raises(ArgumentError) { open(magic: 1) }.message)
  end

  def test_text_that_is_none
    assert_match(/\Aclient_id is no valid UTF-8/, assert_raises(ArgumentError) { open(client_id: "\xff") }.message)
    assert_raises(ArgumentError) { open(client_id: "\xff".b) }
    # Half of a surrogate pair, as JSON libraries let it through.
    assert_raises(ArgumentError) { open(client_id: "\xED\xA0\xBD".dup.force_encoding("UTF-8")) }
    assert open(client_id: "müller".encode("UTF-16LE"))
    ["", "\0", "http://", "flyte\0.example"].each do |endpoint|
      error = assert_raises(FlyteAuth::ConfigError) { FlyteAuth::Session.for_endpoint(endpoint) }
      assert_equal "endpoint", error.setting
    end
  end

  def test_nil_is_as_if_it_were_not_said
    assert open(profile: nil, scopes: nil, client_secret: nil, insecure: nil)
  end

  def test_huge_texts
    huge = "x" * 10_000_000
    error = assert_raises(FlyteAuth::ConfigError) { FlyteAuth::Session.for_endpoint("#{huge}.example") }
    assert_operator error.message.size, :<, 4_096
    error = assert_raises(FlyteAuth::NetworkError) { open(store: "memory", client_id: "c", client_secret: huge).token }
    assert error.retryable?
    refute_empty error.causes
  end

  def test_options_are_named_as_ruby_writes_them
    error = assert_raises(FlyteAuth::ConfigError) { open(auth_type: "Magic") }
    assert_equal "auth_type", error.setting
    error = assert_raises(FlyteAuth::ConfigError) { open(store: "memory").login(timeout: 0) }
    assert_equal "timeout", error.setting
    assert_raises(ArgumentError) { open.login(timeout: -1) }
  end

  def test_a_verifier
    sandbox = Sandbox.new
    token = sandbox.machine.token.value
    verifier = FlyteAuth::Verifier.new(issuer: sandbox.issuer, any_audience: true)
    verified = verifier.verify(token)
    assert_equal ["flytepropeller", sandbox.issuer], [verified.client_id, verified.claims["iss"]]
    assert verified.scope?("all")
    refute_includes verified.inspect, token
    strict = FlyteAuth::Verifier.new(issuer: sandbox.issuer, audience: "somebody else")
    assert_equal "token_audience", assert_raises(FlyteAuth::AccessDeniedError) { strict.verify(token) }.code
    # As Rack gives a header: bytes.
    ["", "a.b.c", "#{token[0...-8]}AAAAAAAA", "\xff.b.c", "\xff.b.c".b, "\x81".dup.force_encoding("Shift_JIS")].each do |wrong|
      assert_raises(FlyteAuth::AccessDeniedError) { verifier.verify(wrong) }
      assert_raises(FlyteAuth::AccessDeniedError) { verifier.verify_id_token(wrong, client_id: "flytepropeller") }
      assert_raises(FlyteAuth::AccessDeniedError) { verifier.verify_logout_token(wrong, client_id: "flytepropeller") }
    end
    assert_raises(FlyteAuth::AccessDeniedError) { verifier.verify_id_token(token, client_id: "flytepropeller") }
    assert_raises(FlyteAuth::AccessDeniedError) { verifier.verify_logout_token(token, client_id: "flytepropeller") }
    assert_equal "audience", assert_raises(FlyteAuth::ConfigError) { FlyteAuth::Verifier.new(issuer: sandbox.issuer) }.setting
    assert_raises(TypeError) { verifier.verify(nil) }
  ensure
    sandbox&.stop
  end

  def test_errors_can_be_made_for_tests
    error = FlyteAuth::LoginRequiredError.new("sign in")
    assert_equal [:login_required, "login_required", false, "sign in"], [error.kind, error.code, error.retryable?, error.what]
    assert FlyteAuth::NetworkError.new("no answer").retryable?
  end
end
