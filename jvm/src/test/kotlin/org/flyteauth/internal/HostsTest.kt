package org.flyteauth.internal

import java.net.URI
import java.net.URISyntaxException
import org.flyteauth.ConfigException
import org.flyteauth.Session
import org.flyteauth.SessionOptions
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Test
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.CsvSource
import org.junit.jupiter.params.provider.ValueSource

/** Where a token may go; the table is that of the other packages. */
class HostsTest {
    private fun session(endpoint: String): Session {
        val insecure = endpoint.startsWith("http:").takeIf { it }
        return Session.forEndpoint(endpoint, SessionOptions().store("memory").insecure(insecure))
    }

    private fun code(hosts: Hosts, place: Place): String? =
        try {
            hosts.check(place)
            null
        } catch (error: ConfigException) {
            error.code
        }

    @ParameterizedTest
    @CsvSource(
        delimiter = ' ',
        nullValues = ["allowed"],
        value = [
            "https://flyte.example https://flyte.example/path?x=http://evil.example allowed",
            "https://flyte.example HTTPS://FLYTE.example:443/ allowed",
            "https://flyte.example https://flyte.example:/ allowed",
            "https://flyte.example http://flyte.example/ plaintext_refused",
            "https://flyte.example:8443 http://flyte.example:8443/ plaintext_refused",
            "https://flyte.example https://flyte.example:8443/ foreign_host",
            "https://flyte.example https://flyte.example.evil.example/ foreign_host",
            "https://flyte.example https://evil.example/flyte.example foreign_host",
            "https://flyte.example https://flyte.example@evil.example/ foreign_host",
            "https://flyte.example https://user@flyte.example/ foreign_host",
            "https://flyte.example https://flyte.example:99999/ foreign_host",
            "https://flyte.example https://fl\u0443te.example/ foreign_host",
            // The sign of the kelvin is a k in lower case.
            "https://kite.example https://\u212aite.example/ foreign_host",
            "https://flyte.example ftp://flyte.example/ foreign_host",
            "https://flyte.example //flyte.example/ foreign_host",
            "https://flyte.example /path foreign_host",
            "https://flyte.example mailto:flyte.example foreign_host",
            "http://flyte.example http://flyte.example:80/ allowed",
            "http://flyte.example https://flyte.example/ foreign_host",
            "https://[::1]:8443 https://[0:0:0:0:0:0:0:1]:8443/ allowed",
            "https://[2001:db8::1] https://[2001:DB8:0::1]/ allowed",
            "https://[2001:db8::1] https://[2001:db8::2]/ foreign_host",
            "https://bücher.example https://xn--bcher-kva.example/ allowed",
            // As the services of a compose file are called: no host to java.net.URI.
            "http://flyte_admin:8080 http://flyte_admin:8080/ allowed",
            "http://flyte_admin:8080 http://user:pw@flyte_admin:8080/ foreign_host",
        ],
    )
    fun `where a token may go`(endpoint: String, url: String, code: String?) {
        session(endpoint).use { session ->
            val place = Place(URI(url), emptyList())
            val hosts = Hosts(session, emptyList())
            assertEquals(code, code(hosts, place))
            assertEquals(code == null, hosts.allow(place))
        }
    }

    @Test
    fun `a Host header counts as an address`() {
        session("https://flyte.example").use { session ->
            val hosts = Hosts(session, emptyList())
            val to = URI("https://flyte.example/")
            assertEquals(null, code(hosts, Place(to, listOf("flyte.example:443"))))
            assertEquals("foreign_host", code(hosts, Place(to, listOf("flyte.example", "evil.example"))))
            assertEquals("foreign_host", code(hosts, Place(to, listOf(""))))
        }
    }

    @Test
    fun `no error shows what stands before an @`() {
        session("https://flyte.example").use { session ->
            for (address in listOf("https://user:hunter2@flyte.example/", "https://user:hunter2@my_host/")) {
                val place = Place(URI(address), emptyList())
                val refused = assertThrows(ConfigException::class.java) { Hosts(session, emptyList()).check(place) }
                assertFalse("hunter2" in refused.message!!)
            }
        }
    }

    @ParameterizedTest
    @ValueSource(
        strings =
            [
                "",
                "flyte.example",
                "https://flyte.example/p",
                "https://flyte.example?q",
                "https://flyte.example#f",
                "https://u:hunter2@flyte.example",
                "ftp://flyte.example",
                "https://flyte.example:99999",
                "https://[::g]",
                "https://fl\u0443te.example",
                "https://",
            ]
    )
    fun `what is no origin is named`(wrong: String) {
        session("https://flyte.example").use { session ->
            val error = assertThrows(ConfigException::class.java) { Hosts(session, listOf(wrong)) }
            assertEquals("endpoint_invalid" to "hosts", error.code to error.setting)
            assertFalse("hunter2" in error.message!!)
        }
    }

    @Test
    fun `an issuer alone has no hosts but those that are named`() {
        val options = SessionOptions().issuer("https://idp.example").clientId("c").store("memory")
        Session.fromConfig(options).use { session ->
            val error = assertThrows(ConfigException::class.java) { Hosts(session, emptyList()) }
            assertEquals("no_endpoint", error.code)
            val hosts = Hosts(session, listOf("https://api.example/"))
            assertEquals(null, code(hosts, Place(URI("https://api.example/x"), emptyList())))
            assertEquals("foreign_host", code(hosts, Place(URI("https://idp.example/x"), emptyList())))
        }
    }

    @Test
    fun `what java_net_URI takes for no address never gets here`() {
        for (address in listOf("https://evil.example\\@flyte.example/", "https://flyte.example\t.evil.example/")) {
            assertThrows(URISyntaxException::class.java) { URI(address) }
        }
    }
}
