//! The state of a server that keeps nothing: the sandbox's, and that of tests. No call waits.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flyte_auth::Timestamp;
use flyte_auth::error::Result;

use super::records::{Code, Device, DeviceAnswer, Event, Pending, Refresh, Rotation};
use super::{KEPT_AFTER, State};

/// A refresh token, and whether another one took its place.
struct Kept {
    refresh: Refresh,
    replaced: bool,
}

#[derive(Default)]
struct Tables {
    pending: HashMap<String, Pending>,
    codes: HashMap<String, Code>,
    devices: HashMap<String, Device>,
    refresh: HashMap<String, Kept>,
    revoked: HashMap<String, Timestamp>,
    used: HashMap<String, Timestamp>,
    sessions: HashMap<String, (Vec<u8>, Timestamp)>,
    events: Vec<Event>,
}

impl Tables {
    /// Of two ends the later one counts.
    fn revoke(&mut self, id: &str, until: Timestamp) {
        let kept = self.revoked.entry(id.to_owned()).or_insert(until);
        *kept = until.max(*kept);
    }

    /// Every refresh token of the family of `digest` but itself is dead. Whether one was not before.
    fn only(&mut self, digest: &str, session: &str) -> bool {
        let mut changed = false;
        for (other, kept) in &mut self.refresh {
            if other != digest && kept.refresh.grant.session == session && !kept.refresh.dead {
                kept.refresh.dead = true;
                changed = true;
            }
        }
        changed
    }
}

/// In memory.
#[derive(Default)]
pub struct Memory(Mutex<Tables>);

impl fmt::Debug for Memory {
    // The id of a request that waits is what its page answers with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Memory {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl State for Memory {
    async fn put_pending(&self, id: &str, pending: &Pending) -> Result<()> {
        self.tables().pending.insert(id.to_owned(), pending.clone());
        Ok(())
    }

    async fn pending(&self, id: &str, now: Timestamp) -> Result<Option<Pending>> {
        Ok(self.tables().pending.get(id).filter(|pending| pending.expires_at > now).cloned())
    }

    async fn take_pending(&self, id: &str, now: Timestamp) -> Result<Option<Pending>> {
        Ok(self.tables().pending.remove(id).filter(|pending| pending.expires_at > now))
    }

    async fn put_code(&self, digest: &str, code: &Code) -> Result<()> {
        self.tables().codes.insert(digest.to_owned(), code.clone());
        Ok(())
    }

    async fn code(&self, digest: &str) -> Result<Option<Code>> {
        Ok(self.tables().codes.get(digest).cloned())
    }

    async fn use_code(&self, digest: &str) -> Result<bool> {
        Ok(self.tables().codes.get_mut(digest).is_some_and(|code| !std::mem::replace(&mut code.used, true)))
    }

    async fn put_device(&self, digest: &str, device: &Device, now: Timestamp) -> Result<bool> {
        let mut tables = self.tables();
        if tables.devices.values().any(|other| other.user_code == device.user_code && other.expires_at > now) {
            return Ok(false);
        }
        tables.devices.insert(digest.to_owned(), device.clone());
        Ok(true)
    }

    async fn device(&self, digest: &str) -> Result<Option<Device>> {
        Ok(self.tables().devices.get(digest).cloned())
    }

    async fn device_by_user_code(&self, user_code: &str, now: Timestamp) -> Result<Option<Device>> {
        let waits = |device: &&Device| {
            device.user_code == user_code && device.expires_at > now && device.answer == DeviceAnswer::Pending
        };
        Ok(self.tables().devices.values().find(waits).cloned())
    }

    async fn answer_device(&self, user_code: &str, answer: &DeviceAnswer, now: Timestamp) -> Result<bool> {
        let mut tables = self.tables();
        let waits = |device: &&mut Device| {
            device.user_code == user_code && device.expires_at > now && device.answer == DeviceAnswer::Pending
        };
        Ok(tables.devices.values_mut().find(waits).map(|device| device.answer = answer.clone()).is_some())
    }

    async fn poll_device(&self, digest: &str, now: Timestamp, interval: u64) -> Result<()> {
        if let Some(device) = self.tables().devices.get_mut(digest) {
            device.polled_at = Some(now.as_millis());
            device.interval = interval;
        }
        Ok(())
    }

    async fn take_device(&self, digest: &str) -> Result<bool> {
        Ok(self.tables().devices.remove(digest).is_some())
    }

