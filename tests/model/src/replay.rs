//! Judges a trace: is there a history of the model in which every process passes the recorded points, in the recorded
//! order, with the recorded tokens, and in which every property holds all along?
//!
//! A process records a point after it has come there, and may be killed before it does. So each process may be one point
//! ahead of what it has recorded: the judge follows every history in which that is so.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use crate::actions::Action;
use crate::properties;
use crate::settings::{Broken, Budget, Settings};
use crate::state::{At, Memory, Process, Record, Refresh, Reply, State, Stored, Window};
use crate::trace::{Line, OTHER_STEPS, POINTS, Told, is_recorded};

/// Histories that are followed at once; a trace that needs more is no trace of these suites.
const MOST: usize = 20_000;

/// A token of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Name {
    Access(u8),
    Refresh(Refresh),
}

/// One history so far.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct History {
    state: State,
    /// Processes that have come to a point and not recorded it yet.
    ahead: Vec<bool>,
    /// Which token has which digest.
    names: BTreeMap<String, Name>,
}

/// Judges the trace in `file`; the number of its steps.
///
/// # Errors
/// Why it is no path of the model, in words.
pub fn file(file: &Path) -> Result<usize, String> {
    let text = std::fs::read_to_string(file).map_err(|cause| cause.to_string())?;
    let lines: Result<Vec<Line>, _> = text.lines().map(serde_json::from_str).collect();
    judge(&lines.map_err(|cause| format!("no trace: {cause}"))?)
}

/// Judges a trace; the number of its steps.
///
/// # Errors
/// As [`file()`].
pub fn judge(lines: &[Line]) -> Result<usize, String> {
    let (first, rest) = lines.split_first().ok_or("an empty trace")?;
    let mut judge = Judge::new(first, rest)?;
    for (index, line) in rest.iter().enumerate() {
        if !OTHER_STEPS.contains(&line.step.as_str()) && !POINTS.iter().any(|(name, _)| *name == line.step) {
            return Err(format!("line {}: the model does not know the point {}", index + 2, line.step));
        }
        // Notes beside the store decide nothing (core/src/store/note.rs).
        if line.is_of_store() {
            judge.hear(index, line).map_err(|why| format!("line {}: {} {why}", index + 2, line.step))?;
        }
    }
    judge.end()?;
    Ok(lines.len())
}

/// How a process ended.
#[derive(Debug, Clone, Copy)]
struct End {
    /// By a signal, at any place. A process that ends by itself may leave a refresh in the middle too, but not where that
    /// could lose the session (core/src/session/refresh.rs, `under_way`).
    killed: bool,
    /// The index after its last point.
    after: usize,
}

impl End {
    fn of(pid: u32, rest: &[Line]) -> Option<Self> {
        let how = rest.iter().find(|line| line.process == pid && ["killed", "exited"].contains(&&*line.step))?;
        let after = rest.iter().rposition(|line| line.is_point_of(pid)).map_or(0, |index| index + 1);
        Some(Self { killed: how.step == "killed", after })
    }

    /// Whether the process may have ended there, heard up to `index`.
    fn may(&self, index: usize, at: At) -> bool {
        index >= self.after && at != At::Idle && (self.killed || Window::of(at).is_none())
    }
}

struct Judge {
    settings: Settings,
    pids: Vec<u32>,
    /// Of each process that ended: how.
    ends: Vec<Option<End>>,
    /// Indices of points at which a lock is let go because a refresh's task ends with its runtime: those of a refresh
    /// that goes to its end are followed by another point of it.
    drops: HashSet<usize>,
    server_records: bool,
    /// Generations of the trace start here in the model.
    offset: u64,
    histories: HashSet<History>,
}

impl Judge {
    fn new(first: &Line, rest: &[Line]) -> Result<Self, String> {
        let server = first.server.filter(|_| first.step == "begin").ok_or("the first line does not tell the server")?;
        let mut pids = Vec::new();
        for line in rest.iter().filter(|line| line.step != "server.exchanged") {
            if !pids.contains(&line.process) {
                pids.push(line.process);
            }
        }
        let all = u8::MAX;
        let settings = Settings {
            processes: pids.len(),
            server: server.into(),
            shared: false,
            budget: Budget {
                calls: all,
                crashes: all,
                timeouts: all,
                unavailable: all,
                drops: all,
                ..Budget::default()
            },
            broken: Broken::Nothing,
            unexcused: None,
            one_shots: false,
            reduced: false,
        };
        let mut state = State::new(&settings);
        let mut names = BTreeMap::new();
        let offset = first.record.as_ref().map_or(0, |told| told.generation.saturating_sub(1));
        match (&first.record, state.stored) {
            (Some(told), Stored::Whole(record)) => {
                is_named(&mut names, told, &record);
            }
            _ => {
                state.stored = Stored::Absent;
                state.families.iter_mut().for_each(|family| family.ended = true);
            }
        }
        let history = History { state, ahead: vec![false; pids.len()], names };
        let next_point = |index: usize| {
            let pid = rest[index].process;
            rest[index + 1..].iter().find(|line| line.is_point_of(pid))
        };
        let lets_go = |index: &usize| {
            rest[*index].step == "unlock.before" && next_point(*index).is_none_or(|next| next.step != "unlock.after")
        };
        let drops = (0..rest.len()).filter(lets_go).collect();
        let ends = pids.iter().map(|pid| End::of(*pid, rest)).collect();
        let histories = HashSet::from([history]);
        Ok(Self { settings, ends, drops, pids, server_records: first.recorded, offset, histories })
    }

