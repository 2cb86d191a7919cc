package org.flyteauth.grpc

import io.grpc.ChannelCredentials
import io.grpc.Grpc
import io.grpc.HttpConnectProxiedSocketAddress
import io.grpc.InsecureChannelCredentials
import io.grpc.ManagedChannel
import io.grpc.ManagedChannelBuilder
import io.grpc.ProxyDetector
import io.grpc.TlsChannelCredentials
import java.io.File
import java.io.IOException
import java.net.InetSocketAddress
import java.net.URI
import java.net.URISyntaxException
import java.net.URLDecoder
import java.net.UnknownHostException
import java.security.GeneralSecurityException
import org.flyteauth.FlyteAuthException
import org.flyteauth.Session
import org.flyteauth.ffi.Secret
import org.flyteauth.ffi.Target
import org.flyteauth.internal.Roots
import org.flyteauth.internal.translating

/** Channels to a session's endpoint: its address, its certificates, its proxy, and its token with each call. */
public object FlyteChannels {
    /**
     * A channel whose calls carry the session's token.
     *
     * ```java
     * AdminServiceGrpc.newBlockingStub(FlyteChannels.channel(session))
     * ```
     *
     * @throws org.flyteauth.ConfigException code `no_endpoint`: the session has an issuer alone;
     * `certificate_unreadable`; `key_unsupported`: not PKCS #8; `proxy_unsupported`: grpc-java has no TLS on
     * the way to a proxy; `proxy_invalid`.
     */
    @JvmStatic public fun channel(session: Session): ManagedChannel = builder(session).build()

    /**
     * A builder for such a channel. Interceptors that are added to it see each call before it has the token.
     *
     * @throws org.flyteauth.ConfigException as [channel].
     */
    @JvmStatic
    public fun builder(session: Session): ManagedChannelBuilder<*> {
        val at = target(session)
        val host = if (':' in at.host) "[${at.host}]" else at.host
        val builder = Grpc.newChannelBuilder("dns:///$host:${at.port}", credentials(at))
        at.httpProxyUrl?.let { builder.proxyDetector(through(it)) }
        return builder.intercept(FlyteAuthInterceptor(session))
    }

    /**
     * Credentials of a channel to the session's endpoint: TLS with its CA (besides the JVM's own) and its client
     * certificate, or none.
     *
     * @throws org.flyteauth.ConfigException as [channel].
     */
    @JvmStatic public fun credentials(session: Session): ChannelCredentials = credentials(target(session))

    private fun target(session: Session): Target =
        translating { session.native.target() }
            ?: throw FlyteAuthException.config(
                "no_endpoint",
                "the session with ${session.endpoint} knows no Flyte endpoint",
                "Configure an endpoint beside the issuer",
                "endpoint",
            )

    private fun credentials(at: Target): ChannelCredentials {
        if (!at.tls) return InsecureChannelCredentials.create()
        val builder = TlsChannelCredentials.newBuilder()
        if (at.insecureSkipVerify) {
            builder.trustManager(Roots.TRUSTS_ANYBODY)
        } else {
            at.caCert?.let { path -> builder.trustManager(*reading(path) { Roots.besides(File(path)) }) }
        }
        val chain = at.clientCert
        if (chain != null) {
            // The key may stand in the certificate's file.
            val key = at.clientKey ?: chain
            reading(key) { checkKey(File(key)) }
            reading(chain) { builder.keyManager(File(chain), File(key)) }
        }
        return builder.build()
    }

    /** Of a key in another form grpc-java says only later that it is none, and not where. */
    private fun checkKey(file: File) {
        if ("-----BEGIN PRIVATE KEY-----" in file.readText(Charsets.ISO_8859_1)) return
        throw FlyteAuthException.config(
            "key_unsupported",
            "$file: Java takes no private key but one in PKCS #8, without a password",
            "Convert it: openssl pkcs8 -topk8 -nodes -in ${file.name} -out pkcs8.pem",
            "clientKey",
        )
    }

    private fun <T> reading(path: String, work: () -> T): T =
        try {
            work()
        } catch (error: IOException) {
            throw unreadable(path, error)
        } catch (error: GeneralSecurityException) {
            throw unreadable(path, error)
        }

    private fun unreadable(path: String, cause: Exception): FlyteAuthException {
        val why = cause.message ?: cause.javaClass.simpleName
        return FlyteAuthException.config(
            "certificate_unreadable",
            "$path: ${why.substringBefore('\n')}",
            "Correct the path in the configuration",
        )
    }

    /** Every connection by CONNECT, with the user name and password of the proxy's address. */
    private fun through(secret: Secret): ProxyDetector {
        val text = secret.reveal()
        val scheme = text.substringBefore("://", "http").lowercase()
        val authority = text.substringAfter("://").split('/', '?', '#').first()
        // A password may itself hold an @: what counts is the last one. No parser sees it, whose errors would show it.
        val user = authority.substringBeforeLast('@', "").split(':', limit = 2).map(::decoded)
        val at = proxyAt(scheme, authority.substringAfterLast('@'))
        return ProxyDetector { address ->
            val proxy = InetSocketAddress(at.host, if (at.port >= 0) at.port else 80)
            if (proxy.isUnresolved) throw UnknownHostException("the proxy ${at.host}")
            HttpConnectProxiedSocketAddress.newBuilder()
                .setTargetAddress(address as InetSocketAddress)
                .setProxyAddress(proxy)
                .setUsername(user[0].ifEmpty { null })
                .setPassword(user.getOrNull(1))
                .build()
        }
    }

    private fun proxyAt(scheme: String, place: String): URI {
        if (scheme == "https") {
            val what = "grpc-java has no TLS on the way to a proxy"
            throw FlyteAuthException.config("proxy_unsupported", what, "Use an http:// proxy", "httpProxyURL")
        }
        val at =
            try {
                URI("http://$place")
            } catch (_: URISyntaxException) {
                null
            }
        if (scheme == "http" && at?.host != null) return at
        val what = "httpProxyURL is not the URL of an HTTP proxy"
        throw FlyteAuthException.config("proxy_invalid", what, "Write it as http://proxy.example:3128", "httpProxyURL")
    }

    private fun decoded(text: String): String =
        try {
            URLDecoder.decode(text.replace("+", "%2B"), Charsets.UTF_8)
        } catch (_: IllegalArgumentException) {
            text
        }
}
