package org.flyteauth.harness

import com.google.gson.JsonObject
import com.google.gson.JsonParser
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpResponse.BodyHandlers
import java.nio.file.Files
import java.nio.file.Path
import java.time.Duration
import java.util.concurrent.CompletableFuture
import java.util.concurrent.TimeUnit
import org.flyteauth.LoginOptions
import org.flyteauth.LoginOutcome
import org.flyteauth.Session
import org.flyteauth.SessionOptions

/** The user that `--auto-approve` signs in. */
const val ALICE = "alice@example.org"

private val PATIENCE: Duration = Duration.ofSeconds(30)

/** `flyte-auth sandbox` in a process of its own, driven by its ready line and admin interface. */
class Sandbox private constructor(private val process: Process, private val ready: JsonObject) : AutoCloseable {
    companion object {
        /** The folder of this repository. */
        val ROOT: Path = Path.of(System.getProperty("flyteauth.root", "..")).toAbsolutePath().normalize()

        /** The command line that cargo built. */
        val BINARY: Path = ROOT.resolve("target/debug/flyte-auth")

        /** [flags] as `flyte-auth sandbox` takes them, for example `--access-token-lifetime`, `2`. */
        fun start(vararg flags: String): Sandbox {
            val home = Files.createTempDirectory("sandbox-home").toString()
            val command =
                listOf(BINARY.toString(), "sandbox", "--http-port", "0", "--grpc-port", "0", "--exit-with-stdin") + flags
            val builder = ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD)
            builder.environment().apply {
                keys.removeIf { it.startsWith("FLYTE") }
                put("HOME", home)
                put("FLYTE_AUTH_HOME", home)
            }
            val process = builder.start()
            val line = CompletableFuture.supplyAsync { process.inputStream.bufferedReader().readLine() }
            try {
                val ready = JsonParser.parseString(line.get(PATIENCE.seconds, TimeUnit.SECONDS) ?: "").asJsonObject
                return Sandbox(process, ready)
            } catch (error: Exception) {
                process.destroyForcibly()
                throw IllegalStateException("the sandbox did not start", error)
            }
        }
    }

    private val client: HttpClient = HttpClient.newHttpClient()

    private fun address(name: String): String? = ready[name]?.takeUnless { it.isJsonNull }?.asString

    val http: String
        get() = address("http")!!

    val https: String?
        get() = address("https")

    val grpc: String
        get() = address("grpc")!!

    val issuer: String
        get() = address("issuer")!!

    val caCert: Path?
        get() = address("ca_cert")?.let(Path::of)

    /** What a session with it needs: its address, and to store nothing. */
    fun options(): SessionOptions = SessionOptions().endpoint(https ?: http).store("memory").caCert(caCert)

    /** Flyte's own machine client, and the made-up secret that the sandbox has for it. */
    fun machine(): Session =
        Session.fromConfig(options().authType("ClientSecret").clientId("flytepropeller").clientSecret("foobar"))

    /** Signs [ALICE] in, as a browser would; for a sandbox with `--auto-approve`. */
    fun signIn(session: Session): LoginOutcome =
        session.beginLoginBlocking(LoginOptions().flow("pkce").noBrowser(true))!!.use { login ->
            val finished = login.finishAsync()
            visit(login.url)
            finished.get(PATIENCE.seconds, TimeUnit.SECONDS)
        }

    /** Follows [url] to the program's own page, which it gives. */
    fun visit(url: String): String {
        val browser = HttpClient.newBuilder().followRedirects(HttpClient.Redirect.ALWAYS).build()
        return browser.send(HttpRequest.newBuilder(URI(url)).build(), BodyHandlers.ofString()).body()
    }

    /**
     * The next [count] requests (to [path]) go wrong: a status, `html`, `slow`, `reset`, `garbage`,
     * `delay-MILLISECONDS`.
     */
    fun fault(kind: String, count: Int = 1, path: String? = null) {
        val order = JsonObject().apply {
            addProperty("kind", kind)
            addProperty("count", count)
            path?.let { addProperty("path", it) }
        }
        admin("POST", "/faults", order.toString())
    }

    fun clearFaults() {
        admin("DELETE", "/faults")
    }

    /** Its clock runs [seconds] ahead of the machine's. */
    fun clock(seconds: Long) {
        admin("POST", "/clock", """{"offset": $seconds}""")
    }

    fun rotateKeys() {
        admin("POST", "/keys/rotate", "{}")
    }

    /** How many requests it has served on paths that contain [part]. */
    fun requestsTo(part: String): Int =
        JsonParser.parseString(admin("GET", "/stats")).asJsonObject["requests"].asJsonObject.entrySet()
            .filter { part in it.key }
            .sumOf { it.value.asInt }

    /** Waits until it has served [count] requests on paths that contain [part]. */
    fun served(part: String, count: Int) {
        val until = System.nanoTime() + PATIENCE.toNanos()
        while (requestsTo(part) < count) {
            check(System.nanoTime() < until) { "$part was not asked for" }
            Thread.sleep(10)
        }
    }

    /** The status with which its resource server answers to these headers (`GET /me`). */
    fun me(headers: Map<String, String>): Int {
        val request = HttpRequest.newBuilder(URI("$http/me"))
        headers.forEach(request::header)
        return client.send(request.build(), BodyHandlers.discarding()).statusCode()
    }

    private fun admin(method: String, path: String, body: String? = null): String {
        val publisher =
            body?.let(HttpRequest.BodyPublishers::ofString) ?: HttpRequest.BodyPublishers.noBody()
        val request =
            HttpRequest.newBuilder(URI(address("admin") + path))
                .header("content-type", "application/json")
                .method(method, publisher)
                .build()
        val answer = client.send(request, BodyHandlers.ofString())
        check(answer.statusCode() in 200..299) { "$path: ${answer.statusCode()} ${answer.body()}" }
        return answer.body()
    }

    /** It ends with its standard input. */
    override fun close() {
        process.outputStream.close()
        if (!process.waitFor(10, TimeUnit.SECONDS)) process.destroyForcibly()
    }
}
