//! A token that is given from outside (`FLYTE_TOKEN`, `FLYTE_TOKEN_FILE`).

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::{Current, Inner, Source, Token};
use crate::config::StaticToken;
use crate::credential::jwt_expiry;
use crate::discovery::Discovery;
use crate::error::{Error, Result};
use crate::protocol::secret::AccessToken;

/// No token is longer.
const MAX_FILE: u64 = 1024 * 1024;
/// A pipe that nobody writes to must not hold the caller for ever.
const FILE_TIMEOUT: Duration = Duration::from_secs(5);

async fn read_file(path: &Path) -> io::Result<String> {
    let read = async {
        let mut text = String::new();
        tokio::fs::File::open(path).await?.take(MAX_FILE + 1).read_to_string(&mut text).await?;
        if text.len() as u64 > MAX_FILE {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
        }
        Ok(text)
    };
    tokio::time::timeout(FILE_TIMEOUT, read)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "nothing came within 5 s")))
}

/// How long the endpoint may take to say which header it wants: the token itself needs no network.
const HEADER_TIMEOUT: Duration = Duration::from_secs(2);

async fn header_name(inner: &Inner) -> String {
    if inner.config.authorization_header.is_some() {
        return inner.header_name(None);
    }
    match tokio::time::timeout(HEADER_TIMEOUT, inner.discover()).await {
        Ok(Ok(Discovery::Auth(server))) => inner.header_name(Some(&server)),
        Ok(Ok(Discovery::NoAuth { .. })) => inner.header_name(None),
        Ok(Err(error)) => {
            tracing::debug!(%error, "discovery failed; the token goes into the header `authorization`");
            inner.header_name(None)
        }
        Err(_) => inner.header_name(None),
    }
}

/// Reads it, and makes it the token in memory.
///
/// # Errors
/// Kind `Config`: unreadable, empty, or nothing that a header can carry.
pub(super) async fn read(inner: &Arc<Inner>, token: &StaticToken) -> Result<Token> {
    let text = match token {
        StaticToken::Value(token) => token.expose().to_owned(), // EXPOSE: served as it is.
        StaticToken::File(path) => read_file(path).await.map_err(|cause| {
            Error::config(
                "token_unreadable",
                "FLYTE_TOKEN_FILE",
                format!("the token file {} cannot be read: {cause}", path.display()),
            )
            .with_next("Check the path and its permissions")
            .with_source(cause)
        })?,
    };
    let text = text.trim_start_matches('\u{feff}').trim();
    let name = if matches!(token, StaticToken::Value(_)) { "FLYTE_TOKEN" } else { "FLYTE_TOKEN_FILE" };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::config(
            "token_invalid",
            name,
            format!("{name} holds no token: it is empty or has characters that no header can carry"),
        )
        .with_next("Set it to the token alone, without `Bearer`"));
    }
    let header_name = header_name(inner).await;
    let token = Token::new(AccessToken::new(text), jwt_expiry(text), header_name, 0);
    // A projected file is rotated under us long before its token expires: it is read again often.
    let obtained_at = inner.context.clock.now();
    let refresh_at = match &inner.source {
        Source::Static(setting) if matches!(setting.value, StaticToken::File(_)) => {
            Some(obtained_at.plus(Duration::from_secs(10)))
        }
        _ => None,
    };
    inner.cell.set(Some(Current { token: Some(token.clone()), refresh_at, obtained_at }));
    Ok(token)
}
