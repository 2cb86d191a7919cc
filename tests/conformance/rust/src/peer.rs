//! The listeners of one case: HTTP/1.1, HTTP/2 with prior knowledge, TLS where the case wants it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::Verdict;
use crate::case::{Host, Speaks};
use crate::crypto::Tls;
use crate::reply::Body;
use crate::script::{Request, Script};
use crate::template::Variables;

/// Bound and not yet served: the addresses are part of the script.
pub struct Bound(Vec<(String, Host, TcpListener)>);

/// Binds a free port for each host, and for `flyte`, which every case has. Sets `{{NAME}}` (its URL), `{{NAME.host}}`
/// (`host:port`) and `{{NAME.port}}`.
///
/// # Errors
/// No port.
pub async fn bind(hosts: &BTreeMap<String, Host>, variables: &mut Variables) -> Verdict<Bound> {
    let mut hosts = hosts.clone();
    hosts.entry("flyte".to_owned()).or_default();
    let mut bound = Vec::new();
    for (name, host) in hosts {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|cause| format!("no port: {cause}"))?;
        let port = listener.local_addr().map_err(|cause| cause.to_string())?.port();
        let scheme = if host.tls { "https" } else { "http" };
        variables.set(&name, format!("{scheme}://127.0.0.1:{port}"));
        variables.set(format!("{name}.host"), format!("127.0.0.1:{port}"));
        variables.set(format!("{name}.port"), port.to_string());
        bound.push((name, host, listener));
    }
    Ok(Bound(bound))
}

/// Listeners that end when this is dropped.
pub struct Peer(#[expect(dead_code, reason = "held: dropping it ends the tasks")] JoinSet<()>);

impl Bound {
    /// Serves the script.
    pub fn serve(self, script: &Arc<Script>, tls: &Tls) -> Peer {
        let mut tasks = JoinSet::new();
        for (name, host, listener) in self.0 {
            let serve = Serve {
                script: Arc::clone(script),
                name: name.into(),
                speaks: host.speaks,
                tls: host.tls.then(|| TlsAcceptor::from(Arc::clone(&tls.config))),
            };
            tasks.spawn(async move {
                let mut connections = JoinSet::new();
                loop {
                    tokio::select! {
                        Ok((stream, _)) = listener.accept() => { connections.spawn(serve.clone().connection(stream)); }
                        Some(_) = connections.join_next(), if !connections.is_empty() => {}
                    }
                }
            });
        }
        Peer(tasks)
    }
}

#[derive(Clone)]
struct Serve {
    script: Arc<Script>,
    name: Arc<str>,
    speaks: Speaks,
    tls: Option<TlsAcceptor>,
}

impl Serve {
    async fn connection(self, stream: TcpStream) {
        match self.tls.clone() {
            None => self.speak(stream).await,
            // A client that does not know our authority leaves here: that is its right.
            Some(tls) => {
                if let Ok(stream) = tls.accept(stream).await {
                    self.speak(stream).await;
                }
            }
        }
    }

    async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S) {
        let builder = Builder::new(TokioExecutor::new());
        let builder = match self.speaks {
            Speaks::Both => builder,
            Speaks::Http1 => builder.http1_only(),
            Speaks::Http2 => builder.http2_only(),
        };
        let service = service_fn(move |request| {
            let serve = self.clone();
            async move { serve.answer(request).await }
        });
        let _ = builder.serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(&self, request: http::Request<Incoming>) -> std::io::Result<http::Response<Body>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
        self.script.answer(Request::new(&self.name, &parts, &body)).response()
    }
}
