//! Whose request it is: from a cookie to a session, and whether that one still lives.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;

use super::Inner;
use super::cookies::{Held, Jar};
use super::data::{Data, Snapshot};
use super::live::{Digest, Known, Live, Stored, digest, locked};
use super::seal::Purpose;
use super::store::SessionStore;
use super::web::Request;
use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// A session that a request came with.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) live: Arc<Live>,
    /// What the browser's cookie, or the store's record, holds.
    pub(super) generation: u64,
    pub(super) used: Timestamp,
    /// Sealed with the first key.
    pub(super) by_first: bool,
    pub(super) held: Held,
}

/// What was seen.
pub(super) enum Seen {
    /// No session, or a cookie that cannot be read: another process may have its key, so it stays.
    Nobody,
    /// A session that is over: its cookies go.
    Over(Held),
    Found(Found),
    /// The store has to be asked.
    Ask(Known, Held),
    /// The store did not answer.
    Trouble(Error),
}

/// A sealed session id.
#[derive(serde::Serialize, serde::Deserialize)]
struct SessionId(String, i64);

impl Inner {
    /// What can be seen without waiting.
    pub(super) fn see(&self, request: &Request, now: Timestamp) -> Seen {
        let jar = Jar::read(&request.headers, &self.settings.cookie_name);
        let held = jar.held();
        if held.is_nothing() {
            return Seen::Nobody;
        }
        for sealed in jar.sealed() {
            let cookie = digest(sealed.as_bytes());
            let found = match &self.store {
                None => match self.see_whole(&sealed, cookie, held, now) {
                    None => continue,
                    Some(found) => found,
                },
                Some(store) => {
                    let Some(known) = self.see_id(&sealed, cookie) else { continue };
                    match store.get_now(&record_key(&known.sid)) {
                        None => return Seen::Ask(known, held),
                        Some(record) => self.found_record(&known, record, held),
                    }
                }
            };
            return match found {
                Some(found) if !self.is_spent(&found, now) => Seen::Found(found),
                // Not remembered as over: it may be an old copy of the cookie of a session that lives.
                _ => Seen::Over(held),
            };
        }
        Seen::Nobody
    }

    /// What only the store knows.
    pub(super) async fn ask(&self, store: &dyn SessionStore, known: &Known, held: Held, now: Timestamp) -> Seen {
        match store.get(&record_key(&known.sid)).await {
            Err(error) => Seen::Trouble(error),
            Ok(record) => match self.found_record(known, record, held) {
                Some(found) if !self.is_spent(&found, now) => Seen::Found(found),
                _ => Seen::Over(held),
            },
        }
    }

    /// The session in a cookie: `Some(None)` is one that is over, `None` no session of ours.
    fn see_whole(&self, sealed: &str, cookie: Digest, held: Held, now: Timestamp) -> Option<Option<Found>> {
        let found = |live: Arc<Live>, known: Known| {
            let Known { generation, used, by_first, .. } = known;
            Found { live, generation, used, by_first, held }
        };
        if let Some(known) = self.registry.known(&cookie) {
            if let Some(live) = self.registry.live(&known.sid) {
                return Some((!live.is_over()).then(|| found(live, known)));
            }
            if self.registry.is_over(&known.sid) {
                return Some(None);
            }
        }
        let (data, by_first) = self.open_whole(sealed)?;
        let sid = data.sid.as_str().into();
        let known = Known { sid, generation: data.generation, used: data.used, by_first };
        let live = self.registry.admit(Snapshot::new(data, &self.settings.header_name), now);
        self.registry.remember(cookie, known.clone());
        Some(live.map(|live| found(live, known)))
    }

    fn open_whole(&self, sealed: &str) -> Option<(Data, bool)> {
        let opened = self.settings.keys.open(Purpose::Session, &self.settings.cookie_name, sealed)?;
        Some((Data::from_bytes(&opened.plain)?, opened.by_first))
    }

    fn see_id(&self, sealed: &str, cookie: Digest) -> Option<Known> {
        if let Some(known) = self.registry.known(&cookie) {
            return Some(known);
        }
        let opened = self.settings.keys.open(Purpose::SessionId, &self.settings.cookie_name, sealed)?;
        let SessionId(sid, created) = serde_json::from_slice(&opened.plain).ok()?;
        let used = Timestamp::from_millis(created);
        let known = Known { sid: sid.into(), generation: 0, used, by_first: opened.by_first };
        self.registry.remember(cookie, known.clone());
        Some(known)
    }

    /// The id of the session that a request came with, if its cookie can be read; whether it lives is another question.
    pub(super) fn session_id(&self, request: &Request) -> Option<Arc<str>> {
        let jar = Jar::read(&request.headers, &self.settings.cookie_name);
        jar.sealed().find_map(|sealed| {
            let cookie = digest(sealed.as_bytes());
            match &self.store {
                Some(_) => self.see_id(&sealed, cookie).map(|known| known.sid),
                None => match self.registry.known(&cookie) {
                    Some(known) => Some(known.sid),
                    None => self.open_whole(&sealed).map(|(data, _)| data.sid.into()),
                },
            }
        })
    }

