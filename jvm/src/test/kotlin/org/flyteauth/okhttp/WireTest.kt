package org.flyteauth.okhttp

import java.io.IOException
import java.net.InetAddress
import java.net.URI
import java.nio.file.Files
import java.util.concurrent.CompletableFuture
import java.util.concurrent.TimeUnit
import okhttp3.Cache
import okhttp3.OkHttpClient
import okhttp3.Request
import okhttp3.Response
import org.flyteauth.Session
import org.flyteauth.harness.OnSandbox
import org.flyteauth.http.Origin
import org.flyteauth.http.Serving
import org.flyteauth.http.answer
import org.flyteauth.http.answerForever
import org.flyteauth.http.machine
import org.flyteauth.http.soon
import org.flyteauth.http.unchanging
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.BeforeEach
import org.junit.jupiter.api.Test
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.ValueSource

/** OkHttp: caches, Host headers, two sessions, and connections that are free again. */
class WireTest : OnSandbox() {
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

    private fun request(url: String): Request = Request.Builder().url(url).build()

    private fun OkHttpClient.get(url: String): Response = newCall(request(url)).execute()

    private fun Response.text(): String = use { it.body.string() }

    @ParameterizedTest
    @ValueSource(strings = ["authorization", "flyte-authorization"])
    fun `a cache writes no token to its disk, and keeps the answers of two sessions apart`(header: String) {
        val server = Serving {
            val token = it.requestHeaders.getFirst(header)!!
            it.answer(200, "for ${token.hashCode()}", "cache-control" to "max-age=600", "vary" to header)
        }
        val folder = Files.createTempDirectory("cache").toFile()
        server.use {
            Cache(folder, 1_000_000).use { cache ->
                val answers = List(2) {
                    sandbox.machine(header).use { session ->
                        val builder = OkHttpClient.Builder().cache(cache)
                        val client = FlyteAuthInterceptor(session, server.url).install(builder).build()
                        val token = session.tokenBlocking()!!.value
                        val answer = client.get(server.url)
                        val onTheWire = answer.networkResponse!!.request
                        assertFalse(token in "$onTheWire ${onTheWire.headers.toMultimap()}")
                        answer.text().also {
                            cache.flush()
                            val files = folder.walk().filter { it.isFile }.toList()
                            assertTrue(files.any { "for " in it.readText(Charsets.ISO_8859_1) }, "nothing was cached")
                            assertFalse(files.any { token in it.readText(Charsets.ISO_8859_1) }, "it has the token")
                        }
                    }
                }
                assertEquals(2, answers.toSet().size)
            }
        }
    }

    @Test
    fun `behind a shared entry the Host header counts`() {
        val client = FlyteAuthInterceptor(session, ours.url).install(OkHttpClient.Builder()).build()
        val other = request(ours.url).newBuilder().header("Host", "elsewhere.example").build()
        val refused = assertThrows(FlyteAuthIOException::class.java) { client.newCall(other).execute().close() }
        assertEquals("foreign_host", refused.error.code)
        assertEquals(0, ours.seen.size)
        val same = request(ours.url).newBuilder().header("Host", URI(ours.url).rawAuthority).build()
        client.newCall(same).execute().close()
        assertEquals(session.tokenBlocking()!!.headerValue, ours.seen.single().header("authorization"))
    }

    @Test
    fun `a host with an underscore is one`() {
        val port = URI(ours.url).port
        val client =
            FlyteAuthInterceptor(session, "http://flyte_admin:$port")
                .install(OkHttpClient.Builder().dns { listOf(InetAddress.getByName("127.0.0.1")) })
                .build()
        assertEquals("ok", client.get("http://FLYTE_admin:$port/").text())
        assertEquals(session.tokenBlocking()!!.headerValue, ours.seen.single().header("authorization"))
    }

    @Test
    fun `the halves of two sessions do not mix`() {
        Origin().use { theirs ->
            val first = FlyteAuthInterceptor(session, ours.url)
            val second = FlyteAuthInterceptor(sandbox.machine(), ours.url, theirs.url)
            val client = OkHttpClient.Builder().addInterceptor(first).addNetworkInterceptor(second).build()
            val half = assertThrows(FlyteAuthIOException::class.java) { client.get("${ours.url}/to?302=${theirs.url}") }
            assertEquals("interceptor_incomplete", half.error.code)
            assertTrue((ours.seen + theirs.seen).all { it.header("authorization") == null })
        }
    }

    @Test
    fun `a rejected answer's connection is free again, whatever comes of it`() {
        val client = FlyteAuthInterceptor(session, ours.url).install(OkHttpClient.Builder()).build()
        ours.rejects.set(1)
        client.get(ours.url).close()
        ours.rejects.set(1)
        sandbox.fault("503", 50, "/oauth2/token")
        assertThrows(FlyteAuthIOException::class.java) { client.get(ours.url) }
        assertEquals(client.connectionPool.connectionCount(), client.connectionPool.idleConnectionCount())
    }

    @Test
    fun `cancelling between two attempts sends no second one`() {
        session.tokenBlocking()
        ours.rejects.set(1)
        sandbox.fault("delay-1500", 1, "/oauth2/token")
        val before = sandbox.requestsTo("/oauth2/token")
        val client = FlyteAuthInterceptor(session, ours.url).install(OkHttpClient.Builder()).build()
        val call = client.newCall(request(ours.url))
        CompletableFuture.runAsync { sandbox.served("/oauth2/token", before + 1).also { call.cancel() } }
        assertThrows(IOException::class.java) { call.execute() }
        session.tokenBlocking()
        assertEquals(1, ours.seen.size)
        assertEquals(client.connectionPool.connectionCount(), client.connectionPool.idleConnectionCount())
    }

    @Test
    fun `answers are read as they come, rejections too`() {
        for (status in listOf(200, 401)) {
            val gone = CompletableFuture<Unit>()
            Serving { it.answerForever(status, gone) }.use { server ->
                sandbox.unchanging("constant-token").use { unchanging ->
                    val client = FlyteAuthInterceptor(unchanging, server.url).install(OkHttpClient.Builder()).build()
                    client.get(server.url).use {
                        assertEquals(status to "more and more", it.code to it.body.source().readUtf8Line())
                    }
                }
                gone.soon()
            }
        }
    }

    @Test
    fun `a program's own header of the name goes to no other host`() {
        Origin().use { theirs ->
            sandbox.machine("flyte-authorization").use { renamed ->
                val client = FlyteAuthInterceptor(renamed, ours.url).install(OkHttpClient.Builder()).build()
                val plain = request("${ours.url}/to?302=${theirs.url}")
                client.newCall(plain.newBuilder().header("Flyte-Authorization", "mine").build()).execute().close()
                assertNull(theirs.seen.single().header("flyte-authorization"))
                assertEquals(renamed.tokenBlocking()!!.headerValue, ours.seen.single().header("flyte-authorization"))
            }
        }
    }

    @Test
    fun `a call that takes too long while another token is waited for`() {
        session.tokenBlocking()
        ours.rejects.set(1)
        sandbox.fault("delay-5000", 1, "/oauth2/token")
        val builder = OkHttpClient.Builder().callTimeout(700, TimeUnit.MILLISECONDS)
        val begun = System.nanoTime()
        assertThrows(java.io.InterruptedIOException::class.java) {
            FlyteAuthInterceptor(session, ours.url).install(builder).build().get(ours.url)
        }
        assertTrue(System.nanoTime() - begun < 4_000_000_000)
        assertEquals(1, ours.seen.size)
    }
}
