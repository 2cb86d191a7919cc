use std::time::Duration;

use http::header;
use serde_json::{Value, json};

use super::super::signer::Signer;
use super::*;
use crate::clock::fake::FakeClock;
use crate::transport::scripted::{self, ScriptedTransport};
use crate::transport::{FailureKind, HttpTransport};

const ISSUER: &str = "https://idp.example";
const NOW: i64 = 1_795_489_920;

fn bearer(signer: &Signer) -> Bearer {
    let verifier = Verifier::builder(ISSUER).audience("api").jwks(signer.keys());
    Bearer::new(verifier.clock(Arc::new(FakeClock::default())).build().unwrap())
}

fn token(signer: &Signer, change: impl FnOnce(&mut Value)) -> String {
    let mut claims = json!({
        "iss": ISSUER, "aud": "api", "sub": "alice", "iat": NOW, "exp": NOW + 300, "scope": "read write",
    });
    change(&mut claims);
    signer.sign(&claims)
}

async fn refused(bearer: &Bearer, values: &[&str]) -> Box<Refused> {
    let now = bearer.check_values_now(values.iter().copied()).unwrap().unwrap_err();
    let refused = bearer.check_values(values.iter().copied()).await.unwrap_err();
    assert_eq!(now.response.headers(), refused.response.headers());
    refused
}

fn challenge(refused: &Refused) -> &str {
    refused.response.headers()[header::WWW_AUTHENTICATE].to_str().unwrap()
}

#[tokio::test]
async fn one_token_in_any_case_of_the_scheme() {
    let signer = Signer::es256();
    let bearer = bearer(&signer);
    let good = token(&signer, |_| ());
    for value in [format!("Bearer {good}"), format!("bearer {good}"), format!(" BEARER   {good} ")] {
        let found = bearer.check_values([value.as_str()]).await.unwrap();
        assert_eq!(found.subject(), Some("alice"), "{value}");
        assert!(bearer.check_values_now(Some(value.as_str())).unwrap().is_ok());
    }
    let headers = HeaderMap::from_iter([(AUTHORIZATION, format!("Bearer {good}").parse().unwrap())]);
    assert!(bearer.check(&headers).await.is_ok() && bearer.check_now(&headers).unwrap().is_ok());
}

#[tokio::test]
async fn every_refusal_in_the_standard_s_words() {
    let signer = Signer::es256();
    let bearer = bearer(&signer).realm("flyte").unwrap();
    let good = token(&signer, |_| ());
    let (malformed, invalid) = ("invalid_request", "invalid_token");
    let large = format!("Bearer {}", "x".repeat(MAX_TOKEN + 1));
    let of = |change: fn(&mut Value)| format!("Bearer {}", token(&signer, change));
    for (values, status, code) in [
        (&[][..], 401, None),
        (&["Basic YTpi"], 401, None),
        (&["Bearerx abc"], 401, None),
        (&[""], 401, None),
        (&["Bearer"], 400, Some(malformed)),
        (&["Bearer "], 400, Some(malformed)),
        (&["Bearer ="], 400, Some(malformed)),
        (&["Bearer a b"], 400, Some(malformed)),
        (&["Bearer a,b"], 400, Some(malformed)),
        (&["Bearer a, Bearer b"], 400, Some(malformed)),
        (&["Bearer a=b"], 400, Some(malformed)),
        (&["Bearer \"a\""], 400, Some(malformed)),
        (&["Bearer \u{e9}"], 400, Some(malformed)),
        (&[&format!("Bearer {good}"), &format!("Bearer {good}")], 400, Some(malformed)),
        (&["Basic YTpi", "Bearer a"], 400, Some(malformed)),
        (&[&large], 400, Some(malformed)),
        (&["Bearer abc"], 401, Some(invalid)),
        (&["Bearer a.b.c"], 401, Some(invalid)),
        (&[&format!("Bearer {good}x")], 401, Some(invalid)),
        (&[&of(|claims| claims["aud"] = "evil".into())], 401, Some(invalid)),
        (&[&of(|claims| claims["exp"] = 1.into())], 401, Some(invalid)),
        (&[&of(|claims| claims["iss"] = "https://evil.example".into())], 401, Some(invalid)),
    ] {
        let refused = refused(&bearer, values).await;
        assert_eq!(refused.response.status().as_u16(), status, "{values:.40?}");
        let challenge = challenge(&refused);
        let expected = code.map_or("Bearer realm=\"flyte\"".to_owned(), |code| {
            format!("Bearer realm=\"flyte\", error=\"{code}\", error_description=\"")
        });
        assert!(challenge.starts_with(&expected), "{challenge}");
        assert_eq!(challenge == expected, code.is_none());
        assert_eq!(refused.problem.is_none(), code.is_none());
        let body: Value = serde_json::from_str(refused.response.body()).unwrap();
        assert_eq!(body["error"], code.unwrap_or("unauthenticated"));
        assert_eq!(refused.response.headers()[header::CACHE_CONTROL], "no-store");
        let shown = format!("{refused:?} {challenge} {body} {}", refused.response.body());
        assert!(!shown.contains("evil") && !shown.contains("alice") && !shown.contains(&good[..20]), "{shown}");
    }
}

