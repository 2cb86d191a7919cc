package org.flyteauth.http

import com.sun.net.httpserver.HttpExchange
import com.sun.net.httpserver.HttpServer
import java.io.InputStream
import java.net.InetSocketAddress
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpClient.Redirect
import java.net.http.HttpRequest
import java.net.http.HttpRequest.BodyPublishers
import java.net.http.HttpResponse.BodyHandlers
import java.nio.file.Files
import java.nio.file.Path
import java.security.KeyStore
import java.security.cert.CertificateFactory
import java.util.concurrent.CompletableFuture
import java.util.concurrent.ExecutorService
import java.util.concurrent.Executors
import java.util.concurrent.TimeUnit
import javax.net.ssl.SSLContext
import javax.net.ssl.TrustManagerFactory
import javax.net.ssl.X509TrustManager
import okhttp3.OkHttpClient
import okhttp3.Request
import okhttp3.RequestBody.Companion.toRequestBody
import org.flyteauth.Session
import org.flyteauth.SessionOptions
import org.flyteauth.harness.Sandbox
import org.flyteauth.okhttp.FlyteAuthIOException
import org.flyteauth.okhttp.FlyteAuthInterceptor

/** The two plug-ins, alike. */
enum class Clients {
    JDK {
        override fun made(session: Session, hosts: Array<String>, trust: X509TrustManager?): Sends {
            val builder = HttpClient.newBuilder()
            trust?.let { builder.sslContext(context(it)) }
            val client = FlyteHttpClient.of(session, builder, Redirect.ALWAYS, *hosts)
            return Sends { method, url, body ->
                val publisher = body?.let(BodyPublishers::ofString) ?: BodyPublishers.noBody()
                val request = HttpRequest.newBuilder(URI(url)).method(method, publisher).build()
                val answer = client.send(request, BodyHandlers.ofString())
                answer.statusCode() to answer.body()
            }
        }
    },
    OKHTTP {
        override fun made(session: Session, hosts: Array<String>, trust: X509TrustManager?): Sends {
            val builder = OkHttpClient.Builder()
            trust?.let { builder.sslSocketFactory(context(it).socketFactory, it) }
            val client = FlyteAuthInterceptor(session, *hosts).install(builder).build()
            return Sends { method, url, body ->
                val request = Request.Builder().url(url).method(method, body?.toRequestBody()).build()
                try {
                    client.newCall(request).execute().use { it.code to it.body.string() }
                } catch (error: FlyteAuthIOException) {
                    throw error.error
                }
            }
        }
    };

    abstract fun made(session: Session, hosts: Array<String>, trust: X509TrustManager? = null): Sends

    /** Status and text of an answer; an error of the session as itself. */
    fun interface Sends {
        fun send(method: String, url: String, body: String?): Pair<Int, String>

        fun get(url: String): Pair<Int, String> = send("GET", url, null)
    }
}

/** Trusts this file's certificates alone. */
fun trusting(pem: Path): X509TrustManager {
    val store = KeyStore.getInstance(KeyStore.getDefaultType()).apply { load(null) }
    val roots = Files.newInputStream(pem).use { CertificateFactory.getInstance("X.509").generateCertificates(it) }
    roots.forEachIndexed { index, root -> store.setCertificateEntry("$index", root) }
    val factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm()).apply { init(store) }
    return factory.trustManagers.single() as X509TrustManager
}

private fun context(trust: X509TrustManager): SSLContext =
    SSLContext.getInstance("TLS").apply { init(null, arrayOf(trust), null) }

/** The sandbox's machine client, whose token goes out under this name. */
fun Sandbox.machine(header: String): Session =
    configured("admin:\n  authorizationHeader: $header\n") {
        authType("ClientSecret").clientId("flytepropeller").clientSecret("foobar")
    }

/** A session whose token is the same after each rejection. */
fun Sandbox.unchanging(token: String): Session =
    configured("admin:\n  command: [echo, $token]\n") { authType("ExternalCommand") }

private fun Sandbox.configured(text: String, more: SessionOptions.() -> Unit): Session {
    val file = Files.createTempFile("flyte", ".yaml")
    Files.writeString(file, text)
    return Session.fromConfig(options().config(file).apply(more))
}

/** A real web server that answers as [serve] says, for what is unusual in an answer. */
class Serving(serve: (HttpExchange) -> Unit) : AutoCloseable {
    private val server = HttpServer.create(InetSocketAddress("127.0.0.1", 0), 0)

    init {
        server.executor = Executors.newCachedThreadPool()
        server.createContext("/") { exchange -> exchange.use { serve(it) } }
        server.start()
    }

    val url: String
        get() = "http://127.0.0.1:${server.address.port}"

    override fun close() {
        server.stop(0)
        (server.executor as ExecutorService).shutdownNow()
    }

    private fun HttpExchange.use(serve: (HttpExchange) -> Unit) =
        try {
            serve(this)
        } finally {
            close()
        }
}

fun HttpExchange.answer(status: Int, text: String, vararg headers: Pair<String, String>) {
    requestBody.use(InputStream::readBytes)
    headers.forEach { (name, value) -> responseHeaders.add(name, value) }
    sendResponseHeaders(status, text.length.toLong())
    responseBody.write(text.toByteArray())
}

/** An answer that goes on until its reader has gone; then [gone] is told. */
fun HttpExchange.answerForever(status: Int, gone: CompletableFuture<Unit>) {
    sendResponseHeaders(status, 0)
    try {
        while (true) {
            responseBody.write("more and more\n".toByteArray())
            responseBody.flush()
            Thread.sleep(2)
        }
    } catch (_: java.io.IOException) {
        gone.complete(Unit)
    }
}

fun <T> CompletableFuture<T>.soon(): T = get(20, TimeUnit.SECONDS)
