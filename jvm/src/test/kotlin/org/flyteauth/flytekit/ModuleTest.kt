package org.flyteauth.flytekit

import flyteidl.admin.ProjectOuterClass.ProjectListRequest
import flyteidl.service.AdminServiceGrpc
import io.grpc.Metadata
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder
import io.grpc.stub.MetadataUtils
import java.io.File
import java.net.URL
import java.net.URLClassLoader
import java.util.Collections
import java.util.Enumeration
import java.util.ServiceLoader
import org.flyte.jflyte.api.TokenSource
import org.flyte.jflyte.api.TokenSourceFactory
import org.flyte.jflyte.api.TokenSourceFactoryRegistrar
import org.flyteauth.LoginRequiredException
import org.flyteauth.NetworkException
import org.flyteauth.Session
import org.flyteauth.Verifier
import org.flyteauth.VerifierOptions
import org.flyteauth.grpc.AdminService
import org.flyteauth.harness.ALICE
import org.flyteauth.harness.Sandbox
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNotSame
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.Timeout

/**
 * One folder of `FLYTE_INTERNAL_MODULE_DIR`, as flytekit-java loads it (jflyte-utils, `ChildFirstClassLoader`): its own
 * classes before those of the class path, its own services alone, and of the class path only the API.
 */
private class Module(jars: List<URL>) : URLClassLoader(jars.toTypedArray(), Module::class.java.classLoader) {
    override fun loadClass(name: String, resolve: Boolean): Class<*> =
        synchronized(this) {
            findLoadedClass(name)
                ?: if (name.startsWith("org.flyte.jflyte.api.")) {
                    super.loadClass(name, resolve)
                } else {
                    try {
                        findClass(name)
                    } catch (_: ClassNotFoundException) {
                        parent.loadClass(name)
                    }
                }
        }

    override fun getResource(name: String): URL? = findResource(name) ?: if (isOwn(name)) null else parent.getResource(name)

    override fun getResources(name: String): Enumeration<URL> {
        val inherited = if (isOwn(name)) emptyList() else parent.getResources(name).toList()
        return Collections.enumeration(findResources(name).toList() + inherited)
    }

    private fun isOwn(name: String): Boolean = name.startsWith("META-INF/services/")
}

@Timeout(60)
class ModuleTest {
    /** What the jar needs, and nothing else of this test's class path. */
    private fun jars(): List<URL> {
        val needed = listOf("kotlin-stdlib", "kotlinx-coroutines-core", "jna", "annotations")
        return System.getProperty("java.class.path").split(File.pathSeparator).map(::File)
            .filter { file -> file.path.endsWith("target/classes") || needed.any { file.name.startsWith("$it-") } }
            .map { it.toURI().toURL() }
    }

    /** jflyte-utils, `TokenSourceFactoryLoader`: the context's class loader is the module's while it looks, not later. */
    private fun find(module: ClassLoader, env: Map<String, String>): TokenSourceFactory {
        val thread = Thread.currentThread()
        val before = thread.contextClassLoader
        thread.contextClassLoader = module
        try {
            return ServiceLoader.load(TokenSourceFactoryRegistrar::class.java)
                .flatMap { it.load(env) }
                .single { it.method == "flyte_auth" }
        } finally {
            thread.contextClassLoader = before
        }
    }

    @Test
    fun `a module gives the tokens of whoever signed in elsewhere, and the server takes them`() {
        Sandbox.start("--auto-approve", ALICE).use { sandbox ->
            // Another program's login, in the machine's store.
            val elsewhere = Session.fromConfig(sandbox.options().store("file"))
            elsewhere.use(sandbox::signIn)
            val env =
                mapOf("FLYTE_PLATFORM_URL" to sandbox.http.removePrefix("http://"), "FLYTE_PLATFORM_INSECURE" to "True")
            repeat(2) {
                Module(jars()).use { module ->
                    val factory = find(module, env)
                    assertNotSame(FlyteAuthTokenSourceFactoryRegistrar::class.java.classLoader, factory.javaClass.classLoader)
                    val token = factory.tokenSource.token()
                    call(sandbox, "${token.tokenType()} ${token.accessToken()}")
                }
            }
            Session.fromConfig(sandbox.options().store("file")).use { assertTrue(it.logoutBlocking().wasSignedIn) }
        }
    }

    /** As flytekit-java's client does: its header has a name of its own. */
    private fun call(sandbox: Sandbox, header: String) {
        AdminService(Verifier(VerifierOptions(sandbox.issuer).anyAudience(true)), "flyte-authorization").use { service ->
            val key = Metadata.Key.of("flyte-authorization", Metadata.ASCII_STRING_MARSHALLER)
            val headers = MetadataUtils.newAttachHeadersInterceptor(Metadata().apply { put(key, header) })
            val channel =
                NettyChannelBuilder.forAddress("127.0.0.1", service.port).usePlaintext().intercept(headers).build()
            val projects = AdminServiceGrpc.newBlockingStub(channel).listProjects(ProjectListRequest.getDefaultInstance())
            assertEquals(1, projects.projectsCount)
            channel.shutdownNow()
        }
    }

    @Test
    fun `whether there is TLS is what flytekit-java makes of it`() {
        Sandbox.start().use { sandbox ->
            fun source(insecure: String): TokenSource {
                val env = mapOf("FLYTE_PLATFORM_URL" to sandbox.http.removePrefix("http://"))
                val loader = FlyteAuthTokenSourceFactoryRegistrar::class.java.classLoader
                return find(loader, env + ("FLYTE_PLATFORM_INSECURE" to insecure)).tokenSource
            }
            // It answers without TLS alone, and has nobody signed in.
            assertThrows(LoginRequiredException::class.java) { source("TRUE").token() }
            for (value in listOf("False", " true", "1")) {
                assertThrows(NetworkException::class.java) { source(value).token() }
            }
        }
    }
}
