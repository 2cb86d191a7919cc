package org.flyteauth

import java.net.URLClassLoader
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.attribute.PosixFilePermissions
import kotlin.io.path.writeBytes
import kotlin.io.path.writeText
import org.flyteauth.harness.Ended
import org.flyteauth.harness.Program
import org.flyteauth.harness.Sandbox
import org.flyteauth.internal.Platform
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** Opens a session twice and prints what came of it. */
object Opens {
    @JvmStatic fun endpoint(): String = Session.forEndpoint("flyte.example.org").endpoint

    @JvmStatic
    fun main(arguments: Array<String>) {
        repeat(2) {
            try {
                println(Session.forEndpoint("flyte.example.org").endpoint)
            } catch (error: LinkageError) {
                println("${error.javaClass.simpleName}: ${error.message}")
            }
        }
    }
}

/** Uses it for the first time when the JVM ends. */
object Late {
    @JvmStatic
    fun main(arguments: Array<String>) {
        Runtime.getRuntime().addShutdownHook(Thread { println(Opens.endpoint()) })
    }
}

/** What two applications in one JVM do: each has the jar in a class loader of its own. Prints what came of it. */
object Applications {
    private fun loader(): ClassLoader =
        URLClassLoader(Program.CLASSPATH.map { Path.of(it).toUri().toURL() }.toTypedArray(), ClassLoader.getPlatformClassLoader())

    /** Signs in by a login whose deadline comes, and says what it was told. */
    private fun told(by: ClassLoader): String {
        val events = java.util.concurrent.LinkedBlockingQueue<String>()
        val login = by.loadClass("org.flyteauth.LoginOptions").getConstructor().newInstance()
        fun set(name: String, type: Class<*>, value: Any) = login.javaClass.getMethod(name, type).invoke(login, value)
        set("flow", String::class.java, "pkce")
        set("noBrowser", Boolean::class.java, true)
        set("timeout", java.time.Duration::class.java, java.time.Duration.ofMillis(500))
        set("onEvent", java.util.function.Consumer::class.java, java.util.function.Consumer<Any> { events += "told" })
        val options = by.loadClass("org.flyteauth.SessionOptions").getConstructor().newInstance()
        options.javaClass.getMethod("store", String::class.java).invoke(options, "memory")
        val session = by.loadClass("org.flyteauth.Session").getMethod("forEndpoint", String::class.java, options.javaClass)
            .invoke(null, System.getProperty("sandbox"), options)
        val failed = runCatching { session.javaClass.getMethod("login", login.javaClass).invoke(session, login) }
        val why = failed.exceptionOrNull()!!.let { it.cause ?: it }
        return "${why.javaClass.simpleName} ${events.isNotEmpty()}"
    }

    @JvmStatic
    fun main(arguments: Array<String>) {
        val loaders = List(4) { loader() }
        val together = java.util.concurrent.CyclicBarrier(loaders.size)
        val said =
            loaders.map { loader ->
                java.util.concurrent.CompletableFuture.supplyAsync(
                    {
                        together.await()
                        val open = loader.loadClass("org.flyteauth.Opens")
                        runCatching { open.getMethod("endpoint").invoke(null) }.fold({ "$it" }) { "${it.cause}" }
                    },
                    { Thread(it).start() },
                )
            }
        said.forEach { println(it.get()) }
        // The first to be loaded is asked once all are.
        loaders.forEach { println(told(it)) }
    }
}

/** The native library: chosen, unpacked, loaded, or a clear error. */
class LibraryTest {
    @TempDir lateinit var folder: Path

    private val main = Opens::class.java.name
    private val library = Sandbox.ROOT.resolve("target/uniffi").resolve(Platform.file)

    private fun opens(vararg jvm: String, classpath: List<String> = Program.CLASSPATH): Ended =
        Program(main, jvm = jvm.toList(), classpath = classpath).finish()

    /** What is still unpacked in [folder]. */
    private fun left(): List<Path> =
        Files.list(folder).use { files -> files.filter { "flyte" in it.fileName.toString() }.toList() }

    /** Both attempts say the same. */
    private fun Ended.said(): String {
        well()
        val lines = stdout.trim().lines()
        assertEquals(2, lines.size, stdout)
        assertEquals(lines[0], lines[1])
        return lines[0]
    }

    /** The class path without natives. */
    private fun bare(): List<String> {
        val classes = folder.resolve("classes")
        val packed = Program.CLASSPATH.first { Files.isDirectory(Path.of(it, "org/flyteauth/native")) }
        Files.walk(Path.of(packed)).use { files ->
            files.filter { Files.isRegularFile(it) && "native/" !in it.toString() }.forEach {
                val to = classes.resolve(Path.of(packed).relativize(it).toString())
                Files.createDirectories(to.parent)
                Files.copy(it, to)
            }
        }
        return listOf(classes.toString()) + Program.CLASSPATH.filter { it != packed }
    }

