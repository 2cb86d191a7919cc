package org.flyteauth.http

import java.util.concurrent.CompletableFuture
import java.util.concurrent.Executors
import org.flyteauth.ConfigException
import org.flyteauth.Session
import org.flyteauth.SessionOptions
import org.flyteauth.harness.OnSandbox
import org.flyteauth.harness.Sandbox
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.BeforeEach
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.Arguments
import org.junit.jupiter.params.provider.Arguments.arguments
import org.junit.jupiter.params.provider.EnumSource
import org.junit.jupiter.params.provider.MethodSource

private const val RENAMED = "flyte-authorization"

/** What both plug-ins do alike, whatever the server calls the header. */
class OriginsTest : OnSandbox() {
    private lateinit var ours: Origin
    private lateinit var theirs: Origin

    @BeforeEach
    fun open() {
        ours = Origin()
        theirs = Origin()
    }

    @AfterEach
    fun shut() {
        ours.close()
        theirs.close()
    }

    private fun ways(): List<Arguments> =
        Clients.entries.flatMap { client -> listOf("authorization", RENAMED).map { arguments(client, it) } }

    private fun redirects(): List<Arguments> =
        ways().flatMap { way -> listOf(301, 302, 303, 307, 308).map { arguments(*way.get(), it) } }

    private fun tokens(origin: Origin, header: String): List<String?> = origin.seen.map { it.header(header) }

    @ParameterizedTest
    @MethodSource("redirects")
    fun `a redirect takes the token to our hosts and to no others`(kind: Clients, header: String, status: Int) {
        sandbox.machine(header).use { session ->
            val client = kind.made(session, arrayOf(ours.url))
            client.send("POST", "${ours.url}/to?$status=${theirs.url}/there", "text")
            assertEquals(listOf<String?>(null), tokens(theirs, header))
            client.get("${ours.url}/to?$status=/home")
            // And from elsewhere back to us.
            client.get("${ours.url}/to?$status=${theirs.url}/to?$status=${ours.url}/back")
            assertEquals(listOf("/to", "/to", "/home", "/to", "/back"), ours.seen.map { it.path })
            val token = session.tokenBlocking()!!
            assertEquals(List(5) { token.headerValue }, tokens(ours, header))
            assertEquals(listOf(null, null), tokens(theirs, header))
            assertFalse(theirs.seen.any { seen -> seen.headers.values.flatten().any { token.value in it } })
        }
    }

    @ParameterizedTest
    @MethodSource("ways")
    fun `the header is there once, in place of the program's own`(kind: Clients, header: String) {
        sandbox.machine(header).use { session ->
            ours.rejects.set(1)
            assertEquals(200 to "ok", kind.made(session, arrayOf(ours.url)).get(ours.url))
            val (first, second) = tokens(ours, header)
            assertNotEquals(first, second)
            assertEquals(session.tokenBlocking()!!.headerValue, second)
            val other = if (header == RENAMED) "authorization" else RENAMED
            assertEquals(listOf(null, null), tokens(ours, other))
        }
    }

    @ParameterizedTest
    @EnumSource(Clients::class)
    fun `another host's 401 is its own affair`(kind: Clients) {
        sandbox.machine().use { session ->
            val client = kind.made(session, arrayOf(ours.url))
            val token = session.tokenBlocking()
            theirs.rejects.set(1)
            assertEquals(401 to "refused", client.get("${ours.url}/to?302=${theirs.url}/there"))
            assertEquals(1, theirs.seen.size)
            assertEquals(token, session.tryToken())
        }
    }

    @ParameterizedTest
    @EnumSource(Clients::class)
    fun `where a redirect led, a rejected token is renewed`(kind: Clients) {
        sandbox.machine().use { session ->
            val client = kind.made(session, arrayOf(ours.url, theirs.url))
            theirs.rejects.set(1)
            assertEquals(200 to "ok text", client.send("POST", "${ours.url}/to?307=${theirs.url}/there", "text"))
            val (first, second) = tokens(theirs, "authorization").takeLast(2)
            assertNotEquals(first, second)
            assertEquals(session.tokenBlocking()!!.headerValue, second)
        }
    }

