package org.flyteauth.grpc

import io.grpc.Attributes
import io.grpc.CallOptions
import io.grpc.Channel
import io.grpc.ClientCall
import io.grpc.Context
import io.grpc.Deadline
import io.grpc.Metadata
import io.grpc.MethodDescriptor
import io.grpc.Status
import java.util.concurrent.CancellationException
import java.util.concurrent.CompletableFuture
import java.util.concurrent.Executor
import java.util.concurrent.TimeUnit
import java.util.concurrent.TimeoutException
import org.flyteauth.Session
import org.flyteauth.Token

/**
 * A call that waits for its token, and is made once more if the server rejects it: the first attempt counts until it
 * has
 * ended UNAUTHENTICATED and nothing of it was handed out.
 *
 * gRPC calls a call's methods from one thread at a time, but for `cancel`; answers and tokens come from others. So all
 * state is under one lock. What the caller is told is told outside of it.
 */
internal class AuthCall<Q, R>(
    private val session: Session,
    private val method: MethodDescriptor<Q, R>,
    private val options: CallOptions,
    private val channel: Channel,
) : ClientCall<Q, R>() {
    private val lock = Any()
    private val context = Context.current()
    private lateinit var listener: Listener<R>
    private lateinit var headers: Metadata

    /** The attempt under way; before it and between two there is none. */
    private var call: ClientCall<Q, R>? = null
    private var waiting: CompletableFuture<Token?>? = null
    private var over = false
    private var token: Token? = null
    private var isFirst = true
    private var delivered = false

    /** Headers that say nothing, until it is known which attempt counts. */
    private var held: Metadata? = null
    private var toldHeaders = false

    /** What the caller sent: one request is kept for another attempt, a stream until there is a first. */
    private val sent = ArrayDeque<Q>()
    private var streamed = false
    private var halfClosed = false
    private var requested = 0L
    private var compression: Boolean? = null

    override fun start(responseListener: Listener<R>, headers: Metadata) {
        listener = responseListener
        this.headers = headers
        val known = session.tryToken()
        if (known != null) begin(known) else await(session.tokenAsync(), null, ::begin)
    }

    override fun request(numMessages: Int): Unit = synchronized(lock) {
        requested += numMessages
        call?.request(numMessages)
    }

    override fun sendMessage(message: Q): Unit = synchronized(lock) {
        val attempt = call
        if (attempt == null || method.type.clientSendsOneMessage()) sent.add(message) else streamed = true
        attempt?.sendMessage(message)
    }

    override fun halfClose(): Unit = synchronized(lock) {
        halfClosed = true
        call?.halfClose()
    }

    override fun setMessageCompression(enabled: Boolean): Unit = synchronized(lock) {
        compression = enabled
        call?.setMessageCompression(enabled)
    }

    override fun isReady(): Boolean = synchronized(lock) { call?.isReady ?: false }

    override fun getAttributes(): Attributes = synchronized(lock) { call?.attributes ?: Attributes.EMPTY }

    override fun cancel(message: String?, cause: Throwable?) {
        val attempt = synchronized(lock) { call }
        if (attempt != null) return attempt.cancel(message, cause)
        end(Status.CANCELLED.withDescription(message).withCause(cause), Metadata())
    }

    /**
     * Waits for a token, at most until the call's deadline. [rejected]: what the call ends with if there is no other.
     */
    private fun await(tokens: CompletableFuture<Token?>, rejected: Rejection?, then: (Token?) -> Unit) {
        val left = deadline()?.timeRemaining(TimeUnit.NANOSECONDS)
        val wait = if (left == null) tokens else tokens.orTimeout(left.coerceAtLeast(0), TimeUnit.NANOSECONDS)
        synchronized(lock) { waiting = wait }
        wait.whenComplete { found, failure ->
            val stale = synchronized(lock) { over.also { waiting = null } }
            when {
                stale || failure is CancellationException -> Unit
                failure is TimeoutException ->
                    end(Status.DEADLINE_EXCEEDED.withDescription("it passed before there was a token"), Metadata())
                failure != null -> end(failureOf(failure), Metadata())
                rejected != null && (found == null || found.headerValue == rejected.token.headerValue) ->
                    end(rejected.status, rejected.trailers)
                else -> then(found)
            }
        }
    }

    private class Rejection(val token: Token, val status: Status, val trailers: Metadata)

    /** The earlier of the call's own and its context's. */
    private fun deadline(): Deadline? = listOfNotNull(options.deadline, context.deadline).minOrNull()

    private fun begin(token: Token?) {
        val attempt = Attempt(token)
        synchronized(lock) {
            if (over) return
            this.token = token
            // From whatever thread the token came: the caller's context goes along.
            val made = context.call { channel.newCall(method, options) }
            call = made
            made.start(attempt, headersWith(token))
            compression?.let(made::setMessageCompression)
            if (requested > 0) made.request(requested.coerceAtMost(Int.MAX_VALUE.toLong()).toInt())
            sent.forEach(made::sendMessage)
            if (!method.type.clientSendsOneMessage()) {
                streamed = streamed || sent.isNotEmpty()
                sent.clear()
            }
            if (halfClosed) made.halfClose()
        }
    }

    private fun headersWith(token: Token?): Metadata {
        val sent = Metadata().apply { merge(headers) }
        if (token != null) sent.replace(token)
        return sent
    }

    /** What an attempt is told; once another has begun, no more. */
    private inner class Attempt(private val token: Token?) : Listener<R>() {
        override fun onHeaders(headers: Metadata) {
            val isBare = headers.keys().all { it == "content-type" || it.startsWith("grpc-") }
            val tell =
                synchronized(lock) {
                    held = headers
                    if (!isBare) delivered = true
                    // A stream's caller may wait for them alone.
                    !isBare || !method.type.serverSendsOneMessage()
                }
            if (tell) tellHeaders()
        }

        override fun onMessage(message: R) {
            tellHeaders()
            synchronized(lock) {
                delivered = true
                requested -= 1
            }
            listener.onMessage(message)
        }

        override fun onReady() {
            listener.onReady()
        }

        override fun onClose(status: Status, trailers: Metadata) {
            val rejected = token
            if (status.code != Status.Code.UNAUTHENTICATED || rejected == null) return end(status, trailers)
            session.invalidate(rejected)
            val again =
                synchronized(lock) {
                    (isFirst && !delivered && !streamed && !over).also {
                        isFirst = false
                        if (it) {
                            call = null
                            held = null
                        }
                    }
                }
            if (!again) return end(status, trailers)
            // The server may name another header by now.
            headers.discardAll(keyOf(rejected))
            await(session.tokenAsync(), Rejection(rejected, status, trailers), ::begin)
        }
    }

    private fun tellHeaders() {
        val told =
            synchronized(lock) {
                val known = held
                held = null
                if (known == null || toldHeaders) return
                toldHeaders = true
                known
            }
        listener.onHeaders(told)
    }

    private fun end(status: Status, trailers: Metadata) {
        val wait =
            synchronized(lock) {
                if (over) return
                over = true
                waiting
            }
        wait?.cancel(true)
        // A caller that blocks looks at its executor alone.
        (options.executor ?: Executor(Runnable::run)).execute {
            tellHeaders()
            listener.onClose(status, trailers)
        }
    }
}
