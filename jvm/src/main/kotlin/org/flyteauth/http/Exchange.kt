package org.flyteauth.http

import java.net.URI
import java.net.URISyntaxException
import java.net.http.HttpClient
import java.net.http.HttpClient.Redirect
import java.net.http.HttpRequest
import java.net.http.HttpResponse
import java.net.http.HttpResponse.BodyHandler
import java.net.http.HttpResponse.BodySubscriber
import java.net.http.HttpResponse.BodySubscribers
import java.net.http.HttpResponse.PushPromiseHandler
import java.net.http.HttpResponse.ResponseInfo
import java.net.http.HttpTimeoutException
import java.time.Duration
import java.util.concurrent.CompletableFuture
import java.util.concurrent.CompletionException
import java.util.concurrent.TimeUnit
import java.util.concurrent.TimeoutException
import org.flyteauth.FlyteAuthException
import org.flyteauth.Session
import org.flyteauth.Token
import org.flyteauth.internal.Hosts
import org.flyteauth.internal.Place
import org.flyteauth.internal.origin

/** As browsers and Node follow (Fetch standard, "HTTP-redirect fetch"). */
private const val MOST_REDIRECTS = 20
private val REDIRECTS = setOf(301, 302, 303, 307, 308)

/** Gone with the body that they describe. */
private val OF_THE_BODY =
    setOf("content-encoding", "content-language", "content-length", "content-location", "content-type")

/** Not for another origin. */
private val OF_THE_ORIGIN = setOf("authorization", "cookie", "host", "proxy-authorization")

