package org.flyteauth

import java.time.Duration
import java.util.concurrent.CancellationException
import java.util.concurrent.CompletableFuture
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.runBlocking
import org.flyteauth.harness.ALICE
import org.flyteauth.harness.Program
import org.flyteauth.harness.Sandbox
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertSame
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.BeforeAll
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestInstance
import org.junit.jupiter.api.Timeout

/** Asks the session for something while it is told of a login. */
object Asks {
    @JvmStatic
    fun main(arguments: Array<String>) {
        Session.forEndpoint(System.getProperty("sandbox"), SessionOptions().store("memory")).use { session ->
            val options = LoginOptions().flow("pkce").noBrowser(true).timeout(Duration.ofMillis(300))
            runCatching { session.loginBlocking(options.onEvent { session.statusBlocking() }) }
            println("asked")
        }
    }
}

/** Signing people in, with callbacks and in two steps. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(60)
class LoginTest {
    private lateinit var sandbox: Sandbox

    @BeforeAll
    fun start() {
        sandbox = Sandbox.start("--auto-approve", ALICE)
    }

    @AfterAll
    fun stop() {
        sandbox.close()
    }

    private fun session(): Session = Session.fromConfig(sandbox.options())

    private fun pkce(): LoginOptions = LoginOptions().flow("pkce")

    @Test
    fun `a browser of the program's own signs in`() {
        val events = CopyOnWriteArrayList<LoginEvent>()
        val options =
            pkce().onEvent(events::add).openBrowser { url ->
                CompletableFuture.runAsync { sandbox.visit(url) }
                true
            }
        session().use { session ->
            val outcome = session.loginBlocking(options)
            assertTrue(outcome.hasAuth && !outcome.isShared)
            assertEquals(200, sandbox.me(session.headersBlocking()))
        }
        val address = events.first { it.kind == "url" }
        assertTrue(address.isOpened && address.url!!.startsWith(sandbox.http), address.kind)
        assertEquals(address.message, "$address")
    }

    @Test
    fun `the address may be pasted`() {
        val redirect = CompletableFuture<String>()
        val options =
            pkce().noBrowser(true).paste { redirect.get(20, TimeUnit.SECONDS) }.onEvent { event ->
                if (event.kind == "url") {
                    assertTrue(event.canPaste)
                    redirect.complete(redirectOf(event.url!!))
                }
            }
        session().use { assertTrue(it.loginBlocking(options.flow("paste")).hasAuth) }
    }

    /** Where the browser would be sent, without going there. */
    private fun redirectOf(url: String): String {
        var at = url
        val client = java.net.http.HttpClient.newHttpClient()
        repeat(10) {
            val request = java.net.http.HttpRequest.newBuilder(java.net.URI(at)).build()
            val answer = client.send(request, java.net.http.HttpResponse.BodyHandlers.discarding())
            at = answer.headers().firstValue("location").map { java.net.URI(at).resolve(it).toString() }.orElse(at)
            if ("code=" in at) return at
        }
        error("no redirect with a code: $at")
    }

    @Test
    fun `what a callback throws ends the login and comes out as it is`() {
        val mine = IllegalStateException("the person's screen is off")
        val options = pkce().noBrowser(true)
        val shown = assertThrows(Exception::class.java) { session().loginBlocking(options.onEvent { throw mine }) }
        assertSame(mine, generateSequence<Throwable>(shown) { it.cause }.last())
        val fatal = AssertionError("a browser that fails")
        val opened =
            assertThrows(Throwable::class.java) { session().loginBlocking(pkce().openBrowser { throw fatal }) }
        assertSame(fatal, generateSequence(opened) { it.cause }.last())
        val pasted =
            assertThrows(Throwable::class.java) { session().loginBlocking(pkce().noBrowser(true).paste { throw mine }) }
        assertSame(mine, generateSequence(pasted) { it.cause }.last())
    }

    @Test
    fun `a callback's own cancellations and interrupts are not the caller's`() {
        for (mine in listOf(CancellationException("mine"), InterruptedException("mine"))) {
            for (options in listOf(
                pkce().noBrowser(true).onEvent { throw mine },
                pkce().openBrowser { throw mine },
                pkce().noBrowser(true).paste { throw mine },
            )) {
                val shown = assertThrows(Throwable::class.java) { session().loginBlocking(options) }
                assertSame(mine, generateSequence(shown) { it.cause }.last())
                assertFalse(Thread.interrupted())
            }
        }
        val options = pkce().noBrowser(true).paste { CompletableFuture<String>().apply { cancel(false) }.get() }
        assertThrows(CancellationException::class.java) { session().loginBlocking(options) }
    }

    /** Its thread is interrupted then, and says so in its own way. */
    @Test
    fun `a login that ends while somebody pastes says why`() {
        repeat(15) {
            val options = pkce().noBrowser(true).timeout(Duration.ofMillis(200)).paste {
                try {
                    Thread.sleep(20_000)
                    ""
                } catch (error: InterruptedException) {
                    throw IllegalStateException(error)
                }
            }
            assertThrows(LoginCancelledException::class.java) { session().loginBlocking(options) }
        }
    }

    @Test
    fun `callbacks have the program's class loader`() {
        val loaders = CopyOnWriteArrayList<ClassLoader?>()
        val options = pkce().timeout(Duration.ofMillis(500))
            .onEvent { loaders += Thread.currentThread().contextClassLoader }
            .openBrowser { loaders.add(Thread.currentThread().contextClassLoader) }
        assertThrows(LoginCancelledException::class.java) { session().loginBlocking(options) }
        assertEquals(setOf(Thread.currentThread().contextClassLoader), loaders.toSet())
    }

    @Test
    fun `a call of ours in a callback leaves nothing at the terminal`() {
        val ended = Program(Asks::class.java.name, jvm = listOf("-Dsandbox=${sandbox.http}")).finish().well()
        assertEquals("asked", ended.stdout.trim())
    }

    @Test
    fun `a callback that blocks holds no deadline up`() {
        val leave = CountDownLatch(1)
        val begun = System.nanoTime()
        val options = pkce().timeout(Duration.ofSeconds(1)).openBrowser { leave.await(8, TimeUnit.SECONDS) }
        assertThrows(LoginCancelledException::class.java) { session().loginBlocking(options) }
        assertTrue(System.nanoTime() - begun < 6_000_000_000)
        leave.countDown()
    }

    @Test
    fun `the port and the lock of a login that a callback ended are free at once`() {
        repeat(3) {
            assertThrows(IllegalStateException::class.java) {
                session().loginBlocking(pkce().noBrowser(true).onEvent { error("again") })
            }
        }
        session().use { sandbox.signIn(it) }
    }

    @Test
    fun `a deadline ends it`() {
        val options = pkce().noBrowser(true).timeout(Duration.ofMillis(300)).onEvent {}
        val error = assertThrows(LoginCancelledException::class.java) { session().loginBlocking(options) }
        assertEquals(ErrorKind.CANCELLED, error.kind)
    }

    @Test
    fun `cancelling a coroutine ends the login and interrupts who pastes`() = runBlocking {
        val asked = CountDownLatch(1)
        val interrupted = CompletableFuture<Boolean>()
        val options =
            pkce().noBrowser(true).paste {
                asked.countDown()
                try {
                    Thread.sleep(30_000)
                    interrupted.complete(false)
                } catch (_: InterruptedException) {
                    interrupted.complete(true)
                }
                ""
            }
        val login = async(kotlinx.coroutines.Dispatchers.Default) { session().login(options) }
        while (asked.count > 0) delay(10)
        login.cancelAndJoin()
        assertTrue(interrupted.get(10, TimeUnit.SECONDS))
        session().use { sandbox.signIn(it) }
        Unit
    }

    @Test
    fun `two steps, and the same outcome for everybody who waits`() {
        session().use { session ->
            val login = session.beginLoginBlocking(pkce().noBrowser(true))!!
            assertNotNull(login.expiresAt)
            assertFalse(login.url in "$login")
            val waits = List(3) { login.finishAsync() }
            sandbox.visit(login.url)
            waits.forEach { assertTrue(it.get(20, TimeUnit.SECONDS).hasAuth) }
            assertEquals(ALICE, session.whoamiBlocking().email)
        }
    }

    @Test
    fun `a begun login that is closed or cancelled is over`() {
        session().use { session ->
            val login = session.beginLoginBlocking(pkce().noBrowser(true))!!
            val wait = login.finishAsync()
            login.close()
            val error = assertThrows(java.util.concurrent.ExecutionException::class.java) { wait.get(20, TimeUnit.SECONDS) }
            assertTrue(error.cause is LoginCancelledException, "${error.cause}")
            // Its lock and its port are free.
            sandbox.signIn(session)
        }
    }

    @Test
    fun `cancelling the future that finishes ends the login`() {
        session().use { session ->
            val login = session.beginLoginBlocking(pkce().noBrowser(true))!!
            val wait = login.finishAsync()
            assertTrue(wait.cancel(true))
            assertThrows(CancellationException::class.java) { wait.get() }
            val until = System.nanoTime() + 10_000_000_000
            while (true) {
                try {
                    sandbox.signIn(session)
                    break
                } catch (error: FlyteAuthException) {
                    check(System.nanoTime() < until) { error }
                    Thread.sleep(20)
                }
            }
        }
    }

    @Test
    fun `a device login shows a code`() {
        session().use { session ->
            val login = session.beginLoginBlocking(LoginOptions().flow("device"))!!
            login.use { assertTrue(it.userCode!!.length >= 6 && it.url.startsWith("http")) }
        }
    }

    @Test
    fun `a machine signs nobody in`() {
        sandbox.machine().use { machine ->
            assertThrows(ConfigException::class.java) { machine.loginBlocking() }
            assertThrows(ConfigException::class.java) { machine.beginLoginBlocking() }
        }
    }
}
