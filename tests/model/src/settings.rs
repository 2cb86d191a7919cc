//! What is explored: how many processes, what may go wrong how often, how the server treats refresh tokens, and which
//! mistake, if any, the protocol is given.

use crate::state::Window;

/// How the authorization server treats a refresh token that was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Server {
    /// It stays good; an answer brings no new one.
    Keeps,
    /// It is replaced; the old one is refused.
    Rotates,
    /// It is replaced; a second use of the old one ends the whole session (RFC 9700 section 4.14.2).
    DetectsReuse,
    /// There is none: client credentials.
    NeedsNone,
}

impl Server {
    /// Whether an answer replaces the refresh token.
    pub fn rotates(self) -> bool {
        matches!(self, Self::Rotates | Self::DetectsReuse)
    }
}

/// A mistake in the protocol. `Nothing` is the protocol as the core has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Broken {
    /// As it is.
    Nothing,
    /// The store is not read again once the lock is held.
    NoReread,
    /// The token is published before its record is saved.
    PublishBeforeSave,
    /// Nobody takes the lock.
    NoLock,
    /// `invalid_grant` deletes the session, without another look at it.
    DeleteOnInvalidGrant,
    /// A lock outlives the process that held it.
    LockSurvivesDeath,
    /// The record is written in its place instead of renamed into it.
    WriteInPlace,
    /// A record that could not be saved is saved later although the session was ended meanwhile.
    UnsavedIgnoresLogout,
    /// "Newer than the rejected token" is decided by the generation alone, which starts anew after a logout.
    RejectedByGeneration,
    /// A refresh that ends publishes a token that was rejected meanwhile.
    PublishOverRejected,
    /// A record that could not be saved is forgotten.
    UnsavedForgotten,
}

/// How often each thing may happen in one history. All are finite, so that every history is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Budget {
    /// Calls that start a refresh or join one.
    pub calls: u8,
    /// Forced refreshes, and tokens that the resource server rejects.
    pub forced: u8,
    /// Processes killed, at any step.
    pub crashes: u8,
    /// Refreshes whose task ends with its runtime, outside the window in which the core keeps that from happening.
    pub drops: u8,
    /// Exchanges whose process gets no answer: the request or the reply is lost or late.
    pub timeouts: u8,
    /// Exchanges that the server answers with "not now".
    pub unavailable: u8,
    /// Every token so far expires.
    pub expiries: u8,
    /// A person signs in.
    pub logins: u8,
    /// A person signs out.
    pub logouts: u8,
    /// The disk gets full; it may get room again at any time.
    pub fills: u8,
    /// Another client, which ignores our lock, refreshes the login that it shares with us.
    pub foreign: u8,
}

/// One exploration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Processes.
    pub processes: usize,
    /// Every second process ends after its answer, as `flyte-auth token` does.
    pub one_shots: bool,
    /// The authorization server.
    pub server: Server,
    /// The session was adopted from another client, which goes on using it.
    pub shared: bool,
    /// What may happen.
    pub budget: Budget,
    /// The protocol's mistake.
    pub broken: Broken,
    /// A part of the window in which a death excuses a second presentation, where it shall not: then one must be found.
    pub unexcused: Option<Window>,
    /// Steps that nobody else can see are taken together with the one before them. The verdict is the same
    /// (`tests/checks.rs` compares), the states are fewer.
    pub reduced: bool,
}

impl Settings {
    /// Whether process `index` ends after its answer.
    pub fn is_one_shot(&self, index: usize) -> bool {
        self.one_shots && index % 2 == 1
    }
}
