//! Doors for the fuzz targets to readers of foreign bytes that nobody else may call. Each only calls what the product
//! calls; nothing is decided here.

use std::io;
use std::path::Path;

use tokio::io::AsyncRead;

use crate::clock::Timestamp;
use crate::config::endpoint::Endpoint;
use crate::config::file;
use crate::config::keys::Raw;
use crate::credential::TokenSet;
use crate::credential::loopback::connection::{self, Request};
use crate::discovery::{Discovery, cache};
use crate::error::{Error, Result};
use crate::protocol::callback::{Expected, Outcome};
use crate::protocol::secret::{AccessToken, RefreshToken, SecretBytes};
use crate::session::adopt::items::{self, Held};
use crate::session::adopt::{ForeignItems, ForeignLogin};
use crate::session::cooldown;
use crate::session::trouble::Troubles;
use crate::store::envelope::{Envelope, KEY_LENGTH, SealingKey};
use crate::store::{Record, SessionKey, note, verdict};

/// A request to the loopback redirect, as its connection reads it; `None`: answered with a page of refusal.
///
/// # Errors
/// The peer went away in the middle.
pub async fn loopback_request(
    stream: &mut (impl AsyncRead + Unpin),
    port: u16,
    expected: &Expected,
) -> io::Result<Option<Outcome>> {
    Ok(match connection::read_request(stream, port, expected).await? {
        Request::Answer(outcome) => Some(outcome),
        Request::Refused(_) => None,
    })
}

/// Whether this machine can listen on a server's redirect URI.
///
/// # Errors
/// Kind `Server`: it is no URL.
pub fn is_loopback_redirect(uri: &str) -> Result<bool> {
    Ok(crate::credential::loopback::Redirect::parse(uri)?.is_loopback())
}

/// An exported session as it is written.
///
/// # Errors
/// Kind `Internal` if serialisation fails.
pub fn session_document(document: &crate::session::transfer::Document) -> Result<SecretBytes> {
    document.to_json()
}

/// What an external command printed.
///
/// # Errors
/// What is wrong with it.
pub fn command_output(output: &[u8], now: Timestamp) -> Result<TokenSet, String> {
    crate::credential::external_command::parse(output, now)
}

/// One value of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigValue {
    /// The profile, empty for the defaults.
    pub profile: String,
    /// Our name of the key.
    pub key: &'static str,
    /// Its texts: one, the list's items, or the pairs of a mapping.
    pub texts: Vec<String>,
}

/// A configuration file, as far as it is about auth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// What trust in it is bound to.
    pub fingerprint: String,
    /// Whether it is a configuration of Flyte's clients.
    pub is_flyte: bool,
    /// Unknown keys and the like.
    pub warnings: Vec<String>,
    /// Every value.
    pub values: Vec<ConfigValue>,
}

/// The text of a configuration file.
///
/// # Errors
/// Kind `Config`.
pub fn config_file(path: &Path, text: &str) -> Result<ConfigFile> {
    let file = file::parse(path, None, text)?;
    let mut values = Vec::new();
    let profiles = file.profiles.iter().map(|(name, entries)| (name.as_str(), entries));
    for (profile, entries) in profiles.chain([("", &file.admin)]) {
        for entry in entries {
            let texts = match &entry.raw {
                Raw::Text(text) => vec![text.clone()],
                Raw::Bool(value) => vec![value.to_string()],
                Raw::List(items) => items.clone(),
                Raw::Map(pairs) => pairs.iter().flat_map(|(name, value)| [name.clone(), value.clone()]).collect(),
            };
            values.push(ConfigValue { profile: profile.to_owned(), key: entry.key.name(), texts });
        }
    }
    Ok(ConfigFile { fingerprint: file.fingerprint(), is_flyte: file.is_flyte, warnings: file.warnings, values })
}

/// Seals a record.
///
/// # Errors
/// Kind `Internal` if the cryptography fails.
pub fn seal(key: &[u8; KEY_LENGTH], session: &SessionKey, record: &Record) -> Result<Vec<u8>> {
    Envelope::seal(&sealing_key(key)?, session, record)
}

/// Opens the bytes of a sealed record's file.
///
/// # Errors
/// Kind `Store`.
pub fn open_sealed(bytes: &[u8], key: &[u8; KEY_LENGTH], session: &SessionKey) -> Result<Record> {
    Envelope::parse(bytes, "here")?.open(&sealing_key(key)?, session, "here")
}

fn sealing_key(key: &[u8; KEY_LENGTH]) -> Result<SealingKey> {
    SealingKey::new(key).ok_or_else(|| Error::internal("a key of the wrong length"))
}

/// A file of the metadata cache: what it says, and whether that is still believed.
pub fn cached_metadata(bytes: &[u8], key: &str, now: Timestamp) -> Option<(Discovery, bool)> {
    let entry = cache::parse(bytes, key)?;
    let fresh = entry.is_fresh(now);
    Some((entry.discovery, fresh))
}

/// What a note of trouble makes of a call at `now`, after one more rejection and one more failure too: until when
/// nobody asks, each time.
pub fn trouble(bytes: &[u8], generation: u64, failure: &Error, now: Timestamp) -> Vec<Option<Error>> {
    let troubles = Troubles::of_note(bytes);
    let pause = || troubles.pause(now).map(|(_, error)| error);
    let mut said = vec![pause(), troubles.loops("here", 0, now)];
    troubles.rejected(generation, std::time::Duration::ZERO, now);
    said.push(troubles.loops("here", 0, now));
    troubles.failed(failure, now);
    said.push(pause());
    said
}

/// What a note of the keyring says of a bus.
pub fn keyring_verdict(bytes: &[u8], bus: &str, now: Timestamp) -> Option<bool> {
    note::parse::<verdict::Notes>(bytes).remembered(bus, now)
}

/// Until when a file of unanswered prompts keeps programs from asking: the epoch for "ask", `None` for "not at all".
pub fn prompts(text: &str, now: Timestamp) -> Option<Timestamp> {
    match cooldown::judge(&cooldown::times(text), now) {
        cooldown::Verdict::Ask => Some(Timestamp::from_millis(0)),
        cooldown::Verdict::NotBefore(until) => Some(until),
        cooldown::Verdict::NotAtAll { .. } => None,
    }
}

/// Whether a record of trust is of the file with this fingerprint.
pub fn trusts(record: &str, fingerprint: &str) -> bool {
    crate::config::trust::names(record, fingerprint)
}

/// Every place where another client may keep its login for `endpoint`.
pub fn foreign_places(endpoint: &Endpoint) -> Vec<ForeignLogin> {
    items::places(endpoint)
}

/// The login in one of these places.
///
/// # Errors
/// The keyring's.
pub fn foreign_login(
    place: &ForeignLogin,
    items: &dyn ForeignItems,
) -> Result<Option<(AccessToken, Option<RefreshToken>)>> {
    Ok(place.read(items)?.map(|held| (held.access, held.refresh)))
}

/// Puts a new pair in place of the old one.
///
/// # Errors
/// The keyring's.
pub fn replace_foreign_login(
    place: &ForeignLogin,
    items: &dyn ForeignItems,
    access: AccessToken,
    refresh: Option<RefreshToken>,
) -> Result<()> {
    place.write(items, &Held { access, refresh }, None)
}

/// Removes the login.
///
/// # Errors
/// The keyring's.
pub fn delete_foreign_login(place: &ForeignLogin, items: &dyn ForeignItems) -> Result<()> {
    place.delete(items)
}
