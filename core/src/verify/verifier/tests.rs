use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::super::KeySet;
use super::super::signer::{Signer, key_set};
use super::*;
use crate::clock::fake::FakeClock;
use crate::protocol::secret::ClientSecret;
use crate::transport::{Call, Failure, FailureKind, Purpose, Reply, scripted};

const ISSUER: &str = "https://idp.example";

/// An issuer with keys that can be changed, and a count of what it was asked.
#[derive(Debug, Default)]
struct Issuer {
    keys: Mutex<Vec<Value>>,
    down: std::sync::atomic::AtomicBool,
    key_fetches: AtomicUsize,
    asked: Mutex<Vec<String>>,
}

impl Issuer {
    fn with(keys: &[&Signer]) -> Arc<Self> {
        let issuer = Self::default();
        issuer.publish(keys);
        Arc::new(issuer)
    }
    fn publish(&self, keys: &[&Signer]) {
        *self.keys.lock().unwrap() = keys.iter().map(|signer| signer.jwk.clone()).collect();
    }
    fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }
    fn fetches(&self) -> usize {
        self.key_fetches.load(Ordering::SeqCst)
    }
}

impl HttpTransport for Issuer {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Reply, Failure>> {
        let url = call.request.uri().to_string();
        self.asked.lock().unwrap().push(url.clone());
        async move {
            tokio::task::yield_now().await;
            if call.purpose == Purpose::Jwks {
                self.key_fetches.fetch_add(1, Ordering::SeqCst);
            }
            if self.down.load(Ordering::SeqCst) {
                return scripted::failure(FailureKind::Connect);
            }
            match call.purpose {
                Purpose::Discovery => scripted::json(
                    200,
                    &json!({
                        "issuer": ISSUER, "jwks_uri": "https://keys.example/jwks",
                        "introspection_endpoint": "https://idp.example/introspect",
                    })
                    .to_string(),
                ),
                Purpose::Jwks => scripted::json(200, &json!({ "keys": *self.keys.lock().unwrap() }).to_string()),
                Purpose::Introspection => {
                    let form = String::from_utf8(call.request.body().to_vec()).unwrap();
                    let active = form.starts_with("token=opaque-good&");
                    let reply = json!({"active": active, "aud": "api", "token_type": "Bearer", "sub": "alice"});
                    scripted::json(200, &reply.to_string())
                }
                _ => panic!("unexpected {url}"),
            }
        }
        .boxed()
    }
}

fn builder(issuer: &Arc<Issuer>, clock: &Arc<FakeClock>) -> VerifierBuilder {
    Verifier::builder(ISSUER).audience("api").transport(Arc::clone(issuer) as _).clock(Arc::clone(clock) as _)
}

fn token(signer: &Signer, clock: &FakeClock, changes: &Value) -> AccessToken {
    let now = clock.now().as_secs();
    let mut claims = json!({"iss": ISSUER, "aud": "api", "sub": "alice", "iat": now, "exp": now + 600, "scope": "all"});
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    AccessToken::new(signer.sign(&claims))
}

fn code<T: fmt::Debug>(outcome: Result<T>) -> String {
    outcome.unwrap_err().code().to_owned()
}

#[tokio::test]
async fn keys_are_found_through_the_metadata_and_fetched_once() {
    let (signer, clock) = (Signer::es256(), Arc::new(FakeClock::default()));
    let issuer = Issuer::with(&[&signer]);
    let verifier = builder(&issuer, &clock).build().unwrap();
    let good = token(&signer, &clock, &json!({}));
    assert!(verifier.verify_now(&good).is_none(), "the network has to be asked first");
    let verified = verifier.verify(&good).await.unwrap();
    assert_eq!((verified.subject(), verified.scopes()), (Some("alice"), &["all".to_owned()][..]));
    assert!(verifier.verify_now(&good).unwrap().is_ok());
    let many = (0..50).map(|number| {
        let (verifier, token) = (verifier.clone(), token(&signer, &clock, &json!({ "jti": number.to_string() })));
        tokio::spawn(async move { verifier.verify(&token).await.unwrap() })
    });
    for one in many.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    assert_eq!(issuer.fetches(), 1);
    let asked = issuer.asked.lock().unwrap().clone();
    assert_eq!(asked, ["https://idp.example/.well-known/openid-configuration", "https://keys.example/jwks"]);
}

