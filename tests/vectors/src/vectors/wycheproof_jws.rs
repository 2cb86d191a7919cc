//! Wycheproof's 401 vectors of JSON Web Signature.

use std::collections::BTreeMap;

use flyte_auth::verify::KeySet;
use serde_json::{Value, json};

/// One of the files that `scripts/setup.sh` fetches.
pub(super) fn file(name: &str) -> Value {
    let path = format!("{}/wycheproof/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}. Run: scripts/setup.sh"));
    serde_json::from_slice(&text).unwrap()
}

/// Labels that are wrong, or that another rule of the verifier overrules: the verdict, and why.
const LABELS: [(u64, bool, &str); 8] = [
    (346, false, "labelled valid; the header says PS384 and the JWK's alg is PS256 (RFC 8725 section 3.1)"),
    (350, false, "as 346"),
    (347, false, "labelled valid; the JWK's alg is ES521, which does not exist: P-521 signs ES512 (RFC 7518 3.4)"),
    (351, false, "as 347"),
    (367, true, "labelled invalid (padding); octet for octet the valid 357"),
    (370, true, "labelled invalid (padding); octet for octet the valid 357"),
    (372, false, "labelled valid; the header holds a `?`, which is not in the base64url alphabet"),
    (373, false, "labelled valid; the payload ends in a `?`, which is not in the base64url alphabet"),
];

#[test]
fn all_401_vectors() {
    let document = file("json_web_signature_test.json");
    let (mut vectors, mut accepted, mut symmetric, mut overruled) = (0, 0, 0, 0);
    let mut wrong = BTreeMap::new();
    for group in document["testGroups"].as_array().unwrap() {
        // Groups of a symmetric key have no public one.
        let key = group.get("public").unwrap_or(&group["private"]);
        let keys = KeySet::from_object(json!({"keys": [key]}).as_object().unwrap()).unwrap();
        for test in group["tests"].as_array().unwrap() {
            let id = test["tcId"].as_u64().unwrap();
            let labelled = test["result"] == "valid";
            let mut good = labelled;
            if let Some((_, right, _)) = LABELS.iter().find(|(wrong, ..)| *wrong == id) {
                assert_ne!(labelled, *right, "{id} has the right label now");
                good = *right;
                overruled += 1;
            }
            // Policy: no symmetric key is ever read, so that no public key can serve as a secret.
            if good && key["kty"] == "oct" {
                good = false;
                symmetric += 1;
            }
            // Some vectors are JSON objects: the other serialisation (RFC 7515 section 7.2), which is no token.
            let token = test["jws"].as_str().map_or_else(|| test["jws"].to_string(), str::to_owned);
            let verdict = keys.verify(&token);
            vectors += 1;
            accepted += usize::from(verdict.is_ok());
            if verdict.is_ok() != good {
                wrong.insert(id, format!("{} {verdict:?}", test["comment"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!((vectors, overruled), (401, LABELS.len()));
    // 46 are labelled valid: six of those labels are wrong or overruled, two that are labelled invalid are valid.
    assert_eq!((accepted, symmetric), (32, 10));
}
