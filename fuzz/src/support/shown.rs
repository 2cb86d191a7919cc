//! Checks of what is shown to people and written into logs.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

/// A shorter text says nothing: words of an error occur in inputs too.
const TELLING: usize = 16;

// The engine writes what it sees compared into the next inputs, words of our messages too. So texts are compared as
// numbers here; and since the product compares texts as well, a part that is in both the input and a message is only
// suspected, until the message of the same input without it (`Target::run`) has it or not.

thread_local! {
    /// Parts of the input that are in a message, and the message.
    static SUSPECTED: RefCell<HashMap<Vec<u8>, String>> = RefCell::default();
    /// The part that is looked for in messages of an input without it, and whether one has it.
    static JUDGED: RefCell<Option<(Vec<u8>, bool)>> = RefCell::default();
}

/// Nothing of `input` that is long enough to tell something is in `shown`. `public` are texts that may be shown, because
/// they are words of our messages or meant for the person.
pub(crate) fn assert_not_repeated(input: &[u8], shown: &str, public: &[&str]) {
    let told: HashSet<u64> = numbers(input, TELLING).collect();
    let mut hidden = vec![false; shown.len()];
    for text in public.iter().filter(|text| !text.is_empty()) {
        for at in places(text.as_bytes(), shown.as_bytes()) {
            hidden[at..at + text.len()].fill(true);
        }
    }
    let judging = JUDGED.with_borrow_mut(|judged| {
        judged.as_mut().map(|(part, ours)| *ours |= places(part, shown.as_bytes()).next().is_some()).is_some()
    });
    if judging {
        return;
    }
    for (at, number) in numbers(shown.as_bytes(), TELLING).enumerate() {
        let part = at..at + TELLING;
        if told.contains(&number) && !hidden[part.clone()].contains(&true) {
            let part = shown.as_bytes()[part].to_vec();
            SUSPECTED.with_borrow_mut(|suspected| suspected.insert(part, shown.to_owned()));
        }
    }
}

/// Forgets what an input before this one left, if it ended in a panic.
pub(crate) fn begin() {
    SUSPECTED.take();
    JUDGED.take();
}

/// Runs a target again without each part that is suspected to have come from its input.
pub(crate) fn judge_suspected(data: &[u8], run: fn(&[u8])) {
    for (part, shown) in SUSPECTED.take() {
        let mut without = data.to_vec();
        for at in places(&part, data) {
            // Letters for letters, so that the input is read the same way.
            let letters = without[at..at + part.len()].iter_mut().filter(|byte| byte.is_ascii_alphanumeric());
            letters.for_each(|byte| *byte = b'0');
        }
        // Without it, or not to be had without it: it came in another form.
        JUDGED.set(Some((part.clone(), false)));
        if without != data {
            run(&without);
        }
        let repeated = JUDGED.take().is_none_or(|(_, ours)| !ours);
        assert!(!repeated, "{:?} of the input is shown: {shown}", String::from_utf8_lossy(&part));
    }
}

/// A secret is in no text that is shown; too short a one would be found anywhere.
pub(crate) fn assert_hidden(secret: &str, shown: &str) {
    assert!(secret.len() < TELLING || !says(shown, secret), "a secret is shown: {shown}");
}

/// Whether `text` is in `shown`.
pub(crate) fn says(shown: &str, text: &str) -> bool {
    places(text.as_bytes(), shown.as_bytes()).next().is_some()
}

/// Where `text` is in `shown`.
fn places(text: &[u8], shown: &[u8]) -> impl Iterator<Item = usize> {
    let wanted = numbers(text, text.len()).next();
    let found = numbers(shown, text.len()).enumerate();
    found.filter(move |(_, number)| Some(*number) == wanted).map(|(at, _)| at)
}

/// A number for each part of this length, made from that of the part before it (Rabin and Karp).
fn numbers(text: &[u8], length: usize) -> impl Iterator<Item = u64> {
    const BASE: u64 = 0x0100_0000_01b3;
    let add = |number: u64, byte: u8| number.wrapping_mul(BASE).wrapping_add(u64::from(byte) + 1);
    let leaving = (0..length).fold(1_u64, |power, _| power.wrapping_mul(BASE));
    let first = text.get(..length).filter(|part| !part.is_empty()).map(|part| part.iter().copied().fold(0, add));
    let steps = text.iter().zip(text.iter().skip(length));
    let rest = steps.scan(first.unwrap_or_default(), move |number, (old, new)| {
        *number = add(*number, *new).wrapping_sub((u64::from(*old) + 1).wrapping_mul(leaving));
        Some(*number)
    });
    first.into_iter().chain(rest.take(if first.is_some() { usize::MAX } else { 0 }))
}

/// Fit for one line of a terminal: no control characters, so no escape sequences.
pub(crate) fn assert_one_line(shown: &str) {
    assert!(!shown.contains(char::is_control), "control characters are shown: {shown:?}");
}

/// An error as it is shown and as it is logged.
pub(crate) fn both(error: &flyte_auth::Error) -> String {
    assert_one_line(&error.to_string());
    format!("{error} {error:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_repeated_is_noticed() {
        let noticed = |input: &str, target: fn(&[u8])| {
            std::panic::catch_unwind(|| {
                target(input.as_bytes());
                judge_suspected(input.as_bytes(), target);
            })
            .is_err()
        };
        assert!(noticed("a password of sixteen", repeating));
        assert!(!noticed("fewer than those", |input| assert_not_repeated(input, &text(&input[1..]), PUBLIC)));
        assert!(!noticed("https://idp.example", repeating));
        assert!(noticed("a password of sixteen", |input| {
            repeating(input);
            saying(b"another");
        }));
        assert!(!noticed("a password of sixteen", saying), "our own words");
        assert!(noticed("in another form", |_| repeating(b"a password of sixteen")));
        assert!(says("one two three", "two three") && says("x", "x") && !says("one", "one two") && !says("one", "two"));
    }

    const PUBLIC: &[&str] = &["https://idp.example"];

    fn repeating(input: &[u8]) {
        assert_not_repeated(input, &format!("it was {}", text(input)), PUBLIC);
    }

    fn saying(input: &[u8]) {
        assert_not_repeated(input, "it was password of sixteen at https://idp.example", PUBLIC);
    }

    fn text(input: &[u8]) -> String {
        String::from_utf8_lossy(input).into_owned()
    }
}
