//! Flyte 2 API keys: base64 of `endpoint:client_id:client_secret:org` (flyte-sdk `_auth_utils.py`).
//!
//! flyte-sdk splits at colons from the left, so an endpoint with a port or scheme shifts every field and a secret with
//! a colon is cut. Here the endpoint is taken by its grammar from the left (scheme, host, optional port), then the
//! client id, the org from the right; the secret is all between.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::config::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::protocol::secret::ClientSecret;

/// What an API key carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The endpoint the secret belongs to.
    pub endpoint: Endpoint,
    /// OAuth client id.
    pub client_id: String,
    /// OAuth client secret.
    pub client_secret: ClientSecret,
    /// The organisation; `None` for the empty text and for Python's "None".
    pub org: Option<String>,
}

impl ApiKey {
    /// Decodes a key. `setting` is the variable or flag that it came from. An endpoint without a scheme gets TLS.
    ///
    /// # Errors
    /// Kind `Config`, code `api_key_invalid`; never shows anything of the key.
    pub fn parse(raw: &str, setting: &str) -> Result<Self> {
        let invalid = |what: &str| {
            Error::config("api_key_invalid", setting, format!("{setting}: the API key {what}"))
                .with_next("Copy the whole key again, or create a new one")
        };
        let bytes = decode(raw.trim()).ok_or_else(|| invalid("is not base64"))?;
        let text = String::from_utf8(bytes).map_err(|_| invalid("does not decode to text"))?;
        let text = text.trim_end_matches(['\r', '\n']);
        let (endpoint, rest) = split_endpoint(text).ok_or_else(|| invalid("does not begin with an endpoint"))?;
        let missing = || invalid("does not hold endpoint, client id, secret and org");
        let (client_id, rest) = rest.split_once(':').ok_or_else(missing)?;
        let (secret, org) = rest.rsplit_once(':').ok_or_else(missing)?;
        // The parser's message would repeat a part of the key.
        let endpoint =
            Endpoint::parse(endpoint, false, setting).map_err(|_| invalid("begins with an unusable endpoint"))?;
        if client_id.is_empty() {
            return Err(invalid("has no client id"));
        }
        if secret.is_empty() {
            return Err(invalid("has no secret"));
        }
        Ok(Self {
            endpoint,
            client_id: client_id.to_owned(),
            client_secret: ClientSecret::new(secret),
            org: (!matches!(org, "" | "None")).then(|| org.to_owned()),
        })
    }
}

/// Standard or URL alphabet, padded or not.
fn decode(raw: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let alphabet = if raw.contains(['-', '_']) { &alphabet::URL_SAFE } else { &alphabet::STANDARD };
    GeneralPurpose::new(alphabet, config).decode(raw).ok().filter(|bytes| !bytes.is_empty())
}

/// The endpoint, and what follows the colon behind it.
fn split_endpoint(text: &str) -> Option<(&str, &str)> {
    let scheme_end = ["dns:///", "https://", "http://"]
        .iter()
        .find(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
        .map_or(0, |scheme| scheme.len());
    let after_scheme = &text[scheme_end..];
    let host_end = if after_scheme.starts_with('[') { after_scheme.find(']')? + 1 } else { after_scheme.find(':')? };
    let host_end = scheme_end + host_end;
    let rest = text[host_end..].strip_prefix(':')?;
    if host_end == scheme_end {
        return None;
    }
    // A port is digits between two colons with two further fields behind it; a client id of digits in a key without a
    // port leaves only two fields (secret and org) behind it, and would else lose its secret's first part.
    if let Some((port, behind)) = rest.split_once(':')
        && port.parse::<u16>().is_ok_and(|port| port > 0)
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && behind.matches(':').count() >= 2
    {
        return Some((&text[..host_end + 1 + port.len()], behind));
    }
    Some((&text[..host_end], rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};

    #[test]
    fn grammar() {
        let cases = [
            ("h.example:cid:sec:org", "https://h.example", "cid", "sec", Some("org")),
            ("h.example:443:cid:sec:org", "https://h.example", "cid", "sec", Some("org")),
            ("dns:///h.example:cid:sec:None", "https://h.example", "cid", "sec", None),
            ("dns:///h.example:8443:cid:sec:", "https://h.example:8443", "cid", "sec", None),
            ("https://h.example:cid:s:e:c:org", "https://h.example", "cid", "s:e:c", Some("org")),
            ("http://localhost:8080:cid:s:e::org", "http://localhost:8080", "cid", "s:e:", Some("org")),
            ("[::1]:8080:cid:sec:None", "https://[::1]:8080", "cid", "sec", None),
            ("[::1]:cid:sec:None", "https://[::1]", "cid", "sec", None),
            // A client id of digits, no port.
            ("h.example:123:sec:org", "https://h.example", "123", "sec", Some("org")),
            ("h.example:99999:a:b:org", "https://h.example", "99999", "a:b", Some("org")),
            ("h.example:cid:sec:org\n", "https://h.example", "cid", "sec", Some("org")),
        ];
        for (text, endpoint, client_id, secret, org) in cases {
            for encoded in [
                BASE64_STANDARD.encode(text),
                BASE64_STANDARD_NO_PAD.encode(text),
                BASE64_URL_SAFE.encode(text),
                format!(" {}\n", BASE64_URL_SAFE_NO_PAD.encode(text)),
            ] {
                let key = ApiKey::parse(&encoded, "$FLYTE_API_KEY").unwrap_or_else(|error| panic!("{text}: {error}"));
                assert_eq!(key.endpoint.base_url(), endpoint, "{text}");
                assert_eq!(key.client_id, client_id, "{text}");
                // EXPOSE: a test's secret.
                assert_eq!(key.client_secret.expose(), secret, "{text}");
                assert_eq!(key.org.as_deref(), org, "{text}");
            }
        }
    }

    #[test]
    fn bad_keys_are_refused_without_showing_them() {
        for text in [
            "",
            "canary",
            "canary:",
            "h:canary",
            "h:canary:",
            "h:cid:canary",
            "h::canary:o",
            "h:cid::canary",
            ":cid:canary:o",
            "ht tp:cid:canary:org",
            "dns:///:cid:canary:org",
            "[::1:cid:canary:org",
            "h@canary:c:s:o",
        ] {
            let encoded = BASE64_STANDARD.encode(text);
            let error = ApiKey::parse(&encoded, "$FLYTE_API_KEY").expect_err(text);
            assert_eq!((error.code(), error.setting()), ("api_key_invalid", Some("$FLYTE_API_KEY")), "{text}");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("canary"), "{shown}");
            assert!(encoded.is_empty() || !shown.contains(&encoded), "{shown}");
        }
        for raw in ["***", "aGk", "not base64 at all", "\u{1F600}"] {
            assert_eq!(ApiKey::parse(raw, "$X").expect_err(raw).code(), "api_key_invalid");
        }
        let binary = BASE64_STANDARD.encode([0xff, 0xfe, b':', 0x80]);
        assert!(ApiKey::parse(&binary, "$X").is_err());
    }
}
