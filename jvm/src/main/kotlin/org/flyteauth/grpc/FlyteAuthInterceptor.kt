package org.flyteauth.grpc

import io.grpc.CallOptions
import io.grpc.Channel
import io.grpc.ClientCall
import io.grpc.ClientInterceptor
import io.grpc.MethodDescriptor
import org.flyteauth.Session

/**
 * The session's token for all four kinds of call.
 *
 * Every call gets the session's header, which replaces what the caller had under its name. After `UNAUTHENTICATED` the
 * token is invalidated, and the call is made once more with another one, within its deadline, where nothing was
 * delivered:
 * no response, no header of the server, and of a stream of requests none was sent. No other status is touched. Where
 * the
 * endpoint has no auth, calls pass as they are.
 *
 * A call waits for a token only if none is in memory, at most until its deadline, and no thread waits with it;
 * cancelling
 * it ends the wait. What goes wrong with the session is the call's status: `UNAVAILABLE` where trying again can help,
 * else
 * `UNAUTHENTICATED`; the status' cause is the [org.flyteauth.FlyteAuthException].
 *
 * The interceptor that is added last runs first: add this one first, and others, which may make a call again, then get
 * a
 * fresh token each time. Use it for channels to the session's endpoint alone; [FlyteChannels] makes them.
 */
public class FlyteAuthInterceptor(private val session: Session) : ClientInterceptor {
    override fun <Q : Any, R : Any> interceptCall(
        method: MethodDescriptor<Q, R>,
        callOptions: CallOptions,
        next: Channel,
    ): ClientCall<Q, R> = AuthCall(session, method, callOptions, next)
}
