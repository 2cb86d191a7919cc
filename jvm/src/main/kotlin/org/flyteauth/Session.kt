package org.flyteauth

import java.util.concurrent.CompletableFuture
import org.flyteauth.ffi.Session as NativeSession
import org.flyteauth.internal.NativeLibrary
import org.flyteauth.internal.blocking
import org.flyteauth.internal.future
import org.flyteauth.internal.program
import org.flyteauth.internal.translating

/**
 * One endpoint, one credential, one store, shared with every other program on this machine. Cheap to keep, safe for any
 * number of threads; calls at once share one refresh.
 *
 * Whatever waits has three forms: a suspending function for Kotlin, one that blocks (`tokenBlocking()`; in Java plainly
 * `token()`), and one that gives a [CompletableFuture] (`tokenAsync()`). Cancelling a coroutine or a future, or
 * interrupting a thread that blocks, ends the wait and not a refresh. An interrupt comes out as
 * [LoginCancelledException]
 * with the code `interrupted`.
 */
public class Session private constructor(internal val native: NativeSession) : AutoCloseable {
    /** What was made of the token in memory, and that token's number. */
    private class Shown(val number: UInt, val token: Token)

    @Volatile private var shown: Shown? = null

    public companion object {
        /**
         * A session from Flyte's configuration: the file `config`, or the one that flytekit and flyte would read.
         * Options
         * stand above the environment, and that above the file; `flyte-auth config explain` shows each value and where
         * it
         * came from. Touches no network.
         *
         * @throws ConfigException no endpoint, a value that is none, a file that is missing, unusable or not trusted.
         * @throws UnsatisfiedLinkError the native library cannot be loaded.
         */
        @JvmStatic
        @JvmOverloads
        public fun fromConfig(options: SessionOptions = SessionOptions()): Session {
            NativeLibrary.ensure()
            return Session(translating { NativeSession(options.native, program()) })
        }

        /** A session for [endpoint]. All else is as in [fromConfig]. */
        @JvmStatic
        @JvmOverloads
        public fun forEndpoint(endpoint: String, options: SessionOptions = SessionOptions()): Session =
            fromConfig(options.copy().endpoint(endpoint))
    }

    /** The endpoint (or the issuer) as a person names it. */
    public val endpoint: String = native.endpoint()

    /** What is unwise in the configuration: unknown keys, ignored values; one line each. */
    public val warnings: List<String>
        get() = translating { native.warnings() }

    /** The token in memory, if it needs no refresh; null otherwise, and where the endpoint has no auth. Never waits. */
    public fun tryToken(): Token? {
        val number = native.freshness()
        val last = shown
        if (last != null && last.number == number) return last.token
        if (number == 0u) return null
        return native.fresh()?.let(::Token)?.also { shown = Shown(number, it) }
    }

    /**
     * A token for the next call; null if the endpoint has no auth.
     *
     * Fresh in memory: at once. Inside the refresh margin: the old one at once, refreshed in the background. Otherwise
     * all
     * callers of all processes wait for one refresh.
     *
     * @throws LoginRequiredException a person must sign in (nobody is asked unless `interactive` says so).
     * @throws FlyteAuthException as the server answers.
     */
    @JvmSynthetic
    public suspend fun token(): Token? = tryToken() ?: newToken(optedIn = false)

    /** As [token], on the calling thread. */
    @JvmName("token")
    public fun tokenBlocking(): Token? = tryToken() ?: blocking { newToken(optedIn = false) }

    /** As [token]. */
    public fun tokenAsync(): CompletableFuture<Token?> =
        tryToken()?.let { CompletableFuture.completedFuture(it) } ?: future { newToken(optedIn = false) }

    /** [optedIn]: whoever calls chose that a person may be asked. */
    @JvmSynthetic
    internal suspend fun newToken(optedIn: Boolean): Token? = translating { native.token(optedIn) }?.let(::Token)

    /**
     * The header for the next call; empty if the endpoint has no auth.
     *
     * @throws FlyteAuthException as [token].
     */
    @JvmSynthetic public suspend fun headers(): Map<String, String> = headers(token())

    /** As [headers], on the calling thread. */
    @JvmName("headers")
    public fun headersBlocking(): Map<String, String> = headers(tokenBlocking())

    /** As [headers]. */
    public fun headersAsync(): CompletableFuture<Map<String, String>> = future { headers() }

    private fun headers(token: Token?): Map<String, String> =
        if (token == null) emptyMap() else mapOf(token.headerName to token.headerValue)

