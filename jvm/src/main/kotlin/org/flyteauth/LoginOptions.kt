package org.flyteauth

import java.time.Duration
import java.util.concurrent.Callable
import java.util.function.Consumer
import java.util.function.Predicate
import org.flyteauth.ffi.LoginOptions as NativeOptions
import org.flyteauth.ffi.Session as NativeSession
import org.flyteauth.internal.Prompt
import org.flyteauth.internal.text
import org.flyteauth.internal.translating

/** How a login is to go. Callbacks are for [Session.login] alone. */
public class LoginOptions {
    internal var native: NativeOptions = NativeOptions(timeout = Duration.ofMinutes(5))
        private set

    private var onEvent: Consumer<LoginEvent>? = null
    private var openBrowser: Predicate<String>? = null
    private var paste: Callable<String>? = null

    /** Which way: `auto` (the first that works here: browser, device grant, paste), `pkce`, `device` or `paste`. */
    public fun flow(value: String): LoginOptions = apply { native = native.copy(flow = text("flow", value)) }

    /** Open no browser here. */
    public fun noBrowser(value: Boolean): LoginOptions = apply { native = native.copy(noBrowser = value) }

    /**
     * The whole login's deadline; five minutes unless said.
     *
     * @throws IllegalArgumentException it is negative.
     */
    public fun timeout(value: Duration): LoginOptions = apply {
        require(!value.isNegative) { "timeout is negative" }
        native = native.copy(timeout = value)
    }

    /** Is told what to show, on a thread of the library. */
    public fun onEvent(callback: Consumer<LoginEvent>?): LoginOptions = apply { onEvent = callback }

    /** Opens a browser with an address; false says that it did not. Without it: `BROWSER`, else the system's. */
    public fun openBrowser(callback: Predicate<String>?): LoginOptions = apply { openBrowser = callback }

    /**
     * Asks for the address that the browser ended at. Its thread is interrupted once the login has ended without it.
     */
    public fun paste(callback: Callable<String>?): LoginOptions = apply { paste = callback }

    internal suspend fun signIn(session: NativeSession): LoginOutcome {
        val (onEvent, openBrowser, paste) = Triple(onEvent, openBrowser, paste)
        if (onEvent == null && openBrowser == null && paste == null) {
            return translating { LoginOutcome.of(session.login(native)) }
        }
        val prompt = Prompt(onEvent, openBrowser, paste)
        try {
            return LoginOutcome.of(session.loginWith(native, prompt, openBrowser != null, paste != null))
        } catch (error: org.flyteauth.ffi.FlyteAuthException) {
            val own = FlyteAuthException.of(error)
            // What a callback threw says more than that it did, but what ended the login otherwise is no affair of its.
            throw if (own.code == "prompt_failed") prompt.thrown ?: own else own
        }
    }
}
