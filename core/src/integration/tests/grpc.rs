//! tonic's clients against a real tonic server: over our own channel and over tonic's.

use std::time::Duration;

use futures_util::stream;
use http::uri::PathAndQuery;
use tonic::body::Body;
use tonic::client::{Grpc, GrpcService};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use tower_layer::Layer as _;

use super::grpc_peer::{Peer, Refusal};
use super::*;
use crate::tonic::{AuthChannel, channel};
use crate::tower::AuthLayer;

/// The four kinds of calls; each sends "ab" in one way or the other and reads "ab".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unary,
    ServerStream,
    ClientStream,
    /// The request stream stays open until the reply has come.
    Both,
}

const KINDS: [Kind; 4] = [Kind::Unary, Kind::ServerStream, Kind::ClientStream, Kind::Both];

async fn call<T>(channel: T, kind: Kind) -> Result<String, Status>
where
    T: GrpcService<Body>,
    T::ResponseBody: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    <T::ResponseBody as http_body::Body>::Error: Into<crate::tower::BoxError>,
{
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let codec = ProstCodec::<String, String>::default();
    let path = |method: &'static str| PathAndQuery::from_static(method);
    let texts = || stream::iter(["a".to_owned(), "b".to_owned()]);
    let mut reply = match kind {
        Kind::Unary => {
            return Ok(grpc.unary(Request::new("ab".to_owned()), path("/test.Test/Unary"), codec).await?.into_inner());
        }
        Kind::ClientStream => {
            return Ok(grpc
                .client_streaming(Request::new(texts()), path("/test.Test/ClientStream"), codec)
                .await?
                .into_inner());
        }
        Kind::ServerStream => {
            grpc.server_streaming(Request::new("ab".to_owned()), path("/test.Test/ServerStream"), codec).await?
        }
        Kind::Both => {
            let (sender, receiver) = tokio::sync::mpsc::channel::<String>(4);
            let sent = stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) });
            let mut reply = grpc.streaming(Request::new(sent), path("/test.Test/Both"), codec).await?.into_inner();
            // Each answer comes before the next question: nothing in between waits for the stream's end.
            let mut all = String::new();
            for text in ["a", "b"] {
                // A server that has refused reads no more; what it said is in the reply.
                let _ = sender.send(text.to_owned()).await;
                all.push_str(&reply.message().await?.unwrap_or_default());
            }
            return Ok(all);
        }
    }
    .into_inner();
    let mut all = String::new();
    while let Some(text) = reply.message().await? {
        all.push_str(&text);
    }
    Ok(all)
}

fn url(peer: &Peer) -> String {
    format!("http://{}", peer.address)
}

fn own_channel(peer: &Peer) -> Channel {
    Channel::from_shared(url(peer)).unwrap().connect_lazy()
}

/// Over which channel.
#[derive(Debug, Clone, Copy)]
enum Over {
    Ours,
    Tonics,
    TonicsByLayer,
}

async fn call_over(over: Over, peer: &Peer, session: &Session, kind: Kind) -> Result<String, Status> {
    match over {
        Over::Ours => call(channel(session).unwrap(), kind).await,
        Over::Tonics => call(AuthChannel::over(session, own_channel(peer)), kind).await,
        Over::TonicsByLayer => call(AuthLayer::new(session).layer(own_channel(peer)), kind).await,
    }
}

#[tokio::test]
async fn every_kind_of_call_over_every_channel() {
    for over in [Over::Ours, Over::Tonics, Over::TonicsByLayer] {
        for kind in KINDS {
            let peer = Peer::start(Refusal::Headers).await;
            let session = session(&url(&peer), &["t2"]);
            assert_eq!(call_over(over, &peer, &session, kind).await.unwrap(), "ab", "{over:?} {kind:?}");
            assert_eq!(peer.seen(), ["t2"], "{over:?} {kind:?}");
        }
    }
}

#[tokio::test]
async fn a_rejected_call_is_repeated_once_unless_its_stream_is_open() {
    for over in [Over::Ours, Over::Tonics, Over::TonicsByLayer] {
        for kind in KINDS {
            for refusal in [Refusal::Headers, Refusal::Http, Refusal::Trailers] {
                let name = format!("{over:?} {kind:?} {refusal:?}");
                let peer = Peer::start(refusal).await;
                let session = session(&url(&peer), &["t1", "t2"]);
                let outcome = call_over(over, &peer, &session, kind).await;
                if kind == Kind::Both {
                    assert_eq!(outcome.unwrap_err().code(), Code::Unauthenticated, "{name}");
                    assert_eq!(peer.seen(), ["t1"], "{name}");
                } else {
                    assert_eq!(outcome.unwrap(), "ab", "{name}");
                    assert_eq!(peer.seen(), ["t1", "t2"], "{name}");
                }
                // The rejected token is gone either way.
                assert_eq!(session.token().await.unwrap().unwrap().expose(), "t2", "{name}");
            }
        }
    }
}

