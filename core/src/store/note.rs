//! Small private JSON files beside the records: what was served, what went wrong, what the keyring said. They decide
//! when to ask and never whether somebody is signed in, so one that cannot be read is an empty one.

use std::io::Read as _;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::private::{Durability, create_private_folder, open_private, write_private};

/// Larger than any note.
const MAX_NOTE: u64 = 64 * 1024;

/// The note, or an empty one.
pub(crate) fn read<T: DeserializeOwned + Default>(path: &Path) -> T {
    let Ok(Some(file)) = open_private(path) else { return T::default() };
    let mut bytes = Vec::new();
    let read = file.take(MAX_NOTE).read_to_end(&mut bytes);
    read.map_or_else(|_| T::default(), |_| parse(&bytes))
}

/// The note of these bytes, or an empty one.
pub(crate) fn parse<T: DeserializeOwned + Default>(bytes: &[u8]) -> T {
    serde_json::from_slice(bytes).unwrap_or_default()
}

/// Writes the note and, if need be, its folder; whether that could be done.
pub(crate) fn write<T: Serialize>(path: &Path, note: &T) -> bool {
    let (Some(folder), Ok(bytes)) = (path.parent(), serde_json::to_vec(note)) else { return false };
    create_private_folder(folder).is_ok() && write_private(path, &bytes, Durability::Crash).is_ok()
}
