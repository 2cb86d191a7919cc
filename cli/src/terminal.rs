//! Shows a login to a person: on stderr, or on the controlling terminal where stderr is captured.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, IsTerminal as _, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use flyte_auth::interaction::{LoginEvent, UserInteraction};
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::{browser, output};

/// How often a plain terminal is told that we still wait.
const PLAIN_REMINDER: Duration = Duration::from_secs(60);

/// Where the person is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    /// stdin and stderr.
    Stdio,
    /// `/dev/tty`: stdout and stderr belong to the program that called us. Plain lines, no cursor control.
    ControllingTerminal,
    /// stderr, and nothing is read.
    StderrOnly,
}

/// The person at a terminal.
pub(crate) struct Terminal {
    out: Mutex<Out>,
    channel: Channel,
    /// Progress as JSON lines on stderr would mix with talk: `--json` only drops the decorations.
    rich: bool,
}

struct Out {
    sink: Box<dyn Write + Send>,
    /// A progress line stands on the screen and must be wiped before the next one.
    progress: bool,
    /// Time left when a plain terminal was last told.
    reminded: Option<Duration>,
}

impl Terminal {
    pub(crate) fn new(channel: Channel, colours: bool) -> Self {
        let (sink, rich): (Box<dyn Write + Send>, bool) = match (channel, controlling_terminal_out()) {
            (Channel::ControllingTerminal, Some(tty)) => (Box::new(tty), false),
            _ => (Box::new(std::io::stderr()), colours && std::io::stderr().is_terminal()),
        };
        Self { out: Mutex::new(Out { sink, progress: false, reminded: None }), channel, rich }
    }

    /// A line for the person.
    pub(crate) fn line(&self, text: &str) {
        self.painted(&output::shown(text));
    }

    /// As [`Self::line`], with our own escape sequences.
    fn painted(&self, text: &str) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.wipe();
        // In raw mode, as some callers leave the terminal, a bare line feed does not return the carriage.
        let end = if self.channel == Channel::ControllingTerminal { "\r\n" } else { "\n" };
        let _ = write!(out.sink, "{}{end}", text.replace('\n', end));
        let _ = out.sink.flush();
    }

    fn progress(&self, what: &str, remaining: Duration) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let left = format!("{}:{:02}", remaining.as_secs() / 60, remaining.as_secs() % 60);
        if self.rich {
            let _ = write!(out.sink, "\r\x1b[2KWaiting for {what} ({left} left, Ctrl-C to stop) ");
            let _ = out.sink.flush();
            out.progress = true;
        } else if out.reminded.is_none_or(|last| last.saturating_sub(remaining) >= PLAIN_REMINDER) {
            out.reminded = Some(remaining);
            drop(out);
            self.line(&format!("Waiting for {what} ({left} left)"));
        }
    }

    /// Ends the progress line.
    pub(crate) fn finish(&self) {
        self.out.lock().unwrap_or_else(PoisonError::into_inner).wipe();
    }

    /// Asks a yes-or-no question; no answer is no. Dropped, nothing is read any more.
    pub(crate) async fn confirm(&self, question: &str) -> bool {
        self.line(question);
        // Nowhere to read from, or the end of input.
        let answer = self.next_line().await.unwrap_or_default();
        matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes")
    }

    /// The next line of the person, trimmed; an error where nobody can type.
    fn next_line(&self) -> oneshot::Receiver<String> {
        let (send, receive) = oneshot::channel();
        let source: Option<Box<dyn Source>> = match self.channel {
            Channel::ControllingTerminal => controlling_terminal_in().map(|tty| Box::new(tty) as _),
            Channel::Stdio if std::io::stdin().is_terminal() => Some(Box::new(std::io::stdin())),
            Channel::Stdio | Channel::StderrOnly => None,
        };
        if let Some(source) = source {
            let _ = std::thread::Builder::new().name("paste".to_owned()).spawn(move || {
                if let Some(line) = wait_for_line(source, || send.is_closed()) {
                    let _ = send.send(line);
                }
            });
        }
        receive
    }
}

impl Out {
    fn wipe(&mut self) {
        if self.progress {
            let _ = write!(self.sink, "\r\x1b[2K");
            let _ = self.sink.flush();
            self.progress = false;
        }
    }
}

