//! What holds in every case, whatever it says: the MUSTs of the RFCs that a request alone can break, and what a login
//! or a refresh must never do.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::Verdict;
use crate::crypto::s256;
use crate::script::{Request, value};

/// 128 bits in base64url: what RFC 6749 section 10.10 asks of a value that nobody may guess.
const LEAST_RANDOM: usize = 22;

/// What earlier requests of the case have shown.
#[derive(Debug, Default)]
pub struct Memory {
    /// Secrets that were sent: no message may repeat them.
    pub secrets: HashSet<String>,
    used_codes: HashSet<String>,
    replaced_refresh_tokens: HashSet<String>,
    fresh: HashSet<String>,
    challenge: Option<String>,
}

impl Memory {
    /// A success was sent: the refresh token that was presented is replaced if another came with it.
    pub fn replied(&mut self, request: &Request, new_refresh_token: Option<String>) {
        if let (Some(old), Some(new)) = (request.form("refresh_token"), new_refresh_token)
            && old != new
        {
            self.replaced_refresh_tokens.insert(old.to_owned());
        }
    }
}

/// Judges a request.
///
/// # Errors
/// The rule that it breaks, and where that stands.
pub fn request(request: &Request, memory: &mut Memory) -> Verdict {
    for pairs in [&request.query, &request.form] {
        let mut names = HashSet::new();
        if let Some((name, _)) = pairs.iter().find(|(name, _)| !names.insert(name)) {
            return Err(format!("parameter {name} came twice (RFC 6749 section 3.2)"));
        }
    }
    for secret in ["access_token", "refresh_token", "client_secret", "code_verifier", "device_code"] {
        if value(&request.query, secret).is_some() {
            return Err(format!("{secret} is in the URL (RFC 6749 section 2.3.1, RFC 6750 section 5.3)"));
        }
    }
    let authorization = request.headers.get_all(http::header::AUTHORIZATION).iter().count();
    if authorization > 1 {
        return Err("two Authorization headers (RFC 9110 section 5.3)".to_owned());
    }
    if authorization > 0 && request.form("client_secret").is_some() {
        return Err("two ways of client authentication at once (RFC 6749 section 2.3)".to_owned());
    }
    for name in ["client_secret", "refresh_token", "code", "code_verifier", "device_code"] {
        memory.secrets.extend(request.form(name).filter(|secret| secret.len() >= 8).map(str::to_owned));
    }
    match request.form("grant_type") {
        Some("authorization_code") => authorization_code(request, memory),
        Some("refresh_token") => match request.form("refresh_token") {
            Some(token) if memory.replaced_refresh_tokens.contains(token) => {
                Err("a refresh token that was replaced is used again (RFC 9700 section 4.14.2)".to_owned())
            }
            Some(_) => Ok(()),
            None => Err("no refresh_token (RFC 6749 section 6)".to_owned()),
        },
        _ => Ok(()),
    }
}

fn authorization_code(request: &Request, memory: &mut Memory) -> Verdict {
    let code = request.form("code").ok_or("no code (RFC 6749 section 4.1.3)")?;
    if !memory.used_codes.insert(code.to_owned()) {
        return Err("a code is used twice (RFC 6749 section 4.1.2)".to_owned());
    }
    let verifier = request.form("code_verifier").ok_or("no code_verifier (RFC 7636 section 4.5)")?;
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if !(43..=128).contains(&verifier.len()) || !verifier.bytes().all(unreserved) {
        return Err("the code_verifier is not of RFC 7636 section 4.1".to_owned());
    }
    match &memory.challenge {
        Some(challenge) if s256(verifier) == *challenge => Ok(()),
        Some(_) => Err("the code_verifier is not the one of the code_challenge (RFC 7636 section 4.6)".to_owned()),
        None => Err("a code was exchanged and no login was begun".to_owned()),
    }
}

/// A token goes only where the case wants one: the headers that it does not name carry none.
///
/// # Errors
/// The header.
pub fn no_credentials(request: &Request, expected: &Map<String, Value>) -> Verdict {
    let carries = |value: &http::HeaderValue| value.to_str().is_ok_and(|text| text.starts_with("Bearer "));
    for (name, header) in &request.headers {
        let name = name.as_str();
        if !expected.contains_key(name) && (name == "authorization" || carries(header)) {
            // HTTP Basic is client authentication: at a token endpoint it is the case's own business.
            if name == "authorization" && request.form("grant_type").is_some() && !carries(header) {
                continue;
            }
            return Err(format!("a credential in the header {name}, which nobody asked for"));
        }
    }
    Ok(())
}

