//! Token sources: what can obtain a token, and the one exchange at the token endpoint that they share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Entropy, Timestamp};
use crate::error::Result;
use crate::firewall::Destination;
use crate::protocol::client::Client;
use crate::protocol::grant::{self, Grant, Parameters};
use crate::protocol::reply::{self, TokenReply};
use crate::protocol::secret::{AccessToken, IdToken, RefreshToken};
use crate::transport::{Call, DEFAULT_TIMEOUT, HttpTransport, Purpose};

pub mod authorization_code;
pub mod client_credentials;
pub mod client_secret;
mod countdown;
pub mod device;
pub mod external_command;
pub mod failure;
pub(crate) mod loopback;
pub mod process;

/// What a token source needs of the outside.
#[derive(Debug, Clone)]
pub struct Context {
    /// Carries every call.
    pub transport: Arc<dyn HttpTransport>,
    /// The time, and waits.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// Tokens with absolute expiries, as obtained at one moment.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSet {
    /// The access token.
    pub access_token: AccessToken,
    /// When it expires; `None` if nobody knows: then it serves until it is rejected.
    pub expires_at: Option<Timestamp>,
    /// The refresh token, if one was granted.
    pub refresh_token: Option<RefreshToken>,
    /// When the refresh token expires, where the server tells.
    pub refresh_expires_at: Option<Timestamp>,
    /// The ID token, validated by whoever keeps it.
    pub id_token: Option<IdToken>,
    /// Granted scopes, where the server tells.
    pub scopes: Option<Vec<String>>,
    /// When it was obtained.
    pub obtained_at: Timestamp,
}

impl fmt::Debug for TokenSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSet")
            .field("expires_at", &self.expires_at)
            .field("has_refresh_token", &self.refresh_token.is_some())
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

impl TokenSet {
    /// Only an access token.
    pub fn access_only(access_token: AccessToken, expires_at: Option<Timestamp>, obtained_at: Timestamp) -> Self {
        Self {
            access_token,
            expires_at,
            refresh_token: None,
            refresh_expires_at: None,
            id_token: None,
            scopes: None,
            obtained_at,
        }
    }

    fn from_reply(reply: TokenReply, asked_at: Timestamp) -> Self {
        // EXPOSE: read for its `exp` claim only.
        let claimed = || jwt_expiry(reply.access_token.expose());
        Self {
            // Counted from when we asked: the token is never taken for younger than it is.
            expires_at: reply.expires_in.map(|lifetime| asked_at.plus(lifetime)).or_else(claimed),
            refresh_expires_at: reply.refresh_expires_in.map(|lifetime| asked_at.plus(lifetime)),
            access_token: reply.access_token,
            refresh_token: reply.refresh_token,
            id_token: reply.id_token,
            scopes: reply.scopes,
            obtained_at: asked_at,
        }
    }
}

/// The `exp` claim of a JWT, unverified: a hint for when to refresh, never for whether to trust.
pub fn jwt_expiry(token: &str) -> Option<Timestamp> {
    #[derive(serde::Deserialize)]
    struct Exp {
        exp: f64,
    }
    use base64::Engine as _;
    let payload = token.split('.').nth(1)?;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).ok()?;
    let exp = serde_json::from_slice::<Exp>(&bytes).ok()?.exp;
    // Year 2001 to 2286: anything else is no date.
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    (1e9..1e10).contains(&exp).then(|| Timestamp::from_secs(exp as i64))
}

/// Asks the token endpoint once and reads the answer.
///
/// # Errors
/// As [`failure::grant_error`] maps them, or the transport's.
pub async fn exchange(
    context: &Context,
    endpoint: &Destination,
    client: &Client,
    grant: Grant<'_>,
    parameters: Parameters<'_>,
) -> Result<TokenSet> {
    exchange_within(context, DEFAULT_TIMEOUT, endpoint, client, grant, parameters).await
}

/// As [`exchange`], for a caller who cannot wait as long as the transport would.
pub(crate) async fn exchange_within(
    context: &Context,
    timeout: Duration,
    endpoint: &Destination,
    client: &Client,
    grant: Grant<'_>,
    parameters: Parameters<'_>,
) -> Result<TokenSet> {
    let endpoint = endpoint.as_str();
    let request = grant::token_request(endpoint, client, grant, parameters)?;
    let asked_at = context.clock.now();
    let call = Call { timeout: timeout.min(DEFAULT_TIMEOUT), ..Call::new(Purpose::Token, request) };
    let reply = context.transport.send(call).await?;
    let secrets = failure::secrets_of(client, &grant);
    match reply::token(&reply, &secrets) {
        Ok(reply) => Ok(TokenSet::from_reply(reply, asked_at)),
        Err(problem) => Err(failure::grant_error(&problem, failure::GrantKind::of(&grant), endpoint, &client.id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jwt_expiry_is_a_hint() {
        use base64::Engine as _;
        let jwt =
            |payload: &str| format!("e30.{}.sig", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(payload));
        assert_eq!(jwt_expiry(&jwt(r#"{"exp":1795489920}"#)), Some(Timestamp::from_secs(1_795_489_920)));
        assert_eq!(jwt_expiry(&jwt(r#"{"exp":1795489920.5}"#)), Some(Timestamp::from_secs(1_795_489_920)));
        for token in [
            jwt(r#"{"exp":-1}"#),
            jwt("{}"),
            jwt(r#"{"exp":"x"}"#),
            "opaque".into(),
            "a.b.c".into(),
            jwt(r#"{"exp":1e300}"#),
        ] {
            assert_eq!(jwt_expiry(&token), None, "{token}");
        }
    }
}