    async fn put_refresh(&self, digest: &str, refresh: &Refresh) -> Result<()> {
        let mut tables = self.tables();
        // A session that was revoked meanwhile, as by a second use of its code, gets no new life.
        if !tables.revoked.contains_key(&refresh.grant.session) {
            tables.refresh.insert(digest.to_owned(), Kept { refresh: refresh.clone(), replaced: false });
        }
        Ok(())
    }

    async fn refresh(&self, digest: &str) -> Result<Option<Refresh>> {
        Ok(self.tables().refresh.get(digest).map(|kept| kept.refresh.clone()))
    }

    async fn rotate(&self, digest: &str, successor_digest: &str, successor: &Refresh, grace: bool) -> Result<Rotation> {
        let mut tables = self.tables();
        let Some(kept) = tables.refresh.get_mut(digest) else { return Ok(Rotation::Gone) };
        if kept.refresh.dead {
            return Ok(Rotation::Reused);
        }
        let first = !std::mem::replace(&mut kept.replaced, true);
        kept.refresh.dead = !grace;
        let session = kept.refresh.grant.session.clone();
        if first {
            tables.only(digest, &session);
        }
        let kept = Kept { refresh: successor.clone(), replaced: false };
        tables.refresh.insert(successor_digest.to_owned(), kept);
        Ok(Rotation::Rotated)
    }

    async fn confirm(&self, access_token_id: &str) -> Result<bool> {
        let mut tables = self.tables();
        let found = tables
            .refresh
            .iter()
            .find(|(_, kept)| kept.refresh.access_token_id == access_token_id && !kept.refresh.dead && !kept.replaced);
        let Some((digest, session)) = found.map(|(digest, kept)| (digest.clone(), kept.refresh.grant.session.clone()))
        else {
            return Ok(false);
        };
        Ok(tables.only(&digest, &session))
    }

    async fn revoke_session(&self, session: &str, until: Timestamp) -> Result<()> {
        let mut tables = self.tables();
        tables.refresh.retain(|_, kept| kept.refresh.grant.session != session);
        tables.revoke(session, until);
        Ok(())
    }

    async fn revoke(&self, id: &str, until: Timestamp) -> Result<()> {
        self.tables().revoke(id, until);
        Ok(())
    }

    fn any_revoked(&self, ids: &[&str]) -> bool {
        let tables = self.tables();
        ids.iter().any(|id| tables.revoked.contains_key(*id))
    }

    async fn first_use(&self, key: &str, until: Timestamp, now: Timestamp) -> Result<bool> {
        let mut tables = self.tables();
        tables.used.retain(|_, until| *until > now);
        let first = !tables.used.contains_key(key);
        tables.used.entry(key.to_owned()).or_insert(until);
        Ok(first)
    }

    async fn session(&self, key: &str, now: Timestamp) -> Result<Option<Vec<u8>>> {
        Ok(self.tables().sessions.get(key).filter(|(_, until)| *until > now).map(|(sealed, _)| sealed.clone()))
    }

    async fn put_session(&self, key: &str, sealed: &[u8], until: Timestamp) -> Result<()> {
        self.tables().sessions.insert(key.to_owned(), (sealed.to_vec(), until));
        Ok(())
    }

    async fn delete_session(&self, key: &str) -> Result<()> {
        self.tables().sessions.remove(key);
        Ok(())
    }

    async fn record(&self, events: &[Event]) -> Result<()> {
        self.tables().events.extend_from_slice(events);
        Ok(())
    }

    async fn events(&self, most: u32) -> Result<Vec<Event>> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Ok(self.tables().events.iter().rev().take(most).cloned().collect())
    }

    async fn prune(&self, now: Timestamp, audit: Duration) -> Result<u64> {
        let mut tables = self.tables();
        let count = |tables: &Tables| {
            tables.pending.len()
                + tables.codes.len()
                + tables.devices.len()
                + tables.refresh.len()
                + tables.revoked.len()
                + tables.used.len()
                + tables.sessions.len()
                + tables.events.len()
        };
        let before = count(&tables);
        let lapsed = now.minus(KEPT_AFTER);
        tables.pending.retain(|_, pending| pending.expires_at > now);
        tables.codes.retain(|_, code| code.expires_at > lapsed);
        tables.devices.retain(|_, device| device.expires_at > lapsed);
        tables.refresh.retain(|_, kept| kept.refresh.expires_at > lapsed);
        tables.revoked.retain(|_, until| *until > now);
        tables.used.retain(|_, until| *until > now);
        tables.sessions.retain(|_, (_, until)| *until > now);
        let oldest = now.minus(audit).as_millis();
        tables.events.retain(|event| event.at > oldest);
        Ok(u64::try_from(before - count(&tables)).unwrap_or(u64::MAX))
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }
}
