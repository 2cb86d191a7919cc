//! A case as it is written. `tests/conformance/schema.json` is the reference; these types follow it member by member.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Verdict;

/// One case: what the peer serves, what the SDK does, what must come out.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the members are the schema's, which describes them")]
pub struct Case {
    pub name: String,
    #[serde(rename = "why")]
    pub _why: String,
    #[serde(default = "every_day")]
    pub languages: Vec<String>,
    #[serde(default)]
    pub hosts: BTreeMap<String, Host>,
    #[serde(default)]
    pub parts: Vec<String>,
    #[serde(default)]
    pub exchanges: Vec<Exchange>,
    #[serde(default)]
    pub otherwise: Option<Otherwise>,
    #[serde(default)]
    pub ordered: bool,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    pub steps: Vec<Step>,
}

/// The languages of a case that names none: those with a package of their own.
fn every_day() -> Vec<String> {
    ["Rust", "Python", "Node", "JVM"].map(str::to_owned).into()
}

/// One listener of the peer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the members are the schema's, which describes them")]
pub struct Host {
    #[serde(default)]
    pub tls: bool,
    #[serde(default)]
    pub speaks: Speaks,
}

/// HTTP versions that a listener speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the members are the schema's, which describes them")]
pub enum Speaks {
    #[default]
    Both,
    Http1,
    Http2,
}

/// What unscripted requests get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// 404, to gRPC UNIMPLEMENTED; such requests are allowed.
    NotHere,
}

/// A request that is awaited, and its reply.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the members are the schema's, which describes them")]
pub struct Exchange {
    pub on: String,
    #[serde(default = "flyte")]
    pub host: String,
    #[serde(default)]
    pub when: Option<Wanted>,
    #[serde(default)]
    pub times: Times,
    #[serde(default)]
    pub expect: Wanted,
    pub reply: ReplySpec,
}

fn flyte() -> String {
    "flyte".to_owned()
}

/// How often an exchange takes place.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
#[expect(missing_docs, reason = "the members are the schema's, which describes them")]
pub enum Times {
    Exactly(usize),
    Between { min: usize, max: Option<usize> },
}

impl Default for Times {
    fn default() -> Self {
        Self::Exactly(1)
    }
}

impl Times {
    /// The fewest.
    pub fn min(self) -> usize {
        match self {
            Self::Exactly(count) => count,
            Self::Between { min, .. } => min,
        }
    }
    /// The most.
    pub fn max(self) -> usize {
        match self {
            Self::Exactly(count) => count,
            Self::Between { max, .. } => max.unwrap_or(usize::MAX),
        }
    }
}

/// What a request must look like. Values are matchers (`matcher.rs`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the members are the schema's, which describes them")]
pub struct Wanted {
    pub form: Option<Map<String, Value>>,
    pub form_has: Map<String, Value>,
    pub query: Option<Map<String, Value>>,
    pub headers: Map<String, Value>,
    pub body: Option<String>,
}

/// A reply. At most one of `json`, `text`, `fill`, `proto`, `grpc`, `grpc_status`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the members are the schema's, which describes them")]
pub struct ReplySpec {
    pub status: Option<u16>,
    pub headers: BTreeMap<String, Value>,
    #[serde(rename = "type")]
    pub media_type: Option<String>,
    pub json: Option<Value>,
    pub text: Option<String>,
    pub fill: Option<usize>,
    pub proto: Option<Vec<(u32, String)>>,
    pub grpc: Option<Vec<(u32, String)>>,
    pub grpc_status: Option<u32>,
    #[serde(rename = "break")]
    pub broken: Option<Break>,
}

/// Where the peer hangs up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the members are the schema's, which describes them")]
pub enum Break {
    BeforeHead,
    InBody,
}

/// One step of a case.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the members are the schema's, which describes them")]
pub enum Step {
    Open {
        #[serde(default = "main")]
        session: String,
        #[serde(default)]
        options: Map<String, Value>,
        #[serde(default)]
        expect: Option<Expect>,
    },
    Token {
        #[serde(default = "main")]
        session: String,
        #[serde(default)]
        count: Option<u32>,
        #[serde(default)]
        keep: Option<String>,
        #[serde(default)]
        eventually: bool,
        #[serde(default)]
        expect: Option<Expect>,
    },
    Headers {
        #[serde(default = "main")]
        session: String,
        #[serde(default)]
        expect: Option<Expect>,
    },
    Invalidate {
        #[serde(default = "main")]
        session: String,
        #[serde(default)]
        token: Option<String>,
    },
    BeginLogin {
        #[serde(default = "main")]
        session: String,
        flow: String,
        #[serde(default)]
        expect: Option<Expect>,
        #[serde(default)]
        url: Option<WantedUrl>,
    },
    Finish {
        #[serde(default = "main")]
        session: String,
        #[serde(default)]
        browser: Vec<Visit>,
        #[serde(default)]
        paste: Option<String>,
        #[serde(default)]
        expect: Option<Expect>,
    },
    Cancel {
        #[serde(default = "main")]
        session: String,
    },
    Logout {
        #[serde(default = "main")]
        session: String,
        #[serde(default)]
        revoke: bool,
        #[serde(default)]
        expect: Option<Expect>,
    },
    Status {
        #[serde(default = "main")]
        session: String,
        #[serde(default)]
        expect: Option<Expect>,
    },
    Whoami {
        #[serde(default = "main")]
        session: String,
        #[serde(default)]
        expect: Option<Expect>,
    },
    Clock {
        advance: i64,
    },
    Restart {},
    Requests {
        on: String,
        #[serde(default = "flyte")]
        host: String,
        count: usize,
        #[serde(default)]
        eventually: bool,
    },
    Apart {
        on: String,
        #[serde(default = "flyte")]
        host: String,
        seconds: Vec<f64>,
    },
    Write {
        file: String,
        text: String,
    },
    Stored {
        #[serde(default)]
        holds: Vec<String>,
        #[serde(default)]
        lacks: Vec<String>,
    },
}

fn main() -> String {
    "main".to_owned()
}

/// What a step must yield.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// Success; objects are compared by the members that are named here.
    Ok(Value),
    /// A typed error.
    Error(WantedError),
}

/// A typed error.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the members are the schema's, which describes them")]
pub struct WantedError {
    pub kind: String,
    pub code: Option<Value>,
    pub retryable: Option<bool>,
    #[serde(default)]
    pub message_has: Vec<String>,
}

/// An authorization URL.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the members are the schema's, which describes them")]
pub struct WantedUrl {
    pub at: String,
    pub query: Map<String, Value>,
}

/// A request to the loopback redirect.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the members are the schema's, which describes them")]
pub struct Visit {
    pub query: BTreeMap<String, String>,
    pub form: Option<BTreeMap<String, String>>,
    pub path: Option<String>,
    pub host: Option<String>,
    pub status: Option<Value>,
    pub page_lacks: Vec<String>,
}

/// Every JSON text under `folder`, in order of path.
///
/// # Errors
/// A folder or file that cannot be read.
pub fn documents(folder: &Path) -> Verdict<Vec<(PathBuf, Value)>> {
    let unreadable = |path: &Path, cause: &dyn std::fmt::Display| format!("{}: {cause}", path.display());
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|cause| unreadable(&folder, &cause))?;
        for entry in entries {
            let path = entry.map_err(|cause| unreadable(&folder, &cause))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "json") {
                let text = std::fs::read(&path).map_err(|cause| unreadable(&path, &cause))?;
                let document = serde_json::from_slice(&text).map_err(|cause| unreadable(&path, &cause))?;
                found.push((path, document));
            }
        }
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}
