//! A record sealed with AES-256-GCM. What must be known without the key stands beside the ciphertext and is bound to it:
//! changing it, or moving a file to another session's name, makes it unreadable.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::record::{SCHEMA_VERSION, refuse_newer};
use super::{Record, SessionKey, store_error};
use crate::error::{Error, Result};

/// Bytes of a key.
pub(crate) const KEY_LENGTH: usize = 32;
const CIPHER: &str = "A256GCM";

/// A sealed record as it is in its file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Envelope {
    schema_version: u32,
    cipher: String,
    /// Which key, so that another one is told from damage.
    pub(super) key_id: String,
    nonce: String,
    sealed: String,
}

/// What seals. Never printed.
pub(crate) struct SealingKey {
    id: String,
    cipher: RandomizedNonceKey,
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealingKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl SealingKey {
    /// `None` if it has not [`KEY_LENGTH`] bytes.
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, bytes).ok()?;
        let digest = Sha256::new().chain_update(b"flyte-auth key id\0").chain_update(bytes).finalize();
        Some(Self { id: digest[..8].iter().map(|byte| format!("{byte:02x}")).collect(), cipher })
    }

    /// Says which key it is, and nothing else of it.
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

fn associated(schema_version: u32, key_id: &str, session: &SessionKey) -> Aad<Vec<u8>> {
    Aad::from(format!("flyte-auth sealed record\0{schema_version}\0{key_id}\0{}", session.as_str()).into_bytes())
}

fn damaged(place: &str) -> Error {
    store_error("store_corrupt", format!("the stored session {place} is damaged"), "Sign in again: flyte-auth login")
}

impl Envelope {
    pub(crate) fn seal(key: &SealingKey, session: &SessionKey, record: &Record) -> Result<Vec<u8>> {
        let failed = || Error::internal("a record cannot be sealed");
        // Room for the tag: growing would leave a plain copy behind.
        let plain = record.to_json()?;
        let mut sealed = Vec::with_capacity(plain.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&plain);
        let nonce = key
            .cipher
            .seal_in_place_append_tag(associated(SCHEMA_VERSION, &key.id, session), &mut sealed)
            .map_err(|_| failed())?;
        let envelope = Self {
            schema_version: SCHEMA_VERSION,
            cipher: CIPHER.to_owned(),
            key_id: key.id.clone(),
            nonce: BASE64.encode(nonce.as_ref()),
            sealed: BASE64.encode(&sealed),
        };
        serde_json::to_vec(&envelope).map_err(|_| failed())
    }

    /// Reads what needs no key; `place` names it in errors.
    ///
    /// # Errors
    /// `store_newer`, which is left untouched; `store_corrupt`.
    pub(crate) fn parse(bytes: &[u8], place: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            schema_version: u32,
        }
        let Version { schema_version } = serde_json::from_slice(bytes).map_err(|_| damaged(place))?;
        refuse_newer(schema_version, place)?;
        let envelope: Self = serde_json::from_slice(bytes).map_err(|_| damaged(place))?;
        if envelope.cipher == CIPHER { Ok(envelope) } else { Err(damaged(place)) }
    }

    /// Opens it with the key that it names.
    ///
    /// # Errors
    /// `store_corrupt`: changed, of another session, or of another key.
    pub(crate) fn open(&self, key: &SealingKey, session: &SessionKey, place: &str) -> Result<Record> {
        let nonce = BASE64.decode(&self.nonce).ok().and_then(|nonce| <[u8; NONCE_LEN]>::try_from(nonce).ok());
        let nonce = nonce.ok_or_else(|| damaged(place))?;
        let mut sealed = Zeroizing::new(BASE64.decode(&self.sealed).map_err(|_| damaged(place))?);
        let associated = associated(self.schema_version, &self.key_id, session);
        let plain = key
            .cipher
            .open_in_place(Nonce::assume_unique_for_key(nonce), associated, &mut sealed)
            .map_err(|_| damaged(place))?;
        Record::from_json(plain, place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::secret::AccessToken;
    use crate::store::record::tests::sample;

    fn key(byte: u8) -> SealingKey {
        SealingKey::new(&[byte; KEY_LENGTH]).unwrap()
    }

    fn session(name: &str) -> SessionKey {
        SessionKey::of_parts([Some(name)])
    }

    #[test]
    fn only_the_same_key_session_and_header_open_it() {
        let sealed = Envelope::seal(&key(1), &session("a"), &sample()).unwrap();
        let envelope = Envelope::parse(&sealed, "x").unwrap();
        assert_eq!(envelope.open(&key(1), &session("a"), "x").unwrap(), sample());
        assert!(!String::from_utf8(sealed.clone()).unwrap().contains("canary"));
        for (key, session) in [(key(2), session("a")), (key(1), session("b"))] {
            assert_eq!(envelope.open(&key, &session, "x").unwrap_err().code(), "store_corrupt");
        }
        for member in ["schema_version", "key_id", "nonce", "sealed"] {
            let mut changed: serde_json::Value = serde_json::from_slice(&sealed).unwrap();
            changed[member] = match member {
                "schema_version" => 0.into(),
                "key_id" => "0".into(),
                "nonce" => BASE64.encode([0; NONCE_LEN]).into(),
                _ => BASE64.encode([0; 64]).into(),
            };
            let envelope = Envelope::parse(changed.to_string().as_bytes(), "x").unwrap();
            assert_eq!(envelope.open(&key(1), &session("a"), "x").unwrap_err().code(), "store_corrupt", "{member}");
        }
    }

    #[test]
    fn two_seals_of_one_record_differ() {
        let seal = || Envelope::seal(&key(1), &session("a"), &sample()).unwrap();
        assert_ne!(seal(), seal());
    }

    #[test]
    fn any_size() {
        let mut large = sample();
        large.access_token = AccessToken::new("x".repeat(64 * 1024));
        let sealed = Envelope::seal(&key(1), &session("a"), &large).unwrap();
        assert_eq!(Envelope::parse(&sealed, "x").unwrap().open(&key(1), &session("a"), "x").unwrap(), large);
    }

    #[test]
    fn a_newer_one_is_known_without_the_key() {
        let newer = format!(r#"{{"schema_version": {}, "anything": 1}}"#, SCHEMA_VERSION + 1);
        assert_eq!(Envelope::parse(newer.as_bytes(), "x").unwrap_err().code(), "store_newer");
        for damaged in ["", "{}", "canary", r#"{"schema_version": 1}"#] {
            let error = Envelope::parse(damaged.as_bytes(), "x").unwrap_err();
            assert_eq!(error.code(), "store_corrupt");
            assert!(!error.to_string().contains("canary"));
        }
    }

    #[test]
    fn a_key_shows_nothing_but_its_id() {
        assert!(SealingKey::new(&[1; 31]).is_none());
        assert_ne!(key(1).id(), key(2).id());
        assert_eq!(format!("{:?}", key(1)), format!("SealingKey {{ id: {:?}, .. }}", key(1).id()));
    }
}