    @ParameterizedTest
    @EnumSource(Clients::class)
    fun `forbidden is an answer`(kind: Clients) {
        val seen = java.util.concurrent.atomic.AtomicInteger()
        val server = Serving { seen.incrementAndGet().also { _ -> it.answer(403, "no") } }
        server.use {
            sandbox.machine().use { session ->
                val token = session.tokenBlocking()
                assertEquals(403 to "no", kind.made(session, arrayOf(server.url)).get(server.url))
                assertEquals(1 to token, seen.get() to session.tryToken())
            }
        }
    }

    @ParameterizedTest
    @EnumSource(Clients::class)
    fun `an endpoint without auth gets the request as it is`(kind: Clients) {
        Session.fromConfig(SessionOptions().endpoint(ours.url).authType("none").store("memory")).use { session ->
            ours.rejects.set(1)
            assertEquals(401 to "refused", kind.made(session, emptyArray()).get(ours.url))
            assertNull(ours.seen.single().header("authorization"))
        }
    }

    @ParameterizedTest
    @EnumSource(Clients::class)
    fun `a token that stays the same is not sent again, and the 401 comes through whole`(kind: Clients) {
        sandbox.unchanging("constant-token").use { session ->
            ours.rejects.set(5)
            assertEquals(401 to "refused", kind.made(session, arrayOf(ours.url)).get(ours.url))
            assertEquals(listOf<String?>("Bearer constant-token"), tokens(ours, "authorization"))
        }
    }

    @ParameterizedTest
    @EnumSource(Clients::class)
    fun `many rejections at once cost one token`(kind: Clients) {
        sandbox.machine().use { session ->
            val revoked = session.tokenBlocking()!!.headerValue
            val server = Serving {
                val isOld = it.requestHeaders.getFirst("Authorization") == revoked
                it.answer(if (isOld) 401 else 200, "answer")
            }
            server.use {
                val client = kind.made(session, arrayOf(server.url))
                val before = sandbox.requestsTo("/oauth2/token")
                sandbox.fault("delay-300", 1, "/oauth2/token")
                val threads = Executors.newFixedThreadPool(40)
                val answers = List(40) { CompletableFuture.supplyAsync({ client.get(server.url).first }, threads) }
                assertEquals(List(40) { 200 }, answers.map { it.soon() })
                threads.shutdown()
                assertEquals(before + 1, sandbox.requestsTo("/oauth2/token"))
            }
        }
    }

    @ParameterizedTest
    @EnumSource(Clients::class)
    fun `no error shows a secret`(kind: Clients) {
        sandbox.machine().use { session ->
            val token = session.tokenBlocking()!!.value
            val client = kind.made(session, arrayOf(ours.url, "http://127.0.0.1:9"))
            val addresses =
                listOf(theirs.url, "http://127.0.0.1:9", ours.url.replace("//", "//user:hunter2@")) +
                    "${ours.url}/to?302=http://127.0.0.1:9/"
            for (address in addresses) {
                val thrown = assertThrows(Exception::class.java) { client.get(address) }
                val text = thrown.stackTraceToString()
                assertFalse(token in text || "hunter2" in text || "foobar" in text, text)
            }
        }
    }

    @ParameterizedTest
    @EnumSource(Clients::class)
    fun `TLS with the sandbox's own root, and nothing without it`(kind: Clients) {
        Sandbox.start("--tls").use { sandbox ->
            sandbox.machine().use { session ->
                val client = kind.made(session, emptyArray(), trusting(sandbox.caCert!!))
                assertEquals(200, client.get("${sandbox.https}/me").first)
                val old = session.tokenBlocking()
                sandbox.clock(3600)
                assertEquals(200, client.get("${sandbox.https}/me").first)
                assertNotEquals(old, session.tokenBlocking())
                val before = sandbox.requestsTo("/me")
                for (plain in listOf(sandbox.https!!.replace("https:", "http:"), sandbox.http)) {
                    val refused = assertThrows(ConfigException::class.java) { client.get("$plain/me") }
                    assertEquals(if (plain == sandbox.http) "foreign_host" else "plaintext_refused", refused.code)
                }
                val trustsNobody = kind.made(session, emptyArray())
                assertThrows(java.io.IOException::class.java) { trustsNobody.get("${sandbox.https}/me") }
                assertEquals(before, sandbox.requestsTo("/me"))
            }
        }
    }
}
