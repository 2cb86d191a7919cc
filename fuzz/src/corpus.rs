//! Where the inputs of a target are. Seeds are files that a person can read and name; what the engine found is one text
//! file a target, one input a line with Rust's escapes, so that hundreds of inputs are one reviewable file.

use std::io;
use std::path::{Path, PathBuf};

/// Every input of a target with a name for it, in a stable order.
///
/// # Errors
/// A file that cannot be read, or a line that is no escaped text.
pub fn inputs(target: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut inputs = Vec::new();
    let mut seeds: Vec<PathBuf> =
        std::fs::read_dir(folder("seeds").join(target))?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    seeds.sort();
    for seed in seeds {
        inputs.push((seed.display().to_string(), std::fs::read(&seed)?));
    }
    let found = found(target);
    if found.exists() {
        for (index, line) in std::fs::read_to_string(&found)?.lines().enumerate() {
            let name = format!("{}:{}", found.display(), index + 1);
            let input = unescape(line).ok_or_else(|| io::Error::other(format!("{name} is no escaped text")))?;
            inputs.push((name, input));
        }
    }
    Ok(inputs)
}

/// The file of what the engine found for a target.
pub fn found(target: &str) -> PathBuf {
    folder("found").join(format!("{target}.txt"))
}

/// A folder of this crate.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// One line for any bytes.
pub fn escape(input: &[u8]) -> String {
    input.escape_ascii().to_string()
}

/// The bytes of a line that [`escape`] wrote.
pub fn unescape(line: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(line.len());
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next()? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            quoted @ (b'\\' | b'\'' | b'"') => quoted,
            _ => return None,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unescape(&escape(&all)), Some(all));
        assert!(!escape(b"a\nb").contains('\n'));
        for bad in ["\\", "\\q", "\\x1", "\\xzz"] {
            assert_eq!(unescape(bad), None, "{bad}");
        }
    }
}
