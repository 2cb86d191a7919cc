//! The grants: by a code, by a client for itself, by a refresh token, by a device code.

use flyte_auth::testing::exchanged;
use serde_json::Value;

use super::params::Params;
use super::tokens::wants_refresh;
use super::{About, AuthorizationServer, Client, OAuthError, Rotate, store_failed};
use crate::random;
use crate::sites::Site;
use crate::state::{DeviceAnswer, EventKind, Grant, Outcome, Rotation};

/// PKCE's check (RFC 7636 section 4.6). A verifier without a challenge is refused too: it would mean that somebody
/// stripped the challenge from the request (RFC 9700 section 2.1.1).
fn verify_pkce(challenge: Option<&str>, verifier: Option<&str>) -> Result<(), OAuthError> {
    match (challenge, verifier) {
        (None, None) => Ok(()),
        (Some(_), None) => Err(OAuthError::invalid_grant("the code_verifier is missing")),
        (None, Some(_)) => {
            Err(OAuthError::invalid_grant("a code_verifier came, but the request had no code_challenge"))
        }
        (Some(challenge), Some(verifier)) => {
            let well_formed = (43..=128).contains(&verifier.len())
                && verifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
            if well_formed && random::digest(verifier) == challenge {
                Ok(())
            } else {
                Err(OAuthError::invalid_grant("the code_verifier does not fit the code_challenge"))
            }
        }
    }
}

impl AuthorizationServer {
    /// One of two holders of a one-time secret is a thief, and which one cannot be told: what it gave is ended.
    async fn reused(&self, grant: &Grant, what: &str) -> Result<(), OAuthError> {
        self.metrics.reuse_detected();
        self.state.revoke_session(&grant.session, self.access_tokens_gone()).await.map_err(store_failed)?;
        self.note(EventKind::Revocation, Outcome::Success, About::grant(grant), what).await;
        Ok(())
    }

    /// The tokens of a new session, with a refresh token where its scopes ask for one and the client may have one.
    async fn first_tokens(&self, client: &Client, grant: &Grant, nonce: Option<&str>) -> Result<Value, OAuthError> {
        let refresh = client.grants.refresh && wants_refresh(&grant.scopes);
        let made = self.new_tokens(grant, refresh)?;
        if let Some((token, record)) = &made.refresh {
            self.state.put_refresh(&random::digest(token), record).await.map_err(store_failed)?;
        }
        self.reply(grant, nonce, made)
    }

    pub(super) async fn by_code(&self, client: &Client, params: &Params) -> Result<Value, OAuthError> {
        let digest = random::digest(params.require("code")?);
        let unknown = || OAuthError::invalid_grant("the code is unknown, expired or was used");
        let code = self.state.code(&digest).await.map_err(store_failed)?.ok_or_else(unknown)?;
        if code.grant.client_id != client.id {
            return Err(unknown());
        }
        if code.used {
            // RFC 6749 section 4.1.2.
            self.reused(&code.grant, "an authorization code was used twice").await?;
            return Err(unknown());
        }
        if code.expires_at <= self.now() {
            return Err(unknown());
        }
        match params.get("redirect_uri") {
            Some(named) if named == code.redirect_uri => {}
            None if !code.redirect_uri_named => {}
            Some(_) => return Err(OAuthError::invalid_grant("the redirect_uri is not the one of the request")),
            None => return Err(OAuthError::invalid_request("the parameter redirect_uri is missing")),
        }
        verify_pkce(code.challenge.as_deref(), params.get("code_verifier"))?;
        if !self.state.use_code(&digest).await.map_err(store_failed)? {
            // Two at once: the other one was first.
            self.reused(&code.grant, "an authorization code was used twice").await?;
            return Err(unknown());
        }
        let reply = self.first_tokens(client, &code.grant, code.nonce.as_deref()).await?;
        self.note_grant(About::grant(&code.grant), "authorization_code").await;
        Ok(reply)
    }

    pub(super) async fn by_client(&self, client: &Client, site: &Site, params: &Params) -> Result<Value, OAuthError> {
        if client.public || !client.grants.client_credentials {
            return Err(OAuthError::new("unauthorized_client", "this client may not act for itself"));
        }
        let now = self.now();
        let grant = Grant {
            session: random::identifier(&*self.entropy),
            client_id: client.id.clone(),
            issuer: site.issuer.clone(),
            subject: None,
            claims: serde_json::Map::new(),
            scopes: client.scopes(params.list("scope"))?,
            audience: client.audience(site, params.audience())?,
            auth_time: now.as_secs(),
            ends_at: now.plus(self.settings.session_lifetime).as_millis(),
        };
        // RFC 6749 section 4.4.3: no refresh token, whatever the scopes.
        let made = self.new_tokens(&grant, false)?;
        let reply = self.reply(&grant, None, made)?;
        self.note_grant(About::grant(&grant), "client_credentials").await;
        Ok(reply)
    }

