package org.flyteauth.grpc

import io.grpc.CallCredentials
import io.grpc.Metadata
import io.grpc.SecurityLevel
import io.grpc.Status
import java.util.concurrent.Executor
import org.flyteauth.Session
import org.flyteauth.Token

/**
 * The session's token with every call, for channels that others make; nothing is tried again, but a rejected token
 * stays
 * in use until it is invalidated or expires. [FlyteAuthInterceptor] does more, and also serves a sandbox without TLS.
 *
 * ```java
 * stub.withCallCredentials(new FlyteCallCredentials(session))
 * ```
 *
 * A token goes out over TLS alone: on other channels calls fail with `UNAUTHENTICATED`. What goes wrong with the
 * session
 * is the call's status, as with [FlyteAuthInterceptor].
 */
public class FlyteCallCredentials(private val session: Session) : CallCredentials() {
    override fun applyRequestMetadata(requestInfo: RequestInfo, appExecutor: Executor, applier: MetadataApplier) {
        if (requestInfo.securityLevel == SecurityLevel.NONE) {
            val what = "a token of ${session.endpoint} does not go out without TLS"
            return applier.fail(Status.UNAUTHENTICATED.withDescription("$what. Use a channel with TLS"))
        }
        val known = session.tryToken()
        if (known != null) return applier.apply(metadata(known))
        session.tokenAsync().whenComplete { token, failure ->
            if (failure != null) applier.fail(failureOf(failure)) else applier.apply(metadata(token))
        }
    }

    private fun metadata(token: Token?): Metadata = Metadata().apply { token?.let { replace(it) } }
}