#[tokio::test]
async fn scopes_are_named_to_who_lacks_them() {
    let signer = Signer::es256();
    let bearer = bearer(&signer).required_scope("read").unwrap().required_scope("admin").unwrap();
    let value = format!("Bearer {}", token(&signer, |_| ()));
    let refused = refused(&bearer, &[&value]).await;
    assert_eq!(refused.response.status(), 403);
    assert!(challenge(&refused).starts_with("Bearer error=\"insufficient_scope\", "), "{}", challenge(&refused));
    assert!(challenge(&refused).ends_with(", scope=\"read admin\""), "{}", challenge(&refused));
    let granted = format!("Bearer {}", token(&signer, |claims| claims["scope"] = "admin read".into()));
    assert!(bearer.check_values([granted.as_str()]).await.is_ok());
    // The verifier's own.
    let verifier = Verifier::builder(ISSUER).audience("api").jwks(signer.keys()).required_scope("admin");
    let bearer = Bearer::new(verifier.clock(Arc::new(FakeClock::default())).build().unwrap());
    assert_eq!(bearer.check_values([value.as_str()]).await.unwrap_err().response.status(), 403);
}

#[tokio::test]
async fn an_issuer_that_is_away_says_nothing_of_a_token() {
    let signer = Signer::es256();
    for answer in [scripted::failure(FailureKind::Connect), scripted::json(429, "{}")] {
        let transport = ScriptedTransport::new(vec![("/jwks", answer)]);
        let verifier = Verifier::builder(ISSUER)
            .audience("api")
            .jwks_uri("https://idp.example/jwks")
            .transport(Arc::new(transport) as Arc<dyn HttpTransport>)
            .clock(Arc::new(FakeClock::default()));
        let bearer = Bearer::new(verifier.build().unwrap());
        let value = format!("Bearer {}", token(&signer, |_| ()));
        assert!(bearer.check_values_now([value.as_str()]).is_none(), "it has to be asked");
        let refused = bearer.check_values([value.as_str()]).await.unwrap_err();
        assert_eq!(refused.response.status(), 503);
        assert_eq!(refused.response.headers()[header::RETRY_AFTER], "5");
        assert!(!refused.response.headers().contains_key(header::WWW_AUTHENTICATE));
    }
}

#[test]
fn what_is_no_word_about_the_token() {
    let bearer = bearer(&Signer::es256());
    for (error, status, wait) in [
        (Error::new(ErrorKind::Server, "x", "x").with_retry_after(Some(Duration::from_secs(120))), 503, Some("120")),
        (Error::new(ErrorKind::Network, "x", "x").with_retry_after(Some(Duration::ZERO)), 503, Some("1")),
        (Error::config("x", "x", "canary"), 500, None),
        (Error::internal("canary"), 500, None),
    ] {
        let refused = bearer.judged(Err(error)).unwrap_err();
        assert_eq!(refused.response.status(), status);
        let found = refused.response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().unwrap());
        assert_eq!(found, wait);
        assert!(!refused.response.body().contains("canary"));
    }
}

#[tokio::test]
async fn parameters_are_quoted() {
    let signer = Signer::es256();
    let bearer = bearer(&signer).realm("a \"b\" \\ c").unwrap();
    let bearer = bearer.resource_metadata("https://api.example/.well-known/oauth-protected-resource").unwrap();
    let refused = refused(&bearer, &[]).await;
    let expected = "Bearer realm=\"a \\\"b\\\" \\\\ c\", \
                    resource_metadata=\"https://api.example/.well-known/oauth-protected-resource\"";
    assert_eq!(challenge(&refused), expected);
    assert_eq!(described("a \"b\" \\ \u{e9}\n"), "a 'b' ' ''");
    for (outcome, code) in [
        (bearer.clone().realm("a\r\nb").map(drop), "realm_invalid"),
        (bearer.clone().realm("").map(drop), "realm_invalid"),
        (bearer.clone().required_scope("a b").map(drop), "scope_invalid"),
        (bearer.clone().required_scope("a\"").map(drop), "scope_invalid"),
        (bearer.clone().resource_metadata("javascript:x").map(drop), "resource_metadata_invalid"),
    ] {
        assert_eq!(outcome.unwrap_err().code(), code);
    }
}

#[test]
fn nothing_of_a_header_panics() {
    let signer = Signer::es256();
    let bearer = bearer(&signer);
    let mut state = 0x2545_f491_u32;
    for _ in 0..20_000 {
        let mut text = String::from(["Bearer ", "bearer", "", "Bearer  "][(state % 4) as usize]);
        for _ in 0..state % 24 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            text.push(char::from_u32(state >> 24).unwrap_or('x'));
        }
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        assert!(bearer.check_values_now([text.as_str()]).unwrap().is_err());
    }
}
