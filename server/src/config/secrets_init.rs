//! The keys that `serve` and flyteadmin read, in flyteadmin's own formats (`auth/init_secrets.go`): but only this user may
//! read them, and what is there already is kept.

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use flyte_auth::clock::Entropy;
use flyte_auth::error::{Error, ErrorKind, Result};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::keys::{SigningAlgorithm, new_private_key};

/// One secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Where it is.
    pub file: PathBuf,
    /// Whether it was there before, and is as it was.
    pub kept: bool,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.kept { "kept, because it was there" } else { "made" };
        write!(f, "{}: {what}", self.file.display())
    }
}

/// In the words of the command, which has no other setting.
fn named(error: Error) -> Error {
    error.with_setting("DIR").with_next("Name a folder that this user owns")
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    let what = format!("{} cannot be written: {error}", path.display());
    named(Error::new(ErrorKind::Store, "secrets_unwritable", what).with_source(error))
}

/// Makes whatever of the keys is missing in `folder`.
///
/// # Errors
/// Kind `Store`: the folder or a file cannot be written.
pub fn init(folder: &Path, algorithm: SigningAlgorithm, entropy: &dyn Entropy) -> Result<Vec<Written>> {
    crate::private_file::create_folder(folder).map_err(named)?;
    let random = |length: usize| {
        let mut bytes = Zeroizing::new(vec![0_u8; length]);
        entropy.fill(&mut bytes);
        Zeroizing::new(STANDARD_NO_PAD.encode(&*bytes))
    };
    let (name, pem) = match algorithm {
        SigningAlgorithm::Rs256 => ("token_rsa_key.pem", "RSA PRIVATE KEY"),
        SigningAlgorithm::Es256 => ("token_es256_key.pem", "PRIVATE KEY"),
        SigningAlgorithm::EdDsa => ("token_eddsa_key.pem", "PRIVATE KEY"),
    };
    let mut written = Vec::new();
    for (name, length) in [("cookie_hash_key", 64), ("cookie_block_key", 32), ("claim_symmetric_key", 32)] {
        written.push(put(&folder.join(name), || Ok(random(length)))?);
    }
    written.push(put(&folder.join(name), || {
        let der = Zeroizing::new(new_private_key(algorithm)?);
        Ok(in_pem(pem, &der))
    })?);
    Ok(written)
}

/// `der` in PEM (RFC 7468).
pub(super) fn in_pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    // With room for all of it: a text that grows leaves copies of the key behind.
    let mut text = String::with_capacity(2 * body.len() + 128);
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    Zeroizing::new(text)
}

fn put(path: &Path, make: impl FnOnce() -> Result<Zeroizing<String>>) -> Result<Written> {
    if path.exists() {
        return Ok(Written { file: path.to_owned(), kept: true });
    }
    let content = make()?;
    let mut options = fs::OpenOptions::new();
    // New, or not at all: a file that another process makes meanwhile is not overwritten.
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(mut file) => {
            file.write_all(content.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| {
                // Half a key would be kept the next time.
                let _ = fs::remove_file(path);
                failed(path, error)
            })?;
            Ok(Written { file: path.to_owned(), kept: false })
        }
        // Another process was first. A link that leads nowhere is no key, and stays an error.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.exists() => {
            Ok(Written { file: path.to_owned(), kept: true })
        }
        Err(error) => Err(failed(path, error)),
    }
}
