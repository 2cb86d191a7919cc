//! Client secrets: compared in plain (the sandbox) or against bcrypt and argon2 hashes (`serve`).
//!
//! A hash is slow on purpose, and a client asks for tokens all day: the work is done once for a secret that opens, and
//! only a keyed digest of it is remembered, under a key that this process makes and never writes. A wrong secret pays in
//! full, and there is a limit to how often.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError, RwLock};

use aws_lc_rs::hmac;
use flyte_auth::Timestamp;
use flyte_auth::clock::Entropy;
use flyte_auth::protocol::secret::ClientSecret;
use tokio::sync::Semaphore;

use super::{Client, OAuthError};
use crate::config::model::SecretHash;

/// Requests that somebody has yet to answer, of one client: so many at once, and so many in a second. Each is a row in the
/// database until it lapses.
const BEGIN: Rate = Rate { burst: 300, per_second: 50 };
/// Wrong secrets of one client, or user codes of one person.
const GUESS: Rate = Rate { burst: BURST, per_second: PER_SECOND };
/// Wrong secrets of one client that are checked without a pause.
const BURST: u32 = 20;
/// After that so many are checked in a second.
const PER_SECOND: u32 = 2;
/// More people than this who enter codes at once are looked through for those who stopped.
const MOST_GUESSERS: usize = 10_000;
/// Requests with a secret that is not known yet, beyond which others are sent away.
const MOST_WAITING: usize = 512;
/// A longer secret than this is not hashed: bcrypt reads 72 bytes, and argon2 would read all of it.
const LONGEST: usize = 1024;

/// What a client proves itself with.
#[derive(Debug, Clone)]
pub enum Secret {
    /// In plain.
    Plain(ClientSecret),
    /// As a password hash.
    Hash(SecretHash),
}

/// How often something may be done.
#[derive(Clone, Copy)]
struct Rate {
    burst: u32,
    per_second: u32,
}

/// How much a client may still guess.
struct Bucket {
    left: u32,
    filled: Timestamp,
}

