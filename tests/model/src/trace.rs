//! What real processes record (the core's `testing`, `FLYTE_AUTH_TESTING_TRACE`), and which place in the model each of
//! their points is.

use serde::Deserialize;

use crate::settings::Server;
use crate::state::At;

/// A record as a trace tells it: tokens as digests.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Told {
    /// The session's count.
    pub generation: u64,
    /// Digest of the access token.
    pub access: String,
    /// Digest of the refresh token.
    pub refresh: Option<String>,
}

/// One line.
#[derive(Debug, Clone, Deserialize)]
pub struct Line {
    /// Process id; of the server in its own lines.
    #[serde(default)]
    pub process: u32,
    /// A stop point, or one of [`OTHER_STEPS`].
    pub step: String,
    /// What was read, obtained, published or, at the beginning, stored.
    pub record: Option<Told>,
    /// At the start of a refresh: only a token of a generation after this will do.
    pub newer_than: Option<u64>,
    /// Instead of a record: why the exchange failed.
    pub error: Option<String>,
    /// Whether that passes by itself.
    #[serde(default)]
    pub retryable: bool,
    /// Where a file was written.
    pub folder: Option<String>,
    /// The server was presented the refresh token of this digest.
    pub presented: Option<String>,
    /// And gave this one for it.
    pub next: Option<String>,
    /// At the beginning: the server, and whether it records too.
    pub server: Option<Kind>,
    /// The server's lines are in the trace.
    #[serde(default)]
    pub recorded: bool,
}

impl Line {
    /// Whether it is of no other file than the session's record.
    pub(crate) fn is_of_store(&self) -> bool {
        self.folder.as_ref().is_none_or(|folder| folder == "sessions")
    }

    /// Whether it is a stop point of a refresh of this process.
    pub(crate) fn is_point_of(&self, pid: u32) -> bool {
        self.process == pid && self.is_of_store() && !OTHER_STEPS.contains(&self.step.as_str())
    }
}

/// [`Server`], as a trace's first line names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "as Server")]
pub enum Kind {
    Keeps,
    Rotates,
    DetectsReuse,
    NeedsNone,
}

impl From<Kind> for Server {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Keeps => Self::Keeps,
            Kind::Rotates => Self::Rotates,
            Kind::DetectsReuse => Self::DetectsReuse,
            Kind::NeedsNone => Self::NeedsNone,
        }
    }
}

/// Steps that are no stop points: the beginning, the end of a process by a signal or by itself, the resource server's
/// rejection of a token, the authorization server's exchange.
pub const OTHER_STEPS: [&str; 5] = ["begin", "killed", "exited", "rejected", "server.exchanged"];

/// Whether a place in the model is the one where a stop point stands.
pub type IsAt = fn(At) -> bool;

/// Every stop point of the core, and where it is in the model. A point that is not here is an error in a trace, and
/// `tests/traces.rs` compares this list with the core's.
pub const POINTS: [(&str, IsAt); 18] = [
    ("refresh.start", |at| at == At::Started),
    ("look.after", |at| at == At::Looked),
    ("discovery.before", |at| at == At::DiscoveryBefore),
    ("discovery.after", |at| at == At::DiscoveryAfter),
    ("lock.before", |at| at == At::LockBefore),
    ("lock.after", |at| at == At::Locked),
    ("reread.after", |at| at == At::Reread),
    ("exchange.before", |at| at == At::ExchangeBefore),
    ("exchange.after", |at| matches!(at, At::ExchangeAfter(_))),
    ("save.before", |at| at == At::SaveBefore),
    ("save.file_written", |at| at == At::FileWritten),
    ("save.file_synced", |at| at == At::FileSynced),
    ("save.renamed", |at| at == At::Renamed),
    ("save.folder_synced", |at| at == At::FolderSynced),
    ("save.after", |at| at == At::Saved),
    ("publish.after", |at| at == At::Published),
    ("unlock.before", |at| at == At::Unlocking),
    ("unlock.after", |at| at == At::Unlocked),
];

/// Whether a process that comes to this place says so.
pub fn is_recorded(at: At) -> bool {
    POINTS.iter().any(|(_, is)| is(at))
}
