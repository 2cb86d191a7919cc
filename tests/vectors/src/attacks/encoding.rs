//! One way to write a token: compact serialisation of canonical base64url of strict JSON (RFC 7515 sections 3.1 and 5.2).

use std::io::Write as _;

use serde_json::json;

use crate::scene::{ACCEPTED, claims, claims_with, expect, verifier};
use crate::signer::{base64url, p256, rsa};

const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The same octets with other unused bits in the last character; `None` where there are none.
fn other_tail(part: &str) -> Option<String> {
    let spare = match part.len() % 4 {
        2 => 0b1111,
        3 => 0b11,
        _ => return None,
    };
    let value = ALPHABET.find(part.chars().last()?)?;
    assert_eq!(value & spare, 0, "a canonical encoding");
    Some(format!("{}{}", &part[..part.len() - 1], ALPHABET.chars().nth(value | 1)?))
}

/// A part that has unused bits: `make` gets more text until one has.
fn with_tail(make: impl Fn(&str) -> String) -> String {
    ["", "x", "xx"].iter().map(|more| base64url(make(more))).find(|part| other_tail(part).is_some()).unwrap()
}

#[test]
fn non_canonical_tail_bits() {
    let verifier = verifier(rsa().keys());
    let header = with_tail(|more| json!({"alg": "RS256", "kid": "rsa", "x": more}).to_string());
    let payload = with_tail(|more| claims_with(&json!({ "x": more })).to_string());
    let good = rsa().sign_parts(&header, &payload);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    expect(
        &verifier,
        &[
            ("good", good.clone(), ACCEPTED),
            // These two are signed as they are: only the decoding can refuse them.
            ("header", rsa().sign_parts(&other_tail(&header).unwrap(), &payload), "token_malformed"),
            ("payload", rsa().sign_parts(&header, &other_tail(&payload).unwrap()), "token_malformed"),
            ("signature", format!("{signed}.{}", other_tail(signature).unwrap()), "token_malformed"),
        ],
    );
}

#[test]
fn padding() {
    let header = with_tail(|more| json!({"alg": "RS256", "kid": "rsa", "x": more}).to_string());
    let payload = with_tail(|more| claims_with(&json!({ "x": more })).to_string());
    let good = rsa().sign_parts(&header, &payload);
    let verifier = verifier(rsa().keys());
    expect(&verifier, &[("good", good.clone(), ACCEPTED)]);
    for padding in ["=", "==", "===", "%3D"] {
        expect(
            &verifier,
            &[
                ("header", rsa().sign_parts(&format!("{header}{padding}"), &payload), "token_malformed"),
                ("payload", rsa().sign_parts(&header, &format!("{payload}{padding}")), "token_malformed"),
                ("signature", format!("{good}{padding}"), "token_malformed"),
            ],
        );
    }
}

#[test]
fn white_space() {
    let header = base64url(rsa().header().to_string());
    let payload = base64url(claims().to_string());
    let good = rsa().sign_parts(&header, &payload);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let verifier = verifier(rsa().keys());
    for space in [" ", "\t", "\n", "\r\n", "\0", "\u{a0}", "\u{200b}", "\u{feff}"] {
        expect(
            &verifier,
            &[
                ("before", format!("{space}{good}"), "token_malformed"),
                ("after", format!("{good}{space}"), "token_malformed"),
                ("before the signature", format!("{signed}.{space}{signature}"), "token_malformed"),
                (
                    "in the signature",
                    format!("{signed}.{}{space}{}", &signature[..9], &signature[9..]),
                    "token_malformed",
                ),
                ("in the header", rsa().sign_parts(&format!("{space}{header}"), &payload), "token_malformed"),
                ("after the header", rsa().sign_parts(&format!("{header}{space}"), &payload), "token_malformed"),
                ("in the payload", rsa().sign_parts(&header, &format!("{space}{payload}")), "token_malformed"),
            ],
        );
    }
}

