//! Checking a JWT: ours beside the bare signature check of aws-lc-rs on a parsed key, and beside other libraries, on the
//! same tokens in the same run.

use std::hint::black_box;
use std::process::{Command, Stdio};
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, ParsedPublicKey, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flyte_auth::clock::{Clock as _, SystemClock};
use flyte_auth::protocol::secret::AccessToken;
use flyte_auth::transport::reqwest::ReqwestTransport;
use flyte_auth::verify::{KeySet, Verifier};
use serde_json::{Map, Value, json};

use crate::process::median;
use crate::rows::python_with_flytekit;
use crate::stopwatch::Stopwatch;
use crate::{Row, text_of};

const ISSUER: &str = "https://idp.example";
const AUDIENCE: &str = "https://flyte.example";
const PEER: &str = "benches/peers/pyjwt_rate.py";

/// One algorithm: tokens, what is signed in them, and the key in each library's form.
struct Subject {
    name: &'static str,
    tokens: Vec<AccessToken>,
    /// Signing input and signature, for the bare check.
    parts: Vec<(String, Vec<u8>)>,
    raw: ParsedPublicKey,
    jwk: Value,
}

pub(crate) fn rows(quick: bool) -> Result<Vec<Row>, String> {
    let (tokens, rounds) = if quick { (600, 5) } else { (2000, 9) };
    let mut rows = Vec::new();
    for subject in [rs256(tokens)?, es256(tokens)?, eddsa(tokens)?] {
        rows.extend(first_sight(&subject, rounds)?);
    }
    rows.extend(remembered(&rs256(1)?)?);
    Ok(rows)
}

/// Each token for the first time, with a new verifier in each round, so that none is remembered.
fn first_sight(subject: &Subject, rounds: usize) -> Result<Vec<Row>, String> {
    let case: &'static str = match subject.name {
        "RS256" => "RS256 token at first sight",
        "ES256" => "ES256 token at first sight",
        _ => "EdDSA token at first sight",
    };
    let keys = key_set(subject)?;
    let mut peer = jsonwebtoken::Validation::new(subject.name.parse().map_err(text_of)?);
    peer.set_audience(&[AUDIENCE]);
    peer.set_issuer(&[ISSUER]);
    let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(subject.jwk.clone()).map_err(text_of)?;
    let peer_key = jsonwebtoken::DecodingKey::from_jwk(&jwk).map_err(text_of)?;
    let (mut ours, mut raw, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let verifier = verifier(keys.clone())?;
        ours.push(per_second(&subject.tokens, |token| {
            verifier.verify_now(token).is_some_and(|outcome| outcome.is_ok())
        })?);
        raw.push(per_second(&subject.parts, |(signed, signature)| {
            subject.raw.verify_sig(signed.as_bytes(), signature).is_ok()
        })?);
        theirs.push(per_second(&subject.tokens, |token| {
            jsonwebtoken::decode::<Map<String, Value>>(token.expose(), &peer_key, &peer).is_ok()
        })?);
    }
    // The ratio of each round: both halves ran within the same second.
    let ratio = median(ours.iter().zip(&raw).map(|(ours, raw)| ours / raw).collect());
    let mut rows = vec![
        Row::higher("verify", case, "flyte-auth", median(ours), "per second"),
        Row::higher("verify", case, "aws-lc-rs, signature alone", median(raw), "per second"),
        Row::higher("verify", case, "jsonwebtoken 11", median(theirs), "per second"),
    ];
    if let Some(rate) = python(subject)? {
        rows.push(Row::higher("verify", case, "PyJWT", rate, "per second"));
    }
    let share: &'static str = match subject.name {
        "RS256" => "RS256, share of the bare signature's rate",
        "ES256" => "ES256, share of the bare signature's rate",
        _ => "EdDSA, share of the bare signature's rate",
    };
    rows.push(Row::higher("verify", share, "flyte-auth", ratio, "of 1"));
    rows.push(Row::higher("verify", share, "limit", 0.85, "of 1"));
    Ok(rows)
}

fn remembered(subject: &Subject) -> Result<Vec<Row>, String> {
    const CALLS: usize = 200_000;
    let verifier = verifier(key_set(subject)?)?;
    let token = &subject.tokens[0];
    let calls: Vec<()> = vec![(); CALLS];
    let mut nanoseconds = Vec::new();
    for _ in 0..7 {
        let rate = per_second(&calls, |()| verifier.verify_now(token).is_some_and(|outcome| outcome.is_ok()))?;
        nanoseconds.push(1e9 / rate);
    }
    const CASE: &str = "a token that was verified before";
    Ok(vec![
        Row::lower("verify", CASE, "flyte-auth", median(nanoseconds), "ns"),
        Row::lower("verify", CASE, "limit", 1000.0, "ns"),
    ])
}

