//! JWT access tokens (RFC 9068, and what issuers did before it): who issued them, for whom, until when.

use serde_json::{Map, Value};

use super::jwks::KeySet;
use super::jws::Jws;
use crate::clock::Timestamp;
use crate::protocol::secret::AccessToken;

/// Claims that name the client: RFC 9068, OpenID Connect's authorized party, Okta's, Entra's first version.
const CLIENT_CLAIMS: [&str; 4] = ["client_id", "azp", "cid", "appid"];

/// What a token says of itself. Not verified: fit for choosing among tokens, never for trusting one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnverifiedClaims {
    /// `iss`.
    pub issuer: Option<String>,
    /// Every claim that names the client.
    pub clients: Vec<String>,
    /// `sub`.
    pub subject: Option<String>,
    /// `aud`.
    pub audience: Vec<String>,
    /// `scope`, or `scp` as a list or text.
    pub scopes: Vec<String>,
    /// `email`.
    pub email: Option<String>,
    /// `preferred_username`.
    pub preferred_username: Option<String>,
    /// `exp`.
    pub expires_at: Option<Timestamp>,
    /// `iat`.
    pub issued_at: Option<Timestamp>,
}

impl UnverifiedClaims {
    /// Reads the claims; `None` if the token is no signed JWT.
    pub fn read(token: &AccessToken) -> Option<Self> {
        let claims = Jws::parse(token.expose()).ok()?.claims; // EXPOSE: parsed.
        let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            issuer: text("iss"),
            clients: CLIENT_CLAIMS.iter().filter_map(|name| text(name)).collect(),
            subject: text("sub"),
            audience: texts(&claims, "aud"),
            scopes: if claims.contains_key("scope") { texts(&claims, "scope") } else { texts(&claims, "scp") },
            email: text("email"),
            preferred_username: text("preferred_username"),
            expires_at: time(&claims, "exp"),
            issued_at: time(&claims, "iat"),
        })
    }
}

/// A list of texts, or one text with spaces between them.
fn texts(claims: &Map<String, Value>, name: &str) -> Vec<String> {
    match claims.get(name) {
        Some(Value::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn time(claims: &Map<String, Value>, name: &str) -> Option<Timestamp> {
    let seconds = claims.get(name)?.as_f64()?;
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    (0.0..1e11).contains(&seconds).then(|| Timestamp::from_secs(seconds as i64))
}

/// Whether one of the issuer's keys signed the token.
///
/// # Errors
/// What is wrong; nothing of the token is in it.
pub fn verify_signature(token: &AccessToken, keys: &KeySet) -> Result<(), &'static str> {
    keys.verify(&Jws::parse(token.expose())?) // EXPOSE: parsed and verified.
}
