//! Where paths go.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::uri::{Authority, Parts, PathAndQuery, Scheme};
use axum::http::{StatusCode, Uri};
use flyte_auth::error::{Error, Result};

use super::Wire;
use super::client::Dial;
use super::http2::Lines;
use super::trouble::Failure;
use crate::config::model::Upstream;
use crate::flyte::service::Rpc;

const SETTING: &str = "gateway.upstreams";

/// A service behind.
pub struct Target {
    matches: String,
    scheme: Scheme,
    authority: Authority,
    /// Put before the request's path; no slash at its end.
    base: String,
    /// `h2c`: HTTP/2 for everything.
    only_http2: bool,
    /// TLS agreed on HTTP/1.1 once: asking each time would cost a connection.
    chose_http1: AtomicBool,
    lines: Arc<Lines>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("matches", &self.matches)
            .field("scheme", &self.scheme)
            .field("authority", &self.authority)
            .field("base", &self.base)
            .field("only_http2", &self.only_http2)
            .finish_non_exhaustive()
    }
}

impl Target {
    fn new(upstream: &Upstream, dial: &Dial) -> Result<Self> {
        let wrong = |why: &str| {
            // The URL itself may hold a password.
            let message = format!("the url of {:?} {why}", upstream.matches);
            Error::config("upstream_invalid", SETTING, message)
                .with_next("Write http://HOST:PORT, https://HOST, or h2c://HOST:PORT for plaintext HTTP/2")
        };
        let url = &upstream.url;
        let (scheme, only_http2) = match url.scheme() {
            "http" => (Scheme::HTTP, false),
            "h2c" => (Scheme::HTTP, true),
            "https" => (Scheme::HTTPS, false),
            _ => return Err(wrong("is neither http, https nor h2c")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("has a user or a password, which is never sent"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("has a query or a fragment"));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("has no host"))?;
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let authority: Authority = authority.parse().map_err(|_| wrong("has a host that cannot be used"))?;
        let base = url.path().trim_end_matches('/').to_owned();
        let origin = Uri::builder().scheme(scheme.clone()).authority(authority.clone()).path_and_query("/").build();
        let origin = origin.map_err(|_| wrong("cannot be used"))?;
        Ok(Self {
            matches: upstream.matches.clone(),
            scheme,
            authority,
            base,
            only_http2,
            chose_http1: AtomicBool::new(false),
            lines: Lines::new(dial.clone(), origin),
        })
    }

    /// The rule by which it is reached, as configured: its name in logs and metrics.
    pub fn matches(&self) -> &str {
        &self.matches
    }

    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    pub(super) fn is_http2_only(&self) -> bool {
        self.only_http2
    }

    pub(super) fn lines(&self) -> &Arc<Lines> {
        &self.lines
    }

    /// What a request goes out over; connects, where only that tells.
    pub(super) async fn wire(&self, is_grpc: bool) -> Result<Wire, Failure> {
        if is_grpc || self.only_http2 {
            return self.lines.reserve().await.map(Wire::Http2);
        }
        if self.scheme == Scheme::HTTP || self.chose_http1.load(Ordering::Relaxed) {
            return Ok(Wire::Http1);
        }
        match self.lines.reserve().await {
            Err(Failure::NoHttp2) => {
                self.chose_http1.store(true, Ordering::Relaxed);
                Ok(Wire::Http1)
            }
            reserved => reserved.map(Wire::Http2),
        }
    }

    /// The address behind of a request for `uri`: path and query byte for byte, below the target's own path.
    pub(super) fn address(&self, uri: &Uri, authority: &Authority) -> Result<Uri, Failure> {
        let malformed = || Failure::Refused(StatusCode::BAD_REQUEST, "the path is no path");
        let asked = uri.path_and_query();
        let mut parts = Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(authority.clone());
        parts.path_and_query = Some(match asked {
            Some(asked) if self.base.is_empty() => asked.clone(),
            _ => {
                let asked = asked.map_or("/", PathAndQuery::as_str);
                PathAndQuery::from_maybe_shared(bytes::Bytes::from(format!("{}{asked}", self.base)))
                    .map_err(|_| malformed())?
            }
        });
        Uri::from_parts(parts).map_err(|_| malformed())
    }
}

/// Rules, the longest first.
#[derive(Debug)]
pub(super) struct Routes {
    services: Vec<Target>,
    /// With what their paths begin with: no slash at its end.
    paths: Vec<(String, Target)>,
}

impl Routes {
    pub(super) fn new(upstreams: &[Upstream], dial: &Dial) -> Result<Self> {
        let mut routes = Self { services: Vec::new(), paths: Vec::new() };
        for upstream in upstreams {
            let matches = upstream.matches.as_str();
            let target = Target::new(upstream, dial)?;
            let prefix = matches.trim_end_matches('/');
            let is_taken = if matches.starts_with('/') {
                routes.paths.iter().any(|(other, _)| other == prefix)
            } else {
                routes.services.iter().any(|other| other.matches == matches)
            };
            if is_taken {
                return Err(Error::config("upstream_twice", SETTING, format!("{matches:?} is there twice"))
                    .with_next("Keep one of them"));
            }
            if matches.starts_with('/') && !climbs(matches) && !matches.contains(['%', '?', '#', ' ']) {
                routes.paths.push((prefix.to_owned(), target));
            } else if is_service(matches.strip_suffix('.').unwrap_or(matches)) && matches.contains('.') {
                routes.services.push(target);
            } else {
                let message = format!("the match {matches:?} is neither a path nor a gRPC package or service");
                return Err(Error::config("upstream_invalid", SETTING, message)
                    .with_next("Write \"flyteidl.\" for a package, a whole service name, or a path such as /console"));
            }
        }
        routes.services.sort_by_key(|target| std::cmp::Reverse(target.matches.len()));
        routes.paths.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Ok(routes)
    }

