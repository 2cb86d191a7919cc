//! What may happen next, and what then is the case.

use stateright::{Model, Property};

use crate::properties;
use crate::settings::{Broken, Settings};
use crate::state::{At, Excuse, Family, Memory, Record, Refresh, Reply, State, Stored, Window, Wrong};

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A caller wants a token.
    Call(usize),
    /// A caller wants another than the stored one.
    Force(usize),
    /// The resource server rejects the token in memory.
    Reject(usize),
    /// The process goes one step further.
    Step(usize),
    /// The server answers the process's request.
    Serve(usize),
    /// The server says "not now".
    Unavailable(usize),
    /// No answer reaches the process.
    Timeout(usize),
    /// Killed.
    Crash(usize),
    /// The refresh's task ends with its runtime; the process lives.
    Drop(usize),
    /// A request whose process is gone arrives.
    Arrive(Refresh, Excuse),
    /// Every access token so far expires.
    Expire,
    /// A person signs in.
    Login,
    /// A person signs out.
    Logout,
    /// The disk is full.
    Fill,
    /// There is room again.
    Free,
    /// The other client refreshes.
    Foreign,
}

impl Action {
    /// Whether the protocol or the server does it, and nobody needs to.
    pub fn is_of_protocol(self) -> bool {
        matches!(self, Self::Step(_) | Self::Serve(_))
    }
}

/// Steps that nobody else can see and that nobody else's step changes: taken at once where states are to be few. A crash
/// before and one after such a step leave the same behind.
fn is_private(state: &State, p: usize) -> bool {
    let process = &state.processes[p];
    match process.at {
        At::Started => process.unsaved.is_none(),
        At::DiscoveryBefore | At::DiscoveryAfter | At::FileWritten | At::Renamed | At::FolderSynced | At::Saved => true,
        At::Published => true,
        At::Asking(Some(_)) | At::ExchangeAfter(Reply::Granted { .. } | Reply::Unavailable) => true,
        _ => false,
    }
}

impl Settings {
    /// What may happen in `state`.
    pub fn possible(&self, state: &State) -> Vec<Action> {
        let left = &state.left;
        let mut possible = Vec::new();
        for (p, process) in state.processes.iter().enumerate() {
            let is_idle = process.at == At::Idle;
            let needs = process.memory.is_none_or(|memory| memory.rejected || !state.is_live(&memory.record));
            if left.calls > 0 && (if is_idle { needs } else { process.waiting < 2 }) {
                possible.push(Action::Call(p));
            }
            if left.forced > 0 {
                if is_idle && state.stored.record().is_some() {
                    possible.push(Action::Force(p));
                }
                if process.memory.is_some_and(|memory| !memory.rejected) {
                    possible.push(Action::Reject(p));
                }
            }
            if state.clone().step(self, p) {
                possible.push(Action::Step(p));
            }
            if process.at == At::Asking(None) {
                possible.push(Action::Serve(p));
                if left.unavailable > 0 {
                    possible.push(Action::Unavailable(p));
                }
            }
            if left.timeouts > 0 && matches!(process.at, At::Asking(None | Some(Reply::Granted { .. }))) {
                possible.push(Action::Timeout(p));
            }
            if left.drops > 0 && !is_idle && Window::of(process.at).is_none() {
                possible.push(Action::Drop(p));
            }
            if left.crashes > 0 && !(is_idle && process.unsaved.is_none()) {
                possible.push(Action::Crash(p));
            }
        }
        possible.extend(state.orphans.iter().map(|(token, excuse)| Action::Arrive(*token, *excuse)));
        let is_free = state.lock.is_none() || self.broken == Broken::NoLock;
        let world = [
            (Action::Expire, left.expiries > 0 && state.expired < state.issued),
            (Action::Login, left.logins > 0 && is_free && !state.full),
            (Action::Logout, left.logouts > 0 && is_free && state.stored != Stored::Absent),
            (Action::Fill, left.fills > 0 && !state.full),
            (Action::Free, state.full),
            (Action::Foreign, left.foreign > 0 && state.foreign.is_some()),
        ];
        possible.extend(world.into_iter().filter(|(_, may)| *may).map(|(action, _)| action));
        possible
    }

    /// What is the case after `action`; `None` if it cannot happen.
    pub fn after(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        self.apply(&mut state, action)?;
        if self.reduced {
            for p in 0..state.processes.len() {
                while is_private(&state, p) && state.step(self, p) {}
            }
        }
        if progress(self, &state) <= progress(self, before) {
            state.wrong(Wrong::NoProgress);
        }
        Some(state)
    }

