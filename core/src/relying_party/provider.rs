//! The OpenID provider: its metadata, and every call that goes to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION};
use serde_json::{Map, Value};

use super::data::Data;
use super::settings::Settings;
use crate::clock::Timestamp;
use crate::credential::{Context, TokenSet, exchange, failure};
use crate::discovery::{Discoverer, Discovery, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::firewall::{AuthorizationServer, Bound, Credential, Destination, Plaintext};
use crate::protocol::client::Client;
use crate::protocol::grant::{self, Grant, Parameters, Revocable};
use crate::protocol::metadata::ServerMetadata;
use crate::protocol::secret::{AccessToken, IdToken, SecretBytes};
use crate::protocol::{json, reply};
use crate::transport::{Call, Purpose};
use crate::verify::Verifier;

/// How long the user info endpoint, and a revocation, may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// After a failure the metadata is not asked for again for so long.
const PAUSE: Duration = Duration::from_secs(5);

pub(super) struct Provider {
    context: Context,
    target: Target,
    discoverer: Discoverer,
    verifier: Verifier,
    plaintext: Plaintext,
    /// When the metadata could not be had, and why. Whoever holds it asks; the others wait for that answer.
    failed: tokio::sync::Mutex<Option<(Timestamp, Error)>>,
    /// The provider refused the method of client authentication that its metadata names, and took the other one.
    other_method: AtomicBool,
}

impl Provider {
    pub(super) fn new(settings: &Settings, context: Context) -> Result<Self> {
        let transport = Arc::clone(&context.transport);
        let verifier = Verifier::builder(&settings.issuer)
            .audience(&settings.client_id)
            .transport(Arc::clone(&transport))
            .clock(Arc::clone(&context.clock))
            .plaintext(settings.plaintext == Plaintext::ByUser)
            .build()?;
        let discoverer = Discoverer::new(transport, Arc::clone(&context.clock), None).plaintext(settings.plaintext);
        Ok(Self {
            target: Target::Issuer(settings.issuer.clone()),
            plaintext: settings.plaintext,
            failed: tokio::sync::Mutex::default(),
            other_method: AtomicBool::new(false),
            context,
            discoverer,
            verifier,
        })
    }

    /// The provider's metadata. An old copy serves while a new one cannot be had; after a failure without one nobody asks
    /// for a moment.
    pub(super) async fn metadata(&self) -> Result<ServerMetadata> {
        let mut failed = self.failed.lock().await;
        let now = self.context.clock.now();
        let recent =
            failed.as_ref().filter(|(at, _)| *at <= now && now < at.plus(PAUSE)).map(|(_, error)| error.clone());
        let found = match recent {
            Some(error) => Err(error),
            None => self.discoverer.discover(&self.target).await,
        };
        let found = match found {
            Err(error) if error.is_retryable() => {
                if failed.as_ref().is_none_or(|(at, _)| now >= at.plus(PAUSE) || *at > now) {
                    *failed = Some((self.context.clock.now(), error.clone()));
                }
                self.discoverer.cached(&self.target).ok_or(error)
            }
            found => {
                *failed = None;
                found
            }
        };
        match found? {
            Discovery::Auth(server) => Ok(server.metadata),
            Discovery::NoAuth { .. } => Err(Error::internal("an issuer without auth")),
        }
    }

    fn judged<'a>(&'a self, settings: &'a Settings, metadata: &'a ServerMetadata) -> AuthorizationServer<'a> {
        AuthorizationServer {
            metadata,
            token_url: None,
            target: &self.target,
            discoverer: &self.discoverer,
            plaintext: self.plaintext,
            place: &settings.issuer,
        }
    }

    /// Exchanges the code of a sign-in. With the tokens: the origin that they are bound to.
    pub(super) async fn redeem(
        &self,
        settings: &Settings,
        metadata: &ServerMetadata,
        grant: Grant<'_>,
    ) -> Result<(TokenSet, String)> {
        let from = metadata.authorization_endpoint.as_deref().unwrap_or_default();
        let has_secret = settings.client_secret.is_some();
        let to = self.judged(settings, metadata).token_endpoint_for_code(from, has_secret).await?;
        let tokens = self.exchange(settings, metadata, &to, grant).await?;
        Ok((tokens, to.origin().as_str().to_owned()))
    }

    /// Renews a session's tokens.
    ///
    /// # Errors
    /// Kind `LoginRequired` if the provider takes the refresh token no more, or is another one than then.
    pub(super) async fn renew(&self, settings: &Settings, data: &Data) -> Result<TokenSet> {
        let Some(refresh_token) = &data.refresh_token else {
            return Err(over("session_expired", "there is no refresh token"));
        };
        let metadata = self.metadata().await?;
        let bound = Bound { issuer: Some(&data.issuer), token_endpoint: Some(&data.token_origin) };
        let judged = self.judged(settings, &metadata);
        match judged.token_endpoint_for(Credential::RefreshToken, bound).await? {
            Ok(to) => self.exchange(settings, &metadata, &to, Grant::RefreshToken(refresh_token)).await,
            Err(changed) => Err(over(changed.code, &changed.message)),
        }
    }

    fn client(&self, settings: &Settings, metadata: &ServerMetadata) -> Client {
        let mut client = settings.client(&metadata.token_endpoint_auth_methods_supported);
        if let Some(other) = client.method.other().filter(|_| self.other_method.load(Ordering::Relaxed)) {
            client.method = other;
        }
        client
    }

    async fn exchange(
        &self,
        settings: &Settings,
        metadata: &ServerMetadata,
        to: &Destination,
        grant: Grant<'_>,
    ) -> Result<TokenSet> {
        let client = self.client(settings, metadata);
        let ask = async |client| exchange(&self.context, to, client, grant, Parameters::default()).await;
        let mut outcome = ask(&client).await;
        // Metadata and server disagree in the wild; a refused client has used nothing up.
        if let (Err(error), Some(method)) = (&outcome, client.method.other())
            && error.code() == "invalid_client"
        {
            let second = ask(&Client { method, ..client.clone() }).await;
            if second.is_ok() {
                self.other_method.fetch_xor(true, Ordering::Relaxed);
                outcome = second;
            }
        }
        if let Err(error) = &outcome
            && error.kind() == ErrorKind::Server
            && !error.is_retryable()
        {
            // The endpoint may have moved since its metadata was read.
            self.discoverer.forget(&self.target);
        }
        outcome
    }

    /// The subject of an ID token that passed every check (OpenID Connect Core 3.1.3.7).
    pub(super) async fn validate(
        &self,
        settings: &Settings,
        id_token: &IdToken,
        nonce: Option<&str>,
        access_token: &AccessToken,
    ) -> Result<String> {
        let verified = self.verifier.verify_id_token(id_token, &settings.client_id, nonce, Some(access_token)).await?;
        Ok(verified.subject)
    }

    /// What the user info endpoint says of `subject` (OpenID Connect Core 5.3); nothing where there is none.
    ///
    /// # Errors
    /// Kind `Denied`, code `subject_mismatch`, if it is about somebody else.
    pub(super) async fn user_info(
        &self,
        metadata: &ServerMetadata,
        access_token: &AccessToken,
        subject: &str,
    ) -> Result<Map<String, Value>> {
        let Some(endpoint) = &metadata.userinfo_endpoint else { return Ok(Map::new()) };
        let to = Destination::given(endpoint, self.plaintext, "userinfo_endpoint")?;
        let mut authorization = SecretBytes::from("Bearer ");
        authorization.extend(access_token.expose().as_bytes()); // EXPOSE: what the endpoint is asked with.
        let unusable = |why: &str| {
            Error::new(ErrorKind::Server, "user_info_unusable", format!("the user info answer {why}"))
                .with_endpoint(to.as_str())
        };
        let request = http::Request::get(to.as_str()).header(ACCEPT, "application/json").body(Vec::new());
        let (Ok(mut request), Some(authorization)) = (request, authorization.into_header()) else {
            return Err(Error::internal("a user info request that cannot be sent"));
        };
        request.headers_mut().insert(AUTHORIZATION, authorization);
        let call = Call { timeout: PATIENCE, ..Call::new(Purpose::UserInfo, request) };
        let reply = self.context.transport.send(call).await?;
        if !reply.status.is_success() {
            return Err(unusable(&format!("is HTTP {}", reply.status.as_u16())));
        }
        // A signed answer (section 5.3.2) comes only to clients that registered for one.
        let answer = json::parse_object(&reply.body).map_err(|_| unusable("is no JSON object"))?;
        if answer.get("sub").and_then(Value::as_str) != Some(subject) {
            return Err(Error::new(
                ErrorKind::Denied,
                "subject_mismatch",
                "the user info is about somebody else (sub)",
            )
            .with_endpoint(to.as_str())
            .with_next("Report it to the administrator of the provider"));
        }
        Ok(answer)
    }

    /// Revokes a refresh token (RFC 7009), and at most providers the whole grant with it. Best effort.
    pub(super) async fn revoke(&self, settings: &Settings, data: &Data) -> Result<()> {
        let Some(token) = &data.refresh_token else { return Ok(()) };
        let metadata = self.metadata().await?;
        let Some(endpoint) = &metadata.revocation_endpoint else { return Ok(()) };
        let bound = Bound { issuer: Some(&data.issuer), token_endpoint: Some(&data.token_origin) };
        let to = match self.judged(settings, &metadata).revocation_endpoint(endpoint, bound).await? {
            Ok(to) => to,
            Err(changed) => return Err(over(changed.code, &changed.message)),
        };
        let client = self.client(settings, &metadata);
        let request = grant::revocation_request(to.as_str(), &client, Revocable::Refresh(token))?;
        let call = Call { timeout: PATIENCE, ..Call::new(Purpose::Revocation, request) };
        let reply = self.context.transport.send(call).await?;
        reply::revocation(&reply).map_err(|problem| failure::unusable(&problem, Purpose::Revocation, to.as_str()))
    }
}

/// A session is over, and the person signs in anew.
pub(super) fn over(code: &'static str, why: &str) -> Error {
    Error::new(ErrorKind::LoginRequired, code, format!("the session is over: {why}"))
        .with_next("Sign in again at the application's login path")
}
