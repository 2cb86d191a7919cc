//! Times: read strictly, compared with a clock that may step.

use serde_json::{Value, json};

use crate::scene::{
    ACCEPTED, HandClock, NOW, Recorder, builder, claims_with, claims_without, expect, online, verdict, verifier,
};
use crate::signer::{jwks, rsa};

fn expect_claims(changes: &Value, expected: &str) {
    let token = rsa().token(&claims_with(changes));
    expect(&verifier(rsa().keys()), &[(&changes.to_string(), token, expected)]);
}

fn expect_number(name: &str, number: &str, expected: &str) {
    let text = claims_with(&json!({ name: "HERE" })).to_string().replace("\"HERE\"", number);
    let token = rsa().sign_text(&rsa().header().to_string(), &text);
    expect(&verifier(rsa().keys()), &[(&format!("{name} {number}"), token, expected)]);
}

/// The allowed difference of clocks is 60 s, on both sides.
#[test]
fn expired() {
    expect_claims(&json!({"exp": NOW - 59}), ACCEPTED);
    expect_claims(&json!({"exp": NOW - 60}), "token_expired");
    expect_claims(&json!({"exp": 0}), "token_expired");
}

#[test]
fn not_yet_valid() {
    expect_claims(&json!({"nbf": NOW + 60}), ACCEPTED);
    expect_claims(&json!({"nbf": NOW + 61}), "token_not_yet_valid");
}

#[test]
fn issued_in_the_future() {
    expect_claims(&json!({"iat": NOW + 60}), ACCEPTED);
    expect_claims(&json!({"iat": NOW + 61}), "token_issued_in_future");
}

#[test]
fn never_expires() {
    let token = rsa().token(&claims_without("exp"));
    expect(&verifier(rsa().keys()), &[("no exp", token, "token_claims")]);
}

#[test]
fn time_as_a_fraction() {
    expect_number("exp", &format!("{}.5", NOW + 60), ACCEPTED);
    expect_number("exp", &format!("{NOW}.0e0"), ACCEPTED);
    expect_number("exp", &format!("{}.999", NOW - 61), "token_expired");
    expect_number("nbf", &format!("{}.5", NOW + 90), "token_not_yet_valid");
    expect_number("exp", "1.7956e9", ACCEPTED);
}

#[test]
fn time_of_another_type() {
    for name in ["exp", "nbf", "iat"] {
        for time in [
            json!("1795603600"),
            json!("2026-11-25T00:00:00Z"),
            json!(""),
            json!(true),
            json!([NOW]),
            json!({"exp": NOW}),
            json!(null),
        ] {
            expect_claims(&json!({ name: time }), "token_claims");
        }
    }
}

#[test]
fn time_that_is_negative() {
    for name in ["exp", "nbf", "iat"] {
        expect_number(name, "-1", "token_claims");
        expect_number(name, "-9223372036854775808", "token_claims");
        expect_number(name, "-1e308", "token_claims");
    }
}

/// Milliseconds, and numbers that overflow: an `exp` of the year 58867 is a mistake or an attack.
#[test]
fn time_that_is_huge() {
    for name in ["exp", "nbf", "iat"] {
        for number in ["1795600000000", "9223372036854775807", "18446744073709551615", "18446744073709551616", "1e308"]
        {
            expect_number(name, number, "token_claims");
        }
        // Beyond what a double holds: the parser's to refuse.
        expect_number(name, "1e999", "token_malformed");
    }
}

/// Not JSON, though several parsers take it.
#[test]
fn time_that_is_no_number() {
    for name in ["exp", "nbf", "iat"] {
        for number in
            ["NaN", "Infinity", "-Infinity", "0x7fffffff", "+1795603600", "01795603600", "1795603600.", "1_795_603_600"]
        {
            expect_number(name, number, "token_malformed");
        }
    }
}

/// A verified token is remembered; its expiry is not forgotten when the clock jumps (a laptop wakes up, NTP steps).
#[test]
fn clock_steps_forwards() {
    let clock = HandClock::new();
    let verifier = builder().jwks(rsa().keys()).clock(clock.clone()).build().unwrap();
    let token = rsa().token(&claims_with(&json!({"exp": NOW + 300})));
    assert_eq!(verdict(&verifier, &token), ACCEPTED);
    clock.step(359);
    assert_eq!(verdict(&verifier, &token), ACCEPTED);
    clock.step(1);
    assert_eq!(verdict(&verifier, &token), "token_expired");
}

/// A clock that was ahead is set right: what was accepted under the wrong time is judged anew.
#[test]
fn clock_steps_backwards() {
    let clock = HandClock::new();
    let verifier = builder().jwks(rsa().keys()).clock(clock.clone()).build().unwrap();
    let token = rsa().token(&claims_with(&json!({"nbf": NOW, "iat": NOW})));
    assert_eq!(verdict(&verifier, &token), ACCEPTED);
    clock.step(-61);
    let code = verdict(&verifier, &token);
    assert!(["token_not_yet_valid", "token_issued_in_future"].contains(&code.as_str()), "{code}");
    clock.step(61);
    assert_eq!(verdict(&verifier, &token), ACCEPTED);
}

/// A clock that goes back leaves the keys usable, and a later rotation is still seen.
#[test]
fn clock_steps_backwards_between_fetches() {
    let (clock, network) = (HandClock::new(), Recorder::serving(&jwks(&[])));
    let verifier = online(&network, &clock);
    let token = rsa().token(&claims_with(&json!({"exp": NOW + 900_000, "iat": NOW - 90_000})));
    assert_eq!(verdict(&verifier, &token), "token_key_unknown");
    network.serve(crate::scene::JWKS_URI, jwks(&[rsa().jwk()]).to_string());
    clock.step(-7200);
    assert_eq!(verdict(&verifier, &token), ACCEPTED);
    clock.step(100_000);
    assert_eq!(verdict(&verifier, &token), ACCEPTED);
}
