//! Faults to order: what proxies, load balancers and broken servers do to clients, on the next requests.

use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flyte_auth::error::Error;
use futures_util::stream;

use crate::listen::Reset;
use crate::metrics::Metrics;

/// What happens instead of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// A bare HTTP status from 400 to 599, with an empty body. 429 and 503 say `Retry-After: 1`.
    Status(u16),
    /// 200 with a login page of some proxy.
    Html,
    /// Headers at once, then a byte every quarter of a second, for a minute.
    Slow,
    /// The connection is reset.
    Reset,
    /// 200 with broken JSON.
    Garbage,
    /// The request is served, and its answer comes this much later.
    Delay(Duration),
}

impl FromStr for FaultKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(millis) = text.strip_prefix("delay-").and_then(|millis| millis.parse().ok()) {
            return Ok(Self::Delay(Duration::from_millis(millis)));
        }
        match text {
            "html" => Ok(Self::Html),
            "slow" => Ok(Self::Slow),
            "reset" => Ok(Self::Reset),
            "garbage" => Ok(Self::Garbage),
            _ => text.parse().ok().filter(|status| (400..=599).contains(status)).map(Self::Status).ok_or_else(|| {
                Error::config("fault_invalid", "--fault", "the fault is not known").with_next(
                    "Use html, slow, reset, garbage, delay-MILLISECONDS, or a status from 400 to 599 such as 503",
                )
            }),
        }
    }
}

/// Faults for the next requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What happens.
    pub kind: FaultKind,
    /// To how many requests.
    pub count: u64,
    /// Only to requests whose path begins so.
    pub path: Option<String>,
}

impl FromStr for Fault {
    type Err = Error;

    /// `KIND[:N]`; N is 1 where it is not given.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (kind, count) = text.split_once(':').unwrap_or((text, "1"));
        let count = count.parse().map_err(|_| {
            Error::config("fault_invalid", "--fault", "the number after the colon is not a count")
                .with_next("Write KIND or KIND:N, for example 503:3")
        })?;
        Ok(Self { kind: kind.parse()?, count, path: None })
    }
}

/// The faults that are still to come, in order.
#[derive(Debug)]
pub struct Faults {
    queue: Mutex<VecDeque<Fault>>,
    metrics: Arc<Metrics>,
}

impl Faults {
    /// With these to begin with.
    pub fn new(first: Vec<Fault>, metrics: Arc<Metrics>) -> Self {
        Self { queue: Mutex::new(first.into()), metrics }
    }

    /// Orders a fault; a count of 0 takes back all that were ordered for the same kind and path.
    pub fn order(&self, fault: Fault) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if fault.count == 0 {
            queue.retain(|other| (other.kind, &other.path) != (fault.kind, &fault.path));
        } else {
            queue.push_back(fault);
        }
    }

    /// Takes back everything.
    pub fn clear(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn next(&self, path: &str) -> Option<FaultKind> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |fault: &Fault| fault.path.as_deref().is_none_or(|prefix| path.starts_with(prefix));
        let at = queue.iter().position(fits)?;
        let fault = queue.get_mut(at)?;
        let kind = fault.kind;
        fault.count -= 1;
        if fault.count == 0 {
            queue.remove(at);
        }
        Some(kind)
    }
}

async fn play(kind: FaultKind, request: Request, next: Next) -> Response {
    match kind {
        FaultKind::Status(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            let mut response = status.into_response();
            if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
                response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
            }
            response
        }
        FaultKind::Html => axum::response::Html(
            "<!doctype html><html><head><title>Sign in to continue</title></head>\
             <body><h1>Corporate proxy</h1><p>Please sign in.</p></body></html>",
        )
        .into_response(),
        FaultKind::Slow => {
            let drip = stream::unfold(0_u32, |sent| async move {
                tokio::time::sleep(Duration::from_millis(250)).await;
                (sent < 240).then_some((Ok::<_, std::convert::Infallible>(Bytes::from_static(b" ")), sent + 1))
            });
            ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(drip)).into_response()
        }
        FaultKind::Reset => {
            if let Some(reset) = request.extensions().get::<Reset>() {
                reset.now();
            }
            // The connection's task must see the notice before hyper sees an answer; then nobody waits for one.
            std::future::pending().await
        }
        FaultKind::Garbage => {
            ([(header::CONTENT_TYPE, "application/json")], "{\"access_token\": \"\u{1}").into_response()
        }
        FaultKind::Delay(delay) => {
            let response = next.run(request).await;
            tokio::time::sleep(delay).await;
            response
        }
    }
}

/// The layer that plays faults instead of answers.
pub async fn layer(State(faults): State<Arc<Faults>>, request: Request, next: Next) -> Response {
    match faults.next(request.uri().path()) {
        Some(kind) => {
            faults.metrics.fault();
            play(kind, request, next).await
        }
        None => next.run(request).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_parse() {
        let fault = |text: &str| {
            text.parse::<Fault>().map(|fault| (fault.kind, fault.count)).map_err(|error| error.code().to_owned())
        };
        assert_eq!(fault("503"), Ok((FaultKind::Status(503), 1)));
        assert_eq!(fault("html:3"), Ok((FaultKind::Html, 3)));
        assert_eq!(fault("delay-250:2"), Ok((FaultKind::Delay(Duration::from_millis(250)), 2)));
        assert_eq!(fault("reset:1"), Ok((FaultKind::Reset, 1)));
        for bad in ["", "200", "nonsense", "503:", "503:x", "503:-1", "HTML", "delay-", "delay-x"] {
            assert_eq!(fault(bad), Err("fault_invalid".to_owned()), "{bad}");
        }
    }

    #[test]
    fn faults_are_played_in_order_by_path() {
        let faults = Faults::new(Vec::new(), Arc::default());
        let order = |kind, count, path: Option<&str>| {
            faults.order(Fault { kind, count, path: path.map(str::to_owned) });
        };
        order(FaultKind::Html, 1, Some("/oauth2/token"));
        order(FaultKind::Garbage, 2, None);
        assert_eq!(faults.next("/me"), Some(FaultKind::Garbage));
        assert_eq!(faults.next("/oauth2/token"), Some(FaultKind::Html));
        assert_eq!(faults.next("/oauth2/token"), Some(FaultKind::Garbage));
        assert_eq!(faults.next("/oauth2/token"), None);
        order(FaultKind::Slow, 5, None);
        order(FaultKind::Slow, 0, None);
        assert_eq!(faults.next("/"), None);
    }
}
