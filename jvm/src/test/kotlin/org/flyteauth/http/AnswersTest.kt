package org.flyteauth.http

import java.io.InputStream
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpClient.Redirect
import java.net.http.HttpRequest
import java.net.http.HttpRequest.BodyPublisher
import java.net.http.HttpRequest.BodyPublishers
import java.net.http.HttpResponse
import java.net.http.HttpResponse.BodyHandler
import java.net.http.HttpResponse.BodyHandlers
import java.net.http.HttpTimeoutException
import java.nio.ByteBuffer
import java.nio.file.Files
import java.time.Duration
import java.util.concurrent.CompletableFuture
import java.util.concurrent.ExecutionException
import java.util.concurrent.SubmissionPublisher
import java.util.concurrent.atomic.AtomicInteger
import org.flyteauth.ConfigException
import org.flyteauth.FlyteAuthException
import org.flyteauth.Session
import org.flyteauth.harness.OnSandbox
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.BeforeEach
import org.junit.jupiter.api.Test
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.CsvSource

/** `java.net.http`: bodies and their ends, deadlines, cancelling, and where a redirect leads. */
class AnswersTest : OnSandbox() {
    private lateinit var ours: Origin
    private lateinit var session: Session

    @BeforeEach
    fun open() {
        ours = Origin()
        session = sandbox.machine()
    }

    @AfterEach
    fun shut() {
        ours.close()
        session.close()
    }

    private fun client(url: String, session: Session = this.session) =
        FlyteHttpClient.of(session, HttpClient.newBuilder(), Redirect.NORMAL, url)

    private fun get(url: String): HttpRequest = HttpRequest.newBuilder(URI(url)).build()

    private fun <T> ask(
        url: String,
        handler: BodyHandler<T>,
        session: Session = this.session,
    ): CompletableFuture<HttpResponse<T>> = client(url, session).sendAsync(get(url), handler)

    @Test
    fun `a rejection without an end is left at once`() {
        val gone = CompletableFuture<Unit>()
        val count = AtomicInteger()
        val server = Serving {
            if (count.getAndIncrement() == 0) it.answerForever(401, gone) else it.answer(200, "ok")
        }
        server.use {
            assertEquals("ok", ask(server.url, BodyHandlers.ofString()).soon().body())
            gone.soon()
        }
    }

    @Test
    fun `a rejection without an end that counts is read as it comes`() {
        val gone = CompletableFuture<Unit>()
        Serving { it.answerForever(401, gone) }.use { server ->
            sandbox.unchanging("constant-token").use { unchanging ->
                val answer = ask(server.url, BodyHandlers.ofInputStream(), unchanging).soon()
                assertEquals(401, answer.statusCode())
                answer.body().use { assertEquals("more and more", it.bufferedReader().readLine()) }
            }
            gone.soon()
        }
    }

    @Test
    fun `a redirect without an end is left at once`() {
        val gone = CompletableFuture<Unit>()
        val server = Serving {
            if (it.requestURI.path == "/there") {
                it.answer(200, "ok")
            } else {
                it.responseHeaders.add("location", "/there")
                it.answerForever(302, gone)
            }
        }
        server.use {
            assertEquals("ok", ask(server.url, BodyHandlers.ofString()).soon().body())
            gone.soon()
        }
    }

    @Test
    fun `an empty rejection is an answer`() {
        Serving { it.sendResponseHeaders(401, -1) }.use { server ->
            sandbox.unchanging("constant-token").use { unchanging ->
                assertEquals("", ask(server.url, BodyHandlers.ofString(), unchanging).soon().body())
            }
        }
    }

    @Test
    fun `a long rejection that counts comes through whole`() {
        val text = "0123456789".repeat(100_000)
        Serving { it.answer(401, text) }.use { server ->
            sandbox.unchanging("constant-token").use { unchanging ->
                assertEquals(text, ask(server.url, BodyHandlers.ofString(), unchanging).soon().body())
            }
        }
    }

    @Test
    fun `an answer that goes on is read as it comes`() {
        val gone = CompletableFuture<Unit>()
        Serving { it.answerForever(200, gone) }.use { server ->
            val answer = ask(server.url, BodyHandlers.ofInputStream()).soon()
            answer.body().use { assertEquals("more and more", it.bufferedReader().readLine()) }
            gone.soon()
        }
    }

