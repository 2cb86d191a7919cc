package org.flyteauth.internal

import java.net.InetAddress
import java.net.URI
import java.net.URISyntaxException
import java.net.UnknownHostException
import org.flyteauth.FlyteAuthException
import org.flyteauth.Session

/** Which addresses a session's token may go to: the session's own origin, and those that the user named beside it. */
internal class Hosts(private val session: Session, hosts: List<String>) {
    private val origins: Set<String> =
        buildSet {
            translating { session.native.origin() }?.let { add(named(it)) }
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
    fun allow(to: Place): Boolean = to.origins.all { it in origins }

    /**
     * As [allow], but says why not.
     *
     * @throws FlyteAuthException code `foreign_host` or `plaintext_refused`.
     */
    fun check(to: Place) {
        if (allow(to)) return
        val refused = to.origins.first { it !in origins }
        val place = session.endpoint
        if (refused?.replaceFirst("http:", "https:") in origins) {
            val what = "a token of $place does not go out without TLS"
            throw FlyteAuthException.config("plaintext_refused", what, "Use https:// in the request's address")
        }
        throw FlyteAuthException.config(
            "foreign_host",
            "a token of $place does not go to ${refused ?: to.shown}",
            "Use a client of your own for other hosts; `hosts` allows more addresses of this control plane",
        )
    }
}

/** Whom a request reaches: [authority]'s server, and there, behind a shared entry, whom its Host headers choose. */
internal class Place(scheme: String?, authority: String?, hosts: List<String>) {
    constructor(uri: URI, hosts: List<String>) : this(uri.scheme, uri.rawAuthority, hosts)

    /** Null where there is any doubt. */
    val origins: List<String?> = listOf(origin(scheme, authority)) + hosts.map { origin(scheme, it) }

    /** What stands before an `@` may be a password. */
    val shown: String = "an address " + if (authority?.contains('@') == true) "with a user name" else "that is none"
}

/** Nothing in which parsers differ: the library beneath might connect to another host than was checked. */
private val AUTHORITY = Regex("""(\[[0-9A-Fa-f:.]+]|[A-Za-z0-9._-]+)(?::([0-9]*))?""")

/** Scheme, host and port, as two addresses of one place have them alike; null if there is none (RFC 6454 section 4). */
internal fun origin(uri: URI): String? = origin(uri.scheme, uri.rawAuthority)

private fun origin(scheme: String?, authority: String?): String? {
    val (name, digits) = AUTHORITY.matchEntire(authority ?: return null)?.destructured ?: return null
    val usual =
        when (scheme?.lowercase()) {
            "https" -> 443
            "http" -> 80
            else -> return null
        }
    val host = if (name.startsWith("[")) sixth(name) ?: return null else name.lowercase()
    val port = if (digits.isEmpty()) usual else digits.toIntOrNull()?.takeIf { it <= 0xffff } ?: return null
    return scheme!!.lowercase() + "://" + host + if (port == usual) "" else ":$port"
}

/** An address of IPv6 in the one form that Java writes; asks no DNS for it. */
private fun sixth(literal: String): String? =
    try {
        "[${InetAddress.getByName(literal).hostAddress}]"
    } catch (_: UnknownHostException) {
        null
    }

private fun named(host: String): String {
    val uri =
        try {
            URI(host)
        } catch (_: URISyntaxException) {
            null
        }
    val isBare = uri != null && uri.rawPath in listOf("", "/", null) && uri.rawQuery == null && uri.rawFragment == null
    return uri?.takeIf { isBare }?.let(::origin)
        ?: throw FlyteAuthException.config(
            "endpoint_invalid",
            "hosts${if ('@' in host) "" else " \"$host\""}: is not an origin",
            "Use https://HOST or https://HOST:PORT",
            "hosts",
        )
}