/// Judges an authorization request (its query), and remembers it.
///
/// # Errors
/// The rule that it breaks, and where that stands.
pub fn authorization_request(query: &[(String, String)], memory: &mut Memory) -> Verdict {
    let mut names = HashSet::new();
    if let Some((name, _)) = query.iter().find(|(name, _)| !names.insert(name)) {
        return Err(format!("parameter {name} came twice (RFC 6749 section 3.1)"));
    }
    let must_be = |name: &str, wanted: &str| match value(query, name) {
        Some(found) if found == wanted => Ok(()),
        found => Err(format!("{name} is {found:?}, not {wanted:?}")),
    };
    must_be("response_type", "code")?;
    must_be("code_challenge_method", "S256")?;
    let challenge = value(query, "code_challenge").unwrap_or_default();
    if challenge.len() != 43 {
        return Err("the code_challenge is no SHA-256 in base64url (RFC 7636 section 4.2)".to_owned());
    }
    memory.challenge = Some(challenge.to_owned());
    for name in ["state", "code_challenge", "nonce"] {
        let Some(random) = value(query, name) else {
            if name == "nonce" {
                continue;
            }
            return Err(format!("no {name}"));
        };
        if random.len() < LEAST_RANDOM {
            return Err(format!("{name} is too short to be unpredictable (RFC 6749 section 10.10)"));
        }
        if !memory.fresh.insert(random.to_owned()) {
            return Err(format!("{name} is not fresh: it was used before"));
        }
    }
    Ok(())
}

/// No message may hold a secret, nor what a server wrote into a body.
///
/// # Errors
/// That it does; not what.
pub fn message(text: &str, memory: &Memory) -> Verdict {
    if text.contains("canary") {
        return Err("a message repeats a body of the server".to_owned());
    }
    match memory.secrets.iter().any(|secret| text.contains(secret)) {
        true => Err("a message holds a secret".to_owned()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(pairs: &[(&str, &str)]) -> Request {
        let (mut parts, ()) = http::Request::post("http://x/token").body(()).unwrap().into_parts();
        parts.headers.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
        let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        Request::new("flyte", &parts, body.as_bytes())
    }

    #[test]
    fn every_rule_can_be_broken() {
        let verifier = "v".repeat(43);
        let code = [("grant_type", "authorization_code"), ("code", "code-1234"), ("code_verifier", verifier.as_str())];
        let mut memory = Memory { challenge: Some(s256(&verifier)), ..Memory::default() };
        assert_eq!(request(&form(&code), &mut memory), Ok(()));
        assert!(request(&form(&code), &mut memory).unwrap_err().contains("twice"));
        assert!(message("about code-1234", &memory).is_err() && message("a canary", &memory).is_err());
        assert_eq!(message("nothing", &memory), Ok(()));
        let mut other = Memory { challenge: Some(s256("another")), ..Memory::default() };
        assert!(request(&form(&code), &mut other).unwrap_err().contains("not the one"));
        assert!(request(&form(&code[..2]), &mut Memory::default()).unwrap_err().contains("7636"));
        assert!(request(&form(&[("a", "1"), ("a", "2")]), &mut memory).unwrap_err().contains("twice"));

        let refresh = form(&[("grant_type", "refresh_token"), ("refresh_token", "r1")]);
        memory.replied(&refresh, Some("r1".to_owned()));
        assert_eq!(request(&refresh, &mut memory), Ok(()));
        memory.replied(&refresh, Some("r2".to_owned()));
        assert!(request(&refresh, &mut memory).unwrap_err().contains("replaced"));

        let mut both = form(&[("client_secret", "secret-123")]);
        both.headers.insert("authorization", "Basic YTpi".parse().unwrap());
        assert!(request(&both, &mut memory).unwrap_err().contains("two ways"));
        let mut bearer = form(&[]);
        bearer.headers.insert("x-token", "Bearer abc".parse().unwrap());
        assert!(no_credentials(&bearer, &Map::new()).is_err());
        let expected = serde_json::json!({"x-token": {"any": true}});
        assert_eq!(no_credentials(&bearer, expected.as_object().unwrap()), Ok(()));
    }

    #[test]
    fn an_authorization_request_is_fresh_and_has_pkce() {
        let query = |state: &str, challenge: &str, method: &str| {
            [
                ("response_type", "code"),
                ("state", state),
                ("code_challenge", challenge),
                ("code_challenge_method", method),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
        };
        let mut memory = Memory::default();
        let (state, challenge) = ("s".repeat(22), "c".repeat(43));
        assert_eq!(authorization_request(&query(&state, &challenge, "S256"), &mut memory), Ok(()));
        let again = authorization_request(&query(&state, &"d".repeat(43), "S256"), &mut memory);
        assert!(again.unwrap_err().contains("not fresh"));
        assert!(authorization_request(&query("short", &"e".repeat(43), "S256"), &mut memory).is_err());
        assert!(authorization_request(&query(&"t".repeat(22), &"f".repeat(43), "plain"), &mut memory).is_err());
        assert!(authorization_request(&query(&"u".repeat(22), "short", "S256"), &mut memory).is_err());
    }
}
