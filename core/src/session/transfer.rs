//! Moving a session to another machine: `session export` and `session import`.
//!
//! A session moves, it is not copied: two holders of one rotating refresh token end each other's session. So the local
//! copy goes as soon as the document has been taken, and not before.

use std::io;
use std::time::Duration;

use serde_json::Value;

use super::{Session, Source, engine, identity, keeping};
use crate::config::endpoint::Endpoint;
use crate::config::{Config, Setting};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::json;
use crate::protocol::secret::{SecretBytes, SecretObject};
use crate::store::{LockKind, Record, store_error};

/// `format` of the document.
const FORMAT: &str = "flyte-auth-session";
/// `version` of the document this code writes; the record in it has a version of its own.
const VERSION: u64 = 1;
/// Longest document in bytes.
pub const MAX_DOCUMENT: usize = json::MAX_BYTES;
/// How long a refresh of another process may keep a move waiting.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// A session on its way. `Debug` masks its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The endpoint's base URL, if the session has one.
    pub endpoint: Option<String>,
    /// The issuer, where it was configured (not where it was discovered).
    pub issuer: Option<String>,
    /// Profile, if one was chosen.
    pub profile: Option<String>,
    /// `--account`, if one was chosen.
    pub account: Option<String>,
    record: Record,
}

/// What was moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The record; `Debug` masks its tokens.
    pub record: Record,
    /// Import: a session that was here is replaced.
    pub replaced: bool,
    /// Export: clients whose own copies of these tokens were removed from this machine.
    pub copies_removed: Vec<&'static str>,
}

fn invalid(why: &str) -> Error {
    Error::config("session_document_invalid", "standard input", format!("this is no exported session: {why}"))
        .with_next("Pipe it from: flyte-auth session export")
}

fn text(setting: &Option<Setting<String>>) -> Option<String> {
    setting.as_ref().map(|setting| setting.value.clone())
}

impl Document {
    fn new(config: &Config, record: Record) -> Self {
        Self {
            endpoint: config.endpoint.as_ref().map(|endpoint| endpoint.value.base_url()),
            issuer: text(&config.issuer),
            profile: text(&config.profile),
            account: text(&config.account),
            record,
        }
    }

    /// The document: one line of JSON with a line feed. It holds the tokens.
    pub(crate) fn to_json(&self) -> Result<SecretBytes> {
        #[derive(serde::Serialize)]
        struct Written<'a> {
            format: &'static str,
            version: u64,
            endpoint: &'a Option<String>,
            issuer: &'a Option<String>,
            profile: &'a Option<String>,
            account: &'a Option<String>,
            session: &'a Record,
        }
        let Self { endpoint, issuer, profile, account, record: session } = self;
        let document = Written { format: FORMAT, version: VERSION, endpoint, issuer, profile, account, session };
        let mut bytes = SecretBytes::json(&document)
            .map_err(|cause| Error::internal("the session cannot be written as JSON").with_source(cause))?;
        bytes.extend(b"\n");
        Ok(bytes)
    }

    /// Reads a document strictly. What it holds never enters a message.
    ///
    /// # Errors
    /// `session_document_invalid` (kind `Config`) for what is no such document; kind `Store`, code `store_newer`, for one
    /// of a newer version.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut members =
            SecretObject::from(json::parse_object(bytes).map_err(|problem| invalid(&problem.to_string()))?);
        if members.get("format").and_then(Value::as_str) != Some(FORMAT) {
            let failed = members.contains_key("error");
            return Err(invalid(if failed { "it is the error of a failed export" } else { "it has another format" }));
        }
        match members.get("version").and_then(Value::as_u64) {
            Some(VERSION) => {}
            Some(version) if version > VERSION => {
                return Err(store_error(
                    "store_newer",
                    format!("the exported session was written by a newer flyte-auth (version {version})"),
                    "Update this flyte-auth",
                ));
            }
            _ => return Err(invalid("it has no usable version")),
        }
        let Some(session @ Value::Object(_)) = members.get("session") else {
            return Err(invalid("it holds no session"));
        };
        let record = SecretBytes::json(session).map_err(|_| invalid("it holds no session"))?;
        let record = Record::from_json(&record, "on standard input").map_err(|error| match error.code() {
            "store_corrupt" => invalid("its session is incomplete or damaged"),
            _ => error,
        })?;
        check_header(&record)?;
        Ok(Self {
            endpoint: take_text(&mut members, "endpoint")?,
            issuer: take_text(&mut members, "issuer")?,
            profile: take_text(&mut members, "profile")?,
            account: take_text(&mut members, "account")?,
            record,
        })
    }
}

