//! One call: the token in, the request out, and once more if the token was rejected.

use std::future::poll_fn;
use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use tower_service::Service;

use super::reply::{AuthBody, Outcome, Watch};
use super::request::{Kept, RequestBody, read_ahead};
use super::{BoxError, Shared};
use crate::error::{Error, Result as AuthResult};
use crate::session::{Session, Token};
use crate::transport::grpc::code;

/// gRPC's status, in headers or trailers (`PROTOCOL-HTTP2.md`).
const GRPC_STATUS: &str = "grpc-status";
/// How a reply's messages are compressed.
const GRPC_ENCODING: &str = "grpc-encoding";

pub(super) async fn exchange<S, B, R>(
    shared: Arc<Shared>,
    mut inner: S,
    request: Request<B>,
) -> Result<Response<AuthBody<R>>, BoxError>
where
    S: Service<Request<B>, Response = Response<R>> + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: RequestBody,
    B::Error: Into<BoxError>,
    R: Body + Send + 'static,
    R::Error: Into<BoxError>,
{
    shared.scope.check(request.uri(), request.headers())?;
    let Some(token) = shared.session.token().await? else {
        return Ok(inner.call(request).await.map_err(Into::into)?.map(AuthBody::passed_on));
    };
    let (mut parts, body) = request.into_parts();
    // Whatever the caller put there is not the session's; nor may it come back with a token of another header.
    parts.headers.remove(token.header_name());
    let (body, kept) = read_ahead(body, shared.replay_limit).await.map_err(Into::into)?;
    let again = kept.map(|kept| Again { parts: parts.clone(), kept });

    let response = inner.call(with_token(parts, body, &token)?).await.map_err(Into::into)?;
    if is_rejection(&response) {
        shared.session.invalidate(Some(&token));
        let Some(again) = again else { return Ok(response.map(AuthBody::passed_on)) };
        let Some(token) = another(&shared.session, &token).await? else {
            return Ok(response.map(AuthBody::passed_on));
        };
        // Whoever limits calls in flight counts this one until its response is gone.
        drop(response);
        return Ok(again.send(&mut inner, &token).await?.map(AuthBody::passed_on));
    }
    if !trailers_may_tell(&response) {
        return Ok(response.map(AuthBody::passed_on));
    }
    let form = Form::of(&response);
    let watch = Watch::new(
        shared.session.clone(),
        token.clone(),
        again.map(|again| {
            later(async move {
                let Some(token) = another(&shared.session, &token).await? else { return Ok(Outcome::AsItWas) };
                let response = again.send(&mut inner, &token).await?;
                Ok(if Form::of(&response) != form {
                    Outcome::AsItWas
                } else if response.headers().contains_key(GRPC_STATUS) {
                    Outcome::Trailers(trailers_of(response))
                } else {
                    Outcome::Body(response.into_body())
                })
            })
        }),
    );
    Ok(response.map(|body| AuthBody::watched(body, watch)))
}

/// Names the type of a future that a closure would leave open.
fn later<T>(future: impl Future<Output = T> + Send + 'static) -> futures_util::future::BoxFuture<'static, T> {
    Box::pin(future)
}

/// A request that can be sent a second time; without the token.
struct Again {
    parts: Parts,
    kept: Kept,
}

impl Again {
    async fn send<S, B, R>(self, inner: &mut S, token: &Token) -> Result<Response<R>, BoxError>
    where
        S: Service<Request<B>, Response = Response<R>>,
        S::Error: Into<BoxError>,
        B: RequestBody,
    {
        let mut parts = self.parts;
        parts.headers.remove(token.header_name());
        let request = with_token(parts, self.kept.body(), token)?;
        poll_fn(|context| inner.poll_ready(context)).await.map_err(Into::into)?;
        inner.call(request).await.map_err(Into::into)
    }
}

/// A token other than the rejected one; `None` if there is none, so that asking again would bring the same answer.
async fn another(session: &Session, rejected: &Token) -> AuthResult<Option<Token>> {
    let token = session.token().await?;
    // EXPOSE: compared only. A token from outside keeps its generation when its file changes.
    Ok(token.filter(|token| token.expose() != rejected.expose()))
}

fn with_token<B>(mut parts: Parts, body: B, token: &Token) -> AuthResult<Request<B>> {
    let unfit = |what: &str| {
        Error::config("header_invalid", "admin.authorizationHeader", format!("the token's header {what}"))
            .with_next("Set admin.authorizationHeader to the name of an HTTP header")
    };
    let name = HeaderName::from_bytes(token.header_name().as_bytes())
        .map_err(|_| unfit(&format!("has a name that HTTP does not allow: {:?}", token.header_name())))?;
    let value = token
        .header()
        .into_header()
        .ok_or_else(|| unfit("cannot carry the token: it has characters that HTTP does not allow"))?;
    parts.headers.insert(name, value);
    Ok(Request::from_parts(parts, body))
}

fn unauthenticated(headers: &HeaderMap) -> bool {
    let status = headers.get(GRPC_STATUS).and_then(|status| status.to_str().ok());
    status.and_then(|status| status.parse::<u32>().ok()) == Some(code::UNAUTHENTICATED)
}

/// The reply, before its body: the token was not believed.
fn is_rejection<R>(response: &Response<R>) -> bool {
    response.status() == StatusCode::UNAUTHORIZED || unauthenticated(response.headers())
}

/// The same for trailers.
pub(super) fn is_rejected_by(trailers: &HeaderMap) -> bool {
    unauthenticated(trailers)
}

fn trailers_may_tell<R>(response: &Response<R>) -> bool {
    let is_grpc =
        response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    is_grpc && !response.headers().contains_key(GRPC_STATUS)
}

/// What a reader of messages has already been told of a reply when its body begins.
#[derive(PartialEq, Eq)]
struct Form(StatusCode, Option<HeaderValue>, Option<HeaderValue>);

impl Form {
    fn of<R>(response: &Response<R>) -> Self {
        let header = |name: &str| response.headers().get(name).cloned();
        Self(response.status(), header(CONTENT_TYPE.as_str()), header(GRPC_ENCODING))
    }
}

/// A reply that ends with its headers: to a reader who has had other headers they are the trailers.
fn trailers_of<R>(response: Response<R>) -> HeaderMap {
    let mut headers = response.into_parts().0.headers;
    headers.remove(CONTENT_TYPE);
    headers
}
