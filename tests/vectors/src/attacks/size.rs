//! Tokens that are made to cost: sizes are capped before anything is parsed, depth while it is.

use flyte_auth::verify::MAX_TOKEN;
use serde_json::json;

use crate::scene::{ACCEPTED, claims, claims_with, expect, verifier};
use crate::signer::{base64url, rsa};

/// Opens and closes `depth` arrays.
fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

fn token_with_payload_member(value: &str) -> String {
    let payload = claims_with(&json!({"x": "HERE"})).to_string().replace("\"HERE\"", value);
    rsa().sign_text(&rsa().header().to_string(), &payload)
}

#[test]
fn fifty_megabytes_of_claims() {
    let token = format!("{}.{}.{}", base64url(rsa().header().to_string()), "A".repeat(50 << 20), "A".repeat(342));
    expect(&verifier(rsa().keys()), &[("50 MB", token, "token_too_large")]);
}

#[test]
fn just_too_large() {
    let verifier = verifier(rsa().keys());
    let sized = |filler: usize| token_with_payload_member(&format!("\"{}\"", "x".repeat(filler)));
    let overhead = sized(0).len();
    let fits = sized((MAX_TOKEN - overhead) / 4 * 3 - 8);
    assert!(fits.len() <= MAX_TOKEN && fits.len() > MAX_TOKEN - 32, "{}", fits.len());
    let over = sized((MAX_TOKEN - overhead) / 4 * 3 + 8);
    assert!(over.len() > MAX_TOKEN);
    expect(&verifier, &[("fits", fits, ACCEPTED), ("over", over, "token_too_large")]);
}

#[test]
fn depth_bomb_in_the_claims() {
    let verifier = verifier(rsa().keys());
    expect(
        &verifier,
        &[
            ("30 deep", token_with_payload_member(&nested(30)), ACCEPTED),
            ("33 deep", token_with_payload_member(&nested(33)), "token_malformed"),
            ("50,000 deep", token_with_payload_member(&nested(50_000)), "token_malformed"),
            ("never closed", token_with_payload_member(&"[".repeat(100_000)), "token_malformed"),
            ("objects", token_with_payload_member(&"{\"a\":".repeat(20_000)), "token_malformed"),
        ],
    );
    let brackets = rsa().sign_text(&rsa().header().to_string(), &"[".repeat(100_000));
    expect(&verifier, &[("nothing else", brackets, "token_malformed")]);
}

#[test]
fn depth_bomb_in_the_header() {
    let payload = claims().to_string();
    let verifier = verifier(rsa().keys());
    for depth in [40, 5_000] {
        let header = format!(r#"{{"alg":"RS256","kid":"rsa","x":{}}}"#, nested(depth));
        expect(&verifier, &[("header", rsa().sign_text(&header, &payload), "token_malformed")]);
    }
}

/// As many members as fit: read in time that grows with their number, not with its square, and the good claims are found
/// among them.
#[test]
fn key_count_bomb_in_the_claims() {
    let members: Vec<String> = (0..18_000).map(|number| format!("\"{number:x}\":0")).collect();
    let payload = claims().to_string();
    let payload = format!("{},{}}}", payload.strip_suffix('}').unwrap(), members.join(","));
    let token = rsa().sign_text(&rsa().header().to_string(), &payload);
    assert!(token.len() <= MAX_TOKEN, "{}", token.len());
    expect(&verifier(rsa().keys()), &[("18,000 members", token, ACCEPTED)]);
}

#[test]
fn key_count_bomb_in_the_header() {
    let members: Vec<String> = (0..5_000).map(|number| format!("\"{number:x}\":0")).collect();
    let header = format!(r#"{{"alg":"RS256","kid":"rsa",{}}}"#, members.join(","));
    expect(&verifier(rsa().keys()), &[("5,000", rsa().sign_text(&header, &claims().to_string()), "token_too_large")]);
}

#[test]
fn huge_numbers_and_names() {
    let verifier = verifier(rsa().keys());
    let digits = token_with_payload_member(&"9".repeat(100_000));
    let fraction = token_with_payload_member(&format!("0.{}", "1".repeat(100_000)));
    let exponent = token_with_payload_member(&format!("1e{}", "9".repeat(1_000)));
    let name = token_with_payload_member(&format!("{{\"{}\":1}}", "n".repeat(100_000)));
    expect(
        &verifier,
        &[
            ("digits", digits, "token_malformed"),
            ("fraction", fraction, ACCEPTED),
            ("exponent", exponent, "token_malformed"),
            ("name", name, ACCEPTED),
        ],
    );
}

#[test]
fn signature_of_a_megabyte() {
    let good = rsa().token(&claims());
    let signed = good.rsplit_once('.').unwrap().0;
    let verifier = verifier(rsa().keys());
    expect(
        &verifier,
        &[
            ("1 MB", format!("{signed}.{}", "A".repeat(1 << 20)), "token_too_large"),
            ("100 kB", format!("{signed}.{}", "A".repeat(100_000)), "token_malformed"),
        ],
    );
}
