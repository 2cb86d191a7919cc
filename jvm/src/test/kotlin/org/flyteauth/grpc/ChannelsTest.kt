package org.flyteauth.grpc

import flyteidl.service.AdminServiceGrpc
import io.grpc.Status
import io.grpc.StatusRuntimeException
import io.grpc.TlsServerCredentials
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder
import io.grpc.netty.shaded.io.netty.handler.ssl.util.SelfSignedCertificate
import java.net.InetAddress
import java.net.InetSocketAddress
import java.net.ServerSocket
import java.net.Socket
import java.nio.file.Files
import java.util.Base64
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import kotlin.concurrent.thread
import org.flyteauth.ConfigException
import org.flyteauth.Session
import org.flyteauth.SessionOptions
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** How a session's own channel gets to its endpoint: through its proxy, with its certificates. */
class ChannelsTest : Bench() {
    /** No auth: what is looked at is the way. */
    private fun plain(): SessionOptions =
        SessionOptions().endpoint("127.0.0.1:${service.port}").insecure(true).authType("none").store("memory")

    private fun open(options: SessionOptions): Session = closed(Session.fromConfig(options))

    private fun call(session: Session): Status {
        val admin = AdminServiceGrpc.newBlockingStub(closed(FlyteChannels.channel(session)))
        return assertThrows(StatusRuntimeException::class.java) {
            admin.withDeadlineAfter(10, TimeUnit.SECONDS).listProjects(ANY)
        }.status
    }

    /** An HTTP proxy: what it was asked for, header and all. */
    private class Proxy : AutoCloseable {
        private val socket = ServerSocket(0, 9, InetAddress.getLoopbackAddress())
        val asked = LinkedBlockingQueue<List<String>>()
        val port: Int = socket.localPort

        init {
            thread(isDaemon = true) {
                while (!socket.isClosed) runCatching { socket.accept() }.onSuccess { thread(isDaemon = true) { serve(it) } }
            }
        }

        private fun serve(client: Socket) = client.use {
            val head = generateSequence { line(client).ifEmpty { null } }.toList()
            asked += head
            val (host, port) = head[0].split(' ')[1].split(':')
            Socket(host, port.toInt()).use { server ->
                client.getOutputStream().write("HTTP/1.1 200 OK\r\n\r\n".toByteArray())
                thread(isDaemon = true) { runCatching { server.getInputStream().copyTo(client.getOutputStream()) } }
                runCatching { client.getInputStream().copyTo(server.getOutputStream()) }
            }
        }

        private fun line(client: Socket): String {
            val bytes = generateSequence { client.getInputStream().read() }.takeWhile { it >= 0 && it != '\n'.code }
            return String(bytes.map(Int::toByte).toList().toByteArray()).trimEnd('\r')
        }

        override fun close() = socket.close()
    }

    private fun through(user: String): String? {
        val proxy = closed(Proxy())
        val status = call(open(plain().httpProxyUrl("http://${user}127.0.0.1:${proxy.port}")))
        assertEquals("token refused", status.description)
        val head = proxy.asked.poll(10, TimeUnit.SECONDS)!!
        assertEquals("CONNECT 127.0.0.1:${service.port} HTTP/1.1", head[0])
        val given = head.firstOrNull { it.startsWith("proxy-authorization:", ignoreCase = true) } ?: return null
        return String(Base64.getDecoder().decode(given.substringAfter("Basic ")))
    }

    @Test
    fun `calls go through the session's proxy, with its user and password`() {
        assertEquals(null, through(""))
        assertEquals("us@er:pa+s%:word", through("us%40er:pa+s%25:word@"))
        // As it is found in files, though no URL.
        assertEquals("user:can%ary@^", through("user:can%ary@^@"))
    }

    @Test
    fun `a proxy that cannot be spoken with is an error and not gone around`() {
        for ((url, code) in
            listOf(
                "https://user:canary@127.0.0.1:1" to "proxy_unsupported",
                "socks5://user:canary@127.0.0.1:1" to "proxy_invalid",
                "http://user:canary@" to "proxy_invalid",
                "http://user:canary@in valid" to "proxy_invalid",
            )) {
            val error = assertThrows(ConfigException::class.java) { FlyteChannels.channel(open(plain().httpProxyUrl(url))) }
            assertEquals(code, error.code)
            assertFalse("canary" in error.stackTraceToString())
        }
        val status = call(open(plain().httpProxyUrl("http://user:canary@nowhere.invalid:1")))
        assertEquals(Status.Code.UNAVAILABLE, status.code, "$status")
        assertFalse("canary" in status.asException().stackTraceToString())
        assertEquals(0, service.seen.size)
    }

    @Test
    fun `a client certificate is shown, from one file or two`() {
        val (theirs, ours) = SelfSignedCertificate("localhost") to SelfSignedCertificate("somebody")
        val credentials =
            TlsServerCredentials.newBuilder().keyManager(theirs.certificate(), theirs.privateKey())
                .trustManager(ours.certificate()).clientAuth(TlsServerCredentials.ClientAuth.REQUIRE).build()
        val server = NettyServerBuilder.forAddress(InetSocketAddress("127.0.0.1", 0), credentials).build().start()
        closed(AutoCloseable { server.shutdownNow() })
        val both = Files.createTempFile("both", ".pem")
        Files.write(both, Files.readAllBytes(ours.certificate().toPath()) + Files.readAllBytes(ours.privateKey().toPath()))
        val options =
            SessionOptions().endpoint("https://localhost:${server.port}").authType("none").store("memory")
                .caCert(theirs.certificate().toPath())
        // The server has no such service, and says so to whom it lets in.
        val two = options.clientCert(ours.certificate().toPath()).clientKey(ours.privateKey().toPath())
        assertEquals(Status.Code.UNIMPLEMENTED, call(open(two)).code)
        val one = options.clientCert(both).clientKey(null)
        assertEquals(Status.Code.UNIMPLEMENTED, call(open(one)).code)
        val none = options.clientCert(null)
        assertEquals(Status.Code.UNAVAILABLE, call(open(none)).code)
    }

    @Test
    fun `a key that Java does not take is named`() {
        val ours = SelfSignedCertificate("somebody")
        // PKCS #8 of an RSA key is a header and the key as PKCS #1 has it (RFC 8017 appendix A.1.2).
        val bare = ours.key().encoded.drop(26).toByteArray()
        val pem = Base64.getMimeEncoder(64, "\n".toByteArray()).encodeToString(bare)
        val key = Files.createTempFile("pkcs1", ".pem")
        Files.writeString(key, "-----BEGIN RSA PRIVATE KEY-----\n$pem\n-----END RSA PRIVATE KEY-----\n")
        val options = SessionOptions().endpoint("flyte.example").store("memory")
        val session = open(options.clientCert(ours.certificate().toPath()).clientKey(key))
        val error = assertThrows(ConfigException::class.java) { FlyteChannels.credentials(session) }
        assertEquals("key_unsupported", error.code)
        assertTrue("$key" in error.message!! && pem.take(20) !in error.stackTraceToString())
    }
}
