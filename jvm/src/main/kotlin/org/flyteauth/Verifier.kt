package org.flyteauth

import java.time.Instant
import java.util.concurrent.CompletableFuture
import org.flyteauth.ffi.Verifier as NativeVerifier
import org.flyteauth.internal.NativeLibrary
import org.flyteauth.internal.blocking
import org.flyteauth.internal.foreign
import org.flyteauth.internal.future
import org.flyteauth.internal.text
import org.flyteauth.internal.translating

/**
 * Verifies tokens of one issuer: make one and keep it; safe for any number of threads.
 *
 * ```kotlin
 * val verifier = Verifier(VerifierOptions("https://idp.example").audience("https://flyte.example"))
 * val token = verifier.verify(bearer)
 * if (token.hasScope("all")) …
 * ```
 *
 * Only asymmetric algorithms, bound to the key's type, curve, `alg`, `use` and `key_ops` (RFC 8725); the issuer's keys
 * are fetched when they are needed, once for all callers, kept, and fetched again when an unknown key id comes, at most
 * once in 60 seconds; `jku`, `x5u`, `jwk` and `x5c` are never followed.
 *
 * @throws ConfigException no audience, an address that is none or is plaintext, an unknown algorithm.
 * @throws UnsatisfiedLinkError the native library cannot be loaded.
 */
public class Verifier(options: VerifierOptions) {
    private val native: NativeVerifier = run {
        NativeLibrary.ensure()
        translating { NativeVerifier(options.native) }
    }

    /** The issuer. */
    public val issuer: String = native.issuer()

    /**
     * Verifies an access token (RFC 9068, and what issuers write who do not follow it): a JWT by its signature and
     * claims,
     * an opaque one by introspection where that is configured. What was verified is remembered by its hash.
     *
     * @throws AccessDeniedException its code is the failed check (`token_expired`, `token_audience`, …).
     * @throws NetworkException the issuer's keys cannot be had; so [ServerException]. No message holds anything of the
     * token.
     */
    @JvmSynthetic
    public suspend fun verify(token: String): VerifiedToken = known(token) ?: fetching(token)

    /** As [verify], on the calling thread. */
    @JvmName("verify")
    public fun verifyBlocking(token: String): VerifiedToken = known(token) ?: blocking { fetching(token) }

    /** As [verify]. */
    public fun verifyAsync(token: String): CompletableFuture<VerifiedToken> = future { verify(token) }

    private fun known(token: String): VerifiedToken? = translating {
        native.verifyNow(foreign(token))?.let(::VerifiedToken)
    }

    private suspend fun fetching(token: String): VerifiedToken = translating {
        VerifiedToken(native.verify(foreign(token)))
    }

    /**
     * Verifies an ID token for the client [clientId], which must be in `aud` (OpenID Connect Core section 3.1.3.7).
     *
     * [nonce]: the one that was sent. [accessToken]: the one that came with it; `at_hash`, where there is one, must be
     * its
     * hash.
     *
     * @throws AccessDeniedException code `id_token_invalid`; the message says which check failed.
     * @throws NetworkException the issuer's keys cannot be had; so [ServerException].
     */
    @JvmSynthetic
    public suspend fun verifyIdToken(
        token: String,
        clientId: String,
        nonce: String? = null,
        accessToken: String? = null,
    ): IdTokenClaims {
        nonce?.let { text("nonce", it) }
        return translating {
            val (subject, email, preferredUsername) =
                native.verifyIdToken(foreign(token), text("clientId", clientId), nonce, accessToken?.let(::foreign))
            IdTokenClaims(subject, email, preferredUsername)
        }
    }

    /** As [verifyIdToken], on the calling thread. */
    @JvmName("verifyIdToken")
    @JvmOverloads
    public fun verifyIdTokenBlocking(
        token: String,
        clientId: String,
        nonce: String? = null,
        accessToken: String? = null,
    ): IdTokenClaims = blocking { verifyIdToken(token, clientId, nonce, accessToken) }

    /** As [verifyIdToken]. */
    @JvmOverloads
    public fun verifyIdTokenAsync(
        token: String,
        clientId: String,
        nonce: String? = null,
        accessToken: String? = null,
    ): CompletableFuture<IdTokenClaims> = future { verifyIdToken(token, clientId, nonce, accessToken) }

    /**
     * Verifies a logout token for [clientId] (OpenID Connect Back-Channel Logout 1.0 section 2.6). That it comes only
     * once
     * is yours to check, by [LogoutTokenClaims.tokenId].
     *
     * @throws AccessDeniedException its code is the failed check.
     * @throws NetworkException the issuer's keys cannot be had; so [ServerException].
     */
    @JvmSynthetic
    public suspend fun verifyLogoutToken(token: String, clientId: String): LogoutTokenClaims = translating {
        val (subject, sessionId, tokenId, expiresAt) =
            native.verifyLogoutToken(foreign(token), text("clientId", clientId))
        LogoutTokenClaims(subject, sessionId, tokenId, expiresAt)
    }

    /** As [verifyLogoutToken], on the calling thread. */
    @JvmName("verifyLogoutToken")
    public fun verifyLogoutTokenBlocking(token: String, clientId: String): LogoutTokenClaims = blocking {
        verifyLogoutToken(token, clientId)
    }

    /** As [verifyLogoutToken]. */
    public fun verifyLogoutTokenAsync(token: String, clientId: String): CompletableFuture<LogoutTokenClaims> = future {
        verifyLogoutToken(token, clientId)
    }

    override fun toString(): String = "Verifier($issuer)"
}

/** Claims of a verified ID token (OpenID Connect Core section 2). */
public class IdTokenClaims
internal constructor(
    /** `sub`. */
    public val subject: String,
    /** `email`. */
    public val email: String?,
    /** `preferred_username`. */
    public val preferredUsername: String?,
)

/** Claims of a verified logout token (OpenID Connect Back-Channel Logout 1.0 section 2.4). */
public class LogoutTokenClaims
internal constructor(
    /** `sub`: every session of this user, unless [sessionId] names one. */
    public val subject: String?,
    /** `sid`: this session. */
    public val sessionId: String?,
    /** `jti`: remember it until [expiresAt], and refuse it the second time. */
    public val tokenId: String,
    /** `exp`. */
    public val expiresAt: Instant,
)
