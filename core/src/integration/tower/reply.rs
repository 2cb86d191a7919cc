//! The reply's body: watched for gRPC's status in the trailers.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use sync_wrapper::SyncWrapper;

use super::BoxError;
use super::exchange::is_rejected_by;
use crate::session::{Session, Token};

/// What the second sending brought.
pub(super) enum Outcome<B> {
    /// A reply to go on reading.
    Body(B),
    /// A reply without a body.
    Trailers(HeaderMap),
    /// Nothing better: the first reply counts.
    AsItWas,
}

type Replay<B> = BoxFuture<'static, Result<Outcome<B>, BoxError>>;

/// What to do if the trailers reject the token.
pub(super) struct Watch<B> {
    session: Session,
    token: Token,
    /// Sends the request again when it is first polled; gone as soon as a message was delivered. Never shared between
    /// threads, which is all that `Sync` asks for.
    replay: SyncWrapper<Option<Replay<B>>>,
}

impl<B> Watch<B> {
    pub(super) fn new(session: Session, token: Token, replay: Option<Replay<B>>) -> Self {
        Self { session, token, replay: SyncWrapper::new(replay) }
    }
}

/// A second sending under way.
struct Replaying<B> {
    replay: SyncWrapper<Replay<B>>,
    /// The first reply's: the caller's, should nothing better come.
    trailers: HeaderMap,
}

pin_project! {
    /// The body of a reply that came through an [`AuthService`](super::AuthService).
    pub struct AuthBody<B> {
        #[pin]
        body: B,
        watch: Option<Watch<B>>,
        replaying: Option<Replaying<B>>,
        ended: bool,
    }
}

impl<B> AuthBody<B> {
    pub(super) fn passed_on(body: B) -> Self {
        Self { body, watch: None, replaying: None, ended: false }
    }

    pub(super) fn watched(body: B, watch: Watch<B>) -> Self {
        Self { body, watch: Some(watch), replaying: None, ended: false }
    }
}

impl<B: fmt::Debug> fmt::Debug for AuthBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthBody").field("body", &self.body).finish_non_exhaustive()
    }
}

impl<B: Body> Body for AuthBody<B>
where
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        loop {
            if let Some(replaying) = this.replaying {
                let outcome = ready!(replaying.replay.get_mut().as_mut().poll(context));
                let first = std::mem::take(&mut replaying.trailers);
                *this.replaying = None;
                match outcome {
                    Ok(Outcome::Body(body)) => this.body.set(body),
                    ended => {
                        *this.ended = true;
                        return Poll::Ready(Some(match ended {
                            Ok(Outcome::Trailers(trailers)) => Ok(Frame::trailers(trailers)),
                            Err(error) => Err(error),
                            Ok(_) => Ok(Frame::trailers(first)),
                        }));
                    }
                }
            }
            if *this.ended {
                return Poll::Ready(None);
            }
            let Some(frame) = ready!(this.body.as_mut().poll_frame(context)) else { return Poll::Ready(None) };
            let frame = frame.map_err(Into::into)?;
            let Some(watch) = this.watch.as_mut() else { return Poll::Ready(Some(Ok(frame))) };
            match frame.into_trailers() {
                Ok(trailers) if is_rejected_by(&trailers) => {
                    watch.session.invalidate(Some(&watch.token));
                    let replay = watch.replay.get_mut().take();
                    *this.watch = None;
                    match replay {
                        Some(replay) => {
                            *this.replaying = Some(Replaying { replay: SyncWrapper::new(replay), trailers })
                        }
                        None => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                    }
                }
                Ok(trailers) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Err(frame) => {
                    // From here on something was delivered: a second reply would repeat it.
                    if frame.data_ref().is_some_and(Buf::has_remaining) {
                        *watch.replay.get_mut() = None;
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || (self.replaying.is_none() && self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        // While another reply may come in its place, the length is open.
        if self.watch.is_some() || self.replaying.is_some() { SizeHint::default() } else { self.body.size_hint() }
    }
}
