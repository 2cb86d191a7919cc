package org.flyteauth.okhttp

import java.io.IOException
import java.io.InterruptedIOException
import java.util.concurrent.CompletableFuture
import java.util.concurrent.TimeUnit
import okhttp3.Call
import okhttp3.Callback
import okhttp3.MediaType.Companion.toMediaType
import okhttp3.OkHttpClient
import okhttp3.Request
import okhttp3.RequestBody
import okhttp3.RequestBody.Companion.toRequestBody
import okhttp3.Response
import okio.BufferedSink
import org.flyteauth.LoginRequiredException
import org.flyteauth.Session
import org.flyteauth.harness.ALICE
import org.flyteauth.harness.Sandbox
import org.flyteauth.http.Origin
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

/** OkHttp with the sandbox's tokens, against real servers of several origins. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(60)
class OkHttpTest {
    private lateinit var sandbox: Sandbox
    private lateinit var ours: Origin
    private lateinit var theirs: Origin
    private lateinit var session: Session
    private lateinit var client: OkHttpClient

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

    private fun client(of: Session) = FlyteAuthInterceptor(of, ours.url).install(OkHttpClient.Builder()).build()

    private fun request(url: String): Request.Builder = Request.Builder().url(url)

    private fun OkHttpClient.ask(request: Request): Pair<Int, String> =
        newCall(request).execute().use { it.code to it.body.string() }

    private fun OkHttpClient.get(url: String): Pair<Int, String> = ask(request(url).build())

    private fun post(url: String): Request = request(url).post("text".toRequestBody("text/plain".toMediaType())).build()

    private fun failure(call: () -> Any?): FlyteAuthIOException =
        assertThrows(FlyteAuthIOException::class.java) { call() }

    @Test
    fun `a request to the session's own origin has its token, one elsewhere is not made`() {
        assertEquals(200, client.get("${sandbox.http}/me").first)
        assertEquals("foreign_host", failure { client.get(theirs.url) }.error.code)
        assertEquals(0, theirs.seen.size)
    }

    @Test
    fun `the token replaces the caller's`() {
        client.ask(request(ours.url).header("Authorization", "Bearer old").build())
        assertEquals(session.tokenBlocking()!!.headerValue, ours.seen.single().header("authorization"))
    }

    @Test
    fun `a rejected token is renewed once, with the body sent again`() {
        ours.rejects.set(1)
        assertEquals(200 to "ok text", client.ask(post(ours.url)))
        assertEquals(listOf("text", "text"), ours.seen.map { it.body })
        assertNotEquals(ours.seen[0].header("authorization"), ours.seen[1].header("authorization"))
    }

    @Test
    fun `a second rejection comes through`() {
        ours.rejects.set(2)
        assertEquals(401 to "refused", client.ask(post(ours.url)))
        assertEquals(2, ours.seen.size)
        // A third would be told by the session, which has seen two fresh tokens rejected.
        ours.rejects.set(1)
        assertEquals("fresh_token_rejected", failure { client.get(ours.url) }.error.code)
    }

    @Test
    fun `a body that can be written once is not sent again`() {
        ours.rejects.set(1)
        val once =
            object : RequestBody() {
                override fun contentType() = "text/plain".toMediaType()

                override fun isOneShot() = true

                override fun writeTo(sink: BufferedSink) {
                    sink.writeUtf8("once")
                }
            }
        assertEquals(401, client.ask(request(ours.url).post(once).build()).first)
        assertEquals(1, ours.seen.size)
    }

    @ParameterizedTest
    @ValueSource(ints = [301, 302, 303, 307, 308])
    fun `a redirect takes the token to our hosts and to no others`(status: Int) {
        client.ask(post("${ours.url}/to?$status=${theirs.url}/there"))
        assertNull(theirs.seen.single().header("authorization"))
        assertEquals(200 to "ok", client.get("${ours.url}/to?$status=/home"))
        assertEquals(session.tokenBlocking()!!.headerValue, ours.seen.last().header("authorization"))
        // And from elsewhere back to us.
        client.get("${ours.url}/to?$status=${theirs.url}/to?302=${ours.url}/back")
        assertEquals(session.tokenBlocking()!!.headerValue, ours.seen.last().header("authorization"))
        assertTrue(theirs.seen.all { it.header("authorization") == null })
    }

    @Test
    fun `half of it sends nothing and says what is missing`() {
        val half = OkHttpClient.Builder().addInterceptor(FlyteAuthInterceptor(session, ours.url)).build()
        assertEquals("interceptor_incomplete", failure { half.get(ours.url) }.error.code)
        assertNull(ours.seen.single().header("authorization"))
        // The network's half alone does nothing at all.
        val other = OkHttpClient.Builder().addNetworkInterceptor(FlyteAuthInterceptor(session, ours.url)).build()
        other.get(theirs.url)
        assertNull(theirs.seen.single().header("authorization"))
    }

    @Test
    fun `callbacks are told what went wrong, and OkHttp lives on`() {
        val nobody = client(Session.fromConfig(sandbox.options()))
        val told = CompletableFuture<IOException>()
        nobody.newCall(request(ours.url).build()).enqueue(
            object : Callback {
                override fun onFailure(call: Call, e: IOException) {
                    told.complete(e)
                }

                override fun onResponse(call: Call, response: Response) = response.close()
            }
        )
        val error = (told.get(20, TimeUnit.SECONDS) as FlyteAuthIOException).error
        assertTrue(error is LoginRequiredException)
        assertEquals(0, ours.seen.size)
    }

    @Test
    fun `the call's timeout and its cancelling end the wait for a token`() {
        sandbox.fault("delay-3000", 2, "/oauth2/token")
        val brief = client.newBuilder().callTimeout(300, TimeUnit.MILLISECONDS).build()
        val begun = System.nanoTime()
        assertThrows(InterruptedIOException::class.java) { brief.get(ours.url) }
        assertTrue(System.nanoTime() - begun < 2_000_000_000)
        val call = client.newCall(request(ours.url).build())
        Thread { Thread.sleep(200).also { call.cancel() } }.start()
        assertThrows(IOException::class.java) { call.execute() }
        assertEquals(0, ours.seen.size)
    }

    @Test
    fun `many at once share a request`() {
        val before = sandbox.requestsTo("/oauth2/token")
        sandbox.fault("delay-500", 1, "/oauth2/token")
        val answers = List(32) { index -> CompletableFuture.supplyAsync({ client.get("${ours.url}/$index").first }, { Thread(it).start() }) }
        answers.forEach { assertEquals(200, it.get(20, TimeUnit.SECONDS)) }
        assertEquals(before + 1, sandbox.requestsTo("/oauth2/token"))
    }

    @Test
    fun `nothing that is printed shows the token`() {
        client.newCall(request(ours.url).build()).execute().use { response ->
            val token = session.tokenBlocking()!!.value
            assertFalse(token in "$response" || token in "${response.request}" || token in "${response.request.headers}")
        }
    }
}
