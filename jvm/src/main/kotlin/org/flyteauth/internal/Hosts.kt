package org.flyteauth.internal

import java.net.URI
import java.net.URISyntaxException
import org.flyteauth.FlyteAuthException
import org.flyteauth.Session

/** Which addresses a session's token may go to: the session's own origin, and those that the user named beside it. */
internal class Hosts(private val session: Session, hosts: List<String>) {
    private val origins: Set<String> =
        buildSet {
            translating { session.native.origin() }?.let { add(origin(URI(it))!!) }
            hosts.forEach { add(named(it)) }
            if (isEmpty()) {
                throw FlyteAuthException.config(
                    "no_endpoint",
                    "it is not known where a token of ${session.endpoint} may go",
                    "Name the addresses, for example \"https://flyte.example.org\"",
                    "hosts",
                )
            }
        }

    /** Whether the token may go there. */
    fun allow(uri: URI): Boolean = uri.rawUserInfo == null && origin(uri) in origins

    /**
     * As [allow], but says why not.
     *
     * @throws FlyteAuthException code `foreign_host` or `plaintext_refused`.
     */
    fun check(uri: URI) {
        if (allow(uri)) return
        val place = session.endpoint
        if (uri.scheme.equals("http", ignoreCase = true) && origin(uri)?.replaceFirst("http:", "https:") in origins) {
            val what = "a token of $place does not go out without TLS"
            throw FlyteAuthException.config("plaintext_refused", what, "Use https:// in the request's address")
        }
        // What stands before an `@` may be a password.
        val to =
            if (uri.rawUserInfo != null) "an address with a user name" else origin(uri) ?: "an address that is none"
        throw FlyteAuthException.config(
            "foreign_host",
            "a token of $place does not go to $to",
            "Use a client of your own for other hosts; `hosts` allows more addresses of this control plane",
        )
    }
}

/** Scheme, host and port, as two addresses of one place have them alike; null if there is none (RFC 6454 section 4). */
internal fun origin(uri: URI): String? {
    val scheme = uri.scheme?.lowercase()
    val host = uri.host?.lowercase() ?: return null
    val usual =
        when (scheme) {
            "https" -> 443
            "http" -> 80
            else -> return null
        }
    return if (uri.port < 0 || uri.port == usual) "$scheme://$host" else "$scheme://$host:${uri.port}"
}

private fun named(host: String): String {
    val uri =
        try {
            URI(host)
        } catch (_: URISyntaxException) {
            null
        }
    val isBare = uri != null && uri.rawPath in listOf("", "/", null) && uri.rawQuery == null && uri.rawFragment == null
    return uri?.takeIf { isBare && it.rawUserInfo == null }?.let(::origin)
        ?: throw FlyteAuthException.config(
            "endpoint_invalid",
            "hosts${if ('@' in host) "" else " \"$host\""}: is not an origin",
            "Use https://HOST or https://HOST:PORT",
            "hosts",
        )
}
