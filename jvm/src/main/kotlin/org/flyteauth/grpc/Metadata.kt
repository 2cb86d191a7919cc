package org.flyteauth.grpc

import io.grpc.Metadata
import io.grpc.Status
import java.util.concurrent.CompletionException
import java.util.concurrent.ExecutionException
import org.flyteauth.FlyteAuthException
import org.flyteauth.ServerException
import org.flyteauth.Token

/**
 * The metadata key that takes this token.
 *
 * @throws ServerException code `header_unusable`: grpc-java has fewer names than HTTP.
 */
internal fun keyOf(token: Token): Metadata.Key<String> =
    try {
        Metadata.Key.of(token.headerName, Metadata.ASCII_STRING_MARSHALLER)
    } catch (error: IllegalArgumentException) {
        val what = "the server wants tokens in \"${token.headerName}\", which is no key of gRPC's metadata"
        val next = "Ask its operator for another authorization_metadata_key"
        throw ServerException("$what. $next", "header_unusable", false, error)
    }

/** The token's header alone under its name. */
internal fun Metadata.replace(token: Token) {
    val key = keyOf(token)
    discardAll(key)
    put(key, token.headerValue)
}

/** What goes wrong with a session, as gRPC says it: later may help, or a person must do something. */
internal fun failureOf(thrown: Throwable): Status {
    val wrapped = thrown is CompletionException || thrown is ExecutionException
    val cause = if (wrapped) thrown.cause ?: thrown else thrown
    val later = cause is FlyteAuthException && cause.isRetryable
    val status = if (later) Status.UNAVAILABLE else Status.UNAUTHENTICATED
    return status.withDescription(cause.message ?: "no token").withCause(cause)
}
