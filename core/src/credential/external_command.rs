//! A command prints the token: raw, as JSON, or as kubectl's ExecCredential.

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::process::{COMMAND_TIMEOUT, output_of};
use super::{Context, TokenSet, jwt_expiry};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::json;
use crate::protocol::secret::{AccessToken, SecretObject};

/// Where the command is configured.
const SETTING: &str = "admin.command";

/// Runs the command and reads what it prints.
///
/// # Errors
/// As [`output_of`]; `command_output` if what it prints is no token.
pub async fn fetch(context: &Context, argv: &[String]) -> Result<TokenSet> {
    let started_at = context.clock.now();
    let output = output_of(argv, SETTING, COMMAND_TIMEOUT).await?;
    parse(&output, started_at).map_err(|why| {
        Error::new(ErrorKind::Denied, "command_output", format!("{SETTING} printed no token: {why}"))
            .with_setting(SETTING)
            .with_next(format!(
                "It must print the token alone, or JSON with access_token or token; run it by hand: {}",
                super::process::for_a_person(argv)
            ))
    })
}

/// Reads a command's output. The error says what is wrong with it, never what it is.
pub(crate) fn parse(output: &[u8], now: Timestamp) -> Result<TokenSet, String> {
    let text = std::str::from_utf8(output).map_err(|_| "it is not UTF-8")?.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Err("nothing".into());
    }
    let (token, expires_at) = if text.starts_with('{') {
        let object = SecretObject::from(json::parse_object(text.as_bytes()).map_err(|cause| cause.to_string())?);
        from_json(&object, now)?
    } else {
        (Zeroizing::new(raw(text)?.to_owned()), None)
    };
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the token has characters that no header can carry".into());
    }
    let expires_at = expires_at.or_else(|| jwt_expiry(&token));
    Ok(TokenSet::access_only(AccessToken::from(token), expires_at, now))
}

fn raw(text: &str) -> Result<&str, String> {
    let token = match text.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("bearer ") => text[7..].trim(),
        _ => text,
    };
    if token.lines().count() > 1 {
        return Err("more than one line (progress belongs on stderr)".into());
    }
    if token.contains(char::is_whitespace) {
        return Err("white space inside".into());
    }
    Ok(token)
}

fn from_json(object: &Map<String, Value>, now: Timestamp) -> Result<(Zeroizing<String>, Option<Timestamp>), String> {
    // kubectl: {"kind": "ExecCredential", "status": {"token": …, "expirationTimestamp": …}}
    let members = match object.get("status") {
        Some(Value::Object(status)) if object.get("kind").and_then(Value::as_str) == Some("ExecCredential") => status,
        _ => object,
    };
    let token = ["access_token", "accessToken", "token", "id_token"]
        .iter()
        .find_map(|name| members.get(*name).and_then(Value::as_str))
        .filter(|token| !token.is_empty())
        .ok_or("the JSON has neither access_token nor token")?;
    let moment = ["expires_at", "expiresAt", "expirationTimestamp", "expiry", "expiration", "expires_on"]
        .iter()
        .find_map(|name| members.get(*name));
    let at = match moment {
        Some(Value::String(text)) => {
            Timestamp::parse_rfc3339(text).or_else(|| text.parse().ok().map(Timestamp::from_secs))
        }
        Some(Value::Number(number)) => number.as_i64().map(Timestamp::from_secs),
        _ => None,
    };
    let seconds = match members.get("expires_in") {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    let token = Zeroizing::new(token.to_owned());
    Ok((token, at.or_else(|| seconds.map(|seconds| now.plus(std::time::Duration::from_secs(seconds))))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

    #[test]
    fn accepted_outputs() {
        let at = |secs| Some(Timestamp::from_secs(secs));
        for (output, token, expires_at) in [
            ("t0k\n", "t0k", None),
            ("\u{feff}t0k\r\n", "t0k", None),
            ("Bearer t0k", "t0k", None),
            (r#"{"access_token":"t0k","expires_in":60}"#, "t0k", at(1_795_000_060)),
            (r#"{"token":"t0k","expires_in":"60"}"#, "t0k", at(1_795_000_060)),
            (
                r#"{"accessToken":"t0k","expires_at":"2026-11-24T03:12:00Z"}"#,
                "t0k",
                Timestamp::parse_rfc3339("2026-11-24T03:12:00Z"),
            ),
            (r#"{"access_token":"t0k","expires_at":1795000099}"#, "t0k", at(1_795_000_099)),
            (
                r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"t0k","expirationTimestamp":"2026-11-24T03:12:00Z"}}"#,
                "t0k",
                Timestamp::parse_rfc3339("2026-11-24T03:12:00Z"),
            ),
        ] {
            let set = parse(output.as_bytes(), NOW).unwrap_or_else(|why| panic!("{output}: {why}"));
            assert_eq!((set.access_token.expose(), set.expires_at), (token, expires_at), "{output}");
        }
    }

    #[test]
    fn refused_outputs_are_not_quoted() {
        for output in [
            &b""[..],
            b" \n",
            b"loading canary\ntoken",
            b"two words-canary",
            b"{\"canary\":1}",
            b"{\"token\":\"\"}",
            b"{\"token\":\"a\",\"token\":\"canary\"}",
            b"{\"token\": canary",
            b"\xff\xfe",
            b"caf\xc3\xa9-canary",
        ] {
            let why = parse(output, NOW).unwrap_err();
            assert!(!why.contains("canary"), "{why}");
        }
    }
}
