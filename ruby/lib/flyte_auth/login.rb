# frozen_string_literal: true

module FlyteAuth
  # The user's callbacks, as the native half calls them. What one raises is kept: across the boundary only goes that it
  # did.
  class Prompt
    # What the first callback to fail raised.
    attr_reader :raised

    def initialize(on_event, open_browser, paste)
      @on_event = on_event
      @open_browser = open_browser
      @paste = paste
    end

    def show(event)
      keeping { @on_event&.call(FlyteAuth.filled(LoginEvent, event, remaining: event.remaining&.to_f)) }
      nil
    end

    # A callback that says nothing opened it.
    def open_browser(url) = keeping { @open_browser.call(url) != false }

    def paste = keeping { Arguments.text("paste's line", @paste.call.to_s) }

    private

    def keeping
      yield
    # All of them: of an Exception that is no StandardError the generated half would know nothing, and the login go on.
    rescue Exception => error # rubocop:disable Lint/RescueException
      # The login has ended without this callback.
      raise if error.is_a?(Native.const_get(:UniffiInternalCancelled))

      @raised ||= error
      raise Native::PromptError::Failed.new, cause: nil
    end
  end
  private_constant :Prompt

  # How logins are to go, as the native half has it.
  module Ways
    module_function

    def of(flow, no_browser, timeout)
      Native::LoginOptions.new(
        flow: Arguments.text("flow", flow),
        no_browser: Arguments.boolean("no_browser", no_browser),
        timeout: Arguments.duration("timeout", timeout)
      )
    end
  end
  private_constant :Ways

  # A login that waits for the person. `finish` or `cancel` ends it.
  class PendingLogin
    # @api private
    def initialize(native)
      @native = native
    end

    # Whom the login is to, as a person names it.
    def endpoint = @native.endpoint

    # The address to open: the authorization URL, or where the user code is entered.
    def url = @native.url

    # The code to enter there (device grant, RFC 8628), or nil.
    def user_code = @native.user_code

    # When it is too late (Time, UTC).
    def expires_at = @native.expires_at.utc

    # Waits for the person and saves the session. `redirect_url`: the address that the browser ended at, where the person
    # pasted it; `timeout`: seconds, if less than the login's deadline. An exception that ends the wait (Ctrl-C,
    # `Timeout`) ends the login.
    #
    # Raises LoginCancelledError (declined, or too late), FlyteAuth::Error as the server answers.
    def finish(redirect_url: nil, timeout: nil)
      # An argument that is wrong ends nothing.
      done = true
      redirect_url &&= Arguments.text("redirect_url", redirect_url)
      timeout &&= Arguments.duration("timeout", timeout)
      done = false
      outcome = FlyteAuth.waiting { @native.finish(redirect_url, timeout) }
      done = true
      FlyteAuth.filled(LoginOutcome, outcome)
    rescue Error
      done = true
      raise
    ensure
      cancel unless done
    end

    # Ends the attempt; its lock and its port are free at once.
    def cancel
      @native.cancel
      nil
    end

    # Neither address nor code: they are for the person.
    def inspect = "PendingLogin(until #{expires_at.strftime("%FT%TZ")})"
    alias to_s inspect
  end
end
