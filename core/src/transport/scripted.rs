//! A transport for tests that answers from a script and keeps what it was sent.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;

use super::{Call, Failure, FailureKind, HttpTransport, Reply};
use crate::error::{Error, ErrorKind};

/// One line of the script: a part of the URL that is expected next, and what it answers.
type Line = (&'static str, Result<Reply, Failure>);

/// Answers in order. A call that the script does not expect, or one too many, fails the test.
#[derive(Debug, Default)]
pub(crate) struct ScriptedTransport {
    script: Mutex<VecDeque<Line>>,
    sent: Mutex<Vec<Call>>,
}

impl ScriptedTransport {
    pub(crate) fn new(script: Vec<Line>) -> Self {
        Self { script: Mutex::new(script.into()), sent: Mutex::default() }
    }

    /// What was sent so far.
    pub(crate) fn sent(&self) -> Vec<Call> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The form body of each request.
    pub(crate) fn forms(&self) -> Vec<std::collections::HashMap<String, String>> {
        let form = |call: &Call| url::form_urlencoded::parse(call.request.body()).into_owned().collect();
        self.sent().iter().map(form).collect()
    }

    /// How much of the script is left.
    pub(crate) fn left(&self) -> usize {
        self.script.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl HttpTransport for ScriptedTransport {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Reply, Failure>> {
        let url = call.request.uri().to_string();
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        let next = self.script.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        Box::pin(async move {
            let Some((expected, answer)) = next else { panic!("one call too many: {url}") };
            assert!(url.contains(expected), "expected {expected}, was sent {url}");
            answer
        })
    }
}

/// A JSON reply.
pub(crate) fn json(status: u16, body: &str) -> Result<Reply, Failure> {
    reply(status, "application/json", body)
}

/// A reply of any type.
pub(crate) fn reply(status: u16, media_type: &str, body: &str) -> Result<Reply, Failure> {
    let mut headers = http::HeaderMap::new();
    headers.insert(http::header::CONTENT_TYPE, media_type.parse().unwrap());
    Ok(Reply {
        status: http::StatusCode::from_u16(status).unwrap(),
        headers,
        body: body.into(),
        trailers: http::HeaderMap::new(),
    })
}

/// A call without a reply.
pub(crate) fn failure(kind: FailureKind) -> Result<Reply, Failure> {
    Err(Failure { kind, error: Error::new(ErrorKind::Network, "unreachable", "no answer") })
}
