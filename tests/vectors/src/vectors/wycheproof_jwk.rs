//! Wycheproof's 26 vectors of JSON Web Key sets: a token that would verify, were the key set not at fault.

use std::collections::BTreeMap;

use flyte_auth::verify::KeySet;
use serde_json::Value;

use super::wycheproof_jws::file;

#[test]
fn all_26_key_sets() {
    let document = file("json_web_key_test.json");
    let (mut vectors, mut accepted, mut symmetric) = (0, 0, 0);
    let mut wrong = BTreeMap::new();
    for group in document["testGroups"].as_array().unwrap() {
        let keys = group.get("public").unwrap_or(&group["private"]).as_object().unwrap();
        let is_symmetric = |key: &Value| key["kty"] == "oct";
        let secret = keys["keys"].as_array().unwrap().iter().any(is_symmetric);
        let set = KeySet::from_object(keys).unwrap();
        for test in group["tests"].as_array().unwrap() {
            let mut good = test["result"] == "valid";
            // Policy, as with the signatures: symmetric keys are never read.
            if good && secret {
                good = false;
                symmetric += 1;
            }
            let verdict = set.verify(test["jws"].as_str().unwrap());
            vectors += 1;
            accepted += usize::from(verdict.is_ok());
            if verdict.is_ok() != good {
                wrong.insert(test["tcId"].as_u64(), format!("{} {verdict:?}", test["comment"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!((vectors, accepted, symmetric), (26, 1, 4));
}