    fn hear(&mut self, index: usize, line: &Line) -> Result<(), String> {
        let p = self.pids.iter().position(|pid| *pid == line.process);
        self.go_ahead(index, p, line)?;
        let mut left = HashSet::new();
        let mut broken = HashSet::new();
        for mut history in std::mem::take(&mut self.histories) {
            let is_possible = match (line.step.as_str(), p) {
                ("server.exchanged", _) => self.serve(&mut history, line),
                ("rejected", Some(p)) => self.reject(&mut history, p, line),
                ("killed" | "exited", Some(p)) => is_gone(&history, p),
                (step, Some(p)) => {
                    let is_drop = self.drops.contains(&index) && is_gone(&history, p);
                    is_drop || self.records(&mut history, p, step, line)
                }
                (_, None) => false,
            };
            if !is_possible {
                continue;
            }
            let faults = properties::broken(&self.settings, &history.state);
            if faults.is_empty() {
                left.insert(history);
            } else {
                broken.extend(faults);
            }
        }
        self.histories = left;
        if !self.histories.is_empty() {
            return Ok(());
        }
        Err(if broken.is_empty() {
            format!("of process {} cannot come here", line.process)
        } else {
            format!("of process {} breaks: {broken:?}", line.process)
        })
    }

    /// Whether the process has come to this point, with these facts.
    fn records(&self, history: &mut History, p: usize, step: &str, line: &Line) -> bool {
        let at = history.state.processes[p].at;
        let is_there = POINTS.iter().any(|(name, is)| *name == step && is(at));
        if !is_there || !history.ahead[p] {
            return false;
        }
        history.ahead[p] = false;
        let process = history.state.processes[p].clone();
        match at {
            At::Started => {
                let newer_than = line.newer_than.map(|generation| generation.saturating_sub(self.offset));
                history.state.processes[p].newer_than = newer_than.and_then(|one| u8::try_from(one).ok());
                true
            }
            At::Looked | At::Reread => self.is_told(history, line, process.seen),
            At::Published => self.is_told(history, line, process.renewed),
            At::ExchangeAfter(Reply::Granted { access, refresh }) => {
                let before = process.seen;
                let renewed = Record {
                    generation: before.map_or(0, |record| record.generation) + 1,
                    access,
                    refresh: refresh.or(before.and_then(|record| record.refresh)),
                };
                line.error.is_none() && self.is_told(history, line, Some(renewed))
            }
            At::ExchangeAfter(Reply::Refused) => line.error.is_some() && !line.retryable,
            At::ExchangeAfter(Reply::Unavailable) => line.error.is_some() && line.retryable,
            _ => true,
        }
    }

    fn is_told(&self, history: &mut History, line: &Line, record: Option<Record>) -> bool {
        match (&line.record, record) {
            (None, None) => true,
            (Some(told), Some(record)) => {
                told.generation == u64::from(record.generation) + self.offset
                    && is_named(&mut history.names, told, &record)
            }
            _ => false,
        }
    }

    /// The process was told that this token is no good. It may have read it from the store without a refresh.
    fn reject(&self, history: &mut History, p: usize, line: &Line) -> bool {
        let Some(told) = &line.record else { return false };
        let Some(Name::Access(access)) = history.names.get(&told.access).copied() else { return false };
        let Some(generation) = told.generation.checked_sub(self.offset).and_then(|one| u8::try_from(one).ok()) else {
            return false;
        };
        let process = &mut history.state.processes[p];
        process.memory = Some(Memory { record: Record { generation, access, refresh: None }, rejected: true });
        process.refused |= 1 << access;
        true
    }

