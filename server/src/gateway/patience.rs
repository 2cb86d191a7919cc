//! How long to wait for the head of an answer, and bodies that tell of their progress.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Instant;

use super::trouble::Failure;

/// From the request, or the last piece of its body that was taken, to the head of the answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// When a request's body last moved.
pub(super) struct Progress {
    started: Instant,
    /// Milliseconds since then.
    moved: AtomicU64,
}

impl Progress {
    fn mark(&self) {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(millis, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.started + Duration::from_millis(self.moved.load(Ordering::Relaxed))
    }
}

struct Watched {
    body: Body,
    progress: Arc<Progress>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_ready() {
            self.progress.mark();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body, watched; one that is empty needs no watching.
pub(super) fn watch(body: Body) -> (Body, Option<Arc<Progress>>) {
    if body.is_end_stream() {
        return (body, None);
    }
    let progress = Arc::new(Progress { started: Instant::now(), moved: AtomicU64::new(0) });
    (Body::new(Watched { body, progress: Arc::clone(&progress) }), Some(progress))
}

/// The outcome, unless it does not come within `limit` of the start or of the body's last move: a long upload takes the
/// time that it takes.
pub(super) async fn within<T>(
    limit: Duration,
    progress: Option<Arc<Progress>>,
    exchange: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut exchange = std::pin::pin!(exchange);
    let mut wait = std::pin::pin!(tokio::time::sleep(limit));
    loop {
        tokio::select! {
            biased;
            outcome = &mut exchange => return outcome,
            () = &mut wait => {
                let until = progress.as_ref().map(|progress| progress.last() + limit);
                match until.filter(|until| *until > Instant::now()) {
                    Some(until) => wait.as_mut().reset(until),
                    None => return Err(Failure::Silent),
                }
            }
        }
    }
}
