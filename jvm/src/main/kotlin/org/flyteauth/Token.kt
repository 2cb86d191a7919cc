package org.flyteauth

import java.time.Instant
import org.flyteauth.ffi.Token as NativeToken

/** An access token, ready for a call. Printing it shows no secret. */
public class Token internal constructor(internal val native: NativeToken) {
    /** The token itself: a secret. */
    public val value: String by lazy(LazyThreadSafetyMode.PUBLICATION) { native.value() }

    /** When it expires; null if nobody knows. */
    public val expiresAt: Instant? by lazy(LazyThreadSafetyMode.PUBLICATION) { native.expiresAt() }

    /**
     * The header that takes it, in lower case: the server's `authorization_metadata_key` (Flyte's
     * `AuthMetadataService`),
     * else `authorization`.
     */
    public val headerName: String = native.headerName()

    /** The header's value: `Bearer` and the token: a secret. */
    public val headerValue: String = native.headerValue()

    /** Whether both are the same token. */
    override fun equals(other: Any?): Boolean =
        this === other || (other is Token && native.isSame(other.native))

    /** Of the expiry alone: a hash of a secret says something of it. */
    override fun hashCode(): Int = expiresAt.hashCode()

    /** Masked. */
    override fun toString(): String = "Token(***, until ${expiresAt ?: "nobody knows"})"
}