/// Checks secrets.
pub struct Secrets {
    key: hmac::Key,
    /// By client id: digest of the secret that opened.
    opened: RwLock<HashMap<String, Vec<hmac::Tag>>>,
    guesses: Mutex<HashMap<String, Bucket>>,
    /// Requests that wait for their turn at most.
    waiting: Semaphore,
    /// Hashes that are worked on at once: more would leave no core for anybody else.
    working: Semaphore,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

impl Secrets {
    /// Remembers nothing yet.
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut key = [0_u8; 32];
        entropy.fill(&mut key);
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            opened: RwLock::default(),
            guesses: Mutex::default(),
            waiting: Semaphore::new(MOST_WAITING),
            working: Semaphore::new(1),
        }
    }

    /// Whether `secret` is one of the client's.
    ///
    /// # Errors
    /// Too many wrong ones came for this client; the caller is told when to try again.
    pub(super) async fn opens(&self, client: &Client, secret: &str, now: Timestamp) -> Result<bool, OAuthError> {
        let plain = |known: &Secret| match known {
            // ClientSecret compares in constant time.
            Secret::Plain(expected) => *expected == ClientSecret::new(secret),
            Secret::Hash(_) => false,
        };
        if client.secrets.iter().any(plain) {
            return Ok(true);
        }
        if secret.len() > LONGEST || !client.secrets.iter().any(|known| matches!(known, Secret::Hash(_))) {
            return Ok(false);
        }
        if self.is_remembered(&client.id, secret) {
            return Ok(true);
        }
        let slow_down = || OAuthError::too_many("too many wrong secrets came for this client; wait a second", 1);
        let _place = self.waiting.try_acquire().map_err(|_| slow_down())?;
        let _turn = self.working.acquire().await.map_err(|_| OAuthError::server_error("the server is stopping"))?;
        // Somebody else with the same secret may have been first: a client that begins with many requests at once pays
        // once, and guesses nothing.
        if self.is_remembered(&client.id, secret) {
            return Ok(true);
        }
        if !self.may_guess(&client.id, now) {
            return Err(slow_down());
        }
        let hashes: Vec<SecretHash> = client
            .secrets
            .iter()
            .filter_map(|known| match known {
                Secret::Hash(hash) => Some(hash.clone()),
                Secret::Plain(_) => None,
            })
            .collect();
        let given = ClientSecret::new(secret);
        let opens = tokio::task::spawn_blocking(move || hashes.iter().any(|hash| fits(hash, &given)));
        let opens = opens.await.map_err(|_| OAuthError::server_error("the secret could not be checked"))?;
        if opens {
            let tag = self.tag(&client.id, secret);
            self.opened.write().unwrap_or_else(PoisonError::into_inner).entry(client.id.clone()).or_default().push(tag);
        }
        Ok(opens)
    }

    /// Whether this person may try one more user code: the same limit as for secrets, and by a name that no client has.
    pub(super) fn may_enter_code(&self, subject: &str, now: Timestamp) -> bool {
        let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        if guesses.len() > MOST_GUESSERS {
            guesses.retain(|_, bucket| now.since(bucket.filled).as_secs() < 60);
        }
        take(&mut guesses, format!("person {subject}"), GUESS, now)
    }

    /// Whether this client may begin one more request that waits for a person.
    pub(super) fn may_begin(&self, client_id: &str, now: Timestamp) -> Result<(), OAuthError> {
        let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        if take(&mut guesses, format!("begin {client_id}"), BEGIN, now) {
            return Ok(());
        }
        Err(OAuthError::too_many("too many requests of this client wait for an answer; wait a second", 1))
    }

    fn tag(&self, client_id: &str, secret: &str) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(client_id.as_bytes());
        context.update(&[0]);
        context.update(secret.as_bytes());
        context.sign()
    }

    fn is_remembered(&self, client_id: &str, secret: &str) -> bool {
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = opened.get(client_id) else { return false };
        let tag = self.tag(client_id, secret);
        known
            .iter()
            .any(|known| aws_lc_rs::constant_time::verify_slices_are_equal(known.as_ref(), tag.as_ref()).is_ok())
    }

    fn may_guess(&self, client_id: &str, now: Timestamp) -> bool {
        // Only ids of registered clients come here, so that this cannot grow.
        take(&mut self.guesses.lock().unwrap_or_else(PoisonError::into_inner), client_id.to_owned(), GUESS, now)
    }
}

/// Takes one guess of whoever `name` is; false if none is left.
fn take(guesses: &mut HashMap<String, Bucket>, name: String, rate: Rate, now: Timestamp) -> bool {
    let bucket = guesses.entry(name).or_insert(Bucket { left: rate.burst, filled: now });
    let seconds = u32::try_from(now.since(bucket.filled).as_secs()).unwrap_or(u32::MAX);
    if seconds > 0 {
        bucket.left = bucket.left.saturating_add(seconds.saturating_mul(rate.per_second)).min(rate.burst);
        bucket.filled = now;
    }
    let may = bucket.left > 0;
    bucket.left = bucket.left.saturating_sub(1);
    may
}

/// Whether a hash is of this secret.
fn fits(hash: &SecretHash, secret: &ClientSecret) -> bool {
    let text = secret.expose(); // EXPOSE: hashed here.
    if hash.0.starts_with("$argon2") {
        use argon2::PasswordVerifier as _;
        return argon2::PasswordHash::new(&hash.0)
            .is_ok_and(|parsed| argon2::Argon2::default().verify_password(text.as_bytes(), &parsed).is_ok());
    }
    // golang.org/x/crypto/bcrypt, which flyteadmin checks with, refuses what is longer than 72 bytes.
    text.len() <= 72 && bcrypt::verify(text, &hash.0).unwrap_or(false)
}

#[cfg(test)]
mod tests;