#[tokio::test]
async fn what_was_delivered_is_not_delivered_twice() {
    let peer = Peer::start(Refusal::AfterMessage).await;
    let session = session(&url(&peer), &["t1", "t2"]);
    let error = call(channel(&session).unwrap(), Kind::ServerStream).await.unwrap_err();
    assert_eq!((error.code(), peer.seen()), (Code::Unauthenticated, vec!["t1".to_owned()]));
    assert_eq!(session.token().await.unwrap().unwrap().expose(), "t2");
}

#[tokio::test]
async fn denied_is_an_answer() {
    let peer = Peer::start(Refusal::Denied).await;
    let session = session(&url(&peer), &["t2"]);
    let error = call(channel(&session).unwrap(), Kind::Unary).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::PermissionDenied, "not for you"));
    assert_eq!(peer.seen(), ["t2"]);
    assert_eq!(session.fresh().unwrap().expose(), "t2");
}

#[tokio::test]
async fn errors_are_statuses_with_their_error() {
    let peer = Peer::start(Refusal::Headers).await;
    let nobody = session_of(Config { client_secret: None, ..config(&url(&peer)) }, &tokens(&[]));
    for over in [Over::Ours, Over::Tonics] {
        let status = call_over(over, &peer, &nobody, Kind::Unary).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        let error = std::error::Error::source(&status).and_then(|source| source.downcast_ref::<crate::Error>());
        assert_eq!(error.unwrap().kind(), crate::ErrorKind::LoginRequired);
        assert!(status.message().contains("flyte-auth login"), "{status}");
    }
    assert!(peer.seen().is_empty(), "no token, no call");

    // Nothing listens there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let status = call(channel(&session(&closed, &["t2"])).unwrap(), Kind::Unary).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}

#[tokio::test]
async fn a_client_for_another_host_gets_no_token() {
    let peer = Peer::start(Refusal::Headers).await;
    let other = Peer::start(Refusal::Headers).await;
    let session = session(&url(&peer), &["t2"]);
    let mut grpc = Grpc::with_origin(channel(&session).unwrap(), url(&other).parse().unwrap());
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<String, String>::default();
    let path = PathAndQuery::from_static("/test.Test/Unary");
    let status = grpc.unary(Request::new("ab".to_owned()), path, codec).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    assert!(peer.seen().is_empty() && other.seen().is_empty());
}

#[tokio::test]
async fn a_deadline_holds() {
    // Accepts and never answers.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let mut grpc = Grpc::new(channel(&session(&silent, &["t2"])).unwrap());
    grpc.ready().await.unwrap();
    let mut request = Request::new("ab".to_owned());
    request.set_timeout(Duration::from_millis(50));
    let path = PathAndQuery::from_static("/test.Test/Unary");
    let status = grpc.unary(request, path, ProstCodec::<String, String>::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
}

#[tokio::test]
async fn no_endpoint_no_channel() {
    let session = session_of(Config { endpoint: None, ..config("http://x") }, &tokens(&[]));
    assert_eq!(channel(&session).unwrap_err().code(), "endpoint_missing");
}

#[tokio::test]
async fn the_sessions_tls_settings_hold() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let peer = Peer::start_tls(tls).await;
    let endpoint = format!("https://localhost:{}", peer.address.port());
    let with = |change: fn(&mut Config, std::path::PathBuf)| {
        let mut config = config(&endpoint);
        change(&mut config, ca.clone());
        channel(&session_of(config, &tokens(&["t2"]))).unwrap()
    };
    let trusting = with(|config, ca| config.network.ca_cert = Some(setting(ca)));
    for kind in KINDS {
        assert_eq!(call(trusting.clone(), kind).await.unwrap(), "ab", "{kind:?}");
    }
    let unchecked = with(|config, _| config.network.insecure_skip_verify = Some(setting(true)));
    assert_eq!(call(unchecked, Kind::Unary).await.unwrap(), "ab");
    let calls = peer.seen().len();
    let status = call(with(|_, _| ()), Kind::Unary).await.unwrap_err();
    let error = std::error::Error::source(&status).and_then(|source| source.downcast_ref::<crate::Error>());
    assert!(error.is_some_and(|error| error.next_step().is_some_and(|next| next.contains("caCert"))), "{status:?}");
    assert_eq!(peer.seen().len(), calls, "no token before trust");
}
