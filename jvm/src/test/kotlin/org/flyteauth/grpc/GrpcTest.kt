package org.flyteauth.grpc

import flyteidl.admin.ProjectOuterClass.ProjectListRequest
import flyteidl.admin.ProjectOuterClass.Projects
import flyteidl.service.AdminServiceGrpc
import flyteidl.service.Identity.UserInfoRequest
import flyteidl.service.IdentityServiceGrpc
import io.grpc.CallOptions
import io.grpc.ClientCall
import io.grpc.Context
import io.grpc.ManagedChannel
import io.grpc.Metadata
import io.grpc.Status
import io.grpc.StatusRuntimeException
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder
import io.grpc.stub.ClientCalls
import io.grpc.stub.StreamObserver
import java.io.File
import java.util.concurrent.CompletableFuture
import java.util.concurrent.ConcurrentLinkedQueue
import java.util.concurrent.Executors
import java.util.concurrent.TimeUnit
import org.flyteauth.ConfigException
import org.flyteauth.LoginRequiredException
import org.flyteauth.NetworkException
import org.flyteauth.Session
import org.flyteauth.SessionOptions
import org.flyteauth.Verifier
import org.flyteauth.VerifierOptions
import org.flyteauth.harness.ALICE
import org.flyteauth.harness.OnSandbox
import org.flyteauth.harness.Sandbox
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.BeforeEach
import org.junit.jupiter.api.Test

private val ALL: ProjectListRequest = ProjectListRequest.getDefaultInstance()

/** Real grpc-java on both sides, with the sandbox's tokens. */
class GrpcTest : OnSandbox("--auto-approve", ALICE) {
    private lateinit var service: AdminService
    private lateinit var session: Session
    private val channels = mutableListOf<ManagedChannel>()

    @BeforeEach
    fun open() {
        service = AdminService(Verifier(VerifierOptions(sandbox.issuer).anyAudience(true)))
        session = sandbox.machine()
    }

    @AfterEach
    fun shut() {
        channels.onEach { it.shutdownNow() }.clear()
        service.close()
        session.close()
    }

    private fun channel(of: Session = session, port: Int = service.port): ManagedChannel =
        NettyChannelBuilder.forAddress("127.0.0.1", port).usePlaintext().intercept(FlyteAuthInterceptor(of)).build()
            .also(channels::add)

    private fun stub(of: Session = session) = AdminServiceGrpc.newBlockingStub(channel(of))

    private fun Projects.ids(): List<String> = projectsList.map { it.id }

    private fun failure(call: () -> Any?): Status = assertThrows(StatusRuntimeException::class.java) { call() }.status

