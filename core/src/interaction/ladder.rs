//! The login ladder: which way to sign in, judged from where the process runs. Each step is taken if the one before it
//! could not even begin (no browser, a busy port, a grant that the server refuses); what a person decided is final.

use super::Flow;
use super::surroundings::Surroundings;

/// A way to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Authorization code; a browser is opened here and returns to the loopback redirect.
    Browser,
    /// Device authorization grant: a code to enter in any browser.
    Device,
    /// Authorization code; the person opens the URL wherever they like. The loopback redirect is listened on all the
    /// same (the browser may be here after all, or behind a forwarded port), and the redirect URL may be pasted back.
    Paste,
}

/// A step, and why it is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedStep {
    /// The step.
    pub step: Step,
    /// One line for the person; empty where they chose the step themselves.
    pub why: String,
}

/// The steps in order, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<PlannedStep>,
}

/// What the authorization server offers beside the authorization code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offered {
    /// It announces a device authorization endpoint.
    pub device: bool,
}

/// Plans a login. An explicit flow is one step. `--no-browser` opens none, but the authorization code stays: its URL is
/// shown.
///
/// `Flow::Pkce` without a display here is the same grant with its URL shown: starting whatever stands for a browser
/// there (a text browser, a helper that waits for a display) would take the terminal, or hang.
pub fn plan(flow: Flow, surroundings: &Surroundings, offered: Offered, no_browser: bool) -> Plan {
    let display = surroundings.local_display();
    let why = display.why;
    let shown = if no_browser { "no browser is to be opened".to_owned() } else { why.clone() };
    let steps = match flow {
        Flow::Device => vec![step(Step::Device, "")],
        Flow::Paste => vec![step(Step::Paste, "")],
        Flow::Pkce if display.here && !no_browser => vec![step(Step::Browser, "")],
        Flow::Pkce => vec![step(Step::Paste, format!("Signing in with an address to open yourself: {shown}."))],
        Flow::Auto if no_browser => {
            let mut steps = vec![step(Step::Paste, format!("Signing in with an address to open yourself: {shown}."))];
            steps.extend(offered.device.then(|| step(Step::Device, "Next: a code to enter in any browser.")));
            steps
        }
        Flow::Auto if display.here => {
            let mut steps = vec![step(Step::Browser, format!("Signing in with the browser here: {why}."))];
            steps.extend(offered.device.then(|| step(Step::Device, "Next: a code to enter in any browser.")));
            steps.push(step(Step::Paste, "Next: an address to open yourself."));
            steps
        }
        Flow::Auto if offered.device => vec![
            step(Step::Device, format!("Signing in with a code to enter in any browser: {why}.")),
            step(Step::Paste, "Next: an address to open yourself."),
        ],
        Flow::Auto => vec![step(
            Step::Paste,
            format!("Signing in with an address to open yourself: {why}, and the server offers no device grant."),
        )],
    };
    Plan { steps }
}

fn step(step: Step, why: impl Into<String>) -> PlannedStep {
    PlannedStep { step, why: why.into() }
}

/// The command, for the person's own machine, that makes the loopback redirect at `port` reachable from there; `None`
/// unless this is a session over SSH.
pub fn ssh_hint(port: u16, surroundings: &Surroundings) -> Option<String> {
    let target = surroundings.ssh_target.as_deref()?;
    Some(format!("ssh -L {port}:127.0.0.1:{port} {target}"))
}

#[cfg(test)]
mod tests;
