package org.flyteauth

import java.time.Duration
import java.time.Instant
import org.flyteauth.ffi.LoginEvent as NativeEvent
import org.flyteauth.ffi.LoginOutcome as NativeLogin
import org.flyteauth.ffi.LogoutOutcome as NativeLogout
import org.flyteauth.ffi.SessionStatus
import org.flyteauth.ffi.UserInfo

/** What a login tells the person; [message] (and `toString()`) is a line for them. */
public class LoginEvent
private constructor(
    /** `explain`, `url`, `user_code`, `waiting` or `fallback`. */
    public val kind: String,
    /** A line for the person. */
    public val message: String,
    /** `url`: the address to open. */
    public val url: String?,
    /** `url`: a browser was started with it. */
    public val isOpened: Boolean,
    /** `url`: an `ssh -L …` line that makes the redirect reachable from the person's own machine. */
    public val sshHint: String?,
    /** `url`: the address that the browser ends at may be pasted back. */
    public val canPaste: Boolean,
    /** `user_code`: the code to enter. */
    public val userCode: String?,
    /** `user_code`: where to enter it. */
    public val verificationUri: String?,
    /** `user_code`: the same with the code in it, if the server gave one. */
    public val verificationUriComplete: String?,
    /** `waiting`: how long is left. */
    public val remaining: Duration?,
) {
    override fun toString(): String = message

    internal companion object {
        fun of(event: NativeEvent): LoginEvent =
            with(event) {
                LoginEvent(
                    kind,
                    message,
                    url,
                    opened,
                    sshHint,
                    paste,
                    userCode,
                    verificationUri,
                    verificationUriComplete,
                    remaining,
                )
            }
    }
}

/** What a login did. */
public class LoginOutcome
private constructor(
    /** Whether the endpoint has auth at all; if not there was nothing to do. */
    public val hasAuth: Boolean,
    /** Another program's login was shared. */
    public val isShared: Boolean,
    /** `sub` of the ID token, where there was one. */
    public val subject: String?,
    /** E-mail address or user name, where an ID token told. */
    public val email: String?,
    /** Whether the session can be refreshed. */
    public val hasRefreshToken: Boolean,
    /** When the access token expires. */
    public val expiresAt: Instant?,
) {
    override fun toString(): String = "LoginOutcome(${email ?: subject ?: if (hasAuth) "signed in" else "no auth"})"

    internal companion object {
        fun of(outcome: NativeLogin): LoginOutcome =
            with(outcome) { LoginOutcome(hasAuth, shared, subject, email, hasRefreshToken, expiresAt) }
    }
}

/** What a logout did. */
public class LogoutOutcome
private constructor(
    /** Whether anybody was signed in. */
    public val wasSignedIn: Boolean,
    /** Whether the server took the tokens back; null if it was not asked. */
    public val revoked: Boolean?,
    /** Copies of our token that other clients had stored. */
    public val copiesRemoved: List<String>,
    /** Why the revocation failed. */
    public val problem: FlyteAuthException?,
) {
    override fun toString(): String = "LogoutOutcome(wasSignedIn=$wasSignedIn, revoked=$revoked)"

    internal companion object {
        fun of(outcome: NativeLogout): LogoutOutcome =
            with(outcome) {
                LogoutOutcome(wasSignedIn, revoked, copiesRemoved, problem?.let(FlyteAuthException::of))
            }
    }
}

/** The identity behind a token, as the server sees it; what it left out is null. */
public class Identity
private constructor(
    /** `sub`. */
    public val subject: String?,
    /** Full name. */
    public val name: String?,
    /** `email`. */
    public val email: String?,
    /** Name for display and login; not unique. */
    public val preferredUsername: String?,
) {
    override fun toString(): String = "Identity(${email ?: preferredUsername ?: subject})"

    internal companion object {
        fun of(info: UserInfo): Identity =
            with(info) { Identity(subject, name, email, preferredUsername) }
    }
}

/** What is known of a session without the network. Nothing secret. */
public class Status
private constructor(
    /** The endpoint, or the issuer. */
    public val endpoint: String,
    /** `1`, `2` or `none`; null if it was never asked. */
    public val generation: String?,
    /** The configured auth type, as our own name. */
    public val authType: String,
    public val issuer: String?,
    public val clientId: String?,
    /** `sub` of the ID token, where there was one. */
    public val subject: String?,
    public val email: String?,
    /** Granted scopes. */
    public val scopes: List<String>,
    /** Whether a token can be had now without asking anybody. */
    public val isSignedIn: Boolean,
    /** Where the token that would be used comes from. */
    public val tokenSource: String,
    public val accessTokenExpiresAt: Instant?,
    public val hasRefreshToken: Boolean,
    /** When the refresh token expires, if the server told. */
    public val sessionExpiresAt: Instant?,
    /** Token store in use. */
    public val store: String,
    /** Why this store. */
    public val storeReason: String,
    /** Where it keeps records. */
    public val storeLocation: String?,
    public val profile: String?,
    public val account: String?,
    public val configFile: String?,
) {
    override fun toString(): String = "Status($endpoint, ${if (isSignedIn) "signed in" else "not signed in"})"

    internal companion object {
        fun of(status: SessionStatus): Status =
            with(status) {
                Status(
                    endpoint,
                    generation,
                    authType,
                    issuer,
                    clientId,
                    subject,
                    email,
                    scopes,
                    signedIn,
                    tokenSource,
                    accessTokenExpiresAt?.let(Instant::parse),
                    hasRefreshToken,
                    sessionExpiresAt?.let(Instant::parse),
                    store,
                    storeReason,
                    storeLocation,
                    profile,
                    account,
                    configFile,
                )
            }
    }
}