    @Test
    fun `a call carries the token in place of what it had`() {
        val headers = Metadata().apply { put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer old") }
        val admin = stub().withInterceptors(io.grpc.stub.MetadataUtils.newAttachHeadersInterceptor(headers))
        assertEquals(listOf("flytesnacks"), admin.listProjects(ALL).ids())
        assertEquals(listOf(session.tokenBlocking()!!.headerValue), service.seen)
    }

    @Test
    fun `blocking, future and asynchronous stubs`() {
        val channel = channel()
        assertEquals(listOf("flytesnacks"), AdminServiceGrpc.newFutureStub(channel).listProjects(ALL).get().ids())
        val answer = CompletableFuture<Projects>()
        AdminServiceGrpc.newStub(channel).listProjects(ALL, observer(onNext = answer::complete, answer))
        assertEquals(listOf("flytesnacks"), answer.get(10, TimeUnit.SECONDS).ids())
    }

    private fun observer(onNext: (Projects) -> Unit, end: CompletableFuture<*>, onEnd: () -> Unit = {}) =
        object : StreamObserver<Projects> {
            override fun onNext(value: Projects) = onNext(value)

            override fun onError(error: Throwable) {
                end.completeExceptionally(error)
            }

            override fun onCompleted() = onEnd()
        }

    @Test
    fun `a rejected token is renewed once, and the caller sees nothing of it`() {
        val first = session.tokenBlocking()!!
        service.rejects.set(1)
        assertEquals(listOf("flytesnacks"), stub().listProjects(ALL).ids())
        assertEquals(2, service.seen.size)
        assertEquals(first.headerValue, service.seen[0])
        assertFalse(service.seen[1] == first.headerValue)
    }

    @Test
    fun `a second rejection comes through as it is`() {
        service.rejects.set(2)
        val status = failure { stub().listProjects(ALL) }
        assertEquals(listOf(Status.Code.UNAUTHENTICATED, "token refused"), listOf(status.code, status.description))
        assertEquals(2, service.seen.size)
    }

    @Test
    fun `no other status is touched`() {
        for (code in listOf(Status.PERMISSION_DENIED, Status.UNAVAILABLE, Status.UNKNOWN, Status.NOT_FOUND)) {
            service.ends = code
            service.seen.clear()
            assertEquals(code.code, failure { stub().listProjects(ALL) }.code)
            assertEquals(1, service.seen.size)
        }
    }

    @Test
    fun `an answer that has begun is not begun again`() {
        session.tokenBlocking()
        service.headersFirst = true
        service.rejects.set(1)
        assertEquals(Status.Code.UNAUTHENTICATED, failure { stub().listProjects(ALL) }.code)
        assertEquals(1, service.seen.size)
        // But its token is not served again.
        service.headersFirst = false
        stub().listProjects(ALL)
        assertFalse(service.seen[0] == service.seen[1])
    }

    @Test
    fun `a stream of answers after a rejection`() {
        service.rejects.set(1)
        val request = ProjectListRequest.newBuilder().setLimit(500).build()
        val answers = ClientCalls.blockingServerStreamingCall(channel(), DOWN, CallOptions.DEFAULT, request)
        assertEquals(List(500) { "$it" }, answers.asSequence().map { it.ids().single() }.toList())
        assertEquals(2, service.seen.size)
    }

    @Test
    fun `a stream of requests that waited for its token is sent whole and once`() {
        sandbox.fault("delay-500", 1, "/oauth2/token")
        val answer = CompletableFuture<Projects>()
        val call = channel().newCall(UP, CallOptions.DEFAULT)
        val up = ClientCalls.asyncClientStreamingCall(call, observer(answer::complete, answer))
        repeat(100) { up.onNext(ALL) }
        up.onCompleted()
        assertEquals(listOf("100"), answer.get(20, TimeUnit.SECONDS).ids())
    }

    @Test
    fun `a stream of requests is not sent twice`() {
        session.tokenBlocking()
        service.rejects.set(1)
        val answer = CompletableFuture<Projects>()
        val up = ClientCalls.asyncClientStreamingCall(channel().newCall(UP, CallOptions.DEFAULT), observer(answer::complete, answer))
        up.onNext(ALL)
        up.onCompleted()
        val error = assertThrows(java.util.concurrent.ExecutionException::class.java) { answer.get(20, TimeUnit.SECONDS) }
        assertEquals(Status.Code.UNAUTHENTICATED, Status.fromThrowable(error.cause!!).code)
        assertEquals(1, service.seen.size)
    }

    @Test
    fun `both ways at once, in order`() {
        val (answers, end) = ConcurrentLinkedQueue<String>() to CompletableFuture<Unit>()
        val both =
            ClientCalls.asyncBidiStreamingCall(
                channel().newCall(BOTH, CallOptions.DEFAULT),
                observer({ answers += it.ids() }, end) { end.complete(Unit) },
            )
        repeat(1_000) { both.onNext(ProjectListRequest.newBuilder().setToken("$it").build()) }
        both.onCompleted()
        end.get(20, TimeUnit.SECONDS)
        assertEquals(List(1_000) { "$it" }, answers.toList())
    }

    @Test
    fun `messages come as they are asked for`() {
        val call = channel().newCall(DOWN, CallOptions.DEFAULT)
        val (got, closed) = ConcurrentLinkedQueue<Projects>() to CompletableFuture<Status>()
        call.start(
            object : ClientCall.Listener<Projects>() {
                override fun onMessage(message: Projects) {
                    got += message
                }

                override fun onClose(status: Status, trailers: Metadata) {
                    closed.complete(status)
                }
            },
            Metadata(),
        )
        call.request(2)
        call.sendMessage(ProjectListRequest.newBuilder().setLimit(5).build())
        call.halfClose()
        val until = System.nanoTime() + 10_000_000_000
        while (got.size < 2 && System.nanoTime() < until) Thread.sleep(5)
        Thread.sleep(100)
        assertEquals(2, got.size)
        call.request(10)
        assertTrue(closed.get(10, TimeUnit.SECONDS).isOk)
        assertEquals(5, got.size)
    }

    @Test
    fun `the deadline counts while a token is waited for`() {
        sandbox.fault("delay-3000", 1, "/oauth2/token")
        val begun = System.nanoTime()
        val status = failure { stub().withDeadlineAfter(300, TimeUnit.MILLISECONDS).listProjects(ALL) }
        assertEquals(Status.Code.DEADLINE_EXCEEDED, status.code)
        assertTrue(System.nanoTime() - begun < 2_000_000_000)
        assertEquals(0, service.seen.size)
    }

    @Test
    fun `and so does the context's`() {
        sandbox.fault("delay-3000", 1, "/oauth2/token")
        val timer = Executors.newSingleThreadScheduledExecutor()
        val context = Context.current().withDeadlineAfter(300, TimeUnit.MILLISECONDS, timer)
        val status = failure { context.call { stub().listProjects(ALL) } }
        assertEquals(Status.Code.DEADLINE_EXCEEDED, status.code)
        timer.shutdownNow()
    }

    @Test
    fun `cancelling ends the wait, and the call is never made`() {
        sandbox.fault("delay-1000", 1, "/oauth2/token")
        val call = AdminServiceGrpc.newFutureStub(channel()).listProjects(ALL)
        assertTrue(call.cancel(true))
        Thread.sleep(1_300)
        assertEquals(0, service.seen.size)
        assertTrue(session.tokenBlocking() != null)
    }

    @Test
    fun `calls that wait have no thread each, and share one request`() {
        session.invalidate(session.tokenBlocking())
        val before = sandbox.requestsTo("/oauth2/token")
        sandbox.fault("delay-1000", 1, "/oauth2/token")
        val admin = AdminServiceGrpc.newFutureStub(channel())
        val threads = File("/proc/self/task").list()!!.size
        val calls = List(300) { admin.listProjects(ALL) }
        sandbox.served("/oauth2/token", before + 1)
        val grown = File("/proc/self/task").list()!!.size - threads
        assertTrue(grown < 40, "$grown threads more for 300 calls")
        calls.forEach { assertEquals(listOf("flytesnacks"), it.get(20, TimeUnit.SECONDS).ids()) }
        assertEquals(before + 1, sandbox.requestsTo("/oauth2/token"))
    }

    @Test
    fun `many calls rejected at once make one refresh`() {
        service.revoked = session.tokenBlocking()!!.headerValue
        val before = sandbox.requestsTo("/oauth2/token")
        val admin = AdminServiceGrpc.newFutureStub(channel())
        val calls = List(50) { admin.listProjects(ALL) }
        calls.forEach { assertEquals(listOf("flytesnacks"), it.get(20, TimeUnit.SECONDS).ids()) }
        assertEquals(before + 1, sandbox.requestsTo("/oauth2/token"))
    }

    @Test
    fun `whoever is not signed in is told so, with what to do`() {
        val nobody = Session.fromConfig(sandbox.options())
        val status = failure { stub(nobody).listProjects(ALL) }
        assertEquals(Status.Code.UNAUTHENTICATED, status.code)
        assertTrue(status.cause is LoginRequiredException && status.description == status.cause!!.message)
        assertEquals(0, service.seen.size)
    }

    @Test
    fun `a server that cannot be reached may be tried again`() {
        val options = SessionOptions().endpoint("http://127.0.0.1:9").store("memory").clientId("c").clientSecret("hidden-secret")
        val status = failure { stub(Session.fromConfig(options)).listProjects(ALL) }
        assertEquals(Status.Code.UNAVAILABLE, status.code)
        assertTrue(status.cause is NetworkException)
        assertFalse("hidden-secret" in "$status")
    }

    @Test
    fun `credentials go over TLS alone`() {
        val bare = NettyChannelBuilder.forAddress("127.0.0.1", service.port).usePlaintext().build().also(channels::add)
        val admin = AdminServiceGrpc.newBlockingStub(bare).withCallCredentials(FlyteCallCredentials(session))
        val status = failure { admin.listProjects(ALL) }
        assertEquals(Status.Code.UNAUTHENTICATED, status.code)
        assertTrue("does not go out without TLS" in status.description!!, status.description)
        assertEquals(0, service.seen.size)
    }

    @Test
    fun `a channel of the session's own speaks with the sandbox`() {
        Session.fromConfig(SessionOptions().endpoint(sandbox.grpc).insecure(true).store("memory")).use { alice ->
            sandbox.signIn(alice)
            val channel = FlyteChannels.channel(alice).also(channels::add)
            assertEquals(ALICE, IdentityServiceGrpc.newBlockingStub(channel).userInfo(UserInfoRequest.getDefaultInstance()).email)
        }
    }

    @Test
    fun `and so over TLS, with its CA or with none`() {
        Sandbox.start("--tls", "--auto-approve", ALICE).use { tls ->
            for (options in listOf(tls.options(), tls.options().caCert(null).insecureSkipVerify(true))) {
                Session.fromConfig(options.endpoint(tls.grpc).authType("ClientSecret").clientId("flytepropeller").clientSecret("foobar")).use { machine ->
                    val channel = FlyteChannels.channel(machine).also(channels::add)
                    val who = IdentityServiceGrpc.newBlockingStub(channel).userInfo(UserInfoRequest.getDefaultInstance())
                    assertEquals("flytepropeller", who.subject)
                    // The same with credentials of each call.
                    val bare = io.grpc.Grpc.newChannelBuilder(tls.grpc.substringAfter("://"), FlyteChannels.credentials(machine)).build().also(channels::add)
                    val stub = IdentityServiceGrpc.newBlockingStub(bare).withCallCredentials(FlyteCallCredentials(machine))
                    assertEquals("flytepropeller", stub.userInfo(UserInfoRequest.getDefaultInstance()).subject)
                }
            }
        }
    }

    @Test
    fun `a session without an endpoint has no channel`() {
        val issuer = Session.fromConfig(SessionOptions().issuer("https://idp.example").clientId("c").clientSecret("s").store("memory"))
        val error = assertThrows(ConfigException::class.java) { FlyteChannels.channel(issuer) }
        assertEquals("no_endpoint", error.code)
    }

    @Test
    fun `certificates that cannot be read are named`() {
        val missing = File("/nowhere/ca.pem")
        val options = SessionOptions().endpoint("flyte.example").caCert(missing.toPath()).store("memory")
        val error =
            assertThrows(ConfigException::class.java) { FlyteChannels.channel(Session.fromConfig(options)) }
        assertEquals("certificate_unreadable", error.code, error.message)
    }
}
