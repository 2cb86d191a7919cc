//! What a login brought becomes the session.

use std::time::Duration;

use super::{Asked, LoginOutcome, Session, engine, keeping};
use crate::credential::TokenSet;
use crate::discovery::ServerAuth;
use crate::error::Result;
use crate::store::LockKind;
use crate::store::record::TokenOrigin;
use crate::verify::id_token::{self, Expectations};
use crate::verify::jwks::KeySet;

impl Session {
    /// Checks an ID token, if one came, and makes the tokens the session.
    pub(super) async fn keep(
        &self,
        server: &ServerAuth,
        asked: &Asked,
        tokens: TokenSet,
        nonce: Option<&str>,
        origin: TokenOrigin,
    ) -> Result<LoginOutcome> {
        let inner = &self.inner;
        let identity = self.identity_of(server, &tokens, nonce).await?;
        self.ensure_account(identity.as_ref(), server, &tokens).await?;
        // Every save happens under the refresh lock: a refresh of the old session must not come after it.
        let _lock = keeping::lock(inner, LockKind::Refresh, Duration::from_secs(30)).await?;
        let before = keeping::load(inner).await.ok().flatten();
        let granted = tokens.scopes.clone();
        let refresh_token = tokens.refresh_token.clone();
        let session_expires_at = tokens.refresh_expires_at;
        let mut record = keeping::new_record(inner, Some(server), before.as_ref(), origin, tokens);
        // A login replaces a session: of the old one only the count of its tokens goes on.
        record.scopes = granted.unwrap_or_else(|| asked.scopes.clone());
        record.refresh_token = refresh_token;
        record.session_expires_at = session_expires_at;
        record.client_id = Some(inner.client_id(server)?);
        record.client_auth_method = None;
        record.adopted_from = None;
        (record.subject, record.email) =
            identity.map_or((None, None), |claims| (Some(claims.subject), claims.email.or(claims.preferred_username)));
        keeping::save_strictly(inner, &record).await?;
        keeping::blocking(inner, |inner| {
            inner.troubles.forget();
            Ok(())
        })
        .await?;
        engine::publish(inner, &record);
        Ok(LoginOutcome::of(&record, false))
    }

    /// The claims of a validated ID token; nothing of one that cannot be validated is used.
    async fn identity_of(
        &self,
        server: &ServerAuth,
        tokens: &TokenSet,
        nonce: Option<&str>,
    ) -> Result<Option<id_token::Claims>> {
        let inner = &self.inner;
        let Some(token) = &tokens.id_token else { return Ok(None) };
        let (Some(issuer), Some(jwks_uri)) = (&server.metadata.issuer, &server.metadata.jwks_uri) else {
            tracing::warn!("the ID token is not used: the authorization server names no issuer or no jwks_uri");
            return Ok(None);
        };
        let client_id = inner.client_id(server)?;
        let expectations =
            Expectations { issuer, client_id: &client_id, nonce, access_token: Some(&tokens.access_token) };
        let keys = KeySet::fetch(&*inner.context.transport, jwks_uri).await?;
        id_token::validate(token, &expectations, &keys, inner.context.clock.now()).map(Some)
    }
}
