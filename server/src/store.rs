//! What the authorization server remembers: requests that wait for a person, codes, device codes, refresh tokens and
//! what was revoked. Secrets are kept as digests only.
//!
//! In memory. With a file, sessions (refresh tokens and revocations) also outlive a restart; the file is written before
//! the token that it describes leaves the server.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use flyte_auth::Timestamp;
use flyte_auth::error::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::private_file;
use crate::users::User;

/// What was granted to a client: goes into every token of the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Names the session: one sign-in and all tokens that come of it. Revoking it revokes them all.
    pub session: String,
    /// The client.
    pub client_id: String,
    /// The person; `None` for a client that acts for itself.
    pub user: Option<User>,
    /// Granted scopes.
    pub scopes: Vec<String>,
    /// Audiences that were asked for.
    pub audience: Vec<String>,
    /// When the person approved, in seconds since the epoch.
    pub auth_time: i64,
}

/// An authorization request that waits for a person's answer.
#[derive(Debug, Clone)]
pub struct PendingAuthorization {
    /// The validated request.
    pub request: crate::authorization_server::AuthorizationRequest,
    /// When it lapses.
    pub expires_at: Timestamp,
}

/// An authorization code.
#[derive(Clone)]
pub struct Code {
    /// What it stands for.
    pub grant: Grant,
    /// The redirect to which it was sent; must be named again (RFC 6749 section 4.1.3).
    pub redirect_uri: String,
    /// PKCE challenge (S256).
    pub challenge: Option<String>,
    /// OpenID nonce.
    pub nonce: Option<String>,
    /// When it lapses.
    pub expires_at: Timestamp,
    /// Set at its one use; a second use revokes the session.
    pub used: bool,
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Code").field("grant", &self.grant).field("used", &self.used).finish_non_exhaustive()
    }
}

/// What the person answered to a device authorization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceAnswer {
    /// Nothing yet.
    Pending,
    /// Approved as this user, at this second.
    Approved(User, i64),
    /// Denied.
    Denied,
}

/// A device authorization (RFC 8628).
#[derive(Clone)]
pub struct Device {
    /// As shown: `WDJB-MJHT`.
    pub user_code: String,
    /// The client that polls.
    pub client_id: String,
    /// Requested scopes.
    pub scopes: Vec<String>,
    /// Audiences that were asked for.
    pub audience: Vec<String>,
    /// PKCE challenge (S256), where the client sent one.
    pub challenge: Option<String>,
    /// The answer so far.
    pub answer: DeviceAnswer,
    /// When it lapses.
    pub expires_at: Timestamp,
    /// Least time between polls, in seconds; grows with each `slow_down`.
    pub interval: u64,
    /// When the client last polled.
    pub polled_at: Option<Timestamp>,
}

impl fmt::Debug for Device {
    // Whoever has the user code can confirm another login with it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("client_id", &self.client_id)
            .field("answer", &self.answer)
            .finish_non_exhaustive()
    }
}

/// A refresh token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refresh {
    /// What it stands for.
    pub grant: Grant,
    /// When it lapses, in milliseconds since the epoch.
    pub expires_at: i64,
    /// Set once it was rotated away; a later use revokes the session.
    pub used: bool,
}

/// The part that outlives a restart. Keys of `refresh` are digests.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Durable {
    refresh: HashMap<String, Refresh>,
    /// Revoked sessions and access tokens (`jti`), with the time after which no token of theirs is alive.
    revoked: HashMap<String, i64>,
}

/// Everything, reached only under the lock.
#[derive(Default)]
pub struct Tables {
    /// By request id.
    pub pending: HashMap<String, PendingAuthorization>,
    /// By digest of the code.
    pub codes: HashMap<String, Code>,
    /// By digest of the device code.
    pub devices: HashMap<String, Device>,
    durable: Durable,
    dirty: bool,
}

