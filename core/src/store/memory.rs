//! Records of this process only (`--store memory`, or over a folder that cannot be written), and a store that keeps
//! nothing (`--store none`).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{LockGuard, LockKind, Record, SessionKey, StoreDescription, TokenStore};
use crate::config::StoreKind;
use crate::error::Result;

#[derive(Debug, Default)]
struct State {
    records: HashMap<SessionKey, Record>,
    locked: HashSet<(SessionKey, LockKind)>,
}

/// Records in memory. Clones share them.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    keeps: bool,
    beneath: Option<Arc<dyn TokenStore>>,
    reason: String,
}

impl MemoryStore {
    /// Keeps records as long as a clone lives; `reason` is shown by `status`.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { state: Arc::default(), keeps: true, beneath: None, reason: reason.into() }
    }

    /// Keeps nothing: every `token()` beyond the session's own memory starts anew.
    pub fn keeping_nothing() -> Self {
        Self { state: Arc::default(), keeps: false, beneath: None, reason: "asked for with --store none".to_owned() }
    }

    /// Over a store that can be read only: its tokens serve until they expire. They are not refreshed: a new refresh
    /// token could not be written down, and whoever can write there would be left with a spent one.
    pub fn over(beneath: Arc<dyn TokenStore>, reason: impl Into<String>) -> Self {
        Self { beneath: Some(beneath), ..Self::new(reason) }
    }

    fn read_only(record: Record) -> Record {
        Record { refresh_token: None, ..record }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves whole records behind: they are replaced, never edited.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Guard {
    state: Arc<Mutex<State>>,
    entry: (SessionKey, LockKind),
}

impl LockGuard for Guard {}

impl Drop for Guard {
    fn drop(&mut self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).locked.remove(&self.entry);
    }
}

impl TokenStore for MemoryStore {
    fn load(&self, key: &SessionKey) -> Result<Option<Record>> {
        match (self.state().records.get(key).cloned(), &self.beneath) {
            (None, Some(beneath)) => Ok(beneath.load(key)?.map(Self::read_only)),
            (record, _) => Ok(record),
        }
    }
    fn save(&self, key: &SessionKey, record: &Record) -> Result<()> {
        if self.keeps {
            self.state().records.insert(key.clone(), record.clone());
        }
        Ok(())
    }
    fn delete(&self, key: &SessionKey) -> Result<bool> {
        let was_here = self.state().records.remove(key).is_some();
        // What cannot be written cannot be signed out of: the store beneath says so.
        let was_beneath = self.beneath.as_ref().map_or(Ok(false), |beneath| beneath.delete(key))?;
        Ok(was_here || was_beneath)
    }
    fn list(&self) -> Result<Vec<(SessionKey, Record)>> {
        let beneath = self.beneath.as_ref().map_or_else(|| Ok(Vec::new()), |beneath| beneath.list())?;
        let mut found = self.state().records.clone();
        for (key, record) in beneath {
            found.entry(key).or_insert_with(|| Self::read_only(record));
        }
        Ok(found.into_iter().collect())
    }
    fn try_lock(&self, key: &SessionKey, kind: LockKind) -> Result<Result<Box<dyn LockGuard>, Option<u32>>> {
        let entry = (key.clone(), kind);
        if self.state().locked.insert(entry.clone()) {
            Ok(Ok(Box::new(Guard { state: Arc::clone(&self.state), entry })))
        } else {
            Ok(Err(Some(std::process::id())))
        }
    }
    fn describe(&self) -> StoreDescription {
        let kind = if self.keeps { StoreKind::Memory } else { StoreKind::None };
        StoreDescription { kind, reason: self.reason.clone(), location: None }
    }
}
