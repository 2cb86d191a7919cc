package org.flyteauth.grpc

import flyteidl.service.Identity.UserInfoRequest
import flyteidl.service.IdentityServiceGrpc
import flyteidl.service.IdentityServiceGrpc.IdentityServiceBlockingStub
import io.grpc.CallCredentials
import io.grpc.Grpc
import io.grpc.ManagedChannel
import io.grpc.Metadata
import io.grpc.SecurityLevel
import io.grpc.Status
import io.grpc.StatusRuntimeException
import java.util.concurrent.TimeUnit
import org.flyteauth.ConfigException
import org.flyteauth.LoginRequiredException
import org.flyteauth.Session
import org.flyteauth.harness.OnSandbox
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

private val WHO: UserInfoRequest = UserInfoRequest.getDefaultInstance()

/** Call credentials on channels that others made, over TLS. */
class CredentialsTest : OnSandbox("--tls") {
    private val port by lazy { sandbox.grpc.substringAfterLast(':') }
    private val channels = mutableListOf<ManagedChannel>()

    @AfterEach
    fun shut() {
        channels.onEach { it.shutdownNow() }.clear()
    }

    /** A channel of somebody's to [host], with credentials of [session] for each call. */
    private fun stub(session: Session, host: String = "127.0.0.1"): IdentityServiceBlockingStub {
        val channel = Grpc.newChannelBuilder("$host:$port", FlyteChannels.credentials(session)).build()
        channels += channel
        return IdentityServiceGrpc.newBlockingStub(channel).withDeadlineAfter(20, TimeUnit.SECONDS)
            .withCallCredentials(FlyteCallCredentials(session))
    }

    private fun machine(host: String = "127.0.0.1"): Session =
        Session.fromConfig(
            sandbox.options().endpoint("https://$host:$port").authType("ClientSecret").clientId("flytepropeller")
                .clientSecret("foobar"),
        )

    private fun failure(call: () -> Any?): Status =
        assertThrows(StatusRuntimeException::class.java) { call() }.status

    @Test
    fun `a token that is waited for keeps no other call`() {
        machine().use { session ->
            sandbox.fault("delay-1500", 1, "/oauth2/token")
            val waiting = IdentityServiceGrpc.newFutureStub(stub(session).channel)
                .withCallCredentials(FlyteCallCredentials(session)).userInfo(WHO)
            val begun = System.nanoTime()
            val bare = IdentityServiceGrpc.newBlockingStub(stub(session).channel)
            assertEquals(Status.Code.UNAUTHENTICATED, failure { bare.userInfo(WHO) }.code)
            assertTrue(System.nanoTime() - begun < 1_000_000_000 && !waiting.isDone)
            assertEquals("flytepropeller", waiting.get(20, TimeUnit.SECONDS).subject)
        }
    }

    @Test
    fun `a token goes to no other host`() {
        // Both names are this sandbox's, and in its certificate.
        machine("localhost").use { session ->
            assertEquals("flytepropeller", stub(session, "localhost").userInfo(WHO).subject)
            val status = failure { stub(session).userInfo(WHO) }
            assertEquals(Status.Code.UNAUTHENTICATED, status.code)
            assertEquals("foreign_host", (status.cause as ConfigException).code)
            assertTrue("does not go to 127.0.0.1" in status.description!!, status.description)
        }
    }

    @Test
    fun `whoever is not signed in is told so`() {
        Session.fromConfig(sandbox.options().endpoint("https://127.0.0.1:$port")).use { nobody ->
            val status = failure { stub(nobody).userInfo(WHO) }
            assertEquals(Status.Code.UNAUTHENTICATED, status.code)
            assertTrue(status.cause is LoginRequiredException && status.description == status.cause!!.message)
        }
    }

    /** What gRPC is answered, and how often. */
    private class Applied : CallCredentials.MetadataApplier() {
        val answers = java.util.concurrent.LinkedBlockingQueue<Any>()

        override fun apply(headers: Metadata) {
            answers += headers
        }

        override fun fail(status: Status) {
            answers += status
        }

        fun one(): Any = answers.poll(20, TimeUnit.SECONDS)!!.also { assertEquals(0, answers.size) }
    }

    private fun request(level: SecurityLevel, to: String) =
        object : CallCredentials.RequestInfo() {
            override fun getMethodDescriptor() = IdentityServiceGrpc.getUserInfoMethod()

            override fun getSecurityLevel() = level

            override fun getAuthority() = to

            override fun getTransportAttrs() = io.grpc.Attributes.EMPTY
        }

    @Test
    fun `only what is private is good enough`() {
        machine().use { session ->
            session.tokenBlocking()
            for (level in SecurityLevel.values()) {
                val applied = Applied()
                FlyteCallCredentials(session).applyRequestMetadata(request(level, "127.0.0.1:$port"), Runnable::run, applied)
                val failed = applied.one() as? Status
                assertEquals(level != SecurityLevel.PRIVACY_AND_INTEGRITY, failed != null)
                assertEquals(failed?.let { "plaintext_refused" }, (failed?.cause as? ConfigException)?.code)
            }
        }
    }

    @Test
    fun `a host is one however it is written`() {
        machine("localhost").use { session ->
            session.tokenBlocking()
            fun answer(to: String): Any {
                val applied = Applied()
                val call = request(SecurityLevel.PRIVACY_AND_INTEGRITY, to)
                FlyteCallCredentials(session).applyRequestMetadata(call, Runnable::run, applied)
                return applied.one()
            }
            for (good in listOf("localhost", "LocalHost:443", "localhost.:1")) assertTrue(answer(good) is Metadata, good)
            for (bad in listOf("localhost.example", "evil@localhost:443", "[::1]:443", "local_host", "")) {
                assertTrue(answer(bad) is Status, bad)
            }
        }
    }

    @Test
    fun `what goes wrong with the token is one failure`() {
        machine().use { session ->
            val applied = Applied()
            val call = request(SecurityLevel.PRIVACY_AND_INTEGRITY, "127.0.0.1:$port")
            sandbox.fault("503", 20, "/oauth2/token")
            FlyteCallCredentials(session).applyRequestMetadata(call, Runnable::run, applied)
            val status = applied.one() as Status
            assertEquals(Status.Code.UNAVAILABLE, status.code)
            assertFalse("foobar" in "$status")
        }
    }
}
