//! macOS Keychain and Windows Credential Manager, through the `keyring` crates.

use std::time::Duration;

use keyring_core::api::CredentialStoreApi as _;
use keyring_core::{Entry, Error as KeyringError};
use zeroize::Zeroizing;

use super::{ANSWER, Answer, Item, Request, UNLOCK, failed, locked};
use crate::error::{Error, Result};
use crate::store::store_error;

/// macOS asks by itself when a program's signature is new to the item; Windows never asks.
pub(super) fn longest(unlock: bool) -> Duration {
    if unlock && cfg!(target_os = "macos") { ANSWER + UNLOCK } else { ANSWER }
}

pub(super) fn run(item: &Item, request: Request, _unlock: bool) -> Result<Answer> {
    let entry = open(item).map_err(explain)?;
    match request {
        Request::Read => read(&entry).map(Answer::Secret),
        Request::Write(secret) => entry.set_secret(&secret).map(|()| Answer::Done(true)).map_err(explain),
        Request::Delete => delete(&entry).map(Answer::Done),
        Request::Probe(secret) => {
            entry.set_secret(&secret).map_err(explain)?;
            let back = read(&entry);
            delete(&entry)?;
            match back? {
                Some(back) if *back == *secret => Ok(Answer::Done(true)),
                Some(_) => Err(failed("it gives back other bytes than were written")),
                None => Err(failed("what was just written is not there")),
            }
        }
    }
}

#[cfg(target_os = "macos")]
fn open(item: &Item) -> Result<Entry, KeyringError> {
    // The Keychain shows the service; it has no label of ours.
    apple_native_keyring_store::keychain::Store::new()?.build(&item.service, &item.user, None)
}

#[cfg(windows)]
fn open(item: &Item) -> Result<Entry, KeyringError> {
    // `service:user`, as Go's keyring library names its items; never roaming to other machines ("Local").
    let target = format!("{}:{}", item.service, item.user);
    let modifiers = std::collections::HashMap::from([("target", target.as_str()), ("persistence", "Local")]);
    windows_native_keyring_store::Store::new()?.build(&item.service, &item.user, Some(&modifiers))
}

fn read(entry: &Entry) -> Result<Option<Zeroizing<Vec<u8>>>> {
    match entry.get_secret() {
        Ok(secret) => Ok(Some(Zeroizing::new(secret))),
        Err(KeyringError::NoEntry) => Ok(None),
        Err(cause) => Err(explain(cause)),
    }
}

fn delete(entry: &Entry) -> Result<bool> {
    match entry.delete_credential() {
        Ok(()) => Ok(true),
        Err(KeyringError::NoEntry) => Ok(false),
        Err(cause) => Err(explain(cause)),
    }
}

fn explain(cause: KeyringError) -> Error {
    match cause {
        KeyringError::NoStorageAccess(cause) => locked(", or access to it was refused").with_source(Cause(cause)),
        KeyringError::TooLong(_, limit) => store_error(
            "keyring_too_long",
            format!("the session is too large for one item of this keyring ({limit} bytes)"),
            "Use --store encrypted-file, which keeps only a key in the keyring",
        ),
        KeyringError::PlatformFailure(cause) => failed("the platform reports a failure").with_source(Cause(cause)),
        // Never the cause itself: some variants carry the secret's bytes.
        _ => failed("it gave no usable answer"),
    }
}

/// A platform's error as a source.
#[derive(Debug)]
struct Cause(Box<dyn std::error::Error + Send + Sync>);

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Cause {}