fn key_set(subject: &Subject) -> Result<KeySet, String> {
    KeySet::parse(json!({ "keys": [subject.jwk] }).to_string().as_bytes()).map_err(text_of)
}

fn verifier(keys: KeySet) -> Result<Verifier, String> {
    let transport = ReqwestTransport::new(&flyte_auth::config::NetworkConfig::default()).map_err(text_of)?;
    let builder = Verifier::builder(ISSUER).audience(AUDIENCE).jwks(keys).transport(Arc::new(transport));
    builder.build().map_err(text_of)
}

fn per_second<T>(items: &[T], mut check: impl FnMut(&T) -> bool) -> Result<f64, String> {
    let watch = Stopwatch::start();
    let good = items.iter().all(|item| black_box(check(item)));
    let taken = watch.elapsed().as_secs_f64();
    if !good {
        return Err("a good token was refused".to_owned());
    }
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    Ok(items.len() as f64 / taken)
}

/// Tokens with the claims of a usual access token, each with an id of its own.
fn tokens(
    name: &'static str,
    count: usize,
    raw: ParsedPublicKey,
    mut jwk: Value,
    sign: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Result<Subject, String> {
    jwk["kid"] = "benchmark".into();
    jwk["alg"] = name.into();
    let header = URL_SAFE_NO_PAD.encode(json!({"alg": name, "kid": "benchmark", "typ": "at+jwt"}).to_string());
    let now = SystemClock.now().as_secs();
    let (mut tokens, mut parts) = (Vec::new(), Vec::new());
    for number in 0..count {
        let claims = json!({
            "iss": ISSUER, "sub": "alice@example.org", "aud": [AUDIENCE], "client_id": "flytectl",
            "scope": "all offline", "iat": now, "exp": now + 3600, "jti": format!("benchmark-{number}"),
            "sid": "c2Vzc2lvbg", "email": "alice@example.org", "name": "Alice", "auth_time": now,
        });
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = sign(signed.as_bytes()).ok_or("signing failed")?;
        tokens.push(AccessToken::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(&signature))));
        parts.push((signed, signature));
    }
    Ok(Subject { name, tokens, parts, raw, jwk })
}

fn rs256(count: usize) -> Result<Subject, String> {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(text_of)?;
    let public = signature::KeyPair::public_key(&pair);
    let (modulus, exponent) = (public.modulus().big_endian_without_leading_zero(), [1, 0, 1]);
    let components = PublicKeyComponents { n: modulus, e: &exponent[..] };
    let raw = components.to_parsed_public_key(&signature::RSA_PKCS1_2048_8192_SHA256).map_err(text_of)?;
    let jwk = json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB"});
    tokens("RS256", count, raw, jwk, |message| {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).ok()?;
        Some(signature)
    })
}

fn es256(count: usize) -> Result<Subject, String> {
    let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).map_err(text_of)?;
    let point = pair.public_key().as_ref();
    let raw = ParsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).map_err(text_of)?;
    let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": part(1..33), "y": part(33..65)});
    tokens("ES256", count, raw, jwk, |message| Some(pair.sign(&SystemRandom::new(), message).ok()?.as_ref().to_vec()))
}

fn eddsa(count: usize) -> Result<Subject, String> {
    let pair = Ed25519KeyPair::generate().map_err(text_of)?;
    let raw = ParsedPublicKey::new(&signature::ED25519, pair.public_key().as_ref()).map_err(text_of)?;
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair.public_key().as_ref())});
    tokens("EdDSA", count, raw, jwk, |message| Some(pair.sign(message).as_ref().to_vec()))
}

/// PyJWT on the same tokens, where the tests' virtual environment is there.
fn python(subject: &Subject) -> Result<Option<f64>, String> {
    let Some(python) = python_with_flytekit() else { return Ok(None) };
    let mut child = Command::new(python)
        .arg(PEER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|cause| cause.to_string())?;
    let tokens: Vec<&str> = subject.tokens.iter().map(AccessToken::expose).collect();
    let order = json!({
        "algorithm": subject.name, "jwk": subject.jwk, "issuer": ISSUER, "audience": AUDIENCE, "tokens": tokens,
    });
    let mut input = child.stdin.take().ok_or("no pipe")?;
    std::io::Write::write_all(&mut input, order.to_string().as_bytes()).map_err(|cause| cause.to_string())?;
    drop(input);
    let output = child.wait_with_output().map_err(|cause| cause.to_string())?;
    let rate = String::from_utf8_lossy(&output.stdout).trim().parse();
    rate.map(Some).map_err(|_| format!("{PEER} did not answer"))
}
