package org.flyteauth.conformance

import com.google.gson.Gson
import com.google.gson.GsonBuilder
import com.google.gson.JsonElement
import com.google.gson.JsonObject
import com.google.gson.JsonParser
import java.nio.file.Path
import java.time.Duration
import java.time.Instant
import java.util.concurrent.CompletableFuture
import java.util.concurrent.ExecutionException
import org.flyteauth.FlyteAuthException
import org.flyteauth.LoginOptions
import org.flyteauth.PendingLogin
import org.flyteauth.Session
import org.flyteauth.SessionOptions
import org.flyteauth.Token

/**
 * The JVM's runner: does what the peer says, one JSON line in, one JSON line out (`tests/conformance/README.md`).
 *
 * Through the public API only; nothing here decides anything.
 */
fun main() {
    val runner = Runner()
    generateSequence(::readLine).forEach { line ->
        println(runner.answer(JsonParser.parseString(line).asJsonObject))
        System.out.flush()
    }
}

private val gson: Gson = GsonBuilder().serializeNulls().disableHtmlEscaping().create()

private class Runner {
    /** What the commands name: sessions, logins that were begun, tokens that were kept. */
    private val sessions = HashMap<String, Session>()
    private val logins = HashMap<String, PendingLogin>()
    private val tokens = HashMap<String, Token>()

    fun answer(command: JsonObject): String =
        gson.toJson(
            try {
                mapOf("ok" to perform(command))
            } catch (error: FlyteAuthException) {
                mapOf("error" to shown(error))
            } catch (error: ExecutionException) {
                mapOf("error" to shown(error.cause as? FlyteAuthException ?: throw error))
            }
        )

    private fun perform(command: JsonObject): Any? {
        val name = command.text("session") ?: "main"
        val action = command.text("do")
        if (action == "open") {
            sessions[name] = Session.fromConfig(options(command["options"]?.asJsonObject ?: JsonObject()))
            return emptyMap<String, Any>()
        }
        val session = sessions.getValue(name)
        return when (action) {
            "token" -> token(session, command)
            "headers" -> session.headersBlocking()
            "status" -> status(session)
            "whoami" ->
                with(session.whoamiBlocking()) {
                    mapOf(
                        "subject" to subject,
                        "name" to this.name,
                        "email" to email,
                        "preferred_username" to preferredUsername,
                    )
                }
            "invalidate" -> session.invalidate(command.text("token")?.let(tokens::get)).let { emptyMap<String, Any>() }
            "begin_login" -> {
                val ways = LoginOptions().flow(command.text("flow")!!).timeout(Duration.ofMinutes(2))
                session.beginLoginBlocking(ways)?.let { login ->
                    logins[name] = login
                    mapOf("url" to login.url, "user_code" to login.userCode, "expires_at" to shown(login.expiresAt))
                }
            }
            "finish" -> logins.remove(name)!!.finishBlocking(command.text("redirect_url")).let { emptyMap<String, Any>() }
            "cancel" -> logins.remove(name)!!.cancel().let { emptyMap<String, Any>() }
            "logout" -> {
                val outcome = session.logoutBlocking(command["revoke"]?.asBoolean ?: false)
                outcome.problem?.let { throw it }
                mapOf("was_signed_in" to outcome.wasSignedIn)
            }
            else -> error("no command is called $action")
        }
    }

    private fun token(session: Session, command: JsonObject): Any? {
        command["count"]?.let { count ->
            // From threads of their own: each blocks.
            val calls = List(count.asInt) { CompletableFuture.supplyAsync({ session.tokenBlocking() }, { Thread(it).start() }) }
            return calls.map { shown(it.get()) }
        }
        val token = session.tokenBlocking()
        if (token != null) command.text("keep")?.let { tokens[it] = token }
        return shown(token)
    }

    private fun status(session: Session): Map<String, Any?> =
        with(session.statusBlocking()) {
            mapOf(
                "endpoint" to endpoint,
                "generation" to generation,
                "auth_type" to authType,
                "issuer" to issuer,
                "client_id" to clientId,
                "subject" to subject,
                "email" to email,
                "scopes" to scopes,
                "signed_in" to isSignedIn,
                "token_source" to tokenSource,
                "access_token_expires_at" to shown(accessTokenExpiresAt),
                "has_refresh_token" to hasRefreshToken,
                "session_expires_at" to shown(sessionExpiresAt),
                "store" to store,
                "store_reason" to storeReason,
                "store_location" to storeLocation,
                "profile" to profile,
                "account" to account,
                "config_file" to configFile,
            )
        }
}

private fun options(members: JsonObject): SessionOptions {
    val options = SessionOptions()
    for ((name, value) in members.entrySet()) {
        when (name) {
            "config" -> options.config(Path.of(value.asString))
            "endpoint" -> options.endpoint(value.asString)
            "profile" -> options.profile(value.asString)
            "account" -> options.account(value.asString)
            "store" -> options.store(value.asString)
            "interactive" -> options.interactive(value.asString)
            "insecure" -> options.insecure(value.asBoolean)
            "insecure_skip_verify" -> options.insecureSkipVerify(value.asBoolean)
            "ca_cert" -> options.caCert(Path.of(value.asString))
            "client_cert" -> options.clientCert(Path.of(value.asString))
            "client_key" -> options.clientKey(Path.of(value.asString))
            "http_proxy_url" -> options.httpProxyUrl(value.asString)
            "auth_type" -> options.authType(value.asString)
            "client_id" -> options.clientId(value.asString)
            "client_secret" -> options.clientSecret(value.asString)
            "issuer" -> options.issuer(value.asString)
            "scopes" -> options.scopes(value.asJsonArray.map(JsonElement::getAsString))
            "audience" -> options.audience(value.asString)
            "extra_params" -> options.extraParams(value.asJsonObject.entrySet().associate { it.key to it.value.asString })
            else -> error("no option is called $name")
        }
    }
    return options
}

private fun JsonObject.text(name: String): String? = get(name)?.takeUnless { it.isJsonNull }?.asString

private fun shown(time: Instant?): String? = time?.toString()

private fun shown(token: Token?): Any? =
    token?.let {
        mapOf("value" to it.value, "expires_at" to shown(it.expiresAt), "header_name" to it.headerName)
    }

private fun shown(error: FlyteAuthException): Any =
    mapOf(
        "kind" to error.kind.name.lowercase(),
        "code" to error.code,
        "retryable" to error.isRetryable,
        "message" to error.message,
    )