impl fmt::Debug for Tables {
    // The id of a request that waits is what its page answers with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tables")
            .field("pending", &self.pending.len())
            .field("codes", &self.codes.len())
            .field("devices", &self.devices.len())
            .field("refresh", &self.durable.refresh.len())
            .finish_non_exhaustive()
    }
}

impl Tables {
    fn purge(&mut self, now: Timestamp) {
        let millis = now.as_millis();
        self.pending.retain(|_, pending| pending.expires_at > now);
        // Lapsed codes stay an hour: long enough to recognise a second use, and to say "expired" rather than "unknown".
        let lapsed = now.minus(std::time::Duration::from_secs(3600));
        self.codes.retain(|_, code| code.expires_at > lapsed);
        self.devices.retain(|_, device| device.expires_at > lapsed);
        self.durable.refresh.retain(|_, refresh| refresh.expires_at > lapsed.as_millis());
        self.durable.revoked.retain(|_, until| *until > millis);
    }

    /// The refresh token of this digest.
    pub fn refresh(&self, digest: &str) -> Option<&Refresh> {
        self.durable.refresh.get(digest)
    }

    /// Adds a refresh token.
    pub fn add_refresh(&mut self, digest: String, refresh: Refresh) {
        self.durable.refresh.insert(digest, refresh);
        self.dirty = true;
    }

    /// Marks a refresh token as rotated away.
    pub fn use_refresh(&mut self, digest: &str) {
        if let Some(refresh) = self.durable.refresh.get_mut(digest) {
            refresh.used = true;
            self.dirty = true;
        }
    }

    /// Ends a session: its refresh tokens are gone and its access tokens no longer pass. `until`: when the last of them
    /// would have lapsed.
    pub fn revoke_session(&mut self, session: &str, until: Timestamp) {
        self.durable.refresh.retain(|_, refresh| refresh.grant.session != session);
        self.revoke(session, until);
    }

    /// Ends one access token, by its `jti`.
    pub fn revoke(&mut self, id: &str, until: Timestamp) {
        self.durable.revoked.insert(id.to_owned(), until.as_millis());
        self.dirty = true;
    }

    /// Whether this session or `jti` was revoked.
    pub fn is_revoked(&self, id: &str) -> bool {
        self.durable.revoked.contains_key(id)
    }

    /// The device authorization with this user code, unless it has lapsed.
    pub fn device_by_user_code(&mut self, user_code: &str, now: Timestamp) -> Option<&mut Device> {
        self.devices.values_mut().find(|device| device.user_code == user_code && device.expires_at > now)
    }
}

/// The tables and their file.
#[derive(Debug)]
pub struct Store {
    tables: Mutex<Tables>,
    file: Option<PathBuf>,
}

impl Store {
    /// The sessions in `file`, or none; without `file` everything lives in memory.
    ///
    /// # Errors
    /// Kind `Store`: the file cannot be read or understood.
    pub fn open(file: Option<PathBuf>) -> Result<Self> {
        let mut tables = Tables::default();
        if let Some(path) = &file
            && let Some(content) = private_file::read(path)?
        {
            tables.durable = serde_json::from_slice(&content).map_err(|error| private_file::malformed(path, error))?;
        }
        Ok(Self { tables: Mutex::new(tables), file })
    }

    /// Reads and changes the tables in one step; what `change` did is on disk before this returns.
    ///
    /// # Errors
    /// Kind `Store`: the file cannot be written.
    pub fn change<R>(&self, now: Timestamp, change: impl FnOnce(&mut Tables) -> R) -> Result<R> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.purge(now);
        let result = change(&mut tables);
        if tables.dirty {
            if let Some(path) = &self.file {
                let content = serde_json::to_vec(&tables.durable)
                    .map_err(|_| Error::internal("the sessions cannot be written"))?;
                private_file::write(path, &content)?;
            }
            tables.dirty = false;
        }
        Ok(result)
    }

    /// Whether any of these ids (session, `jti`) was revoked.
    pub fn any_revoked(&self, ids: &[&str]) -> bool {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        ids.iter().any(|id| tables.is_revoked(id))
    }
}
