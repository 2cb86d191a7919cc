//! Everything that is the case at one instant.

use std::collections::BTreeSet;

use crate::settings::{Budget, Settings};

/// A refresh token: the `number`th of the login `family`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Refresh {
    /// Which login it descends from.
    pub family: u8,
    /// How many came before it.
    pub number: u8,
}

/// A stored session. Access tokens are counted over everything that the server ever issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Record {
    /// Counts the records of one session.
    pub generation: u8,
    /// Its access token.
    pub access: u8,
    /// Its refresh token.
    pub refresh: Option<Refresh>,
}

/// The record's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stored {
    /// None.
    Absent,
    /// One version.
    Whole(Record),
    /// Parts of two.
    Torn,
}

impl Stored {
    /// What a reader makes of it; a damaged file counts as none.
    pub fn record(self) -> Option<Record> {
        match self {
            Self::Whole(record) => Some(record),
            Self::Absent | Self::Torn => None,
        }
    }
}

/// What the server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reply {
    /// New tokens.
    Granted {
        /// The access token.
        access: u8,
        /// The refresh token, where it was replaced.
        refresh: Option<Refresh>,
    },
    /// `invalid_grant`.
    Refused,
    /// "Not now", or no answer.
    Unavailable,
}

/// Where a process is in a refresh. The names of most are stop points of the core: see [`crate::trace`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the stop point of its name, or said beside it")]
pub enum At {
    Idle,
    Started,
    /// A record that could not be saved is to be saved first, under the lock.
    Retrying,
    RetryLocked,
    Looked,
    DiscoveryBefore,
    DiscoveryAfter,
    LockBefore,
    Locked,
    Reread,
    ExchangeBefore,
    /// The request is on its way, or its reply is.
    Asking(Option<Reply>),
    ExchangeAfter(Reply),
    SaveBefore,
    FileWritten,
    FileSynced,
    Renamed,
    FolderSynced,
    Saved,
    Published,
    Unlocking,
    Unlocked,
    /// A fresh token was found without the lock.
    Found,
}

/// What a refresh came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A token.
    Token(Record),
    /// A person must sign in.
    LoginRequired,
    /// Try again later.
    Trouble,
}

/// What a process answers from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Memory {
    /// The last that was published.
    pub record: Record,
    /// The resource server rejected it.
    pub rejected: bool,
}

/// A record that could not be saved, and what the store had then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Unsaved {
    /// The newest record.
    pub record: Record,
    /// What it was to replace.
    pub over: Stored,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Process {
    /// Where its one refresh is.
    pub at: At,
    /// Callers who wait for it.
    pub waiting: u8,
    /// What is published.
    pub memory: Option<Memory>,
    /// What must not be lost while it lives.
    pub unsaved: Option<Unsaved>,
    /// The last it read in this refresh.
    pub seen: Option<Record>,
    /// What the exchange brought.
    pub renewed: Option<Record>,
    /// The refresh token that it presented.
    pub sent: Option<Refresh>,
    /// A forced refresh: not this one or an older one.
    pub newer_than: Option<u8>,
    /// Access tokens that were rejected here, as bits.
    pub refused: u32,
    /// What to tell the callers.
    pub outcome: Option<Outcome>,
    /// Refreshes that came too early for a caller.
    pub again: u8,
}

impl Process {
    /// Just started, nothing known.
    pub const NEW: Self = Self {
        at: At::Idle,
        waiting: 0,
        memory: None,
        unsaved: None,
        seen: None,
        renewed: None,
        sent: None,
        newer_than: None,
        refused: 0,
        outcome: None,
        again: 0,
    };

    /// What is left when a refresh is over.
    pub(crate) fn landed(&self) -> Self {
        Self { memory: self.memory, unsaved: self.unsaved, refused: self.refused, ..Self::NEW }
    }
}

/// Why a refresh token that was replaced may be presented once more: its exchange ended without the answer having been
/// renamed into place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Excuse {
    /// The process was killed between sending the request and the rename.
    Died,
    /// No answer came.
    Unanswered,
    /// Another client, which ignores our lock, used it.
    Shared,
    /// The answer could not be saved.
    Unsaved,
    /// And then the process that kept it ended.
    Ended,
}

/// Where a process that is killed takes the only copy of the newest refresh token with it: nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// The request is on its way: it may arrive, and its answer finds nobody.
    Asked,
    /// The server has answered, and the process has not read it.
    Replied,
    /// The stop point `exchange.after`.
    Received,
    /// `save.before`.
    Saving,
    /// `save.file_written`.
    Written,
    /// `save.file_synced`: the rename is next.
    Synced,
}

impl Window {
    /// All of it.
    pub const ALL: [Self; 6] = [Self::Asked, Self::Replied, Self::Received, Self::Saving, Self::Written, Self::Synced];

    /// The part of the window that this place is.
    pub fn of(at: At) -> Option<Self> {
        Some(match at {
            At::Asking(None) => Self::Asked,
            At::Asking(Some(Reply::Granted { .. })) => Self::Replied,
            At::ExchangeAfter(Reply::Granted { .. }) => Self::Received,
            At::SaveBefore => Self::Saving,
            At::FileWritten => Self::Written,
            At::FileSynced => Self::Synced,
            _ => return None,
        })
    }
}

impl Excuse {
    /// All that a second presentation can have; `Ended` only follows `Unsaved`.
    pub const ALL: [Self; 4] = [Self::Died, Self::Unanswered, Self::Shared, Self::Unsaved];

