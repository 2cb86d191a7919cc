package org.flyteauth

import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import kotlinx.coroutines.runBlocking
import org.flyteauth.harness.ALICE
import org.flyteauth.harness.Sandbox
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertSame
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.BeforeAll
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestInstance

/** Sessions against the sandbox, in all three forms. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class SessionTest {
    private lateinit var sandbox: Sandbox

    @BeforeAll
    fun start() {
        sandbox = Sandbox.start("--auto-approve", ALICE)
    }

    @AfterAll
    fun stop() {
        sandbox.close()
    }

    @Test
    fun `a machine's session gives a token that the server takes`() {
        sandbox.machine().use { session ->
            assertNull(session.tryToken())
            val token = session.tokenBlocking()!!
            assertEquals("authorization", token.headerName)
            assertEquals("Bearer ${token.value}", token.headerValue)
            assertTrue(token.expiresAt!! > java.time.Instant.now())
            assertEquals(200, sandbox.me(session.headersBlocking()))
            assertEquals(token, session.tryToken())
            assertSame(session.tryToken(), session.tryToken())
        }
    }

    @Test
    fun `the three forms give the same token`() {
        sandbox.machine().use { session ->
            val blocking = session.tokenBlocking()!!
            val suspending = runBlocking { session.token() }
            val future = session.tokenAsync().get(10, TimeUnit.SECONDS)
            assertEquals(listOf(blocking, blocking), listOf(suspending, future))
        }
    }

    @Test
    fun `a person signs in, is known, and signs out`() {
        Session.fromConfig(sandbox.options()).use { session ->
            val missing = assertThrows(LoginRequiredException::class.java) { session.tokenBlocking() }
            assertEquals("not_signed_in", missing.code)
            assertEquals(ErrorKind.LOGIN_REQUIRED, missing.kind)
            assertFalse(session.statusBlocking().isSignedIn)
            val outcome = sandbox.signIn(session)
            assertTrue(outcome.hasAuth && outcome.hasRefreshToken)
            assertEquals(ALICE, session.whoamiBlocking().email)
            assertTrue(session.statusBlocking().isSignedIn)
            val left = session.logoutBlocking(revoke = true)
            assertTrue(left.wasSignedIn)
            assertEquals(true, left.revoked)
            assertThrows(LoginRequiredException::class.java) { session.tokenBlocking() }
        }
    }

    @Test
    fun `an invalidated token is not served again`() {
        sandbox.machine().use { session ->
            val first = session.tokenBlocking()!!
            session.invalidate(first)
            assertNull(session.tryToken())
            val second = session.tokenBlocking()!!
            assertNotEquals(first, second)
            // Late news of the first.
            session.invalidate(first)
            assertEquals(second, session.tryToken())
        }
    }

    @Test
    fun `threads at once share one request`() {
        sandbox.machine().use { session ->
            val before = sandbox.requestsTo("/oauth2/token")
            val start = CountDownLatch(1)
            val threads = List(32) {
                java.util.concurrent.CompletableFuture.supplyAsync(
                    {
                        start.await()
                        session.tokenBlocking()
                    },
                    { Thread(it).start() },
                )
            }
            start.countDown()
            assertEquals(1, threads.map { it.get(30, TimeUnit.SECONDS) }.toSet().size)
            assertEquals(before + 1, sandbox.requestsTo("/oauth2/token"))
        }
    }

    @Test
    fun `a closed session says so`() {
        val session = sandbox.machine()
        session.tokenBlocking()
        session.close()
        session.close()
        val error = assertThrows(ConfigException::class.java) { session.tokenBlocking() }
        assertEquals("session_closed", error.code)
        assertNull(session.tryToken())
        assertNotNull(session.endpoint)
    }

    @Test
    fun `printing shows no secret`() {
        sandbox.machine().use { session ->
            val token = session.tokenBlocking()!!
            val printed = listOf(token, session, sandbox.options().clientSecret("foobar"), session.statusBlocking())
            printed.forEach { assertFalse(token.value in "$it" || "foobar" in "$it", "$it") }
            assertTrue("$token".startsWith("Token(***, until "))
        }
    }
}
