//! A gRPC service with each kind of call, and the client's side of its frames.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Response};
use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::sync::{Semaphore, mpsc};

/// Flag, length, content.
pub(super) fn framed(message: &[u8]) -> Bytes {
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    framed.extend_from_slice(message);
    framed.into()
}

pub(super) fn message(text: &str) -> Frame<Bytes> {
    Frame::data(framed(text.as_bytes()))
}

/// The messages of a body, one by one.
pub(super) struct Messages<B> {
    body: B,
    buffer: BytesMut,
    pub(super) trailers: Option<HeaderMap>,
}

impl<B: http_body::Body<Data = Bytes> + Unpin> Messages<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body, buffer: BytesMut::new(), trailers: None }
    }

    /// `None` at the end, after which the trailers are there.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, B::Error>> {
        loop {
            if let Some((head, rest)) = self.buffer.split_first_chunk::<5>() {
                let length = usize::try_from(u32::from_be_bytes([head[1], head[2], head[3], head[4]])).unwrap();
                if rest.len() >= length {
                    self.buffer.advance(5);
                    return Some(Ok(self.buffer.split_to(length).freeze()));
                }
            }
            match self.body.frame().await? {
                Err(error) => return Some(Err(error)),
                Ok(frame) => match frame.into_data() {
                    Ok(data) => self.buffer.extend_from_slice(&data),
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
            }
        }
    }
}

/// What a test sees and steers of the service.
#[derive(Clone)]
pub(super) struct Echo {
    /// `ServerStream` sends a message for each permit; `Break` breaks with one.
    pub(super) steps: Arc<Semaphore>,
    /// Names of calls whose work was dropped before its end, and of request bodies that broke.
    ended: mpsc::UnboundedSender<&'static str>,
}

impl Echo {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<&'static str>) {
        let (ended, heard) = mpsc::unbounded_channel();
        (Self { steps: Arc::new(Semaphore::new(0)), ended }, heard)
    }

    pub(super) fn app(self) -> Router {
        Router::new().fallback(answer).with_state(self)
    }
}

/// Says so when it is dropped.
struct Guard(&'static str, mpsc::UnboundedSender<&'static str>);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.1.send(self.0);
    }
}

fn trailers(count: usize) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers.insert("x-count", HeaderValue::from(count));
    Frame::trailers(trailers)
}

fn grpc(body: Body) -> Response<Body> {
    Response::builder().header("content-type", "application/grpc").body(body).unwrap()
}

fn frames(frames: Vec<Frame<Bytes>>) -> Body {
    Body::new(StreamBody::new(stream::iter(frames.into_iter().map(Ok::<_, Infallible>))))
}

async fn answer(State(echo): State<Echo>, request: Request) -> Response<Body> {
    let te = request.headers().get("te").cloned();
    assert_eq!((request.version(), te), (axum::http::Version::HTTP_2, Some(HeaderValue::from_static("trailers"))));
    let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
    let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    let mut messages = Messages::new(request.into_body());
    match method.as_str() {
        "Authority" => grpc(frames(vec![message(&authority), trailers(1)])),
        // Any number of messages comes back in one.
        "Unary" | "ClientStream" => {
            let (mut all, mut count) = (Vec::new(), 0);
            let guard = Guard("request broke", echo.ended);
            while let Some(message) = messages.next().await {
                let Ok(message) = message else { return grpc(Body::empty()) };
                all.extend_from_slice(&message);
                count += 1;
            }
            std::mem::forget(guard);
            grpc(frames(vec![Frame::data(framed(&all)), trailers(count)]))
        }
        "ServerStream" => {
            let guard = Guard("stream dropped", echo.ended.clone());
            let body = stream::unfold((0_usize, echo.steps, guard), |(count, steps, guard)| async move {
                if count == 4 {
                    return None;
                }
                steps.acquire().await.unwrap().forget();
                let frame = if count == 3 { trailers(count) } else { message(&format!("message {count}")) };
                Some((Ok::<_, Infallible>(frame), (count + 1, steps, guard)))
            });
            grpc(Body::new(StreamBody::new(body)))
        }
        "Bidi" => {
            let body = stream::unfold((messages, Some(0_usize)), |(mut messages, count)| async move {
                let count = count?;
                match messages.next().await {
                    Some(Ok(content)) => {
                        Some((Ok::<_, axum::Error>(Frame::data(framed(&content))), (messages, Some(count + 1))))
                    }
                    Some(Err(error)) => Some((Err(error), (messages, None))),
                    None => Some((Ok(trailers(count)), (messages, None))),
                }
            });
            grpc(Body::new(StreamBody::new(body)))
        }
        // Never answers.
        "Hang" => {
            let _guard = Guard("call dropped", echo.ended.clone());
            std::future::pending().await
        }
        // One message, and with the next permit the stream is reset.
        "Break" => {
            let body = stream::unfold((0, echo.steps), |(count, steps)| async move {
                if count == 0 {
                    return Some((Ok(message("first")), (1, steps)));
                }
                steps.acquire().await.unwrap().forget();
                Some((Err(std::io::Error::other("broken on purpose")), (2, steps)))
            });
            grpc(Body::new(StreamBody::new(body)))
        }
        other => panic!("no call {other}"),
    }
}

/// A call of `test.Echo`.
pub(super) fn call(method: &str, body: Body) -> Request {
    Request::builder()
        .method("POST")
        .uri(format!("http://flyte.example/test.Echo/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap()
}
