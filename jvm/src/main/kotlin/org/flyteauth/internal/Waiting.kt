package org.flyteauth.internal

import java.util.concurrent.CompletableFuture
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
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
 * catch a
 * checked exception.
 */
internal fun <T> blocking(work: suspend () -> T): T =
    try {
        runBlocking { work() }
    } catch (error: InterruptedException) {
        Thread.currentThread().interrupt()
        throw LoginCancelledException("the wait was interrupted", code = "interrupted", cause = error)
    }

/**
 * A future of [work]; cancelling it ends the wait. Completed from the coroutines' shared pool, never from a thread of
 * Rust.
 *
 * The work has begun when this comes back: what it does when it is cancelled is then done, however early that is.
 */
internal fun <T> future(work: suspend () -> T): CompletableFuture<T> =
    CoroutineScope(Dispatchers.Default).future(start = CoroutineStart.UNDISPATCHED) { work() }
