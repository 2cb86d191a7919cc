//! A reverse proxy that only carries: who may pass is decided before it is called. HTTP/1.1, HTTP/2, gRPC and Connect,
//! unary and streaming, without buffering; trailers and upgrades go through.

mod client;
mod headers;
mod trouble;
mod upgrade;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{Uri, Version};
use axum::response::Response;
use flyte_auth::error::{Error, Result};

use self::client::Clients;
use self::trouble::Trouble;
use crate::config::model::Upstream;
use crate::flyte::media_type;
use crate::flyte::service::Rpc;

/// From the request to the headers of the answer, for calls that are no gRPC: those bring their own deadline.
const PATIENCE: Duration = Duration::from_secs(60);

/// A service behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    scheme: Scheme,
    authority: Authority,
    /// Put before the request's path; no slash at its end.
    base: String,
    /// `h2c`: HTTP/2 for everything.
    only_http2: bool,
}

/// A rule: what a path begins with, and where it goes.
#[derive(Debug, Clone)]
struct Rule {
    matches: String,
    target: Target,
}

#[derive(Debug)]
struct Routes {
    /// Of gRPC services, the longest first.
    services: Vec<Rule>,
    /// Of paths, the longest first.
    paths: Vec<Rule>,
}

/// The services behind, and connections to them. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    routes: Arc<Routes>,
    clients: Clients,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("routes", &self.routes).finish_non_exhaustive()
    }
}

fn target(upstream: &Upstream) -> Result<Target> {
    let wrong = || {
        Error::config(
            "upstream_invalid",
            "gateway.upstreams",
            format!("the url of {:?} cannot be used", upstream.matches),
        )
        .with_next("Write http://HOST:PORT, https://HOST, or h2c://HOST:PORT for plaintext HTTP/2")
    };
    let url = &upstream.url;
    let (scheme, only_http2) = match url.scheme() {
        "http" => (Scheme::HTTP, false),
        "h2c" => (Scheme::HTTP, true),
        "https" => (Scheme::HTTPS, false),
        _ => return Err(wrong()),
    };
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong());
    }
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
    let authority = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let authority = authority.parse().map_err(|_| wrong())?;
    Ok(Target { scheme, authority, base: url.path().trim_end_matches('/').to_owned(), only_http2 })
}

/// Whether a path has a segment that climbs, in any spelling that a server behind may decode: what it names there is not
/// what it seems to be here.
fn climbs(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let plain = lower.replace("%2e", ".").replace("%2f", "/").replace("%5c", "/").replace('\\', "/");
    // A second layer of encoding is left to nobody.
    plain.contains("%252e")
        || plain.contains("%252f")
        || plain.split('/').any(|segment| segment == ".." || segment == ".")
}

impl Gateway {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// Kind `Config`: an upstream's `match` or `url` cannot be used.
    pub fn new(upstreams: &[Upstream]) -> Result<Self> {
        let mut routes = Routes { services: Vec::new(), paths: Vec::new() };
        for upstream in upstreams {
            let matches = upstream.matches.clone();
            let rule = Rule { target: target(upstream)?, matches: matches.clone() };
            if matches.starts_with('/') {
                routes.paths.push(Rule { matches: matches.trim_end_matches('/').to_owned(), ..rule });
            } else if matches.contains('.') {
                routes.services.push(rule);
            } else {
                let message = format!("the match {matches:?} is neither a path nor a gRPC package or service");
                return Err(Error::config("upstream_invalid", "gateway.upstreams", message)
                    .with_next("Write \"flyteidl.\" for a package, a whole service name, or a path such as /console"));
            }
        }
        for rules in [&mut routes.services, &mut routes.paths] {
            rules.sort_by_key(|rule| std::cmp::Reverse(rule.matches.len()));
        }
        Ok(Self { routes: Arc::new(routes), clients: Clients::new()? })
    }

    /// Where a path goes: a remote procedure by its service, anything else by its beginning; the longest match wins.
    pub fn route(&self, path: &str) -> Option<&Target> {
        if climbs(path) {
            return None;
        }
        if let Some(rpc) = Rpc::parse(path) {
            let fits = |rule: &&Rule| match rule.matches.ends_with('.') {
                true => rpc.service.starts_with(&rule.matches),
                false => rpc.service == rule.matches,
            };
            if let Some(rule) = self.routes.services.iter().find(fits) {
                return Some(&rule.target);
            }
        }
        let below = |rule: &&Rule| {
            path.strip_prefix(&rule.matches).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.routes.paths.iter().find(below).map(|rule| &rule.target)
    }

    /// Forwards; an upstream that fails is an answer in the caller's own protocol. `secure`: the caller reached this
    /// deployment over TLS.
    pub async fn forward(&self, target: &Target, mut request: Request, secure: bool) -> Response {
        let kind = media_type(request.headers());
        let is_grpc = kind == "application/grpc" || kind.starts_with("application/grpc+");
        let trouble = Trouble::for_caller(&kind, request.uri().path());
        let Some(uri) = address(target, request.uri()) else { return trouble.answer(trouble::Kind::Malformed) };
        let upgrade = upgrade::asked(&request);
        let caller = upgrade.as_ref().map(|_| hyper::upgrade::on(&mut request));
        headers::forward(&mut request, secure, is_grpc);
        if let Some(protocol) = &upgrade {
            upgrade::ask(request.headers_mut(), protocol);
        }
        *request.uri_mut() = uri;
        // What the caller spoke says nothing of what the service speaks.
        *request.version_mut() = Version::HTTP_11;
        let http2 = target.only_http2 || is_grpc;
        if http2 {
            *request.version_mut() = Version::HTTP_2;
        }
        let sent = self.clients.send(request, http2);
        let outcome = if is_grpc || upgrade.is_some() {
            sent.await
        } else {
            match tokio::time::timeout(PATIENCE, sent).await {
                Ok(outcome) => outcome,
                Err(_) => return trouble.answer(trouble::Kind::TooSlow),
            }
        };
        match outcome {
            Ok(mut response) => {
                if let (Some(protocol), Some(caller)) = (upgrade, caller)
                    && response.status() == axum::http::StatusCode::SWITCHING_PROTOCOLS
                {
                    return upgrade::join(response, caller, &protocol);
                }
                headers::back(response.headers_mut());
                response.map(Body::new)
            }
            Err(error) => {
                tracing::warn!(upstream = %target.authority, error = %chain(&error), "a service behind does not answer");
                trouble.answer(trouble::Kind::Unreachable)
            }
        }
    }
}

/// The whole story of an error: hyper's own text says only the last line of it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The address behind, byte for byte as it came, below the target's own path.
fn address(target: &Target, uri: &Uri) -> Option<Uri> {
    let asked = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let path = if target.base.is_empty() { asked.to_owned() } else { format!("{}{asked}", target.base) };
    let mut parts = axum::http::uri::Parts::default();
    parts.scheme = Some(target.scheme.clone());
    parts.authority = Some(target.authority.clone());
    parts.path_and_query = Some(path.parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests;
