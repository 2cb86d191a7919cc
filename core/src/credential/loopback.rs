//! The loopback redirect (RFC 8252 section 7.3): listens on exactly the registered host and port, and waits, through
//! any number of stray requests, for the answer of this login.
//!
//! Everything runs inside the waiting future: dropping it closes every connection, dropping [`Loopback`] frees the port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::select_all;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpListener, TcpStream};

use crate::error::{Error, ErrorKind, Result};
use crate::fork::OfOneProcess;
use crate::protocol::callback::{Answer, Expected, Outcome, Refusal};

pub(crate) mod connection;
mod page;
mod port_owner;

use connection::Request;

/// Most connections served at once; more wait in the backlog. Browsers open about six, some of them silent.
const MOST_CONNECTIONS: usize = 128;
/// Before accepting again after an error (no file descriptors left, for example).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Tries to find one free port in both families.
const PORT_TRIES: usize = 8;

/// What a redirect URI allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Redirect {
    url: url::Url,
    /// As registered: what is sent must be equal to it, byte for byte, where the port is not ours to choose.
    text: String,
    families: Vec<IpAddr>,
    any_port: bool,
}

impl Redirect {
    /// Reads a redirect URI. One without a port, or with port 0, is registered for any (RFC 8252 section 7.3).
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let url = url::Url::parse(text).map_err(|cause| {
            Error::new(
                ErrorKind::Server,
                "metadata_invalid",
                format!("the server's redirect_uri for this client is no URL: {cause}"),
            )
            .with_next("Ask the administrator to correct the client's redirect URI, for example http://localhost:53593/callback")
        })?;
        let families = match (url.scheme(), url.host()) {
            ("http", Some(url::Host::Domain(name))) if name.eq_ignore_ascii_case("localhost") => {
                vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
            }
            ("http", Some(url::Host::Ipv4(Ipv4Addr::LOCALHOST))) => vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            ("http", Some(url::Host::Ipv6(Ipv6Addr::LOCALHOST))) => vec![IpAddr::V6(Ipv6Addr::LOCALHOST)],
            // A page elsewhere: nothing here can listen on it.
            _ => Vec::new(),
        };
        let any_port = matches!(url.port(), None | Some(0));
        Ok(Self { url, text: text.to_owned(), families, any_port })
    }

    /// Whether this machine can listen on it.
    pub(crate) fn is_loopback(&self) -> bool {
        !self.families.is_empty()
    }

    /// The path of the answer.
    pub(super) fn path(&self) -> &str {
        self.url.path()
    }

    /// What goes into the authorization request: as registered, with the port that was chosen if it was free to choose.
    pub(super) fn uri(&self, listening_on: Option<u16>) -> String {
        let mut url = self.url.clone();
        match listening_on {
            Some(port) if self.any_port && url.set_port(Some(port)).is_ok() => url.into(),
            _ => self.text.clone(),
        }
    }
}

/// The bound loopback redirect.
#[derive(Debug)]
pub(super) struct Loopback {
    listeners: OfOneProcess<Vec<TcpListener>>,
    port: u16,
}

/// The answer, and the browser that still waits for its page.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) answer: Answer,
    browser: TcpStream,
}

impl Arrived {
    /// Shows the page for how it went.
    pub(super) async fn conclude(mut self, signed_in: bool) {
        let page = if signed_in { &page::SIGNED_IN } else { &page::FAILED };
        connection::respond(&mut self.browser, page).await;
    }
}

impl Loopback {
    /// Binds every loopback family of `redirect`; one of two may be missing (no IPv6 in many containers).
    ///
    /// # Errors
    /// `port_busy` names the port and, where it can be seen, who holds it; `port_unavailable` for any other reason.
    pub(super) async fn bind(redirect: &Redirect) -> Result<Self> {
        let wanted = if redirect.any_port { 0 } else { redirect.url.port().unwrap_or(0) };
        let mut tries = if wanted == 0 { PORT_TRIES } else { 1 };
        loop {
            tries -= 1;
            match bind_families(&redirect.families, wanted).await {
                Ok((listeners, port)) => return Ok(Self { listeners: OfOneProcess::new(listeners), port }),
                Err((_, cause)) if cause.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
                Err((address, cause)) => return Err(bind_error(address, cause)),
            }
        }
    }

