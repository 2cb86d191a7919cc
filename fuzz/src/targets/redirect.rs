//! The authorization response: as a request to the loopback redirect, and as a pasted line.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use flyte_auth::protocol::callback::{Answer, Expected, MAX_ANSWER, MAX_CODE, Outcome, Refusal, from_paste};
use flyte_auth::testing::parsers;
use tokio::io::{AsyncRead, ReadBuf};

use crate::support::shown::assert_one_line;
use crate::support::{done, first_line};

const STATE: &str = "fuzzed-state-0123456789";
const ISSUER: &str = "https://idp.example";
const PORT: u16 = 53593;
/// Head and form at their largest, with what a buffer reads ahead.
const MOST_READ: usize = 4 * MAX_ANSWER;

fn expected(iss_required: bool) -> Expected {
    let issuer = Some(ISSUER.to_owned());
    Expected { path: "/callback".to_owned(), state: STATE.to_owned(), issuer, iss_required }
}

/// Bytes that come in pieces of one size, then the end or, where `endless`, more and more.
struct Pieces<'a> {
    data: &'a [u8],
    size: usize,
    endless: bool,
    read: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let length = self.size.min(into.remaining());
        if self.data.is_empty() && self.endless {
            let filler = vec![b'a'; length];
            into.put_slice(&filler);
            self.read += length;
            assert!(self.read <= MOST_READ, "read without end");
            return Poll::Ready(Ok(()));
        }
        let (piece, rest) = self.data.split_at(length.min(self.data.len()));
        into.put_slice(piece);
        self.read += piece.len();
        self.data = rest;
        Poll::Ready(Ok(()))
    }
}

/// What is in the first line: `iss` (the server announces it), `endless`; then the request.
pub(super) fn loopback_request(data: &[u8]) {
    let (flags, request) = first_line(data);
    let has = |flag: &[u8]| flags.windows(flag.len()).any(|part| part == flag);
    let expected = expected(has(b"iss"));
    let read = |size: usize, endless: bool| {
        let mut pieces = Pieces { data: request, size, endless, read: 0 };
        done(parsers::loopback_request(&mut pieces, PORT, &expected)).ok()
    };
    let whole = read(usize::MAX, false);
    // However the bytes come, the request is the same.
    assert_eq!(read(1, false), whole, "byte by byte");
    assert_eq!(read(7, false), whole, "in pieces");
    if has(b"endless") {
        let _ = read(4096, true);
    }
    let Some(Some(Outcome::Done(answer))) = whole else { return };
    let lower = String::from_utf8_lossy(request).to_ascii_lowercase();
    assert!(knows_state(request), "taken without our state");
    let ours = ["localhost", "127.0.0.1", "[::1]"].map(|host| format!("{host}:{PORT}"));
    assert!(ours.iter().any(|host| lower.contains(host)), "taken for another host");
    assert!(
        request.starts_with(b"GET ")
            || request.starts_with(b"POST ")
            || request.starts_with(b"\r\n")
            || request.starts_with(b"\n")
    );
    assert_answer(&answer, &expected);
}

/// The state is in the input, percent-encoded or not.
fn knows_state(input: &[u8]) -> bool {
    let mut decoded = Vec::with_capacity(input.len());
    let mut rest = input;
    while let Some((byte, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match hex {
            Some(value) if *byte == b'%' => {
                decoded.push(value);
                rest = &after[2..];
            }
            _ => {
                decoded.push(*byte);
                rest = after;
            }
        }
    }
    decoded.windows(STATE.len()).any(|part| part == STATE.as_bytes())
}

fn assert_answer(answer: &Answer, expected: &Expected) {
    match answer {
        Answer::Code(code) => {
            let code = code.expose(); // EXPOSE: measured.
            assert!(!code.is_empty() && code.len() <= MAX_CODE);
        }
        Answer::Error { error, description } => {
            assert_one_line(error);
            assert_one_line(description.as_deref().unwrap_or_default());
        }
        Answer::Unusable(refusal) => {
            assert!(!matches!(refusal, Refusal::NoState | Refusal::WrongState));
            assert!(expected.iss_required || *refusal != Refusal::NoIssuer);
        }
    }
}

/// What is in the first line: `iss`; then the line.
pub(super) fn pasted_redirect(data: &[u8]) {
    let (flags, line) = first_line(data);
    let expected = expected(flags == b"iss");
    let Ok(line) = std::str::from_utf8(line) else { return };
    let outcome = from_paste(line, &expected);
    for around in [format!("  {line}\r\n"), format!("\u{1b}[200~{line}\u{1b}[201~"), format!("<{line}>")] {
        assert_eq!(from_paste(&around, &expected), outcome, "what a terminal puts around it");
    }
    match outcome {
        Outcome::Done(answer) => {
            let code_alone = !line.contains(['?', '&']) && !line.contains("://");
            assert!(knows_state(line.as_bytes()) || code_alone && !expected.iss_required, "without our state");
            assert_answer(&answer, &expected);
        }
        Outcome::Invalid(refusal) => assert_one_line(&refusal.to_string()),
        Outcome::NotOurs => panic!("a paste has no path that is not ours"),
    }
}
