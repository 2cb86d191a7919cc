package org.flyteauth.internal

import com.sun.jna.Native
import java.util.concurrent.Callable
import java.util.function.Consumer
import java.util.function.Predicate
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.runInterruptible
import org.flyteauth.LoginEvent
import org.flyteauth.ffi.LoginEvent as NativeEvent
import org.flyteauth.ffi.LoginPrompt
import org.flyteauth.ffi.PromptException

/**
 * The user's callbacks, as the native half calls them. What one throws is kept: across the boundary only goes that it
 * did.
 */
internal class Prompt(
    private val onEvent: Consumer<LoginEvent>?,
    private val openBrowser: Predicate<String>?,
    private val paste: Callable<String>?,
) : LoginPrompt {
    /** A thread that JNA attached has none, and callbacks look the program's own classes up by it. */
    private val loader: ClassLoader? = Thread.currentThread().contextClassLoader

    /** What the first callback to fail threw. */
    @Volatile
    var thrown: Throwable? = null
        private set

    override fun show(event: NativeEvent) {
        keeping { onNativeThread { onEvent?.accept(LoginEvent.of(event)) } }
    }

    override fun openBrowser(url: String): Boolean = keeping {
        onNativeThread { openBrowser?.test(url) ?: false }
    }

    private inline fun <T> onNativeThread(ask: () -> T): T {
        Thread.currentThread().contextClassLoader = loader
        // A call of ours in a callback comes back on this thread: JNA is not to detach it then, while Java is on it.
        Native.detach(false)
        try {
            return ask()
        } finally {
            Native.detach(true)
        }
    }

    override suspend fun paste(): String {
        val callback = paste ?: return ""
        val job = currentCoroutineContext()[Job]
        return keeping({ job?.isCancelled == true }) {
            // What it throws is told from what becomes of our own interrupt.
            val line = runInterruptible(Dispatchers.IO) { runCatching { callback.call() as String? } }
            // Null is what Java's readLine gives at the end of the input.
            text("paste's line", line.getOrThrow().orEmpty())
        }
    }

    /** [isOver]: the login has ended without it. */
    private inline fun <T> keeping(isOver: () -> Boolean = { false }, ask: () -> T): T =
        try {
            ask()
        } catch (error: Throwable) {
            if (isOver()) throw error
            if (thrown == null) thrown = error
            throw PromptException.Failed()
        }
}
