package org.flyteauth.conformance

import com.google.gson.JsonElement
import com.google.gson.JsonParser
import java.nio.file.Files
import java.nio.file.Path
import java.util.concurrent.CompletableFuture
import java.util.concurrent.TimeUnit
import org.flyteauth.harness.Sandbox
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestFactory

/**
 * The shared cases of `tests/conformance` with the JVM's runner: one test for each case.
 *
 * The peer plays and judges them; each line that it prints is the verdict of one test here. `scripts/jvm.sh runner`
 * makes
 * what it starts.
 */
class ConformanceTest {
    private val folder: Path = Sandbox.ROOT.resolve("tests/conformance")

    /** Every case that the JVM plays, in the order of its file. */
    private fun names(): List<String> =
        Files.walk(folder.resolve("cases")).use { files -> files.filter { "$it".endsWith(".json") }.sorted().toList() }
            .map { JsonParser.parseString(Files.readString(it)) }
            .flatMap { if (it.isJsonArray) it.asJsonArray.toList() else listOf(it) }
            .map(JsonElement::getAsJsonObject)
            .filter { case -> case["languages"]?.asJsonArray?.any { it.asString == "JVM" } ?: true }
            .map { it["name"].asString }

    @TestFactory
    fun cases(): List<DynamicTest> {
        val names = names()
        assertTrue(names.size >= 150, "${names.size} cases")
        val verdicts = CompletableFuture.supplyAsync { played() }
        return names.map { name ->
            DynamicTest.dynamicTest(name) { assertEquals("", verdicts.get()[name] ?: "the peer did not play it") }
        }
    }

    /** What the peer says of each case: an empty text, or why it failed. */
    private fun played(): Map<String, String> {
        val peer = Sandbox.ROOT.resolve("target/debug/flyte-auth-peer")
        val process =
            ProcessBuilder("$peer", "--folder", "$folder", "--language", "JVM")
                .directory(Sandbox.ROOT.toFile())
                .redirectErrorStream(true)
                .start()
        val lines = CompletableFuture.supplyAsync { process.inputStream.bufferedReader().readLines() }
        check(process.waitFor(9, TimeUnit.MINUTES)) { "the peer did not end" }
        return lines.get().mapNotNull { Regex("(pass|FAIL) (\\S+) ?(.*)").matchEntire(it)?.destructured }
            .associate { (verdict, name, why) -> name to if (verdict == "pass") "" else why }
    }

    @Test
    fun `the runner uses the public API alone`() {
        val source = Files.readString(Sandbox.ROOT.resolve("jvm/src/test/kotlin/org/flyteauth/conformance/Runner.kt"))
        assertTrue("org.flyteauth.ffi" !in source && "org.flyteauth.internal" !in source)
    }
}