    @Test
    fun `the handler sees the answer that counts alone, and the answer knows those before it`() {
        ours.rejects.set(1)
        val handled = mutableListOf<Int>()
        val handler = BodyHandler { info ->
            handled += info.statusCode()
            HttpResponse.BodySubscribers.ofString(Charsets.UTF_8)
        }
        val answer = client(ours.url).send(get("${ours.url}/to?302=/home"), handler)
        assertEquals(listOf(200), handled)
        val first = answer.previousResponse().orElse(null)
        val before = generateSequence(first) { it.previousResponse().orElse(null) }.toList()
        assertEquals(listOf(302, 401), before.map { it.statusCode() })
        for (each in before + answer) {
            assertNull(each.body().takeIf { each !== answer })
            assertFalse(each.request().headers().map().containsKey("authorization"))
        }
    }

    @Test
    fun `bodies of a known length are sent again, others are not`() {
        val file = Files.writeString(Files.createTempFile("body", ""), "a file")
        val repeated =
            mapOf(
                "text" to BodyPublishers.ofString("text"),
                "bytes" to BodyPublishers.ofByteArray("bytes".toByteArray()),
                "a file" to BodyPublishers.ofFile(file),
                "both" to BodyPublishers.concat(BodyPublishers.ofString("bo"), BodyPublishers.ofString("th")),
            )
        for ((text, body) in repeated) assertEquals(listOf(text, text), posted(body).map { it.body })
        val stream = BodyPublishers.ofInputStream { "once".byteInputStream() as InputStream }
        val pieces = BodyPublishers.ofByteArrays(listOf("on".toByteArray(), "ce".toByteArray()))
        for (body in listOf(stream, pieces)) assertEquals(listOf("once"), posted(body).map { it.body })
        val published = SubmissionPublisher<ByteBuffer>()
        CompletableFuture.runAsync {
            while (published.numberOfSubscribers == 0) Thread.sleep(5)
            published.submit(ByteBuffer.wrap("once".toByteArray()))
            published.close()
        }
        assertEquals(listOf("once"), posted(BodyPublishers.fromPublisher(published)).map { it.body })
    }

    /** What came where the first request with this body is rejected; its own session, which tells of many of them. */
    private fun posted(body: BodyPublisher): List<Seen> {
        val from = ours.seen.size
        ours.rejects.set(1)
        sandbox.machine().use {
            val request = HttpRequest.newBuilder(URI(ours.url)).POST(body).build()
            client(ours.url, it).send(request, BodyHandlers.discarding())
        }
        ours.rejects.set(0)
        return ours.seen.drop(from)
    }

    @ParameterizedTest
    @CsvSource(
        delimiter = ' ',
        value =
            [
                "/a/b home /a/home",
                "/a/b ?q=1 /a/b?q=1",
                "'' home /home",
                "'' ?q=1 /?q=1",
                "/a/b ../home /home",
                "/a/b //127.0.0.1:{port}/home /home",
            ],
    )
    fun `where a redirect leads`(from: String, location: String, to: String) {
        val paths = mutableListOf<String>()
        val server = Serving {
            paths += it.requestURI.toString()
            if (paths.size == 1) it.answer(302, "", "location" to location.replace("{port}", "${it.localAddress.port}"))
            else it.answer(200, "ok")
        }
        server.use {
            assertEquals("ok", client(server.url).send(get(server.url + from), BodyHandlers.ofString()).body())
            assertEquals(to, paths.last())
        }
    }

    @Test
    fun `a redirect to no address is an answer`() {
        for (location in listOf("http://[", "/a b|{}", "http://", "mailto:a@b", "http://user name@h/")) {
            Serving { it.answer(302, "elsewhere", "location" to location) }.use { server ->
                val answer = client(server.url).send(get(server.url), BodyHandlers.ofString())
                assertEquals(302 to "elsewhere", answer.statusCode() to answer.body(), location)
            }
        }
    }

    @Test
    fun `a timeout beyond all clocks is none`() {
        val patient = HttpRequest.newBuilder(URI(ours.url)).timeout(Duration.ofSeconds(Long.MAX_VALUE)).build()
        assertEquals(200, client(ours.url).send(patient, BodyHandlers.ofString()).statusCode())
    }

