//! The protocol: one process goes one step further.

use crate::settings::{Broken, Server, Settings};
use crate::state::{
    At, Excuse, Memory, Outcome, Process, Record, Refresh, Reply, State, Stored, Unsaved, Window, Wrong,
};

/// A flight that came too early for its callers is repeated this often.
const REPEATS: u8 = 2;

impl State {
    /// The process goes one step further; `false` if it cannot now: it waits for the lock, the server or a call.
    pub(crate) fn step(&mut self, settings: &Settings, p: usize) -> bool {
        let is_free = settings.broken == Broken::NoLock || self.lock.is_none();
        let at = match self.processes[p].at {
            At::Idle | At::Asking(None) => return false,
            At::Started if self.processes[p].unsaved.is_some() => At::Retrying,
            // Another's refresh is not waited for long: this one goes on without.
            At::Retrying if is_free => self.take_lock(settings, p, At::RetryLocked),
            At::Started | At::Retrying => self.look(settings, p, At::Looked),
            At::RetryLocked => {
                self.save_again(settings, p);
                self.release(p);
                self.look(settings, p, At::Looked)
            }
            At::Looked => self.found_or(settings, p, At::Found, At::DiscoveryBefore),
            At::DiscoveryBefore => At::DiscoveryAfter,
            At::DiscoveryAfter => At::LockBefore,
            At::LockBefore if is_free => self.take_lock(settings, p, At::Locked),
            At::LockBefore => return false,
            At::Locked if settings.broken == Broken::NoReread => At::Reread,
            At::Locked => self.look(settings, p, At::Reread),
            At::Reread => self.decide(settings, p),
            At::ExchangeBefore => self.ask(settings, p),
            At::Asking(Some(reply)) => At::ExchangeAfter(reply),
            At::ExchangeAfter(reply) => self.answered(settings, p, reply),
            At::SaveBefore => self.write(settings, p),
            At::FileWritten => At::FileSynced,
            At::FileSynced => {
                if let Some(renewed) = self.processes[p].renewed {
                    self.put(renewed);
                }
                self.processes[p].unsaved = None;
                At::Renamed
            }
            At::Renamed => At::FolderSynced,
            At::FolderSynced => At::Saved,
            At::Saved => self.saved(settings, p),
            At::Published => At::Unlocking,
            At::Unlocking => {
                self.publish_outcome(settings, p);
                self.release(p);
                At::Unlocked
            }
            At::Found => {
                self.publish_outcome(settings, p);
                self.finish(settings, p)
            }
            At::Unlocked => self.finish(settings, p),
        };
        self.processes[p].at = at;
        true
    }

    fn take_lock(&mut self, settings: &Settings, p: usize, then: At) -> At {
        if settings.broken != Broken::NoLock {
            self.lock = Some(p);
        }
        then
    }

    fn release(&mut self, p: usize) {
        if self.lock == Some(p) {
            self.lock = None;
        }
    }

    /// The newest record: one that could not be saved comes before the stored one, unless the store has moved on.
    fn load(&mut self, settings: &Settings, p: usize) -> Option<Record> {
        if self.stored == Stored::Torn {
            self.wrong(Wrong::TornRead);
        }
        let stored = self.stored.record();
        let Some(unsaved) = self.processes[p].unsaved else { return stored };
        let is_superseded = match settings.broken {
            Broken::UnsavedIgnoresLogout => stored.is_some_and(|stored| stored.generation >= unsaved.record.generation),
            _ => self.stored != unsaved.over,
        };
        if is_superseded { stored } else { Some(unsaved.record) }
    }

    fn look(&mut self, settings: &Settings, p: usize, then: At) -> At {
        self.processes[p].seen = self.load(settings, p);
        then
    }

    fn save_again(&mut self, settings: &Settings, p: usize) {
        let Some(unsaved) = self.processes[p].unsaved else { return };
        if self.load(settings, p) != Some(unsaved.record) {
            self.processes[p].unsaved = None;
        } else if !self.full {
            self.put(unsaved.record);
            self.processes[p].unsaved = None;
        }
    }

    /// Whether the record is what the callers of this process want.
    pub(crate) fn serves(&self, settings: &Settings, p: usize, record: &Record) -> bool {
        let process = &self.processes[p];
        let is_rejected = process.memory.is_some_and(|memory| {
            memory.rejected
                && match settings.broken {
                    Broken::RejectedByGeneration => record.generation <= memory.record.generation,
                    _ => record.access == memory.record.access,
                }
        });
        self.is_live(record) && !is_rejected && process.newer_than.is_none_or(|old| record.generation > old)
    }

