//! Reads the client secret at the moment it is needed, so that a rotated file is picked up.

use std::path::Path;

use zeroize::Zeroizing;

use super::process::{COMMAND_TIMEOUT, output_of};
use crate::config::{Origin, SecretSource, Setting};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::secret::{ClientSecret, SecretBytes};

/// Bytes of a secret file.
const LONGEST_SECRET: usize = 1024 * 1024;

/// The secret, trimmed of the white space that editors, `echo` and Kubernetes secrets add.
///
/// # Errors
/// Kind `Config` naming the setting: missing, empty, unreadable, not UTF-8; or what [`output_of`] gives for a command.
pub async fn read(
    source: &Setting<SecretSource>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<ClientSecret> {
    let setting = setting_name(source);
    let text = match &source.value {
        SecretSource::Value(secret) => Zeroizing::new(secret.expose().to_owned()), // EXPOSE: to trim it.
        SecretSource::Env(name) => environment(name).map(Zeroizing::new).ok_or_else(|| {
            Error::config("secret_missing", &setting, format!("the environment variable {name} ({setting}) is not set"))
                .with_next(format!("Set {name} to the client secret"))
        })?,
        SecretSource::File(path) => {
            let bytes = read_file(path).await.map_err(|cause| {
                Error::config(
                    "secret_unreadable",
                    &setting,
                    format!("the client secret {} cannot be read: {cause}", path.display()),
                )
                .with_next("Check the path and its permissions")
                .with_source(cause)
            })?;
            utf8(bytes, &setting)?
        }
        SecretSource::Command(argv) => utf8(output_of(argv, &setting, COMMAND_TIMEOUT).await?, &setting)?,
    };
    let trimmed = text.trim_start_matches('\u{feff}').trim();
    if trimmed.is_empty() {
        return Err(Error::config("secret_empty", &setting, "the client secret is empty")
            .with_next("Set it to the client's secret"));
    }
    Ok(ClientSecret::new(trimmed))
}

/// A mistyped path may name a device without an end.
async fn read_file(path: &Path) -> std::io::Result<SecretBytes> {
    let file = tokio::fs::File::open(path).await?;
    let bytes = SecretBytes::read_from_async(file, LONGEST_SECRET + 1).await?;
    if bytes.len() > LONGEST_SECRET {
        return Err(std::io::Error::other("it is larger than 1 MiB"));
    }
    Ok(bytes)
}

fn utf8(bytes: SecretBytes, setting: &str) -> Result<Zeroizing<String>> {
    std::str::from_utf8(&bytes).map(|text| Zeroizing::new(text.to_owned())).map_err(|_| {
        Error::new(ErrorKind::Config, "secret_invalid", "the client secret is not UTF-8 text").with_setting(setting)
    })
}

fn setting_name(source: &Setting<SecretSource>) -> String {
    match &source.origin {
        Origin::File { key, .. } => key.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(value: SecretSource) -> Setting<SecretSource> {
        Setting::new(value, Origin::Flag("client_secret".into()))
    }

    async fn secret(source: SecretSource) -> Result<ClientSecret> {
        read(&setting(source), |name| (name == "SECRET").then(|| " from env \r\n".to_owned())).await
    }

    #[tokio::test]
    async fn every_source_is_trimmed_and_a_file_is_read_each_time() {
        assert_eq!(secret(SecretSource::Value(ClientSecret::new("v\n"))).await.unwrap().expose(), "v");
        assert_eq!(secret(SecretSource::Env("SECRET".into())).await.unwrap().expose(), "from env");
        let argv = ["printf", " from command\n"].map(str::to_owned).to_vec();
        assert_eq!(secret(SecretSource::Command(argv)).await.unwrap().expose(), "from command");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for content in ["one\n", "\u{feff}two\r\n"] {
            std::fs::write(&path, content).unwrap();
            let expected = content.trim_start_matches('\u{feff}').trim();
            assert_eq!(secret(SecretSource::File(path.clone())).await.unwrap().expose(), expected);
        }
    }

    #[tokio::test]
    async fn missing_and_empty_secrets_name_the_setting() {
        for (source, code) in [
            (SecretSource::Value(ClientSecret::new(" \n")), "secret_empty"),
            (SecretSource::Env("OTHER".into()), "secret_missing"),
            (SecretSource::File("/does/not/exist".into()), "secret_unreadable"),
            #[cfg(unix)]
            (SecretSource::File("/dev/zero".into()), "secret_unreadable"),
        ] {
            let error = secret(source).await.unwrap_err();
            assert_eq!((error.code(), error.setting()), (code, Some("client_secret")));
        }
    }
}
