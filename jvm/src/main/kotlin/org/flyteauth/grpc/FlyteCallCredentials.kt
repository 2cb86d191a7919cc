package org.flyteauth.grpc

import io.grpc.CallCredentials
import io.grpc.Metadata
import io.grpc.SecurityLevel
import io.grpc.Status
import java.util.concurrent.Executor
import org.flyteauth.FlyteAuthException
import org.flyteauth.Session
import org.flyteauth.Token
import org.flyteauth.internal.translating

private val PORT = Regex(":[0-9]*$")

/**
 * The session's token with every call, for channels that others make; nothing is tried again, and a rejected token
 * stays in use until it is invalidated or expires. [FlyteAuthInterceptor] does more, and also serves a sandbox without
 * TLS.
 *
 * ```java
 * stub.withCallCredentials(new FlyteCallCredentials(session))
 * ```
 *
 * A token goes over TLS alone, and to no host but that of the session's endpoint (if it has one): other calls fail with
 * `UNAUTHENTICATED`, the cause being a [org.flyteauth.ConfigException] with the code `plaintext_refused` or
 * `foreign_host`. What goes wrong with the session is the call's status, as with [FlyteAuthInterceptor].
 */
public class FlyteCallCredentials(private val session: Session) : CallCredentials() {
    private val host: String? = translating { session.native.target() }?.host

    override fun applyRequestMetadata(requestInfo: RequestInfo, appExecutor: Executor, applier: MetadataApplier) {
        refusal(requestInfo)?.let { return applier.fail(failureOf(it)) }
        val known = session.tryToken()
        if (known != null) return applier.apply(metadata(known))
        session.tokenAsync().thenApply(::metadata).whenComplete { headers, failure ->
            if (failure == null) applier.apply(headers) else applier.fail(failureOf(failure))
        }
    }

    private fun refusal(call: RequestInfo): FlyteAuthException? {
        val place = session.endpoint
        if (call.securityLevel != SecurityLevel.PRIVACY_AND_INTEGRITY) {
            val what = "a token of $place does not go out without TLS"
            return FlyteAuthException.config("plaintext_refused", what, "Use a channel with TLS")
        }
        // The name that the server's certificate was looked at for.
        val to = call.authority.replace(PORT, "")
        if (host == null || plain(to).equals(plain(host), ignoreCase = true)) return null
        val what = "a token of $place does not go to $to"
        return FlyteAuthException.config("foreign_host", what, "Open a session for that endpoint")
    }

    private fun plain(host: String): String = host.removeSurrounding("[", "]").removeSuffix(".")

    private fun metadata(token: Token?): Metadata = Metadata().apply { token?.let { replace(it) } }
}
