//! The person: who may be asked, which way a login goes, and how it is shown.

use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;

mod environment;
pub mod guard;
pub mod ladder;
#[cfg(test)]
pub(crate) mod recorder;
pub mod surroundings;

/// `--flow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Flow {
    /// The ladder decides.
    #[default]
    Auto,
    /// Authorization code with PKCE on a loopback redirect, in a browser on this machine.
    Pkce,
    /// Device authorization grant.
    Device,
    /// Authorization code with PKCE in a browser elsewhere; the redirect URL is pasted back.
    Paste,
}

/// What a login tells the person. The CLI prints it, a notebook renders it, `--json` streams it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoginEvent {
    /// Why the ladder takes this step, for example `no display here (SSH_CONNECTION is set): signing in with a code`.
    Explain(String),
    /// Open this URL (authorization code); `opened` tells whether a browser was started here.
    Url {
        /// The authorization URL.
        url: String,
        /// A browser was started with it.
        opened: bool,
        /// `ssh -L …` line that makes the loopback redirect reachable from the person's own machine.
        ssh_hint: Option<String>,
        /// The redirect URL may be pasted back.
        paste: bool,
    },
    /// Enter this code there (device grant).
    UserCode {
        /// The code to type.
        user_code: String,
        /// Where to type it.
        verification_uri: String,
        /// The same with the code in it, if the server gave one.
        verification_uri_complete: Option<String>,
        /// When the code expires.
        expires_at: Timestamp,
    },
    /// Still waiting, and for how much longer.
    Waiting {
        /// For what, for example `the browser`.
        what: &'static str,
        /// Time left.
        remaining: Duration,
    },
    /// A step of the ladder failed; the next one follows.
    Fallback {
        /// Why, in one line.
        why: String,
    },
}

impl fmt::Debug for LoginEvent {
    // `state` in the URL and the user code are for the person, not for a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Explain(why) => f.debug_tuple("Explain").field(why).finish(),
            Self::Url { url, opened, ssh_hint, paste } => f
                .debug_struct("Url")
                .field("url", &url.split('?').next())
                .field("opened", opened)
                .field("ssh_hint", ssh_hint)
                .field("paste", paste)
                .finish(),
            Self::UserCode { verification_uri, expires_at, .. } => f
                .debug_struct("UserCode")
                .field("verification_uri", verification_uri)
                .field("expires_at", expires_at)
                .finish_non_exhaustive(),
            Self::Waiting { what, remaining } => {
                f.debug_struct("Waiting").field("what", what).field("remaining", remaining).finish()
            }
            Self::Fallback { why } => f.debug_struct("Fallback").field("why", why).finish(),
        }
    }
}

/// Shows a login to a person and takes what they paste. All methods may be called from any thread.
pub trait UserInteraction: Send + Sync {
    /// Something to show. Must not block for long.
    fn show(&self, event: LoginEvent);
    /// Opens a browser with `url`; `false` if that cannot be done here.
    fn open_browser(&self, url: &str) -> bool;
    /// The next line that the person pastes; pending for ever where there is nowhere to paste. Dropped when the login ends.
    fn pasted<'a>(&'a self) -> futures_util::future::BoxFuture<'a, String>;
}
