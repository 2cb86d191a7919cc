package org.flyteauth

import java.time.Duration
import java.time.Instant
import java.util.concurrent.CompletableFuture
import kotlinx.coroutines.CancellationException
import org.flyteauth.ffi.PendingLogin as NativeLogin
import org.flyteauth.internal.blocking
import org.flyteauth.internal.future
import org.flyteauth.internal.text
import org.flyteauth.internal.translating

/** A login that waits for the person. [finish] or [cancel] ends it, and so does `use` or try-with-resources. */
public class PendingLogin internal constructor(private val native: NativeLogin) : AutoCloseable {
    /** Whom the login is to, as a person names it. */
    public val endpoint: String = native.endpoint()

    /** The address to open: the authorization URL, or where the user code is entered. */
    public val url: String = native.url()

    /** The code to enter there (device grant, RFC 8628), or null. */
    public val userCode: String? = native.userCode()

    /** When it is too late. */
    public val expiresAt: Instant = native.expiresAt()

    /**
     * Waits for the person and saves the session. Cancelling ends the login, for everybody who waits.
     *
     * [redirectUrl]: the address that the browser ended at, where the person pasted it. [timeout]: if less than the
     * login's deadline.
     *
     * @throws LoginCancelledException declined, or too late.
     * @throws FlyteAuthException as the server answers.
     */
    @JvmSynthetic
    public suspend fun finish(redirectUrl: String? = null, timeout: Duration? = null): LoginOutcome {
        redirectUrl?.let { text("redirectUrl", it) }
        require(timeout == null || !timeout.isNegative) { "timeout is negative" }
        try {
            return translating { LoginOutcome.of(native.finish(redirectUrl, timeout)) }
        } catch (error: CancellationException) {
            cancel()
            throw error
        }
    }

    /** As [finish], on the calling thread. */
    @JvmName("finish")
    @JvmOverloads
    public fun finishBlocking(redirectUrl: String? = null, timeout: Duration? = null): LoginOutcome = blocking {
        finish(redirectUrl, timeout)
    }

    /** As [finish]. */
    @JvmOverloads
    public fun finishAsync(redirectUrl: String? = null, timeout: Duration? = null): CompletableFuture<LoginOutcome> =
        future {
            finish(redirectUrl, timeout)
        }

    /** Ends the attempt; its lock and its port are free at once. */
    public fun cancel() {
        native.cancel()
    }

    /** As [cancel]; nothing is left to end after [finish]. */
    override fun close() {
        cancel()
    }

    /** Neither address nor code: they are for the person. */
    override fun toString(): String = "PendingLogin(until $expiresAt)"
}
