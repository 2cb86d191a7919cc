package org.flyteauth.internal

import java.util.concurrent.CompletableFuture
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.asCoroutineDispatcher
import kotlinx.coroutines.future.future
import kotlinx.coroutines.runBlocking
import org.flyteauth.FlyteAuthException
import org.flyteauth.LoginCancelledException
import org.flyteauth.ffi.FlyteAuthException as NativeException

/** What [work] gives; an error of the native half as one of ours. */
internal inline fun <T> translating(work: () -> T): T =
    try {
        work()
    } catch (error: NativeException) {
        throw FlyteAuthException.of(error)
    }

/**
 * Waits on the calling thread.
 *
 * An interrupt ends the wait, as cancelling does, and stays set for whoever looks next: so no caller is forced to
 * catch a checked exception.
 */
internal fun <T> blocking(work: suspend () -> T): T {
    val done =
        try {
            // What the work throws is not this thread's interrupt, though it may be one of a callback's.
            runBlocking { runCatching { work() } }
        } catch (error: InterruptedException) {
            Thread.currentThread().interrupt()
            throw LoginCancelledException("the wait was interrupted", code = "interrupted", cause = error)
        }
    return done.getOrThrow()
}

/**
 * Where a future without an executor of its own completes (JDK): the common pool, which makes a spare thread for
 * whoever waits for another future in one of its threads. The coroutines' own pool stands still then.
 */
private val completing = CompletableFuture<Any>().defaultExecutor().asCoroutineDispatcher()

/**
 * A future of [work]; cancelling it ends the wait. Never completed from a thread of Rust, which a callback could block.
 *
 * The work has begun when this comes back: what it does when it is cancelled is then done, however early that is.
 */
internal fun <T> future(work: suspend () -> T): CompletableFuture<T> =
    CoroutineScope(completing).future(start = CoroutineStart.UNDISPATCHED) { work() }
