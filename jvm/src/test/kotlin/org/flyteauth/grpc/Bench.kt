package org.flyteauth.grpc

import flyteidl.admin.ProjectOuterClass.ProjectListRequest
import flyteidl.admin.ProjectOuterClass.Projects
import flyteidl.service.AdminServiceGrpc
import flyteidl.service.Auth.OAuth2MetadataRequest
import flyteidl.service.Auth.OAuth2MetadataResponse
import flyteidl.service.Auth.PublicClientAuthConfigRequest
import flyteidl.service.Auth.PublicClientAuthConfigResponse
import flyteidl.service.AuthMetadataServiceGrpc
import io.grpc.ClientCall
import io.grpc.ClientInterceptor
import io.grpc.InsecureServerCredentials
import io.grpc.ManagedChannel
import io.grpc.Metadata
import io.grpc.Status
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder
import io.grpc.stub.StreamObserver
import java.net.InetSocketAddress
import java.util.concurrent.CompletableFuture
import java.util.concurrent.ConcurrentLinkedQueue
import java.util.concurrent.TimeUnit
import java.util.logging.Level
import java.util.logging.Logger
import org.flyteauth.Session
import org.flyteauth.SessionOptions
import org.flyteauth.Verifier
import org.flyteauth.VerifierOptions
import org.flyteauth.harness.OnSandbox
import org.flyteauth.harness.Sandbox
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.BeforeEach

val ANY: ProjectListRequest = ProjectListRequest.getDefaultInstance()

/** A sandbox for a class of tests, and a session and a server for each of them. */
abstract class Bench : OnSandbox() {
    protected lateinit var service: AdminService
    protected lateinit var session: Session
    private val closing = ArrayDeque<AutoCloseable>()

    @BeforeEach
    fun open() {
        service = AdminService(verifier())
        session = sandbox.machine()
    }

    @AfterEach
    fun shut() {
        while (closing.isNotEmpty()) closing.removeLast().close()
        service.close()
        session.close()
    }

    protected fun verifier() = Verifier(VerifierOptions(sandbox.issuer).anyAudience(true))

    protected fun <T : AutoCloseable> closed(value: T): T = value.also(closing::add)

    protected fun closed(channel: ManagedChannel): ManagedChannel {
        closing.add { channel.shutdownNow() }
        return channel
    }

    /** A channel to [service]; [below] stand between our interceptor and gRPC. */
    protected fun channel(
        of: Session = session,
        port: Int = service.port,
        vararg below: ClientInterceptor,
    ): ManagedChannel =
        closed(
            NettyChannelBuilder.forAddress("127.0.0.1", port)
                .usePlaintext()
                .intercept(*below, FlyteAuthInterceptor(of))
                .build(),
        )

    protected fun stub(of: Session = session) = AdminServiceGrpc.newBlockingStub(channel(of))

    /** Until [true] holds. */
    protected fun until(`true`: () -> Boolean) {
        val end = System.nanoTime() + 20_000_000_000
        while (!`true`()) {
            check(System.nanoTime() < end) { "it never was" }
            Thread.sleep(5)
        }
    }
}

/** What a call was told. */
open class Told : ClientCall.Listener<Projects>() {
    val messages = ConcurrentLinkedQueue<Projects>()
    val closed = CompletableFuture<Status>()
    val closes = ConcurrentLinkedQueue<Status>()

    override fun onMessage(message: Projects) {
        messages += message
    }

    override fun onClose(status: Status, trailers: Metadata) {
        closes += status
        closed.complete(status)
    }

    fun status(): Status = closed.get(20, TimeUnit.SECONDS)

    fun ids(): List<String> = messages.flatMap { it.projectsList }.map { it.id }
}

/** Flyte 1's discovery over gRPC, which names the sandbox as its authorization server and [header] as the tokens' place. */
class Discovery(private val sandbox: Sandbox, private val header: String) : AutoCloseable {
    private companion object {
        /** Flyte 2's discovery is asked for too, over HTTP/1, which gRPC's server tells at length. */
        val QUIET: Logger = Logger.getLogger("io.grpc").apply { level = Level.WARNING }
    }

    private inner class Service : AuthMetadataServiceGrpc.AuthMetadataServiceImplBase() {
        override fun getOAuth2Metadata(
            request: OAuth2MetadataRequest,
            observer: StreamObserver<OAuth2MetadataResponse>,
        ) {
            observer.onNext(
                OAuth2MetadataResponse.newBuilder()
                    .setIssuer(sandbox.issuer)
                    .setAuthorizationEndpoint("${sandbox.http}/oauth2/authorize")
                    .setTokenEndpoint("${sandbox.http}/oauth2/token")
                    .build(),
            )
            observer.onCompleted()
        }

        override fun getPublicClientConfig(
            request: PublicClientAuthConfigRequest,
            observer: StreamObserver<PublicClientAuthConfigResponse>,
        ) {
            observer.onNext(
                PublicClientAuthConfigResponse.newBuilder()
                    .setClientId("flytectl")
                    .setRedirectUri("http://localhost:53593/callback")
                    .addScopes("all")
                    .setAuthorizationMetadataKey(header)
                    .build(),
            )
            observer.onCompleted()
        }
    }

    private val server =
        NettyServerBuilder.forAddress(InetSocketAddress("127.0.0.1", 0), InsecureServerCredentials.create())
            .addService(Service())
            .build()
            .start()
            .also { QUIET.level }

    /** A machine's session with it. */
    fun session(): Session =
        Session.fromConfig(
            SessionOptions().endpoint("127.0.0.1:${server.port}").insecure(true).store("memory").authType("ClientSecret")
                .clientId("flytepropeller").clientSecret("foobar"),
        )

    override fun close() {
        server.shutdownNow().awaitTermination()
    }
}
