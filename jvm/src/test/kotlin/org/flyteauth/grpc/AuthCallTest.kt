package org.flyteauth.grpc

import flyteidl.admin.ProjectOuterClass.ProjectListRequest
import flyteidl.service.AdminServiceGrpc
import io.grpc.CallOptions
import io.grpc.Channel
import io.grpc.ClientCall
import io.grpc.ClientInterceptor
import io.grpc.Context
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall
import io.grpc.Metadata
import io.grpc.MethodDescriptor
import io.grpc.Status
import io.grpc.StatusRuntimeException
import java.nio.file.Files
import java.util.concurrent.CompletableFuture
import java.util.concurrent.ConcurrentLinkedQueue
import java.util.concurrent.CountDownLatch
import java.util.concurrent.ExecutionException
import java.util.concurrent.Executors
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import org.flyteauth.NetworkException
import org.flyteauth.ServerException
import org.flyteauth.Session
import org.flyteauth.SessionOptions
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertSame
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** What a call is in between its attempts, and how it ends there. */
class AuthCallTest : Bench() {
    private fun <Q : Any, R : Any> ClientCall<Q, R>.begin(told: ClientCall.Listener<R>, request: Q) {
        start(told, Metadata())
        request(2)
        sendMessage(request)
        halfClose()
    }

    private fun list(channel: Channel, options: CallOptions = CallOptions.DEFAULT) =
        channel.newCall(AdminServiceGrpc.getListProjectsMethod(), options)

    private fun failure(call: () -> Any?): Status =
        assertThrows(StatusRuntimeException::class.java) { call() }.status

    // How it ends.

    @Test
    fun `a call that is cancelled before it starts is none`() {
        session.tokenBlocking()
        val call = list(channel())
        call.cancel("no more", null)
        val told = Told()
        call.start(told, Metadata())
        assertEquals(listOf(Status.Code.CANCELLED, "no more"), told.status().run { listOf(code, description) })
        assertEquals(0, service.seen.size)
    }

    @Test
    fun `a call that is cancelled while it waits takes nothing more and ends once`() {
        sandbox.fault("delay-600", 1, "/oauth2/token")
        val (told, call) = Told() to channel().newCall(BOTH, CallOptions.DEFAULT)
        call.start(told, Metadata())
        call.request(1)
        call.sendMessage(ANY)
        assertFalse(call.isReady)
        call.cancel("enough", IllegalStateException("why"))
        call.cancel("again", null)
        val status = told.status()
        assertEquals(listOf(Status.Code.CANCELLED, "enough", "why"), status.run { listOf(code, description, cause!!.message) })
        call.sendMessage(ANY)
        call.halfClose()
        Thread.sleep(900)
        assertEquals(1 to 0, told.closes.size to service.seen.size)
    }

    @Test
    fun `a call that is cancelled before its rejection is told is not made again`() {
        val channel = channel()
        // Connected: from now on its calls have nothing to do before they are sent.
        AdminServiceGrpc.newBlockingStub(channel).listProjects(ANY)
        service.rejects.set(1)
        // What the channel tells waits here until it is run.
        val tasks = LinkedBlockingQueue<Runnable>()
        val (told, call) = Told() to list(channel, CallOptions.DEFAULT.withExecutor(tasks::add))
        call.begin(told, ANY)
        until { service.seen.size == 2 && tasks.isNotEmpty() }
        Thread.sleep(200)
        call.cancel("too late", null)
        while (!told.closed.isDone) tasks.poll(5, TimeUnit.SECONDS)!!.run()
        assertEquals(2, service.seen.size)
        assertFalse(told.status().isOk)
    }

    @Test
    fun `a call that is cancelled between its attempts is not made again`() {
        session.tokenBlocking()
        val before = sandbox.requestsTo("/oauth2/token")
        service.rejects.set(1)
        sandbox.fault("delay-600", 1, "/oauth2/token")
        val call = AdminServiceGrpc.newFutureStub(channel()).listProjects(ANY)
        sandbox.served("/oauth2/token", before + 1)
        assertTrue(call.cancel(true))
        Thread.sleep(900)
        assertEquals(1, service.seen.size)
    }

    @Test
    fun `the deadline is that of both attempts`() {
        session.tokenBlocking()
        service.rejects.set(1)
        sandbox.fault("delay-3000", 1, "/oauth2/token")
        val status = failure { stub().withDeadlineAfter(500, TimeUnit.MILLISECONDS).listProjects(ANY) }
        assertEquals(Status.Code.DEADLINE_EXCEEDED, status.code)
        assertEquals(1, service.seen.size)
    }

    @Test
    fun `a context that is cancelled ends the wait`() {
        sandbox.fault("delay-3000", 1, "/oauth2/token")
        val (told, begun) = Told() to System.nanoTime()
        val context = Context.current().withCancellation()
        context.run { list(channel()).begin(told, ANY) }
        context.cancel(IllegalStateException("the caller's caller left"))
        assertEquals(Status.Code.CANCELLED, told.status().code)
        assertTrue(System.nanoTime() - begun < 2_000_000_000)
        assertEquals(0, service.seen.size)
    }

