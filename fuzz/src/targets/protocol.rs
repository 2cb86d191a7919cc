//! `core::protocol`: strict JSON, replies of token and device endpoints, times in headers.

use std::time::Duration;

use flyte_auth::Timestamp;
use flyte_auth::credential::failure::{GrantKind, grant_error};
use flyte_auth::protocol::json::{JsonProblem, MAX_BYTES, MAX_DEPTH, parse_object, parse_value};
use flyte_auth::protocol::reply::{self, Problem, retry_after};
use flyte_auth::protocol::secret::{IdToken, RefreshToken};
use flyte_auth::transport::Reply;
use serde_json::Value;

use crate::support::message;
use crate::support::shown::{assert_hidden, assert_not_repeated, assert_one_line, both, says};

const TEN_YEARS: Duration = Duration::from_secs(10 * 366 * 24 * 3600);
const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn json(data: &[u8]) {
    let without_mark = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let theirs: Result<Value, _> = serde_json::from_slice(without_mark);
    match parse_value(data) {
        Ok(ours) => {
            assert!(data.len() <= MAX_BYTES);
            assert_eq!(theirs.expect("serde_json takes what we take"), ours);
            assert!(depth(&ours) <= MAX_DEPTH);
            // Each member has one colon outside of texts: one that came twice would be missing from the tree.
            assert_eq!(members(&ours), colons(without_mark), "a member is lost");
            if !has_fraction(&ours) {
                assert_eq!(parse_value(ours.to_string().as_bytes()), Ok(ours));
            }
        }
        Err(problem) => {
            let name = match &problem {
                JsonProblem::Duplicate(name) => name.as_deref().unwrap_or_default(),
                JsonProblem::Syntax { .. } | JsonProblem::Truncated | JsonProblem::Empty => {
                    assert!(theirs.is_err(), "serde_json takes it");
                    ""
                }
                _ => "",
            };
            assert_not_repeated(data, &problem.to_string(), &[name]);
        }
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn members(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(members).sum(),
        Value::Object(object) => object.len() + object.values().map(members).sum::<usize>(),
        _ => 0,
    }
}

fn colons(text: &[u8]) -> usize {
    let (mut count, mut inside, mut escaped) = (0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b':' if !inside => count += 1,
            _ => {}
        }
    }
    count
}

/// Without its feature `float_roundtrip` serde_json reads a fraction to the last place but one.
fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_fraction),
        Value::Object(members) => members.values().any(has_fraction),
        _ => false,
    }
}

/// What the request carried.
const SENT: &str = "sent-refresh-token-of-this-session";

pub(super) fn token_reply(data: &[u8]) {
    let reply = message::reply(data);
    let object = parse_object(&reply.body).unwrap_or_default();
    let member = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    match reply::token(&reply, &[SENT]) {
        Ok(read) => {
            assert!(reply.status.is_success());
            let token = read.access_token.expose(); // EXPOSE: compared.
            assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
            assert_eq!(token, member("access_token"));
            assert_eq!(read.refresh_token.as_ref().map_or("", RefreshToken::expose), member("refresh_token"));
            assert_eq!(read.id_token.as_ref().map_or("", IdToken::expose), member("id_token"));
            for lifetime in [read.expires_in, read.refresh_expires_in].into_iter().flatten() {
                assert!(lifetime <= TEN_YEARS && !lifetime.is_zero() || lifetime.as_secs() == 0);
            }
            let shown = format!("{:?}", read.clone());
            let scopes = read.scopes.unwrap_or_default().join(" ");
            for secret in [token, member("refresh_token"), member("id_token")] {
                if !scopes.contains(secret) {
                    assert_hidden(secret, &shown);
                }
            }
        }
        Err(problem) => {
            let error = grant_error(&problem, GrantKind::RefreshToken, TOKEN_ENDPOINT, "flytectl");
            let shown = both(&error) + &format!("{problem:?}");
            assert_hidden(SENT, &shown);
            assert_problem(&reply, &problem, &shown);
        }
    }
}

/// What is shown of a failed reply: the OAuth error and its description, and nothing else of the body.
fn assert_problem(reply: &Reply, problem: &Problem, shown: &str) {
    match problem {
        Problem::OAuth { error, description, retry_after, .. } => {
            assert_one_line(error);
            assert_one_line(description.as_deref().unwrap_or_default());
            assert!(error.len() <= 1200 && retry_after.is_none_or(|after| after <= DAY));
        }
        Problem::Malformed(why) => {
            assert!(reply.status.is_success());
            assert_one_line(why);
            // An unknown kind of token is named; a member that came twice too.
            if !says(why, "token_type") && !says(why, "twice") {
                assert_not_repeated(&reply.body, shown, MEMBERS);
            }
        }
        Problem::Unavailable { retry_after, .. } => {
            assert!(retry_after.is_none_or(|after| after <= DAY));
            assert_not_repeated(&reply.body, shown, &[TOKEN_ENDPOINT]);
        }
        _ => assert_not_repeated(&reply.body, shown, &[TOKEN_ENDPOINT]),
    }
}

/// Names that our own messages say.
const MEMBERS: &[&str] = &["verification_uri", "verification_url", "access_token", TOKEN_ENDPOINT];
/// Where the reply came from.
const TOKEN_ENDPOINT: &str = "https://idp.example/token";

pub(super) fn device_reply(data: &[u8]) {
    let reply = message::reply(data);
    match reply::device_authorization(&reply) {
        Ok(read) => {
            for uri in [Some(&read.verification_uri), read.verification_uri_complete.as_ref()].into_iter().flatten() {
                assert!(uri.starts_with("https://") || uri.starts_with("http://"), "{uri}");
                assert_one_line(uri);
            }
            assert_one_line(&read.user_code);
            assert!(read.user_code.chars().count() <= 300);
            for time in [read.expires_in, read.interval] {
                assert!(time <= TEN_YEARS);
            }
            // EXPOSE: looked for where it must not be.
            let code = read.device_code.expose();
            let public = [&read.user_code, &read.verification_uri].map(String::as_str);
            if !public.iter().chain(&read.verification_uri_complete.as_deref()).any(|text| text.contains(code)) {
                assert_hidden(code, &format!("{read:?}"));
            }
        }
        Err(problem) => {
            let shown = format!("{problem:?}");
            assert_problem(&reply, &problem, &shown);
        }
    }
    let _ = reply::revocation(&reply);
}

pub(super) fn http_headers(data: &[u8]) {
    let reply = message::reply(data);
    let after = retry_after(&reply);
    assert!(after.is_none_or(|after| after <= DAY));
    let _ = reply.date();
    let _ = reply.media_type();
    let Ok(text) = std::str::from_utf8(&reply.body) else { return };
    for time in [Timestamp::parse_http_date(text), Timestamp::parse_rfc3339(text)].into_iter().flatten() {
        let written = time.to_rfc3339();
        let again = Timestamp::parse_rfc3339(&written).expect("what we write we read");
        assert_eq!(again.as_secs(), time.as_secs(), "{written}");
        // Arithmetic with a time that a server chose.
        assert!(time.plus(Duration::MAX) >= time && time.minus(Duration::MAX) <= time);
        assert_eq!(time.since(time), Duration::ZERO);
    }
}
