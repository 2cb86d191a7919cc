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
import java.net.URLDecoder
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
     * `certificate_unreadable`.
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
        // The key may stand in the certificate's file.
        if (chain != null) reading(chain) { builder.keyManager(File(chain), File(at.clientKey ?: chain)) }
        return builder.build()
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
        val proxy = URI(secret.reveal())
        val port = if (proxy.port >= 0) proxy.port else if (proxy.scheme == "https") 443 else 80
        val (user, password) =
            (proxy.rawUserInfo?.split(':', limit = 2).orEmpty() + listOf(null, null)).map {
                it?.let { text -> URLDecoder.decode(text.replace("+", "%2B"), Charsets.UTF_8) }
            }
        return ProxyDetector { address ->
            HttpConnectProxiedSocketAddress.newBuilder()
                .setTargetAddress(address as InetSocketAddress)
                .setProxyAddress(InetSocketAddress(proxy.host, port))
                .setUsername(user)
                .setPassword(password)
                .build()
        }
    }
}
