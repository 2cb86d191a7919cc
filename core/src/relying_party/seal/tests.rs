use super::*;

fn keys(names: &[&str]) -> Keys {
    let secrets: Vec<SecretBytes> = names.iter().map(|name| SecretBytes::from(name.repeat(32))).collect();
    Keys::new(&secrets).unwrap()
}

#[test]
fn only_the_same_key_purpose_and_name_open_it() {
    let sealed = keys(&["a"]).seal(Purpose::Session, "n", b"canary").unwrap();
    assert!(!sealed.contains("canary"));
    let opened = keys(&["a"]).open(Purpose::Session, "n", &sealed).unwrap();
    assert!(&*opened.plain == b"canary" && opened.by_first);
    let later = keys(&["b", "a"]).open(Purpose::Session, "n", &sealed).unwrap();
    assert!(&*later.plain == b"canary" && !later.by_first);
    assert!(keys(&["b"]).open(Purpose::Session, "n", &sealed).is_none());
    assert!(keys(&["a"]).open(Purpose::Session, "m", &sealed).is_none());
    for purpose in Purpose::ALL.into_iter().filter(|purpose| *purpose != Purpose::Session) {
        assert!(keys(&["a"]).open(purpose, "n", &sealed).is_none(), "{purpose:?}");
    }
}

#[test]
fn every_changed_byte_is_seen() {
    let keys = keys(&["a"]);
    let sealed = keys.seal(Purpose::Transaction, "n", b"canary").unwrap();
    for at in 0..sealed.len() {
        for with in [b'A', b'B', b'.', b'=', b' '] {
            let mut bytes = sealed.clone().into_bytes();
            if bytes[at] == with {
                continue;
            }
            bytes[at] = with;
            assert!(keys.open(Purpose::Transaction, "n", std::str::from_utf8(&bytes).unwrap()).is_none(), "{at}");
        }
        assert!(keys.open(Purpose::Transaction, "n", &sealed[..at]).is_none());
    }
    for text in ["", ".", "..", "1..", "1.x.", "1.x.AAAA", "x.y.z"] {
        assert!(keys.open(Purpose::Transaction, "n", text).is_none());
    }
}

#[test]
fn what_is_too_long_is_not_looked_at() {
    let keys = keys(&["a"]);
    for purpose in Purpose::ALL {
        let sealed = keys.seal(purpose, "n", &vec![b'x'; purpose.longest()]).unwrap();
        assert!(keys.open(purpose, "n", &sealed).is_none(), "{purpose:?}");
    }
}

#[test]
fn two_seals_differ_and_a_key_shows_its_id_only() {
    let keys = keys(&["a"]);
    let seal = || keys.seal(Purpose::Session, "n", b"x").unwrap();
    assert_ne!(seal(), seal());
    assert_eq!(format!("{keys:?}"), format!("[{:?}]", keys.0[0].id));
}
