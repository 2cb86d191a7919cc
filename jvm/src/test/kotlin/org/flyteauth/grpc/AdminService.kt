package org.flyteauth.grpc

import flyteidl.admin.ProjectOuterClass.Project
import flyteidl.admin.ProjectOuterClass.ProjectListRequest
import flyteidl.admin.ProjectOuterClass.Projects
import flyteidl.service.AdminServiceGrpc
import io.grpc.Context
import io.grpc.Contexts
import io.grpc.InsecureServerCredentials
import io.grpc.Metadata
import io.grpc.MethodDescriptor
import io.grpc.ServerCall
import io.grpc.ServerCallHandler
import io.grpc.ServerInterceptor
import io.grpc.ServerServiceDefinition
import io.grpc.Status
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder
import io.grpc.protobuf.ProtoUtils
import io.grpc.stub.ServerCalls
import io.grpc.stub.StreamObserver
import java.net.InetSocketAddress
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.atomic.AtomicInteger
import org.flyteauth.FlyteAuthException
import org.flyteauth.Verifier

private fun method(name: String, type: MethodDescriptor.MethodType): MethodDescriptor<ProjectListRequest, Projects> =
    MethodDescriptor.newBuilder<ProjectListRequest, Projects>()
        .setFullMethodName("test.Streams/$name")
        .setType(type)
        .setRequestMarshaller(ProtoUtils.marshaller(ProjectListRequest.getDefaultInstance()))
        .setResponseMarshaller(ProtoUtils.marshaller(Projects.getDefaultInstance()))
        .build()

/** A stream of answers to one request, of requests to one answer, and both: admin has none. */
val DOWN = method("Down", MethodDescriptor.MethodType.SERVER_STREAMING)
val UP = method("Up", MethodDescriptor.MethodType.CLIENT_STREAMING)
val BOTH = method("Both", MethodDescriptor.MethodType.BIDI_STREAMING)

/** A real gRPC server with flyteidl's admin service, which takes the tokens of one issuer alone. */
class AdminService(private val verifier: Verifier, private val header: String = "authorization") : AutoCloseable {
    /** The `authorization` of each call, in order. */
    val seen = CopyOnWriteArrayList<String?>()

    /** The next calls, and how many, that are rejected whatever their token. */
    val rejects = AtomicInteger()

    /** The header that no call gets in with any more. */
    @Volatile var revoked: String? = null

    /** What each call that is not rejected ends with, if not OK. */
    @Volatile var ends: Status? = null

    /** Rejects with headers that say something. */
    @Volatile var headersFirst = false

    private val server =
        NettyServerBuilder.forAddress(InetSocketAddress("127.0.0.1", 0), InsecureServerCredentials.create())
            .intercept(Guard())
            .addService(Admin())
            .addService(streams())
            .build()
            .start()

    val port: Int
        get() = server.port

    private inner class Guard : ServerInterceptor {
        override fun <Q : Any, R : Any> interceptCall(
            call: ServerCall<Q, R>,
            headers: Metadata,
            next: ServerCallHandler<Q, R>,
        ): ServerCall.Listener<Q> {
            val value = headers.get(Metadata.Key.of(header, Metadata.ASCII_STRING_MARSHALLER))
            seen.add(value)
            val isRejected = rejects.getAndUpdate { if (it > 0) it - 1 else 0 } > 0
            if (isRejected || !isGood(value)) {
                if (headersFirst) {
                    val said = Metadata.Key.of("x-said", Metadata.ASCII_STRING_MARSHALLER)
                    call.sendHeaders(Metadata().apply { put(said, "something") })
                }
                call.close(Status.UNAUTHENTICATED.withDescription("token refused"), Metadata())
                return object : ServerCall.Listener<Q>() {}
            }
            ends?.let {
                call.close(it, Metadata())
                return object : ServerCall.Listener<Q>() {}
            }
            return Contexts.interceptCall(Context.current(), call, headers, next)
        }

        private fun isGood(value: String?): Boolean =
            try {
                value != null && value != revoked && value.startsWith("Bearer ") && verifier.verifyBlocking(value.drop(7)).issuer != null
            } catch (_: FlyteAuthException) {
                false
            }
    }

    private class Admin : AdminServiceGrpc.AdminServiceImplBase() {
        override fun listProjects(request: ProjectListRequest, observer: StreamObserver<Projects>) {
            observer.onNext(projects(request.filters.ifEmpty { "flytesnacks" }))
            observer.onCompleted()
        }
    }

    private fun streams(): ServerServiceDefinition =
        ServerServiceDefinition.builder("test.Streams")
            .addMethod(DOWN, ServerCalls.asyncServerStreamingCall { request, observer ->
                repeat(request.limit) { observer.onNext(projects("$it")) }
                observer.onCompleted()
            })
            .addMethod(UP, ServerCalls.asyncClientStreamingCall { observer ->
                object : StreamObserver<ProjectListRequest> {
                    var count = 0

                    override fun onNext(value: ProjectListRequest) {
                        count += 1
                    }

                    override fun onError(error: Throwable) = Unit

                    override fun onCompleted() {
                        observer.onNext(projects("$count"))
                        observer.onCompleted()
                    }
                }
            })
            .addMethod(BOTH, ServerCalls.asyncBidiStreamingCall { observer ->
                object : StreamObserver<ProjectListRequest> {
                    override fun onNext(value: ProjectListRequest) = observer.onNext(projects(value.token))

                    override fun onError(error: Throwable) = Unit

                    override fun onCompleted() = observer.onCompleted()
                }
            })
            .build()

    override fun close() {
        server.shutdownNow().awaitTermination()
    }
}

fun projects(vararg ids: String): Projects =
    Projects.newBuilder().addAllProjects(ids.map { Project.newBuilder().setId(it).build() }).build()