    /**
     * The server rejected this token (401, gRPC 16): it is not served again, and the next [token] refreshes. A late
     * rejection of an older token starts nothing. Without a token the current one is meant. Never waits.
     */
    @JvmOverloads
    public fun invalidate(token: Token? = null) {
        native.invalidate(token?.native)
    }

    /**
     * Signs a person in and waits for them. Cancelling ends the login: its lock and its port are free at once.
     *
     * Without callbacks the person is shown what to do at this terminal (stderr). With any callback nothing is printed:
     * `onEvent` is told everything. What a callback throws ends the login and comes out of here as it is.
     *
     * @throws LoginCancelledException the person declined or the deadline passed.
     * @throws ConfigException this session is a machine's, or `interactive` is `never`.
     * @throws FlyteAuthException as the server answers.
     */
    @JvmSynthetic
    public suspend fun login(options: LoginOptions = LoginOptions()): LoginOutcome = options.signIn(native)

    /** As [login], on the calling thread. */
    @JvmName("login")
    @JvmOverloads
    public fun loginBlocking(options: LoginOptions = LoginOptions()): LoginOutcome = blocking { login(options) }

    /** As [login]. */
    @JvmOverloads
    public fun loginAsync(options: LoginOptions = LoginOptions()): CompletableFuture<LoginOutcome> = future {
        login(options)
    }

    /**
     * Starts a login and gives what the person needs; its `finish()` ends it. Null: the endpoint has no auth.
     *
     * For programs that show the address themselves: a web page, a chat. The browser's way back is answered while
     * `finish()` waits. Callbacks of [options] are not used.
     *
     * @throws LoginRequiredException code `login_under_way`: another program's login for this session is.
     * @throws FlyteAuthException as [login].
     */
    @JvmSynthetic
    public suspend fun beginLogin(options: LoginOptions = LoginOptions()): PendingLogin? = translating {
        native.beginLogin(options.native)?.let(::PendingLogin)
    }

    /** As [beginLogin], on the calling thread. */
    @JvmName("beginLogin")
    @JvmOverloads
    public fun beginLoginBlocking(options: LoginOptions = LoginOptions()): PendingLogin? = blocking {
        beginLogin(options)
    }

    /** As [beginLogin]. */
    @JvmOverloads
    public fun beginLoginAsync(options: LoginOptions = LoginOptions()): CompletableFuture<PendingLogin?> = future {
        beginLogin(options)
    }

    /**
     * Ends the session on this machine, also the copies of our token that other clients stored. With [revoke] the
     * tokens
     * are then revoked at the server (RFC 7009), best effort: the outcome's `problem` says why not.
     *
     * @throws TokenStoreException the local copy cannot be removed.
     */
    @JvmSynthetic
    public suspend fun logout(revoke: Boolean = false): LogoutOutcome = translating {
        LogoutOutcome.of(native.logout(revoke))
    }

    /** As [logout], on the calling thread. */
    @JvmName("logout")
    @JvmOverloads
    public fun logoutBlocking(revoke: Boolean = false): LogoutOutcome = blocking { logout(revoke) }

    /** As [logout]. */
    @JvmOverloads
    public fun logoutAsync(revoke: Boolean = false): CompletableFuture<LogoutOutcome> = future { logout(revoke) }

    /**
     * What is known of the session without the network. Nothing secret.
     *
     * @throws TokenStoreException the store cannot be read.
     */
    @JvmSynthetic public suspend fun status(): Status = translating { Status.of(native.status()) }

    /** As [status], on the calling thread. */
    @JvmName("status")
    public fun statusBlocking(): Status = blocking { status() }

    /** As [status]. */
    public fun statusAsync(): CompletableFuture<Status> = future { status() }

    /**
     * The identity as the server sees it (Flyte's `IdentityService.UserInfo`, the issuer's user info): a real call.
     *
     * @throws AccessDeniedException code `unauthenticated` if the server rejects the token.
     * @throws FlyteAuthException as [token]; code `unimplemented` if the server cannot tell.
     */
    @JvmSynthetic public suspend fun whoami(): Identity = translating { Identity.of(native.whoami()) }

    /** As [whoami], on the calling thread. */
    @JvmName("whoami")
    public fun whoamiBlocking(): Identity = blocking { whoami() }

    /** As [whoami]. */
    public fun whoamiAsync(): CompletableFuture<Identity> = future { whoami() }

    /**
     * Ends the use of this object; what is stored stays, and so do refreshes under way. Further calls fail with
     * [ConfigException] (`session_closed`). Never waits.
     */
    override fun close() {
        native.closeSession()
    }

    override fun toString(): String = "Session($endpoint)"
}
