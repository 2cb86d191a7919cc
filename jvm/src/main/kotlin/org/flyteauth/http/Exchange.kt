package org.flyteauth.http

import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpClient.Redirect
import java.net.http.HttpRequest
import java.net.http.HttpRequest.BodyPublishers
import java.net.http.HttpResponse
import java.net.http.HttpResponse.BodyHandler
import java.net.http.HttpResponse.BodySubscribers
import java.net.http.HttpResponse.PushPromiseHandler
import java.net.http.HttpResponse.ResponseInfo
import java.net.http.HttpTimeoutException
import java.time.Duration
import java.util.concurrent.CompletableFuture
import java.util.concurrent.CompletionException
import java.util.concurrent.TimeUnit
import java.util.concurrent.TimeoutException
import org.flyteauth.Session
import org.flyteauth.Token
import org.flyteauth.internal.Hosts
import org.flyteauth.internal.origin

/** As browsers and Node follow (Fetch standard, "HTTP-redirect fetch"). */
private const val MOST_REDIRECTS = 20
private val REDIRECTS = setOf(301, 302, 303, 307, 308)

/** Gone with the body that they describe. */
private val OF_THE_BODY =
    setOf("content-encoding", "content-language", "content-length", "content-location", "content-type")

/** Not for another origin. */
private val OF_THE_ORIGIN = setOf("authorization", "cookie", "host", "proxy-authorization")

