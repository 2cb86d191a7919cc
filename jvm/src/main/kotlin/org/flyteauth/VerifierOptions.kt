package org.flyteauth

import java.time.Duration
import org.flyteauth.ffi.VerifierOptions as NativeOptions
import org.flyteauth.internal.secret
import org.flyteauth.internal.text

/**
 * What a verifier is made from. [issuer]: `iss`, exactly; its metadata names the keys.
 *
 * Null is as if it were not said. Each method throws [IllegalArgumentException] for a text that is no Unicode.
 */
public class VerifierOptions(issuer: String) {
    internal var native: NativeOptions = NativeOptions(issuer = text("issuer", issuer))
        private set

    /** What must be in `aud`: any of these. */
    public fun audience(vararg values: String): VerifierOptions = set {
        copy(audience = values.map { text("audience", it) })
    }

    /** Take any audience; say so by name or give one. */
    public fun anyAudience(value: Boolean): VerifierOptions = set { copy(anyAudience = value) }

    /** The issuer's keys (RFC 7517) as JSON, where they are not to be fetched. */
    public fun jwks(value: String?): VerifierOptions = set { copy(jwks = value?.let { text("jwks", it) }) }

    /** Where they are, over what the issuer's metadata says. */
    public fun jwksUri(value: String?): VerifierOptions = set { copy(jwksUri = value?.let { text("jwksUri", it) }) }

    /** Which are allowed; all asymmetric ones unless said. */
    public fun algorithms(vararg values: String): VerifierOptions = set {
        copy(algorithms = values.map { text("algorithms", it) })
    }

    /**
     * `jwt` takes what Okta, Entra, Auth0, Keycloak, Google and flyteadmin write; `rfc9068` is that RFC to the letter.
     */
    public fun profile(value: String?): VerifierOptions = set { copy(profile = value?.let { text("profile", it) }) }

    /**
     * How far the two clocks may differ, at most five minutes; one minute unless said.
     *
     * @throws IllegalArgumentException it is negative.
     */
    public fun clockSkew(value: Duration?): VerifierOptions = set {
        require(value == null || !value.isNegative) { "clockSkew is negative" }
        copy(clockSkew = value)
    }

    /** What every access token must have. */
    public fun requiredScopes(vararg values: String): VerifierOptions = set {
        copy(requiredScopes = values.map { text("requiredScopes", it) })
    }

    /** Asks the authorization server about opaque tokens (RFC 7662) as this client. */
    public fun introspectionClientId(value: String?): VerifierOptions = set {
        copy(introspectionClientId = value?.let { text("introspectionClientId", it) })
    }

    /** Its secret. */
    public fun introspectionClientSecret(value: String?): VerifierOptions = set {
        copy(introspectionClientSecret = value?.let { secret("introspectionClientSecret", it) })
    }

    /** Where, over what the issuer's metadata says. */
    public fun introspectionEndpoint(value: String?): VerifierOptions = set {
        copy(introspectionEndpoint = value?.let { text("introspectionEndpoint", it) })
    }

    /**
     * About how many verified tokens are remembered, by hash; 4096 unless said.
     *
     * @throws IllegalArgumentException it is negative.
     */
    public fun remember(value: Int?): VerifierOptions = set {
        require(value == null || value >= 0) { "remember is negative" }
        copy(remember = value?.toUInt())
    }

    /** Accept addresses without TLS beyond this machine. */
    public fun plaintext(value: Boolean): VerifierOptions = set { copy(plaintext = value) }

    private fun set(changed: NativeOptions.() -> NativeOptions): VerifierOptions = apply { native = native.changed() }
}