/** A timeout beyond it is none. */
private val LONGEST: Duration = Duration.ofDays(36_500)

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

    /** What is waited for now. */
    @Volatile private var answer: CompletableFuture<*>? = null
    @Volatile private var tokens: CompletableFuture<*>? = null

    private var until: Long? = null
    private var redirects = 0
    private var refreshed = false
    private var previous: HttpResponse<T>? = null

    fun begin(request: HttpRequest): CompletableFuture<HttpResponse<T>> {
        until = request.timeout().map { System.nanoTime() + it.coerceAtMost(LONGEST).toNanos() }.orElse(null)
        result.whenComplete { _, _ -> if (result.isCancelled) listOf(answer, tokens).forEach { it?.cancel(true) } }
        try {
            hosts.check(request.place())
            val known = session.tryToken()
            if (known != null) send(request, known) else next(token()) { send(request, it) }
        } catch (error: FlyteAuthException) {
            result.completeExceptionally(error)
        }
        return result
    }

    /** A token before the request's deadline. */
    private fun token(): CompletableFuture<Token?> {
        val asked = session.tokenAsync()
        tokens = asked
        if (result.isCancelled) asked.cancel(true)
        val left = left() ?: return asked
        return asked.orTimeout(left, TimeUnit.NANOSECONDS).exceptionally { failure ->
            throw if (cause(failure) is TimeoutException) late() else failure
        }
    }

    private fun late() = HttpTimeoutException("the request timed out before there was a token")

    /** Nanoseconds until the request's deadline. */
    private fun left(): Long? = until?.let { (it - System.nanoTime()).coerceAtLeast(1) }

    private fun <V> next(future: CompletableFuture<V>, then: (V) -> Unit) {
        future.whenComplete { value, failure ->
            try {
                if (failure == null) then(value) else result.completeExceptionally(cause(failure))
            } catch (error: Throwable) {
                result.completeExceptionally(error)
            }
        }
    }

    private fun send(request: HttpRequest, token: Token?) {
        val sent = token?.takeIf { hosts.allow(request.place()) }
        // In place of what the request had under its name.
        val builder = HttpRequest.newBuilder(request) { name, _ -> !name.equals(sent?.headerName, ignoreCase = true) }
        sent?.let { builder.header(it.headerName, it.headerValue) }
        left()?.let { builder.timeout(Duration.ofNanos(it)) }
        val receiving = BodyHandler { info -> receive(request, sent, info) }
        val asked =
            if (pushes == null) client.sendAsync(builder.build(), receiving)
            else client.sendAsync(builder.build(), receiving, pushing(pushes, request))
        answer = asked
        if (result.isCancelled) asked.cancel(true)
        next(asked) { answered(request, token, it) }
    }

    /** What became of an answer's body. */
    private sealed class Body<out T> {
        class Counts<T>(val value: T) : Body<T>()

        class Again(val token: Token) : Body<Nothing>()

        class Elsewhere(val to: URI) : Body<Nothing>()
    }

    private fun receive(request: HttpRequest, sent: Token?, info: ResponseInfo): BodySubscriber<Body<T>> {
        if (info.statusCode() == 401 && sent != null) {
            session.invalidate(sent)
            if (!refreshed && canRepeat(request)) {
                val reader = token().thenApply {
                    // Without another token it is the answer after all: asking again would bring the same one.
                    if (it == null || it.headerValue == sent.headerValue) counting(info)
                    else dropped<Body<T>>(info, Body.Again(it), left())
                }
                return Held(reader)
            }
        }
        val to = redirect(request, info) ?: return counting(info)
        return dropped(info, Body.Elsewhere(to), left())
    }

    private fun counting(info: ResponseInfo): BodySubscriber<Body<T>> =
        BodySubscribers.mapping(handler.apply(info)) { Body.Counts(it) }

    private fun answered(request: HttpRequest, token: Token?, response: HttpResponse<Body<T>>) {
        val body = response.body()
        if (body is Body.Counts) {
            result.complete(Answer(response, request, previous, body.value))
            return
        }
        @Suppress("UNCHECKED_CAST") // As in the JDK's own client, what was followed by another answer has no body.
        previous = Answer(response, request, previous, null as T)
        when (body) {
            is Body.Elsewhere -> {
                redirects += 1
                send(redirected(request, response.statusCode(), body.to, token), token)
            }
            is Body.Again -> {
                refreshed = true
                send(request, body.token)
            }
            else -> Unit
        }
    }

    /** Told of [request] as its sender made it, not of the one with the token. */
    private fun pushing(pushes: PushPromiseHandler<T>, request: HttpRequest): PushPromiseHandler<Body<T>> =
        PushPromiseHandler { _, pushed, acceptor ->
            pushes.applyPushPromise(request, pushed) { handler ->
                val counts: (T) -> Body<T> = { Body.Counts(it) }
                val mapped = BodyHandler { info -> BodySubscribers.mapping(handler.apply(info), counts) }
                acceptor.apply(mapped).thenApply { Answer(it, pushed, null, (it.body() as Body.Counts<T>).value) }
            }
        }

    /** Where an answer leads, if it is followed there. */
    private fun redirect(request: HttpRequest, info: ResponseInfo): URI? {
        val location = info.headers().firstValue("location").orElse(null)
        if (policy == Redirect.NEVER || info.statusCode() !in REDIRECTS || location == null) return null
        val to = resolved(request.uri(), location) ?: return null
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
        if (toGet) builder.GET()
        return builder.uri(to).build()
    }

    private fun becomesGet(request: HttpRequest, status: Int): Boolean =
        if (status == 303) request.method() !in listOf("GET", "HEAD") else status < 303 && request.method() == "POST"

    private fun canRepeat(request: HttpRequest): Boolean =
        request.bodyPublisher().map { it.contentLength() >= 0 }.orElse(true)
}

private fun HttpRequest.place() = Place(uri(), headers().allValues("host"))

/** Each stage wraps what the one before it threw. */
private fun cause(failure: Throwable): Throwable =
    generateSequence(failure) { (it as? CompletionException)?.cause }.last()

/** Where [location] leads from [base]; null if it is no address. */
private fun resolved(base: URI, location: String): URI? =
    try {
        // RFC 3986 section 5.2.2; java.net.URI still does as its predecessor.
        if (location.startsWith("?")) URI("${base.scheme}://${base.rawAuthority}${base.rawPath}$location")
        else base.resolve(URI(location))
    } catch (_: URISyntaxException) {
        null
    }
