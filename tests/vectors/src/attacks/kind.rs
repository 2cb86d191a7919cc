//! One kind of token in place of another (RFC 8725 section 3.11), all signed by the issuer's own key: an access token is
//! what is wanted here.

use flyte_auth::verify::{Profile, Verifier};
use serde_json::{Value, json};

use crate::scene::{ACCEPTED, AUDIENCE, ISSUER, NOW, builder, claims, claims_with, claims_without, expect, verifier};
use crate::signer::rsa;

const CLIENT: &str = "flytectl";

/// A token of any type whose audience is this service, so that only its kind can refuse it.
fn typed(typ: Option<&str>, claims: &Value) -> String {
    let mut header = json!({"alg": "RS256", "kid": "rsa"});
    if let Some(typ) = typ {
        header["typ"] = typ.into();
    }
    rsa().token_with(&header, claims)
}

fn strict() -> Verifier {
    builder().jwks(rsa().keys()).profile(Profile::Rfc9068).build().unwrap()
}

#[test]
fn types_of_access_tokens() {
    for (typ, by_default, by_rfc_9068) in [
        (Some("at+jwt"), ACCEPTED, ACCEPTED),
        (Some("AT+JWT"), ACCEPTED, ACCEPTED),
        (Some("application/at+jwt"), ACCEPTED, ACCEPTED),
        (Some("Application/AT+JWT"), ACCEPTED, ACCEPTED),
        (Some("JWT"), ACCEPTED, "token_type"),
        (Some("jwt"), ACCEPTED, "token_type"),
        (None, ACCEPTED, "token_type"),
    ] {
        let name = typ.unwrap_or("none");
        expect(&verifier(rsa().keys()), &[(name, typed(typ, &claims()), by_default)]);
        expect(&strict(), &[(name, typed(typ, &claims()), by_rfc_9068)]);
    }
}

/// Every other kind by its type: logout tokens, DPoP proofs, client assertions, security events, signed introspection
/// replies and requests, credentials.
#[test]
fn types_of_other_tokens() {
    for typ in [
        "logout+jwt",
        "application/logout+jwt",
        "dpop+jwt",
        "secevent+jwt",
        "client-authentication+jwt",
        "oauth-authz-req+jwt",
        "token-introspection+jwt",
        "entity-statement+jwt",
        "vc+sd-jwt",
        "kb+jwt",
        "rt+jwt",
        "id+jwt",
        "JWE",
        "JOSE",
        "JOSE+JSON",
        "",
        " ",
        "at+jwt ",
        "at+jwt\0",
        "at jwt",
        "x-at+jwt",
        "text/at+jwt",
        "application/",
        "application/application/at+jwt",
    ] {
        expect(&verifier(rsa().keys()), &[(typ, typed(Some(typ), &claims()), "token_type")]);
        expect(&strict(), &[(typ, typed(Some(typ), &claims()), "token_type")]);
    }
}

/// The ID token of a client whose id is an accepted audience: the hole of flyteadmin with `allowedAudience`.
#[test]
fn id_token_as_access_token() {
    let id_token = json!({
        "iss": ISSUER, "sub": "alice", "aud": AUDIENCE, "exp": NOW + 600, "iat": NOW, "auth_time": NOW, "email": "a@b.example",
    });
    for tell_tale in [
        json!({"nonce": "n"}),
        json!({"at_hash": "x"}),
        json!({"c_hash": "x"}),
        json!({"nonce": ""}),
        json!({"nonce": null}),
    ] {
        let mut claims = id_token.clone();
        claims.as_object_mut().unwrap().extend(tell_tale.as_object().unwrap().clone());
        for typ in [None, Some("JWT")] {
            expect(&verifier(rsa().keys()), &[(&tell_tale.to_string(), typed(typ, &claims), "token_type")]);
        }
    }
}

/// Keycloak signs refresh and ID tokens with the same keys and says in a claim what they are.
#[test]
fn keycloaks_other_tokens_as_access_token() {
    let with_kind = |kind: Value| typed(Some("JWT"), &claims_with(&json!({"typ": kind, "azp": CLIENT})));
    expect(&verifier(rsa().keys()), &[("Bearer", with_kind(json!("Bearer")), ACCEPTED)]);
    for kind in ["Refresh", "ID", "Offline", "Logout", "RefreshToken", "action-token", "Serialized-ID", ""] {
        expect(&verifier(rsa().keys()), &[(kind, with_kind(json!(kind)), "token_type")]);
    }
}

