# frozen_string_literal: true

require "harness"
require "minitest/autorun"

# Sessions, logins and tokens against the sandbox, through the public API.
class SessionTest < Minitest::Test
  SANDBOX = Sandbox.new("--auto-approve", ALICE, "--rotate-refresh-tokens")
  Minitest.after_run { SANDBOX.stop }

  def teardown = SANDBOX.clear_faults

  def test_a_machines_token_is_taken
    machine = SANDBOX.machine
    assert_nil machine.try_token
    token = machine.token
    assert_equal "Bearer #{token.value}", token.header_value
    assert_operator token.expires_at, :>, Time.now
    assert_equal 200, SANDBOX.me(machine.headers)
    assert_equal token, machine.try_token
    assert_same machine.token, machine.token
  end

  def test_a_person_signs_in_is_known_and_signs_out
    session = SANDBOX.session
    missing = assert_raises(FlyteAuth::LoginRequiredError) { session.token }
    assert_equal [:login_required, "not_signed_in", false], [missing.kind, missing.code, missing.retryable?]
    assert_equal missing.message, "#{missing.what}. #{missing.next_step}"
    outcome = SANDBOX.sign_in(session)
    assert outcome.has_auth && outcome.has_refresh_token
    assert_equal ALICE, session.whoami.email
    assert_equal [true, "memory"], session.status.then { |status| [status.signed_in, status.store] }
    left = session.logout(revoke: true)
    assert_equal [true, true, nil], [left.was_signed_in, left.revoked, left.problem]
    assert_raises(FlyteAuth::LoginRequiredError) { session.token }
  end

  def test_invalidate
    machine = SANDBOX.machine
    first = machine.token
    machine.invalidate(first)
    assert_nil machine.try_token
    second = machine.token
    refute_equal first, second
    machine.invalidate(first)
    assert_equal second, machine.try_token
    machine.invalidate
    assert_nil machine.try_token
  end

  def test_a_closed_session_says_so
    closed = FlyteAuth::Session.for_endpoint(SANDBOX.http, store: "memory") { |session| session }
    error = assert_raises(FlyteAuth::ConfigError) { closed.token }
    assert_equal "session_closed", error.code
    closed.close
  end

  def test_threads_share_one_request_and_others_run
    machine = SANDBOX.machine
    machine.invalidate(machine.token)
    before = SANDBOX.requests_to("/oauth2/token")
    SANDBOX.fault("delay-700", 1, "/oauth2/token")
    threads = Array.new(16) { Thread.new { machine.token } }
    count = 0
    count += 1 while threads.first.join(0.01).nil?
    assert_operator count, :>, 20, "the main thread ran while the others waited"
    assert_equal 1, threads.map { |thread| thread.value.value }.uniq.size
    assert_equal before + 1, SANDBOX.requests_to("/oauth2/token")
  end

  # Ends one wait while the server takes its time; the request goes on and its token is there.
  def ends_the_wait_only
    machine = SANDBOX.machine
    machine.invalidate(machine.token)
    before = SANDBOX.requests_to("/oauth2/token")
    SANDBOX.fault("delay-1500", 1, "/oauth2/token")
    begun = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    yield machine, before
    assert_operator Process.clock_gettime(Process::CLOCK_MONOTONIC) - begun, :<, 1.3
    refute_nil machine.token
    assert_equal before + 1, SANDBOX.requests_to("/oauth2/token")
  end

  def test_a_timeout_ends_the_wait_not_the_refresh
    ends_the_wait_only { |machine| assert_raises(Timeout::Error) { Timeout.timeout(0.4) { machine.token } } }
  end

  def test_killing_a_thread_ends_the_wait_not_the_refresh
    ends_the_wait_only do |machine, before|
      thread = Thread.new { machine.token }
      SANDBOX.served("/oauth2/token", before + 1)
      thread.kill
      assert thread.join(1)
    end
  end

  def test_a_login_with_callbacks
    events = []
    browser = ->(url) { Thread.new { SANDBOX.visit(url) } }
    outcome = SANDBOX.session.login(flow: "pkce", on_event: events.method(:push), open_browser: browser)
    assert outcome.has_auth
    address = events.find { |event| event.kind == "url" }
    assert address.opened
    assert_equal address.message, address.to_s
    [address.inspect, address.pretty_inspect].each { |shown| refute_includes shown, address.url }
  end

  def test_what_a_callback_raises_comes_out_and_frees_the_port
    mine = ArgumentError.new("the screen is off")
    2.times do
      error = assert_raises(ArgumentError) { SANDBOX.session.login(flow: "pkce", no_browser: true, on_event: ->(_) { raise mine }) }
      assert_same mine, error
    end
    error = assert_raises(ArgumentError) { SANDBOX.session.login(flow: "pkce", no_browser: true, paste: -> { raise mine }) }
    assert_same mine, error
    SANDBOX.sign_in(SANDBOX.session)
  end

  # None of them a StandardError, which is all that the generated half catches.
  def test_whatever_a_callback_raises_ends_the_login_at_once
    [NotImplementedError.new("later"), SystemExit.new(3), SystemStackError.new("deep")].each do |mine|
      [[:on_event, ->(_) { raise mine }], [:open_browser, ->(_) { raise mine }], [:paste, -> { raise mine }]].each do |name, callback|
        others = name == :open_browser ? {} : { no_browser: true }
        error = assert_raises(mine.class) do
          Timeout.timeout(10) { SANDBOX.session.login(flow: "pkce", **others, name => callback) }
        end
        assert_same mine, error, name
      end
    end
    SANDBOX.sign_in(SANDBOX.session)
  end

  def test_a_callback_that_blocks_holds_no_deadline_up
    begun = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    assert_raises(FlyteAuth::LoginCancelledError) do
      SANDBOX.session.login(flow: "pkce", timeout: 1, open_browser: ->(_) { sleep 8 })
    end
    assert_operator Process.clock_gettime(Process::CLOCK_MONOTONIC) - begun, :<, 6
  end

  def test_a_wrong_argument_ends_no_login
    login = SANDBOX.session.begin_login(flow: "pkce", no_browser: true)
    assert_raises(TypeError) { login.finish(timeout: "60") }
    finished = Thread.new { login.finish }
    SANDBOX.visit(login.url)
    assert finished.value.has_auth
  end

  def test_a_deadline_ends_a_login
    assert_raises(FlyteAuth::LoginCancelledError) do
      SANDBOX.session.login(flow: "pkce", no_browser: true, timeout: 0.3, on_event: ->(_) {})
    end
  end

  def test_a_login_that_ends_while_somebody_pastes_says_why
    15.times do
      assert_raises(FlyteAuth::LoginCancelledError) do
        SANDBOX.session.login(flow: "pkce", no_browser: true, timeout: 0.2, paste: -> { sleep })
      end
    end
  end

  def test_a_wait_that_is_ended_ends_the_login
    session = SANDBOX.session
    login = session.begin_login(flow: "pkce", no_browser: true)
    refute_includes login.inspect, login.url
    assert_raises(Timeout::Error) { Timeout.timeout(0.3) { login.finish } }
    SANDBOX.sign_in(session)
  end

  def test_a_device_login_shows_a_code
    login = SANDBOX.session.begin_login(flow: "device")
    assert_operator login.user_code.size, :>=, 6
    login.cancel
    assert_raises(FlyteAuth::LoginCancelledError) { login.finish }
  end

  def test_printing_shows_no_secret
    machine = SANDBOX.machine
    token = machine.token
    [token, machine, machine.status, [token], { token: }].each do |one|
      [one.to_s, one.inspect, JSON.generate([one])].each { |text| refute_includes text, token.value }
    end
  end

  # Used later, a copy would be a pointer to nothing.
  def test_what_is_native_has_no_copies
    machine = SANDBOX.machine
    login = SANDBOX.session.begin_login(flow: "pkce", no_browser: true)
    verifier = FlyteAuth::Verifier.new(issuer: "https://idp.example.org", audience: "flyte")
    [machine, machine.token, login, verifier].each do |one|
      assert_raises(TypeError) { Marshal.dump(one) }
      assert_raises(TypeError) { YAML.dump(one) }
      assert_raises(TypeError) { one.instance_variable_get(:@native).dup }
    end
    assert_equal machine.token, machine.dup.token
  ensure
    login&.cancel
  end

  # Ends in the child itself: Minitest would run there once more.
  def in_a_child
    readable, writable = IO.pipe
    child = fork do
      writable.print(yield)
      writable.close
      exit!(0)
    end
    writable.close
    Timeout.timeout(20) { readable.read }
  ensure
    Process.kill(:KILL, child) if child
    Process.wait(child) if child
  end

  def test_a_forked_child_says_what_it_cannot_do_and_hangs_nowhere
    machine = SANDBOX.machine
    token = machine.token
    assert_equal "true", in_a_child { machine.try_token == token }
    said = in_a_child do
      SANDBOX.machine.token
    rescue FlyteAuth::ConfigError => error
      "#{error.code} #{error.next_step}"
    end
    assert_match(/\Aforked Load it in the child/, said)
    # Loaded after the fork everything is there.
    source = "fork { require 'flyte_auth'; puts FlyteAuth::Session.for_endpoint('#{SANDBOX.http}', store: 'memory', " \
             "client_id: 'flytepropeller', client_secret: 'foobar').token.header_name }; Process.wait"
    assert_equal "authorization\n", Open3.capture2e("ruby", "-I", $LOAD_PATH.grep(/target/).first, "-e", source).first
  end

  def test_ten_thousand_loops_leave_memory_flat
    shared = SANDBOX.machine
    shared.token
    round = lambda do |times|
      times.times do |index|
        session = SANDBOX.machine
        shared.token
        shared.status if (index % 10).zero?
        session.try_token
        session.close if index.even?
        GC.start if (index % 500).zero?
      end
      3.times { GC.start }
    end
    round.call(3_000)
    before, files = resident, Dir.children("/proc/self/fd").size
    round.call(10_000)
    grown = resident - before
    assert_operator grown, :<, 16_000, "#{grown} kB more"
    assert_operator Dir.children("/proc/self/fd").size - files, :<=, 4
  end

  def resident = File.read("/proc/self/status")[/RssAnon:\s+(\d+)/, 1].to_i
end
