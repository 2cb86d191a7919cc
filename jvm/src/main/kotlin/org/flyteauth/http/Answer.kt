package org.flyteauth.http

import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpHeaders
import java.net.http.HttpRequest
import java.net.http.HttpResponse
import java.nio.ByteBuffer
import java.util.Optional
import java.util.concurrent.Flow
import javax.net.ssl.SSLSession

/** [response] with its [body], to the request as its sender made it: without the token. */
internal class Answer<T>(
    private val response: HttpResponse<*>,
    private val request: HttpRequest,
    private val previous: HttpResponse<T>?,
    private val body: T,
) : HttpResponse<T> {
    override fun statusCode(): Int = response.statusCode()

    override fun request(): HttpRequest = request

    override fun previousResponse(): Optional<HttpResponse<T>> = Optional.ofNullable(previous)

    override fun headers(): HttpHeaders = response.headers()

    override fun body(): T = body

    override fun sslSession(): Optional<SSLSession> = response.sslSession()

    override fun uri(): URI = response.uri()

    override fun version(): HttpClient.Version = response.version()

    override fun toString(): String = "(${request.method()} ${uri()}) ${statusCode()}"
}

/** Bytes that have come already. */
internal class Replay(private val bytes: ByteArray) : Flow.Publisher<List<ByteBuffer>> {
    override fun subscribe(subscriber: Flow.Subscriber<in List<ByteBuffer>>) {
        subscriber.onSubscribe(
            object : Flow.Subscription {
                private var isOver = false

                override fun request(count: Long) {
                    if (isOver) return
                    isOver = true
                    if (bytes.isNotEmpty()) subscriber.onNext(listOf(ByteBuffer.wrap(bytes).asReadOnlyBuffer()))
                    subscriber.onComplete()
                }

                override fun cancel() {
                    isOver = true
                }
            }
        )
    }
}