    /// Whether the record is good for this process, whatever the protocol believes.
    fn is_good(&self, p: usize, record: &Record) -> bool {
        let process = &self.processes[p];
        let is_refused = process.refused & (1 << record.access) != 0;
        self.is_live(record) && !is_refused && process.newer_than.is_none_or(|old| record.generation > old)
    }

    fn found_or(&mut self, settings: &Settings, p: usize, found: At, otherwise: At) -> At {
        match self.processes[p].seen {
            Some(seen) if self.serves(settings, p, &seen) => {
                self.processes[p].outcome = Some(Outcome::Token(seen));
                found
            }
            _ => otherwise,
        }
    }

    /// After the second look, under the lock.
    fn decide(&mut self, settings: &Settings, p: usize) -> At {
        match self.found_or(settings, p, At::Unlocking, At::ExchangeBefore) {
            At::ExchangeBefore if self.trouble => {
                // Waited out, without the lock.
                self.trouble = false;
                self.release(p);
                At::LockBefore
            }
            At::ExchangeBefore if self.full && settings.is_one_shot(p) && settings.server != Server::NeedsNone => {
                self.end(p, Outcome::Trouble)
            }
            then => then,
        }
    }

    fn end(&mut self, p: usize, outcome: Outcome) -> At {
        self.processes[p].outcome = Some(outcome);
        At::Unlocking
    }

    /// The other client's item, if it is newer than what we have.
    fn theirs(&self, ours: &Record) -> Option<Record> {
        self.foreign.filter(|theirs| theirs.access > ours.access)
    }

    fn ask(&mut self, settings: &Settings, p: usize) -> At {
        let Some(mut record) = self.processes[p].seen else {
            return if settings.server == Server::NeedsNone {
                At::Asking(None)
            } else {
                At::ExchangeAfter(Reply::Refused)
            };
        };
        if let Some(theirs) = self.theirs(&record) {
            if self.is_live(&theirs) {
                return At::ExchangeAfter(Reply::Granted { access: theirs.access, refresh: theirs.refresh });
            }
            record = Record { generation: record.generation, ..theirs };
            self.processes[p].seen = Some(record);
        }
        if self.stored.record().is_some_and(|stored| self.is_good(p, &stored)) {
            self.wrong(Wrong::NeedlessExchange);
        }
        self.processes[p].sent = record.refresh;
        At::Asking(None)
    }

    fn answered(&mut self, settings: &Settings, p: usize, reply: Reply) -> At {
        let seen = self.processes[p].seen;
        match reply {
            Reply::Granted { access, refresh } => {
                let renewed = Record {
                    generation: seen.map_or(0, |seen| seen.generation) + 1,
                    access,
                    refresh: refresh.or(seen.and_then(|seen| seen.refresh)),
                };
                self.processes[p].renewed = Some(renewed);
                if settings.broken == Broken::PublishBeforeSave {
                    self.publish(settings, p, renewed);
                }
                At::SaveBefore
            }
            Reply::Unavailable => self.end(p, Outcome::Trouble),
            Reply::Refused => self.refused(settings, p),
        }
    }

    fn refused(&mut self, settings: &Settings, p: usize) -> At {
        let (seen, sent) = (self.processes[p].seen, self.processes[p].sent);
        if settings.broken == Broken::DeleteOnInvalidGrant {
            let is_final = sent.is_none_or(|sent| {
                let family = &self.families[usize::from(sent.family)];
                family.revoked || sent.number == family.newest
            });
            if !is_final && self.stored != Stored::Absent {
                self.wrong(Wrong::Deleted);
            }
            self.stored = Stored::Absent;
            return self.end(p, Outcome::LoginRequired);
        }
        // Somebody without our lock may have used the token a moment ago: what they saved counts.
        let newer = self.load(settings, p).filter(|newer| Some(*newer) != seen);
        let theirs =
            seen.and_then(|seen| self.theirs(&seen).map(|theirs| Record { generation: seen.generation + 1, ..theirs }));
        if let Some(newer) = newer.or(theirs).filter(|newer| self.is_live(newer)) {
            self.processes[p].renewed = Some(newer);
            return At::SaveBefore;
        }
        if !self.is_founded(sent) {
            self.wrong(Wrong::UnfoundedLogin);
        }
        self.end(p, Outcome::LoginRequired)
    }