    /// As a bit.
    pub fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// A login at the server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Family {
    /// The number of the one refresh token that is good.
    pub newest: u8,
    /// The server ended it.
    pub revoked: bool,
    /// A person signed out of it, or in anew.
    pub ended: bool,
    /// Tokens whose exchange ended without its answer in the store.
    pub excuses: BTreeSet<(u8, Excuse)>,
}

impl Family {
    pub(crate) const fn new() -> Self {
        Self { newest: 0, revoked: false, ended: false, excuses: BTreeSet::new() }
    }

    /// Whether the token of this number has an excuse.
    pub fn excuse(&self, number: u8) -> Option<Excuse> {
        self.excuses.iter().find(|(of, _)| *of == number).map(|(_, excuse)| *excuse)
    }
}

/// What went wrong, noted by the step that did it. Each is a property's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wrong {
    /// A replaced refresh token was presented again, without an excuse.
    Reused,
    /// A record was removed, and neither a person nor the server's word on the newest token wanted it.
    Deleted,
    /// A stored generation was followed by a lower one in the same session.
    Backwards,
    /// Somebody read parts of two records.
    TornRead,
    /// A rejected token was published again.
    ServedRejected,
    /// A session that was ended came back.
    Resurrected,
    /// A caller was told to sign in without a reason.
    UnfoundedLogin,
    /// The server was asked although a good token was in the store.
    NeedlessExchange,
    /// A step that is no progress: then a history could be endless.
    NoProgress,
}

/// One instant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The processes.
    pub processes: Vec<Process>,
    /// The record's file.
    pub stored: Stored,
    /// Who holds the lock.
    pub lock: Option<usize>,
    /// The server said "not now" a moment ago, and every process knows.
    pub trouble: bool,
    /// The disk is full.
    pub full: bool,
    /// The newest access token.
    pub issued: u8,
    /// Access tokens up to this one are expired.
    pub expired: u8,
    /// The server's logins; the last is the current one.
    pub families: Vec<Family>,
    /// Requests on their way whose process is no longer interested.
    pub orphans: BTreeSet<(Refresh, Excuse)>,
    /// What the other client holds.
    pub foreign: Option<Record>,
    /// What may still happen.
    pub left: Budget,
    /// Access tokens that were in the store, as bits.
    pub saved: u32,
    /// Excuses that a second presentation had, as bits.
    pub excused: u8,
    /// What went wrong first.
    pub wrong: Option<Wrong>,
}

impl State {
    /// A session whose access token has expired.
    pub fn new(settings: &Settings) -> Self {
        let refresh =
            (settings.server != crate::settings::Server::NeedsNone).then_some(Refresh { family: 0, number: 0 });
        let record = Record { generation: 1, access: 1, refresh };
        Self {
            processes: vec![Process::NEW; settings.processes],
            stored: Stored::Whole(record),
            lock: None,
            trouble: false,
            full: false,
            issued: 1,
            expired: 1,
            families: vec![Family::new()],
            orphans: BTreeSet::new(),
            foreign: settings.shared.then_some(record),
            left: settings.budget,
            saved: 0b10,
            excused: 0,
            wrong: None,
        }
    }

    /// Notes what went wrong; the first counts.
    pub(crate) fn wrong(&mut self, wrong: Wrong) {
        self.wrong.get_or_insert(wrong);
    }

    pub(crate) fn is_live(&self, record: &Record) -> bool {
        record.access > self.expired
    }

    pub(crate) fn excuse(&mut self, token: Option<Refresh>, excuse: Excuse) {
        if let Some(token) = token {
            self.families[usize::from(token.family)].excuses.insert((token.number, excuse));
        }
    }

    /// The server gets a refresh token. `late`: by a request whose process gave up or died.
    pub(crate) fn present(&mut self, settings: &Settings, token: Option<Refresh>, late: Option<Excuse>) -> Reply {
        if let Some(token) = token {
            let family = &mut self.families[usize::from(token.family)];
            if token.number < family.newest {
                match late.or(family.excuse(token.number)) {
                    Some(excuse) => self.excused |= excuse.bit(),
                    None => {
                        self.wrong.get_or_insert(Wrong::Reused);
                    }
                }
                family.revoked |= settings.server == crate::settings::Server::DetectsReuse;
                return Reply::Refused;
            }
            if family.revoked {
                return Reply::Refused;
            }
        }
        self.issued += 1;
        let replaced = token.filter(|_| settings.server.rotates()).map(|token| {
            let family = &mut self.families[usize::from(token.family)];
            family.newest += 1;
            Refresh { number: family.newest, ..token }
        });
        Reply::Granted { access: self.issued, refresh: replaced }
    }

    /// The record takes its place.
    pub(crate) fn put(&mut self, record: Record) {
        if let Some(refresh) = record.refresh {
            let family = &mut self.families[usize::from(refresh.family)];
            if family.ended {
                self.wrong.get_or_insert(Wrong::Resurrected);
            }
            // Its predecessor's exchange is complete: from here on nothing excuses a second one.
            family.excuses.retain(|(number, _)| number + 1 != refresh.number);
        }
        if let Stored::Whole(before) = self.stored
            && before.generation > record.generation
        {
            self.wrong.get_or_insert(Wrong::Backwards);
        }
        self.saved |= 1 << record.access;
        self.stored = Stored::Whole(record);
    }
}
