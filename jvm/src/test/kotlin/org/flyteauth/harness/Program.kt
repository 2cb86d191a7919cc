package org.flyteauth.harness

import java.io.File
import java.nio.file.Files
import java.nio.file.Path
import java.time.Duration
import java.util.concurrent.CompletableFuture
import java.util.concurrent.TimeUnit
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.fail

private val PATIENCE: Duration = Duration.ofSeconds(60)

/** How a program ended. */
class Ended(val code: Int, val stdout: String, val stderr: String, val took: Duration) {
    /** It ended by itself and had nothing to complain of. */
    fun well(): Ended = apply { assertEquals(listOf<Any>(0, ""), listOf<Any>(code, stderr), stdout) }
}

/** A `main` of the tests in a JVM of its own, in an empty home or the one given. */
class Program(
    main: String,
    vararg arguments: String,
    jvm: List<String> = emptyList(),
    classpath: List<String> = CLASSPATH,
    home: Path = emptyHome(),
    /** The command that starts the JVM, if something stands before it. */
    under: List<String> = emptyList(),
) {
    companion object {
        /** What the tests run with; surefire hands it over in a property. */
        val CLASSPATH: List<String> =
            (System.getProperty("surefire.test.class.path") ?: System.getProperty("java.class.path"))
                .split(File.pathSeparator)
                .filter(String::isNotEmpty)

        fun emptyHome(): Path = Files.createTempDirectory("flyte-auth-home")
    }

    private val begun = System.nanoTime()
    val process: Process

    init {
        val java = Path.of(System.getProperty("java.home"), "bin", "java").toString()
        // Quick to start: most run for less than a second.
        val quick = listOf("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")
        val command = under + java + quick + jvm + listOf("-cp", classpath.joinToString(File.pathSeparator), main) + arguments
        val builder = ProcessBuilder(command)
        builder.environment().apply {
            keys.removeIf { it.startsWith("FLYTE") }
            put("HOME", home.toString())
            put("FLYTE_AUTH_HOME", home.resolve("state").toString())
            put("FLYTE_AUTH_STORE", "file")
        }
        process = builder.start()
    }

    private val stdout = CompletableFuture.supplyAsync { process.inputStream.bufferedReader().readText() }
    private val stderr = CompletableFuture.supplyAsync { process.errorStream.bufferedReader().readText() }

    /** Its standard input: a line, or with null the end. */
    fun tell(line: String?) {
        if (line == null) process.outputStream.close() else process.outputStream.apply { write("$line\n".toByteArray()) }.flush()
    }

    fun finish(): Ended {
        if (!process.waitFor(PATIENCE.seconds, TimeUnit.SECONDS)) {
            process.destroyForcibly()
            fail("it did not end; ${stdout.get()} ${stderr.get()}")
        }
        val took = Duration.ofNanos(System.nanoTime() - begun)
        return Ended(process.exitValue(), stdout.get(), stderr.get(), took)
    }
}
