package org.flyteauth

import kotlinx.coroutines.runBlocking
import org.flyteauth.harness.ALICE
import org.flyteauth.harness.Sandbox
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.BeforeAll
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestInstance

/** Tokens of the sandbox, as a service that receives them sees them. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class VerifierTest {
    private lateinit var sandbox: Sandbox

    @BeforeAll
    fun start() {
        sandbox = Sandbox.start("--auto-approve", ALICE)
    }

    @AfterAll
    fun stop() {
        sandbox.close()
    }

    private fun token(): String = sandbox.machine().use { it.tokenBlocking()!!.value }

    @Test
    fun `a token of the issuer is known in all three forms, with its claims`() {
        val verifier = Verifier(VerifierOptions(sandbox.issuer).anyAudience(true))
        val token = token()
        val verified = verifier.verifyBlocking(token)
        assertEquals(sandbox.issuer, verified.issuer)
        assertEquals(sandbox.issuer, verified.claims["iss"])
        assertEquals("flytepropeller", verified.clientId)
        assertEquals(verified.expiresAt!!.epochSecond, verified.claims["exp"])
        assertTrue(verified.hasScope("all") && !verified.hasScope("none"), "${verified.scopes}")
        assertEquals(verified.subject, runBlocking { verifier.verify(token) }.subject)
        assertEquals(verified.subject, verifier.verifyAsync(token).get().subject)
        assertFalse(token in "$verified" || token in "$verifier")
    }

    @Test
    fun `what is wrong is named and the token is not`() {
        val token = token()
        val cases =
            mapOf(
                "token_audience" to Verifier(VerifierOptions(sandbox.issuer).audience("somebody else")),
                "insufficient_scope" to Verifier(VerifierOptions(sandbox.issuer).anyAudience(true).requiredScopes("admin")),
            )
        for ((code, verifier) in cases) {
            val error = assertThrows(AccessDeniedException::class.java, { verifier.verifyBlocking(token) }, code)
            assertEquals(code, error.code, error.message)
            assertFalse(token in error.message!!)
        }
        val verifier = Verifier(VerifierOptions(sandbox.issuer).anyAudience(true))
        val forged = token.dropLast(8) + "AAAAAAAA"
        assertThrows(AccessDeniedException::class.java) { verifier.verifyBlocking(forged) }
        for (text in listOf("", " ", "a.b.c", "no token", "\u0000", "ö".repeat(100), "\uD83D.b.c", "a\uDE00\uD83D")) {
            assertThrows(AccessDeniedException::class.java, { verifier.verifyBlocking(text) }, text)
            assertThrows(AccessDeniedException::class.java, { verifier.verifyIdTokenBlocking(text, "c") }, text)
            assertThrows(AccessDeniedException::class.java, { verifier.verifyLogoutTokenBlocking(text, "c") }, text)
        }
    }

    @Test
    fun `an issuer that cannot be reached is a network error`() {
        val verifier = Verifier(VerifierOptions("http://127.0.0.1:9").anyAudience(true))
        assertThrows(NetworkException::class.java) { verifier.verifyBlocking(token()) }
    }

    @Test
    fun `an access token is no ID token and no logout token`() {
        val verifier = Verifier(VerifierOptions(sandbox.issuer).anyAudience(true))
        assertThrows(AccessDeniedException::class.java) { verifier.verifyIdTokenBlocking(token(), "flytepropeller") }
        assertThrows(AccessDeniedException::class.java) { verifier.verifyLogoutTokenBlocking(token(), "flytepropeller") }
    }
}