/** One request, until its caller has the answer. */
internal class Exchange<T>(
    private val session: Session,
    private val hosts: Hosts,
    private val client: HttpClient,
    private val policy: Redirect,
    private val handler: BodyHandler<T>,
    private val pushes: PushPromiseHandler<T>?,
) {
    private val result = CompletableFuture<HttpResponse<T>>()

    /** What is waited for now: a token or an answer. */
    @Volatile private var current: CompletableFuture<*>? = null

    private var until: Long? = null
    private var redirects = 0
    private var refreshed = false
    private var previous: HttpResponse<T>? = null

    fun begin(request: HttpRequest): CompletableFuture<HttpResponse<T>> {
        hosts.check(request.uri())
        until = request.timeout().map { System.nanoTime() + it.toNanos() }.orElse(null)
        result.whenComplete { _, _ -> if (result.isCancelled) current?.cancel(true) }
        val known = session.tryToken()
        if (known != null) send(request, known) else await { send(request, it) }
        return result
    }

    private fun await(then: (Token?) -> Unit) {
        val left = left()
        val tokens = session.tokenAsync().let { if (left == null) it else it.orTimeout(left, TimeUnit.NANOSECONDS) }
        next(tokens) { token, failure ->
            if (failure == null) then(token) else fail(if (failure is TimeoutException) late() else failure)
        }
    }

    private fun late() = HttpTimeoutException("the request timed out before there was a token")

    private fun fail(failure: Throwable) {
        result.completeExceptionally(failure)
    }

    /** Nanoseconds until the request's deadline. */
    private fun left(): Long? = until?.let { (it - System.nanoTime()).coerceAtLeast(1) }

    private fun <V> next(future: CompletableFuture<V>, then: (V, Throwable?) -> Unit) {
        current = future
        if (result.isCancelled) future.cancel(true)
        future.whenComplete { value, failure ->
            try {
                then(value, (failure as? CompletionException)?.cause ?: failure)
            } catch (error: Throwable) {
                fail(error)
            }
        }
    }

    private fun send(request: HttpRequest, token: Token?) {
        val sent = token?.takeIf { hosts.allow(request.uri()) }
        // In place of what the request had under its name.
        val builder = HttpRequest.newBuilder(request) { name, _ -> !name.equals(sent?.headerName, ignoreCase = true) }
        sent?.let { builder.header(it.headerName, it.headerValue) }
        left()?.let { builder.timeout(Duration.ofNanos(it)) }
        val receiving = BodyHandler { info -> receive(request, sent, info) }
        val answer =
            if (pushes == null) client.sendAsync(builder.build(), receiving)
            else client.sendAsync(builder.build(), receiving, pushing(pushes))
        next(answer) { response, failure ->
            if (failure != null) fail(failure) else answered(request, token, response)
        }
    }

    /** What became of an answer's body. */
    private sealed class Body<out T> {
        class Counts<T>(val value: T) : Body<T>()

        class Rejection(val token: Token, val info: ResponseInfo, val bytes: ByteArray) : Body<Nothing>()

        class Elsewhere(val to: URI) : Body<Nothing>()
    }

    private fun receive(
        request: HttpRequest,
        sent: Token?,
        info: ResponseInfo,
    ): HttpResponse.BodySubscriber<Body<T>> {
        if (info.statusCode() == 401 && sent != null) {
            session.invalidate(sent)
            // Kept for the case that there is no other token.
            if (!refreshed && canRepeat(request)) {
                return BodySubscribers.mapping(BodySubscribers.ofByteArray()) { Body.Rejection(sent, info, it) }
            }
        }
        val to = redirect(request, info)
        if (to != null) return BodySubscribers.replacing(Body.Elsewhere(to))
        return BodySubscribers.mapping(handler.apply(info)) { Body.Counts(it) }
    }

    private fun answered(request: HttpRequest, token: Token?, response: HttpResponse<Body<T>>) {
        when (val body = response.body()) {
            is Body.Counts -> result.complete(Answer(response, request, previous, body.value))
            is Body.Elsewhere -> {
                @Suppress("UNCHECKED_CAST") // As the JDK's own client: what led elsewhere has no body.
                previous = Answer(response, request, previous, null as T)
                redirects += 1
                send(redirected(request, response.statusCode(), body.to, token), token)
            }
            is Body.Rejection -> {
                refreshed = true
                await { another ->
                    if (another != null && another.headerValue != body.token.headerValue) send(request, another)
                    else replay(request, response, body)
                }
            }
        }
    }

    /** Gives a rejection to the caller after all: asking again would bring the same one. */
    private fun replay(request: HttpRequest, response: HttpResponse<*>, rejection: Body.Rejection) {
        val subscriber = handler.apply(rejection.info)
        Replay(rejection.bytes).subscribe(subscriber)
        next(subscriber.body.toCompletableFuture()) { value, failure ->
            if (failure != null) fail(failure) else result.complete(Answer(response, request, previous, value))
        }
    }

    private fun pushing(pushes: PushPromiseHandler<T>): PushPromiseHandler<Body<T>> =
        PushPromiseHandler { initiating, pushed, acceptor ->
            pushes.applyPushPromise(initiating, pushed) { handler ->
                val counts: (T) -> Body<T> = { Body.Counts(it) }
                val mapped = BodyHandler { info -> BodySubscribers.mapping(handler.apply(info), counts) }
                acceptor.apply(mapped).thenApply { Answer(it, pushed, null, (it.body() as Body.Counts<T>).value) }
            }
        }

    /** Where an answer leads, if it is followed there. */
    private fun redirect(request: HttpRequest, info: ResponseInfo): URI? {
        val location = info.headers().firstValue("location").orElse(null)
        if (policy == Redirect.NEVER || info.statusCode() !in REDIRECTS || location == null) return null
        val to = request.uri().resolve(location)
        val isWeb = to.host != null && (to.scheme.equals("https", true) || to.scheme.equals("http", true))
        val weakens = request.uri().scheme.equals("https", true) && !to.scheme.equals("https", true)
        if (!isWeb || (weakens && policy == Redirect.NORMAL) || redirects >= MOST_REDIRECTS) return null
        return to.takeIf { becomesGet(request, info.statusCode()) || canRepeat(request) }
    }

    private fun redirected(request: HttpRequest, status: Int, to: URI, token: Token?): HttpRequest {
        val isElsewhere = origin(request.uri()) != origin(to)
        val toGet = becomesGet(request, status)
        val builder =
            HttpRequest.newBuilder(request) { header, _ ->
                val name = header.lowercase()
                val isForOrigin = name in OF_THE_ORIGIN || name == token?.headerName
                !(isElsewhere && isForOrigin) && !(toGet && name in OF_THE_BODY)
            }
        if (toGet) builder.method("GET", BodyPublishers.noBody())
        return builder.uri(to).build()
    }

    private fun becomesGet(request: HttpRequest, status: Int): Boolean =
        if (status == 303) request.method() !in listOf("GET", "HEAD") else status < 303 && request.method() == "POST"

    private fun canRepeat(request: HttpRequest): Boolean =
        request.bodyPublisher().map { it.contentLength() >= 0 }.orElse(true)
}
