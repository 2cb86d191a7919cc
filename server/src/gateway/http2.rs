//! HTTP/2 to one service. Its own pool, for three reasons: the authority is the host that was asked for, not the one
//! connected to; one connection carries only so many streams; and callers that read slowly must not stop the others.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::Uri;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::client::legacy::connect::Connection as _;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::SetOnce;
use tower::Service as _;

use super::client::{Dial, not_connected};
use super::trouble::Failure;

/// Streams on one connection; with more, another is opened. Servers allow 100 (RFC 9113 section 6.5.2) and mostly more;
/// one that allows fewer is heeded.
const STREAMS: usize = 100;
/// What a service may send on one stream before the caller has read it, in bytes.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Enough for all streams at once: one that nobody reads never takes the room of another.
const WINDOW: u32 = STREAM_WINDOW * 128;
/// Longer than the five minutes that gRPC's servers ask for between pings (grpc-go, `keepalive.EnforcementPolicy`).
const PING: Duration = Duration::from_secs(330);
const PONG: Duration = Duration::from_secs(20);
/// Of all headers of an answer, in bytes: 64 KiB, and 32 for each as RFC 9113 section 6.5.2 counts them.
const HEADERS: u32 = 96 * 1024;
/// How often a request that was not sent, because its connection had just closed, is sent again.
const ATTEMPTS: usize = 3;

/// The connections to one service.
pub(super) struct Lines {
    dial: Dial,
    origin: Uri,
    open: Mutex<Vec<Arc<Line>>>,
}

/// One connection, or the attempt at one.
struct Line {
    dialed: SetOnce<Result<SendRequest<Body>, Failure>>,
    /// Taken places. Changed only under the lock of [`Lines::open`].
    streams: AtomicUsize,
    limit: Arc<AtomicUsize>,
    /// Takes no more requests.
    is_retired: AtomicBool,
}

impl Line {
    fn is_usable(&self) -> bool {
        !self.is_retired.load(Ordering::Relaxed)
            && match self.dialed.get() {
                None => true,
                Some(Ok(sender)) => !sender.is_closed(),
                Some(Err(_)) => false,
            }
    }

    fn has_room(&self) -> bool {
        self.streams.load(Ordering::Relaxed) < self.limit.load(Ordering::Relaxed)
    }
}

/// A stream's place on a connection, for as long as it lives.
struct Place {
    line: Arc<Line>,
    lines: Arc<Lines>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.lines.open();
        let was = self.line.streams.fetch_sub(1, Ordering::Relaxed);
        // The last connection stays; the others were for a rush.
        if was == 1 && open.len() > 1 {
            open.retain(|line| !Arc::ptr_eq(line, &self.line));
        }
    }
}

/// A place on a connection that stands.
pub(super) struct Reserved {
    place: Place,
    sender: SendRequest<Body>,
}

impl Lines {
    /// To the service at `origin`; connects to nothing yet.
    pub(super) fn new(dial: Dial, origin: Uri) -> Arc<Self> {
        Arc::new(Self { dial, origin, open: Mutex::default() })
    }

    fn open(&self) -> MutexGuard<'_, Vec<Arc<Line>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(self: &Arc<Self>) -> Place {
        let mut open = self.open();
        open.retain(|line| line.is_usable());
        // The first with room: those that were opened for a rush become empty and go.
        let line = match open.iter().find(|line| line.has_room()) {
            Some(line) => Arc::clone(line),
            None => {
                let line = Arc::new(Line {
                    dialed: SetOnce::new(),
                    streams: AtomicUsize::new(0),
                    limit: Arc::new(AtomicUsize::new(STREAMS)),
                    is_retired: AtomicBool::new(false),
                });
                open.push(Arc::clone(&line));
                let (dialing, dial, origin) = (Arc::clone(&line), self.dial.clone(), self.origin.clone());
                // Apart from the request that needs it: if that is cancelled, others wait for the same connection.
                tokio::spawn(async move {
                    let dialed = connect(dial, origin, &dialing.limit).await;
                    // It is set here alone.
                    let _ = dialing.dialed.set(dialed);
                });
                line
            }
        };
        line.streams.fetch_add(1, Ordering::Relaxed);
        drop(open);
        Place { line, lines: Arc::clone(self) }
    }

    /// A place on a connection, which is made if there is none with room.
    ///
    /// # Errors
    /// [`Failure::NoHttp2`]: TLS agreed on HTTP/1.1. Otherwise, there is no connection.
    pub(super) async fn reserve(self: &Arc<Self>) -> Result<Reserved, Failure> {
        let place = self.place();
        let sender = place.line.dialed.wait().await.clone()?;
        Ok(Reserved { place, sender })
    }

    /// Sends a request. The answer's body streams, and keeps its place until it ends or is dropped.
    pub(super) async fn send(self: &Arc<Self>, reserved: Reserved, request: Request) -> Result<Response, Failure> {
        let (mut reserved, mut request) = (reserved, request);
        for _ in 0..ATTEMPTS {
            let Reserved { place, mut sender } = reserved;
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(response.map(|body| Body::new(Held::new(body, place)))),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => {
                        place.line.is_retired.store(true, Ordering::Relaxed);
                        drop(place);
                        request = unsent;
                        reserved = self.reserve().await?;
                    }
                    None => return Err(Failure::Broken(Arc::new(error.into_error()))),
                },
            }
        }
        let closed = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "each new connection closed at once");
        Err(Failure::Broken(Arc::new(closed)))
    }
}

async fn connect(mut dial: Dial, origin: Uri, limit: &Arc<AtomicUsize>) -> Result<SendRequest<Body>, Failure> {
    let is_tls = origin.scheme_str() == Some("https");
    std::future::poll_fn(|cx| dial.poll_ready(cx)).await.map_err(not_connected)?;
    let stream = dial.call(origin).await.map_err(not_connected)?;
    if is_tls && !stream.connected().is_negotiated_h2() {
        return Err(Failure::NoHttp2);
    }
    let handshake = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_header_list_size(HEADERS)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .handshake(stream);
    let (sender, mut connection) = handshake.await.map_err(|error| Failure::Broken(Arc::new(error)))?;
    let limit = Arc::clone(limit);
    tokio::spawn(async move {
        let ended = std::future::poll_fn(|cx| {
            let ended = Pin::new(&mut connection).poll(cx);
            // As the service's settings have it, whenever they come.
            limit.store(connection.current_max_send_streams().clamp(1, STREAMS), Ordering::Relaxed);
            ended
        });
        if let Err(error) = ended.await {
            tracing::debug!(%error, "an HTTP/2 connection to a service behind broke");
        }
    });
    Ok(sender)
}

/// An answer's body with its place.
struct Held {
    body: Incoming,
    /// `None` once the body has ended.
    place: Option<Place>,
}

impl Held {
    fn new(body: Incoming, place: Place) -> Self {
        let place = if body.is_end_stream() { None } else { Some(place) };
        Self { body, place }
    }
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.place = None;
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
