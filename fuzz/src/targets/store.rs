//! Files of our own that somebody else may have written, damaged or moved.

use std::sync::LazyLock;
use std::time::Duration;

use flyte_auth::protocol::secret::RefreshToken;
use flyte_auth::session::suspicion::{Caller, Ledger};
use flyte_auth::session::transfer::Document;
use flyte_auth::store::{Record, SessionKey};
use flyte_auth::testing::parsers;
use flyte_auth::{Error, ErrorKind};

use crate::support::shown::{assert_hidden, assert_not_repeated, both, says};
use crate::support::{NOW, first_line};

/// The longest that a note may keep anybody waiting.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

pub(super) fn store_record(data: &[u8]) {
    match Record::from_json(data, "here") {
        Ok(record) => {
            let written = record.to_json().expect("a record can be written");
            assert_eq!(Record::from_json(&written, "here").expect("what we write we read"), record);
            assert_tokens_hidden(&record);
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Store);
            assert_not_repeated(data, &both(&error), &[]);
        }
    }
}

fn assert_tokens_hidden(record: &Record) {
    let mut masked = record.clone();
    masked.access_token = flyte_auth::protocol::secret::AccessToken::new("");
    masked.refresh_token = record.refresh_token.as_ref().map(|_| RefreshToken::new(""));
    // Whatever the tokens are, what is shown is the same.
    assert_eq!(format!("{record:?}"), format!("{masked:?}"));
}

const KEY: [u8; 32] = [7; 32];

static SEALED_BEFORE: LazyLock<Record> = LazyLock::new(|| {
    Record::from_json(include_bytes!("../../seeds/store_record/flyte2"), "the seed").expect("a seed is a record")
});

/// The bytes of a sealed file. The seeds were sealed with this key for this session.
pub(super) fn store_envelope(data: &[u8]) {
    let session = SessionKey::of_parts([Some("fuzz")]);
    match parsers::open_sealed(data, &KEY, &session) {
        Ok(record) => {
            assert_eq!(record, *SEALED_BEFORE, "opened to what was never sealed");
            let other = SessionKey::of_parts([Some("other")]);
            assert!(parsers::open_sealed(data, &KEY, &other).is_err(), "moved to another session");
            let sealed = parsers::seal(&KEY, &session, &record).expect("sealed");
            assert_eq!(parsers::open_sealed(&sealed, &KEY, &session).expect("opened"), record);
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Store);
            assert_not_repeated(data, &both(&error), &[]);
        }
    }
}

/// Which note in the first line, then its bytes.
pub(super) fn store_notes(data: &[u8]) {
    let (kind, note) = first_line(data);
    match kind {
        b"trouble" => trouble(note),
        b"ledger" => ledger(note),
        b"keyring" => {
            let _ = parsers::keyring_verdict(note, "unix:path=/run/user/1000/bus 7", NOW);
        }
        b"prompts" => {
            if let Ok(text) = std::str::from_utf8(note)
                && let Some(until) = parsers::prompts(text, NOW)
            {
                assert!(until.since(NOW) <= LONGEST_PAUSE, "nobody is asked until {until}");
            }
        }
        b"trust" => {
            if let Ok(text) = std::str::from_utf8(note) {
                let fingerprint = "0".repeat(64);
                let trusted = parsers::trusts(text, &fingerprint);
                assert!(!trusted || text.starts_with(&fingerprint));
                assert!(!parsers::trusts(&format!("x{text}"), &fingerprint));
            }
        }
        _ => cache(note),
    }
}

fn trouble(note: &[u8]) {
    let failure = Error::new(ErrorKind::Server, "unavailable", "it answered HTTP 503").with_retryable(true);
    for generation in [1, u64::MAX] {
        for error in parsers::trouble(note, generation, &failure, NOW).into_iter().flatten() {
            let after = error.retry_after().expect("a pause has an end");
            assert!(after <= LONGEST_PAUSE, "a pause of {after:?}");
            let _ = both(&error);
        }
    }
}

fn ledger(note: &[u8]) {
    let Ok(mut ledger) = serde_json::from_slice::<Ledger>(note) else { return };
    let caller = Caller { pid: 7, started: 1 };
    let suspected = ledger.suspects(caller, 3, NOW);
    let news = ledger.note(caller, 3, NOW);
    assert!(!suspected || !news, "suspected without having been served");
    let written = serde_json::to_vec(&ledger).expect("a ledger can be written");
    assert_eq!(serde_json::from_slice::<Ledger>(&written).ok(), Some(ledger));
}

fn cache(note: &[u8]) {
    let key = "endpoint https://flyte.example";
    let Some((discovery, fresh)) = parsers::cached_metadata(note, key, NOW) else { return };
    assert!(parsers::cached_metadata(note, "endpoint https://other.example", NOW).is_none());
    let written = serde_json::to_vec(&discovery).expect("it can be written");
    assert_eq!(serde_json::from_slice(&written).ok(), Some(discovery));
    // Nothing is believed for longer than a day, whatever the file says of its age.
    let (_, later) = parsers::cached_metadata(note, key, NOW.plus(Duration::from_secs(86_400))).expect("as before");
    assert!(!(fresh && later));
}

pub(super) fn session_document(data: &[u8]) {
    match Document::parse(data) {
        Ok(document) => {
            let written = parsers::session_document(&document).expect("a document can be written");
            assert_eq!(written.iter().filter(|byte| **byte == b'\n').count(), 1, "one line");
            assert_eq!(Document::parse(&written).expect("what we write we read"), document);
            let value: serde_json::Value = serde_json::from_slice(&written).expect("JSON");
            let shown = format!("{document:?}");
            let token = value["session"]["access_token"].as_str().unwrap_or_default();
            assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()), "it fits no header");
            // A token may be repeated in a member that is no secret.
            if written.windows(token.len()).filter(|part| *part == token.as_bytes()).count() == 1 {
                assert_hidden(token, &shown);
            }
        }
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Config | ErrorKind::Store));
            let shown = both(&error);
            if !says(&shown, "twice") {
                assert_not_repeated(
                    data,
                    &shown,
                    &["flyte-auth session export", "flyte-auth-session", "session_document_invalid"],
                );
            }
        }
    }
}