    /// The port.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Serves until the login's answer comes, for ever if none does. `refused` hears of each answer that was not taken.
    pub(super) async fn answer(&self, expected: &Expected, mut refused: impl FnMut(Refusal)) -> Arrived {
        let mut connections = FuturesUnordered::new();
        loop {
            let accept = async {
                let (accepted, ..) =
                    select_all(self.listeners.iter().map(|listener| Box::pin(listener.accept()))).await;
                accepted
            };
            tokio::select! {
                accepted = accept, if connections.len() < MOST_CONNECTIONS => match accepted {
                    Ok((stream, _)) => connections.push(self.serve(stream, expected)),
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
                Some(served) = connections.next(), if !connections.is_empty() => match served {
                    Served::Arrived(arrived) => return arrived,
                    Served::Refused(refusal) => refused(refusal),
                    Served::Nothing => {}
                },
            }
        }
    }

    /// One connection, one request.
    async fn serve(&self, mut stream: TcpStream, expected: &Expected) -> Served {
        let page = match connection::read(&mut stream, self.port, expected).await {
            Ok(Request::Answer(outcome)) => match outcome {
                Outcome::Done(answer) => return Served::Arrived(Arrived { answer, browser: stream }),
                Outcome::Invalid(refusal) => {
                    connection::respond(&mut stream, &page::NOT_THIS_LOGIN).await;
                    return Served::Refused(refusal);
                }
                Outcome::NotOurs => &page::NOT_FOUND,
            },
            Ok(Request::Refused(page)) => page,
            // Silent, too slow, or gone.
            Err(_) => return Served::Nothing,
        };
        connection::respond(&mut stream, page).await;
        Served::Nothing
    }
}

/// What became of a connection.
enum Served {
    Arrived(Arrived),
    Refused(Refusal),
    Nothing,
}

type Bound = (Vec<TcpListener>, u16);

async fn bind_families(families: &[IpAddr], wanted: u16) -> std::result::Result<Bound, (SocketAddr, io::Error)> {
    let mut listeners = Vec::new();
    let mut port = wanted;
    let mut missing = None;
    for family in families {
        let address = SocketAddr::new(*family, port);
        let bound = TcpListener::bind(address).await.and_then(|listener| {
            let port = listener.local_addr()?.port();
            Ok((listener, port))
        });
        match bound {
            Ok((listener, bound_port)) => {
                port = bound_port;
                listeners.push(listener);
            }
            // A port that somebody else holds in one family only is busy: the browser may go to either.
            Err(cause) if cause.kind() == io::ErrorKind::AddrInUse => return Err((address, cause)),
            Err(cause) => missing = Some((address, cause)),
        }
    }
    match (listeners.is_empty(), missing) {
        (true, Some(missing)) => Err(missing),
        _ => Ok((listeners, port)),
    }
}

fn bind_error(address: SocketAddr, cause: io::Error) -> Error {
    let port = address.port();
    if cause.kind() != io::ErrorKind::AddrInUse {
        return Error::config(
            "port_unavailable",
            "redirect_uri",
            format!("cannot listen on {address}, where the browser returns: {cause}"),
        )
        .with_next("Use --flow device, or --flow paste")
        .with_source(cause);
    }
    let by = port_owner::of(address).map(|owner| format!(" by {owner}")).unwrap_or_default();
    let look =
        if by.is_empty() { format!(" (to see who holds it: {})", port_owner::look_up(port)) } else { String::new() };
    Error::config(
        "port_busy",
        "redirect_uri",
        format!("port {port}, where the browser returns after signing in, is in use{by}"),
    )
    .with_next(format!("End that process or the other login{look}, or use --flow device or --flow paste"))
    .with_source(cause)
}

#[cfg(test)]
mod tests;
