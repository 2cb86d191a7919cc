//! stdout is data, stderr is talk.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use flyte_auth::Error;
use serde::Serialize;

/// Data did not reach stdout: a full disk, for example.
static LOST: AtomicBool = AtomicBool::new(false);

/// Writes data to stdout. A reader that has gone away (`| head`) is no failure; anything else is, see [`ended`].
pub(crate) fn data(text: &str) {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(cause) if cause.kind() != std::io::ErrorKind::BrokenPipe => {
            talk(&format!("flyte-auth: stdout cannot be written: {cause}"));
            LOST.store(true, Ordering::Relaxed);
        }
        _ => {}
    }
}

/// The exit code of a command that ended with `code`: a script that reads nothing must not be told that all went well.
pub(crate) fn ended(code: ExitCode) -> ExitCode {
    if LOST.load(Ordering::Relaxed) { ExitCode::FAILURE } else { code }
}

/// Writes one JSON document to stdout.
pub(crate) fn json(value: &impl Serialize) {
    let text = serde_json::to_string_pretty(value).unwrap_or_else(|cause| format!("{{\"error\": \"{cause}\"}}"));
    data(&format!("{text}\n"));
}

/// Writes one JSON document on one line: for readers that read a line.
pub(crate) fn json_line(value: &impl Serialize) {
    let text = serde_json::to_string(value).unwrap_or_else(|cause| format!("{{\"error\": \"{cause}\"}}"));
    data(&format!("{text}\n"));
}

/// Writes a line for the person.
pub(crate) fn talk(line: &str) {
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "{}", shown(line));
}

/// Text of a server, a file or another process as a terminal may have it: line feeds stay; escape sequences and
/// characters that turn the direction of writing, with which a line could say what it does not, are made visible.
pub(crate) fn shown(text: &str) -> String {
    let hidden = |letter: char| {
        letter.is_control() && letter != '\n'
            || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().map(|letter| if hidden(letter) { '\u{fffd}' } else { letter }).collect()
}

/// One value on a line of its own.
pub(crate) fn field(name: &str, width: usize, value: &str) -> String {
    format!("{:<width$} {}\n", format!("{name}:"), shown(value).replace('\n', " "))
}

/// Whether stderr takes colours.
pub(crate) fn colours(no_color: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !no_color && !set("NO_COLOR") && !set("FLYTE_AUTH_NO_COLOR") && std::io::stderr().is_terminal()
}

/// An error as `--json` shows it.
#[derive(Serialize)]
struct ErrorDocument<'a> {
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    kind: &'a str,
    code: &'a str,
    message: &'a str,
    next: Option<&'a str>,
    retryable: bool,
    endpoint: Option<&'a str>,
    setting: Option<&'a str>,
    oauth_error: Option<&'a str>,
}

/// Reports a failure and gives its exit code. One line on stderr; with `--json` an object on stdout too.
pub(crate) fn failure(error: &Error, as_json: bool) -> ExitCode {
    if as_json {
        document(error);
    }
    talk(&format!("flyte-auth: {error}"));
    ExitCode::from(error.kind().exit_code())
}

/// Writes an error to stdout as `--json` shows it.
pub(crate) fn document(error: &Error) {
    json(&ErrorDocument {
        error: ErrorBody {
            kind: error.kind().name(),
            code: error.code(),
            message: error.message(),
            next: error.next_step(),
            retryable: error.is_retryable(),
            endpoint: error.endpoint(),
            setting: error.setting(),
            oauth_error: error.oauth_error(),
        },
    });
}

/// A table with a head line, columns as wide as their widest cell.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| shown(cell).replace('\n', " ")).collect()).collect();
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells
            .zip(&widths)
            .map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.chars().count())))
            .collect();
        padded.join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = line(&mut head.iter().copied());
    for row in &rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_of_a_server_steers_the_terminal() {
        let said = "a\u{1b}[2J\u{7}\r\u{9b}31m\u{202e}b\nc ü";
        let shown = super::shown(said);
        assert_eq!(shown, "a\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}31m\u{fffd}b\nc ü");
        assert_eq!(super::field("name", 6, said).lines().count(), 1);
        assert_eq!(super::table(&["A"], &[vec![said.to_owned()]]).lines().count(), 2);
    }

    #[test]
    fn tables_align() {
        let text = super::table(
            &["KEY", "VALUE"],
            &[vec!["a".into(), "long value".into()], vec!["long key".into(), "ü".into()]],
        );
        assert_eq!(text, "KEY       VALUE\na         long value\nlong key  ü\n");
    }
}
