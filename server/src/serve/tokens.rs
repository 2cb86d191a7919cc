//! From a token to an identity: access tokens of this process or of the external server, and ID tokens of the provider.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flyte_auth::error::{Error, ErrorKind, Result};
use flyte_auth::protocol::secret::{AccessToken, IdToken};
use flyte_auth::verify::{Profile, VerifiedToken, Verifier, id_token};
use serde_json::Value;

use super::external::External;
use super::identity::{ALL, Identity};
use crate::authorization_server::AuthorizationServer;
use crate::resource::Refused;
use crate::sites::Sites;
use crate::state::State;

/// Access tokens whose first use was told to the store.
const TOLD: usize = 16 * 1024;

/// Who issues the access tokens.
pub(super) enum Issuer {
    /// This process; a verifier for each site, by its index.
    Own(Vec<Verifier>),
    /// Another server.
    External(Arc<External>),
}

/// The provider's ID tokens, which flyteadmin takes under the scheme `IDToken`.
pub(super) struct IdTokens {
    pub(super) verifier: Verifier,
    pub(super) client_id: String,
}

/// Verifies tokens.
pub(super) struct Tokens {
    issuer: Issuer,
    id_tokens: Option<IdTokens>,
    state: Arc<dyn State>,
    told: Mutex<HashSet<Box<str>>>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

/// The verifiers of this process's own tokens: by its present keys, which change only with the configuration.
pub(super) fn own(server: &AuthorizationServer, sites: &Sites) -> Result<Issuer> {
    let verifier = |site: &crate::sites::Site| {
        Verifier::builder(&site.issuer)
            .audience(&site.audience)
            .jwks(server.keys.key_set())
            .profile(Profile::Rfc9068)
            // The clock is the issuer's.
            .clock_skew(Duration::ZERO)
            .clock(Arc::clone(&server.clock))
            // Nothing is fetched.
            .plaintext(true)
            .build()
    };
    Ok(Issuer::Own(sites.iter().map(verifier).collect::<Result<_>>()?))
}

fn refused(error: Error) -> Refused {
    if error.kind() == ErrorKind::Denied {
        return Refused::Invalid(error.message().to_owned().into());
    }
    tracing::warn!(%error, "a token cannot be checked");
    Refused::Unavailable
}

fn identity(token: &VerifiedToken) -> Result<Identity, Refused> {
    let subject = token.subject().or(token.client_id()).filter(|name| !name.is_empty());
    let subject = subject.ok_or(Refused::Invalid("the token names nobody: it has neither sub nor a client".into()))?;
    Ok(Identity {
        subject: subject.to_owned(),
        client_id: token.client_id().map(str::to_owned),
        scopes: token.scopes().to_vec(),
        claims: token.claims().clone(),
    })
}

impl Tokens {
    pub(super) fn new(issuer: Issuer, id_tokens: Option<IdTokens>, state: Arc<dyn State>) -> Self {
        Self { issuer, id_tokens, state, told: Mutex::default() }
    }

    /// Whose access token this is, at the site with this index.
    ///
    /// # Errors
    /// It is not good, or cannot be checked now.
    pub(super) async fn access_token(&self, site: usize, text: &str) -> Result<Identity, Refused> {
        let token = AccessToken::new(text);
        match &self.issuer {
            Issuer::Own(verifiers) => {
                let verifier = verifiers.get(site).ok_or(Refused::Unavailable)?;
                let verified = verifier.verify(&token).await.map_err(refused)?;
                self.check_own(&verified)?;
                identity(&verified)
            }
            Issuer::External(external) => {
                let known = external.known().await.map_err(refused)?;
                let verifier = known.verifiers.get(site).ok_or(Refused::Unavailable)?;
                identity(&*verifier.verify(&token).await.map_err(refused)?)
            }
        }
    }

    /// Not revoked; and its first use proves that the refresh token that came with it arrived.
    fn check_own(&self, token: &VerifiedToken) -> Result<(), Refused> {
        let text = |name: &str| token.claim(name).and_then(Value::as_str);
        let (id, session) = (text("jti").unwrap_or_default(), text("sid").unwrap_or_default());
        if self.state.any_revoked(&[id, session]) {
            return Err(Refused::Invalid("the token was revoked".into()));
        }
        // A client that acts for itself has no refresh token.
        if token.subject() != token.client_id() && self.is_new(id) {
            let (state, id) = (Arc::clone(&self.state), id.to_owned());
            // The check itself waits for no database.
            tokio::spawn(async move {
                if let Err(error) = state.confirm(&id).await {
                    tracing::warn!(%error, "the use of an access token could not be noted");
                }
            });
        }
        Ok(())
    }

    fn is_new(&self, id: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.contains(id) {
            return false;
        }
        if told.len() >= TOLD {
            // Telling the store twice does no harm.
            told.clear();
        }
        told.insert(id.into())
    }

    /// Whose ID token this is: a person at the provider, who may do everything, as in flyteadmin (`auth/token.go`).
    ///
    /// # Errors
    /// As [`Tokens::access_token`].
    pub(super) async fn id_token(&self, text: &str) -> Result<Identity, Refused> {
        let Some(known) = &self.id_tokens else {
            return Err(Refused::Invalid("ID tokens are not taken here".into()));
        };
        let token = IdToken::new(text);
        let checked = known.verifier.verify_id_token(&token, &known.client_id, None, None).await.map_err(refused)?;
        let claims = id_token::claims_of_verified(&token);
        Ok(Identity { subject: checked.subject, client_id: None, scopes: vec![ALL.to_owned()], claims })
    }
}
