//! What a connection is at: whether requests are in work, and since when none is.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::Limits;

/// So much must have come before it is known which version of HTTP is spoken (RFC 9113 section 3.4). From then on hyper
/// counts the time of a head of HTTP/1.1.
const PREFACE: usize = 24;

pub(super) struct Work {
    read: AtomicUsize,
    state: Mutex<State>,
}

struct State {
    requests: usize,
    served: bool,
    /// When the connection was made, or the last request ended.
    since: Instant,
}

impl Work {
    pub(super) fn new() -> Arc<Self> {
        let state = State { requests: 0, served: false, since: Instant::now() };
        Arc::new(Self { read: AtomicUsize::new(0), state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn read(&self, bytes: usize) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A request is in work until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Request {
        let mut state = self.state();
        state.requests += 1;
        state.served = true;
        Request(Arc::clone(self))
    }

    /// How long the connection may stay open if it goes on like this; nobody knows while a request is in work.
    pub(super) fn until(&self, limits: &Limits) -> Option<Instant> {
        let state = self.state();
        let has_spoken = state.served || self.read.load(Ordering::Relaxed) >= PREFACE;
        (state.requests == 0).then(|| state.since + if has_spoken { limits.idle } else { limits.headers })
    }
}

pub(super) struct Request(Arc<Work>);

impl Request {
    /// The answer's body: the request is in work until it has been sent.
    pub(super) fn with(self, body: Body) -> Body {
        Body::new(Answer { body, _request: self })
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.requests -= 1;
        state.since = Instant::now();
    }
}

struct Answer {
    body: Body,
    _request: Request,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
