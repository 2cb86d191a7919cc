# frozen_string_literal: true

module FlyteAuth
  # Every error of this package, beside ArgumentError and TypeError for an argument that is none. The message names
  # endpoint or setting and the next step, and holds no secret.
  class Error < StandardError
    # The row of the error table, for example `:login_required`.
    def self.kind = :internal

    # Which case it is: an RFC's error code (`invalid_grant`) or one of ours in snake case (`port_busy`); stable.
    attr_reader :code
    # What happened, without place and next step.
    attr_reader :what
    # What to do, or nil.
    attr_reader :next_step
    # Seconds that the server asks to wait (`Retry-After`), or nil.
    attr_reader :retry_after
    # The endpoint or issuer that it is about, or nil.
    attr_reader :endpoint
    # The setting or argument that is wrong, as the user wrote it, or nil.
    attr_reader :setting
    # The server's `error` (RFC 6749 section 5.2), or nil.
    attr_reader :oauth_error
    # The server's `error_description`, or nil.
    attr_reader :oauth_error_description
    # The messages of what lies beneath, the nearest first.
    attr_reader :causes

    # Yours to make in the tests of your own program.
    def initialize(message, code: self.class.kind.to_s, retryable: self.class.kind == :network, **members)
      super(message)
      @code = code
      @retryable = retryable
      @what = members.fetch(:what, message)
      @causes = members.fetch(:causes, [])
      %i[next_step retry_after endpoint setting oauth_error oauth_error_description].each do |name|
        instance_variable_set(:"@#{name}", members[name])
      end
    end

    def kind = self.class.kind

    # Whether trying again later can help.
    def retryable? = @retryable

    # One of ours for one of the generated half.
    def self.of(error)
      failure = error.failure
      row = ROWS.fetch(error.class.name.split("::").last)
      row.new(
        failure.text,
        code: failure.code,
        retryable: failure.retryable,
        what: failure.message,
        next_step: failure.next_step,
        retry_after: failure.retry_after&.to_f,
        endpoint: failure.endpoint,
        setting: failure.setting,
        oauth_error: failure.oauth_error,
        oauth_error_description: failure.oauth_error_description,
        causes: failure.causes
      )
    end
  end

  # A setting or argument is wrong: `setting` names it.
  class ConfigError < Error
    def self.kind = :config
  end

  # No answer (DNS, TCP, TLS, timeout): try again later.
  class NetworkError < Error
    def self.kind = :network
  end

  # An unusable answer (5xx, 429, HTML, malformed): `retryable?` says whether trying again can help.
  class ServerError < Error
    def self.kind = :server
  end

  # Nobody is signed in, or the session has ended: start a login.
  class LoginRequiredError < Error
    def self.kind = :login_required
  end

  # The authorization server or the resource refused: tell the user.
  class AccessDeniedError < Error
    def self.kind = :denied
  end

  # The person declined or the deadline passed: stop quietly.
  class LoginCancelledError < Error
    def self.kind = :cancelled
  end

  # The token store could not be read, written or locked.
  class TokenStoreError < Error
    def self.kind = :store
  end

  # A bug here.
  class InternalError < Error
  end

  class Error
    ROWS = {
      "Config" => ConfigError,
      "Network" => NetworkError,
      "Server" => ServerError,
      "LoginRequired" => LoginRequiredError,
      "Denied" => AccessDeniedError,
      "Cancelled" => LoginCancelledError,
      "Store" => TokenStoreError,
      "Internal" => InternalError
    }.freeze
    private_constant :ROWS
  end

  # What the block gives; an error of the generated half as one of ours.
  def self.translating
    yield
  rescue StandardError => error
    raise error unless error.class.name.start_with?("FlyteAuth::Native::FlyteAuthError::")

    # `cause: nil`: the generated half's own says nothing more.
    raise Error.of(error), cause: nil
  end

  # Whose threads answer.
  LOADED_IN = Process.pid
  private_constant :LOADED_IN

  # As `translating`, for what waits. The gem ffi hands answers over on a thread of its own, which a forked child does not
  # have: it would wait for ever.
  def self.waiting(&work)
    return translating(&work) if Process.pid == LOADED_IN

    what = "flyte_auth was loaded before this process was forked, so nothing here can wait for an answer"
    next_step = "Load it in the child (`require` after the fork), or use what `try_token` gives"
    raise ConfigError.new("#{what}. #{next_step}", code: "forked", what: what, next_step: next_step)
  end
end
