package org.flyteauth.grpc

import io.grpc.Attributes
import io.grpc.CallOptions
import io.grpc.Channel
import io.grpc.ClientCall
import io.grpc.Context
import io.grpc.Contexts
import io.grpc.Metadata
import io.grpc.MethodDescriptor
import io.grpc.Status
import java.util.concurrent.CompletableFuture
import java.util.concurrent.Executor
import java.util.concurrent.TimeUnit
import java.util.concurrent.TimeoutException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.asExecutor
import org.flyteauth.FlyteAuthException
import org.flyteauth.Session
import org.flyteauth.Token

/** What the caller asked of the call. */
private typealias Step<Q, R> = (ClientCall<Q, R>) -> Unit

/**
 * A call that waits for its token, and is made once more if the server rejects it: the first attempt counts until it
 * has ended UNAUTHENTICATED and nothing of it was handed out.
 *
 * gRPC calls a call's methods from one thread at a time, but for `request` and `cancel`; answers and tokens come from
 * others. So all state is under one lock, and neither the channel nor the caller is ever called under it: either may
 * wait for another thread, or come back here.
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

    /** The attempt under way, and the same once it can be called; before it and between two there is none. */
    private var attempt: Attempt? = null
    private var started: ClientCall<Q, R>? = null
    private var waiting: CompletableFuture<Token?>? = null
    private var over = false

    private var cancelled: Cancelled? = null

    /** May still become another attempt: the first, nothing of it was handed out, no stream of requests has begun. */
    private var open = true

    /** The caller's steps: of an open call all of them, otherwise those that no attempt has taken yet. */
    private val steps = ArrayList<Step<Q, R>>()

    /** The attempt has taken all of them, and takes the next at once. */
    private var drained = false

    /** Headers that say nothing, until it is known which attempt counts. */
    private var held: Metadata? = null
    private var toldHeaders = false

    override fun start(responseListener: Listener<R>, headers: Metadata) {
        listener = responseListener
        this.headers = headers
        synchronized(lock) { cancelled }?.let { return end(it.status) }
        val known = session.tryToken()
        if (known != null) begin(known) else await(null)
    }

    override fun request(numMessages: Int): Unit = step { it.request(numMessages) }

    override fun sendMessage(message: Q): Unit = step {
        if (!method.type.clientSendsOneMessage()) settle()
        it.sendMessage(message)
    }

    override fun halfClose(): Unit = step { it.halfClose() }

    override fun setMessageCompression(enabled: Boolean): Unit = step { it.setMessageCompression(enabled) }

    override fun isReady(): Boolean = synchronized(lock) { started }?.isReady ?: false

    override fun getAttributes(): Attributes = synchronized(lock) { started }?.attributes ?: Attributes.EMPTY

    override fun cancel(message: String?, cause: Throwable?) {
        val why = Cancelled(message, cause)
        val (call, waits) =
            synchronized(lock) {
                if (cancelled != null) return
                cancelled = why
                started to (waiting != null)
            }
        // In no attempt and no wait, whoever begins one sees it.
        if (call != null) why.tell(call) else if (waits) end(why.status)
    }

    private class Cancelled(private val message: String?, private val cause: Throwable?) {
        val status: Status
            get() = Status.CANCELLED.withDescription(message ?: "the call was cancelled").withCause(cause)

        fun tell(call: ClientCall<*, *>) = call.cancel(message, cause)
    }

    private fun step(step: Step<Q, R>) {
        val call =
            synchronized(lock) {
                if (over || (cancelled != null && started == null)) return
                if (open || !drained) steps.add(step)
                if (drained) started else null
            }
        call?.let(step)
    }

    /** Something went in or out that cannot be taken back. */
    private fun settle(): Unit = synchronized(lock) {
        open = false
        if (drained) steps.clear()
    }

    private class Rejection(val token: Token, val status: Status, val trailers: Metadata)

    /** Waits for a token until the call's deadline. [rejected]: what the call ends with if there is no other. */
    private fun await(rejected: Rejection?) {
        val tokens = session.tokenAsync()
        options.deadline?.let {
            tokens.orTimeout(it.timeRemaining(TimeUnit.NANOSECONDS).coerceAtLeast(0), TimeUnit.NANOSECONDS)
        }
        val vain = synchronized(lock) { waiting = tokens; cancelled }
        // The context's deadline comes this way too.
        val gaveUp = Context.CancellationListener { end(Contexts.statusFromCancelled(it)) }
        context.addListener(gaveUp, Runnable::run)
        tokens.whenComplete { found, failure ->
            context.removeListener(gaveUp)
            synchronized(lock) { waiting = null }
            when {
                failure is TimeoutException -> end(LATE)
                failure != null -> end(failureOf(failure))
                rejected != null && (found == null || found.headerValue == rejected.token.headerValue) ->
                    end(rejected.status, rejected.trailers)
                else -> beginLater(found)
            }
        }
        vain?.let { end(it.status) }
    }

    /** Nobody is there to catch what is thrown: it would be a call without an end. */
    private fun beginLater(token: Token?) {
        try {
            begin(token)
        } catch (error: Throwable) {
            synchronized(lock) { attempt = null }
            end(Status.UNKNOWN.withDescription("the call could not be made").withCause(error))
        }
    }

    private fun begin(token: Token?) {
        val sent =
            try {
                headersWith(token)
            } catch (error: FlyteAuthException) {
                return end(failureOf(error))
            }
        val attempt = Attempt(token)
        // From whatever thread the token came: the caller's context goes along.
        context.call {
            val call = channel.newCall(method, options)
            val vain =
                synchronized(lock) {
                    if (over) return@call
                    if (cancelled == null) this.attempt = attempt
                    cancelled
                }
            if (vain != null) return@call end(vain.status)
            call.start(attempt, sent)
            val late =
                synchronized(lock) {
                    if (this.attempt === attempt) started = call
                    cancelled
                }
            if (late == null) drain(attempt, call) else late.tell(call)
        }
    }

    private fun headersWith(token: Token?): Metadata {
        val sent = Metadata().apply { merge(headers) }
        if (token != null) sent.replace(token)
        return sent
    }

    /** Gives [call] what the caller asked for so far, in order. */
    private fun drain(attempt: Attempt, call: ClientCall<Q, R>) {
        var next = 0
        while (true) {
            val step =
                synchronized(lock) {
                    // Over already, and another one may have begun.
                    if (this.attempt !== attempt || cancelled != null) return
                    if (next == steps.size) {
                        drained = true
                        if (!open) steps.clear()
                        return
                    }
                    steps[next++]
                }
            try {
                step(call)
            } catch (error: Throwable) {
                // The caller asked for it long ago, and learns it from the call's status.
                return call.cancel("the call cannot do what it was asked for", error)
            }
        }
    }

    /** What an attempt is told; once another has begun, no more. */
    private inner class Attempt(private val token: Token?) : Listener<R>() {
        override fun onHeaders(headers: Metadata) {
            val isBare = headers.keys().all { it == "content-type" || it.startsWith("grpc-") }
            synchronized(lock) { held = headers }
            if (!isBare) settle()
            // A stream's caller may wait for them alone.
            if (!isBare || !method.type.serverSendsOneMessage()) tellHeaders()
        }

        override fun onMessage(message: R) {
            settle()
            tellHeaders()
            listener.onMessage(message)
        }

        override fun onReady() {
            listener.onReady()
        }

        override fun onClose(status: Status, trailers: Metadata) {
            val rejected = token
            if (status.code != Status.Code.UNAUTHENTICATED || rejected == null) return close(status, trailers)
            session.invalidate(rejected)
            if (!reopen()) return close(status, trailers)
            // The server may name another header by now.
            headers.discardAll(keyOf(rejected))
            await(Rejection(rejected, status, trailers))
        }

        private fun reopen(): Boolean = synchronized(lock) {
            if (!open || cancelled != null) return false
            open = false
            attempt = null
            started = null
            drained = false
            held = null
            true
        }

        /** On the thread that the channel chose, so it is the caller's turn at once. */
        private fun close(status: Status, trailers: Metadata) {
            synchronized(lock) {
                if (over) return
                over = true
                steps.clear()
            }
            tellHeaders()
            listener.onClose(status, trailers)
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

    /** Ends a call that has no attempt; as the channel does, not on the thread that happens to be here. */
    private fun end(status: Status, trailers: Metadata = Metadata()) {
        val wait =
            synchronized(lock) {
                if (over || attempt != null) return
                over = true
                steps.clear()
                waiting
            }
        wait?.cancel(true)
        // A caller that blocks looks at its executor alone.
        val executor: Executor = options.executor ?: Dispatchers.IO.asExecutor()
        executor.execute(context.wrap { listener.onClose(status, trailers) })
    }
}

private val LATE = Status.DEADLINE_EXCEEDED.withDescription("the deadline passed before there was a token")
