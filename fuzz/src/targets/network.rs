//! Whole conversations with a foreign server: discovery, user info, gRPC.

use std::net::IpAddr;
use std::sync::Arc;

use flyte_auth::ErrorKind;
use flyte_auth::config::endpoint::Endpoint;
use flyte_auth::discovery::{Discoverer, Discovery, Generation, ServerAuth, Target};
use flyte_auth::protocol::flyteidl;
use flyte_auth::protocol::metadata::{PublicClientConfig, ServerMetadata};
use flyte_auth::transport::Purpose;
use flyte_auth::transport::grpc::{GrpcFailure, unary};
use http::{HeaderMap, Uri};
use prost::Message as _;
use url::Url;

use crate::support::shown::{assert_hidden, assert_not_repeated, both};
use crate::support::transport::Foreign;
use crate::support::{StoppedClock, done, first_line, message};

const ISSUER: &str = "https://idp.example/tenant";

/// `tls`, `plaintext` or `issuer` in the first line; then the replies.
pub(super) fn discovery(data: &[u8]) {
    let (kind, replies) = first_line(data);
    let peer = Arc::new(Foreign::new(replies));
    let endpoint = |text: &str| Target::Endpoint(Endpoint::parse(text, false, "fuzz").expect("an endpoint"));
    let (target, by_user) = match kind {
        b"plaintext" => (endpoint("http://flyte.example"), true),
        b"issuer" => (Target::Issuer(ISSUER.to_owned()), true),
        _ => (endpoint("https://flyte.example"), false),
    };
    let discoverer = Discoverer::new(Arc::<Foreign>::clone(&peer), Arc::new(StoppedClock), None);
    match done(discoverer.discover(&target)) {
        Ok(found) => {
            if let Discovery::Auth(server) = &found {
                let endpoints = server.metadata.endpoints();
                endpoints.for_each(|(member, text)| assert_address(member, text, by_user));
                assert!(server.metadata.token_endpoint.is_some());
                if kind == b"issuer" {
                    let said = server.metadata.issuer.as_deref().expect("it was compared");
                    assert_eq!(said.trim_end_matches('/'), ISSUER);
                }
            }
            let asked = peer.calls().len();
            assert_eq!(done(discoverer.discover(&target)).ok(), Some(found), "remembered");
            assert_eq!(peer.calls().len(), asked, "asked again");
        }
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Network | ErrorKind::Server), "{error}");
            assert!(error.retry_after().is_none_or(|after| after.as_secs() <= 86_400));
            let shown = both(&error);
            // These name the issuer that the document names, for the person to compare.
            if !matches!(error.code(), "issuer_mismatch" | "no_metadata" | "metadata_refused" | "malformed") {
                // An address may be shown because it was asked.
                let asked: Vec<String> = peer.calls().iter().map(|(uri, _)| uri.to_string()).collect();
                let mut public = vec!["flyte.example", "idp.example", "the administrator", "authorization server"];
                public.splice(0..0, asked.iter().map(String::as_str));
                public.extend(error.endpoint());
                // Where a proxy redirects to is shown; a body may hold the same words.
                let redirects = peer.redirects();
                public.extend(redirects.iter().map(String::as_str));
                peer.bodies().for_each(|body| assert_not_repeated(body, &shown, &public));
            }
        }
    }
    for (uri, _) in peer.calls() {
        assert_address("call", &uri.to_string(), by_user);
    }
}

/// An address that a token may go to, judged without the product's code; and whoever takes its text apart differently
/// comes to the same host.
fn assert_address(member: &str, text: &str, plaintext: bool) {
    let url = Url::parse(text).unwrap_or_else(|error| panic!("{member} {text:?}: {error}"));
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let loopback =
        host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    assert!(!host.is_empty(), "{member} {text:?}");
    assert!(url.scheme() == "https" || url.scheme() == "http" && (plaintext || loopback), "{member} {text:?}");
    assert!(url.username().is_empty() && url.password().is_none(), "{member} {text:?}");
    if let Ok(other) = text.parse::<Uri>()
        && let Some(other) = other.host()
    {
        let resolved = url::Host::parse(other).map(|host| host.to_string());
        assert_eq!(resolved.as_deref(), Ok(host), "{member} {text:?}: two readings of one address");
    }
}