    /// The server's own line: it has answered this token just now.
    fn serve(&self, history: &mut History, line: &Line) -> bool {
        let Some(Name::Refresh(token)) = line.presented.as_ref().and_then(|digest| history.names.get(digest)).copied()
        else {
            return false;
        };
        let asking = |process: &Process| process.at == At::Asking(None) && process.sent == Some(token);
        let orphan = history.state.orphans.iter().find(|(orphan, _)| *orphan == token).copied();
        let action = match (history.state.processes.iter().position(asking), orphan) {
            (Some(p), _) => Action::Serve(p),
            (None, Some((token, excuse))) => Action::Arrive(token, excuse),
            (None, None) => return false,
        };
        let before = history.state.families[usize::from(token.family)].clone();
        let Some(after) = self.settings.after(&history.state, action) else { return false };
        let family = &after.families[usize::from(token.family)];
        let is_granted = !before.revoked && token.number == before.newest;
        let next = Refresh { number: family.newest, ..token };
        history.state = after;
        match &line.next {
            None => !is_granted,
            Some(digest) => is_granted && is_one(&mut history.names, digest, Name::Refresh(next)),
        }
    }

    /// Every history in which some processes have gone on unheard.
    fn go_ahead(&mut self, index: usize, hears: Option<usize>, line: &Line) -> Result<(), String> {
        let mut open: Vec<History> = self.histories.iter().cloned().collect();
        while let Some(history) = open.pop() {
            for (p, action) in self.unheard(&history, index, hears, line) {
                let Some(state) = self.settings.after(&history.state, action) else { continue };
                let mut ahead = history.ahead.clone();
                ahead[p] = !matches!(action, Action::Crash(_) | Action::Drop(_)) && is_recorded(state.processes[p].at);
                let next = History { state, ahead, names: history.names.clone() };
                if self.histories.insert(next.clone()) {
                    open.push(next);
                }
            }
            if self.histories.len() > MOST {
                return Err("comes after too many possible histories".to_owned());
            }
        }
        Ok(())
    }

    fn unheard(&self, history: &History, index: usize, hears: Option<usize>, line: &Line) -> Vec<(usize, Action)> {
        let mut actions = Vec::new();
        for (p, process) in history.state.processes.iter().enumerate() {
            let is_heard = hears == Some(p);
            // Of a death nobody sees more than that the lock is free; until somebody takes it, it can wait to be heard of.
            let matters = is_heard || (history.state.lock == Some(p) && line.step == "lock.after");
            if matters && self.ends[p].is_some_and(|end| end.may(index, process.at)) {
                actions.push((p, Action::Crash(p)));
            }
            // Begun anew without an end, or the lock let go without one.
            let is_dropped = is_heard && (line.step == "refresh.start" || self.drops.contains(&index));
            if history.ahead[p] {
                continue;
            }
            if is_dropped && process.at != At::Idle && Window::of(process.at).is_none() {
                actions.push((p, Action::Drop(p)));
            }
            match process.at {
                At::Idle if is_heard && line.step == "refresh.start" => actions.push((p, Action::Call(p))),
                At::Idle => {}
                At::Asking(None) => {
                    if !self.server_records || process.sent.is_none() {
                        actions.push((p, Action::Serve(p)));
                    }
                    if is_heard && line.retryable {
                        actions.extend([(p, Action::Timeout(p)), (p, Action::Unavailable(p))]);
                    }
                }
                // What nobody else can see, or what a later moment does as well, waits until it is heard of.
                At::Started | At::Locked | At::ExchangeBefore | At::FileSynced | At::Unlocking => {
                    actions.push((p, Action::Step(p)));
                }
                _ if is_heard => actions.push((p, Action::Step(p))),
                _ => {}
            }
        }
        actions
    }

    /// Nobody is left in the middle.
    fn end(&mut self) -> Result<(), String> {
        let is_over = |process: &Process| matches!(process.at, At::Idle | At::Unlocked | At::Found | At::Looked);
        let ended = |p: usize| self.ends[p].is_some();
        let is_well = |history: &History| {
            history.state.processes.iter().enumerate().all(|(p, process)| is_over(process) || ended(p))
        };
        if self.histories.iter().any(is_well) { Ok(()) } else { Err("a process is left in the middle".to_owned()) }
    }
}

fn is_gone(history: &History, p: usize) -> bool {
    history.state.processes[p].at == At::Idle && !history.ahead[p]
}

fn is_named(names: &mut BTreeMap<String, Name>, told: &Told, record: &Record) -> bool {
    let is_refresh = match (&told.refresh, record.refresh) {
        (None, None) => true,
        (Some(digest), Some(token)) => is_one(names, digest, Name::Refresh(token)),
        _ => false,
    };
    is_refresh && is_one(names, &told.access, Name::Access(record.access))
}

/// One digest, one token.
fn is_one(names: &mut BTreeMap<String, Name>, digest: &str, name: Name) -> bool {
    match names.get(digest) {
        Some(known) => *known == name,
        None => {
            let is_free = names.values().all(|known| *known != name);
            names.insert(digest.to_owned(), name);
            is_free
        }
    }
}
