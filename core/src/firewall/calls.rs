//! The access token in calls of the program's own: to the host and port of the session's endpoint, and to addresses that
//! the program named beside it.

use http::{HeaderMap, Uri, header};

use crate::config::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::session::Session;

/// The hosts and ports that a token may be sent to.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    /// Whom the token is of, for messages.
    place: String,
    endpoints: Vec<Endpoint>,
}

impl Scope {
    pub(crate) fn new(session: &Session) -> Self {
        let endpoint = session.config().endpoint.as_ref().map(|endpoint| endpoint.value.clone());
        Self { place: session.place().to_owned(), endpoints: endpoint.into_iter().collect() }
    }

    pub(crate) fn and(&self, endpoint: Endpoint) -> Self {
        let mut scope = self.clone();
        scope.endpoints.push(endpoint);
        scope
    }

    /// Whether a request to `uri` with `headers` may carry the token.
    ///
    /// # Errors
    /// Kind `Config`: `foreign_host`, `plaintext_refused`, or `no_endpoint` where none is known.
    pub(crate) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<()> {
        // Behind a shared entry the Host header chooses whom the request reaches.
        for host in headers.get_all(header::HOST) {
            let host = host.to_str().map_err(|_| self.foreign("what its Host header names"))?;
            self.check_authority(uri.scheme_str(), host)?;
        }
        // Without an authority the service below has an origin of its own.
        uri.authority().map_or(Ok(()), |authority| self.check_authority(uri.scheme_str(), authority.as_str()))
    }

    fn check_authority(&self, scheme: Option<&str>, authority: &str) -> Result<()> {
        if self.endpoints.is_empty() {
            return Err(Error::new(
                ErrorKind::Config,
                "no_endpoint",
                format!("the session with {} knows no Flyte endpoint that its token is for", self.place),
            )
            .with_next("Configure an endpoint beside the issuer, or name one with AuthLayer::also_for"));
        }
        let plain = scheme == Some("http");
        let same = |endpoint: &Endpoint| endpoint.authority() == authority && endpoint.tls() != plain;
        if self.endpoints.iter().any(same) {
            return Ok(());
        }
        // Another spelling of one host: case, the default port, a final dot, an IPv6 address. An authority with user info
        // is no endpoint and is refused here.
        let asked = Endpoint::parse(&format!("{}://{authority}", scheme.unwrap_or("https")), false, "request")
            .map_err(|_| self.foreign("an address that is none"))?;
        let own = self.endpoints.iter().find(|own| own.host() == asked.host() && own.port() == asked.port());
        match own {
            None => Err(self.foreign(&asked.to_string())),
            Some(own) if own.tls() && !asked.tls() && !own.is_loopback() => Err(Error::new(
                ErrorKind::Config,
                "plaintext_refused",
                format!("a token of {} does not go out without TLS", self.place),
            )
            .with_next("Use https:// in the request's address")),
            Some(_) => Ok(()),
        }
    }

    fn foreign(&self, to: &str) -> Error {
        Error::new(ErrorKind::Config, "foreign_host", format!("a token of {} does not go to {to}", self.place)).with_next(
            "Use another client for other hosts; AuthLayer::also_for allows further addresses of this control plane",
        )
    }
}
