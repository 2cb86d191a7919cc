package org.flyteauth

import java.time.Duration
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertDoesNotThrow
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.ValueSource

private const val NOWHERE = "http://127.0.0.1:9"

/** Arguments that are none: an error of the JVM's own kind, or the core's with the setting's name. */
class ArgumentsTest {
    private fun refused(options: SessionOptions): ConfigException =
        assertThrows(ConfigException::class.java) { Session.fromConfig(options) }

    @Test
    fun `half of a surrogate pair is refused, and a whole one is not`() {
        val texts = listOf("\uD83D", "a\uDE00b", "\uD83Dx", "\uDE00\uD83D")
        val takers =
            mapOf<String, (String) -> Any>(
                "endpoint" to { SessionOptions().endpoint(it) },
                "clientSecret" to { SessionOptions().clientSecret(it) },
                "httpProxyUrl" to { SessionOptions().httpProxyUrl(it) },
                "scopes" to { SessionOptions().scopes(listOf("all", it)) },
                "extraParams" to { SessionOptions().extraParams(mapOf("tenant" to it)) },
                "flow" to { LoginOptions().flow(it) },
                "issuer" to { VerifierOptions(it) },
                "audience" to { VerifierOptions("https://idp.example").audience(it) },
            )
        for ((name, take) in takers) {
            for (text in texts) {
                val error = assertThrows(IllegalArgumentException::class.java, { take(text) }, name)
                assertTrue(error.message!!.startsWith("$name holds half of a surrogate pair at index "), error.message)
            }
        }
        assertDoesNotThrow<SessionOptions> { SessionOptions().clientSecret("p\uD83D\uDE00") }
    }

    private fun verifier() = Verifier(VerifierOptions("https://idp.example").audience("flyte"))

    @ParameterizedTest
    @ValueSource(strings = ["", " ", "\u0000", "http://", "no endpoint at all", "flyte.example\u0000.org", "ftp://flyte.example"])
    fun `an endpoint that is none is named`(endpoint: String) {
        val error = refused(SessionOptions().endpoint(endpoint))
        assertEquals("endpoint", error.setting, error.message)
        assertFalse(error.isRetryable)
    }

    @Test
    fun `options are named as Kotlin writes them`() {
        val error = refused(SessionOptions().endpoint(NOWHERE).authType("Magic"))
        assertEquals("authType", error.setting)
        assertTrue("authType" in error.message!!, error.message)
        assertFalse("auth_type" in error.message!!, error.message)
    }

    @Test
    fun `a text of ten million letters is refused at once, and not repeated`() {
        val huge = "x".repeat(10_000_000)
        val error = refused(SessionOptions().endpoint("$huge.example"))
        assertTrue(error.message!!.length < 4_096, "${error.message!!.length}")
        val denied = assertThrows(FlyteAuthException::class.java) { verifier().verifyBlocking(huge) }
        assertTrue(denied.message!!.length < 4_096)
    }

    @Test
    fun `a huge secret goes as it is`() {
        val options = SessionOptions().endpoint(NOWHERE).clientId("c").clientSecret("s".repeat(10_000_000))
        val error = assertThrows(FlyteAuthException::class.java) { Session.fromConfig(options).tokenBlocking() }
        assertEquals(ErrorKind.NETWORK, error.kind, error.message)
    }

    @Test
    fun `durations that are none are refused`() {
        val second = Duration.ofSeconds(-1)
        assertThrows(IllegalArgumentException::class.java) { LoginOptions().timeout(second) }
        assertThrows(IllegalArgumentException::class.java) { VerifierOptions("https://idp.example").clockSkew(second) }
        assertThrows(IllegalArgumentException::class.java) { VerifierOptions("https://idp.example").remember(-1) }
        val session = Session.forEndpoint(NOWHERE, SessionOptions().store("memory"))
        val error =
            assertThrows(ConfigException::class.java) { session.loginBlocking(LoginOptions().timeout(Duration.ZERO)) }
        assertEquals("timeout", error.setting)
        val flow = assertThrows(ConfigException::class.java) { session.loginBlocking(LoginOptions().flow("magic")) }
        assertEquals("flow", flow.setting, flow.message)
    }

    @Test
    fun `a verifier's combinations are named`() {
        val options = { VerifierOptions("https://idp.example").audience("flyte") }
        val cases =
            mapOf(
                "audience" to VerifierOptions("https://idp.example"),
                "introspectionClientId" to options().introspectionClientId("x"),
                "introspectionClientSecret" to options().introspectionClientSecret("x"),
                "clockSkew" to options().clockSkew(Duration.ofSeconds(301)),
                "algorithms" to options().algorithms("HS256"),
                "jwks" to options().jwks("[]"),
                "profile" to options().profile("magic"),
                "issuer" to VerifierOptions("http://idp.example").audience("flyte"),
            )
        for ((setting, wrong) in cases) {
            val error = assertThrows(ConfigException::class.java, { Verifier(wrong) }, setting)
            assertEquals(setting, error.setting, error.message)
        }
    }

    @Test
    fun `options are copied into the session and may be used again`() {
        val options = SessionOptions().endpoint(NOWHERE)
        val first = Session.fromConfig(options)
        val second = Session.forEndpoint("flyte.example.org", options)
        assertEquals(listOf("127.0.0.1:9", "flyte.example.org"), listOf(first.endpoint, second.endpoint))
        assertEquals("127.0.0.1:9", Session.fromConfig(options).endpoint)
    }

    @Test
    fun `a causing error is in the chain and an error of one's own tests can be made`() {
        val session = Session.forEndpoint(NOWHERE, SessionOptions().store("memory").clientId("c").clientSecret("s"))
        val error = assertThrows(NetworkException::class.java) { session.tokenBlocking() }
        assertTrue(error.isRetryable)
        assertTrue(error.cause != null && error.cause!!.stackTrace.isEmpty())
        assertTrue(error.stackTrace.any { it.className == ArgumentsTest::class.java.name }, "where it was asked for")
        val mine = LoginRequiredException("sign in", "not_signed_in")
        assertEquals(listOf(ErrorKind.LOGIN_REQUIRED, "not_signed_in", false), listOf(mine.kind, mine.code, mine.isRetryable))
    }
}