    @Test
    fun `what goes wrong after a rejection is the call's status`() {
        session.tokenBlocking()
        service.rejects.set(1)
        sandbox.fault("reset", 20, "/oauth2/token")
        val status = failure { stub().listProjects(ANY) }
        assertEquals(Status.Code.UNAVAILABLE, status.code)
        assertTrue(status.cause is NetworkException, "${status.cause}")
        assertEquals(1, service.seen.size)
    }

    @Test
    fun `an interceptor below that throws ends the call`() {
        val broken =
            object : ClientInterceptor {
                override fun <Q, R> interceptCall(m: MethodDescriptor<Q, R>, o: CallOptions, n: Channel): ClientCall<Q, R> =
                    error("broken")
            }
        // Without a token in memory nobody is there to catch it.
        val told = Told()
        list(channel(session, service.port, broken)).begin(told, ANY)
        assertEquals(listOf(Status.Code.UNKNOWN, "broken"), told.status().run { listOf(code, cause!!.message) })
    }

    // Threads.

    @Test
    fun `a caller that keeps its thread keeps nobody else's`() {
        sandbox.fault("delay-2000", 1, "/oauth2/token")
        val (entered, leave) = CountDownLatch(1) to CountDownLatch(1)
        val told =
            object : Told() {
                override fun onClose(status: Status, trailers: Metadata) {
                    super.onClose(status, trailers)
                    entered.countDown()
                    leave.await()
                }
            }
        list(channel(), CallOptions.DEFAULT.withDeadlineAfter(100, TimeUnit.MILLISECONDS)).begin(told, ANY)
        assertTrue(entered.await(10, TimeUnit.SECONDS))
        try {
            // The JDK has one thread for all deadlines of futures.
            val other = CompletableFuture<Unit>().orTimeout(50, TimeUnit.MILLISECONDS)
            assertThrows(ExecutionException::class.java) { other.get(5, TimeUnit.SECONDS) }
        } finally {
            leave.countDown()
        }
    }

    @Test
    fun `a caller may wait in a callback for another thread that uses the call`() {
        val refusing =
            object : ClientInterceptor {
                override fun <Q, R> interceptCall(m: MethodDescriptor<Q, R>, o: CallOptions, n: Channel) =
                    object : SimpleForwardingClientCall<Q, R>(n.newCall(m, o)) {
                        override fun start(listener: Listener<R>, headers: Metadata) =
                            listener.onClose(Status.FAILED_PRECONDITION, Metadata())
                    }
            }
        session.tokenBlocking()
        val call = list(channel(session, service.port, refusing))
        val told =
            object : Told() {
                override fun onClose(status: Status, trailers: Metadata) {
                    CompletableFuture.runAsync { call.isReady }.get(5, TimeUnit.SECONDS)
                    super.onClose(status, trailers)
                }
            }
        call.start(told, Metadata())
        assertEquals(Status.Code.FAILED_PRECONDITION, told.status().code)
    }

    @Test
    fun `the caller's context and executor are where it is told`() {
        val key = Context.key<String>("who")
        val pool = Executors.newSingleThreadExecutor { Thread(it, "the caller's own") }
        try {
            for (signedIn in listOf(true, false)) {
                val of = if (signedIn) session else Session.fromConfig(sandbox.options())
                val where = CompletableFuture<Pair<String?, String>>()
                val told =
                    object : Told() {
                        override fun onClose(status: Status, trailers: Metadata) {
                            where.complete(key.get() to Thread.currentThread().name)
                        }
                    }
                Context.current().withValue(key, "me").run {
                    list(channel(of), CallOptions.DEFAULT.withExecutor(pool)).begin(told, ANY)
                }
                assertEquals("me" to "the caller's own", where.get(20, TimeUnit.SECONDS))
            }
        } finally {
            pool.shutdownNow()
        }
    }

    // What goes out.

    @Test
    fun `both attempts are the same call`() {
        val attempts = ConcurrentLinkedQueue<CallOptions>()
        val compressed = ConcurrentLinkedQueue<Boolean>()
        val watching =
            object : ClientInterceptor {
                override fun <Q, R> interceptCall(m: MethodDescriptor<Q, R>, o: CallOptions, n: Channel): ClientCall<Q, R> {
                    attempts += o
                    return object : SimpleForwardingClientCall<Q, R>(n.newCall(m, o)) {
                        override fun setMessageCompression(enabled: Boolean) {
                            compressed += enabled
                            super.setMessageCompression(enabled)
                        }
                    }
                }
            }
        session.tokenBlocking()
        service.rejects.set(1)
        val options =
            CallOptions.DEFAULT.withDeadlineAfter(20, TimeUnit.SECONDS).withAuthority("flyte.example")
                .withCompression("gzip").withWaitForReady()
        val (told, call) = Told() to list(channel(session, service.port, watching), options)
        call.start(told, Metadata())
        call.setMessageCompression(true)
        call.request(2)
        call.sendMessage(ProjectListRequest.newBuilder().setFilters("mine").build())
        call.halfClose()
        assertTrue(told.status().isOk)
        assertEquals(listOf("mine"), told.ids())
        assertEquals(2 to 2, attempts.size to service.seen.size)
        for (one in attempts) {
            assertSame(options.deadline, one.deadline)
            assertEquals(listOf("flyte.example", "gzip", true), listOf(one.authority, one.compressor, one.isWaitForReady))
        }
        assertEquals(listOf(true, true), compressed.toList())
    }

