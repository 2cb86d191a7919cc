package org.flyteauth

import java.nio.file.Path
import org.flyteauth.ffi.SessionOptions as NativeOptions
import org.flyteauth.internal.secret
import org.flyteauth.internal.text

/**
 * What a session is made from; the rest comes from the environment, and then from Flyte's configuration file.
 *
 * ```kotlin
 * Session.fromConfig(SessionOptions().endpoint("flyte.example").store("file"))
 * ```
 *
 * Null is as if it were not said. A session copies what it is made from. Printing shows nothing of it.
 *
 * Each method throws [IllegalArgumentException] for a text that is no Unicode (half of a surrogate pair).
 */
public class SessionOptions {
    internal var native: NativeOptions = NativeOptions()
        private set

    /** A configuration file (YAML or INI); unless said, the one that flytekit and flyte would read. */
    public fun config(value: Path?): SessionOptions = set {
        copy(config = value?.let { text("config", it.toString()) })
    }

    /** The Flyte endpoint, in any form that a Flyte client takes (`dns:///host`, `https://host`, `host`). */
    public fun endpoint(value: String?): SessionOptions = set { copy(endpoint = value?.let { text("endpoint", it) }) }

    /** One of the file's `profiles`. */
    public fun profile(value: String?): SessionOptions = set { copy(profile = value?.let { text("profile", it) }) }

    /** Which of several accounts, by e-mail address or subject. */
    public fun account(value: String?): SessionOptions = set { copy(account = value?.let { text("account", it) }) }

    /** Where the session is kept: `auto`, `keyring`, `encrypted-file`, `file`, `memory` or `none`. */
    public fun store(value: String?): SessionOptions = set { copy(store = value?.let { text("store", it) }) }

    /**
     * Whether `token()` may ask the person at this terminal to sign in: `never`, `auto` or `always`. A library asks
     * nobody
     * unless this is said.
     */
    public fun interactive(value: String?): SessionOptions = set {
        copy(interactive = value?.let { text("interactive", it) })
    }

    /** No TLS (Flyte's meaning). */
    public fun insecure(value: Boolean?): SessionOptions = set { copy(insecure = value) }

    /** TLS without looking at certificates. */
    public fun insecureSkipVerify(value: Boolean?): SessionOptions = set { copy(insecureSkipVerify = value) }

    /** Roots that are trusted besides the platform's: a PEM file, or a folder of them. */
    public fun caCert(value: Path?): SessionOptions = set {
        copy(caCert = value?.let { text("caCert", it.toString()) })
    }

    /** Client certificate chain (PEM). */
    public fun clientCert(value: Path?): SessionOptions = set {
        copy(clientCert = value?.let { text("clientCert", it.toString()) })
    }

    /** Its key (PEM). */
    public fun clientKey(value: Path?): SessionOptions = set {
        copy(clientKey = value?.let { text("clientKey", it.toString()) })
    }

    /** The proxy for every call; may hold a password. */
    public fun httpProxyUrl(value: String?): SessionOptions = set {
        copy(httpProxyUrl = value?.let { secret("httpProxyUrl", it) })
    }

    /** How the token is obtained: `auto` or any of Flyte's names (`Pkce`, `ClientSecret`, …). */
    public fun authType(value: String?): SessionOptions = set { copy(authType = value?.let { text("authType", it) }) }

    /** OAuth client id. */
    public fun clientId(value: String?): SessionOptions = set { copy(clientId = value?.let { text("clientId", it) }) }

    /** OAuth client secret: a machine's credential, never asks a person. */
    public fun clientSecret(value: String?): SessionOptions = set {
        copy(clientSecret = value?.let { secret("clientSecret", it) })
    }

    /** The authorization server's issuer: skips Flyte's discovery. */
    public fun issuer(value: String?): SessionOptions = set { copy(issuer = value?.let { text("issuer", it) }) }

    /** OAuth scopes. */
    public fun scopes(value: List<String>?): SessionOptions = set { copy(scopes = value?.map { text("scopes", it) }) }

    /** OAuth audience. */
    public fun audience(value: String?): SessionOptions = set { copy(audience = value?.let { text("audience", it) }) }

    /** Further parameters for authorization and token requests. */
    public fun extraParams(value: Map<String, String>?): SessionOptions = set {
        val checked = value?.entries?.associate { text("extraParams", it.key) to text("extraParams", it.value) }
        copy(extraParams = checked)
    }

    /** Given by a Flyte client that read files of its own: each value stands below the environment. */
    internal fun fromClient(): SessionOptions = set { copy(fromClient = true) }

    internal fun copy(): SessionOptions = SessionOptions().also { it.native = native }

    private fun set(changed: NativeOptions.() -> NativeOptions): SessionOptions = apply { native = native.changed() }
}
