//! Reads `flyte-auth token [--endpoint X] …` as clients write it, at a tenth of the time that the whole command line
//! takes to build. Anything else, every mistake included, is `None`: the real parser then speaks.

use std::ffi::OsString;

use crate::args::{Cli, Command, DEFAULT_MIN_TTL, Global, OneShotArgs, TokenArgs, TokenFormat};

/// The command line, if it is a plain `token`.
pub(crate) fn token(arguments: impl IntoIterator<Item = OsString>) -> Option<Cli> {
    let mut words = arguments.into_iter().map(OsString::into_string);
    let mut global = Global::default();
    let mut seen_command = false;
    while let Some(word) = words.next() {
        let word = word.ok()?;
        if word == "token" && !seen_command {
            seen_command = true;
            continue;
        }
        let flag = match word.as_str() {
            "--insecure" | "--plaintext" => &mut global.insecure,
            "--insecure-skip-verify" => &mut global.insecure_skip_verify,
            _ => {
                let (name, attached) = match word.split_once('=') {
                    Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                    None => (word.clone(), None),
                };
                let slot = value_of(&mut global, &name)?;
                let value = match attached {
                    Some(value) => value,
                    // A value that looks like an option is for the real parser to judge.
                    None => words.next()?.ok().filter(|value| !value.starts_with('-'))?,
                };
                slot.set(value)?;
                continue;
            }
        };
        if std::mem::replace(flag, true) {
            return None;
        }
    }
    let one_shot = OneShotArgs { force_refresh: false, min_ttl: DEFAULT_MIN_TTL, refresh_only: false };
    let command = Command::Token(TokenArgs { format: TokenFormat::Raw, one_shot });
    seen_command.then_some(Cli { global, command })
}

enum Slot<'a> {
    Text(&'a mut Option<String>),
    Path(&'a mut Option<std::path::PathBuf>),
}

impl Slot<'_> {
    fn set(self, value: String) -> Option<()> {
        let twice = match self {
            Slot::Text(slot) => slot.replace(value).is_some(),
            Slot::Path(slot) => slot.replace(value.into()).is_some(),
        };
        (!twice).then_some(())
    }
}

fn value_of<'a>(global: &'a mut Global, name: &str) -> Option<Slot<'a>> {
    Some(match name {
        "--config" => Slot::Path(&mut global.config),
        "--ca-cert" => Slot::Path(&mut global.ca_cert),
        "--endpoint" => Slot::Text(&mut global.endpoint),
        "--profile" => Slot::Text(&mut global.profile),
        "--account" => Slot::Text(&mut global.account),
        "--store" => Slot::Text(&mut global.store),
        "--auth-type" => Slot::Text(&mut global.auth_type),
        "--client-id" => Slot::Text(&mut global.client_id),
        "--issuer" => Slot::Text(&mut global.issuer),
        "--scopes" => Slot::Text(&mut global.scopes),
        "--audience" => Slot::Text(&mut global.audience),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn both(words: &[&str]) -> (Option<Cli>, Option<Cli>) {
        let argv: Vec<OsString> = ["flyte-auth"].iter().chain(words).map(OsString::from).collect();
        (token(argv[1..].iter().cloned()), Cli::try_parse_from(argv).ok())
    }

    #[test]
    fn what_it_reads_it_reads_as_the_real_parser_does() {
        for words in [
            &["token"][..],
            &["token", "--endpoint", "dns:///h"],
            &["--endpoint=dns:///h", "token"],
            &["token", "--endpoint", "h", "--plaintext", "--profile", "p", "--store=file"],
            &["token", "--insecure", "--insecure-skip-verify", "--ca-cert", "/ca", "--config", "f"],
            &[
                "token",
                "--auth-type",
                "Pkce",
                "--client-id",
                "c",
                "--issuer",
                "i",
                "--scopes",
                "a,b",
                "--audience",
                "x",
            ],
            &["token", "--account", "a@b", "--audience="],
        ] {
            let (quick, real) = both(words);
            assert!(quick.is_some() && quick == real, "{words:?}: {quick:?} {real:?}");
        }
    }

    #[test]
    fn everything_else_is_left_to_the_real_parser() {
        for words in [
            &[][..],
            &["login"],
            &["token", "token"],
            &["token", "--format", "json"],
            &["token", "--json"],
            &["token", "--endpoint"],
            &["token", "--endpoint", "--insecure"],
            &["token", "--endpoint", "a", "--endpoint", "b"],
            &["token", "--insecure", "--plaintext"],
            &["token", "--help"],
            &["token", "extra"],
            &["--endpoint", "token"],
            &["token", "--log-level", "debug"],
        ] {
            assert_eq!(both(words).0, None, "{words:?}");
        }
    }
}