fn take_text(members: &mut SecretObject, name: &str) -> Result<Option<String>> {
    match members.take(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid(&format!("its member {name} is no text"))),
    }
}

/// Both go into every call's header: whoever wrote the document must not write into other headers too.
fn check_header(record: &Record) -> Result<()> {
    let token = record.access_token.expose(); // EXPOSE: looked at for characters that no header can carry.
    if http::HeaderName::from_bytes(record.header_name.as_bytes()).is_err()
        || token.is_empty()
        || !token.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(invalid("its token fits no header"));
    }
    Ok(())
}

fn same_place(one: Option<&str>, other: Option<&Endpoint>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => Endpoint::parse(one, false, "endpoint").is_ok_and(|one| one.key() == other.key()),
        _ => false,
    }
}

impl Session {
    /// Hands the session to `write` as one JSON document and, once that has returned without an error, removes it from
    /// this machine. All under the refresh lock, so that no refresh makes the document stale. If `write` fails or is
    /// abandoned, the session stays.
    ///
    /// # Errors
    /// `session_not_movable` for a session that no person signed in to; `LoginRequired` if there is none or it has ended;
    /// `export_not_taken` (kind `Internal`, exit code 1) if `write` fails; kind `Store`.
    pub async fn export(&self, write: impl FnOnce(&[u8]) -> io::Result<()> + Send + 'static) -> Result<Moved> {
        let inner = &self.inner;
        self.ensure_movable()?;
        let lock = keeping::lock(inner, LockKind::Refresh, LOCK_TIMEOUT).await?;
        let record = keeping::load(inner).await?.filter(|record| self.lives(record));
        let record = record.ok_or_else(|| identity::not_signed_in(&inner.config))?;
        // Where it was adopted from is of this machine.
        let travels = Record { adopted_from: None, ..record.clone() };
        let document = Document::new(&inner.config, travels).to_json()?;
        keeping::blocking(inner, move |inner| {
            write(&document).map_err(|cause| {
                Error::new(
                    ErrorKind::Internal,
                    "export_not_taken",
                    format!("nobody took the exported session ({cause}); it stays on this machine"),
                )
                .with_endpoint(inner.place.clone())
                .with_next("Pipe it: flyte-auth session export | ssh HOST flyte-auth session import")
                .with_source(cause)
            })
        })
        .await?;
        keeping::blocking(inner, |inner| inner.store.delete(&inner.key).inspect(|_| inner.troubles.forget()))
            .await
            .map_err(|error| error.with_next("The session was exported and is still here: run flyte-auth logout"))?;
        inner.forget();
        // A second holder here would end the session there.
        let copies_removed = super::adopt::remove_copies(inner, &record).await;
        drop(lock);
        Ok(Moved { record, replaced: false, copies_removed })
    }

    /// Saves an exported session as this one.
    ///
    /// # Errors
    /// Kind `Config`: `session_not_movable`; `session_mismatch` if it belongs to another endpoint, issuer, profile, account
    /// or client; `session_exists` if somebody is signed in here and `replace` is not set. Kind `Store`.
    pub async fn import(&self, document: Document, replace: bool) -> Result<Moved> {
        let inner = &self.inner;
        self.ensure_movable()?;
        self.ensure_fits(&document)?;
        let _lock = keeping::lock(inner, LockKind::Refresh, LOCK_TIMEOUT).await?;
        let before = keeping::load(inner).await?;
        let replaced = before.as_ref().is_some_and(|record| self.lives(record));
        if replaced && !replace {
            return Err(Error::config(
                "session_exists",
                "--replace",
                format!("somebody is signed in to {} on this machine already", inner.place),
            )
            .with_endpoint(inner.place.clone())
            .with_next("Use --replace, or run flyte-auth logout first"));
        }
        let mut record = document.record;
        // Other processes of this machine hold tokens of the session that was here: these are newer.
        let count = before.map_or(0, |record| record.generation).max(record.generation);
        record.generation = count.saturating_add(1);
        record.endpoint.clone_from(&inner.place);
        record.adopted_from = None;
        let saved = record.clone();
        keeping::blocking(inner, move |inner| {
            inner.store.save(&inner.key, &saved)?;
            inner.troubles.forget();
            Ok(())
        })
        .await?;
        engine::publish(inner, &record);
        self.forget_declined();
        Ok(Moved { record, replaced, copies_removed: Vec::new() })
    }

