package org.flyteauth.flytekit

import java.time.Instant
import org.flyte.jflyte.api.Token as FlyteToken
import org.flyte.jflyte.api.TokenSource
import org.flyte.jflyte.api.TokenSourceFactory
import org.flyte.jflyte.api.TokenSourceFactoryRegistrar
import org.flyteauth.FlyteAuthException
import org.flyteauth.Session
import org.flyteauth.SessionOptions
import org.flyteauth.internal.blocking

/** What a token without an expiry is served with: flytekit-java has no word for "nobody knows". */
private val NOBODY_KNOWS: Instant = Instant.parse("9999-12-31T23:59:59Z")

/**
 * flytekit-java's service: `--auth-mode flyte_auth` takes tokens from the session of this machine, with no patch.
 *
 * flytekit-java finds it by `ServiceLoader` (`jflyte-api`, `TokenSourceFactoryRegistrar`) in its module folders, not on
 * its class path: this jar and those it needs make one folder in `FLYTE_INTERNAL_MODULE_DIR`. The endpoint is
 * `FLYTE_PLATFORM_URL`, with TLS unless `FLYTE_PLATFORM_INSECURE` is `true`, since there flytekit-java sends the token;
 * what of the two is not set, and everything else, is as in [Session.fromConfig].
 *
 * Whoever chooses that mode chose that the person at the terminal may be asked to sign in; where nobody can answer
 * nobody is asked.
 */
public class FlyteAuthTokenSourceFactoryRegistrar : TokenSourceFactoryRegistrar() {
    /** Reads nothing but [env], which flytekit-java gives for every mode, chosen or not. */
    override fun load(env: Map<String, String>): Iterable<TokenSourceFactory> = listOf(Factory(env))
}

private class Factory(private val env: Map<String, String>) : TokenSourceFactory {
    /** As `--auth-mode` names it. */
    override fun getMethod(): String = "flyte_auth"

    override fun getTokenSource(): TokenSource {
        val options = SessionOptions().endpoint(env["FLYTE_PLATFORM_URL"]?.ifBlank { null })
        // As flytekit-java reads it (jflyte-utils, `Config`): whatever is not "true" means TLS.
        env["FLYTE_PLATFORM_INSECURE"]?.let { options.insecure(it.toBoolean()) }
        return FlyteAuthTokenSource(Session.fromConfig(options))
    }
}

/**
 * A session's tokens for flytekit-java, which asks before every call and sends them as `flyte-authorization: Bearer …`
 * (flyteadmin's own default), whatever header the server named.
 */
public class FlyteAuthTokenSource(private val session: Session) : TokenSource {
    /**
     * The token for the next call: at once if one is fresh, refreshed when it is due.
     *
     * @throws FlyteAuthException as [Session.token]; code `no_auth` where the endpoint has none.
     */
    override fun token(): FlyteToken {
        val token =
            session.tryToken()
                ?: blocking { session.newToken(optedIn = true) }
                ?: throw FlyteAuthException.config(
                    "no_auth",
                    "${session.endpoint} has no auth",
                    "Leave out --auth-mode",
                    "auth-mode",
                )
        return FlyteToken.builder()
            .accessToken(token.value)
            .tokenType("Bearer")
            // Stays where it is: whoever has it could end the session of every other program.
            .refreshToken("")
            .expiry(token.expiresAt ?: NOBODY_KNOWS)
            .build()
    }

    override fun toString(): String = "FlyteAuthTokenSource(${session.endpoint})"
}
