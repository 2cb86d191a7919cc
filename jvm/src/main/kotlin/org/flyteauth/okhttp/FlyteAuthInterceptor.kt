package org.flyteauth.okhttp

import java.io.IOException
import java.util.concurrent.CompletableFuture
import java.util.concurrent.ExecutionException
import java.util.concurrent.TimeUnit
import java.util.concurrent.TimeoutException
import okhttp3.Interceptor
import okhttp3.OkHttpClient
import okhttp3.Request
import okhttp3.Response
import org.flyteauth.FlyteAuthException
import org.flyteauth.Session
import org.flyteauth.Token
import org.flyteauth.internal.Hosts
import org.flyteauth.internal.Place

/** How often a call that waits for a token looks whether it was cancelled or is too late. */
private const val LOOK_UP_MS = 25L

/** In place of a token; no request has it, so that no cached answer is taken for one that `Vary`s with the token. */
private const val MASK = "***"

/**
 * The session's token for OkHttp: to the session's own origin and to those that were named beside it, and nowhere else,
 * redirects included.
 *
 * ```java
 * OkHttpClient client = new FlyteAuthInterceptor(session).install(new OkHttpClient.Builder()).build();
 * ```
 *
 * [install] adds it twice: as the application's interceptor it waits for the token, and repeats a call that was
 * rejected; as the network's it puts the header on each request that goes out, for which OkHttp follows redirects in
 * between. Added as the application's alone it sends no token, and the call fails and says so.
 *
 * An `Authenticator` would send each call once for nothing. An application's interceptor alone would give the token to
 * other hosts, since OkHttp takes every header but `Authorization` along. WebSockets go past the network's half, and
 * fail likewise.
 *
 * A call waits for a token only if none is in memory; `cancel()` and the call's timeout end the wait. After 401 the
 * token is invalidated and the call made once more with another one, where its body can be sent again (`isOneShot`,
 * `isDuplex`). Calls to other places, also by their Host header, fail with code `foreign_host` or `plaintext_refused`.
 * Answers show `***` for the token that their request had. What goes wrong with the session is a
 * [FlyteAuthIOException], since OkHttp hands only `IOException` to callbacks.
 *
 * @throws org.flyteauth.ConfigException code `endpoint_invalid`: one of [hosts] is no origin (`https://host`,
 *   `https://host:port`); `no_endpoint`: none is known.
 */
public class FlyteAuthInterceptor(private val session: Session, vararg hosts: String) : Interceptor {
    private val hosts = Hosts(session, hosts.toList())

    /** Adds it to a client, behind what was added before. */
    public fun install(builder: OkHttpClient.Builder): OkHttpClient.Builder =
        builder.addInterceptor(this).addNetworkInterceptor(this)

    @Throws(IOException::class)
    override fun intercept(chain: Interceptor.Chain): Response =
        if (chain.connection() != null) onTheWire(chain) else ofTheCall(chain)

    /** The token of a call, and whether the network's half has seen it. */
    private class Carried(val owner: FlyteAuthInterceptor, val token: Token) {
        @Volatile var isSeen = false
        @Volatile var isSent = false
    }

    /** One request of a call, the first or one that a redirect led to. */
    private fun onTheWire(chain: Interceptor.Chain): Response {
        val request = chain.request()
        val carried = request.tag(Carried::class.java)
        // Another session's token has hosts of its own.
        if (carried?.owner !== this) return chain.proceed(request)
        carried.isSeen = true
        carried.isSent = hosts.allow(request.place())
        if (!carried.isSent) return chain.proceed(request)
        val (name, value) = carried.token.run { headerName to headerValue }
        val response = chain.proceed(request.newBuilder().header(name, value).build())
        // A cache writes to its disk what `Vary` names, and a log what a request's text shows.
        return response.newBuilder().request(request.newBuilder().header(name, MASK).build()).build()
    }

    private fun ofTheCall(chain: Interceptor.Chain): Response {
        val request = chain.request()
        val token =
            asking {
                hosts.check(request.place())
                session.tryToken() ?: awaited(chain)
            } ?: return chain.proceed(request)
        val (response, carried) = attempt(chain, request, token)
        if (response.code != 401 || !carried.isSent) return response
        session.invalidate(token)
        val body = request.body
        if (body != null && (body.isOneShot() || body.isDuplex())) return response
        val another =
            try {
                asking { awaited(chain) }
            } catch (error: Throwable) {
                response.close()
                throw error
            }
        if (another == null || another.headerValue == token.headerValue) return response
        response.close()
        return attempt(chain, request, another).first
    }

    private fun attempt(chain: Interceptor.Chain, request: Request, token: Token): Pair<Response, Carried> {
        val carried = Carried(this, token)
        // The caller's own under this name is not for redirects either.
        val ours = request.newBuilder().removeHeader(token.headerName).tag(Carried::class.java, carried).build()
        val response = chain.proceed(ours)
        if (!carried.isSeen && response.networkResponse != null) {
            response.close()
            val what = "FlyteAuthInterceptor is the application's interceptor alone, so no token was sent"
            val next = "Use its install(builder), which adds both halves"
            throw FlyteAuthIOException(FlyteAuthException.config("interceptor_incomplete", what, next))
        }
        return response to carried
    }

    private fun <T> asking(ask: () -> T): T =
        try {
            ask()
        } catch (error: FlyteAuthException) {
            throw FlyteAuthIOException(error)
        }

    /** Waits as long as the call lives: its timeout cancels it. */
    private fun awaited(chain: Interceptor.Chain): Token? {
        val tokens: CompletableFuture<Token?> = session.tokenAsync()
        while (true) {
            try {
                return tokens.get(LOOK_UP_MS, TimeUnit.MILLISECONDS)
            } catch (_: TimeoutException) {
                if (chain.call().isCanceled()) {
                    tokens.cancel(true)
                    throw IOException("Canceled")
                }
            } catch (error: ExecutionException) {
                throw error.cause ?: error
            } catch (error: InterruptedException) {
                tokens.cancel(true)
                Thread.currentThread().interrupt()
                throw java.io.InterruptedIOException("the wait for a token was interrupted")
            }
        }
    }
}

private fun Request.place(): Place {
    val name = if (':' in url.host) "[${url.host}]" else url.host
    val user = if (url.username.isEmpty() && url.password.isEmpty()) "" else "user@"
    return Place(url.scheme, "$user$name:${url.port}", headers("Host"))
}

/** What went wrong with the session, where OkHttp takes an `IOException` alone; [error] is the session's own. */
public class FlyteAuthIOException(public val error: FlyteAuthException) : IOException(error.message, error)
