package org.flyteauth

import java.time.Duration
import org.flyteauth.ffi.Failure
import org.flyteauth.ffi.FlyteAuthException as NativeException

/** The rows of the error table. */
public enum class ErrorKind {
    CONFIG,
    NETWORK,
    SERVER,
    LOGIN_REQUIRED,
    DENIED,
    CANCELLED,
    STORE,
    INTERNAL,
}

/**
 * Every error of this package, beside [IllegalArgumentException] and [NullPointerException] for an argument that is
 * none.
 * The message names endpoint or setting and the next step, and holds no secret.
 */
public open class FlyteAuthException
@JvmOverloads
constructor(
    message: String,
    /** The row of the error table. */
    public val kind: ErrorKind,
    /** Which case it is: an RFC's error code (`invalid_grant`) or one of ours in snake case (`port_busy`); stable. */
    public val code: String = kind.name.lowercase(),
    /** Whether trying again later can help. */
    public val isRetryable: Boolean = kind == ErrorKind.NETWORK,
    cause: Throwable? = null,
) : RuntimeException(message, cause) {
    /** What happened, without place and next step. */
    public var what: String = message
        internal set

    /** What to do, or null. */
    public var nextStep: String? = null
        internal set

    /** How long the server asks to wait (`Retry-After`), or null. */
    public var retryAfter: Duration? = null
        internal set

    /** The endpoint or issuer that it is about, or null. */
    public var endpoint: String? = null
        internal set

    /** The setting or argument that is wrong, as the user wrote it, or null. */
    public var setting: String? = null
        internal set

    /** The server's `error` (RFC 6749 section 5.2), or null. */
    public var oauthError: String? = null
        internal set

    /** The server's `error_description`, or null. */
    public var oauthErrorDescription: String? = null
        internal set

    internal companion object {
        fun of(error: NativeException): FlyteAuthException {
            val (kind, failure) = parts(error)
            val cause = chain(failure.causes)
            val (text, code, retryable) = Triple(failure.text, failure.code, failure.retryable)
            val made =
                when (kind) {
                    ErrorKind.CONFIG -> ConfigException(text, code, retryable, cause)
                    ErrorKind.NETWORK -> NetworkException(text, code, retryable, cause)
                    ErrorKind.SERVER -> ServerException(text, code, retryable, cause)
                    ErrorKind.LOGIN_REQUIRED -> LoginRequiredException(text, code, retryable, cause)
                    ErrorKind.DENIED -> AccessDeniedException(text, code, retryable, cause)
                    ErrorKind.CANCELLED -> LoginCancelledException(text, code, retryable, cause)
                    ErrorKind.STORE -> TokenStoreException(text, code, retryable, cause)
                    ErrorKind.INTERNAL -> InternalException(text, code, retryable, cause)
                }
            return made.apply { fill(failure) }
        }

        /** For what only this package can see to be wrong. */
        fun config(code: String, what: String, nextStep: String, setting: String? = null): ConfigException =
            ConfigException("$what. $nextStep", code).apply {
                this.what = what
                this.nextStep = nextStep
                this.setting = setting
            }

        private fun parts(error: NativeException): Pair<ErrorKind, Failure> =
            when (error) {
                is NativeException.Config -> ErrorKind.CONFIG to error.failure
                is NativeException.Network -> ErrorKind.NETWORK to error.failure
                is NativeException.Server -> ErrorKind.SERVER to error.failure
                is NativeException.LoginRequired -> ErrorKind.LOGIN_REQUIRED to error.failure
                is NativeException.Denied -> ErrorKind.DENIED to error.failure
                is NativeException.Cancelled -> ErrorKind.CANCELLED to error.failure
                is NativeException.Store -> ErrorKind.STORE to error.failure
                is NativeException.Internal -> ErrorKind.INTERNAL to error.failure
            }

        /** What lies beneath, the nearest first. */
        private fun chain(messages: List<String>): Throwable? =
            messages.foldRight(null as Throwable?) { message, beneath -> NativeCause(message, beneath) }
    }

    private fun fill(failure: Failure) {
        what = failure.message
        nextStep = failure.nextStep
        retryAfter = failure.retryAfter
        endpoint = failure.endpoint
        setting = failure.setting
        oauthError = failure.oauthError
        oauthErrorDescription = failure.oauthErrorDescription
    }
}

/** It happened in Rust: a stack of this side would be no news. */
private class NativeCause(message: String, cause: Throwable?) : Exception(message, cause, false, false) {
    override fun toString(): String = message.orEmpty()
}
