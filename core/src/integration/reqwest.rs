//! [`reqwest`](::reqwest) with the session's token (feature `reqwest`): a client with the session's CA, proxy and client
//! certificate, or your own with the token in its requests.
//!
//! ```no_run
//! # async fn example(session: flyte_auth::session::Session) -> flyte_auth::Result<()> {
//! let flyte = flyte_auth::reqwest::client(&session)?;
//! let reply = flyte.send(flyte.get("/api/v1/projects")).await?;
//! println!("{}", reply.status());
//! # Ok(())
//! # }
//! ```
//!
//! [`Client`] is a tower service of [`reqwest::Request`](::reqwest::Request), so middleware goes around it. What happens
//! to a request is told in [`tower`](crate::tower): one header, only to the endpoint's own host, one replay after a
//! rejection.
//!
//! # Redirects
//! The client of [`client`] follows none: what redirects a Flyte call is a login page. reqwest's own policy would take
//! an `authorization` header off a redirect to another host, but not a `flyte-authorization`; give a client of your own
//! [`redirect_policy`], which stays at the endpoint's host.

use std::fmt;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, Uri};
use reqwest::{RequestBuilder, ResponseBuilderExt as _};
use tower_layer::Layer as _;
use tower_service::Service;

use super::http_service::HttpService;
use super::tower::{AuthLayer, AuthService, BoxError};
use crate::error::{Error, ErrorKind, Result};
use crate::firewall::calls::Scope;
use crate::session::Session;

/// Redirects in a row that [`redirect_policy`] follows, as reqwest's own.
const MOST_REDIRECTS: usize = 10;

/// A client for the session's endpoint, made as the session's own calls are: CA, proxy, client certificate and
/// `insecureSkipVerify` hold. It has no deadline but for connecting (10 s): set one per request.
///
/// # Errors
/// Kind `Config`: a certificate or proxy setting cannot be used.
pub fn client(session: &Session) -> Result<Client> {
    let service = HttpService::new(session, false)?;
    let requests = service.requests()?;
    Ok(Client::over(session, Below::Factory(service), requests))
}

/// A client of your own, with the session's token in its requests. Build it with [`redirect_policy`].
pub fn wrap(session: &Session, client: reqwest::Client) -> Client {
    Client::over(session, Below::Given(client.clone()), client)
}

/// Follows redirects within the session's endpoint only; any other reply of status 3xx is given to the caller.
pub fn redirect_policy(session: &Session) -> reqwest::redirect::Policy {
    let scope = Scope::new(session);
    reqwest::redirect::Policy::custom(move |attempt| {
        let own = attempt.url().as_str().parse::<Uri>().is_ok_and(|uri| scope.check(&uri, &HeaderMap::new()).is_ok());
        if own && attempt.previous().len() <= MOST_REDIRECTS { attempt.follow() } else { attempt.stop() }
    })
}

/// Sends requests with the session's token. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    service: AuthService<Below>,
    /// Makes request builders.
    requests: reqwest::Client,
    base_url: Option<String>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("session", self.service.session()).finish_non_exhaustive()
    }
}

impl Client {
    fn over(session: &Session, below: Below, requests: reqwest::Client) -> Self {
        let base_url = session.config().endpoint.as_ref().map(|endpoint| endpoint.value.base_url());
        Self { service: AuthLayer::new(session).layer(below), requests, base_url }
    }

    /// Starts a request; give it to [`Client::send`]. `url` is absolute, or a path with a leading slash at the session's
    /// endpoint.
    pub fn request(&self, method: Method, url: &str) -> RequestBuilder {
        match &self.base_url {
            Some(base) if url.starts_with('/') => self.requests.request(method, format!("{base}{url}")),
            _ => self.requests.request(method, url),
        }
    }

    /// [`Client::request`] with `GET`.
    pub fn get(&self, url: &str) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    /// [`Client::request`] with `POST`.
    pub fn post(&self, url: &str) -> RequestBuilder {
        self.request(Method::POST, url)
    }

    /// Sends what a builder made, whichever client it is of. The builder's own `send` knows no token.
    ///
    /// # Errors
    /// As [`Client::execute`]; kind `Config` if the builder could not make a request.
    pub async fn send(&self, request: RequestBuilder) -> Result<reqwest::Response> {
        let request = request.build().map_err(|cause| {
            Error::new(ErrorKind::Config, "request_invalid", "the request cannot be built")
                .with_next("Check its address, headers and body")
                .with_source(cause.without_url())
        })?;
        self.execute(request).await
    }

    /// Sends a request with the session's token.
    ///
    /// # Errors
    /// As [`Session::token`]; `foreign_host` or `plaintext_refused` for a request that the token is not for; `Network` if
    /// there is no answer. A reply of whatever status is `Ok`.
    pub async fn execute(&self, request: reqwest::Request) -> Result<reqwest::Response> {
        self.clone().call(request).await
    }
}

impl Service<reqwest::Request> for Client {
    type Response = reqwest::Response;
    type Error = Error;
    type Future = BoxFuture<'static, Result<reqwest::Response>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.service.poll_ready(context).map_err(typed)
    }

    fn call(&mut self, request: reqwest::Request) -> Self::Future {
        let url = request.url().clone();
        let sent = Request::try_from(request).map(|request| self.service.call(request));
        Box::pin(async move {
            let response = sent.map_err(|cause| typed(cause.without_url().into()))?.await.map_err(typed)?;
            let (mut parts, body) = response.into_parts();
            let FinalUrl(url) = parts.extensions.remove().unwrap_or(FinalUrl(url));
            // reqwest keeps a response's address where only its own builder can put it.
            if let Ok(carrier) = Response::builder().url(url).body(()) {
                parts.extensions.extend(carrier.into_parts().0.extensions);
            }
            Ok(Response::from_parts(parts, reqwest::Body::wrap(body)).into())
        })
    }
}

/// Where a reply came from, after redirects.
#[derive(Debug, Clone)]
struct FinalUrl(url::Url);

/// What carries the requests.
#[derive(Debug, Clone)]
enum Below {
    Factory(HttpService),
    Given(reqwest::Client),
}

impl Service<Request<reqwest::Body>> for Below {
    type Response = Response<reqwest::Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<reqwest::Body>) -> Self::Future {
        match self {
            Self::Factory(service) => {
                let reply = service.call(request);
                Box::pin(async move { Ok(reply.await?) })
            }
            Self::Given(client) => {
                let client = client.clone();
                Box::pin(async move {
                    let response = client.execute(request.try_into()?).await?;
                    let url = FinalUrl(response.url().clone());
                    let mut response = Response::from(response);
                    response.extensions_mut().insert(url);
                    Ok(response)
                })
            }
        }
    }
}

/// The error that leaves here.
fn typed(error: BoxError) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(error) => return *error,
        Err(error) => error,
    };
    match error.downcast::<reqwest::Error>() {
        Ok(cause) => Error::new(ErrorKind::Network, "call_failed", "the call got no answer")
            .with_next("The error's source says why")
            .with_source(cause.without_url()),
        Err(cause) => Error::new(ErrorKind::Network, "call_failed", format!("the call failed: {cause}")),
    }
}