    @ParameterizedTest
    @CsvSource("401", "302")
    fun `the timeout counts while the rest of an answer is waited for that nobody reads`(status: Int) {
        val server = Serving {
            it.responseHeaders.add("location", "/there")
            it.sendResponseHeaders(status, 10)
            it.responseBody.flush()
            Thread.sleep(20_000)
        }
        server.use {
            val brief = HttpRequest.newBuilder(URI(server.url)).timeout(Duration.ofSeconds(1)).build()
            val begun = System.nanoTime()
            assertThrows(HttpTimeoutException::class.java) { client(server.url).send(brief, BodyHandlers.ofString()) }
            assertTrue(System.nanoTime() - begun < 10_000_000_000)
        }
    }

    @Test
    fun `the timeout counts while another token is waited for`() {
        session.tokenBlocking()
        ours.rejects.set(1)
        sandbox.fault("delay-5000", 1, "/oauth2/token")
        val brief = HttpRequest.newBuilder(URI(ours.url)).timeout(Duration.ofMillis(700)).build()
        val begun = System.nanoTime()
        assertThrows(HttpTimeoutException::class.java) { client(ours.url).send(brief, BodyHandlers.ofString()) }
        assertTrue(System.nanoTime() - begun < 4_000_000_000)
        assertEquals(1, ours.seen.size)
    }

    @Test
    fun `cancelling closes the connection`() {
        val gone = CompletableFuture<Unit>()
        val begun = CompletableFuture<Unit>()
        val server = Serving {
            begun.complete(Unit)
            it.answerForever(200, gone)
        }
        server.use {
            val answer = ask(server.url, BodyHandlers.ofString())
            begun.soon()
            assertTrue(answer.cancel(true))
            gone.soon()
        }
    }

    @Test
    fun `cancelling between two attempts sends no second one`() {
        session.tokenBlocking()
        ours.rejects.set(1)
        sandbox.fault("delay-1500", 1, "/oauth2/token")
        val before = sandbox.requestsTo("/oauth2/token")
        val answer = ask(ours.url, BodyHandlers.ofString())
        sandbox.served("/oauth2/token", before + 1)
        assertTrue(answer.cancel(true))
        // The refresh goes on for others.
        assertEquals(200, client(ours.url).send(get("${ours.url}/others"), BodyHandlers.ofString()).statusCode())
        assertEquals(before + 1, sandbox.requestsTo("/oauth2/token"))
        Thread.sleep(300)
        assertEquals(listOf("", "/others"), ours.seen.map { it.path.removeSuffix("/") })
    }

    @Test
    fun `an interrupt ends the wait for a token, and nothing is sent`() {
        sandbox.fault("delay-2000", 1, "/oauth2/token")
        val before = sandbox.requestsTo("/oauth2/token")
        val thread = Thread.currentThread()
        CompletableFuture.runAsync { sandbox.served("/oauth2/token", before + 1).also { thread.interrupt() } }
        assertThrows(InterruptedException::class.java) { client(ours.url).send(get(ours.url), BodyHandlers.ofString()) }
        session.tokenBlocking()
        Thread.sleep(300)
        assertEquals(0, ours.seen.size)
    }

    @Test
    fun `a foreign host is the future's exception`() {
        val answer = client(ours.url).sendAsync(get("http://127.0.0.2:1/"), BodyHandlers.ofString())
        val error = assertThrows(ExecutionException::class.java) { answer.soon() }
        assertEquals("foreign_host", (error.cause as ConfigException).code)
    }

    @Test
    fun `what goes wrong with the second token is the future's exception as it is`() {
        session.tokenBlocking()
        ours.rejects.set(1)
        sandbox.fault("401", 5, "/oauth2/token")
        val timed = HttpRequest.newBuilder(URI(ours.url)).timeout(Duration.ofSeconds(20)).build()
        val answer = client(ours.url).sendAsync(timed, BodyHandlers.ofString())
        val error = assertThrows(ExecutionException::class.java) { answer.soon() }
        assertTrue(error.cause is FlyteAuthException, "${error.cause}")
        assertEquals(1, ours.seen.size)
    }
}