const TOKEN: &str = "Bearer canary-of-a-token-that-goes-nowhere-else";

/// `1`, `2` or nothing in the first line (the generation), or `issuer URL`; then the replies.
pub(super) fn user_info(data: &[u8]) {
    let (kind, replies) = first_line(data);
    let peer = Arc::new(Foreign::new(replies));
    let mut server = ServerAuth {
        generation: None,
        metadata: ServerMetadata::default(),
        public_client: PublicClientConfig::default(),
    };
    let mut own_host = Some("flyte.example".to_owned());
    let mut target = Target::Endpoint(Endpoint::parse("https://flyte.example", false, "fuzz").expect("an endpoint"));
    match kind {
        b"1" => server.generation = Some(Generation::Flyte1),
        b"2" => server.generation = Some(Generation::Flyte2),
        _ => {
            if let Some(uri) = kind.strip_prefix(b"issuer ").and_then(|uri| std::str::from_utf8(uri).ok()) {
                target = Target::Issuer(ISSUER.to_owned());
                own_host = Url::parse(uri).ok().and_then(|uri| uri.host_str().map(str::to_owned));
                server.metadata.userinfo_endpoint = Some(uri.to_owned());
            }
        }
    }
    let discovery = Discovery::Auth(Box::new(server));
    let discoverer = Discoverer::new(Arc::<Foreign>::clone(&peer), Arc::new(StoppedClock), None);
    match done(discoverer.user_info(&target, &discovery, "flyte-authorization", TOKEN)) {
        Ok(info) => {
            for text in [info.subject, info.name, info.email, info.preferred_username].into_iter().flatten() {
                assert!(!text.is_empty());
            }
        }
        Err(error) => {
            let shown = both(&error);
            assert_hidden(TOKEN, &shown);
            if error.code() != "malformed" {
                let redirects = peer.redirects();
                let mut public = vec!["flyte.example", "idp.example", error.code()];
                public.extend(redirects.iter().map(String::as_str));
                peer.bodies().for_each(|body| assert_not_repeated(body, &shown, &public));
            }
        }
    }
    for (uri, headers) in peer.calls() {
        assert_eq!(uri.host().map(str::to_owned), own_host, "the token went elsewhere");
        assert_eq!(headers.get_all("flyte-authorization").iter().count(), 1);
        assert!(headers.get("flyte-authorization").is_some_and(http::HeaderValue::is_sensitive));
    }
}

pub(super) fn grpc_frame(data: &[u8]) {
    let peer = Foreign::new(data);
    let none = HeaderMap::new();
    let call = unary::<flyteidl::OAuth2Metadata>(
        &peer,
        Purpose::Discovery,
        "https://flyte.example",
        flyteidl::FLYTE2_METADATA_SERVICE,
        flyteidl::GET_OAUTH2_METADATA,
        &(),
        &none,
    );
    let reply = message::messages(data).swap_remove(0);
    match done(call) {
        Ok(message) => {
            let (prefix, body) = reply.body.split_at(5);
            assert_eq!(prefix, &message::framed_body(body)[..5], "not exactly one uncompressed message");
            assert_eq!(flyteidl::OAuth2Metadata::decode(body), Ok(message));
            let status = reply.trailers.get("grpc-status").or_else(|| reply.headers.get("grpc-status"));
            let status = status.and_then(|status| status.to_str().ok()?.parse::<u32>().ok());
            assert_eq!(status, Some(0), "a success without its status");
        }
        Err(GrpcFailure::Status { code, .. }) => assert_ne!(code, 0),
        Err(GrpcFailure::NotGrpc(handed_on)) => assert_eq!(handed_on.body[..], reply.body[..]),
        Err(GrpcFailure::Malformed(_) | GrpcFailure::Transport(_)) => {}
    }
}
