//! JSON as data types, for languages whose standard library reads none.

use std::collections::HashMap;

use flyte_auth::Error;
use serde_json::Value;

use crate::error::FlyteAuthError;

/// A JSON value (RFC 8259). The names are none that a language has in every scope.
#[derive(uniffi::Enum)]
pub enum Json {
    Missing,
    Truth { value: bool },
    Integer { value: i64 },
    Real { value: f64 },
    Text { value: String },
    Items { values: Vec<Json> },
    Members { values: HashMap<String, Json> },
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Missing,
            Value::Bool(value) => Self::Truth { value },
            Value::Number(number) => match number.as_i64() {
                Some(value) => Self::Integer { value },
                None => Self::Real { value: number.as_f64().unwrap_or(f64::NAN) },
            },
            Value::String(value) => Self::Text { value },
            Value::Array(values) => Self::Items { values: values.into_iter().map(Self::from).collect() },
            Value::Object(members) => {
                Self::Members { values: members.into_iter().map(|(name, value)| (name, value.into())).collect() }
            }
        }
    }
}

/// Reads what this library wrote: `VerifiedToken.claims`.
#[uniffi::export]
pub fn read_json(text: String) -> std::result::Result<Json, FlyteAuthError> {
    let value: Value = serde_json::from_str(&text).map_err(|error| Error::internal("no JSON").with_source(error))?;
    Ok(value.into())
}
