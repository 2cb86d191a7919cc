package org.flyteauth.grpc

import io.grpc.Metadata
import io.grpc.Status
import java.util.concurrent.CompletionException
import java.util.concurrent.ExecutionException
import org.flyteauth.FlyteAuthException
import org.flyteauth.Token

/** The metadata key that takes this token. */
internal fun keyOf(token: Token): Metadata.Key<String> =
    Metadata.Key.of(token.headerName, Metadata.ASCII_STRING_MARSHALLER)

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
