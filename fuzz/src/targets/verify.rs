//! Tokens, key sets and introspection replies.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flyte_auth::protocol::secret::{AccessToken, ClientSecret, IdToken};
use flyte_auth::verify::access_token::UnverifiedClaims;
use flyte_auth::verify::{Algorithm, Introspection, KeySet, VerifiedToken, Verifier, id_token};
use serde_json::{Map, Value, json};

use crate::support::shown::{assert_hidden, assert_not_repeated, both};
use crate::support::transport::Foreign;
use crate::support::{NOW, StoppedClock, done, first_line};

const ISSUER: &str = "https://idp.example";
const AUDIENCE: &str = "https://flyte.example";
/// Words of our own messages that inputs have too.
const PUBLIC: [&str; 2] = [ISSUER, "https://idp.example/introspect"];

struct Scene {
    pair: Ed25519KeyPair,
    keys: KeySet,
    verifier: Verifier,
}

/// The same key in every run: an input means the same tomorrow.
static SCENE: LazyLock<Scene> = LazyLock::new(|| {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("32 bytes are a seed");
    let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    let set = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "fuzz"}]});
    let keys = KeySet::parse(set.to_string().as_bytes()).expect("a good key set");
    let verifier = verifier(&keys, Foreign::new(b"0"));
    Scene { pair, keys, verifier }
});

fn verifier(keys: &KeySet, transport: Foreign) -> Verifier {
    Verifier::builder(ISSUER)
        .audience(AUDIENCE)
        .jwks(keys.clone())
        .introspection(
            Introspection::new("svc", ClientSecret::new("fuzz-client-secret-1"))
                .endpoint("https://idp.example/introspect"),
        )
        .remember(0)
        .transport(Arc::new(transport))
        .clock(Arc::new(StoppedClock))
        .build()
        .expect("the settings are good")
}

/// The tokens that the holder of the key signed, as they are in the seeds: only the first is good now and here.
const SIGNED: [&str; 3] = [
    include_str!("../../seeds/jwt/signed"),
    include_str!("../../seeds/jwt/signed-expired"),
    include_str!("../../seeds/jwt/signed-for-another"),
];

/// A token as it comes: nothing verifies but what was signed, letter by letter.
pub(super) fn jwt(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let scene = &*SCENE;
    match scene.keys.verify(text) {
        Ok(_) => assert!(SIGNED.contains(&text), "a token verifies that nobody signed"),
        Err(refusal) => {
            assert!(!SIGNED.contains(&text), "a token that was signed does not verify: {refusal}");
            assert!(CODES.contains(&refusal.code()), "{} is no code of a signature", refusal.code());
        }
    }
    let token = AccessToken::new(text);
    // What is no JWT would be asked about: that needs the network.
    match scene.verifier.verify_now(&token) {
        Some(Ok(_)) => assert_eq!(text, SIGNED[0], "a token is good that is not"),
        Some(Err(error)) => {
            assert_ne!(text, SIGNED[0], "a good token is refused");
            assert!(error.code().starts_with("token_"), "{}", error.code());
            assert_not_repeated(data, &both(&error), &[&PUBLIC[..], &CODES[..]].concat());
        }
        None => assert!(!SIGNED.contains(&text), "a JWT needs no network"),
    }
    if let Some(claims) = UnverifiedClaims::read(&token) {
        assert_eq!(UnverifiedClaims::read(&token), Some(claims));
    }
}

/// Why a signature is not accepted.
const CODES: [&str; 6] =
    ["token_malformed", "token_too_large", "token_algorithm", "token_critical", "token_key_unknown", "token_signature"];