    fn lives(&self, record: &Record) -> bool {
        record.refresh_token.is_some() || record.expires_at.is_none_or(|at| self.inner.context.clock.now() < at)
    }

    fn ensure_movable(&self) -> Result<()> {
        match &self.inner.source {
            Source::Person { .. } => Ok(()),
            source => Err(Error::config(
                "session_not_movable",
                "auth_type",
                format!("there is nothing to move: tokens for {} come from {}", self.place(), source.name()),
            )
            .with_next("Configure the same credential on the other machine")),
        }
    }

    fn ensure_fits(&self, document: &Document) -> Result<()> {
        let config = &self.inner.config;
        let mismatch = |setting: &'static str, theirs: Option<&str>, ours: Option<&str>| {
            let shown = |value: Option<&str>| value.map_or_else(|| "none".to_owned(), |value| format!("{value:?}"));
            let message = format!("the exported session has {setting} {}, here it is {}", shown(theirs), shown(ours));
            let next = match theirs {
                Some(theirs) => format!("Import it with --{} {theirs}", setting.replace('_', "-")),
                None => format!("Import it without --{}", setting.replace('_', "-")),
            };
            Err(Error::config("session_mismatch", setting, message).with_next(next))
        };
        let endpoint = config.endpoint.as_ref().map(|endpoint| &endpoint.value);
        if !same_place(document.endpoint.as_deref(), endpoint) {
            let ours = endpoint.map(Endpoint::base_url);
            return mismatch("endpoint", document.endpoint.as_deref(), ours.as_deref());
        }
        for (setting, theirs, ours) in [
            ("issuer", &document.issuer, &config.issuer),
            ("profile", &document.profile, &config.profile),
            ("account", &document.account, &config.account),
        ] {
            let ours = text(ours);
            if *theirs != ours {
                return mismatch(setting, theirs.as_deref(), ours.as_deref());
            }
        }
        let client = &document.record.client_id;
        if let (Some(theirs), Some(ours)) = (client, text(&config.client_id))
            && *theirs != ours
        {
            return mismatch("client_id", Some(theirs), Some(&ours));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::record::tests::sample;

    fn document() -> Document {
        Document {
            endpoint: Some("https://flyte.example.org".to_owned()),
            issuer: None,
            profile: Some("work".to_owned()),
            account: None,
            record: sample(),
        }
    }

    fn changed(change: impl FnOnce(&mut Value)) -> Result<Document> {
        let mut value: Value = serde_json::from_slice(&document().to_json().unwrap()).unwrap();
        change(&mut value);
        Document::parse(value.to_string().as_bytes())
    }

    #[test]
    fn round_trip_on_one_line() {
        let bytes = document().to_json().unwrap();
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(Document::parse(&bytes).unwrap(), document());
        assert!(!format!("{:?}", document()).contains("canary"));
    }

    #[test]
    fn what_is_no_document_is_refused_and_not_quoted() {
        let whole = document().to_json().unwrap();
        let twice = [&whole[..], &whole[..]].concat();
        for bad in [&b""[..], b"canary", b"[]", b"{}", b"{\"error\":{\"kind\":\"canary\"}}", &whole[..90], &twice] {
            let error = Document::parse(bad).unwrap_err();
            assert_eq!((error.code(), error.kind()), ("session_document_invalid", ErrorKind::Config));
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        for change in [
            (|value: &mut Value| value["format"] = "other".into()) as fn(&mut Value),
            |value| value["version"] = 0.into(),
            |value| value["version"] = "1".into(),
            |value| value["profile"] = 7.into(),
            |value| value["session"] = "canary".into(),
            |value| value["session"]["access_token"] = Value::Null,
            |value| value["session"]["access_token"] = "".into(),
            |value| value["session"]["access_token"] = "canary\r\nhost: evil".into(),
            |value| value["session"]["header_name"] = "canary: x\r\n".into(),
        ] {
            let error = changed(change).unwrap_err();
            assert_eq!(error.code(), "session_document_invalid");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        assert!(changed(|value| value["something_new"] = true.into()).is_ok());
    }

    #[test]
    fn newer_ones_are_named_as_such() {
        for change in [(|value: &mut Value| value["version"] = 2.into()) as fn(&mut Value), |value| {
            value["session"]["schema_version"] = 99.into()
        }] {
            let error = changed(change).unwrap_err();
            assert_eq!((error.code(), error.kind()), ("store_newer", ErrorKind::Store));
        }
    }
}
