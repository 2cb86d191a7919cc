//! The request's body: what of it is at hand for a replay.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::{BoxBody, UnsyncBoxBody};
use http_body_util::{BodyExt as _, Empty, Full};

/// A request body that can be made again from its beginning.
///
/// Implemented for `Full<Bytes>`, `Empty<Bytes>`, `BoxBody`, `UnsyncBoxBody`, and with their features for
/// `tonic::body::Body` and `reqwest::Body`. Any other body becomes one by `BodyExt::boxed_unsync`.
pub trait RequestBody: Body<Data = Bytes> + Send + Unpin + Sized + 'static {
    /// A body of the same type that yields what `outgoing` yields.
    fn rebuilt(outgoing: Outgoing<Self>) -> Self;
}

/// One frame of a body; unlike `http_body::Frame` it can be cloned.
#[derive(Debug, Clone)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// A body whose beginning was read ahead: first that, then the rest.
#[derive(Debug)]
pub struct Outgoing<B> {
    pieces: VecDeque<Piece>,
    rest: Option<B>,
}

impl<B> Outgoing<B> {
    /// All of it, if it is data in one piece and nothing follows.
    ///
    /// # Errors
    /// Gives itself back if it is anything else.
    pub fn into_bytes(mut self) -> Result<Bytes, Self> {
        match (self.pieces.len(), self.pieces.front(), &self.rest) {
            (0, None, None) => Ok(Bytes::new()),
            (1, Some(Piece::Data(_)), None) => match self.pieces.pop_front() {
                Some(Piece::Data(data)) => Ok(data),
                _ => Ok(Bytes::new()),
            },
            _ => Err(self),
        }
    }

    fn ready_bytes(&self) -> u64 {
        let length = |piece: &Piece| match piece {
            Piece::Data(data) => data.len() as u64,
            Piece::Trailers(_) => 0,
        };
        self.pieces.iter().map(length).sum()
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Outgoing<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        match (this.pieces.pop_front(), &mut this.rest) {
            (Some(Piece::Data(data)), _) => Poll::Ready(Some(Ok(Frame::data(data)))),
            (Some(Piece::Trailers(trailers)), _) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            (None, Some(rest)) => Pin::new(rest).poll_frame(context),
            (None, None) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let ready = self.ready_bytes();
        let Some(rest) = self.rest.as_ref().map(Body::size_hint) else { return SizeHint::with_exact(ready) };
        let mut hint = SizeHint::new();
        // The upper bound first: it must never be below the lower one.
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(ready)) {
            hint.set_upper(upper);
        }
        hint.set_lower(rest.lower().saturating_add(ready));
        hint
    }
}

/// A whole body, kept for a second sending.
#[derive(Debug)]
pub(super) struct Kept(VecDeque<Piece>);

impl Kept {
    pub(super) fn body<B: RequestBody>(self) -> B {
        B::rebuilt(Outgoing { pieces: self.0, rest: None })
    }
}

/// Reads what is ready of `body` without waiting. Gives the body to send, and the same once more if that was all of it
/// and not more than `limit` bytes.
///
/// Whoever waits for more here would wait for ever: a request stream may be open until the reply arrives.
///
/// # Errors
/// The body's own.
pub(super) async fn read_ahead<B: RequestBody>(mut body: B, limit: usize) -> Result<(B, Option<Kept>), B::Error> {
    if body.is_end_stream() {
        return Ok((body, Some(Kept(VecDeque::new()))));
    }
    if body.size_hint().lower() > limit as u64 || limit == 0 {
        return Ok((body, None));
    }
    let mut pieces = VecDeque::new();
    let mut left = limit;
    // At the end it is polled no more: not every body may be.
    let whole = loop {
        match poll_fn(|context| Poll::Ready(Pin::new(&mut body).poll_frame(context))).await {
            Poll::Pending => break false,
            Poll::Ready(None) => break true,
            Poll::Ready(Some(frame)) => match frame?.into_data() {
                Ok(data) => {
                    let fits = left.checked_sub(data.len());
                    pieces.push_back(Piece::Data(data));
                    match fits {
                        Some(less) => left = less,
                        None => break false,
                    }
                }
                Err(other) => pieces.extend(other.into_trailers().ok().map(Piece::Trailers)),
            },
        }
    };
    if whole {
        let kept = Kept(pieces.clone());
        return Ok((B::rebuilt(Outgoing { pieces, rest: None }), Some(kept)));
    }
    if pieces.is_empty() {
        return Ok((body, None));
    }
    Ok((B::rebuilt(Outgoing { pieces, rest: Some(body) }), None))
}

impl RequestBody for Full<Bytes> {
    fn rebuilt(outgoing: Outgoing<Self>) -> Self {
        // It yields at most one frame: what may be left behind it is empty.
        let first = outgoing.pieces.into_iter().next();
        Self::new(match first {
            Some(Piece::Data(data)) => data,
            _ => Bytes::new(),
        })
    }
}

impl RequestBody for Empty<Bytes> {
    fn rebuilt(_: Outgoing<Self>) -> Self {
        Self::new()
    }
}

impl<E: Send + Sync + 'static> RequestBody for BoxBody<Bytes, E> {
    fn rebuilt(outgoing: Outgoing<Self>) -> Self {
        outgoing.boxed()
    }
}

impl<E: Send + 'static> RequestBody for UnsyncBoxBody<Bytes, E> {
    fn rebuilt(outgoing: Outgoing<Self>) -> Self {
        outgoing.boxed_unsync()
    }
}

#[cfg(feature = "tonic")]
impl RequestBody for tonic::body::Body {
    fn rebuilt(outgoing: Outgoing<Self>) -> Self {
        Self::new(outgoing)
    }
}

#[cfg(feature = "reqwest")]
impl RequestBody for reqwest::Body {
    fn rebuilt(outgoing: Outgoing<Self>) -> Self {
        // In one piece it stays what reqwest itself can send again, on a connection that the server closed.
        outgoing.into_bytes().map_or_else(Self::wrap, Self::from)
    }
}