    fn found_record(&self, known: &Known, record: Option<Bytes>, held: Held) -> Option<Found> {
        let (live, stored) = self.read_record(&known.sid, &record?)?;
        // The cookie has the id only: what makes it due is its key.
        Some(Found { live, generation: stored.generation, used: stored.used, by_first: known.by_first, held })
    }

    /// The session of a record, which is opened only if it is another one than was read last.
    pub(super) fn read_record(&self, sid: &str, record: &[u8]) -> Option<(Arc<Live>, Stored)> {
        if self.registry.is_over(sid) {
            return None;
        }
        let digest = digest(record);
        if let Some(live) = self.registry.live(sid)
            && let Some(stored) = *locked(&live.record)
            && stored.digest == digest
        {
            return Some((Arc::clone(&live), stored));
        }
        let text = std::str::from_utf8(record).ok()?;
        let opened = self.settings.keys.open(Purpose::Record, &record_key(sid), text)?;
        let data = Data::from_bytes(&opened.plain)?;
        let (generation, used) = (data.generation, data.used);
        let snapshot = Snapshot::new(data, &self.settings.header_name);
        let live = self.registry.admit(snapshot, self.context.clock.now())?;
        let stored = Stored { digest, generation, used, by_first: opened.by_first };
        *locked(&live.record) = Some(stored);
        Some((live, stored))
    }

    /// Whether its time is up, by its age or because nobody used it.
    fn is_spent(&self, found: &Found, now: Timestamp) -> bool {
        let used = found.used.max(found.live.used());
        let idle = now >= used.plus(self.settings.idle_timeout);
        idle || now >= found.live.created.plus(self.settings.session_lifetime) || found.live.is_over()
    }

    /// How long is left of a session at most.
    pub(super) fn remaining(&self, created: Timestamp, now: Timestamp) -> std::time::Duration {
        created.plus(self.settings.session_lifetime).since(now)
    }

    /// A session is written anew where it was used so long after it was written last: to count what is idle, every
    /// request would have to write.
    pub(super) fn is_stale(&self, used: Timestamp, now: Timestamp) -> bool {
        const LONGEST: std::time::Duration = std::time::Duration::from_secs(900);
        now.since(used) >= (self.settings.idle_timeout / 10).min(LONGEST)
    }

    /// The cookies that the browser should hold in place of those that it sent, if they differ.
    pub(super) fn cookies_due(&self, found: &Found, now: Timestamp) -> Result<Vec<HeaderValue>> {
        let due = match self.store {
            Some(_) => !found.by_first,
            None => {
                found.live.current().generation() > found.generation
                    || !found.by_first
                    || self.is_stale(found.used, now)
            }
        };
        if due { self.cookies_of(&found.live, found.held, now) } else { Ok(Vec::new()) }
    }

    /// A session as cookies: all of it, or its id.
    pub(super) fn cookies_of(&self, live: &Live, held: Held, now: Timestamp) -> Result<Vec<HeaderValue>> {
        let name = &self.settings.cookie_name;
        let sealed = match self.store {
            None => {
                let plain = live.current().data.to_bytes(now)?;
                self.settings.keys.seal(Purpose::Session, name, &plain)?
            }
            Some(_) => {
                let id = SessionId(live.sid.to_string(), live.created.as_millis());
                let plain = serde_json::to_vec(&id).map_err(|_| Error::internal("a session id cannot be written"))?;
                self.settings.keys.seal(Purpose::SessionId, name, &plain)?
            }
        };
        self.settings.session_cookies(&sealed, self.remaining(live.created, now), held)
    }

    /// Writes the session into the store, where there is one.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn save(&self, live: &Live, now: Timestamp) -> Result<()> {
        let Some(store) = &self.store else { return Ok(()) };
        let key = record_key(&live.sid);
        let current = live.current();
        let sealed = self.settings.keys.seal(Purpose::Record, &key, &current.data.to_bytes(now)?)?;
        let stored =
            Stored { digest: digest(sealed.as_bytes()), generation: current.generation(), used: now, by_first: true };
        let lifetime = self.settings.idle_timeout.min(self.remaining(live.created, now));
        store.put(&key, sealed.into(), lifetime).await?;
        if live.is_over() {
            // Signed out meanwhile: it must not come back.
            return store.delete(&key).await;
        }
        *locked(&live.record) = Some(stored);
        Ok(())
    }

    /// Whether the store's record is behind.
    pub(super) fn is_save_due(&self, found: &Found, now: Timestamp) -> bool {
        self.store.is_some()
            && (found.live.current().generation() > found.generation
                || self.is_stale(found.used, now)
                || locked(&found.live.record).is_some_and(|stored| !stored.by_first))
    }
}

/// The name of a session in a store: its id cannot be had back from it.
pub(super) fn record_key(sid: &str) -> String {
    digest(sid.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
