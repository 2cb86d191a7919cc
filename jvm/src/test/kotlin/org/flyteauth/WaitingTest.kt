package org.flyteauth

import java.io.File
import java.lang.management.ManagementFactory
import java.util.concurrent.CancellationException
import java.util.concurrent.CompletableFuture
import java.util.concurrent.TimeUnit
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import org.flyteauth.harness.ALICE
import org.flyteauth.harness.Program
import org.flyteauth.harness.Sandbox
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.BeforeAll
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestInstance
import org.junit.jupiter.api.Timeout

/** Waits: ended by their callers, on few threads, with nothing left behind. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(120)
class WaitingTest {
    private lateinit var sandbox: Sandbox

    @BeforeAll
    fun start() {
        sandbox = Sandbox.start("--auto-approve", ALICE, "--rotate-refresh-tokens")
    }

    @AfterAll
    fun stop() {
        sandbox.close()
    }

    @AfterEach
    fun clear() {
        sandbox.clearFaults()
    }

    /** Ends one wait in [end]'s way while the server takes its time; the request goes on and its token is there. */
    private fun endsTheWaitOnly(end: (Session) -> Unit) {
        sandbox.machine().use { session ->
            // Discovery is not what is waited for.
            session.invalidate(session.tokenBlocking()!!)
            val before = sandbox.requestsTo("/oauth2/token")
            sandbox.fault("delay-1500", 1, "/oauth2/token")
            val begun = System.nanoTime()
            end(session)
            assertTrue(System.nanoTime() - begun < 1_200_000_000, "the wait was ended before the answer")
            assertNotNull(session.tokenBlocking())
            assertEquals(before + 1, sandbox.requestsTo("/oauth2/token"), "the same request served whoever came next")
        }
    }

    @Test
    fun `cancelling a coroutine ends the wait, not the refresh`() = endsTheWaitOnly { session ->
        runBlocking {
            val before = sandbox.requestsTo("/oauth2/token")
            val call = launch(Dispatchers.Default) { session.token() }
            sandbox.served("/oauth2/token", before + 1)
            call.cancelAndJoin()
            assertTrue(call.isCancelled)
        }
    }

    @Test
    fun `cancelling a future ends the wait, not the refresh`() = endsTheWaitOnly { session ->
        val before = sandbox.requestsTo("/oauth2/token")
        val (call, headers) = session.tokenAsync() to session.headersAsync()
        sandbox.served("/oauth2/token", before + 1)
        assertTrue(call.cancel(true) && headers.cancel(true))
        assertThrows(CancellationException::class.java) { call.get(1, TimeUnit.SECONDS) }
    }

    @Test
    fun `an interrupt ends the wait and stays set`() = endsTheWaitOnly { session ->
        val before = sandbox.requestsTo("/oauth2/token")
        val outcome = CompletableFuture<Pair<Throwable?, Boolean>>()
        val thread = Thread {
            val error = runCatching { session.tokenBlocking() }.exceptionOrNull()
            outcome.complete(error to Thread.currentThread().isInterrupted)
        }
        thread.start()
        sandbox.served("/oauth2/token", before + 1)
        thread.interrupt()
        val (error, isSet) = outcome.get(1, TimeUnit.SECONDS)
        assertEquals("interrupted", (error as LoginCancelledException).code)
        assertTrue(isSet)
    }

    @Test
    fun `calls that wait have no threads of their own`() {
        sandbox.machine().use { session ->
            session.tokenBlocking()
            val threads = ManagementFactory.getThreadMXBean()
            // The pools are warm.
            session.statusAsync().get()
            session.invalidate()
            sandbox.fault("delay-1500", 1, "/oauth2/token")
            val before = sandbox.requestsTo("/oauth2/token")
            val native = nativeThreads()
            val calls = List(500) { session.tokenAsync() }
            sandbox.served("/oauth2/token", before + 1)
            val grown = nativeThreads() - native
            assertTrue(grown <= 16, "$grown threads more for 500 calls; the JVM has ${threads.threadCount}")
            assertEquals(1, calls.map { it.get(20, TimeUnit.SECONDS) }.toSet().size)
        }
    }

    private fun nativeThreads(): Int = File("/proc/self/task").list()!!.size

    /** As with the JDK's own futures: more of them than there are processors. */
    @Test
    fun `what follows a future may wait for another`() {
        sandbox.machine().use { session ->
            val all = List(64) { session.statusAsync().thenApply { session.statusAsync().join() } }
            all.forEach { assertNotNull(it.get(20, TimeUnit.SECONDS)) }
        }
    }

    @Test
    fun `threads and coroutines together share what is fetched`() = runBlocking {
        sandbox.machine().use { session ->
            val before = sandbox.requestsTo("/oauth2/token")
            val threads = List(16) { CompletableFuture.supplyAsync({ session.tokenBlocking() }, { Thread(it).start() }) }
            val coroutines = List(200) { async(Dispatchers.Default) { session.token() } }
            val tokens = coroutines.awaitAll() + threads.map { it.get(20, TimeUnit.SECONDS) }
            assertEquals(1, tokens.toSet().size)
            assertEquals(before + 1, sandbox.requestsTo("/oauth2/token"))
        }
    }

    @Test
    fun `ten thousand sessions, waits and cancels leave memory flat`() {
        // All of its heap is there from the beginning: what grows is ours, or the JVM's own bookkeeping.
        val heap = listOf("-Xms96m", "-Xmx96m", "-XX:+AlwaysPreTouch")
        val ended = Program(Loops::class.java.name, sandbox.http, jvm = heap).finish().well()
        val (grown, threads, handles) = ended.stdout.trim().split(' ').map(String::toLong)
        assertTrue(grown < 8_000, "$grown kB more after ten thousand rounds")
        assertTrue(threads <= 4 && handles <= 4, "$threads threads and $handles files more")
    }
}

/**
 * `HTTP`: makes, uses, cancels and drops; prints kB of memory, threads and open files that ten thousand rounds added.
 */
object Loops {
    @JvmStatic
    fun main(arguments: Array<String>) {
        val options =
            SessionOptions().endpoint(arguments[0]).store("memory").clientId("flytepropeller").clientSecret("foobar")
        val shared = Session.fromConfig(options)
        shared.tokenBlocking()
        round(shared, options, 10_000)
        val before = listOf(resident(), count("task"), count("fd"))
        round(shared, options, 10_000)
        val after = listOf(resident(), count("task"), count("fd"))
        println(after.zip(before) { more, less -> more - less }.joinToString(" "))
    }

    private fun round(shared: Session, options: SessionOptions, times: Int) {
        repeat(times) { index ->
            // Every other one is left to the garbage collector.
            val session = Session.fromConfig(options)
            check(shared.tokenBlocking() == shared.tryToken())
            session.tryToken()
            // Waits that are ended before, while and after they begin, and logins that nobody finishes.
            val wait = if (index % 2 == 0) session.statusAsync() else shared.statusAsync()
            if (index % 3 != 0) wait.cancel(true) else wait.get(20, TimeUnit.SECONDS)
            if (index % 2 == 0) session.close()
            if (index % 1_000 == 0) System.gc()
        }
        repeat(5) {
            System.gc()
            Thread.sleep(50)
        }
    }

    private fun resident(): Long =
        File("/proc/self/status").readLines().first { it.startsWith("RssAnon") }.filter(Char::isDigit).toLong()

    private fun count(folder: String): Long = File("/proc/self/$folder").list()!!.size.toLong()
}
