//! The judge must be able to say no: cases that are wrong in one place, played with the real runner, and runners that
//! are none.

use std::path::Path;

use flyte_auth_conformance::case::Case;
use flyte_auth_conformance::crypto::Tls;
use flyte_auth_conformance::{conduct, schema};
use serde_json::{Value, json};

fn runner() -> Vec<String> {
    vec![env!("CARGO_BIN_EXE_flyte-auth-conformance").to_owned()]
}

/// Client credentials at a Flyte 2; right in every member.
fn good() -> Value {
    let metadata = "POST /flyteidl2.auth.AuthMetadataService/";
    json!({
        "name": "judges/good", "why": "The case that each test spoils in one place.",
        "exchanges": [
            { "on": format!("{metadata}GetOAuth2Metadata"), "reply": { "json": { "issuer": "{{flyte}}", "tokenEndpoint": "{{flyte}}/token" } } },
            { "on": format!("{metadata}GetPublicClientConfig"), "reply": { "json": { "clientId": "flytectl", "scopes": ["all"] } } },
            {
                "on": "POST /token",
                "expect": {
                    "form": { "grant_type": "client_credentials", "scope": "all" },
                    "headers": { "authorization": { "basic": ["c", "secret-1"] } }
                },
                "reply": { "json": { "access_token": "access-1", "token_type": "Bearer", "expires_in": 3600 } }
            }
        ],
        "steps": [
            { "do": "open", "options": { "endpoint": "{{flyte}}", "client_id": "c", "client_secret": "secret-1" } },
            { "do": "token", "expect": { "ok": { "value": "access-1", "expires_at": { "from_now": 3600 } } } },
            { "do": "stored", "holds": ["access-1"] }
        ]
    })
}

async fn verdict(case: Value, command: &[String]) -> Result<(), String> {
    let case: Case = serde_json::from_value(case).map_err(|cause| cause.to_string())?;
    conduct::run(&case, command, &Tls::new()?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_case_passes_and_each_slip_fails() {
    assert_eq!(verdict(good(), &runner()).await, Ok(()));
    let slips = [
        ("/steps/1/expect/ok/value", json!("access-2"), "it.value"),
        ("/steps/1/expect/ok/expires_at/from_now", json!(1800), "from now"),
        ("/steps/1/expect", json!({"ok": null}), "not null"),
        ("/steps/1/expect", json!({"error": {"kind": "denied"}}), "not the error denied"),
        ("/steps/2", json!({"do": "stored", "lacks": ["access-1"]}), "holds"),
        ("/steps/2", json!({"do": "stored", "holds": ["access-9"]}), "does not hold"),
        ("/steps/2", json!({"do": "requests", "on": "POST /token", "count": 2}), "came 1 times, not 2"),
        ("/steps/2", json!({"do": "status", "expect": {"ok": {"signed_in": false}}}), "signed_in"),
        ("/exchanges/2/expect/form/scope", json!("other"), "form parameter scope"),
        ("/exchanges/2/expect/form", json!({"grant_type": "client_credentials"}), "scope was not expected"),
        ("/exchanges/2/expect/form/audience", json!("a"), "audience is absent"),
        ("/exchanges/2/expect/headers/authorization/basic", json!(["c", "other"]), "header authorization"),
        ("/exchanges/2/expect/headers/authorization", Value::Null, "header authorization"),
        ("/exchanges/2/times", json!(2), "came 1 times, not 2"),
        ("/exchanges/2/times", json!(0), "came 1 times"),
        ("/exchanges/2/on", json!("POST /other"), "does not expect"),
        ("/exchanges/2/reply", json!({"status": 503}), "unavailable"),
        ("/exchanges/0/reply/json/tokenEndpoint", json!("{{nowhere}}"), "not known"),
    ];
    for (at, value, reason) in slips {
        let mut case = good();
        let (parent, member) = at.rsplit_once('/').unwrap();
        match case.pointer_mut(parent).unwrap() {
            Value::Array(items) => items[member.parse::<usize>().unwrap()] = value,
            object => object[member] = value,
        }
        let found = verdict(case, &runner()).await.expect_err(at);
        assert!(found.contains(reason), "{at}: {found}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_kept_where_the_case_wants_one() {
    let mut case = good();
    case["ordered"] = true.into();
    case["exchanges"].as_array_mut().unwrap().rotate_right(1);
    let found = verdict(case, &runner()).await.unwrap_err();
    assert!(found.contains("came before POST /token"), "{found}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_does_nothing_fails() {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    for (command, reasons) in [
        (words(&["/bin/true"]), ["the runner ended", "takes no command"]),
        (words(&["/bin/cat"]), ["neither ok nor error"; 2]),
        (words(&["/bin/sh", "-c", "while read x; do echo hello; done"]), ["no JSON"; 2]),
        (words(&["/does/not/exist"]), ["cannot be started"; 2]),
        // Answers that are always right and nothing behind them: the peer has seen no request.
        (words(&["/bin/sh", "-c", "while read x; do echo '{\"ok\": {}}'; done"]), ["came 0 times"; 2]),
    ] {
        let found = verdict(good(), &command).await.unwrap_err();
        assert!(reasons.iter().any(|reason| found.contains(reason)), "{command:?}: {found}");
    }
}

#[test]
fn the_cases_fit_the_schema_and_slips_do_not() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    assert!(schema::load(folder).unwrap().len() > 60);

    let copy = tempfile::tempdir().unwrap();
    for name in ["cases/judges", "parts"] {
        std::fs::create_dir_all(copy.path().join(name)).unwrap();
    }
    std::fs::copy(folder.join("schema.json"), copy.path().join("schema.json")).unwrap();
    let file = copy.path().join("cases/judges/case.json");
    let load = |case: &Value| {
        std::fs::write(&file, case.to_string()).unwrap();
        schema::load(copy.path())
    };
    assert!(load(&good()).is_ok());
    assert!(load(&json!([good()])).is_ok());
    for (at, value, reason) in [
        ("name", json!("judges/Not Like That"), "Not Like That"),
        ("name", json!("elsewhere/good"), "must begin with judges/"),
        ("why", json!("because"), "because"),
        ("parts", json!(["nobody"]), "no part is called nobody"),
        ("exchange", json!([]), "exchange"),
        ("steps", json!([]), "[]"),
        ("steps", json!([{"do": "tokens"}]), "tokens"),
        ("steps", json!([{"do": "token", "expect": {"error": {"kind": "bad"}}}]), "steps"),
    ] {
        let mut case = good();
        case[at] = value;
        let found = load(&case).expect_err(at);
        assert!(found.contains(reason), "{at}: {found}");
    }
    assert!(load(&json!([good(), good()])).unwrap_err().contains("twice"));
}
