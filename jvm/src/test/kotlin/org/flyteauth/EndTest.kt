package org.flyteauth

import java.nio.file.Path
import java.time.Duration
import org.flyteauth.harness.ALICE
import org.flyteauth.harness.Program
import org.flyteauth.harness.Sandbox
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.BeforeAll
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestInstance
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.ValueSource

/** `HTTP WAY`: what a program of a user does, and how it ends. */
object Ends {
    @JvmStatic
    fun main(arguments: Array<String>) {
        val (http, way) = arguments
        val alice = Session.forEndpoint(http)
        val machine = { Session.forEndpoint(http, SessionOptions().store("memory").clientId("flytepropeller").clientSecret("foobar")) }
        when (way) {
            "sign in" ->
                alice.beginLoginBlocking(LoginOptions().flow("pkce").noBrowser(true))!!.use { login ->
                    val finished = login.finishAsync()
                    java.net.URI(login.url).toURL().readText()
                    finished.get()
                }
            "token" -> println(alice.tokenBlocking()!!.headerName)
            "machine" -> println(machine().tokenBlocking()!!.headerName)
            "begun login" -> alice.beginLoginBlocking(LoginOptions().flow("pkce").noBrowser(true))!!.finishAsync()
            else -> {
                alice.tokenAsync()
                // Until the test has seen the request.
                readln()
                when (way) {
                    "exit" -> System.exit(0)
                    "uncaught" -> error("a bug")
                    "return" -> return
                    "signal" -> Thread.sleep(60_000)
                }
            }
        }
    }
}

/** How JVMs end: nobody hangs, no session is lost. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class EndTest {
    private lateinit var sandbox: Sandbox
    private val home: Path = Program.emptyHome()

    @BeforeAll
    fun start() {
        sandbox = Sandbox.start("--auto-approve", ALICE, "--rotate-refresh-tokens", "--access-token-lifetime", "2")
    }

    @AfterAll
    fun stop() {
        sandbox.close()
    }

    private fun program(way: String) = Program(Ends::class.java.name, sandbox.http, way, home = home)

    @Test
    fun `a program ends by itself after a token`() {
        val ended = program("machine").finish().well()
        assertEquals("authorization\n", ended.stdout)
        assertTrue(ended.took < Duration.ofSeconds(10), "${ended.took}")
    }

    @Test
    fun `a login that nobody finished holds nothing up`() {
        val ended = program("begun login").finish().well()
        assertTrue(ended.took < Duration.ofSeconds(10), "${ended.took}")
    }

    @ParameterizedTest
    @ValueSource(strings = ["exit", "uncaught", "return", "signal"])
    fun `a refresh under way arrives before the end`(way: String) {
        program("sign in").finish().well()
        Thread.sleep(2_100)
        val before = sandbox.requestsTo("/oauth2/token")
        sandbox.fault("delay-1000", 1, "/oauth2/token")
        val program = program(way)
        sandbox.served("/oauth2/token", before + 1)
        if (way == "signal") program.process.toHandle().destroy() else program.tell("end")
        val ended = program.finish()
        assertTrue(ended.took < Duration.ofSeconds(15), "${ended.took}")
        // The server has replaced the refresh token: whoever has only the old one would need a login.
        assertEquals("authorization\n", program("token").finish().well().stdout)
    }
}
