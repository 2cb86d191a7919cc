//! The operating system's keyring: Secret Service, macOS Keychain, Windows Credential Manager. Items are named by a
//! service and a user, in the layout of the `keyring` crates and of Python's `keyring`.
//!
//! A keyring is a process of somebody else's that may be locked, may ask a person, or may never answer. So every call
//! here runs on a thread of its own and ends by a deadline, whoever calls. A keyring that did not answer is left alone
//! for a while: a command that needs it three times must not wait three times.
//!
//! On Linux this speaks through `secret-service`, the layer beneath `keyring`'s own store, for three reasons: that store
//! asks the person to unlock without being told to, it cannot be cancelled, and its runtime is shared with forked
//! children. There is no mock: without a keyring every call is a typed error.

use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use tokio::time::Instant;
use zeroize::Zeroizing;

use super::store_error;
use crate::clock::{Entropy as _, SystemEntropy};
use crate::error::{Error, Result};
use crate::protocol::secret::SecretBytes;

#[cfg(any(target_os = "macos", windows))]
#[path = "os_keyring/native.rs"]
mod platform;
#[cfg(all(unix, not(any(target_os = "macos", target_os = "ios", target_os = "android"))))]
#[path = "os_keyring/secret_service.rs"]
mod platform;
#[cfg(any(target_os = "ios", target_os = "android"))]
#[path = "os_keyring/absent.rs"]
mod platform;

/// The service of every item of ours.
pub const SERVICE: &str = "flyte-auth";
/// How long a keyring may take to answer.
pub const ANSWER: Duration = Duration::from_secs(3);
/// How long a person may take to unlock it, where one may be asked.
pub const UNLOCK: Duration = Duration::from_secs(30);
/// After no answer, for this long nothing is asked.
const REST: Duration = Duration::from_secs(10);

/// What is asked of the keyring.
#[derive(Debug)]
enum Request {
    Read,
    Write(SecretBytes),
    Delete,
    Probe(SecretBytes),
}

/// An item's name, and what a person reads in the keyring's own window.
#[derive(Debug, Clone)]
struct Item {
    service: String,
    user: String,
    #[cfg_attr(any(target_os = "macos", windows), expect(dead_code, reason = "these platforms show service and user"))]
    label: String,
}

/// What the keyring said.
enum Answer {
    Secret(Option<Zeroizing<Vec<u8>>>),
    Done(bool),
}

/// The keyring, with or without asking a person to unlock it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keyring {
    unlock: bool,
}

impl Keyring {
    /// Never asks a person: a locked keyring is an error.
    pub const SILENT: Self = Self { unlock: false };

    /// May show the platform's own prompt for a locked keyring, and then waits [`UNLOCK`] at most.
    pub fn asking(unlock: bool) -> Self {
        Self { unlock }
    }

    /// The item's secret, if there is such an item.
    ///
    /// # Errors
    /// Kind `Store`: `keyring_absent`, `keyring_locked`, `keyring_timeout` (retryable) or `keyring_failed`.
    pub fn read(self, service: &str, user: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
        match self.ask(service, user, None, Request::Read)? {
            Answer::Secret(secret) => Ok(secret),
            Answer::Done(_) => Err(Error::internal("the keyring answered another question")),
        }
    }

    /// Makes the item, or replaces its secret in place. `label` is what a person sees.
    ///
    /// # Errors
    /// As [`Keyring::read`]; `keyring_too_long` where the platform limits an item (Windows: 2,560 bytes).
    pub fn write(self, service: &str, user: &str, label: &str, secret: &[u8]) -> Result<()> {
        let request = Request::Write(secret.to_vec().into());
        self.ask(service, user, Some(label), request).map(drop)
    }

    /// Removes the item; whether there was one.
    ///
    /// # Errors
    /// As [`Keyring::read`].
    pub fn delete(self, service: &str, user: &str) -> Result<bool> {
        Ok(matches!(self.ask(service, user, None, Request::Delete)?, Answer::Done(true)))
    }

    /// A round trip: writes an item, reads it back, deletes it. Only this proves that a keyring works.
    ///
    /// # Errors
    /// As [`Keyring::read`].
    pub fn probe(self) -> Result<()> {
        // A name and a secret of its own for each round trip: two processes must not read each other's.
        let mut random = [0_u8; 24];
        SystemEntropy.fill(&mut random);
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let user = format!("probe-{}", hex(&random[..8]));
        let request = Request::Probe(hex(&random[8..]).into());
        self.ask(SERVICE, &user, Some("flyte-auth: does the keyring work?"), request).map(drop)
    }

    fn ask(self, service: &str, user: &str, label: Option<&str>, request: Request) -> Result<Answer> {
        if resting() {
            return Err(no_answer());
        }
        let item = Item {
            service: service.to_owned(),
            user: user.to_owned(),
            label: label.map_or_else(|| format!("{user}@{service}"), str::to_owned),
        };
        let (answers, answer) = mpsc::sync_channel(1);
        std::thread::Builder::new()
            .name("keyring".to_owned())
            .spawn(move || {
                // Nobody listens after the deadline.
                let _ = answers.send(platform::run(&item, request, self.unlock));
            })
            .map_err(|cause| failed("no thread can be started").with_source(cause))?;
        let outcome = match answer.recv_timeout(platform::longest(self.unlock)) {
            Ok(outcome) => outcome,
            // The thread is left behind: it holds no lock of ours and does not keep the process.
            Err(mpsc::RecvTimeoutError::Timeout) => Err(no_answer()),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(failed("the call broke off")),
        };
        if let Err(error) = &outcome
            && error.code() == "keyring_timeout"
        {
            *SILENT_SINCE.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        outcome
    }
}

static SILENT_SINCE: Mutex<Option<Instant>> = Mutex::new(None);

fn resting() -> bool {
    SILENT_SINCE.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|since| since.elapsed() < REST)
}

/// [`Keyring::read`], never asking anybody.
///
/// # Errors
/// As there.
pub fn read(service: &str, user: &str) -> Result<Option<Vec<u8>>> {
    Ok(Keyring::SILENT.read(service, user)?.map(|secret| secret.to_vec()))
}

/// [`Keyring::write`], never asking anybody.
///
/// # Errors
/// As there.
pub fn write(service: &str, user: &str, secret: &[u8]) -> Result<()> {
    Keyring::SILENT.write(service, user, &format!("{user}@{service}"), secret)
}

/// [`Keyring::delete`], never asking anybody.
///
/// # Errors
/// As there.
pub fn delete(service: &str, user: &str) -> Result<bool> {
    Keyring::SILENT.delete(service, user)
}

const OTHER_STORE: &str = "or use another store, for example --store file";

#[cfg_attr(any(target_os = "macos", windows), expect(dead_code, reason = "these platforms always have one"))]
fn absent(why: &str) -> Error {
    store_error("keyring_absent", format!("there is no keyring: {why}"), &format!("Start one, {OTHER_STORE}"))
}

fn locked(how: &str) -> Error {
    store_error("keyring_locked", format!("the keyring is locked{how}"), &format!("Unlock it, {OTHER_STORE}"))
}

fn no_answer() -> Error {
    store_error(
        "keyring_timeout",
        format!("the keyring did not answer within {} s", ANSWER.as_secs()),
        &format!("Try again, {OTHER_STORE}"),
    )
    .with_retryable(true)
}

fn failed(why: &str) -> Error {
    store_error(
        "keyring_failed",
        format!("the keyring refused: {why}"),
        &format!("Look at it in the system's own application, {OTHER_STORE}"),
    )
}