    /// Whether a person must sign in indeed.
    fn is_founded(&self, sent: Option<Refresh>) -> bool {
        match sent {
            Some(sent) => {
                let family = &self.families[usize::from(sent.family)];
                family.revoked || family.ended || family.excuse(sent.number).is_some()
            }
            None => self.stored == Stored::Absent && self.families.iter().all(|family| family.ended || family.revoked),
        }
    }

    fn write(&mut self, settings: &Settings, p: usize) -> At {
        let Some(renewed) = self.processes[p].renewed else { return At::Saved };
        if !self.full {
            if settings.broken == Broken::WriteInPlace {
                self.stored = Stored::Torn;
            }
            return At::FileWritten;
        }
        self.excuse(self.processes[p].sent, Excuse::Unsaved);
        if settings.broken != Broken::UnsavedForgotten {
            self.processes[p].unsaved = Some(Unsaved { record: renewed, over: self.stored });
        }
        At::Saved
    }

    fn saved(&mut self, settings: &Settings, p: usize) -> At {
        self.trouble = false;
        let Some(renewed) = self.processes[p].renewed else { return At::Published };
        if self.foreign.is_some_and(|theirs| theirs.access < renewed.access) {
            self.foreign = Some(renewed);
        }
        self.processes[p].outcome = Some(Outcome::Token(renewed));
        self.publish(settings, p, renewed);
        At::Published
    }

    fn publish(&mut self, settings: &Settings, p: usize, record: Record) {
        let process = &mut self.processes[p];
        let is_marked = process.memory.is_some_and(|memory| memory.rejected && memory.record.access == record.access);
        if is_marked && settings.broken != Broken::PublishOverRejected {
            return;
        }
        process.memory = Some(Memory { record, rejected: false });
        if process.refused & (1 << record.access) != 0 {
            self.wrong(Wrong::ServedRejected);
        }
    }

    fn publish_outcome(&mut self, settings: &Settings, p: usize) {
        let Some(Outcome::Token(record)) = self.processes[p].outcome else { return };
        if self.processes[p].memory.is_none_or(|memory| memory.record != record || memory.rejected) {
            self.publish(settings, p, record);
        }
    }

    /// Every caller gets the outcome, unless it came too early: the token was rejected meanwhile.
    fn finish(&mut self, settings: &Settings, p: usize) -> At {
        let process = &mut self.processes[p];
        let is_rejected = process
            .memory
            .is_some_and(|memory| memory.rejected && process.outcome == Some(Outcome::Token(memory.record)));
        if is_rejected && process.again < REPEATS {
            *process = Process {
                again: process.again + 1,
                seen: None,
                renewed: None,
                sent: None,
                outcome: None,
                ..process.clone()
            };
            return At::Started;
        }
        *process = process.landed();
        if settings.is_one_shot(p) {
            self.gone(p);
        }
        At::Idle
    }

    /// The refresh is dropped where it is, and its lock with it.
    pub(crate) fn drop_flight(&mut self, p: usize) {
        self.release(p);
        self.processes[p] = self.processes[p].landed();
    }

    /// The process is no more; another may take its place.
    pub(crate) fn gone(&mut self, p: usize) {
        let process = &self.processes[p];
        // What it alone knew.
        if let Some(Refresh { family, number: number @ 1.. }) = process.unsaved.and_then(|one| one.record.refresh) {
            self.excuse(Some(Refresh { family, number: number - 1 }), Excuse::Ended);
        }
        self.processes[p] = Process::NEW;
    }

    /// Killed, wherever it is.
    pub(crate) fn crash(&mut self, settings: &Settings, p: usize) {
        let process = &self.processes[p];
        let sent = process.sent;
        let window = Window::of(process.at);
        if window == Some(Window::Asked) {
            // The request may arrive all the same.
            self.orphans.extend(sent.map(|sent| (sent, Excuse::Died)));
        }
        if window.is_some() && window != settings.unexcused {
            self.excuse(sent, Excuse::Died);
        }
        if settings.broken != Broken::LockSurvivesDeath {
            self.release(p);
        }
        self.gone(p);
    }
}
