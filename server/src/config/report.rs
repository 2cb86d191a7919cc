//! What became of each key: what `serve --check` prints.

use std::fmt::Write as _;

use serde::Serialize;

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It does what it does in flyteadmin.
    Honoured,
    /// It has no meaning here.
    Ignored,
    /// It has another meaning here than in flyteadmin; the note says which, and why.
    DiffersOnPurpose,
    /// It does what it says, and that is dangerous.
    Insecure,
    /// Nobody knows it; a misspelling, most likely.
    Unknown,
}

impl Verdict {
    fn words(self) -> &'static str {
        match self {
            Self::Honoured => "honoured",
            Self::Ignored => "ignored",
            Self::DiffersOnPurpose => "differs on purpose",
            Self::Insecure => "insecure",
            Self::Unknown => "unknown",
        }
    }
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Dotted: `auth.userAuth.openId.clientId`.
    pub key: String,
    /// What becomes of it.
    pub verdict: Verdict,
    /// Its value; secrets are masked.
    pub value: String,
    /// More words; may be empty.
    pub note: String,
}

/// The widest value that is shown whole.
const WIDEST: usize = 44;

fn shortened(value: &str) -> String {
    let one_line: String = value.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if one_line.chars().count() <= WIDEST {
        return one_line;
    }
    let mut short: String = one_line.chars().take(WIDEST - 1).collect();
    short.push('…');
    short
}

/// The rows as a table for a person.
pub fn table(rows: &[Row]) -> String {
    let lines: Vec<[String; 4]> = rows
        .iter()
        .map(|row| [row.key.clone(), row.verdict.words().to_owned(), shortened(&row.value), row.note.clone()])
        .collect();
    let head = ["KEY", "VERDICT", "VALUE", "NOTE"].map(str::to_owned);
    let mut widths = [0_usize; 3];
    for line in std::iter::once(&head).chain(&lines) {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in std::iter::once(&head).chain(&lines) {
        let [key, verdict, value, note] = line;
        let [first, second, third] = widths;
        let _ = write!(text, "{key:first$}  {verdict:second$}  {value:third$}  {note}");
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}
