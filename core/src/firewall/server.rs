//! Which endpoints of an authorization server may have a secret: who named them, and what is known from before.

use std::time::Duration;

use super::{Credential, Destination, Origin, Plaintext, address};
use crate::config::endpoint::Endpoint;
use crate::discovery::{Discoverer, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::metadata::ServerMetadata;

/// How long the issuer's own document may take.
const ISSUER_TIMEOUT: Duration = Duration::from_secs(5);

/// What a stored session was granted by.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bound<'a> {
    pub(crate) issuer: Option<&'a str>,
    /// Origin of the token endpoint; `None` in a record of an older version, and for a login of another client.
    pub(crate) token_endpoint: Option<&'a str>,
}

/// The authorization server of a session, as its metadata tells, with the means to ask the issuer itself.
pub(crate) struct AuthorizationServer<'a> {
    pub(crate) metadata: &'a ServerMetadata,
    /// `tokenUrl`: the user's own word.
    pub(crate) token_url: Option<&'a str>,
    pub(crate) target: &'a Target,
    pub(crate) discoverer: &'a Discoverer,
    pub(crate) plaintext: Plaintext,
    /// Whom the session is with, for messages.
    pub(crate) place: &'a str,
}

/// An endpoint among the metadata's.
type Member = fn(&ServerMetadata) -> Option<&str>;

const TOKEN: (&str, Member) = ("token_endpoint", |metadata| metadata.token_endpoint.as_deref());
const DEVICE: (&str, Member) =
    ("device_authorization_endpoint", |metadata| metadata.device_authorization_endpoint.as_deref());
const REVOCATION: (&str, Member) = ("revocation_endpoint", |metadata| metadata.revocation_endpoint.as_deref());

