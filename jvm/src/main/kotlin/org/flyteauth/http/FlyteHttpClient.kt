package org.flyteauth.http

import java.io.IOException
import java.net.Authenticator
import java.net.CookieHandler
import java.net.ProxySelector
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpResponse
import java.net.http.HttpResponse.BodyHandler
import java.net.http.HttpResponse.PushPromiseHandler
import java.time.Duration
import java.util.Optional
import java.util.concurrent.CompletableFuture
import java.util.concurrent.CompletionException
import java.util.concurrent.ExecutionException
import java.util.concurrent.Executor
import javax.net.ssl.SSLContext
import javax.net.ssl.SSLParameters
import org.flyteauth.Session
import org.flyteauth.internal.Hosts

/**
 * A `java.net.http` client whose requests carry the session's token: to the session's own origin and to those that were
 * named beside it, and nowhere else, redirects included.
 *
 * ```java
 * HttpClient client = FlyteHttpClient.of(Session.fromConfig());
 * HttpRequest request = HttpRequest.newBuilder(URI.create("https://flyte.example/api/v1/projects")).build();
 * client.send(request, BodyHandlers.ofString());
 * ```
 *
 * A request waits for a token only if none is in memory, and no thread waits with `sendAsync`. After 401 the token is
 * invalidated and the request made once more with another one, where its body can be sent again: none, or one of a
 * length that is known (`ofString`, `ofByteArray`, `ofFile`; neither `ofInputStream` nor `ofByteArrays`). The body
 * handler sees the answer that counts, which has those before it as its `previousResponse`. The request's timeout is
 * that of the whole, waits and repetitions included.
 *
 * Redirects are followed here, at most 20, since the JDK's own client takes every header along to other hosts. There
 * are no WebSockets. `close` (Java 21) waits for nothing: the client ends when nobody has it any more.
 *
 * Requests to other places fail with [org.flyteauth.ConfigException], code `foreign_host` or `plaintext_refused`. What
 * goes wrong with the session comes out of `send` as it is, and of `sendAsync` as the future's exception.
 */
public class FlyteHttpClient
private constructor(
    private val session: Session,
    private val client: HttpClient,
    private val redirects: Redirect,
    hosts: List<String>,
) : HttpClient() {
    private val hosts = Hosts(session, hosts)

    public companion object {
        /**
         * Made with [builder], whose own following of redirects is turned off: [redirects] says how they are followed.
         * [hosts]: further origins that the token may go to, `https://host` or `https://host:port`.
         *
         * @throws org.flyteauth.ConfigException code `endpoint_invalid`: one of [hosts] is no origin; `no_endpoint`:
         *   none is known.
         */
        @JvmStatic
        @JvmOverloads
        public fun of(
            session: Session,
            builder: Builder = HttpClient.newBuilder(),
            redirects: Redirect = Redirect.NORMAL,
            vararg hosts: String,
        ): FlyteHttpClient =
            FlyteHttpClient(session, builder.followRedirects(Redirect.NEVER).build(), redirects, hosts.toList())
    }

    override fun <T> sendAsync(request: HttpRequest, handler: BodyHandler<T>): CompletableFuture<HttpResponse<T>> =
        sendAsync(request, handler, null)

    override fun <T> sendAsync(
        request: HttpRequest,
        handler: BodyHandler<T>,
        pushes: PushPromiseHandler<T>?,
    ): CompletableFuture<HttpResponse<T>> = Exchange(session, hosts, client, redirects, handler, pushes).begin(request)

    @Throws(IOException::class, InterruptedException::class)
    override fun <T> send(request: HttpRequest, handler: BodyHandler<T>): HttpResponse<T> {
        val answer = sendAsync(request, handler)
        try {
            return answer.get()
        } catch (error: InterruptedException) {
            answer.cancel(true)
            throw error
        } catch (error: ExecutionException) {
            val cause = (error.cause as? CompletionException)?.cause ?: error.cause
            throw if (cause is IOException || cause is RuntimeException || cause is Error) cause else IOException(cause)
        }
    }

    override fun cookieHandler(): Optional<CookieHandler> = client.cookieHandler()

    override fun connectTimeout(): Optional<Duration> = client.connectTimeout()

    override fun followRedirects(): Redirect = redirects

    override fun proxy(): Optional<ProxySelector> = client.proxy()

    override fun sslContext(): SSLContext = client.sslContext()

    override fun sslParameters(): SSLParameters = client.sslParameters()

    override fun authenticator(): Optional<Authenticator> = client.authenticator()

    override fun version(): Version = client.version()

    override fun executor(): Optional<Executor> = client.executor()

    override fun toString(): String = "FlyteHttpClient(${session.endpoint})"
}