    pub(super) async fn by_refresh(&self, client: &Client, params: &Params) -> Result<Value, OAuthError> {
        let presented = params.require("refresh_token")?;
        let outcome = self.refreshed(client, params, presented).await;
        // Told once the outcome is settled, whatever it is.
        match &outcome {
            Ok((_, next)) => exchanged(presented, Some(next.as_deref().unwrap_or(presented))),
            Err(_) => exchanged(presented, None),
        }
        outcome.map(|(reply, _)| reply)
    }

    async fn refreshed(
        &self,
        client: &Client,
        params: &Params,
        presented: &str,
    ) -> Result<(Value, Option<String>), OAuthError> {
        let digest = random::digest(presented);
        let unknown = || OAuthError::invalid_grant("the refresh token is unknown, expired or revoked");
        let reuse = || OAuthError::invalid_grant("the refresh token was used before; the session is revoked");
        let refresh = self.state.refresh(&digest).await.map_err(store_failed)?.ok_or_else(unknown)?;
        if refresh.grant.client_id != client.id {
            return Err(unknown());
        }
        if refresh.dead {
            self.reused(&refresh.grant, "a refresh token was used twice").await?;
            return Err(reuse());
        }
        let now = self.now();
        if refresh.expires_at <= now || refresh.grant.ends_at <= now.as_millis() {
            return Err(unknown());
        }
        let requested = params.list("scope");
        if let Some(extra) = requested.iter().find(|scope| !refresh.grant.scopes.contains(scope)) {
            let refused = format!("the scope {extra} was not granted to this session");
            return Err(OAuthError::new("invalid_scope", refused));
        }
        // A refresh may narrow the access token; the next refresh token has all that was granted (RFC 6749 section 6).
        let mut narrowed = refresh.grant.clone();
        if !requested.is_empty() {
            narrowed.scopes = requested;
        }
        let rotates = self.settings.rotate != Rotate::Never;
        let mut made = self.new_tokens(&narrowed, rotates)?;
        let mut next = None;
        if let Some((token, record)) = &mut made.refresh {
            record.grant = refresh.grant.clone();
            let grace = self.settings.rotate == Rotate::WithGrace;
            match self.state.rotate(&digest, &random::digest(token), record, grace).await.map_err(store_failed)? {
                Rotation::Rotated => next = Some(token.clone()),
                Rotation::Gone => return Err(unknown()),
                Rotation::Reused => {
                    self.reused(&refresh.grant, "a refresh token was used twice").await?;
                    return Err(reuse());
                }
            }
        }
        self.metrics.refreshed();
        let reply = self.reply(&narrowed, None, made)?;
        self.note_grant(About::grant(&narrowed), "refresh_token").await;
        Ok((reply, next))
    }

    pub(super) async fn by_device(&self, client: &Client, params: &Params) -> Result<Value, OAuthError> {
        let digest = random::digest(params.require("device_code")?);
        let unknown = || OAuthError::invalid_grant("the device code is unknown or was used");
        let device = self.state.device(&digest).await.map_err(store_failed)?.ok_or_else(unknown)?;
        if device.client_id != client.id {
            return Err(unknown());
        }
        let now = self.now();
        if device.expires_at <= now {
            return Err(OAuthError::new("expired_token", "the device code has expired"));
        }
        verify_pkce(device.challenge.as_deref(), params.get("code_verifier"))?;
        let (subject, claims, auth_time) = match device.answer {
            DeviceAnswer::Approved { subject, claims, auth_time } => (subject, claims, auth_time),
            DeviceAnswer::Denied => return Err(OAuthError::new("access_denied", "the person denied the request")),
            DeviceAnswer::Pending => {
                // A poll that left in time may be read a little early: the clock is coarse and networks jitter.
                let least = i64::try_from(device.interval.saturating_mul(1000)).unwrap_or(i64::MAX).saturating_sub(100);
                let too_fast = device.polled_at.is_some_and(|polled| now.as_millis().saturating_sub(polled) < least);
                // RFC 8628 section 3.5: this and all later polls wait five seconds longer.
                let interval = device.interval + if too_fast { 5 } else { 0 };
                self.state.poll_device(&digest, now, interval).await.map_err(store_failed)?;
                return Err(if too_fast {
                    OAuthError::new("slow_down", "polled too fast; wait five seconds longer")
                } else {
                    OAuthError::new("authorization_pending", "the person has not answered yet")
                });
            }
        };
        if !self.state.take_device(&digest).await.map_err(store_failed)? {
            return Err(unknown());
        }
        let grant = Grant {
            session: random::identifier(&*self.entropy),
            client_id: client.id.clone(),
            issuer: device.issuer,
            subject: Some(subject),
            claims,
            scopes: device.scopes,
            audience: device.audience,
            auth_time,
            ends_at: now.plus(self.settings.session_lifetime).as_millis(),
        };
        let reply = self.first_tokens(client, &grant, None).await?;
        self.note_grant(About::grant(&grant), "device_code").await;
        Ok(reply)
    }
}
