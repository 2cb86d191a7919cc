//! One HTTP/1.1 connection of the loopback redirect: reads one request within limits, writes one page, closes.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::page::{self, Page};
use crate::protocol::callback::{self, Expected, MAX_ANSWER, Outcome};

/// Request line and headers; an answer in the query is part of it.
const MAX_HEAD: usize = MAX_ANSWER + 8 * 1024;
/// Most header fields.
const MAX_FIELDS: usize = 100;
/// From the connection to the last byte of the request: slower is no browser.
const READ_TIME: Duration = Duration::from_secs(5);
/// For a page of 3 KB to leave.
const WRITE_TIME: Duration = Duration::from_secs(2);
/// How long the peer may take to see the end of a page before the rest of what it sends is thrown away.
const LINGER: Duration = Duration::from_millis(200);

/// A request, judged.
pub(crate) enum Request {
    /// On the redirect's path, or not ours.
    Answer(Outcome),
    /// Not HTTP, not from here, or too large.
    Refused(&'static Page),
}

/// Reads one request.
///
/// # Errors
/// If the peer goes away or takes longer than [`READ_TIME`].
pub(super) async fn read(stream: &mut TcpStream, port: u16, expected: &Expected) -> io::Result<Request> {
    tokio::time::timeout(READ_TIME, read_request(stream, port, expected)).await?
}

pub(crate) async fn read_request(
    stream: &mut (impl AsyncRead + Unpin),
    port: u16,
    expected: &Expected,
) -> io::Result<Request> {
    let mut buffer = Vec::with_capacity(4096);
    let head_length = loop {
        let searched = buffer.len().saturating_sub(3);
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // Only what is new is searched: a byte at a time must not cost the square of the length.
        if let Some(at) = buffer[searched..].windows(4).position(|window| window == b"\r\n\r\n") {
            break searched + at + 4;
        }
        if buffer.len() > MAX_HEAD {
            return Ok(Request::Refused(&page::HEAD_TOO_LARGE));
        }
    };
    let body_length = {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        match head(&buffer[..head_length], &mut fields, port, expected) {
            Head::Decided(request) => return Ok(request),
            Head::Form { length } => length,
        }
    };
    let whole = head_length + body_length;
    while buffer.len() < whole {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(Request::Answer(callback::from_request(&expected.path, Some(&buffer[head_length..whole]), expected)))
}

/// What the head says.
enum Head {
    Decided(Request),
    /// A form of `length` bytes follows, for the redirect's path.
    Form {
        length: usize,
    },
}

impl From<&'static Page> for Head {
    fn from(page: &'static Page) -> Self {
        Self::Decided(Request::Refused(page))
    }
}

fn head<'a>(bytes: &'a [u8], fields: &mut [httparse::Header<'a>], port: u16, expected: &Expected) -> Head {
    let mut request = httparse::Request::new(fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return (&page::HEAD_TOO_LARGE).into(),
        _ => return (&page::BAD_REQUEST).into(),
    }
    let (Some(method), Some(target)) = (request.method, request.path) else { return (&page::BAD_REQUEST).into() };
    if !for_this_host(target, request.headers, port) {
        return (&page::MISDIRECTED).into();
    }
    // With an empty form, only the path is judged.
    if callback::from_request(target, Some(b""), expected) == Outcome::NotOurs {
        return Head::Decided(Request::Answer(Outcome::NotOurs));
    }
    match method {
        "GET" => Head::Decided(Request::Answer(callback::from_request(target, None, expected))),
        "POST" => form(request.headers),
        // HEAD too: link checkers send it, and it must not end the login.
        _ => (&page::METHOD_NOT_ALLOWED).into(),
    }
}

/// Against DNS rebinding: a foreign name that resolves to this machine is not ours. A page of such a name could read
/// our replies, and it could reach us at all.
fn for_this_host(target: &str, fields: &[httparse::Header<'_>], port: u16) -> bool {
    let mut hosts = values(fields, "host");
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let authority = target.split_once("://").map(|(_, rest)| rest.split(['/', '?']).next().unwrap_or(""));
    let wanted = port.to_string();
    let ours = |host: &str| {
        let (name, given) = match host.rsplit_once(':') {
            // By its digits: a number would be read from `+80` too.
            Some((name, digits)) if !digits.ends_with(']') => (name, digits),
            _ => (host, "80"),
        };
        ["localhost", "127.0.0.1", "[::1]"].iter().any(|own| name.eq_ignore_ascii_case(own)) && given == wanted
    };
    ours(host) && (!target.contains("://") || target.starts_with('/') || authority.is_some_and(ours))
}

/// The head of a `form_post`.
fn form(fields: &[httparse::Header<'_>]) -> Head {
    let media_type = values(fields, "content-type").next().unwrap_or("");
    let media_type = media_type.split(';').next().unwrap_or("").trim();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return (&page::FORM_REQUIRED).into();
    }
    let mut lengths = values(fields, "content-length");
    let length = match (lengths.next(), lengths.next()) {
        // No browser sends a form in chunks.
        (Some(length), None) if values(fields, "transfer-encoding").next().is_none() => length.trim().parse::<usize>(),
        (None, _) => return (&page::LENGTH_REQUIRED).into(),
        _ => return (&page::BAD_REQUEST).into(),
    };
    match length {
        Ok(length) if length <= MAX_ANSWER => Head::Form { length },
        Ok(_) => (&page::BODY_TOO_LARGE).into(),
        Err(_) => (&page::BAD_REQUEST).into(),
    }
}

fn values<'a>(fields: &'a [httparse::Header<'_>], name: &'a str) -> impl Iterator<Item = &'a str> {
    let named = fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
    // A value that is no text is no value we know; it still counts as one.
    named.map(|field| std::str::from_utf8(field.value).map_or("", str::trim))
}

/// Writes `page` and closes. Nobody is told if that fails: the browser has gone, and the login does not need it.
pub(super) async fn respond(stream: &mut TcpStream, page: &Page) {
    let write = async {
        stream.write_all(page.reply().as_bytes()).await?;
        stream.shutdown().await
    };
    if !matches!(tokio::time::timeout(WRITE_TIME, write).await, Ok(Ok(()))) {
        return;
    }
    // Closing with unread bytes resets the connection, and the browser would lose the page.
    let drain = async {
        let mut scrap = [0_u8; 4096];
        while matches!(stream.read(&mut scrap).await, Ok(read) if read > 0) {}
    };
    let _ = tokio::time::timeout(LINGER, drain).await;
}
