//! Whether a client's `token` may ask a person, and where.

use flyte_auth::interaction::guard::{self, Asking};
use flyte_auth::interaction::surroundings::Surroundings;
use flyte_auth::session::Session;
use flyte_auth::{Error, Result};

use crate::setup;
use crate::terminal::Channel;

/// Where the person can be asked for a client that calls us; the reason if nobody can (contract, "Called by a client" 1).
pub(crate) fn channel_for_client(session: &Session) -> std::result::Result<Channel, String> {
    let asking = Asking {
        interactive: session.config().interactive.value,
        machine_credentials: session.source().is_machine(),
        opted_in: false,
    };
    guard::may_ask(asking, &surroundings()).map(channel).map_err(|not_asked| not_asked.to_string())
}

/// For `login`: typing the command is the opt-in; only `--interactive never` forbids it.
pub(crate) fn channel_for_login(session: &Session) -> Result<Channel> {
    let asking = Asking {
        interactive: session.config().interactive.value,
        machine_credentials: session.source().is_machine(),
        opted_in: true,
    };
    guard::may_ask(asking, &surroundings()).map(channel).map_err(|not_asked| {
        Error::config("interaction_forbidden", "--interactive", format!("nobody may be asked: {not_asked}"))
            .with_next("Use --interactive auto, or a machine credential")
    })
}

fn channel(channel: guard::Channel) -> Channel {
    match channel {
        guard::Channel::Stdio => Channel::Stdio,
        guard::Channel::ControllingTerminal => Channel::ControllingTerminal,
        guard::Channel::StderrOnly => Channel::StderrOnly,
    }
}

/// Where this process runs.
pub(crate) fn surroundings() -> Surroundings {
    Surroundings::gather(&setup::environment)
}
