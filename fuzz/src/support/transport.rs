//! Answers calls from an input, in their order, the last answer again and again; remembers where they went.

use std::sync::{Mutex, PoisonError};

use flyte_auth::error::{Error, ErrorKind};
use flyte_auth::transport::{Call, Failure, FailureKind, HttpTransport, Reply};
use futures_util::future::BoxFuture;
use http::{HeaderMap, Uri};

use super::message;
use url::Url;

/// A peer that says what the input says.
#[derive(Debug)]
pub(crate) struct Foreign {
    replies: Vec<Option<Reply>>,
    calls: Mutex<Vec<(Uri, HeaderMap)>>,
}

impl Foreign {
    /// From the messages of an input.
    pub(crate) fn new(data: &[u8]) -> Self {
        let replies = message::messages(data).into_iter().map(message::Message::into_reply).collect();
        Self { replies, calls: Mutex::default() }
    }

    /// Where every call went so far, with its headers.
    pub(crate) fn calls(&self) -> Vec<(Uri, HeaderMap)> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The hosts that replies redirect to.
    pub(crate) fn redirects(&self) -> Vec<String> {
        let location = |reply: &Reply| Url::parse(reply.headers.get("location")?.to_str().ok()?).ok();
        let host = |reply: &Reply| Some(location(reply)?.host_str()?.to_owned());
        self.replies.iter().flatten().filter_map(host).collect()
    }

    /// Every body that was or may have been read.
    pub(crate) fn bodies(&self) -> impl Iterator<Item = &[u8]> {
        self.replies.iter().flatten().map(|reply| &reply.body[..])
    }
}

impl HttpTransport for Foreign {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Reply, Failure>> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let reply = self.replies.get(calls.len()).or(self.replies.last()).cloned().flatten();
        calls.push((call.request.uri().clone(), call.request.headers().clone()));
        // However the answers are, nobody may ask for ever.
        assert!(calls.len() <= 32, "more than 32 calls");
        Box::pin(std::future::ready(reply.ok_or_else(|| Failure {
            kind: FailureKind::Broken,
            error: Error::new(ErrorKind::Network, "connection_broken", "the connection broke"),
        })))
    }
}
