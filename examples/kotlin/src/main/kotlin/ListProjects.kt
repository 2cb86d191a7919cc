// The projects of a Flyte deployment, with your login: what pyflyte does, by grpc-java and Flyte's own protocol.
//
//     mvn package
//     java -cp "target/classes:target/lib/*" ListProjectsKt dns:///flyte.example.org
//
// Without an argument the endpoint is the one of pyflyte's configuration. The first run signs you in; machine
// credentials
// work too: FLYTE_AUTH_CLIENT_ID and FLYTE_AUTH_CLIENT_SECRET.

import flyteidl.admin.ProjectOuterClass.Project
import flyteidl.admin.ProjectOuterClass.ProjectListRequest
import flyteidl.service.AdminServiceGrpc
import flyteidl.service.AdminServiceGrpc.AdminServiceBlockingStub
import io.grpc.StatusRuntimeException
import java.util.concurrent.TimeUnit
import kotlin.system.exitProcess
import org.flyteauth.FlyteAuthException
import org.flyteauth.LoginRequiredException
import org.flyteauth.Session
import org.flyteauth.SessionOptions
import org.flyteauth.grpc.FlyteChannels

fun signedIn(endpoint: String?): Session {
    val session = Session.fromConfig(SessionOptions().endpoint(endpoint))
    try {
        session.tokenBlocking()
    } catch (error: LoginRequiredException) {
        // Asks whoever sits there; in CI and cron nobody does, and the error says what to do.
        if (System.console() == null) throw error
        session.loginBlocking()
    }
    return session
}

fun projects(flyte: AdminServiceBlockingStub): Sequence<Project> = sequence {
    val request = ProjectListRequest.newBuilder().setLimit(100)
    do {
        val page = flyte.withDeadlineAfter(30, TimeUnit.SECONDS).listProjects(request.build())
        yieldAll(page.projectsList)
        request.token = page.token
    } while (page.token.isNotEmpty())
}

fun main(arguments: Array<String>) {
    try {
        signedIn(arguments.firstOrNull()).use { session ->
            // Each call of this channel has the token, refreshed when it is due; one that the server rejects is
            // replaced
            // once.
            val channel = FlyteChannels.channel(session)
            try {
                projects(AdminServiceGrpc.newBlockingStub(channel)).forEach { println("${it.id}  ${it.name}") }
            } finally {
                channel.shutdownNow()
            }
        }
    } catch (error: FlyteAuthException) {
        fail(error.message)
    } catch (error: StatusRuntimeException) {
        fail("${error.status.code}: ${error.status.description}")
    }
}

fun fail(message: String?): Nothing {
    System.err.println("list_projects: $message")
    exitProcess(1)
}
