//! Bytes on their way: request and reply bodies, files, the output of commands.

use std::fmt;
use std::io;
use std::ops::Deref;

use bytes::Bytes;
use http::HeaderValue;
use zeroize::{Zeroize as _, Zeroizing};

/// A buffer that may hold secrets. It is wiped when it goes and wherever it grows out of; `Debug` tells its length only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// The first allocation; most replies and records fit.
    const FIRST: usize = 4096;

    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes. `Vec` would free its old place as it is.
    pub fn extend(&mut self, more: &[u8]) {
        self.make_room(more.len());
        self.0.extend_from_slice(more);
    }

    fn make_room(&mut self, more: usize) {
        let wanted = self.0.len() + more;
        if wanted > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(wanted.max(2 * self.0.capacity()).max(Self::FIRST)));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
    }

    /// Reads to the end, at most `limit` bytes.
    ///
    /// # Errors
    /// The reader's.
    pub fn read_from(mut reader: impl io::Read, limit: usize) -> io::Result<Self> {
        let mut all = Self::new();
        let mut piece = Zeroizing::new([0_u8; Self::FIRST]);
        while all.len() < limit {
            let most = piece.len().min(limit - all.len());
            match reader.read(&mut piece[..most]) {
                Ok(0) => break,
                Ok(read) => all.extend(&piece[..read]),
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
        Ok(all)
    }

    /// As [`SecretBytes::read_from`], from an asynchronous reader.
    ///
    /// # Errors
    /// The reader's.
    pub async fn read_from_async(mut reader: impl tokio::io::AsyncRead + Unpin, limit: usize) -> io::Result<Self> {
        use tokio::io::AsyncReadExt as _;
        let mut all = Self::new();
        let mut piece = Zeroizing::new([0_u8; Self::FIRST]);
        while all.len() < limit {
            let most = piece.len().min(limit - all.len());
            match reader.read(&mut piece[..most]).await? {
                0 => break,
                read => all.extend(&piece[..read]),
            }
        }
        Ok(all)
    }

    /// A value as JSON.
    ///
    /// # Errors
    /// The value's.
    pub fn json(value: &impl serde::Serialize) -> serde_json::Result<Self> {
        let mut bytes = Self::new();
        serde_json::to_writer(&mut bytes, value)?;
        Ok(bytes)
    }

    /// As shared bytes, which are wiped when the last of them goes.
    pub fn into_shared(self) -> Bytes {
        Bytes::from_owner(self)
    }

    /// As the value of a header that no log shows, wiped when it goes; `None` for what no header can carry.
    pub fn into_header(self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_maybe_shared(self.into_shared()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl Deref for SecretBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for SecretBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl From<String> for SecretBytes {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&str> for SecretBytes {
    fn from(text: &str) -> Self {
        text.as_bytes().to_vec().into()
    }
}

impl io::Write for SecretBytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes)", self.len())
    }
}

/// Wipes every text inside a JSON value that was read from a secret place.
pub(crate) fn wipe(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) => text.zeroize(),
        serde_json::Value::Array(items) => items.iter_mut().for_each(wipe),
        serde_json::Value::Object(members) => members.values_mut().for_each(wipe),
        _ => {}
    }
}

/// A JSON object that may hold secrets: what nobody has taken out is wiped when it goes.
#[derive(Default)]
pub(crate) struct SecretObject(serde_json::Map<String, serde_json::Value>);

impl SecretObject {
    /// Takes a member out.
    pub(crate) fn take(&mut self, name: &str) -> Option<serde_json::Value> {
        self.0.remove(name)
    }
}

impl From<serde_json::Map<String, serde_json::Value>> for SecretObject {
    fn from(members: serde_json::Map<String, serde_json::Value>) -> Self {
        Self(members)
    }
}

impl Deref for SecretObject {
    type Target = serde_json::Map<String, serde_json::Value>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for SecretObject {
    fn drop(&mut self) {
        self.0.values_mut().for_each(wipe);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_is_written_is_there_and_not_shown() {
        let mut bytes = SecretBytes::new();
        for _ in 0..2000 {
            bytes.write_all(b"canary").unwrap();
        }
        assert_eq!((bytes.len(), &bytes[11_994..]), (12_000, &b"canary"[..]));
        assert_eq!(format!("{bytes:?}"), "SecretBytes(12000 bytes)");
        assert_eq!(SecretBytes::read_from(&bytes[..], 10).unwrap()[..], b"canarycana"[..]);
        assert_eq!(SecretBytes::read_from(&bytes[..], 100_000).unwrap(), bytes);
    }

    #[test]
    fn a_header_is_sensitive() {
        let value = SecretBytes::from("Bearer canary").into_header().unwrap();
        assert_eq!(format!("{value:?}"), "Sensitive");
        assert_eq!(value.as_bytes(), b"Bearer canary");
        assert!(SecretBytes::from("a\nb").into_header().is_none());
    }
}