/// A header in the first line and claims after it, signed by the issuer: what is accepted is what the rules allow, as
/// another parser reads it.
pub(super) fn jwt_claims(data: &[u8]) {
    let scene = &*SCENE;
    let (header, payload) = first_line(data);
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = scene.pair.sign(signed.as_bytes());
    let text = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()));
    if let Some(answer) = scene.verifier.verify_now(&AccessToken::new(text.as_str())) {
        match answer {
            Ok(token) => judge_access_token(&token, payload),
            Err(error) => assert_not_repeated(payload, &both(&error), &PUBLIC),
        }
    }
    let expected = id_token::Expectations { issuer: ISSUER, client_id: "app", nonce: None, access_token: None };
    match id_token::validate(&IdToken::new(text.as_str()), &expected, &scene.keys, NOW) {
        Ok(claims) => {
            let all = other_reading(payload);
            assert_eq!(all.get("iss").and_then(Value::as_str), Some(ISSUER));
            assert_eq!(all.get("sub").and_then(Value::as_str), Some(claims.subject.as_str()));
            assert!(names(&all, "app") && !all.contains_key("events"));
        }
        Err(error) => assert_not_repeated(payload, &both(&error), &PUBLIC),
    }
}

/// serde_json's own reading, which takes the last of two members.
fn other_reading(payload: &[u8]) -> Map<String, Value> {
    serde_json::from_slice(payload).expect("what was accepted is a JSON object")
}

fn names(claims: &Map<String, Value>, audience: &str) -> bool {
    match claims.get("aud") {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(list)) => list.iter().any(|one| one == audience),
        _ => false,
    }
}

fn judge_access_token(token: &VerifiedToken, payload: &[u8]) {
    let all = other_reading(payload);
    assert_eq!(token.claims(), &all, "two readings of one token");
    assert_eq!(all.get("iss").and_then(Value::as_str), Some(ISSUER));
    assert!(names(&all, AUDIENCE));
    let late = NOW.plus(Duration::from_secs(61));
    let early = NOW.minus(Duration::from_secs(61));
    assert!(token.expires_at().is_some_and(|at| at > early));
    assert!(token.issued_at().is_none_or(|at| at <= late));
    for kind in ["events", "cnf"] {
        assert!(!all.contains_key(kind), "{kind}");
    }
}

/// A key set: what is taken of it is public, and the same when it is written and read again.
pub(super) fn jwks(data: &[u8]) {
    let Ok(set) = KeySet::parse(data) else { return };
    assert!(set.len() <= 100);
    let prints = |set: &KeySet| set.keys().map(|key| *key.thumbprint()).collect::<Vec<_>>();
    let mut document = other_reading(data);
    let again = KeySet::from_object(&document).expect("another reading of the same");
    assert_eq!(prints(&set), prints(&again), "two readings of one set");
    // Without the private keys it is the same set. Up to a hundred: what comes after them is not read.
    if let Some(Value::Array(keys)) =
        document.get_mut("keys").filter(|keys| keys.as_array().is_some_and(|keys| keys.len() <= 100))
    {
        keys.retain(|key| {
            !["d", "k", "p", "q", "dp", "dq", "qi", "oth"].iter().any(|member| key.get(member).is_some())
        });
        let written = Value::Object(document).to_string();
        assert_eq!(prints(&set), prints(&KeySet::parse(written.as_bytes()).expect("written again")), "a private key");
    }
    for key in set.keys() {
        for algorithm in Algorithm::ALL {
            assert!(!key.verifies(algorithm, b"message", &[]), "an empty signature");
            assert!(!key.verifies(algorithm, b"message", &[0; 64]), "a signature of zeros");
        }
    }
    assert_hidden("PRIVATE-PRIVATE-PRIVATE", &format!("{set:?}"));
}

/// An introspection reply: active for us and now, or no token.
pub(super) fn introspection_reply(data: &[u8]) {
    let verifier = verifier(&SCENE.keys, Foreign::new(data));
    match done(verifier.verify(&AccessToken::new("an-opaque-token-of-the-fuzzer"))) {
        Ok(token) => {
            assert_eq!(token.claim("active"), Some(&Value::Bool(true)));
            assert!(names(token.claims(), AUDIENCE));
            assert!(token.issuer().is_none_or(|issuer| issuer == ISSUER));
        }
        Err(error) => {
            let shown = both(&error);
            assert_not_repeated(data, &shown, &PUBLIC);
            assert_hidden("an-opaque-token-of-the-fuzzer", &shown);
            assert_hidden("fuzz-client-secret-1", &shown);
        }
    }
}
