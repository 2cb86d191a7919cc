package org.flyteauth.http

import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpHeaders
import java.net.http.HttpRequest
import java.net.http.HttpResponse
import java.util.Optional
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
