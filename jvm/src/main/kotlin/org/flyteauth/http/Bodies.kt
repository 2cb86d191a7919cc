package org.flyteauth.http

import java.net.http.HttpResponse.BodySubscriber
import java.net.http.HttpResponse.BodySubscribers
import java.net.http.HttpResponse.ResponseInfo
import java.nio.ByteBuffer
import java.util.concurrent.CompletableFuture
import java.util.concurrent.CompletionStage
import java.util.concurrent.Flow
import java.util.concurrent.TimeUnit

/** What is read of an answer for which nobody waits, so that its connection is free for the next request. */
private const val SHORT = 16 * 1024

/** Leaves the body unread until [reader] tells who reads it; so it needs no memory, and may have no end. */
internal class Held<B>(private val reader: CompletableFuture<BodySubscriber<B>>) : BodySubscriber<B> {
    private val body = CompletableFuture<B>()
    private var reads: BodySubscriber<B>? = null

    /** The end, where it came before there was a reader. */
    private var end: ((BodySubscriber<B>) -> Unit)? = null

    override fun getBody(): CompletionStage<B> = body

    override fun onSubscribe(subscription: Flow.Subscription) {
        reader.whenComplete { subscriber, failure ->
            if (failure != null) {
                subscription.cancel()
                body.completeExceptionally(failure)
            } else {
                synchronized(this) {
                    reads = subscriber
                    subscriber.onSubscribe(subscription)
                    end?.invoke(subscriber)
                }
                subscriber.body.whenComplete { value, error ->
                    if (error != null) body.completeExceptionally(error) else body.complete(value)
                }
            }
        }
    }

    /** Comes only after a reader has asked for it. */
    @Synchronized
    override fun onNext(item: List<ByteBuffer>) {
        reads?.onNext(item)
    }

    override fun onError(throwable: Throwable) = ended { it.onError(throwable) }

    override fun onComplete() = ended { it.onComplete() }

    @Synchronized
    private fun ended(tell: (BodySubscriber<B>) -> Unit) {
        reads?.let(tell) ?: run { end = tell }
    }
}

/** Gives [value] for an answer that nobody reads, at the latest after so many nanoseconds. */
internal fun <V> dropped(info: ResponseInfo, value: V, left: Long?): BodySubscriber<V> {
    val length = info.headers().firstValue("content-length").orElse("").toLongOrNull()
    if (length == null || length > SHORT) return Cut(value)
    return BodySubscribers.replacing(value).also { short ->
        if (left != null) short.body.toCompletableFuture().completeOnTimeout(value, left, TimeUnit.NANOSECONDS)
    }
}

private class Cut<V>(value: V) : BodySubscriber<V> {
    private val body = CompletableFuture.completedFuture(value)

    override fun getBody(): CompletionStage<V> = body

    override fun onSubscribe(subscription: Flow.Subscription) = subscription.cancel()

    override fun onNext(item: List<ByteBuffer>) = Unit

    override fun onError(throwable: Throwable) = Unit

    override fun onComplete() = Unit
}
