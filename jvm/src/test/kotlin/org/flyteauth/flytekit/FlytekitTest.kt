package org.flyteauth.flytekit

import java.time.Instant
import java.util.ServiceLoader
import org.flyte.jflyte.api.TokenSourceFactory
import org.flyte.jflyte.api.TokenSourceFactoryRegistrar
import org.flyteauth.ConfigException
import org.flyteauth.LoginRequiredException
import org.flyteauth.Session
import org.flyteauth.SessionOptions
import org.flyteauth.harness.ALICE
import org.flyteauth.harness.Sandbox
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.BeforeAll
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestInstance

/** As flytekit-java finds and uses a token source (jflyte-utils, `AuthorizationHeaderInterceptor`). */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class FlytekitTest {
    private lateinit var sandbox: Sandbox

    @BeforeAll
    fun start() {
        sandbox = Sandbox.start("--auto-approve", ALICE)
    }

    @AfterAll
    fun stop() {
        sandbox.close()
    }

    /** What `--auth-mode flyte_auth` takes of all that is on the class path. */
    private fun factory(env: Map<String, String>): TokenSourceFactory =
        ServiceLoader.load(TokenSourceFactoryRegistrar::class.java)
            .flatMap { it.load(env) }
            .single { it.method == "flyte_auth" }

    private fun machine() =
        Session.fromConfig(sandbox.options().authType("ClientSecret").clientId("flytepropeller").clientSecret("foobar"))

    @Test
    fun `it is found, and loading it touches nothing`() {
        // Flytekit-java loads every registrar, whatever mode is chosen.
        factory(emptyMap())
        factory(mapOf("FLYTE_PLATFORM_URL" to "\u0000 no endpoint at all", "FLYTE_PLATFORM_INSECURE" to "maybe"))
    }

    @Test
    fun `the endpoint is the platform's`() {
        val env = mapOf("FLYTE_PLATFORM_URL" to sandbox.http.removePrefix("http://"), "FLYTE_PLATFORM_INSECURE" to "true")
        val source = factory(env).tokenSource
        assertTrue(sandbox.http.removePrefix("http://") in "$source", "$source")
        // Nobody can answer here, so nobody is asked.
        assertThrows(LoginRequiredException::class.java) { source.token() }
        assertThrows(ConfigException::class.java) { factory(mapOf("FLYTE_PLATFORM_URL" to "http://")).tokenSource }
    }

    @Test
    fun `a token has what flytekit-java sends, and keeps the refresh token to itself`() {
        val source = FlyteAuthTokenSource(machine())
        val token = source.token()
        assertEquals("Bearer", token.tokenType())
        assertTrue(token.expiry() > Instant.now())
        assertEquals("", token.refreshToken())
        assertEquals(200, sandbox.me(mapOf("authorization" to "${token.tokenType()} ${token.accessToken()}")))
        assertEquals(token.accessToken(), source.token().accessToken())
        assertFalse(token.accessToken() in "$source")
    }

    @Test
    fun `a token that is due is refreshed`() {
        Sandbox.start("--access-token-lifetime", "1").use { brief ->
            val session = brief.machine()
            val source = FlyteAuthTokenSource(session)
            val first = source.token()
            Thread.sleep(1_100)
            val second = source.token()
            assertNotEquals(first.accessToken(), second.accessToken())
            assertTrue(second.expiry() > first.expiry())
        }
    }

    @Test
    fun `an endpoint without auth says what to leave out`() {
        val server = com.sun.net.httpserver.HttpServer.create(java.net.InetSocketAddress("127.0.0.1", 0), 0)
        server.createContext("/") { it.sendResponseHeaders(404, -1) }
        server.start()
        try {
            val options = SessionOptions().endpoint("http://127.0.0.1:${server.address.port}").authType("none").store("memory")
            val error = assertThrows(ConfigException::class.java) { FlyteAuthTokenSource(Session.fromConfig(options)).token() }
            assertEquals("no_auth", error.code)
            assertTrue("--auth-mode" in error.message!!)
        } finally {
            server.stop(0)
        }
    }
}
