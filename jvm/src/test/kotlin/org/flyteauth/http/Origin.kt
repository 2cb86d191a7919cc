package org.flyteauth.http

import com.sun.net.httpserver.HttpExchange
import com.sun.net.httpserver.HttpServer
import java.net.InetSocketAddress
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.Executors
import java.util.concurrent.atomic.AtomicInteger

/** What one request was. */
class Seen(val method: String, val path: String, val headers: Map<String, List<String>>, val body: String) {
    fun header(name: String): String? = headers.entries.firstOrNull { it.key.equals(name, ignoreCase = true) }?.value?.single()
}

/** A real web server of one origin; `/to?STATUS=URL` and `/loop` redirect, everything else answers `ok`. */
class Origin : AutoCloseable {
    val seen = CopyOnWriteArrayList<Seen>()

    /** The next requests, and how many, that are answered with 401. */
    val rejects = AtomicInteger()

    private val server = HttpServer.create(InetSocketAddress("127.0.0.1", 0), 0)

    init {
        server.executor = Executors.newCachedThreadPool()
        server.createContext("/", ::serve)
        server.start()
    }

    val url: String
        get() = "http://127.0.0.1:${server.address.port}"

    private fun serve(exchange: HttpExchange) {
        val body = exchange.requestBody.readBytes().decodeToString()
        val uri = exchange.requestURI
        seen += Seen(exchange.requestMethod, uri.path, exchange.requestHeaders.toMap(), body)
        val isRejected = rejects.getAndUpdate { if (it > 0) it - 1 else 0 } > 0
        when {
            isRejected -> answer(exchange, 401, "refused")
            uri.path == "/to" -> {
                val (status, to) = uri.query.split('=', limit = 2)
                exchange.responseHeaders.add("location", to)
                answer(exchange, status.toInt(), "elsewhere")
            }
            uri.path == "/loop" -> {
                exchange.responseHeaders.add("location", "/loop")
                answer(exchange, 302, "round")
            }
            uri.path == "/slow" -> Thread.sleep(3_000).also { answer(exchange, 200, "late") }
            else -> answer(exchange, 200, "ok $body".trim())
        }
    }

    private fun answer(exchange: HttpExchange, status: Int, text: String) {
        exchange.sendResponseHeaders(status, if (exchange.requestMethod == "HEAD") -1 else text.length.toLong())
        if (exchange.requestMethod != "HEAD") exchange.responseBody.use { it.write(text.toByteArray()) }
        exchange.close()
    }

    override fun close() {
        server.stop(0)
        (server.executor as java.util.concurrent.ExecutorService).shutdownNow()
    }
}
