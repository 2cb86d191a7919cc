//! One session as it is sealed: a person's tokens and who the person is. Beside the store's records the only place where
//! tokens are serialised.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::protocol::secret::{AccessToken, IdToken, RefreshToken, SecretBytes};
use crate::session::Token;
use crate::session::token::refresh_at;
use crate::verify::id_token;

/// Claims that are about the token and not about the person: the hashes and the nonce of one login, and the addresses of
/// further claims, which come with access tokens of their own (OpenID Connect Core 5.6.2).
const NOT_SHOWN: [&str; 6] = ["nonce", "at_hash", "c_hash", "s_hash", "_claim_names", "_claim_sources"];
/// What the ID token alone can say: the user info endpoint does not overrule it.
const OF_THE_TOKEN: [&str; 11] = ["iss", "sub", "aud", "azp", "exp", "iat", "nbf", "auth_time", "acr", "amr", "sid"];

/// A session. Names are short because a cookie holds it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Data {
    /// New at each sign-in, unguessable.
    #[serde(rename = "s")]
    pub(super) sid: String,
    /// Counts the exchanges, from 1.
    #[serde(rename = "g")]
    pub(super) generation: u64,
    /// `iss` of the ID token.
    #[serde(rename = "i")]
    pub(super) issuer: String,
    /// Origin of the token endpoint that granted it: the refresh token goes nowhere else.
    #[serde(rename = "o")]
    pub(super) token_origin: String,
    #[serde(rename = "a", with = "access")]
    pub(super) access_token: AccessToken,
    #[serde(rename = "e", with = "millis", default, skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<Timestamp>,
    #[serde(rename = "b", with = "at")]
    pub(super) obtained_at: Timestamp,
    #[serde(rename = "r", with = "refresh", default, skip_serializing_if = "Option::is_none")]
    pub(super) refresh_token: Option<RefreshToken>,
    /// Kept as it came: its claims are read from it, and the provider takes it as a hint at the end.
    #[serde(rename = "d", with = "id")]
    pub(super) id_token: IdToken,
    /// What the user info endpoint said beyond the ID token.
    #[serde(rename = "u", default, skip_serializing_if = "Map::is_empty")]
    pub(super) user_info: Map<String, Value>,
    #[serde(rename = "p", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) scopes: Vec<String>,
    /// When the person signed in.
    #[serde(rename = "c", with = "at")]
    pub(super) created: Timestamp,
    /// When it was used, as far as was sealed.
    #[serde(rename = "l", with = "at")]
    pub(super) used: Timestamp,
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Data")
            .field("generation", &self.generation)
            .field("expires_at", &self.expires_at)
            .field("created", &self.created)
            .finish_non_exhaustive()
    }
}

impl Data {
    /// As bytes, used at `used`.
    pub(super) fn to_bytes(&self, used: Timestamp) -> Result<SecretBytes> {
        let copy = Self { used, ..self.clone() };
        SecretBytes::json(&copy).map_err(|_| Error::internal("a session cannot be written"))
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// What is known of the person.
    fn claims(&self) -> Map<String, Value> {
        let mut claims = id_token::claims_of_verified(&self.id_token);
        claims.extend(self.user_info.clone());
        claims.retain(|name, _| !NOT_SHOWN.contains(&name.as_str()));
        claims
    }

    /// What of a user info answer has to be kept.
    pub(super) fn beyond_the_token(id_token: &IdToken, mut answer: Map<String, Value>) -> Map<String, Value> {
        let known = id_token::claims_of_verified(id_token);
        let unneeded = |name: &str| OF_THE_TOKEN.contains(&name) || NOT_SHOWN.contains(&name);
        answer.retain(|name, value| !unneeded(name) && !value.is_null() && known.get(name) != Some(value));
        answer
    }
}

/// Who is signed in.
#[derive(Clone, PartialEq)]
pub struct User {
    claims: Map<String, Value>,
    json: String,
}

impl fmt::Debug for User {
    // Who it is may stand in a log; the rest is for the program.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("subject", &self.subject()).finish_non_exhaustive()
    }
}

impl User {
    /// Claims of the ID token and of the user info endpoint.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The same as JSON.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// `sub`.
    pub fn subject(&self) -> &str {
        self.claims.get("sub").and_then(Value::as_str).unwrap_or_default()
    }
}

/// A session at one moment, with what is read from it at every request.
pub(super) struct Snapshot {
    pub(super) data: Data,
    pub(super) token: Token,
    pub(super) user: Arc<User>,
    /// When the access token is renewed; `None` if it cannot be.
    pub(super) refresh_at: Option<Timestamp>,
}

impl Snapshot {
    pub(super) fn new(data: Data, header_name: &str) -> Self {
        // As much of the margin's tenth as the session's name says: many sessions of one minute are not renewed in one.
        let jitter = f64::from(data.sid.bytes().fold(0_u8, u8::wrapping_add)) / 255.0;
        let due = data.refresh_token.as_ref().map(|_| refresh_at(data.obtained_at, data.expires_at, jitter));
        let token = Token::new(data.access_token.clone(), data.expires_at, header_name.to_owned(), data.generation);
        let claims = data.claims();
        let json = serde_json::to_string(&claims).unwrap_or_default();
        Self { token, user: Arc::new(User { claims, json }), refresh_at: due, data }
    }

    /// Whether the access token lives.
    pub(super) fn lives(&self, now: Timestamp) -> bool {
        self.data.expires_at.is_none_or(|at| now < at)
    }

    pub(super) fn generation(&self) -> u64 {
        self.data.generation
    }
}

/// How a secret is written and read.
macro_rules! exposed {
    ($module:ident, $type:ty) => {
        mod $module {
            use super::*;

            pub(super) fn serialize<S: serde::Serializer>(token: &$type, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(token.expose()) // EXPOSE: sealed before it leaves.
            }

            pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<$type, D::Error> {
                String::deserialize(from).map(<$type>::new)
            }
        }
    };
}

exposed!(access, AccessToken);
exposed!(id, IdToken);

mod refresh {
    use super::*;

    pub(super) fn serialize<S: serde::Serializer>(token: &Option<RefreshToken>, to: S) -> Result<S::Ok, S::Error> {
        token.as_ref().map(RefreshToken::expose).serialize(to) // EXPOSE: sealed before it leaves.
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<RefreshToken>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(RefreshToken::new))
    }
}

mod at {
    use super::*;

    pub(in super::super) fn serialize<S: serde::Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(at.as_millis())
    }

    pub(in super::super) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        i64::deserialize(from).map(Timestamp::from_millis)
    }
}

mod millis {
    use super::*;

    pub(super) fn serialize<S: serde::Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        at.map(Timestamp::as_millis).serialize(to)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<i64>::deserialize(from)?.map(Timestamp::from_millis))
    }
}
