package org.flyteauth

import java.time.Instant
import org.flyteauth.ffi.Json
import org.flyteauth.ffi.VerifiedToken as NativeToken
import org.flyteauth.ffi.readJson
import org.flyteauth.internal.translating

/** An access token that was verified: by its signature, or by the authorization server's word (RFC 7662). */
public class VerifiedToken internal constructor(private val native: NativeToken) {
    /** `iss`; null only where an introspection reply has none. */
    public val issuer: String?
        get() = native.issuer

    /** `sub`: whom the token is about; a client's own id where it acts for itself. */
    public val subject: String?
        get() = native.subject

    /** `aud`. */
    public val audience: List<String>
        get() = native.audience

    /** The client that it was issued to: the first of `client_id`, `azp`, `cid`, `appid` that is there. */
    public val clientId: String?
        get() = native.clientId

    /** Granted scopes: `scope` and `scp`, as a text or a list; `roles` where neither is there. */
    public val scopes: List<String>
        get() = native.scopes

    /** Whether [scope] was granted. */
    public fun hasScope(scope: String): Boolean = scope in native.scopes

    /** `exp`; null only where an introspection reply has none. */
    public val expiresAt: Instant?
        get() = native.expiresAt

    /** `iat`, as [expiresAt]. */
    public val issuedAt: Instant?
        get() = native.issuedAt

    /** Every claim: null, [Boolean], [Long], [Double], [String], [List], [Map]. */
    public val claims: Map<String, Any?> by lazy(LazyThreadSafetyMode.PUBLICATION) {
        @Suppress("UNCHECKED_CAST") // `claims` is an object.
        translating { readJson(native.claims) }.value() as Map<String, Any?>
    }

    override fun toString(): String = "VerifiedToken(${subject ?: "nobody"}, until ${expiresAt ?: "nobody knows"})"
}

private fun Json.value(): Any? =
    when (this) {
        is Json.Missing -> null
        is Json.Truth -> value
        is Json.Integer -> value
        is Json.Real -> value
        is Json.Text -> value
        is Json.Items -> values.map { it.value() }
        is Json.Members -> values.mapValues { it.value.value() }
    }