    pub(super) fn find(&self, path: &str) -> Option<&Target> {
        if let Some(Rpc { service, method }) = Rpc::parse(path)
            && is_service(service)
            && is_word(method)
        {
            let fits = |target: &&Target| match target.matches.ends_with('.') {
                true => service.starts_with(&target.matches),
                false => service == target.matches,
            };
            if let Some(target) = self.services.iter().find(fits) {
                return Some(target);
            }
        }
        if self.paths.is_empty() || climbs(path) {
            return None;
        }
        let below =
            |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.paths.iter().find(|(prefix, _)| below(prefix)).map(|(_, target)| target)
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether this is a name as protobuf has them: words with dots between.
fn is_service(text: &str) -> bool {
    text.split('.').all(is_word)
}

/// Whether a path has a segment `.` or `..` in any spelling that some server decodes: percent-encoded however often, with
/// a backslash for the slash, with parameters (`..;x`), or in overlong UTF-8. What such a path names there is not what
/// it seems to name here.
fn climbs(path: &str) -> bool {
    if !path.contains("/.") && !path.bytes().any(|byte| byte == b'%' || byte == b'\\') {
        return false;
    }
    // Decoded as it grows: a byte that came of decoding may be the last of the next encoding. Linear, whatever the path.
    let mut plain: Vec<u8> = Vec::with_capacity(path.len());
    for byte in path.bytes() {
        plain.push(byte);
        while let Some((length, decoded)) = encoded_at_end(&plain) {
            plain.truncate(plain.len() - length);
            plain.push(decoded);
        }
    }
    plain.split(|byte| matches!(byte, b'/' | b'\\')).any(|segment| {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        matches!(name.trim_ascii(), b"." | b"..")
    })
}

/// How many bytes at the end are one encoded byte, and which.
fn encoded_at_end(bytes: &[u8]) -> Option<(usize, u8)> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match bytes {
        [.., b'%', high, low] => Some((3, digit(*high)? * 16 + digit(*low)?)),
        [.., 0xc0, 0xae] => Some((2, b'.')),
        [.., 0xc0, 0xaf] => Some((2, b'/')),
        [.., 0xc1, 0x9c] => Some((2, b'\\')),
        _ => None,
    }
}
