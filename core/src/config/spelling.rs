//! How the caller spells its options.

use std::borrow::Cow;

/// How the caller spells its options: origins and errors name them so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Spelling {
    /// `--client-id`.
    #[default]
    Flags,
    /// `client_id`.
    SnakeCase,
    /// `clientId`.
    CamelCase,
}

impl Spelling {
    /// The caller's spelling of one of our names, for example `client_id`.
    pub fn spell(self, name: &str) -> String {
        match self {
            Self::Flags => format!("--{}", name.replace('_', "-")),
            Self::SnakeCase => name.to_owned(),
            Self::CamelCase => {
                let mut parts = name.split('_');
                let mut spelled = parts.next().unwrap_or("").to_owned();
                for part in parts {
                    let mut letters = part.chars();
                    spelled.extend(letters.next().map(|first| first.to_ascii_uppercase()));
                    spelled.extend(letters);
                }
                spelled
            }
        }
    }

    /// A message as the caller's people know its options: `--client-id` becomes `client_id`. What names our own command
    /// line (`Run: flyte-auth login …`) stays.
    pub fn respell(self, text: &str) -> Cow<'_, str> {
        if self == Self::Flags || !text.contains("--") || text.contains("flyte-auth ") {
            return Cow::Borrowed(text);
        }
        let mut parts = text.split("--");
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end = part.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(part.len());
            let (name, rest) = part.split_at(end);
            if name.is_empty() || name.starts_with('-') || !(out.is_empty() || out.ends_with([' ', '(', '"', '`'])) {
                out.push_str("--");
                out.push_str(part);
            } else {
                out.push_str(&self.spell(&name.replace('-', "_")));
                out.push_str(rest);
            }
        }
        Cow::Owned(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_what_the_caller_can_write() {
        let said = "Use --flow device, or set the CA (--ca-cert); a--b -- --- stay";
        assert_eq!(Spelling::SnakeCase.respell(said), "Use flow device, or set the CA (ca_cert); a--b -- --- stay");
        assert_eq!(Spelling::CamelCase.respell("--ca-cert"), "caCert");
        for (spelling, text) in [
            (Spelling::Flags, said),
            (Spelling::SnakeCase, "Run: flyte-auth login --config f"),
            (Spelling::CamelCase, "x"),
        ] {
            assert_eq!(spelling.respell(text), text);
        }
    }
}
