//! What a login needs to know before a person is asked, and the request of each step.

use std::time::Duration;

use super::{Asked, Pending, PendingLogin, Session};
use crate::credential::authorization_code::{self, BeginAuthorizationCode, Listen};
use crate::credential::device::{self, BeginDevice, PkceOnDevice};
use crate::discovery::{Discovery, ServerAuth, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::interaction::ladder::Step;
use crate::protocol::metadata::DEFAULT_REDIRECT_URI;
use crate::store::LockGuard;

/// How long the issuer's own metadata may take: a login goes on without it.
const ISSUER_METADATA_TIMEOUT: Duration = Duration::from_secs(5);

/// What a login needs to know before its first step.
pub(super) struct Prepared {
    pub(super) server: ServerAuth,
    pub(super) client_id: String,
    pub(super) asked: Asked,
    pub(super) iss_required: bool,
}

impl Prepared {
    fn redirect_uri(&self) -> &str {
        self.server.public_client.redirect_uri.as_deref().unwrap_or(DEFAULT_REDIRECT_URI)
    }
}

impl Session {
    pub(super) async fn prepare(&self) -> Result<Option<Prepared>> {
        let inner = &self.inner;
        if inner.source.is_machine() {
            return Err(Error::config(
                "no_person",
                "auth_type",
                format!("{} needs no login: its tokens come from {}", inner.place, inner.source.name()),
            )
            .with_next("Run: flyte-auth token"));
        }
        // What was remembered may be hours old; a person who signs in wants what holds now.
        inner.discoverer.forget(&inner.target);
        let mut server = match inner.discover().await? {
            Discovery::NoAuth { .. } => return Ok(None),
            Discovery::Auth(server) => *server,
        };
        // Flyte's messages leave out what a safe login needs: the `iss` announcement (RFC 9207), revocation, often the
        // key set. The issuer's own document has it; a login goes on without, a wrong issuer in it is ignored there.
        let mut iss_required = server.metadata.authorization_response_iss_parameter_supported;
        if !matches!(inner.target, Target::Issuer(_))
            && let Some(issuer) = server.metadata.issuer.clone()
        {
            match tokio::time::timeout(ISSUER_METADATA_TIMEOUT, inner.discoverer.issuer_metadata(&issuer)).await {
                Ok(Ok(own)) => {
                    iss_required |= own.authorization_response_iss_parameter_supported;
                    let mine = &mut server.metadata;
                    mine.jwks_uri = mine.jwks_uri.take().or(own.jwks_uri);
                    mine.device_authorization_endpoint =
                        mine.device_authorization_endpoint.take().or(own.device_authorization_endpoint);
                    if mine.scopes_supported.is_empty() {
                        mine.scopes_supported = own.scopes_supported;
                    }
                }
                Ok(Err(error)) => tracing::debug!(%error, "the issuer has no metadata of its own"),
                Err(_) => tracing::debug!(issuer, "the issuer's own metadata took too long"),
            }
        }
        let client_id = inner.client_id(&server)?;
        let asked = inner.asked(&server, true);
        Ok(Some(Prepared { server, client_id, asked, iss_required }))
    }

    pub(super) async fn begin_step(
        &self,
        prepared: &Prepared,
        step: Step,
        timeout: Duration,
        lock: Option<Box<dyn LockGuard>>,
    ) -> Result<PendingLogin> {
        let inner = &self.inner;
        let metadata = &prepared.server.metadata;
        let client = inner.presented_client(&prepared.client_id, &prepared.server, None).await?;
        let firewall = inner.authorization_server(&prepared.server);
        let has_secret = client.secret.is_some();
        let missing = |what: &str| {
            Error::new(
                ErrorKind::Server,
                "metadata_incomplete",
                format!("the authorization server of {} names no {what}", inner.place),
            )
            .with_endpoint(inner.place.clone())
            .with_next("Ask the administrator, or choose another --flow")
        };
        let pending = if step == Step::Device {
            let endpoint = metadata
                .device_authorization_endpoint
                .clone()
                .ok_or_else(|| missing("device_authorization_endpoint"))?;
            let token_endpoint = firewall.token_endpoint_for_code(&endpoint, has_secret).await?;
            let endpoint = firewall.device_authorization_endpoint(&endpoint, has_secret).await?;
            let begin = BeginDevice {
                client: &client,
                device_authorization_endpoint: &endpoint,
                token_endpoint: &token_endpoint,
                parameters: prepared.asked.parameters(),
                pkce: PkceOnDevice::IfDemanded,
                deadline: timeout,
            };
            Pending::Device(device::begin(&inner.context, begin).await?)
        } else {
            let endpoint = metadata.authorization_endpoint.clone().ok_or_else(|| missing("authorization_endpoint"))?;
            let token_endpoint = firewall.token_endpoint_for_code(&endpoint, has_secret).await?;
            let asked = self.hinted(&prepared.asked);
            let begin = BeginAuthorizationCode {
                client: &client,
                redirect_uri: prepared.redirect_uri(),
                authorization_endpoint: &endpoint,
                token_endpoint: &token_endpoint,
                issuer: metadata.issuer.as_deref(),
                iss_required: prepared.iss_required,
                parameters: asked.parameters(),
                deadline: timeout,
                // In paste mode a busy port is no obstacle.
                listen: if step == Step::Browser { Listen::Required } else { Listen::IfPossible },
            };
            Pending::Code(authorization_code::begin(&inner.context, begin).await?)
        };
        Ok(PendingLogin {
            session: self.clone(),
            server: prepared.server.clone(),
            asked: prepared.asked.clone(),
            pending,
            _lock: lock,
        })
    }
}