impl UserInteraction for Terminal {
    fn show(&self, event: LoginEvent) {
        match event {
            LoginEvent::Explain(why) => self.line(&why),
            LoginEvent::Url { url, opened, ssh_hint, paste } => {
                self.line(if opened {
                    "A browser opens. If it does not, open this address:"
                } else {
                    "Open this address in a browser:"
                });
                self.line(&format!("\n  {url}\n"));
                if let Some(hint) = ssh_hint {
                    self.line(&format!(
                        "If that browser runs on your own machine, forward the port first, there:\n\n  {hint}\n"
                    ));
                }
                if paste {
                    self.line(
                        "Or paste here the address that the browser ends at (it may show an error), and press Enter.",
                    );
                }
            }
            LoginEvent::UserCode { user_code, verification_uri, verification_uri_complete, .. } => {
                let target = verification_uri_complete.as_deref().unwrap_or(&verification_uri);
                if self.rich
                    && let Some(code) = qr(target)
                {
                    self.painted(&code);
                }
                self.line(&format!(
                    "On any device, open:\n\n  {verification_uri}\n\nand enter the code:\n\n  {user_code}\n"
                ));
                if verification_uri_complete.is_some() {
                    self.line(&format!("Or open this address, which holds the code: {target}"));
                }
            }
            LoginEvent::Waiting { what, remaining } => self.progress(what, remaining),
            LoginEvent::Fallback { why } => self.line(&why),
            _ => {}
        }
    }

    fn open_browser(&self, url: &str) -> bool {
        browser::open(url)
    }

    fn pasted(&self) -> BoxFuture<'_, String> {
        let line = self.next_line();
        Box::pin(async move {
            match line.await {
                Ok(line) => line,
                // Nowhere to paste, or end of input.
                Err(_) => std::future::pending().await,
            }
        })
    }
}

/// A terminal to read from.
#[cfg(unix)]
trait Source: std::io::Read + std::os::fd::AsFd + Send {}
#[cfg(unix)]
impl<T: std::io::Read + std::os::fd::AsFd + Send> Source for T {}
#[cfg(not(unix))]
trait Source: std::io::Read + Send {}
#[cfg(not(unix))]
impl<T: std::io::Read + Send> Source for T {}

/// The next line; `None` once nobody wants it any more. What a person types after the login belongs to the program that
/// goes on: a prompt of Python, for example.
#[cfg(unix)]
fn wait_for_line(source: Box<dyn Source>, unwanted: impl Fn() -> bool) -> Option<String> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    const LOOK_UP: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    loop {
        let ready = poll(&mut [PollFd::new(&source, PollFlags::IN)], Some(&LOOK_UP));
        if unwanted() {
            return None;
        }
        match ready {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            // A terminal has a whole line when it has anything.
            Ok(_) => return read_line(source),
            Err(_) => return None,
        }
    }
}

/// As on Unix, but a blocked read cannot be ended here: the thread ends with the process.
#[cfg(not(unix))]
fn wait_for_line(source: Box<dyn Source>, _unwanted: impl Fn() -> bool) -> Option<String> {
    read_line(source)
}

fn read_line(source: Box<dyn Source>) -> Option<String> {
    let mut line = String::new();
    BufReader::new(source).read_line(&mut line).is_ok_and(|read| read > 0).then(|| line.trim().to_owned())
}

/// A QR code of half blocks, dark on light whatever the terminal's colours.
fn qr(text: &str) -> Option<String> {
    let code = qrcode::QrCode::with_error_correction_level(text, qrcode::EcLevel::L).ok()?;
    let image = code.render::<qrcode::render::unicode::Dense1x2>().quiet_zone(true).build();
    let lines: Vec<String> = image.lines().map(|line| format!("  \x1b[30;47m{line}\x1b[0m")).collect();
    Some(lines.join("\n"))
}

#[cfg(unix)]
fn controlling_terminal_out() -> Option<File> {
    OpenOptions::new().write(true).open("/dev/tty").ok()
}
#[cfg(unix)]
fn controlling_terminal_in() -> Option<File> {
    OpenOptions::new().read(true).open("/dev/tty").ok()
}
#[cfg(windows)]
fn controlling_terminal_out() -> Option<File> {
    OpenOptions::new().write(true).open("CONOUT$").ok()
}
#[cfg(windows)]
fn controlling_terminal_in() -> Option<File> {
    OpenOptions::new().read(true).open("CONIN$").ok()
}

/// Says a line on the controlling terminal, if there is one: stderr may be captured by the program that called us.
pub(crate) fn say_on_controlling_terminal(line: &str) {
    if !std::io::stderr().is_terminal()
        && let Some(mut tty) = controlling_terminal_out()
    {
        let _ = write!(tty, "{}\r\n", output::shown(line));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn qr_codes_fit_a_terminal() {
        let code = super::qr("https://idp.example.org/device?user_code=ABCD-EFGH").unwrap();
        assert!(code.lines().count() < 24, "{}", code.lines().count());
    }
}
