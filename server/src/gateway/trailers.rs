//! The trailers of a request end here. No protocol of Flyte has any, and a service that merges them with the head would
//! believe the caller's word for who calls (RFC 9110 section 6.5.1). Those of answers, such as gRPC's, go through.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

struct Untrailed(Body);

impl http_body::Body for Untrailed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.0).poll_frame(cx));
        // Nothing comes after them.
        Poll::Ready(frame.filter(|frame| !frame.as_ref().is_ok_and(Frame::is_trailers)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// The body alone.
pub(super) fn without(body: Body) -> Body {
    if body.is_end_stream() { body } else { Body::new(Untrailed(body)) }
}
