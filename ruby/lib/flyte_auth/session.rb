# frozen_string_literal: true

require "time"

module FlyteAuth
  Native.use_naming(Native::Naming::SNAKE_CASE)

  # One endpoint, one credential, one store, shared with every other program on this machine. Cheap to keep, safe for any
  # number of threads; calls at once share one refresh. Other threads run while one waits.
  class Session
    # What a session is made from, and how each is checked.
    OPTIONS = {
      endpoint: :text, profile: :text, account: :text, store: :text, interactive: :text, insecure: :boolean,
      insecure_skip_verify: :boolean, ca_cert: :path, client_cert: :path, client_key: :path, http_proxy_url: :secret,
      auth_type: :text, client_id: :text, client_secret: :secret, issuer: :text, scopes: :texts, audience: :text,
      extra_params: :table
    }.freeze
    private_constant :OPTIONS

    class << self
      # A session from Flyte's configuration: the file `config`, or the one that flytekit and flyte would read. Keywords
      # stand above the environment, and that above the file; `flyte-auth config explain` shows each value and where it
      # came from. Touches no network. With a block, gives the session to it and closes it behind it.
      #
      # Keywords: `endpoint`, `profile`, `account`, `store`, `interactive`, `insecure`, `insecure_skip_verify`, `ca_cert`,
      # `client_cert`, `client_key`, `http_proxy_url`, `auth_type`, `client_id`, `client_secret`, `issuer`, `scopes`,
      # `audience`, `extra_params`; nil is as if it were not said.
      #
      # Raises ConfigError (no endpoint, a value that is none, a file that is unusable or not trusted), ArgumentError,
      # TypeError.
      def from_config(config = nil, **options)
        session = new(config, **options)
        return session unless block_given?

        begin
          yield session
        ensure
          session.close
        end
      end

      # A session for `endpoint`. All else is as in `from_config`.
      def for_endpoint(endpoint, **options, &block)
        from_config(nil, endpoint: Arguments.text("endpoint", endpoint), **options, &block)
      end
    end

    # The endpoint (or the issuer) as a person names it.
    attr_reader :endpoint

    def initialize(config = nil, **options)
      unknown = options.keys - OPTIONS.keys
      raise ArgumentError, "unknown keyword#{"s" if unknown.size > 1}: #{unknown.map(&:inspect).join(", ")}" if unknown.any?

      given = options.compact.to_h { |name, value| [name, Arguments.public_send(OPTIONS.fetch(name), name, value)] }
      given[:config] = Arguments.path("config", config) unless config.nil?
      @native = FlyteAuth.translating do
        Native::Session.new(Native::SessionOptions.new(**given), File.basename($PROGRAM_NAME.to_s.dup.force_encoding("UTF-8").scrub))
      end
      @endpoint = @native.endpoint.freeze
      # What was made of the token in memory, and that token's number.
      @shown = [0, nil].freeze
    end

    # What is unwise in the configuration: unknown keys, ignored values; one line each.
    def warnings = FlyteAuth.translating { @native.warnings }

    # The token in memory, if it needs no refresh; nil otherwise, and where the endpoint has no auth. Never waits.
    def try_token
      number = @native.freshness
      return nil if number.zero?

      last, token = @shown
      return token if last == number

      fresh = @native.fresh
      return nil if fresh.nil?

      token = Token.new(fresh)
      @shown = [number, token].freeze
      token
    end

    # A token for the next call; nil if the endpoint has no auth.
    #
    # Fresh in memory: at once. Inside the refresh margin: the old one at once, refreshed in the background. Otherwise all
    # callers of all processes wait for one refresh; an exception that ends the wait (Ctrl-C, `Timeout`) does not end it.
    #
    # Raises LoginRequiredError (nobody is asked unless `interactive` says so), FlyteAuth::Error as the server answers.
    def token
      try_token || FlyteAuth.waiting { @native.token(false) }&.then { |native| Token.new(native) }
    end

    # The header for the next call; `{}` if the endpoint has no auth.
    def headers
      found = token
      found.nil? ? {} : { found.header_name => found.header_value }
    end

    # The server rejected this token (401, gRPC 16): it is not served again, and the next `token` refreshes. A late
    # rejection of an older token starts nothing. Without a token the current one is meant. Never waits.
    def invalidate(token = nil)
      raise TypeError, "token must be a FlyteAuth::Token, not #{token.class}" unless token.nil? || token.is_a?(Token)

      @native.invalidate(token&.native)
      nil
    end

    # Signs a person in and waits for them.
    #
    # Without callbacks the person is shown what to do at this terminal (stderr). With any callback nothing is printed:
    # `on_event` is told everything (LoginEvent), `open_browser` opens an address (false: it did not), `paste` gives the
    # address that the browser ended at. What a callback raises ends the login and comes out of here as it is.
    #
    # `flow`: `auto`, `pkce`, `device` or `paste`; `timeout`: seconds for the whole.
    #
    # Raises LoginCancelledError (declined, or too late), ConfigError (a machine's session, or `interactive` is `never`),
    # FlyteAuth::Error as the server answers.
    def login(flow: "auto", no_browser: false, timeout: 300, on_event: nil, open_browser: nil, paste: nil)
      ways = Ways.of(flow, no_browser, timeout)
      if [on_event, open_browser, paste].all?(&:nil?)
        return FlyteAuth.filled(LoginOutcome, FlyteAuth.waiting { @native.login(ways) })
      end

      prompt = Prompt.new(on_event, open_browser, paste)
      begin
        outcome = FlyteAuth.waiting { @native.login_with(ways, prompt, !open_browser.nil?, !paste.nil?) }
      rescue Error => error
        # What a callback raised says more than that it did, but what ended the login otherwise is no affair of its.
        raise (error.code == "prompt_failed" && prompt.raised) || error, cause: nil
      end
      FlyteAuth.filled(LoginOutcome, outcome)
    end

    # Starts a login and gives what the person needs (PendingLogin); its `finish` ends it. Nil: the endpoint has no auth.
    #
    # For programs that show the address themselves. The browser's way back is answered while `finish` waits.
    #
    # Raises LoginRequiredError (code `login_under_way`: another program's login is), FlyteAuth::Error as `login`.
    def begin_login(flow: "auto", no_browser: false, timeout: 300)
      ways = Ways.of(flow, no_browser, timeout)
      FlyteAuth.waiting { @native.begin_login(ways) }&.then { |native| PendingLogin.new(native) }
    end

    # Ends the session on this machine, also the copies of our token that other clients stored. With `revoke` the tokens
    # are then revoked at the server (RFC 7009), best effort: the outcome's `problem` says why not.
    #
    # Raises TokenStoreError: the local copy cannot be removed.
    def logout(revoke: false)
      outcome = FlyteAuth.waiting { @native.logout(Arguments.boolean("revoke", revoke)) }
      FlyteAuth.filled(LogoutOutcome, outcome, problem: outcome.problem && Error.of(outcome.problem))
    end

    # What is known of the session without the network. Nothing secret. Raises TokenStoreError.
    def status
      found = FlyteAuth.waiting { @native.status }
      times = %i[access_token_expires_at session_expires_at].to_h do |name|
        [name, found.public_send(name)&.then { |time| Time.iso8601(time) }]
      end
      FlyteAuth.filled(Status, found, **times)
    end

    # The identity as the server sees it (Flyte's `IdentityService.UserInfo`, the issuer's user info): a real call.
    #
    # Raises AccessDeniedError (code `unauthenticated`), FlyteAuth::Error as `token`.
    def whoami = FlyteAuth.filled(Identity, FlyteAuth.waiting { @native.whoami })

    # Ends the use of this object; what is stored stays, and so do refreshes under way. Further calls raise ConfigError
    # (`session_closed`). Never waits.
    def close
      @native.close_session
      nil
    end

    def inspect = "Session(#{@endpoint})"
    alias to_s inspect
  end
end