/// Why a stored session must not be used as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl AuthorizationServer<'_> {
    /// For a refresh token, or the secret of a client, with what is known of the session that it belongs to. `Ok(Err)`:
    /// the server is another one than then.
    ///
    /// # Errors
    /// Kind `Server`: `metadata_incomplete`, `metadata_refused`, `foreign_endpoint`; `Network` if the issuer had to be
    /// asked and does not answer.
    pub(crate) async fn token_endpoint_for(
        &self,
        credential: Credential,
        bound: Bound<'_>,
    ) -> Result<Result<Destination, Changed>> {
        let to = self.token_endpoint()?;
        if let Some(changed) = self.changed(&to, bound) {
            return Ok(Err(changed));
        }
        if bound.token_endpoint.is_none() {
            self.vouched(credential, &to, TOKEN).await?;
        }
        Ok(Ok(to))
    }

    /// For a code that `from` (the authorization or device endpoint) hands out, and for the client's secret, if it has
    /// one.
    ///
    /// # Errors
    /// As [`Self::token_endpoint_for`].
    pub(crate) async fn token_endpoint_for_code(&self, from: &str, has_secret: bool) -> Result<Destination> {
        let to = self.token_endpoint()?;
        if has_secret {
            self.vouched(Credential::ClientSecret, &to, TOKEN).await?;
        }
        let giver = Origin::parse(from);
        if self.token_url.is_some() || giver.as_ref() == Some(&to.origin()) || self.is_endpoints_own(&to) {
            return Ok(to);
        }
        // The giver's own document must say it, and only an issuer has one.
        if giver.is_some() && giver == self.issuer_origin() {
            self.vouched(Credential::Code, &to, TOKEN).await?;
            return Ok(to);
        }
        Err(self.foreign(Credential::Code, &to, TOKEN.0))
    }

    /// The device authorization endpoint, which gets the client's secret, if it has one.
    ///
    /// # Errors
    /// As [`Self::token_endpoint_for`].
    pub(crate) async fn device_authorization_endpoint(&self, text: &str, has_secret: bool) -> Result<Destination> {
        let to = self.usable(DEVICE.0, text)?;
        if has_secret {
            self.vouched(Credential::ClientSecret, &to, DEVICE).await?;
        }
        Ok(to)
    }

    /// The revocation endpoint, which gets the tokens themselves. `Ok(Err)` as in [`Self::token_endpoint_for`].
    ///
    /// # Errors
    /// As [`Self::token_endpoint_for`].
    pub(crate) async fn revocation_endpoint(
        &self,
        text: &str,
        bound: Bound<'_>,
    ) -> Result<Result<Destination, Changed>> {
        let to = self.usable(REVOCATION.0, text)?;
        if let Some(changed) = self.other_issuer(bound) {
            return Ok(Err(changed));
        }
        if bound.token_endpoint != Some(to.origin().as_str()) {
            self.vouched(Credential::RefreshToken, &to, REVOCATION).await?;
        }
        Ok(Ok(to))
    }

    /// The origin that a session granted now is bound to.
    pub(crate) fn binding(&self) -> Option<String> {
        self.token_endpoint().ok().map(|to| to.origin().as_str().to_owned())
    }

    fn token_endpoint(&self) -> Result<Destination> {
        if let Some(url) = self.token_url {
            return Destination::given(url, self.plaintext, "tokenUrl");
        }
        let text = self.metadata.token_endpoint.as_deref().ok_or_else(|| {
            Error::new(
                ErrorKind::Server,
                "metadata_incomplete",
                "the authorization server metadata has no token_endpoint",
            )
            .with_endpoint(self.place)
            .with_next("Set admin.tokenUrl, or ask the administrator to complete the metadata")
        })?;
        self.usable(TOKEN.0, text)
    }

    /// Metadata was checked when it came; it may come from a cache that another setting filled.
    fn usable(&self, member: &str, text: &str) -> Result<Destination> {
        address::usable(text, self.plaintext).map(Destination).map_err(|what| refused(self.place, member, what))
    }

    fn other_issuer(&self, bound: Bound<'_>) -> Option<Changed> {
        let (then, now) = (bound.issuer?, self.metadata.issuer.as_deref()?);
        (then != now).then(|| Changed {
            code: "issuer_changed",
            message: format!("{} has another authorization server now ({now})", self.place),
        })
    }

    /// The same name served by another authorization server must not be handed this credential, nor must a server whose
    /// issuer is unchanged and whose token endpoint is somewhere else: whoever can write the metadata can do that.
    fn changed(&self, to: &Destination, bound: Bound<'_>) -> Option<Changed> {
        self.other_issuer(bound).or_else(|| {
            let (then, now) = (bound.token_endpoint?, to.origin());
            (then != now.as_str()).then(|| Changed {
                code: "token_endpoint_changed",
                message: format!(
                    "{} has its token endpoint at {now} now, and this session comes from {then}: nothing of it goes there",
                    self.place
                ),
            })
        })
    }

    fn issuer_origin(&self) -> Option<Origin> {
        self.metadata.issuer.as_deref().and_then(Origin::parse)
    }

    fn flyte(&self) -> Option<&Endpoint> {
        match self.target {
            Target::Endpoint(endpoint) => Some(endpoint),
            Target::Issuer(_) => None,
        }
    }

    /// The Flyte endpoint gets the access token in any case: what it has at its own origin is no stranger.
    fn is_endpoints_own(&self, to: &Destination) -> bool {
        self.flyte().is_some_and(|endpoint| Origin::parse(&endpoint.base_url()) == Some(to.origin()))
    }

    /// Whether somebody whom the user named says that `credential` may go to `to`.
    async fn vouched(&self, credential: Credential, to: &Destination, (name, member): (&str, Member)) -> Result<()> {
        let Some(endpoint) = self.flyte() else {
            // The document is the issuer's own, and the user named the issuer.
            return Ok(());
        };
        let by_user = self.token_url.is_some() && name == TOKEN.0;
        if by_user || self.is_endpoints_own(to) || self.issuer_origin() == Some(to.origin()) {
            return Ok(());
        }
        let Some(issuer) = self.metadata.issuer.as_deref() else { return Err(self.foreign(credential, to, name)) };
        tracing::debug!(%endpoint, issuer, %to, "the issuer itself is asked for its {name}");
        let asked = tokio::time::timeout(ISSUER_TIMEOUT, self.discoverer.issuer_metadata(issuer)).await;
        match asked {
            Ok(Ok(own)) if member(&own).and_then(Origin::parse) == Some(to.origin()) => Ok(()),
            Ok(Err(error)) if error.is_retryable() => Err(error),
            _ => Err(self.foreign(credential, to, name)),
        }
    }

    fn foreign(&self, credential: Credential, to: &Destination, member: &str) -> Error {
        let place = self.place;
        let issuer =
            self.metadata.issuer.as_deref().map_or_else(String::new, |issuer| format!(" nor its issuer {issuer}"));
        Error::new(
            ErrorKind::Server,
            "foreign_endpoint",
            format!(
                "the metadata of {place} names a {member} at {}, which is neither its own{issuer}'s: {} does not go there",
                to.origin(),
                credential.words()
            ),
        )
        .with_endpoint(place)
        .with_next(
            "Tell the administrator of the endpoint; if that address is right, say so: admin.tokenUrl in a file that \
             you trust, or FLYTE_AUTH_TOKEN_URL",
        )
    }
}

/// The metadata of `place` names an address that nothing may be sent to.
pub(crate) fn refused(place: &str, member: &str, what: &str) -> Error {
    Error::new(
        ErrorKind::Server,
        "metadata_refused",
        format!("the metadata of {place} cannot be used: {member} {what}"),
    )
    .with_endpoint(place)
    .with_next(format!("Ask the administrator to correct {member} in the authorization server metadata"))
}

/// Checks every address in `metadata`, which came from `place`.
pub(crate) fn check_metadata(metadata: &ServerMetadata, place: &str, plaintext: Plaintext) -> Result<()> {
    metadata.endpoints().try_for_each(|(member, text)| {
        address::usable(text, plaintext).map(|_| ()).map_err(|what| refused(place, member, what))
    })
}
