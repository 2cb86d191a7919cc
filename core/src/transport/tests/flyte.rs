//! Discovery and user info through real sockets: the HTTP versions as servers really speak them.

use std::sync::Arc;

use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use prost::Message as _;

use super::peer::{Body, Peer, Versions, text};
use super::*;
use crate::clock::SystemClock;
use crate::config::endpoint::Endpoint;
use crate::discovery::{Discoverer, Discovery, Generation, Target};
use crate::protocol::flyteidl;

fn discoverer() -> Discoverer {
    Discoverer::new(Arc::new(plain()), Arc::new(SystemClock), None)
}

fn target(peer: &Peer) -> Target {
    let address = format!("http://127.0.0.1:{}", peer.address.port());
    Target::Endpoint(Endpoint::parse(&address, false, "test").unwrap())
}

fn grpc(message: Option<Vec<u8>>, code: u32) -> http::Response<Body> {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", code.into());
    let mut frames = vec![];
    if let Some(message) = message {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        frames.push(Ok(Frame::data([&[0], &length[..], &message].concat().into())));
    }
    frames.push(Ok(Frame::trailers(trailers)));
    let mut response = http::Response::new(StreamBody::new(futures_util::stream::iter(frames)).boxed());
    response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    response
}

fn metadata() -> Vec<u8> {
    let token_endpoint = "https://i.example/t".to_owned();
    flyteidl::OAuth2Metadata { token_endpoint, ..Default::default() }.encode_to_vec()
}

/// A server of gRPC alone (`DOMAIN.service` or `DOMAIN2.auth`), as behind a gRPC port.
fn answer(request: &http::Request<Incoming>, service: &str) -> http::Response<Body> {
    let path = request.uri().path();
    if request.headers().get("content-type").is_none_or(|value| !value.as_bytes().starts_with(b"application/grpc")) {
        return text(415, "");
    }
    match path.strip_prefix(service) {
        Some("/GetOAuth2Metadata") => grpc(Some(metadata()), 0),
        Some("/GetPublicClientConfig") => grpc(Some(Vec::new()), 0),
        _ if path == "/flyteidl.service.IdentityService/UserInfo" => match request.headers().get("authorization") {
            Some(value) if value == "Bearer good" => {
                grpc(Some(flyteidl::UserInfo { subject: "s".to_owned(), ..Default::default() }.encode_to_vec()), 0)
            }
            _ => grpc(None, 16),
        },
        _ => grpc(None, 12),
    }
}

fn flyte1(request: http::Request<Incoming>) -> http::Response<Body> {
    answer(&request, "/flyteidl.service.AuthMetadataService")
}
fn flyte2(request: http::Request<Incoming>) -> http::Response<Body> {
    answer(&request, "/flyteidl2.auth.AuthMetadataService")
}
fn no_auth(request: http::Request<Incoming>) -> http::Response<Body> {
    answer(&request, "none")
}
fn connect(request: http::Request<Incoming>) -> http::Response<Body> {
    json(&request, "/flyteidl2.auth.AuthMetadataService/GetOAuth2Metadata")
}
fn rest(request: http::Request<Incoming>) -> http::Response<Body> {
    json(&request, "/.well-known/oauth-authorization-server")
}
fn json(request: &http::Request<Incoming>, path: &str) -> http::Response<Body> {
    if request.uri().path() != path {
        return text(404, "404 page not found");
    }
    let mut response = text(200, r#"{"tokenEndpoint":"https://i.example/t"}"#);
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    response
}

#[tokio::test]
async fn each_kind_of_server_is_recognised() {
    use Versions::{Both, Http1, Http2};
    for (versions, handler, expected) in [
        (Http2, flyte1 as super::peer::Handler, Some(Generation::Flyte1)),
        (Both, flyte1, Some(Generation::Flyte1)),
        (Http2, flyte2, Some(Generation::Flyte2)),
        (Both, flyte2, Some(Generation::Flyte2)),
        (Http1, connect, Some(Generation::Flyte2)),
        (Both, connect, Some(Generation::Flyte2)),
        (Http1, rest, Some(Generation::Flyte2)),
        (Both, rest, Some(Generation::Flyte2)),
        (Http2, no_auth, None),
        (Both, no_auth, None),
        (Http1, no_auth, None),
    ] {
        let peer = Peer::http(versions, handler).await;
        let found = discoverer().discover(&target(&peer)).await.unwrap();
        let generation = match found {
            Discovery::Auth(server) => server.generation,
            Discovery::NoAuth { .. } => None,
        };
        assert_eq!(generation, expected);
    }
}

#[tokio::test]
async fn what_is_no_http_is_an_error() {
    let peer = Peer::bytes(b"SSH-2.0-OpenSSH_9.9\r\n").await;
    let error = discoverer().discover(&target(&peer)).await.unwrap_err();
    assert_eq!(error.code(), "protocol");
    let peer = Peer::bytes(b"").await;
    assert!(discoverer().discover(&target(&peer)).await.is_err());
}

#[tokio::test]
async fn the_identity_comes_by_grpc() {
    let peer = Peer::http(Versions::Http2, flyte1).await;
    let (discoverer, target) = (discoverer(), target(&peer));
    let found = discoverer.discover(&target).await.unwrap();
    let info = discoverer.user_info(&target, &found, "authorization", "Bearer good").await.unwrap();
    assert_eq!(info.subject.as_deref(), Some("s"));
    let error = discoverer.user_info(&target, &found, "authorization", "Bearer stale").await.unwrap_err();
    assert_eq!(error.code(), "unauthenticated");
}
