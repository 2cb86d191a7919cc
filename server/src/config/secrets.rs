//! Secrets by name: from the environment, then from a file, as flyteadmin looks for them
//! (`flytepropeller/pkg/controller/nodes/task/secretmanager/secrets.go`). Unlike there, no value is ever logged.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flyte_auth::error::{Error, Result};
use flyte_auth::protocol::secret::SecretBytes;

use super::reader::Reader;
use super::report::Verdict;

pub(super) struct SecretStore<'a> {
    folder: PathBuf,
    prefix: String,
    environment: &'a dyn Fn(&str) -> Option<String>,
    files: Vec<PathBuf>,
    /// Files that others may read.
    pub(super) exposed: Vec<PathBuf>,
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
        if let Some(value) = (self.environment)(&format!("{}{name}", self.prefix)) {
            return Ok(Some(SecretBytes::from(value.strip_suffix('\n').unwrap_or(&value))));
        }
        // A name is a file of the folder, and no way out of it.
        if name.is_empty() || Path::new(name).components().count() != 1 || name.contains(['/', '\\']) || name == ".." {
            return Err(Error::config("secret_name_invalid", "secrets", format!("{name:?} is no name of a secret"))
                .with_next("Use the name of a file in the secrets folder"));
        }
        self.file(&self.folder.join(name))
    }

    /// A secret in a file of its own.
    pub(super) fn file(&mut self, path: &Path) -> Result<Option<SecretBytes>> {
        self.files.push(path.to_owned());
        match std::fs::read(path) {
            Ok(mut content) => {
                if content.last() == Some(&b'\n') {
                    content.pop();
                }
                #[cfg(unix)]
                if let Ok(known) = std::fs::metadata(path)
                    && std::os::unix::fs::PermissionsExt::mode(&known.permissions()) & 0o004 != 0
                {
                    self.exposed.push(path.to_owned());
                }
                Ok(Some(SecretBytes::from(content)))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::config(
                "secret_unreadable",
                "secrets",
                format!("the secret {} cannot be read: {error}", path.display()),
            )
            .with_next("Let this process read the file")),
        }
    }

    /// A secret that has to be there.
    pub(super) fn require(&mut self, name: &str) -> Result<SecretBytes> {
        let missing = || {
            Error::config(
                "secret_missing",
                "secrets",
                format!("the secret {name} is missing: {} have none", self.places(name)),
            )
            .with_next("Make the keys with: flyte-auth secrets init DIR")
        };
        let missing = missing();
        self.get(name)?.filter(|secret| !secret.is_empty()).ok_or(missing)
    }

    /// Bytes in base64, padded or not, which are exactly so many.
    pub(super) fn decoded(&self, name: &str, text: &SecretBytes, length: usize) -> Result<Vec<u8>> {
        let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let trimmed = text.trim_ascii();
        let decoded = GeneralPurpose::new(&STANDARD, config).decode(trimmed).ok();
        decoded.filter(|bytes| bytes.len() == length).ok_or_else(|| {
            let what = format!("the secret {name} is not {length} bytes in base64 ({})", self.places(name));
            Error::config("secret_invalid", "secrets", what)
                .with_next("Make the keys with: flyte-auth secrets init DIR")
        })
    }

    /// Says which files others may read.
    pub(super) fn warn(&mut self, reader: &mut Reader) {
        for path in std::mem::take(&mut self.exposed) {
            let note = "everybody on this machine may read the file: chmod 600";
            reader.note(&format!("secrets ({})", path.display()), Verdict::Insecure, "", note);
        }
    }
}