    @Test
    fun `a stream of requests that has sent none is made again`() {
        session.tokenBlocking()
        service.rejects.set(1)
        val (told, call) = Told() to channel().newCall(BOTH, CallOptions.DEFAULT)
        call.start(told, Metadata())
        call.request(10)
        until { service.seen.size == 2 }
        repeat(3) { call.sendMessage(ProjectListRequest.newBuilder().setToken("$it").build()) }
        call.halfClose()
        assertTrue(told.status().isOk)
        assertEquals(listOf("0", "1", "2"), told.ids())
        assertNotEquals(service.seen[0], service.seen[1])
    }

    @Test
    fun `a stream says when it is ready, and what was sent before is before`() {
        sandbox.fault("delay-300", 1, "/oauth2/token")
        val (ready, call) = CountDownLatch(1) to channel().newCall(BOTH, CallOptions.DEFAULT)
        val told =
            object : Told() {
                override fun onReady() {
                    if (call.isReady) ready.countDown()
                }

                override fun onMessage(message: flyteidl.admin.ProjectOuterClass.Projects) {
                    super.onMessage(message)
                    call.request(1)
                }
            }
        call.start(told, Metadata())
        call.request(1)
        fun send(id: Int) = call.sendMessage(ProjectListRequest.newBuilder().setToken("$id").build())
        assertFalse(call.isReady)
        repeat(100, ::send)
        assertTrue(ready.await(10, TimeUnit.SECONDS))
        (100 until 1_000).forEach(::send)
        call.halfClose()
        assertTrue(told.status().isOk)
        assertEquals(List(1_000) { "$it" }, told.ids())
    }

    @Test
    fun `messages that another thread sends while the token comes are neither lost nor doubled`() {
        repeat(20) {
            val (told, call) = Told() to channel(closed(sandbox.machine())).newCall(BOTH, CallOptions.DEFAULT)
            call.start(told, Metadata())
            repeat(2_000) {
                call.request(1)
                call.sendMessage(ProjectListRequest.newBuilder().setToken("$it").build())
            }
            call.halfClose()
            assertTrue(told.status().isOk, "${told.status()}")
            assertEquals(List(2_000) { "$it" }, told.ids())
        }
    }

    @Test
    fun `the same token is not sent twice`() {
        val token = Files.createTempFile("token", null).also { Files.writeString(it, session.tokenBlocking()!!.value) }
        val config = Files.createTempFile("config", ".yaml")
        val command = "[cat, \"$token\"]"
        Files.writeString(config, "admin:\n  endpoint: ${sandbox.http}\n  authType: ExternalCommand\n  command: $command\n")
        closed(Session.fromConfig(SessionOptions().config(config).store("memory"))).let { constant ->
            service.rejects.set(9)
            val status = failure { stub(constant).listProjects(ANY) }
            assertEquals(listOf(Status.Code.UNAUTHENTICATED, "token refused"), listOf(status.code, status.description))
            assertEquals(1, service.seen.size)
        }
    }

    @Test
    fun `without auth calls pass as they are`() {
        val options = SessionOptions().endpoint(sandbox.http).authType("none").store("memory")
        val own = session.tokenBlocking()!!.headerValue
        val headers = Metadata().apply { put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), own) }
        val attach = io.grpc.stub.MetadataUtils.newAttachHeadersInterceptor(headers)
        val bare = stub(closed(Session.fromConfig(options)))
        assertEquals(1, bare.withInterceptors(attach).listProjects(ANY).projectsCount)
        assertEquals(Status.Code.UNAUTHENTICATED, failure { bare.listProjects(ANY) }.code)
        assertEquals(listOf(own, null), service.seen)
    }

    // The header's name.

    @Test
    fun `the header is the one that the server names`() {
        val discovery = closed(Discovery(sandbox, "Flyte-Authorization"))
        val named = closed(AdminService(verifier(), "flyte-authorization"))
        closed(discovery.session()).let { session ->
            val admin = AdminServiceGrpc.newBlockingStub(channel(session, named.port))
            named.rejects.set(1)
            assertEquals(1, admin.listProjects(ANY).projectsCount)
            assertEquals(2, named.seen.filterNotNull().toSet().size)
        }
    }

    @Test
    fun `a name that gRPC does not take ends the call and says so`() {
        // A header name of HTTP, but none of grpc-java's.
        closed(closed(Discovery(sandbox, "flyte!authorization")).session()).let { session ->
            repeat(2) {
                val status = failure { stub(session).listProjects(ANY) }
                assertEquals("header_unusable", (status.cause as? ServerException)?.code, "$status")
            }
            assertEquals(0, service.seen.size)
        }
    }
}
