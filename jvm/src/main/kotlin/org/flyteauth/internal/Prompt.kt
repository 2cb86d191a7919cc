package org.flyteauth.internal

import java.util.concurrent.Callable
import java.util.concurrent.CancellationException
import java.util.function.Consumer
import java.util.function.Predicate
import kotlinx.coroutines.Dispatchers
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
    /** What the first callback to fail threw. */
    @Volatile
    var thrown: Throwable? = null
        private set

    override fun show(event: NativeEvent) {
        keeping { onEvent?.accept(LoginEvent.of(event)) }
    }

    override fun openBrowser(url: String): Boolean = keeping { openBrowser?.test(url) ?: false }

    override suspend fun paste(): String {
        val callback = paste ?: return ""
        return keeping {
            // Null is what Java's readLine gives at the end of the input.
            text("paste's line", runInterruptible(Dispatchers.IO) { callback.call() as String? }.orEmpty())
        }
    }

    private inline fun <T> keeping(ask: () -> T): T =
        try {
            ask()
        } catch (error: Throwable) {
            // Cancelled: the login has ended without it.
            if (error !is CancellationException && thrown == null) thrown = error
            throw if (error is CancellationException) error else PromptException.Failed()
        }
}
