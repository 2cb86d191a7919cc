//! Records of this process only (`--store memory`), and a store that keeps nothing (`--store none`).

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
    reason: String,
}

impl MemoryStore {
    /// Keeps records as long as a clone lives; `reason` is shown by `status`.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { state: Arc::default(), keeps: true, reason: reason.into() }
    }

    /// Keeps nothing: every `token()` beyond the session's own memory starts anew.
    pub fn keeping_nothing() -> Self {
        Self { state: Arc::default(), keeps: false, reason: "asked for with --store none".to_owned() }
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
        Ok(self.state().records.get(key).cloned())
    }
    fn save(&self, key: &SessionKey, record: &Record) -> Result<()> {
        if self.keeps {
            self.state().records.insert(key.clone(), record.clone());
        }
        Ok(())
    }
    fn delete(&self, key: &SessionKey) -> Result<bool> {
        Ok(self.state().records.remove(key).is_some())
    }
    fn list(&self) -> Result<Vec<(SessionKey, Record)>> {
        Ok(self.state().records.iter().map(|(key, record)| (key.clone(), record.clone())).collect())
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
