//! Secrets by name: from the environment, then from a file, as flyteadmin looks for them
//! (`flytepropeller/pkg/controller/nodes/task/secretmanager/secrets.go`). Unlike there, no value is ever logged.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flyte_auth::error::{Error, Result};
use flyte_auth::protocol::secret::SecretBytes;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

use super::reader::Reader;
use super::report::Verdict;

/// A larger file holds no secret.
const LARGEST: u64 = 1024 * 1024;
/// What to do about a key that is missing or not what it should be.
pub(super) const MAKE_KEYS: &str = "Make the keys with: flyte-auth secrets init DIR";
/// Permissions that a file of secrets should not give: to everybody; of private keys, to a group neither.
const EVERYBODY: u32 = 0o004;
const NOT_THE_OWNER: u32 = 0o044;

pub(super) struct SecretStore<'a> {
    folder: PathBuf,
    prefix: String,
    environment: &'a dyn Fn(&str) -> Option<String>,
    files: Vec<PathBuf>,
    /// Files that others may read.
    exposed: Vec<PathBuf>,
}

impl<'a> SecretStore<'a> {
    pub(super) fn read(reader: &mut Reader, environment: &'a dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let folder = reader.text("secrets.secrets-prefix", "/etc/secrets")?;
        let prefix = reader.text("secrets.env-prefix", "FLYTE_SECRET_")?;
        reader.ignored("secrets.type", "secrets come from the environment and from files");
        Ok(Self { folder: folder.into(), prefix, environment, files: Vec::new(), exposed: Vec::new() })
    }

    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.files.clone()
    }

    /// Where a secret is looked for, for messages.
    pub(super) fn places(&self, name: &str) -> String {
        format!("the variable {}{name} and the file {}", self.prefix, self.folder.join(name).display())
    }

    /// The secret, without one newline at its end; `None`: it is nowhere.
    pub(super) fn get(&mut self, name: &str) -> Result<Option<SecretBytes>> {
        self.find(name, EVERYBODY)
    }

    fn find(&mut self, name: &str, open: u32) -> Result<Option<SecretBytes>> {
        if let Some(value) = (self.environment)(&format!("{}{name}", self.prefix)) {
            return Ok(Some(SecretBytes::from(value.strip_suffix('\n').unwrap_or(&value))));
        }
        // A name is a file of the folder, and no way out of it.
        if name.is_empty() || Path::new(name).components().count() != 1 || name.contains(['/', '\\']) || name == ".." {
            return Err(Error::config("secret_name_invalid", "secrets", format!("{name:?} is no name of a secret"))
                .with_next("Use the name of a file in the secrets folder"));
        }
        self.open(&self.folder.join(name), open)
    }

    /// A secret in a file of its own.
    pub(super) fn file(&mut self, path: &Path) -> Result<Option<SecretBytes>> {
        self.open(path, EVERYBODY)
    }

    fn open(&mut self, path: &Path, open: u32) -> Result<Option<SecretBytes>> {
        self.files.push(path.to_owned());
        let failed = |why: &dyn std::fmt::Display, next: &str| {
            let what = format!("the secret {} cannot be read: {why}", path.display());
            Error::config("secret_unreadable", "secrets", what).with_next(next)
        };
        let read = || -> std::io::Result<_> {
            let known = std::fs::metadata(path)?;
            // Nothing is waited for: a pipe may never have a writer.
            if !known.is_file() || known.len() > LARGEST {
                return Ok(None);
            }
            let content = SecretBytes::read_from(std::fs::File::open(path)?, LARGEST as usize)?;
            Ok(Some((known, content)))
        };
        match read() {
            Ok(Some((known, content))) => {
                if is_open(&known, open) && !self.exposed.iter().any(|other| other == path) {
                    self.exposed.push(path.to_owned());
                }
                Ok(Some(SecretBytes::from(content.strip_suffix(b"\n").unwrap_or(&content).to_vec())))
            }
            Ok(None) => Err(failed(&"it is no file, or larger than 1 MiB", "Put the secret itself there")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&error, "Let this process read the file")),
        }
    }

    /// The error that a secret is nowhere.
    pub(super) fn missing(&self, name: &str, next: &str) -> Error {
        let what = format!("the secret {name} is missing: {} have none", self.places(name));
        Error::config("secret_missing", "secrets", what).with_next(next)
    }

    /// A secret that has to be there; `next`: what to do where it is not.
    pub(super) fn require(&mut self, name: &str, next: &str) -> Result<SecretBytes> {
        let found = self.get(name)?.filter(|secret| !secret.trim_ascii().is_empty());
        found.ok_or_else(|| self.missing(name, next))
    }

    /// A private key in PEM; `None`: it is nowhere. An empty one is returned as it is.
    pub(super) fn private_key(&mut self, name: &str) -> Result<Option<SecretBytes>> {
        let Some(pem) = self.find(name, NOT_THE_OWNER)? else { return Ok(None) };
        if pem.trim_ascii().is_empty() || PrivateKeyDer::from_pem_slice(&pem).is_ok() {
            return Ok(Some(pem));
        }
        let what = format!("the secret {name} is no private key in PEM ({})", self.places(name));
        Err(Error::config("secret_invalid", "secrets", what).with_next(MAKE_KEYS))
    }

    /// As [`SecretStore::private_key`], where it has to be there.
    pub(super) fn require_private_key(&mut self, name: &str) -> Result<SecretBytes> {
        let found = self.private_key(name)?.filter(|pem| !pem.trim_ascii().is_empty());
        found.ok_or_else(|| self.missing(name, MAKE_KEYS))
    }

    /// The keys of cookies, 64 and 32 bytes, as one; `None`: neither is there. `next`: what to do where one is missing.
    pub(super) fn cookie_key(&mut self, hash_name: &str, block_name: &str, next: &str) -> Result<Option<SecretBytes>> {
        let present = |secret: Option<SecretBytes>| secret.filter(|secret| !secret.trim_ascii().is_empty());
        let (hash, block) = (present(self.get(hash_name)?), present(self.get(block_name)?));
        let (hash, block) = match (hash, block) {
            (None, None) => return Ok(None),
            (Some(hash), Some(block)) => (hash, block),
            // Half a pair opens nothing, and people would be signed out without a word.
            (None, _) => return Err(self.missing(hash_name, next)),
            (_, None) => return Err(self.missing(block_name, next)),
        };
        let mut key = SecretBytes::new();
        key.extend(&self.decoded(hash_name, &hash, 64)?);
        key.extend(&self.decoded(block_name, &block, 32)?);
        Ok(Some(key))
    }

    /// Bytes in base64, padded or not, which are exactly so many.
    fn decoded(&self, name: &str, text: &SecretBytes, length: usize) -> Result<SecretBytes> {
        let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let trimmed = text.trim_ascii();
        let decoded = GeneralPurpose::new(&STANDARD, config).decode(trimmed).ok();
        decoded.map(SecretBytes::from).filter(|bytes| bytes.len() == length).ok_or_else(|| {
            let what = format!("the secret {name} is not {length} bytes in base64 ({})", self.places(name));
            Error::config("secret_invalid", "secrets", what).with_next(MAKE_KEYS)
        })
    }

    /// Says which files others may read.
    pub(super) fn warn(&mut self, reader: &mut Reader) {
        for path in std::mem::take(&mut self.exposed) {
            let note = "others than its owner may read the file: chmod 600";
            reader.note(&format!("secrets ({})", path.display()), Verdict::Insecure, "", note);
        }
    }
}

/// Whether `known` gives one of the permissions `open`.
#[cfg(unix)]
fn is_open(known: &std::fs::Metadata, open: u32) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&known.permissions()) & open != 0
}

/// Access is decided by lists here, which are not looked at.
#[cfg(not(unix))]
fn is_open(_: &std::fs::Metadata, _: u32) -> bool {
    false
}
