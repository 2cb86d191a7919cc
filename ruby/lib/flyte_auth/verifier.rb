# frozen_string_literal: true

require "json"

module FlyteAuth
  # An access token that was verified: by its signature, or by the authorization server's word (RFC 7662).
  class VerifiedToken
    # @api private
    def initialize(native)
      @native = native
    end

    # `iss`; nil only where an introspection reply has none.
    def issuer = @native.issuer

    # `sub`: whom the token is about; a client's own id where it acts for itself.
    def subject = @native.subject

    # `aud`.
    def audience = @native.audience

    # The client that it was issued to: the first of `client_id`, `azp`, `cid`, `appid` that is there.
    def client_id = @native.client_id

    # Granted scopes: `scope` and `scp`, as a text or a list; `roles` where neither is there.
    def scopes = @native.scopes

    # Whether `scope` was granted.
    def scope?(scope) = scopes.include?(scope)

    # `exp` (Time, UTC); nil only where an introspection reply has none.
    def expires_at = @native.expires_at&.utc

    # `iat`, as `expires_at`.
    def issued_at = @native.issued_at&.utc

    # Every claim, as `JSON.parse` gives it. A new Hash each time.
    def claims = JSON.parse(@native.claims)

    def inspect = "VerifiedToken(#{subject || "nobody"}, until #{expires_at&.strftime("%FT%TZ") || "nobody knows"})"
    alias to_s inspect
  end

  # Verifies tokens of one issuer: make one and keep it; safe for any number of threads.
  #
  #   verifier = FlyteAuth::Verifier.new(issuer: "https://idp.example", audience: "https://flyte.example")
  #   verifier.verify(bearer).scope?("all")
  #
  # Only asymmetric algorithms, bound to the key's type, curve, `alg`, `use` and `key_ops` (RFC 8725); the issuer's keys
  # are fetched when they are needed, once for all callers, kept, and fetched again when an unknown key id comes, at most
  # once in 60 seconds; `jku`, `x5u`, `jwk` and `x5c` are never followed.
  class Verifier
    OPTIONS = {
      any_audience: :boolean, jwks: :text, jwks_uri: :text, algorithms: :texts, profile: :text, clock_skew: :duration,
      required_scopes: :texts, introspection_client_id: :text, introspection_client_secret: :secret,
      introspection_endpoint: :text, remember: :count, plaintext: :boolean
    }.freeze
    private_constant :OPTIONS

    # The issuer.
    attr_reader :issuer

    # `issuer`: `iss`, exactly; its metadata names the keys. `audience`: what must be in `aud`, one or any of several; or
    # `any_audience: true`. Further: `jwks` (RFC 7517: a Hash, or its JSON), `jwks_uri`, `algorithms`, `profile` (`jwt`,
    # `rfc9068`), `clock_skew` (seconds, 60 unless said), `required_scopes`, `introspection_client_id`,
    # `introspection_client_secret`, `introspection_endpoint` (RFC 7662), `remember` (how many, 4096 unless said),
    # `plaintext`.
    #
    # Raises ConfigError, ArgumentError, TypeError. Connects to nothing yet.
    def initialize(issuer:, audience: [], **options)
      unknown = options.keys - OPTIONS.keys
      raise ArgumentError, "unknown keyword: #{unknown.map(&:inspect).join(", ")}" if unknown.any?

      options[:jwks] = JSON.generate(options[:jwks]) if options[:jwks].is_a?(Hash)
      given = options.compact.to_h { |name, value| [name, Arguments.public_send(OPTIONS.fetch(name), name, value)] }
      audience = [audience] if audience.is_a?(String)
      @issuer = Arguments.text("issuer", issuer).dup.freeze
      @native = FlyteAuth.translating do
        options = { issuer: @issuer, audience: Arguments.texts("audience", audience), **given }
        Native::Verifier.new(Native::VerifierOptions.new(**options))
      end
    end

    # Verifies an access token (RFC 9068, and what issuers write who do not follow it): a JWT by its signature and claims,
    # an opaque one by introspection where that is configured. What was verified is remembered by its hash.
    #
    # Raises AccessDeniedError (its code is the failed check: `token_expired`, `token_audience`, …), NetworkError or
    # ServerError (the issuer's keys cannot be had). No message holds anything of the token.
    def verify(token)
      text = Arguments.foreign("token", token)
      known = FlyteAuth.translating { @native.verify_now(text) }
      VerifiedToken.new(known || FlyteAuth.waiting { @native.verify(text) })
    end

    # Verifies an ID token for the client `client_id`, which must be in `aud` (OpenID Connect Core section 3.1.3.7).
    # `nonce`: the one that was sent; `access_token`: the one that came with it.
    #
    # Raises AccessDeniedError (code `id_token_invalid`), NetworkError, ServerError.
    def verify_id_token(token, client_id:, nonce: nil, access_token: nil)
      token, client_id = Arguments.foreign("token", token), Arguments.text("client_id", client_id)
      nonce &&= Arguments.text("nonce", nonce)
      access_token &&= Arguments.foreign("access_token", access_token)
      found = FlyteAuth.waiting { @native.verify_id_token(token, client_id, nonce, access_token) }
      FlyteAuth.filled(IdTokenClaims, found)
    end

    # Verifies a logout token for `client_id` (OpenID Connect Back-Channel Logout 1.0 section 2.6). That it comes only
    # once is yours to check, by `token_id`.
    #
    # Raises AccessDeniedError (its code is the failed check), NetworkError, ServerError.
    def verify_logout_token(token, client_id:)
      token, client_id = Arguments.foreign("token", token), Arguments.text("client_id", client_id)
      FlyteAuth.filled(LogoutTokenClaims, FlyteAuth.waiting { @native.verify_logout_token(token, client_id) })
    end

    def inspect = "Verifier(#{@issuer})"
    alias to_s inspect
  end
end
