//! Where the process runs, as far as it matters for signing a person in: plain data, gathered once.

use crate::interaction::environment;

/// The operating system's family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Os {
    /// Linux and the other Unixes with X11 or Wayland.
    #[default]
    Unix,
    /// macOS.
    MacOs,
    /// Windows.
    Windows,
}

/// `/dev/tty` (on Windows `CONIN$`): the terminal of the session, wherever stdin and stderr lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ControllingTerminal {
    /// None, as in a notebook kernel, a service or CI.
    #[default]
    None,
    /// One, and another job is in its foreground: writing would garble that job, reading would stop us.
    Background,
    /// One, and we are in its foreground.
    Foreground,
}

/// What only the operating system can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// Operating system.
    pub os: Os,
    /// stdin is a terminal.
    pub stdin_terminal: bool,
    /// stderr is a terminal.
    pub stderr_terminal: bool,
    /// The controlling terminal.
    pub controlling_terminal: ControllingTerminal,
    /// The file that container engines leave, if it is there.
    pub container_file: Option<&'static str>,
    /// The kernel is WSL's.
    pub wsl: bool,
}

/// What `BROWSER` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BrowserVariable {
    /// Not set.
    #[default]
    Unset,
    /// A command that shows a page. Editors and remote workspaces set it to one that opens the person's own browser.
    Set,
    /// It names a browser that takes over the terminal: never started for anybody.
    Text,
}

/// Where the process runs. Each `Option` holds the name of the variable or file that says so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// What only the operating system can tell.
    pub facts: Facts,
    /// `BROWSER`.
    pub browser: BrowserVariable,
    /// `DISPLAY` or `WAYLAND_DISPLAY`.
    pub display: Option<&'static str>,
    /// WSL can start Windows programs.
    pub wsl_interop: bool,
    /// A session over SSH.
    pub ssh: Option<&'static str>,
    /// `user@host` of that session, for a hint.
    pub ssh_target: Option<String>,
    /// A container.
    pub container: Option<&'static str>,
    /// A workspace in a browser or behind an editor (Codespaces, Gitpod, a dev container).
    pub workspace: Option<&'static str>,
    /// A notebook kernel.
    pub notebook: Option<&'static str>,
    /// Continuous integration.
    pub ci: Option<&'static str>,
    /// A Kubernetes pod or a Flyte task.
    pub pod: Option<&'static str>,
}

/// Whether a browser started here is in front of the person, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalDisplay {
    /// It is.
    pub here: bool,
    /// Why, in words that follow "because", for example `SSH_CONNECTION is set`.
    pub why: String,
}

impl Surroundings {
    /// From the operating system and `env`.
    pub fn gather(env: &dyn Fn(&str) -> Option<String>) -> Self {
        Self::new(Facts::gather(), env)
    }

    /// From what is handed in. Empty variables are not set.
    pub fn new(facts: Facts, env: &dyn Fn(&str) -> Option<String>) -> Self {
        environment::read(facts, env)
    }

    /// Whether a browser started here is in front of the person. `BROWSER` decides where it is set; then whatever puts
    /// the person elsewhere; then a display.
    pub fn local_display(&self) -> LocalDisplay {
        let (here, why) = match self.browser {
            BrowserVariable::Set => (true, "BROWSER is set".to_owned()),
            BrowserVariable::Text => (false, "BROWSER is a text browser".to_owned()),
            BrowserVariable::Unset => self.display_of_the_machine(),
        };
        LocalDisplay { here, why }
    }

    fn display_of_the_machine(&self) -> (bool, String) {
        if let Some(name) = self.ssh {
            return (false, format!("this is a session over SSH ({name} is set)"));
        }
        if let Some(name) = self.notebook {
            return (false, format!("this is a notebook ({name} is set)"));
        }
        if let Some(name) = self.workspace {
            return (false, format!("this is a remote workspace ({name} is set)"));
        }
        if let Some(name) = self.pod {
            return (false, format!("this is a pod ({name} is set)"));
        }
        if let Some(name) = self.container {
            return (false, format!("this is a container ({name})"));
        }
        if let Some(name) = self.ci {
            return (false, format!("this is CI ({name} is set)"));
        }
        match self.facts.os {
            Os::MacOs => (true, "macOS has a display".to_owned()),
            Os::Windows => (true, "Windows has a display".to_owned()),
            Os::Unix if self.wsl_interop => (true, "Windows shows it (WSL)".to_owned()),
            Os::Unix => match self.display {
                Some(name) => (true, format!("{name} is set")),
                None => (false, "there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set)".to_owned()),
            },
        }
    }
}

impl Facts {
    /// Asks the operating system.
    pub fn gather() -> Self {
        use std::io::IsTerminal as _;
        let os = if cfg!(target_os = "macos") {
            Os::MacOs
        } else if cfg!(windows) {
            Os::Windows
        } else {
            Os::Unix
        };
        let release = if cfg!(target_os = "linux") { "/proc/sys/kernel/osrelease" } else { "" };
        let wsl = std::fs::read_to_string(release).is_ok_and(|text| text.to_ascii_lowercase().contains("microsoft"));
        let files = ["/.dockerenv", "/run/.containerenv"];
        Self {
            os,
            stdin_terminal: std::io::stdin().is_terminal(),
            stderr_terminal: std::io::stderr().is_terminal(),
            controlling_terminal: controlling_terminal(),
            container_file: files.into_iter().find(|file| std::path::Path::new(file).exists()),
            wsl,
        }
    }
}

#[cfg(unix)]
fn controlling_terminal() -> ControllingTerminal {
    use rustix::fs::{Mode, OFlags};
    // NOCTTY: looking must not make it ours. NONBLOCK: a modem line must not hold us up.
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(terminal) = rustix::fs::open("/dev/tty", flags, Mode::empty()) else {
        return ControllingTerminal::None;
    };
    match rustix::termios::tcgetpgrp(&terminal) {
        Ok(foreground) if foreground == rustix::process::getpgrp() => ControllingTerminal::Foreground,
        Ok(_) => ControllingTerminal::Background,
        Err(_) => ControllingTerminal::None,
    }
}

#[cfg(windows)]
fn controlling_terminal() -> ControllingTerminal {
    // A console has no foreground job: whoever has it may use it.
    match std::fs::OpenOptions::new().read(true).write(true).open("CONIN$") {
        Ok(_) => ControllingTerminal::Foreground,
        Err(_) => ControllingTerminal::None,
    }
}

#[cfg(test)]
mod tests;
