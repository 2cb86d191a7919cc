use serde_json::json;

use super::*;

fn with<T>(claims: Value, read: impl FnOnce(&Claims<'_>) -> T) -> T {
    read(&Claims::parse(claims.to_string().as_bytes()).unwrap())
}

#[test]
fn scopes_from_every_name() {
    for (claims, expected) in [
        (json!({"scope": "all offline"}), Ok(vec!["all", "offline"])),
        (json!({"scope": ["all", "offline"]}), Ok(vec!["all", "offline"])),
        (json!({"scp": ["all"]}), Ok(vec!["all"])),
        (json!({"scp": "all  offline"}), Ok(vec!["all", "offline"])),
        (json!({"scope": "all", "scp": ["all", "more"]}), Ok(vec!["all", "more"])),
        (json!({"roles": ["App.Read"]}), Ok(vec!["App.Read"])),
        (json!({"scp": "user", "roles": ["admin"]}), Ok(vec!["user"])),
        (json!({"scp": null, "roles": ["admin"]}), Ok(vec![])),
        (json!({}), Ok(vec![])),
        (json!({"scope": 7}), Err("token_claims")),
        (json!({"scp": ["all", 1]}), Err("token_claims")),
        (json!({"scp": {"all": true}}), Err("token_claims")),
    ] {
        let found = with(claims.clone(), |claims| claims.scopes());
        let expected = expected.map(|list| list.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(found.map_err(Refusal::code), expected, "{claims}");
    }
}

#[test]
fn the_client_from_every_name() {
    for (claims, expected) in [
        (json!({"client_id": "a", "azp": "b"}), Ok(Some("a"))),
        (json!({"client_id": "", "azp": "b"}), Ok(Some("b"))),
        (json!({"cid": "okta"}), Ok(Some("okta"))),
        (json!({"appid": "entra"}), Ok(Some("entra"))),
        (json!({}), Ok(None)),
        (json!({"client_id": 7}), Err("token_claims")),
    ] {
        with(claims.clone(), |found| assert_eq!(found.client_id().map_err(Refusal::code), expected, "{claims}"));
    }
}

#[test]
fn audiences() {
    for (aud, expected) in [
        (json!("a"), Ok(vec!["a"])),
        (json!(["a", "b"]), Ok(vec!["a", "b"])),
        (json!([]), Err("token_audience")),
        (json!(null), Err("token_audience")),
        (json!(["a", null]), Err("token_claims")),
        (json!({"a": 1}), Err("token_claims")),
        (json!(7), Err("token_claims")),
    ] {
        let claims = json!({ "aud": aud });
        with(claims.clone(), |found| assert_eq!(found.audience().map_err(Refusal::code), expected, "{claims}"));
    }
    with(json!({}), |claims| assert_eq!(claims.audience().unwrap_err().code(), "token_audience"));
}

#[test]
fn times_and_their_bounds() {
    let now = Timestamp::from_secs(1000);
    let check = |claims: Value| {
        let outcome = with(claims, |claims| claims.times()).and_then(|times| times.check(now, CLOCK_SKEW));
        outcome.map_err(Refusal::code)
    };
    for (claims, expected) in [
        (json!({"exp": 1001}), Ok(())),
        (json!({"exp": 941.5}), Ok(())),
        (json!({"exp": 940}), Err("token_expired")),
        (json!({"exp": 1001, "nbf": 1060, "iat": 1060}), Ok(())),
        (json!({"exp": 9001, "nbf": 1061}), Err("token_not_yet_valid")),
        (json!({"exp": 9001, "iat": 1061}), Err("token_issued_in_future")),
        (json!({"exp": 9001, "iat": null}), Err("token_claims")),
        (json!({}), Err("token_claims")),
        (json!({"exp": "1001"}), Err("token_claims")),
        (json!({"exp": -1}), Err("token_claims")),
        (json!({"exp": 1e308}), Err("token_claims")),
        (json!({"exp": [1001]}), Err("token_claims")),
        (json!({"exp": true}), Err("token_claims")),
    ] {
        assert_eq!(check(claims.clone()), expected, "{claims}");
    }
}
