//! Seals what browsers and session stores keep for us: AES-256-GCM, with a key for each purpose.
//!
//! A sealed text is `1.KEYID.BASE64URL(nonce ‖ ciphertext ‖ tag)`. Purpose and name (of the cookie, or of the record)
//! are authenticated with it: what was made for one place opens in no other.
//!
//! Keys come from the secrets of the setting `cookieKeys` by HKDF-SHA256 (RFC 5869). The first seals, all open: a new
//! secret is put before the old one, which is taken away when the last session sealed with it is over. Nonces are random;
//! one secret is good for 2^32 seals.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::protocol::secret::SecretBytes;

/// Fewer bytes of text are no secret that could not be guessed.
pub const SHORTEST_KEY: usize = 32;
/// More secrets than any rotation needs.
const MOST_KEYS: usize = 16;
const SALT: &[u8] = b"flyte-auth relying party 1";
const VERSION: &str = "1";
const TAG: usize = 16;

/// What is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A whole session in a cookie.
    Session,
    /// The id of a session that a store keeps.
    SessionId,
    /// A session in a store.
    Record,
    /// A sign-in that is under way.
    Transaction,
    /// The form that confirms a sign-out.
    Confirmation,
}

impl Purpose {
    const ALL: [Self; 5] = [Self::Session, Self::SessionId, Self::Record, Self::Transaction, Self::Confirmation];

    const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::SessionId => "session id",
            Self::Record => "record",
            Self::Transaction => "transaction",
            Self::Confirmation => "confirmation",
        }
    }

    /// The longest sealed text that is looked at.
    const fn longest(self) -> usize {
        match self {
            Self::Session => 16 * 1024,
            Self::SessionId => 512,
            Self::Record => 4 * 1024 * 1024,
            Self::Transaction => 4096,
            Self::Confirmation => 512,
        }
    }
}

struct Key {
    id: String,
    ciphers: [RandomizedNonceKey; Purpose::ALL.len()],
}

/// The keys; the first seals.
pub(super) struct Keys(Vec<Key>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

/// What was opened.
pub(super) struct Opened {
    pub(super) plain: SecretBytes,
    /// Sealed with the first key: it need not be sealed anew.
    pub(super) by_first: bool,
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derived<const N: usize>(secret: &Prk, info: &str) -> Result<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0_u8; N]);
    secret
        .expand(&[info.as_bytes()], Length(N))
        .and_then(|derived| derived.fill(&mut *bytes))
        .map_err(|_| Error::internal("a cookie key cannot be derived"))?;
    Ok(bytes)
}

impl Key {
    fn new(secret: &SecretBytes) -> Result<Self> {
        let secret = Salt::new(HKDF_SHA256, SALT).extract(secret);
        let id = derived::<4>(&secret, "key id")?.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut ciphers = Vec::with_capacity(Purpose::ALL.len());
        for purpose in Purpose::ALL {
            let key = derived::<32>(&secret, purpose.name())?;
            let cipher = RandomizedNonceKey::new(&AES_256_GCM, &*key);
            ciphers.push(cipher.map_err(|_| Error::internal("a cookie key cannot be made"))?);
        }
        let ciphers = ciphers.try_into().map_err(|_| Error::internal("a cookie key is incomplete"))?;
        Ok(Self { id, ciphers })
    }

    fn cipher(&self, purpose: Purpose) -> &RandomizedNonceKey {
        &self.ciphers[purpose as usize]
    }

    fn associated(&self, purpose: Purpose, name: &str) -> Aad<Vec<u8>> {
        Aad::from(format!("flyte-auth\0{VERSION}\0{}\0{}\0{name}", self.id, purpose.name()).into_bytes())
    }
}

impl Keys {
    /// # Errors
    /// Kind `Config`: `cookie_keys_missing`, `cookie_key_short`, `cookie_keys_invalid`.
    pub(super) fn new(secrets: &[SecretBytes]) -> Result<Self> {
        let wrong = |code, message: &str| {
            Error::config(code, "cookieKeys", message)
                .with_next("Make one: openssl rand -base64 32; to change it put the new one first and keep the old one")
        };
        if secrets.is_empty() {
            return Err(wrong("cookie_keys_missing", "cookieKeys names no key"));
        }
        if secrets.len() > MOST_KEYS {
            return Err(wrong("cookie_keys_invalid", "cookieKeys names more than 16 keys"));
        }
        if secrets.iter().any(|secret| secret.len() < SHORTEST_KEY) {
            return Err(wrong("cookie_key_short", "a key in cookieKeys has fewer than 32 bytes"));
        }
        secrets.iter().map(Key::new).collect::<Result<Vec<_>>>().map(Self)
    }

    /// Seals with the first key.
    ///
    /// # Errors
    /// Kind `Internal`.
    pub(super) fn seal(&self, purpose: Purpose, name: &str, plain: &[u8]) -> Result<String> {
        let failed = || Error::internal("a cookie cannot be sealed");
        let key = self.0.first().ok_or_else(failed)?;
        // Room for the tag: growing would leave a plain copy behind.
        let mut sealed = Vec::with_capacity(plain.len() + TAG);
        sealed.extend_from_slice(plain);
        let nonce = key
            .cipher(purpose)
            .seal_in_place_append_tag(key.associated(purpose, name), &mut sealed)
            .map_err(|_| failed())?;
        let mut whole = Vec::with_capacity(NONCE_LEN + sealed.len());
        whole.extend_from_slice(nonce.as_ref());
        whole.extend_from_slice(&sealed);
        Ok(format!("{VERSION}.{}.{}", key.id, URL_SAFE_NO_PAD.encode(whole)))
    }

    /// Opens what was sealed for `purpose` and `name`; `None` for anything else, whatever is wrong with it.
    pub(super) fn open(&self, purpose: Purpose, name: &str, sealed: &str) -> Option<Opened> {
        if sealed.len() > purpose.longest() {
            return None;
        }
        let (version, rest) = sealed.split_once('.')?;
        let (id, encoded) = rest.split_once('.')?;
        if version != VERSION {
            return None;
        }
        // Two secrets may share an id: four bytes are a hint.
        let keys = self.0.iter().enumerate().filter(|(_, key)| key.id == id);
        for (at, key) in keys {
            // Decoded for each: a failed attempt overwrites it.
            let mut bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).ok()?);
            let (nonce, rest) = bytes.split_first_chunk_mut::<NONCE_LEN>()?;
            let nonce = Nonce::assume_unique_for_key(*nonce);
            if let Ok(plain) = key.cipher(purpose).open_in_place(nonce, key.associated(purpose, name), rest) {
                let mut kept = SecretBytes::new();
                kept.extend(plain);
                return Some(Opened { plain: kept, by_first: at == 0 });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
