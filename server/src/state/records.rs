//! What is kept, as the rest of the server sees it.

use std::fmt;

use flyte_auth::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::authorization_server::AuthorizationRequest;

/// What was granted to a client: goes into every token of the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Names the session: one sign-in and all tokens that come of it. Revoking it revokes them all.
    pub session: String,
    /// The client.
    pub client_id: String,
    /// `iss` and `aud` of its tokens: the deployment's address that the request came in on.
    pub issuer: String,
    /// `sub` of the person; `None` for a client that acts for itself.
    pub subject: Option<String>,
    /// Further claims of the person (`name`, `email`, …), as they were at the sign-in.
    pub claims: Map<String, Value>,
    /// Granted scopes.
    pub scopes: Vec<String>,
    /// Audiences beside the issuer.
    pub audience: Vec<String>,
    /// When the person signed in, in seconds since the epoch.
    pub auth_time: i64,
    /// When the session ends, refreshed or not, in milliseconds since the epoch.
    pub ends_at: i64,
}

/// An authorization request that waits: pushed by a client (RFC 9126), or for a person's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The validated request.
    pub request: AuthorizationRequest,
    /// When it lapses.
    #[serde(with = "millis")]
    pub expires_at: Timestamp,
}

/// An authorization code.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// What it stands for.
    pub grant: Grant,
    /// The redirect to which it was sent; must be named again (RFC 6749 section 4.1.3).
    pub redirect_uri: String,
    /// Whether the request named the redirect: one that was taken for granted need not be named again.
    pub redirect_uri_named: bool,
    /// PKCE challenge (S256).
    pub challenge: Option<String>,
    /// OpenID nonce.
    pub nonce: Option<String>,
    /// When it lapses.
    #[serde(with = "millis")]
    pub expires_at: Timestamp,
    /// Set at its one use; a second use revokes the session. Kept in a column of its own.
    #[serde(skip)]
    pub used: bool,
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Code").field("grant", &self.grant).field("used", &self.used).finish_non_exhaustive()
    }
}

/// What the person answered to a device authorization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceAnswer {
    /// Nothing yet.
    Pending,
    /// Approved.
    Approved {
        /// `sub`.
        subject: String,
        /// Further claims.
        claims: Map<String, Value>,
        /// When the person signed in, in seconds since the epoch.
        auth_time: i64,
    },
    /// Denied.
    Denied,
}

/// A device authorization (RFC 8628).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// As shown: `WDJB-MJHT`.
    pub user_code: String,
    /// The client that polls.
    pub client_id: String,
    /// `iss` of its tokens.
    pub issuer: String,
    /// Requested scopes.
    pub scopes: Vec<String>,
    /// Audiences that were asked for.
    pub audience: Vec<String>,
    /// PKCE challenge (S256), where the client sent one.
    pub challenge: Option<String>,
    /// The answer so far.
    pub answer: DeviceAnswer,
    /// When it lapses.
    #[serde(with = "millis")]
    pub expires_at: Timestamp,
    /// Least time between polls, in seconds; grows with each `slow_down`.
    pub interval: u64,
    /// When the client last polled, in milliseconds since the epoch.
    pub polled_at: Option<i64>,
}

impl fmt::Debug for Device {
    // Whoever has the user code can confirm another login with it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("client_id", &self.client_id)
            .field("answer", &self.answer)
            .finish_non_exhaustive()
    }
}

/// A refresh token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refresh {
    /// What it stands for; `grant.session` names its family.
    pub grant: Grant,
    /// `jti` of the access token that came with it.
    pub access_token_id: String,
    /// When it lapses.
    #[serde(with = "millis")]
    pub expires_at: Timestamp,
    /// Whether it was replaced and its replacement arrived, or may have: presenting it again ends the family.
    #[serde(skip)]
    pub dead: bool,
}

/// What became of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// The successor is kept.
    Rotated,
    /// The token was dead: nothing changed. The caller ends the family.
    Reused,
    /// The token is gone: revoked or pruned meanwhile.
    Gone,
}

/// What an audit event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A person signed in at the provider.
    SignIn,
    /// A person signed out.
    SignOut,
    /// A person approved or denied a client.
    Consent,
    /// Tokens were issued.
    Grant,
    /// Tokens were revoked, by a client or because one was used twice.
    Revocation,
    /// A request was refused: a wrong secret, a bad token, a forged form.
    Refusal,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As asked for.
    Success,
    /// Not.
    Failure,
}

/// One line of the audit trail. No field holds a secret or a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in milliseconds since the epoch.
    pub at: i64,
    /// What it is about.
    pub kind: EventKind,
    /// How it ended.
    pub outcome: Outcome,
    /// The client, where one is known.
    pub client_id: Option<String>,
    /// The person, where one is known.
    pub subject: Option<String>,
    /// The session, where one is known.
    pub session: Option<String>,
    /// The peer's address as the server saw it.
    pub peer: Option<String>,
    /// More words: the grant type, the error code.
    pub detail: String,
}

mod millis {
    use flyte_auth::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(time.as_millis())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        i64::deserialize(deserializer).map(Timestamp::from_millis)
    }
}
