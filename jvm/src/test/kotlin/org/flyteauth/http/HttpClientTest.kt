package org.flyteauth.http

import java.io.ByteArrayInputStream
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpClient.Redirect
import java.net.http.HttpRequest
import java.net.http.HttpRequest.BodyPublisher
import java.net.http.HttpRequest.BodyPublishers
import java.net.http.HttpResponse
import java.net.http.HttpResponse.BodyHandlers
import java.net.http.HttpTimeoutException
import java.time.Duration
import java.util.concurrent.CancellationException
import java.util.concurrent.ExecutionException
import java.util.concurrent.TimeUnit
import org.flyteauth.ConfigException
import org.flyteauth.LoginRequiredException
import org.flyteauth.Session
import org.flyteauth.harness.ALICE
import org.flyteauth.harness.Sandbox
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.BeforeAll
import org.junit.jupiter.api.BeforeEach
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestInstance
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.ValueSource

/** `java.net.http` with the sandbox's tokens, against real servers of several origins. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(60)
class HttpClientTest {
    private lateinit var sandbox: Sandbox
    private lateinit var ours: Origin
    private lateinit var theirs: Origin
    private lateinit var session: Session
    private lateinit var client: FlyteHttpClient

    @BeforeAll
    fun start() {
        sandbox = Sandbox.start("--auto-approve", ALICE)
    }

    @AfterAll
    fun stop() {
        sandbox.close()
    }

    @BeforeEach
    fun open() {
        ours = Origin()
        theirs = Origin()
        session = sandbox.machine()
        client = client(session)
    }

    @AfterEach
    fun shut() {
        ours.close()
        theirs.close()
        sandbox.clearFaults()
    }

    private fun client(session: Session, redirects: Redirect = Redirect.NORMAL) =
        FlyteHttpClient.of(session, HttpClient.newBuilder(), redirects, ours.url)

    private fun request(url: String): HttpRequest.Builder = HttpRequest.newBuilder(URI(url))

    private fun HttpClient.get(url: String): HttpResponse<String> = send(request(url).build(), BodyHandlers.ofString())

    private fun HttpClient.post(url: String, body: BodyPublisher): HttpResponse<String> =
        send(request(url).header("content-type", "text/plain").POST(body).build(), BodyHandlers.ofString())

    private fun Origin.bearer(): List<String?> = seen.map { it.header("authorization") }

    @Test
    fun `a request to the session's own origin has its token`() {
        assertEquals(200, client.get("${sandbox.http}/me").statusCode())
        val foreign = assertThrows(ConfigException::class.java) { client.get(theirs.url) }
        assertEquals("foreign_host", foreign.code)
        assertEquals(0, theirs.seen.size)
    }

    @Test
    fun `the token replaces the caller's, and the answer does not show it`() {
        val asked = request(ours.url).header("Authorization", "Bearer old").build()
        val answer = client.send(asked, BodyHandlers.ofString())
        assertEquals(listOf<String?>(session.tokenBlocking()!!.headerValue), ours.bearer())
        assertEquals(asked.headers(), answer.request().headers())
        assertEquals("ok", answer.body())
    }

    @Test
    fun `a rejected token is renewed once, with the body sent again`() {
        ours.rejects.set(1)
        val answer = client.post("${ours.url}/a", BodyPublishers.ofString("text"))
        assertEquals("ok text", answer.body())
        assertEquals(listOf("text", "text"), ours.seen.map { it.body })
        assertNotEquals(ours.bearer()[0], ours.bearer()[1])
    }

    @Test
    fun `a second rejection comes through with its body`() {
        ours.rejects.set(2)
        val answer = client.get(ours.url)
        assertEquals(401 to "refused", answer.statusCode() to answer.body())
        assertEquals(2, ours.seen.size)
    }

    @Test
    fun `a rejection for which there is no other token comes through with its body`() {
        session.tokenBlocking()
        ours.rejects.set(1)
        // The server refuses the client from now on.
        sandbox.fault("401", 5, "/oauth2/token")
        assertThrows(Exception::class.java) { client.get(ours.url) }
        assertEquals(1, ours.seen.size)
    }

    @Test
    fun `a body that can be read once is not sent again`() {
        ours.rejects.set(1)
        val stream = BodyPublishers.ofInputStream { ByteArrayInputStream("once".toByteArray()) }
        assertEquals(401, client.post(ours.url, stream).statusCode())
        assertEquals(1, ours.seen.size)
        // But its token is not served again.
        client.get(ours.url)
        assertNotEquals(ours.bearer()[0], ours.bearer()[1])
    }

    @ParameterizedTest
    @ValueSource(ints = [301, 302, 303, 307, 308])
    fun `a redirect takes the token to our hosts and to no others`(status: Int) {
        client.post("${ours.url}/to?$status=${theirs.url}/there", BodyPublishers.ofString("text"))
        val there = theirs.seen.single()
        assertNull(there.header("authorization"))
        val keeps = status >= 307
        assertEquals(if (keeps) "POST" to "text" else "GET" to "", there.method to there.body)
        assertEquals(keeps, there.header("content-type") != null)
        val answer = client.get("${ours.url}/to?$status=/home")
        assertEquals("/home", ours.seen.last().path)
        assertEquals(session.tokenBlocking()!!.headerValue, ours.seen.last().header("authorization"))
        assertEquals(status, answer.previousResponse().get().statusCode())
    }

    @Test
    fun `what the caller has for our host does not go to others`() {
        val asked = request("${ours.url}/to?307=${theirs.url}").header("cookie", "a=b").header("x-mine", "1").build()
        client.send(asked, BodyHandlers.ofString())
        assertEquals(null to "1", theirs.seen.single().run { header("cookie") to header("x-mine") })
    }

    @Test
    fun `redirects as the policy says`() {
        assertEquals(302, client(session, Redirect.NEVER).get("${ours.url}/to?302=/home").statusCode())
        // Round and round: the last answer comes out.
        val last = client.get("${ours.url}/loop")
        assertEquals(302 to "round", last.statusCode() to last.body())
        assertEquals(1 + 21, ours.seen.size)
    }

    @Test
    fun `a redirect to no web address comes through`() {
        assertEquals(302, client.get("${ours.url}/to?302=ftp://flyte.example/").statusCode())
    }

    @Test
    fun `without a blocked thread, and many at once share a request`() {
        val before = sandbox.requestsTo("/oauth2/token")
        sandbox.fault("delay-500", 1, "/oauth2/token")
        val answers = List(50) { client.sendAsync(request("${ours.url}/$it").build(), BodyHandlers.ofString()) }
        answers.forEach { assertEquals(200, it.get(20, TimeUnit.SECONDS).statusCode()) }
        assertEquals(before + 1, sandbox.requestsTo("/oauth2/token"))
    }

    @Test
    fun `the timeout counts while a token is waited for`() {
        sandbox.fault("delay-3000", 1, "/oauth2/token")
        val brief = request(ours.url).timeout(Duration.ofMillis(300)).build()
        assertThrows(HttpTimeoutException::class.java) { client.send(brief, BodyHandlers.ofString()) }
        assertEquals(0, ours.seen.size)
        session.tokenBlocking()
        val slow = request("${ours.url}/slow").timeout(Duration.ofMillis(300)).build()
        assertThrows(HttpTimeoutException::class.java) { client.send(slow, BodyHandlers.ofString()) }
    }

    @Test
    fun `cancelling ends the request, and an interrupt does`() {
        val answer = client.sendAsync(request("${ours.url}/slow").build(), BodyHandlers.ofString())
        assertTrue(answer.cancel(true))
        assertThrows(CancellationException::class.java) { answer.get() }
        val thread = Thread.currentThread()
        val timer = Thread { Thread.sleep(300).also { thread.interrupt() } }.apply { start() }
        assertThrows(InterruptedException::class.java) { client.get("${ours.url}/slow") }
        timer.join()
    }

    @Test
    fun `what goes wrong with the session comes out as it is`() {
        val nobody = client(Session.fromConfig(sandbox.options()))
        assertThrows(LoginRequiredException::class.java) { nobody.get(ours.url) }
        val answer = nobody.sendAsync(request(ours.url).build(), BodyHandlers.ofString())
        assertTrue(assertThrows(ExecutionException::class.java) { answer.get() }.cause is LoginRequiredException)
        assertThrows(java.net.ConnectException::class.java) {
            FlyteHttpClient.of(session, HttpClient.newBuilder(), Redirect.NORMAL, "http://127.0.0.1:9").get("http://127.0.0.1:9")
        }
    }

    @Test
    fun `hosts that are none are named, addresses of another kind refused`() {
        for (wrong in listOf("", "flyte.example", "https://flyte.example/path", "https://u:pw@flyte.example", "ftp://flyte.example")) {
            val error =
                assertThrows(ConfigException::class.java) {
                    FlyteHttpClient.of(session, HttpClient.newBuilder(), Redirect.NORMAL, wrong)
                }
            assertEquals("endpoint_invalid" to "hosts", error.code to error.setting)
            assertFalse("pw" in error.message!!)
        }
        val secure = FlyteHttpClient.of(session, HttpClient.newBuilder(), Redirect.NORMAL, "https://flyte.example:443")
        val plain = assertThrows(ConfigException::class.java) { secure.get("http://flyte.example:443/") }
        assertTrue(plain.code in listOf("plaintext_refused", "foreign_host"))
        assertEquals("plaintext_refused", assertThrows(ConfigException::class.java) { secure.get("http://FLYTE.example") }.code)
        val named = assertThrows(ConfigException::class.java) { client.get(ours.url.replace("//", "//user:pw@")) }
        assertEquals("foreign_host", named.code)
        assertFalse("pw" in named.message!!)
    }

    @Test
    fun `it is a client like any other`() {
        assertEquals(Redirect.NORMAL, client.followRedirects())
        assertTrue(client.version() == HttpClient.Version.HTTP_2 && client.sslContext() != null)
        assertFalse(session.tokenBlocking()!!.value in "$client")
    }
}
