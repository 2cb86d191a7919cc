//! `core::config`: files, API keys, endpoints.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flyte_auth::config::ApiKey;
use flyte_auth::config::endpoint::Endpoint;
use flyte_auth::testing::parsers::{self, ConfigFile};
use url::Url;

use crate::support::shown::{assert_hidden, assert_not_repeated, assert_one_line, both};

/// Stands in the seeds wherever a value may be a secret.
const CANARY: &str = "canary-of-a-value-that-may-be-secret";

pub(super) fn config_yaml(data: &[u8]) {
    let Some(file) = config_file("config.yaml", data) else { return };
    // A JSON text is YAML too: every value, written plainly, is read as it was.
    for value in file.values.iter().filter(|value| value.key == "endpoint" && value.profile.is_empty()) {
        let text = serde_json::json!({ "admin": { "endpoint": value.texts[0] } }).to_string();
        let again = parsers::config_file(Path::new("config.yaml"), &text).expect("a plain file");
        assert!(again.values.iter().any(|other| other == value), "{text}");
    }
}

pub(super) fn config_ini(data: &[u8]) {
    let Some(file) = config_file("config", data) else { return };
    assert!(file.values.iter().all(|value| value.profile.is_empty()));
}

fn config_file(path: &str, data: &[u8]) -> Option<ConfigFile> {
    let text = std::str::from_utf8(data).ok().filter(|text| !text.contains('\0'))?;
    let read = parsers::config_file(Path::new(path), text);
    let shown: Vec<String> = match &read {
        Ok(file) => {
            file.warnings.iter().for_each(|warning| assert_one_line(warning));
            file.warnings.clone()
        }
        Err(error) => vec![both(error)],
    };
    if canary_is_a_value(text) {
        shown.iter().for_each(|shown| assert_hidden(CANARY, shown));
    }
    let file = read.ok()?;
    // No expansion without measure: aliases repeat what the file has, a thousand times at most.
    let texts: usize = file.values.iter().flat_map(|value| &value.texts).map(String::len).sum();
    assert!(texts <= 1000 * (data.len() + 1), "{texts} bytes of values from {}", data.len());
    let again = parsers::config_file(Path::new(path), text).expect("as before");
    assert_eq!(again, file, "two readings of one file");
    assert!(file.is_flyte || file.values.is_empty());
    Some(file)
}

/// Whether the canary stands only where a value does: behind `: `, `= ` or `- `, to the end of its line. Key names are
/// shown in messages, and a mutation may make one of it.
fn canary_is_a_value(text: &str) -> bool {
    text.lines().filter(|line| line.contains(CANARY)).all(|line| {
        let before = line.trim_end().strip_suffix(CANARY).filter(|before| !before.contains(CANARY));
        before.is_some_and(|before| [": ", "= ", "- "].iter().any(|mark| before.ends_with(mark)))
    })
}

pub(super) fn api_key(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let encoded = BASE64_STANDARD.encode(text);
    for raw in [text, &encoded] {
        match ApiKey::parse(raw, "$FLYTE_API_KEY") {
            Ok(key) => {
                let secret = key.client_secret.expose(); // EXPOSE: put together again.
                assert!(!key.client_id.is_empty() && !secret.is_empty() && !key.client_id.contains(':'));
                let shown = format!("{key:?}");
                if ![&key.client_id, &key.endpoint.base_url()].iter().any(|public| public.contains(secret))
                    && !key.org.as_deref().unwrap_or_default().contains(secret)
                {
                    assert_hidden(secret, &shown);
                }
                if key.endpoint.path().is_empty() {
                    let org = key.org.as_deref().unwrap_or("None");
                    // The port always: without one a client id of digits would be taken for it.
                    let text = format!("{}:{}:{secret}:{org}", key.endpoint.key(), key.client_id);
                    let again = ApiKey::parse(&BASE64_STANDARD.encode(text), "$FLYTE_API_KEY");
                    assert_eq!(again.expect("its own parts"), key);
                }
            }
            Err(error) => assert_not_repeated(raw.as_bytes(), &both(&error), &["FLYTE_API_KEY"]),
        }
    }
}

pub(super) fn endpoint(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for insecure in [false, true] {
        match Endpoint::parse(text, insecure, "--endpoint") {
            Ok(endpoint) => assert_same_endpoint(&endpoint),
            Err(error) => {
                let shown = both(&error);
                // What stands before an @ may be a password.
                if let Some((before, after)) = text.rsplit_once('@') {
                    let public: Vec<&str> = [after].into_iter().chain(PHRASES.iter().copied()).collect();
                    assert_not_repeated(before.as_bytes(), &shown, &public);
                }
            }
        }
    }
}

/// Words of ours.
const PHRASES: &[&str] = &["--endpoint", "Use dns:///HOST, dns:///HOST:PORT or https://HOST"];

fn assert_same_endpoint(endpoint: &Endpoint) {
    let base = endpoint.base_url();
    for spelling in [&base, &endpoint.key()] {
        if spelling == &base || endpoint.path().is_empty() {
            for insecure in [false, true] {
                assert_eq!(&Endpoint::parse(spelling, insecure, "again").expect("its own spelling"), endpoint);
            }
        }
    }
    if endpoint.path().is_empty() {
        let again = Endpoint::parse(&endpoint.dns_form(), !endpoint.tls(), "again").expect("its own dns form");
        assert_eq!(&again, endpoint);
    }
    let url = Url::parse(&base).expect("a URL");
    assert_eq!(host_of(url.host_str()), host_of(Some(endpoint.host())), "another host");
    assert_eq!(url.port_or_known_default(), Some(endpoint.port()));
    assert!(url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none());
    let uri: http::Uri = base.parse().expect("HTTP's own address");
    assert_eq!(host_of(uri.host()), host_of(Some(endpoint.host())), "another host for HTTP");
    assert_eq!(endpoint.is_loopback(), is_loopback(endpoint.host()));
}

/// An address in one spelling, or the name.
fn host_of(text: Option<&str>) -> String {
    let text = text.unwrap_or_default().trim_matches(['[', ']']);
    text.parse::<std::net::IpAddr>().map_or_else(|_| text.to_owned(), |address| format!("{address:?}"))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}