    fn apply(&self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Call(p) => {
                state.left.calls = state.left.calls.checked_sub(1)?;
                let process = &mut state.processes[p];
                process.waiting += 1;
                if process.at == At::Idle {
                    process.at = At::Started;
                }
            }
            Action::Force(p) => {
                state.left.forced = state.left.forced.checked_sub(1)?;
                let newer_than = state.stored.record().map(|record| record.generation);
                let process = &mut state.processes[p];
                process.waiting += 1;
                process.newer_than = newer_than;
                process.at = At::Started;
            }
            Action::Reject(p) => {
                state.left.forced = state.left.forced.checked_sub(1)?;
                let process = &mut state.processes[p];
                let record = process.memory?.record;
                process.memory = Some(Memory { record, rejected: true });
                process.refused |= 1 << record.access;
            }
            Action::Step(p) => return state.step(self, p).then_some(()),
            Action::Serve(p) => {
                let reply = state.present(self, state.processes[p].sent, None);
                state.processes[p].at = At::Asking(Some(reply));
            }
            Action::Unavailable(p) => {
                state.left.unavailable = state.left.unavailable.checked_sub(1)?;
                state.trouble = true;
                state.processes[p].at = At::ExchangeAfter(Reply::Unavailable);
            }
            Action::Timeout(p) => {
                state.left.timeouts = state.left.timeouts.checked_sub(1)?;
                let process = &mut state.processes[p];
                let sent = process.sent;
                if process.at == At::Asking(None) {
                    state.orphans.extend(sent.map(|sent| (sent, Excuse::Unanswered)));
                }
                process.at = At::ExchangeAfter(Reply::Unavailable);
                state.trouble = true;
                state.excuse(sent, Excuse::Unanswered);
            }
            Action::Crash(p) => {
                state.left.crashes = state.left.crashes.checked_sub(1)?;
                state.crash(self, p);
            }
            Action::Drop(p) => {
                state.left.drops = state.left.drops.checked_sub(1)?;
                state.drop_flight(p);
            }
            Action::Arrive(token, excuse) => {
                if !state.orphans.remove(&(token, excuse)) {
                    return None;
                }
                state.present(self, Some(token), Some(excuse));
            }
            Action::Expire => {
                state.left.expiries = state.left.expiries.checked_sub(1)?;
                state.expired = state.issued;
            }
            Action::Login => self.login(state)?,
            Action::Logout => {
                state.left.logouts = state.left.logouts.checked_sub(1)?;
                state.stored = Stored::Absent;
                state.foreign = None;
                state.families.iter_mut().for_each(|family| family.ended = true);
            }
            Action::Fill => {
                state.left.fills = state.left.fills.checked_sub(1)?;
                state.full = true;
            }
            Action::Free => state.full = false,
            Action::Foreign => {
                state.left.foreign = state.left.foreign.checked_sub(1)?;
                let theirs = state.foreign?;
                if let Reply::Granted { access, refresh } = state.present(self, theirs.refresh, Some(Excuse::Shared)) {
                    state.excuse(theirs.refresh, Excuse::Shared);
                    state.foreign = Some(Record { access, refresh: refresh.or(theirs.refresh), ..theirs });
                }
            }
        }
        Some(())
    }

    /// Under the lock: nobody sees a part of it.
    fn login(&self, state: &mut State) -> Option<()> {
        state.left.logins = state.left.logins.checked_sub(1)?;
        state.families.iter_mut().for_each(|family| family.ended = true);
        let family = u8::try_from(state.families.len()).ok()?;
        state.families.push(Family::new());
        state.issued += 1;
        let generation = state.stored.record().map_or(0, |record| record.generation) + 1;
        let refresh = Some(Refresh { family, number: 0 });
        state.put(Record { generation, access: state.issued, refresh });
        state.trouble = false;
        Some(())
    }
}

/// Grows with every step, whatever it is, and is bounded: so every history ends, and "nobody waits where nothing can
/// happen any more" means that everybody gets an answer.
fn progress(settings: &Settings, state: &State) -> i64 {
    const BUDGET: i64 = 2000;
    const SETTLED: i64 = 300;
    const FLIGHT: i64 = 60;
    let (all, left) = (&settings.budget, &state.left);
    let used = [
        (all.calls, left.calls),
        (all.forced, left.forced),
        (all.crashes, left.crashes),
        (all.drops, left.drops),
        (all.timeouts, left.timeouts),
        (all.unavailable, left.unavailable),
        (all.expiries, left.expiries),
        (all.logins, left.logins),
        (all.logouts, left.logouts),
        (all.fills, left.fills),
        (all.foreign, left.foreign),
    ];
    let used: i64 = used.iter().map(|(all, left)| i64::from(all - left)).sum();
    let to_go: i64 = state
        .processes
        .iter()
        .filter(|process| process.at != At::Idle)
        .map(|process| FLIGHT - place(process.at) + i64::from(2 - process.again) * FLIGHT)
        .sum();
    let settled = i64::from(!state.trouble) + i64::from(!state.full);
    let orphans = i64::try_from(state.orphans.len()).unwrap_or(i64::MAX);
    used * BUDGET + settled * SETTLED - to_go - orphans
}

fn place(at: At) -> i64 {
    match at {
        At::Idle | At::Started => 0,
        At::Retrying => 1,
        At::RetryLocked => 2,
        At::Looked => 3,
        At::DiscoveryBefore => 4,
        At::DiscoveryAfter => 5,
        At::LockBefore => 6,
        At::Locked => 7,
        At::Reread => 8,
        At::ExchangeBefore => 9,
        At::Asking(None) => 10,
        At::Asking(Some(_)) => 11,
        At::ExchangeAfter(_) => 12,
        At::SaveBefore => 13,
        At::FileWritten => 14,
        At::FileSynced => 15,
        At::Renamed => 16,
        At::FolderSynced => 17,
        At::Saved => 18,
        At::Published => 19,
        At::Unlocking => 20,
        At::Found | At::Unlocked => 21,
    }
}

impl Model for Settings {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        // What comes after a fault is not worth exploring.
        if state.wrong.is_none() {
            actions.extend(self.possible(state));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        self.after(state, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}