#[tokio::test]
async fn garbage_asks_nobody() {
    let (signer, clock) = (Signer::es256(), Arc::new(FakeClock::default()));
    let issuer = Issuer::with(&[&signer]);
    let verifier = builder(&issuer, &clock).build().unwrap();
    let huge = "x".repeat(jws::MAX_TOKEN + 1);
    for (text, expected) in [("", "token_malformed"), ("a.b.c", "token_malformed"), (&huge, "token_too_large")] {
        assert_eq!(code(verifier.verify(&AccessToken::new(text)).await), expected);
    }
    let only_eddsa = builder(&issuer, &clock).algorithms([Algorithm::EdDSA]).build().unwrap();
    assert_eq!(code(only_eddsa.verify(&token(&signer, &clock, &json!({}))).await), "token_algorithm");
    assert!(issuer.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_rotated_key_is_found_and_a_flood_of_unknown_keys_is_one_fetch_a_minute() {
    let (old, new, clock) = (Signer::named("old"), Signer::named("new"), Arc::new(FakeClock::default()));
    let issuer = Issuer::with(&[&old]);
    let verifier = builder(&issuer, &clock).build().unwrap();
    let first = token(&old, &clock, &json!({}));
    verifier.verify(&first).await.unwrap();
    issuer.publish(&[&new]);
    let rotated = token(&new, &clock, &json!({}));
    assert_eq!(code(verifier.verify(&rotated).await), "token_key_unknown");
    clock.advance(Duration::from_secs(60));
    verifier.verify(&rotated).await.unwrap();
    assert_eq!(issuer.fetches(), 2);
    assert_eq!(code(verifier.verify(&first).await), "token_key_unknown", "a remembered token went with its key");
    for number in 0..500 {
        let stranger = Signer::named(&format!("made-up-{number}"));
        assert_eq!(code(verifier.verify(&token(&stranger, &clock, &json!({}))).await), "token_key_unknown");
    }
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn a_remembered_token_expires_and_follows_the_clock() {
    let (signer, clock) = (Signer::es256(), Arc::new(FakeClock::default()));
    let issuer = Issuer::with(&[&signer]);
    let verifier = builder(&issuer, &clock).clock_skew(Duration::ZERO).build().unwrap();
    let start = clock.now();
    let good = token(&signer, &clock, &json!({}));
    verifier.verify(&good).await.unwrap();
    clock.advance(Duration::from_secs(599));
    verifier.verify(&good).await.unwrap();
    clock.advance(Duration::from_secs(1));
    assert_eq!(code(verifier.verify(&good).await), "token_expired");
    clock.set(start);
    verifier.verify(&good).await.unwrap();
    clock.set(start.minus(Duration::from_secs(1)));
    assert_eq!(code(verifier.verify(&good).await), "token_issued_in_future");
}

#[tokio::test]
async fn an_outage_says_nothing_of_the_token() {
    let (signer, clock) = (Signer::es256(), Arc::new(FakeClock::default()));
    let issuer = Issuer::with(&[&signer]);
    issuer.set_down(true);
    let verifier = builder(&issuer, &clock).build().unwrap();
    let good = token(&signer, &clock, &json!({}));
    let error = verifier.verify(&good).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Network, true));
    issuer.set_down(false);
    clock.advance(Duration::from_secs(1));
    verifier.verify(&good).await.unwrap();
    issuer.set_down(true);
    clock.advance(Duration::from_secs(500));
    verifier.verify(&token(&signer, &clock, &json!({}))).await.unwrap();
}

#[tokio::test]
async fn opaque_tokens_are_asked_about_where_that_was_allowed() {
    let (signer, clock) = (Signer::es256(), Arc::new(FakeClock::default()));
    let issuer = Issuer::with(&[&signer]);
    let without = builder(&issuer, &clock).build().unwrap();
    assert_eq!(code(without.verify(&AccessToken::new("opaque-good")).await), "token_malformed");
    assert!(issuer.asked.lock().unwrap().is_empty(), "nothing was sent anywhere");
    let introspection = Introspection::new("svc", ClientSecret::new("secret"));
    let verifier = builder(&issuer, &clock).introspection(introspection).build().unwrap();
    let good = AccessToken::new("opaque-good");
    assert_eq!(verifier.verify(&good).await.unwrap().subject(), Some("alice"));
    assert!(verifier.verify_now(&good).unwrap().is_ok(), "believed for a while");
    assert_eq!(code(verifier.verify(&AccessToken::new("opaque-bad")).await), "token_inactive");
    let before = issuer.asked.lock().unwrap().len();
    clock.advance(Duration::from_secs(30));
    verifier.verify(&good).await.unwrap();
    assert_eq!(issuer.asked.lock().unwrap().len(), before + 1, "and then asked about again");
    assert_eq!(issuer.fetches(), 0);
    // A JWT is still verified here.
    verifier.verify(&token(&signer, &clock, &json!({}))).await.unwrap();
    assert_eq!(issuer.fetches(), 1);
    assert_eq!(code(verifier.verify(&AccessToken::new("white space")).await), "token_malformed");
}

#[tokio::test]
async fn scopes_and_bound_tokens() {
    let (signer, clock) = (Signer::es256(), Arc::new(FakeClock::default()));
    let issuer = Issuer::with(&[&signer]);
    let verifier = builder(&issuer, &clock).required_scope("all").build().unwrap();
    verifier.verify(&token(&signer, &clock, &json!({}))).await.unwrap();
    let little = verifier.verify(&token(&signer, &clock, &json!({"scope": "offline"}))).await;
    assert_eq!(code(little), "insufficient_scope");
    let bound = verifier.verify(&token(&signer, &clock, &json!({"cnf": {"jkt": "x"}}))).await;
    assert_eq!(code(bound), "token_type");
}

#[tokio::test]
async fn id_tokens_and_logout_tokens() {
    let (signer, clock) = (Signer::es256(), Arc::new(FakeClock::default()));
    let issuer = Issuer::with(&[&signer]);
    let verifier = builder(&issuer, &clock).build().unwrap();
    let now = clock.now().as_secs();
    let id = json!({"iss": ISSUER, "aud": "app", "sub": "alice", "iat": now, "exp": now + 60, "nonce": "n"});
    let id_token = IdToken::new(signer.sign(&id));
    let claims = verifier.verify_id_token(&id_token, "app", Some("n"), None).await.unwrap();
    assert_eq!(claims.subject, "alice");
    let wrong = verifier.verify_id_token(&id_token, "app", Some("m"), None).await;
    assert_eq!(code(wrong), "id_token_invalid");
    assert_eq!(code(verifier.verify(&AccessToken::new(id_token.expose())).await), "token_type");

    let logout = json!({
        "iss": ISSUER, "aud": "app", "sub": "alice", "sid": "s", "jti": "1", "iat": now, "exp": now + 120,
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    });
    let text = signer.sign_as("logout+jwt", &logout);
    let found = verifier.verify_logout_token(&text, "app").await.unwrap();
    assert_eq!(
        (found.subject.as_deref(), found.session_id.as_deref(), &*found.token_id),
        (Some("alice"), Some("s"), "1")
    );
    assert_eq!(code(verifier.verify(&AccessToken::new(text.as_str())).await), "token_type");
    assert_eq!(code(verifier.verify_id_token(&IdToken::new(text), "app", None, None).await), "id_token_invalid");
    for (name, value, expected) in [
        ("events", json!(null), "token_type"),
        ("events", json!({"http://schemas.openid.net/event/backchannel-logout": null}), "token_type"),
        ("events", json!({"other": {}}), "token_type"),
        ("nonce", json!("n"), "token_type"),
        ("iss", json!("https://evil.example"), "token_issuer"),
        ("aud", json!("other"), "token_audience"),
        ("jti", json!(""), "token_claims"),
        ("iat", json!(now + 61), "token_issued_in_future"),
        ("exp", json!(now - 60), "token_expired"),
    ] {
        let mut bad = logout.clone();
        bad[name] = value.clone();
        let outcome = verifier.verify_logout_token(&signer.sign_as("logout+jwt", &bad), "app").await;
        assert_eq!(code(outcome), expected, "{name} {value}");
    }
    let mut nobody = logout.clone();
    nobody.as_object_mut().unwrap().retain(|name, _| name != "sub" && name != "sid");
    assert_eq!(code(verifier.verify_logout_token(&signer.sign_as("logout+jwt", &nobody), "app").await), "token_claims");
    let other_type = verifier.verify_logout_token(&signer.sign_as("at+jwt", &logout), "app").await;
    assert_eq!(code(other_type), "token_type");
}

#[tokio::test]
async fn given_keys_ask_nobody() {
    let (signer, clock) = (Signer::es256(), Arc::new(FakeClock::default()));
    let issuer = Issuer::with(&[]);
    let verifier = builder(&issuer, &clock).jwks(signer.keys()).build().unwrap();
    assert!(verifier.verify_now(&token(&signer, &clock, &json!({}))).unwrap().is_ok());
    let stranger = token(&Signer::named("k2"), &clock, &json!({}));
    assert_eq!(code(verifier.verify_now(&stranger).unwrap()), "token_key_unknown");
    let nothing = builder(&issuer, &clock).jwks(key_set(&[])).build().unwrap();
    assert_eq!(code(nothing.verify(&stranger).await), "token_key_unknown");
    assert!(issuer.asked.lock().unwrap().is_empty());
}

#[test]
fn what_a_verifier_must_be_told() {
    let start = || Verifier::builder(ISSUER).jwks(KeySet::default());
    let built = |builder: VerifierBuilder| builder.build().map_err(|error| error.code().to_owned());
    assert!(built(start().audience("api")).is_ok());
    assert!(built(start().any_audience()).is_ok());
    assert!(built(Verifier::builder("http://idp.example").audience("api").plaintext(true)).is_ok());
    assert!(built(Verifier::builder("http://127.0.0.1:9").audience("api")).is_ok());
    for (builder, expected) in [
        (start(), "audience_missing"),
        (start().audience(""), "audience_missing"),
        (start().audience("api").any_audience(), "audience_ambiguous"),
        (start().audience("api").algorithms([]), "algorithms_missing"),
        (start().audience("api").clock_skew(Duration::from_secs(301)), "clock_skew_invalid"),
        (Verifier::builder("idp.example").audience("api"), "issuer_invalid"),
        (Verifier::builder("http://idp.example").audience("api"), "issuer_invalid"),
        (Verifier::builder(ISSUER).audience("api").jwks_uri("http://keys.example"), "jwks_uri_invalid"),
        (
            start().audience("api").introspection(
                Introspection::new("svc", ClientSecret::new("s")).endpoint("http://idp.example/introspect"),
            ),
            "introspection_endpoint_invalid",
        ),
    ] {
        assert_eq!(built(builder).unwrap_err(), expected);
    }
}
