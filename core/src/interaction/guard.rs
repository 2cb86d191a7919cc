//! Whom to ask: whether a person may be asked at all, and where (contract, "Called by a client" 1).

use std::fmt;

use super::surroundings::{ControllingTerminal, Surroundings};
use crate::config::Interactive;

/// What decides beside the surroundings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asking {
    /// `--interactive`.
    pub interactive: Interactive,
    /// A machine's credentials are configured (a secret, an API key, a token, a command): they never fall through to
    /// a person.
    pub machine_credentials: bool,
    /// Somebody asked for it just now: the command `login`, or a program that opted in.
    pub opted_in: bool,
}

/// Where a person is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// stdin and stderr.
    Stdio,
    /// The controlling terminal, in plain lines: stdin or stderr belong to the program that called.
    ControllingTerminal,
    /// stderr alone: nothing can be read. A background job that reads its terminal is stopped, and whoever waits for it
    /// waits for ever.
    StderrOnly,
}

/// Why nobody is asked. `Display` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotAsked {
    /// `--interactive never`.
    Never,
    /// A machine's credentials are configured.
    MachineCredentials,
    /// Continuous integration; the variable that says so.
    Ci(&'static str),
    /// A pod; the variable that says so.
    Pod(&'static str),
    /// There is a terminal, and another job has it.
    Background,
    /// There is no terminal.
    NoTerminal,
}

impl fmt::Display for NotAsked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("--interactive is never"),
            Self::MachineCredentials => f.write_str("a machine credential is configured"),
            Self::Ci(name) => write!(f, "this is CI ({name} is set)"),
            Self::Pod(name) => write!(f, "this is a pod ({name} is set)"),
            Self::Background => f.write_str("this runs in the background of its terminal"),
            Self::NoTerminal => f.write_str("there is no terminal to ask at"),
        }
    }
}

/// Whether a person may be asked, and where. An opt-in is as good as `always`, and outweighs a machine's credentials
/// too: whoever types `login` wants to sign in. Only `never` stands above it.
///
/// # Errors
/// The reason why nobody may be asked.
pub fn may_ask(asking: Asking, surroundings: &Surroundings) -> Result<Channel, NotAsked> {
    if asking.interactive == Interactive::Never {
        return Err(NotAsked::Never);
    }
    if asking.machine_credentials && !asking.opted_in {
        return Err(NotAsked::MachineCredentials);
    }
    if asking.opted_in || asking.interactive == Interactive::Always {
        // Somebody reads stderr, if only in a log: a device code can be confirmed from there.
        return Ok(channel(surroundings).unwrap_or(Channel::StderrOnly));
    }
    if let Some(name) = surroundings.ci {
        return Err(NotAsked::Ci(name));
    }
    if let Some(name) = surroundings.pod {
        return Err(NotAsked::Pod(name));
    }
    channel(surroundings)
}

fn channel(surroundings: &Surroundings) -> Result<Channel, NotAsked> {
    let facts = &surroundings.facts;
    match facts.controlling_terminal {
        // Reading would stop the process (SIGTTIN), and whoever waits for it with it.
        ControllingTerminal::Background => Err(NotAsked::Background),
        _ if facts.stdin_terminal && facts.stderr_terminal => Ok(Channel::Stdio),
        ControllingTerminal::Foreground => Ok(Channel::ControllingTerminal),
        ControllingTerminal::None => Err(NotAsked::NoTerminal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interaction::surroundings::Facts;

    const ASK: Asking = Asking { interactive: Interactive::Auto, machine_credentials: false, opted_in: false };

    fn terminals(stdin: bool, stderr: bool, controlling_terminal: ControllingTerminal) -> Surroundings {
        let facts = Facts { stdin_terminal: stdin, stderr_terminal: stderr, controlling_terminal, ..Facts::default() };
        Surroundings { facts, ..Surroundings::default() }
    }

    #[test]
    fn auto_asks_where_a_person_can_answer() {
        use Channel::{ControllingTerminal as Tty, Stdio};
        use ControllingTerminal::{Background, Foreground, None as No};
        for (stdin, stderr, terminal, expected) in [
            (true, true, Foreground, Ok(Stdio)),
            (true, true, No, Ok(Stdio)),
            (true, true, Background, Err(NotAsked::Background)),
            // flytekit and flyte capture stdout and stderr; flytectl gives /dev/null as stdin.
            (true, false, Foreground, Ok(Tty)),
            (false, true, Foreground, Ok(Tty)),
            (false, false, Foreground, Ok(Tty)),
            (false, false, Background, Err(NotAsked::Background)),
            (false, false, No, Err(NotAsked::NoTerminal)),
            (true, false, No, Err(NotAsked::NoTerminal)),
            (false, true, No, Err(NotAsked::NoTerminal)),
        ] {
            let surroundings = terminals(stdin, stderr, terminal);
            assert_eq!(may_ask(ASK, &surroundings), expected, "{surroundings:?}");
        }
    }

    #[test]
    fn never_always_opt_in_and_machines() {
        use Interactive::{Always, Auto, Never};
        let here = terminals(true, true, ControllingTerminal::Foreground);
        let ci = Surroundings { ci: Some("CI"), ..here.clone() };
        let pod = Surroundings { pod: Some("KUBERNETES_SERVICE_HOST"), ..here.clone() };
        let captured = terminals(false, false, ControllingTerminal::Foreground);
        let nobody = terminals(false, false, ControllingTerminal::None);
        let background = terminals(true, true, ControllingTerminal::Background);
        let (stdio, tty) = (Ok(Channel::Stdio), Ok(Channel::ControllingTerminal));
        let stderr = Ok(Channel::StderrOnly);
        let machine = Err(NotAsked::MachineCredentials);
        for (interactive, machine_credentials, opted_in, surroundings, expected) in [
            (Never, false, false, &here, Err(NotAsked::Never)),
            (Never, false, true, &here, Err(NotAsked::Never)),
            (Auto, false, false, &here, stdio),
            (Auto, true, false, &here, machine),
            (Always, true, false, &here, machine),
            (Auto, true, true, &here, stdio),
            (Auto, false, false, &ci, Err(NotAsked::Ci("CI"))),
            (Always, false, false, &ci, stdio),
            (Auto, false, true, &ci, stdio),
            (Auto, false, false, &pod, Err(NotAsked::Pod("KUBERNETES_SERVICE_HOST"))),
            (Auto, false, true, &pod, stdio),
            (Always, false, false, &captured, tty),
            (Auto, false, true, &captured, tty),
            (Always, false, false, &nobody, stderr),
            (Auto, false, true, &nobody, stderr),
            (Auto, false, true, &background, stderr),
            (Always, false, false, &background, stderr),
        ] {
            let asking = Asking { interactive, machine_credentials, opted_in };
            assert_eq!(may_ask(asking, surroundings), expected, "{asking:?} {surroundings:?}");
        }
    }

    #[test]
    fn the_reason_names_what_to_look_at() {
        assert_eq!(NotAsked::Ci("GITLAB_CI").to_string(), "this is CI (GITLAB_CI is set)");
        assert_eq!(NotAsked::NoTerminal.to_string(), "there is no terminal to ask at");
    }
}
