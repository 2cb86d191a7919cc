//! Tokens as a lever on the network: nobody can make the verifier flood the issuer.

use std::sync::Arc;

use serde_json::json;

use crate::scene::{ACCEPTED, HandClock, JWKS_URI, Recorder, claims, online, verdict, verdict_of, wait};
use crate::signer::{jwks, other_rsa, p256, rsa};

fn unknown(number: usize) -> String {
    let header = json!({"alg": "RS256", "kid": format!("made-up-{number}")});
    other_rsa().token_with(&header, &claims())
}

/// 500 tokens with made-up key ids, one after the other: one fetch more, and again one after a minute.
#[test]
fn unknown_key_id_flood() {
    let (clock, network) = (HandClock::new(), Recorder::serving(&jwks(&[rsa().jwk()])));
    let verifier = online(&network, &clock);
    wait(async {
        assert_eq!(verdict_of(&verifier, &rsa().token(&claims())).await, ACCEPTED);
        assert_eq!(network.asked().len(), 1);
        let mut fetches = Vec::new();
        for minute in 0..3 {
            for number in 0..500 {
                assert_eq!(verdict_of(&verifier, &unknown(number)).await, "token_key_unknown");
            }
            fetches.push(network.asked().len());
            clock.step(if minute == 0 { 60 } else { 59 });
        }
        // At the start keys were fetched: nothing within a minute of that. Then one; 59 s later none.
        assert_eq!(fetches, [1, 2, 2]);
        assert_eq!(verdict_of(&verifier, &rsa().token(&claims())).await, ACCEPTED);
    });
}

/// 200 callers at once, with made-up key ids, after the pause: one fetch for all of them.
#[test]
fn unknown_key_ids_at_once() {
    let (clock, network) = (HandClock::new(), Recorder::serving(&jwks(&[rsa().jwk()])));
    let verifier = Arc::new(online(&network, &clock));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        assert_eq!(verdict_of(&verifier, &rsa().token(&claims())).await, ACCEPTED);
        clock.step(61);
        let verifier = &verifier;
        let callers = (0..200).map(|number| async move { verdict_of(verifier, &unknown(number)).await });
        let verdicts = futures_util::future::join_all(callers).await;
        assert!(verdicts.iter().all(|verdict| verdict == "token_key_unknown"), "{verdicts:?}");
    });
    assert_eq!(network.asked(), [JWKS_URI; 2]);
}

/// 200 callers at once before anything was fetched: one fetch, and all of them served.
#[test]
fn first_tokens_at_once() {
    let (clock, network) = (HandClock::new(), Recorder::serving(&jwks(&[rsa().jwk()])));
    let verifier = Arc::new(online(&network, &clock));
    let token = rsa().token(&claims());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let callers = (0..200).map(|_| verdict_of(&verifier, &token));
        let verdicts = futures_util::future::join_all(callers).await;
        assert!(verdicts.iter().all(|verdict| verdict == ACCEPTED), "{verdicts:?}");
    });
    assert_eq!(network.asked(), [JWKS_URI]);
}

/// Tokens that cannot be good ask nobody: no fetch happens for what no key could save.
#[test]
fn bad_tokens_cause_no_fetch() {
    let (clock, network) = (HandClock::new(), Recorder::serving(&jwks(&[rsa().jwk()])));
    let verifier = online(&network, &clock);
    let header = json!({"alg": "none"});
    for token in ["", "a.b.c", "opaque", &"x".repeat(300_000), &rsa().token_with(&header, &claims())] {
        assert_ne!(verdict(&verifier, token), ACCEPTED);
    }
    assert!(network.asked().is_empty(), "{:?}", network.asked());
}

/// A key that was withdrawn takes its remembered tokens with it.
#[test]
fn token_of_a_withdrawn_key() {
    let (clock, network) = (HandClock::new(), Recorder::serving(&jwks(&[rsa().jwk()])));
    let verifier = online(&network, &clock);
    let token = rsa().token(&claims());
    wait(async {
        assert_eq!(verdict_of(&verifier, &token).await, ACCEPTED);
        network.serve(JWKS_URI, jwks(&[other_rsa().jwk_with(&json!({"kid": "new"}))]).to_string());
        clock.step(301);
        assert_eq!(verdict_of(&verifier, &token).await, "token_key_unknown");
    });
}

/// As above, where the new keys came with another token: what is remembered is compared with them.
#[test]
fn remembered_token_of_a_withdrawn_key() {
    let (clock, network) = (HandClock::new(), Recorder::serving(&jwks(&[rsa().jwk(), p256().jwk()])));
    let verifier = online(&network, &clock);
    let token = rsa().token(&claims());
    wait(async {
        assert_eq!(verdict_of(&verifier, &token).await, ACCEPTED);
        network.serve(JWKS_URI, jwks(&[p256().jwk()]).to_string());
        clock.step(301);
        assert_eq!(verdict_of(&verifier, &p256().token(&claims())).await, ACCEPTED);
        assert_eq!(verdict_of(&verifier, &token).await, "token_key_unknown");
    });
}