    @Test
    fun `the packed library is unpacked for this process alone and leaves nothing behind`() {
        assertEquals("flyte.example.org", opens("-Djava.io.tmpdir=$folder").said())
        assertEquals(emptyList<Path>(), left())
    }

    @Test
    fun `applications with class loaders of their own in one JVM have each its own`() {
        Sandbox.start().use { sandbox ->
            for (jvm in listOf(emptyList(), listOf("-Dorg.flyteauth.library=$library"))) {
                val ended = Program(Applications::class.java.name, jvm = jvm + "-Dsandbox=${sandbox.http}").finish()
                ended.well()
                val expected = List(4) { "flyte.example.org" } + List(4) { "LoginCancelledException true" }
                assertEquals(expected, ended.stdout.trim().lines(), ended.stderr)
            }
        }
    }

    @Test
    fun `a first use at the end of the JVM works`() {
        val ended = Program(Late::class.java.name).finish()
        assertEquals("flyte.example.org", ended.stdout.trim(), ended.stderr)
    }

    @Test
    fun `what cannot be unpacked leaves nothing behind`() {
        val small = listOf("bash", "-c", "ulimit -f 2000; exec \"$@\"", "bash")
        val ended = Program(main, jvm = listOf("-Djava.io.tmpdir=$folder", "-Xshare:off"), under = small).finish()
        assertTrue("cannot be unpacked" in ended.stdout, ended.stdout + ended.stderr)
        assertEquals(emptyList<Path>(), left())
    }

    @Test
    fun `a jar for other machines says which it is for`() {
        val said = opens("-Dos.arch=riscv64").said()
        assertTrue(said.startsWith("UnsatisfiedLinkError: flyte-auth: this jar has no native library for linux-riscv64-gnu. It has "), said)
        assertTrue(Platform.here in said && "-Dorg.flyteauth.library=FILE" in said, said)
    }

    @Test
    fun `a jar without a library says so`() {
        val said = opens(classpath = bare()).said()
        assertTrue("this jar has no native library for ${Platform.here}. It has none at all; build one with `cargo build" in said, said)
    }

    @Test
    fun `a named library is used`() {
        assertEquals("flyte.example.org", opens("-Dorg.flyteauth.library=$library", classpath = bare()).said())
    }

    @Test
    fun `a named library that is missing is named`() {
        val said = opens("-Dorg.flyteauth.library=$folder/none.so").said()
        assertTrue("cannot load $folder/none.so: " in said && "Correct or leave out -Dorg.flyteauth.library" in said, said)
    }

    @Test
    fun `a library of another architecture is refused, not run`() {
        val bytes = Files.readAllBytes(library)
        // e_machine of an ELF header: EM_RISCV.
        bytes[18] = 0xF3.toByte()
        val other = folder.resolve("other.so").apply { writeBytes(bytes) }
        val said = opens("-Dorg.flyteauth.library=$other").said()
        assertTrue("${Platform.here} cannot load $other: " in said, said)
    }

    @Test
    fun `a file that is no library is refused`() {
        val text = folder.resolve("text.so").apply { writeText("no library") }
        assertTrue("cannot load $text: " in opens("-Dorg.flyteauth.library=$text").said())
    }

    @Test
    fun `the library of another program is not ours`() {
        val other = Program.CLASSPATH.map(Path::of).firstOrNull { "jna-" in it.fileName.toString() }!!
        val foreign = folder.resolve("libjnidispatch.so")
        java.util.zip.ZipFile(other.toFile()).use { jar ->
            jar.getInputStream(jar.getEntry("com/sun/jna/linux-x86-64/libjnidispatch.so")).use { Files.copy(it, foreign) }
        }
        assertTrue("cannot load $foreign: " in opens("-Dorg.flyteauth.library=$foreign").said())
    }

    @Test
    fun `a temporary folder that cannot be used is named with what to do`() {
        val said = opens("-Djava.io.tmpdir=$folder/none", "-Djna.tmpdir=${Files.createDirectory(folder.resolve("jna"))}").said()
        assertTrue("the native library cannot be unpacked: " in said && "Make java.io.tmpdir writable" in said, said)
    }

    @Test
    fun `the unpacked library is its owner's alone`() {
        val made = Files.createTempDirectory(folder, "flyte-auth")
        assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(made)))
    }

    @Test
    fun `machines are named alike whatever the JVM calls them`() {
        val gnu = { false }
        assertEquals("linux-x86_64-gnu", Platform.name("linux", "amd64", gnu))
        assertEquals("linux-aarch64-musl", Platform.name("linux", "aarch64") { true })
        assertEquals("macos-aarch64", Platform.name(Platform.os("Mac OS X"), "aarch64", gnu))
        assertEquals("windows-x86_64", Platform.name(Platform.os("Windows Server 2022"), "amd64", gnu))
        assertFalse(Platform.name(Platform.os("FreeBSD"), "amd64", gnu) in Platform.ALL)
        assertEquals("flyte_auth_uniffi.dll", Platform.file("windows-x86_64"))
        assertEquals("libflyte_auth_uniffi.dylib", Platform.file("macos-aarch64"))
    }
}
