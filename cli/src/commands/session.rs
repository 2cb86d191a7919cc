//! `session export` and `session import`: one session from machine to machine, through stdout and stdin.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;

use flyte_auth::session::transfer::{Document, MAX_DOCUMENT, Moved};
use flyte_auth::session::{Session, identity};
use flyte_auth::{Error, Result};
use serde_json::json;

use crate::args::{Global, SessionCommand};
use crate::{output, setup};

pub(crate) fn session(global: &Global, command: &SessionCommand, as_json: bool) -> Result<ExitCode> {
    match command {
        SessionCommand::Export => export(global, as_json),
        SessionCommand::Import { replace } => import(global, *replace, as_json),
    }
}

fn on_a_terminal(stream: &'static str, next: &str) -> Error {
    Error::config("terminal_refused", stream, format!("{stream} is a terminal: a session moves through a pipe"))
        .with_next(next)
}

fn export(global: &Global, as_json: bool) -> Result<ExitCode> {
    if io::stdout().is_terminal() {
        // Tokens on a screen end up in scroll-back, recordings and chats.
        return Err(on_a_terminal("stdout", "Run: flyte-auth session export | ssh HOST flyte-auth session import"));
    }
    let session = setup::session_to_look(global)?;
    let moved = setup::block_on(session.export(hand_over))?;
    let place = session.place();
    if as_json {
        // stdout is the document's.
        output::talk(&summary(&session, &moved).to_string());
    } else {
        output::talk(&format!("flyte-auth: the session with {place} was handed over and is gone from this machine"));
        for client in &moved.copies_removed {
            output::talk(&format!("flyte-auth: {client}'s own copy of it is gone too"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the document and waits until it has been taken: what still lies in a pipe when its reader ends is lost.
fn hand_over(document: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(document)?;
    out.flush()?;
    drop(out);
    taken()
}

#[cfg(unix)]
fn taken() -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fs::FileType;

    const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    /// 20 s in all: less than others wait for the refresh lock.
    const LOOKS: usize = 1000;

    let out = io::stdout();
    match FileType::from_raw_mode(rustix::fs::fstat(&out)?.st_mode) {
        FileType::RegularFile => rustix::fs::fsync(&out)?,
        FileType::Fifo => {
            let left = || rustix::io::ioctl_fionread(&out).unwrap_or(0);
            for _ in 0..LOOKS {
                if left() == 0 {
                    return Ok(());
                }
                // Asks for nothing: an error (no reader any more) is reported all the same.
                let mut watched = [PollFd::new(&out, PollFlags::empty())];
                poll(&mut watched, Some(&LOOK))?;
                if watched[0].revents().contains(PollFlags::ERR) && left() > 0 {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
            }
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it was not read within 20 s"));
        }
        _ => {}
    }
    Ok(())
}

#[cfg(not(unix))]
fn taken() -> io::Result<()> {
    Ok(())
}

fn import(global: &Global, replace: bool, as_json: bool) -> Result<ExitCode> {
    if io::stdin().is_terminal() {
        return Err(on_a_terminal("stdin", "Run: ssh HOST flyte-auth session export | flyte-auth session import"));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed tells that there is more.
    let read = io::stdin().lock().take(MAX_DOCUMENT as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|cause| {
        Error::config("stdin_unreadable", "stdin", format!("stdin cannot be read: {cause}"))
            .with_next("Pipe the session from: flyte-auth session export")
            .with_source(cause)
    })?;
    let document = Document::parse(&bytes)?;
    drop(bytes);
    let session = session_of(global, &document)?;
    let moved = setup::block_on(session.import(document, replace))?;
    if as_json {
        output::json(&summary(&session, &moved));
    }
    let who = moved.record.email.as_ref().or(moved.record.subject.as_ref());
    let who = who.map(|who| format!(" as {who}")).unwrap_or_default();
    output::talk(&format!("flyte-auth: signed in to {}{who} with the session that was moved here", session.place()));
    Ok(ExitCode::SUCCESS)
}

/// The session that the document is for: what is not configured here is taken from it, what is must agree with it.
fn session_of(global: &Global, document: &Document) -> Result<Session> {
    let mut global = global.clone();
    let config = setup::config(&global)?;
    if config.endpoint.is_none() && config.issuer.is_none() {
        global.endpoint.clone_from(&document.endpoint);
        global.issuer.clone_from(&document.issuer);
    }
    if config.profile.is_none() {
        global.profile.clone_from(&document.profile);
    }
    if config.account.is_none() {
        global.account.clone_from(&document.account);
    }
    let session = setup::session_to_look(&global)?;
    identity::place(session.config())?;
    Ok(session)
}

fn summary(session: &Session, moved: &Moved) -> serde_json::Value {
    let record = &moved.record;
    json!({
        "endpoint": session.place(), "profile": record.profile, "account": record.account,
        "subject": record.subject, "email": record.email, "token_source": record.origin.name(),
        "access_token_expires_at": record.expires_at.map(flyte_auth::Timestamp::to_rfc3339),
        "has_refresh_token": record.refresh_token.is_some(), "replaced": moved.replaced,
        "copies_removed": moved.copies_removed, "store": session.store().describe().kind.name(),
    })
}
