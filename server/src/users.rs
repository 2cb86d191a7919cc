//! The people who can sign in. The sandbox asks for no password: whoever reaches the page picks who they are.

use serde::{Deserialize, Serialize};

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// `sub`: what was picked or typed, unchanged.
    pub subject: String,
    /// Full name.
    pub name: String,
    /// Electronic mail address; empty if the subject is not one.
    pub email: String,
}

/// Subjects longer than this are refused, in characters.
const MAX_SUBJECT: usize = 128;

impl User {
    /// A person known by `typed` (a mail address or any name); `None` if it is empty, too long or has control characters.
    pub fn named(typed: &str) -> Option<Self> {
        let subject = typed.trim();
        if subject.is_empty() || subject.chars().count() > MAX_SUBJECT || subject.chars().any(char::is_control) {
            return None;
        }
        let (local, email) = match subject.split_once('@') {
            Some((local, _)) => (local, subject),
            None => (subject, ""),
        };
        let name = local
            .split(['.', '_', '-', ' '])
            .filter(|word| !word.is_empty())
            .map(|word| {
                let mut letters = word.chars();
                letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>()).unwrap_or_default()
            })
            .collect::<Vec<_>>()
            .join(" ");
        let name = if name.is_empty() { subject.to_owned() } else { name };
        Some(Self { subject: subject.to_owned(), name, email: email.to_owned() })
    }

    /// First word of the name.
    pub fn given_name(&self) -> &str {
        self.name.split(' ').next().unwrap_or_default()
    }

    /// The name after its first word; empty if there is none.
    pub fn family_name(&self) -> &str {
        self.name.split_once(' ').map_or("", |(_, family)| family)
    }
}

/// Who is offered on the sign-in page, and who is signed in without being asked.
#[derive(Debug, Clone)]
pub struct Users {
    /// Offered on the page; any other name may be typed.
    pub known: Vec<User>,
    /// Skips the page and approves as this user.
    pub auto_approve: Option<User>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let alice = User::named(" alice.b@example.org ").unwrap();
        assert_eq!(alice.subject, "alice.b@example.org");
        assert_eq!((alice.name.as_str(), alice.email.as_str()), ("Alice B", "alice.b@example.org"));
        assert_eq!((alice.given_name(), alice.family_name()), ("Alice", "B"));
        assert_eq!(User::named("carol").unwrap().email, "");
        for bad in ["", "  ", "a\nb", &"x".repeat(129)] {
            assert_eq!(User::named(bad), None, "{bad:?}");
        }
    }
}