/// The other base64 alphabet, and characters of none.
#[test]
fn foreign_characters() {
    // `?>` and `???` give both characters in which the alphabets differ.
    let payload = base64url(claims_with(&json!({"x": "???>>>~~~"})).to_string());
    let header = base64url(rsa().header().to_string());
    let good = rsa().sign_parts(&header, &payload);
    let verifier = verifier(rsa().keys());
    assert!(good.contains(['-', '_']));
    expect(&verifier, &[("base64url", good.clone(), ACCEPTED)]);
    let standard = payload.replace('-', "+").replace('_', "/");
    if standard != payload {
        expect(&verifier, &[("base64", rsa().sign_parts(&header, &standard), "token_malformed")]);
    }
    for character in ["?", "#", "!", "\"", "é", "%41", "\u{ff21}"] {
        expect(
            &verifier,
            &[
                ("in the header", rsa().sign_parts(&format!("{header}{character}"), &payload), "token_malformed"),
                ("in the payload", rsa().sign_parts(&header, &format!("{character}{payload}")), "token_malformed"),
                ("in the signature", format!("{good}{character}"), "token_malformed"),
            ],
        );
    }
}

#[test]
fn text_that_is_not_utf_8() {
    let broken = |text: &str| {
        text.replace("HERE", "\u{1}")
            .into_bytes()
            .into_iter()
            .map(|octet| if octet == 1 { 0xff } else { octet })
            .collect::<Vec<_>>()
    };
    let header = base64url(rsa().header().to_string());
    let payload = base64url(claims().to_string());
    let bad_header = base64url(broken(r#"{"alg":"RS256","kid":"rsa","x":"HERE"}"#));
    let bad_payload = base64url(broken(&claims_with(&json!({"x": "HERE"})).to_string()));
    let utf_16: Vec<u8> = claims().to_string().encode_utf16().flat_map(u16::to_le_bytes).collect();
    expect(
        &verifier(rsa().keys()),
        &[
            ("header", rsa().sign_parts(&bad_header, &payload), "token_malformed"),
            ("payload", rsa().sign_parts(&header, &bad_payload), "token_malformed"),
            ("UTF-16", rsa().sign_parts(&header, &base64url(utf_16)), "token_malformed"),
        ],
    );
}

#[test]
fn payload_that_is_no_json_object() {
    let verifier = verifier(rsa().keys());
    let good = claims().to_string();
    let header = rsa().header().to_string();
    for payload in [
        String::new(),
        " ".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        format!("[{good}]"),
        format!("\"{}\"", good.replace('"', "\\\"")),
        "1".to_owned(),
        format!("\u{feff}{good}"),
        format!("{good}{good}"),
        format!("{good}x"),
        format!("{good}\0"),
        format!("// x\n{good}"),
        good.replace('"', "'"),
        good.replace('}', ",}"),
        good[..good.len() - 1].to_owned(),
    ] {
        expect(&verifier, &[(&payload, rsa().sign_text(&header, &payload), "token_malformed")]);
    }
}

#[test]
fn header_that_is_no_json_object() {
    let verifier = verifier(rsa().keys());
    let payload = claims().to_string();
    for header in ["", "null", "[]", r#"[{"alg":"RS256"}]"#, "\"RS256\"", "{}{}", "{", "\u{feff}{\"alg\":\"RS256\"}"] {
        expect(&verifier, &[(header, rsa().sign_text(header, &payload), "token_malformed")]);
    }
}

#[test]
fn wrong_number_of_parts() {
    let good = rsa().token(&claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let verifier = verifier(rsa().keys());
    let mut rows = vec![
        ("two", signed.to_owned()),
        ("four", format!("{good}.{signature}")),
        ("a dot before", format!(".{good}")),
        ("a dot after", format!("{good}.")),
        ("five", format!("{good}.{signature}.{signature}")),
        ("an empty payload", format!("{}..{signature}", good.split('.').next().unwrap())),
    ];
    rows.extend(["", ".", "..", "...", "....", "x"].map(|dots| ("dots", dots.to_owned())));
    for (what, token) in rows {
        let code = if what == "an empty payload" { "token_signature" } else { "token_malformed" };
        expect(&verifier, &[(what, token, code)]);
    }
}

/// RFC 7515 section 7.2: the JSON serialisations are no tokens, whatever they carry.
#[test]
fn json_serialisation() {
    let good = rsa().token(&claims());
    let parts: Vec<&str> = good.split('.').collect();
    let flattened = json!({"protected": parts[0], "payload": parts[1], "signature": parts[2]});
    let general = json!({"payload": parts[1], "signatures": [{"protected": parts[0], "signature": parts[2]}]});
    let unprotected = json!({"header": {"alg": "none"}, "payload": parts[1], "signature": ""});
    let verifier = verifier(rsa().keys());
    for document in [flattened, general, unprotected] {
        // The issuer's name has dots too: the text has three parts and more.
        expect(&verifier, &[("JSON", document.to_string(), "token_malformed")]);
        expect(&verifier, &[("JSON in base64url", base64url(document.to_string()), "token_malformed")]);
    }
}

/// A token inside a token (RFC 7519 section 5.2): the inner one is not looked for.
#[test]
fn nested_jwt() {
    let inner = rsa().token(&claims());
    let header = json!({"alg": "RS256", "kid": "rsa", "cty": "JWT"}).to_string();
    let outer = rsa().sign_text(&header, &inner);
    let quoted = rsa().sign_text(&header, &format!("\"{inner}\""));
    let verifier = verifier(rsa().keys());
    expect(
        &verifier,
        &[("inner", inner, ACCEPTED), ("outer", outer, "token_malformed"), ("quoted", quoted, "token_malformed")],
    );
}

/// Five parts are encrypted (RFC 7516): a public key must not become a key to decrypt with.
#[test]
fn jwe_in_place_of_jws() {
    let verifier = verifier(rsa().keys());
    for header in [
        json!({"alg": "RSA-OAEP", "enc": "A256GCM", "kid": "rsa"}),
        json!({"alg": "dir", "enc": "A128CBC-HS256", "kid": "rsa"}),
        json!({"alg": "ECDH-ES", "enc": "A128GCM", "epk": p256().jwk()}),
        json!({"alg": "PBES2-HS512+A256KW", "enc": "A256GCM", "p2c": 2_000_000_000, "p2s": "AAAA"}),
    ] {
        let header = base64url(header.to_string());
        let token = format!(
            "{header}.{}.{}.{}.{}",
            base64url([1; 256]),
            base64url([2; 12]),
            base64url([3; 64]),
            base64url([4; 16])
        );
        expect(&verifier, &[("JWE", token, "token_malformed")]);
        // The same header on a signed token.
        let signed = rsa().sign_parts(&header, &base64url(claims().to_string()));
        expect(&verifier, &[("JWE header", signed, "token_algorithm")]);
    }
}

/// Nothing is ever inflated: `zip` belongs to encryption (RFC 7516 section 4.1.3), where 60 kB become 60 MB.
#[test]
fn zip_bomb() {
    let mut deflated = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    deflated.write_all(format!("{{\"x\":\"{}", " ".repeat(16 << 20)).as_bytes()).unwrap();
    let bomb = base64url(deflated.finish().unwrap());
    let verifier = verifier(rsa().keys());
    let header = base64url(json!({"alg": "RS256", "kid": "rsa", "zip": "DEF"}).to_string());
    let encrypted = base64url(json!({"alg": "dir", "enc": "A128GCM", "zip": "DEF"}).to_string());
    expect(
        &verifier,
        &[
            ("signed", rsa().sign_parts(&header, &bomb), "token_malformed"),
            ("encrypted", format!("{encrypted}..AAAA.{bomb}.AAAA"), "token_malformed"),
        ],
    );
}
