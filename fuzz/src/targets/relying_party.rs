//! `core::relying_party` and `core::verify::bearer`: requests of browsers and of API clients, as text.

use std::sync::Arc;

use flyte_auth::relying_party::{Guard, RelyingParty, Request};
use flyte_auth::verify::bearer::Bearer;
use flyte_auth::verify::{KeySet, Verifier};
use http::{Method, StatusCode, header};
use serde_json::json;
use url::Url;

use crate::support::message::Message;
use crate::support::shown::assert_hidden;
use crate::support::transport::Foreign;
use crate::support::{NoEntropy, StoppedClock, done};

const BASE: &str = "https://console.example/app";
const PROVIDER: &str = "https://idp.example";
/// Stands in the seeds where markup would be dangerous.
const MARKUP: &str = "\"fuzz=<fuzz>";

fn relying_party() -> (RelyingParty, Arc<Foreign>) {
    let metadata = json!({
        "issuer": PROVIDER,
        "authorization_endpoint": "https://idp.example/authorize",
        "token_endpoint": "https://idp.example/token",
        "jwks_uri": "https://idp.example/keys",
        "end_session_endpoint": "https://idp.example/end",
        "code_challenge_methods_supported": ["S256"],
    });
    let reply = format!("200\ncontent-type: application/json\n\n{metadata}");
    let provider = Arc::new(Foreign::new(reply.as_bytes()));
    let transport: Arc<Foreign> = Arc::clone(&provider);
    let made = RelyingParty::builder(PROVIDER, "console", BASE)
        .cookie_key("a cookie key of the fuzz targets".to_owned())
        .return_origin("https://docs.example")
        .transport(transport)
        .clock(Arc::new(StoppedClock))
        .entropy(Arc::new(NoEntropy))
        .build()
        .expect("its settings are good");
    (made, provider)
}

pub(super) fn console_request(data: &[u8]) {
    let message = Message::parse(data);
    let mut words = message.first.splitn(2, |byte| *byte == b' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return };
    let (Ok(method), Ok(target)) = (Method::from_bytes(method), std::str::from_utf8(target)) else { return };
    let mut request = Request::new(method, target, message.headers);
    request.body = Some(message.body.into());
    for guard in [Guard::Look, Guard::Login] {
        let (party, provider) = relying_party();
        let at_once = party.handle_now(&request, guard);
        let handled = done(party.handle(&request, guard));
        // Nobody has a key to make a session with.
        assert!(handled.signed_in.is_none(), "somebody is signed in");
        if let (Some(one), Some(other)) = (at_once.and_then(|handled| handled.response), &handled.response) {
            assert_eq!(one.status(), other.status(), "at once and awaited");
        }
        for (uri, _) in provider.calls() {
            assert!(uri.path().contains("/.well-known/"), "{uri}: nobody has signed in");
        }
        let Some(response) = handled.response else {
            assert!(guard == Guard::Look, "a stranger passed");
            continue;
        };
        let (parts, body) = response.into_parts();
        assert_hidden(MARKUP, &body);
        assert!(parts.status != StatusCode::INTERNAL_SERVER_ERROR, "{body}");
        if let Some(location) = parts.headers.get(header::LOCATION) {
            let location = location.to_str().expect("text");
            let to = Url::parse(BASE).and_then(|base| base.join(location)).expect("an address");
            let known = ["https://console.example", "https://docs.example", PROVIDER];
            assert!(known.contains(&to.origin().ascii_serialization().as_str()), "{location}");
            assert!(!location.starts_with("//"), "{location}");
        }
        for cookie in parts.headers.get_all(header::SET_COOKIE).iter().chain(&handled.set_cookies) {
            let cookie = cookie.to_str().expect("text");
            assert!(cookie.contains("HttpOnly") && cookie.contains("Secure"), "{cookie}");
        }
    }
}

pub(super) fn bearer_header(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let keys = KeySet::parse(br#"{"keys":[]}"#).expect("a key set");
    let verifier = Verifier::builder(PROVIDER).audience("us").jwks(keys).build().expect("its settings are good");
    let bearer = Bearer::new(verifier).realm("flyte \"1\"").and_then(|bearer| bearer.required_scope("all"));
    let bearer = bearer.expect("its settings are good");
    let values: Vec<&str> = text.split('\n').collect();
    let refused = match bearer.check_values_now(values.iter().copied()) {
        Some(Ok(_)) => panic!("a token passed without a key"),
        Some(Err(refused)) => refused,
        None => return,
    };
    let (parts, body) = refused.response.into_parts();
    assert!([400, 401].contains(&parts.status.as_u16()), "{}", parts.status);
    let challenge = parts.headers.get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
    let challenge = challenge.expect("a challenge");
    assert!(challenge.starts_with("Bearer realm=\"flyte \\\"1\\\"\""), "{challenge}");
    for value in values {
        let token = value.split(' ').next_back().unwrap_or_default();
        if token.len() >= 12 {
            assert_hidden(token, challenge);
            assert_hidden(token, &body);
        }
    }
}