/// Amazon Cognito's.
#[test]
fn cognitos_other_tokens_as_access_token() {
    let with_use = |usage: Value| typed(None, &claims_with(&json!({ "token_use": usage })));
    expect(&verifier(rsa().keys()), &[("access", with_use(json!("access")), ACCEPTED)]);
    for usage in [json!("id"), json!("refresh"), json!(""), json!(null), json!(1), json!(["access"])] {
        expect(&verifier(rsa().keys()), &[(&usage.to_string(), with_use(usage.clone()), "token_type")]);
    }
}

/// flyteadmin signs refresh tokens and authorization codes like access tokens: scopes behind `f.`, and no audience for a
/// code.
#[test]
fn flyteadmins_other_tokens_as_access_token() {
    let signed = |changes: Value| typed(Some("JWT"), &claims_with(&changes));
    expect(
        &verifier(rsa().keys()),
        &[
            ("access", signed(json!({"scope": null, "scp": ["all", "offline", "access_token"]})), ACCEPTED),
            (
                "first access",
                signed(json!({"scope": null, "scp": ["all", "offline", "f.all", "access_token"]})),
                ACCEPTED,
            ),
            ("refresh", signed(json!({"scope": null, "scp": ["f.all", "offline", "access_token"]})), "token_type"),
            (
                "code",
                signed(json!({"aud": [], "scope": null, "scp": ["f.all", "offline", "access_token"]})),
                "token_audience",
            ),
        ],
    );
}

#[test]
fn logout_token_as_access_token() {
    let events = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    let logout = claims_with(&json!({"events": events, "sid": "s"}));
    for (typ, by_default) in [(Some("logout+jwt"), "token_type"), (Some("JWT"), "token_type"), (None, "token_type")] {
        expect(&verifier(rsa().keys()), &[("logout", typed(typ, &logout), by_default)]);
        expect(&strict(), &[("logout", typed(typ, &logout), "token_type")]);
    }
}

/// A client assertion (RFC 7523) is signed by the client, for the issuer; a DPoP proof by a key of its own.
#[test]
fn assertion_and_proof_as_access_token() {
    let assertion = json!({"iss": CLIENT, "sub": CLIENT, "aud": ISSUER, "jti": "j", "exp": NOW + 60, "iat": NOW});
    let proof = json!({"htm": "GET", "htu": "https://flyte.example/", "jti": "j", "iat": NOW, "ath": "x"});
    expect(
        &verifier(rsa().keys()),
        &[
            ("assertion", typed(Some("JWT"), &assertion), "token_issuer"),
            ("proof", typed(Some("dpop+jwt"), &proof), "token_type"),
            ("proof without type", typed(None, &proof), "token_issuer"),
        ],
    );
}

/// A signed introspection reply (RFC 9701), a signed user info reply and a JARM response have the issuer's signature.
#[test]
fn signed_replies_as_access_token() {
    let introspection = json!({
        "iss": ISSUER, "aud": AUDIENCE, "iat": NOW, "exp": NOW + 60, "token_introspection": {"active": true, "sub": "alice"},
    });
    let user_info = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "email": "alice@example.org"});
    let jarm = json!({"iss": ISSUER, "aud": CLIENT, "exp": NOW + 60, "code": "c", "state": "s"});
    expect(
        &verifier(rsa().keys()),
        &[
            ("introspection", typed(Some("token-introspection+jwt"), &introspection), "token_type"),
            ("user info", typed(Some("JWT"), &user_info), "token_claims"),
            ("JARM", typed(None, &jarm), "token_audience"),
        ],
    );
}

/// An access token for another service of the same issuer.
#[test]
fn access_token_of_another_service() {
    let other = claims_with(&json!({"aud": "https://grafana.example"}));
    expect(
        &verifier(rsa().keys()),
        &[
            ("other", rsa().token(&other), "token_audience"),
            ("none", rsa().token(&claims_without("aud")), "token_audience"),
        ],
    );
}
