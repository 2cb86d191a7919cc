//! Records of older versions become records of this one, a version at a time. Only in memory: the next save writes the
//! current version, and until then an older program still reads what it wrote.

use serde_json::Value;

/// Makes a record of one version a record of the next; `None` if it is none of that version.
type Step = fn(Value) -> Option<Value>;

/// `STEPS[n]` goes from version `n` to `n + 1`.
pub(super) const STEPS: &[Step] = &[from_0, from_1];

/// Version 0 (before the first release) counted no generations, knew one header only and kept times in seconds.
fn from_0(mut record: Value) -> Option<Value> {
    let members = record.as_object_mut()?;
    members.entry("generation").or_insert(1.into());
    members.entry("header_name").or_insert("authorization".into());
    for name in ["expires_at", "obtained_at", "session_expires_at"] {
        if let Some(time) = members.get_mut(name).filter(|time| !time.is_null()) {
            *time = time.as_i64()?.checked_mul(1000)?.into();
        }
    }
    Some(record)
}

/// Version 1 did not know which token endpoint a session came from. The version was raised for the sake of older programs:
/// they would drop the member, and with it what keeps a refresh token from going elsewhere.
fn from_1(record: Value) -> Option<Value> {
    record.is_object().then_some(record)
}

/// The record as one of version `STEPS.len()`.
pub(super) fn migrate(mut record: Value, from: u32) -> Option<Value> {
    for (version, step) in STEPS.iter().enumerate().skip(usize::try_from(from).ok()?) {
        record = step(record)?;
        *record.get_mut("schema_version")? = (version + 1).into();
    }
    Some(record)
}
