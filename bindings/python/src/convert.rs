//! Times and JSON as Python has them.

use flyte_auth::Timestamp;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use serde_json::Value;

/// An aware `datetime` in UTC.
pub(crate) fn datetime<'py>(py: Python<'py>, at: Timestamp) -> PyResult<Bound<'py, PyAny>> {
    let module = py.import("datetime")?;
    let utc = module.getattr("timezone")?.getattr("utc")?;
    let epoch = module.getattr("datetime")?.call1((1970, 1, 1, 0, 0, 0, 0, utc))?;
    let since = PyDict::new(py);
    since.set_item("milliseconds", at.as_millis())?;
    match epoch.add(module.getattr("timedelta")?.call((), Some(&since))?) {
        Ok(found) => Ok(found),
        // Beyond the year 9999: as late as Python can say.
        Err(_) => module.getattr("datetime")?.getattr("max")?.call_method1("replace", (py.None(),)).or_else(|_| {
            let utc = PyDict::new(py);
            utc.set_item("tzinfo", module.getattr("timezone")?.getattr("utc")?)?;
            module.getattr("datetime")?.getattr("max")?.call_method("replace", (), Some(&utc))
        }),
    }
}

/// As [`datetime`]; `None` where nobody knows.
pub(crate) fn datetime_or_none<'py>(py: Python<'py>, at: Option<Timestamp>) -> PyResult<Option<Bound<'py, PyAny>>> {
    at.map(|at| datetime(py, at)).transpose()
}

/// JSON as `json.loads` gives it.
pub(crate) fn json<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(value) => value.into_pyobject(py)?.to_owned().into_any(),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => number.into_pyobject(py)?.into_any(),
            (None, Some(number)) => number.into_pyobject(py)?.into_any(),
            (None, None) => number.as_f64().unwrap_or(f64::NAN).into_pyobject(py)?.into_any(),
        },
        Value::String(text) => text.into_pyobject(py)?.into_any(),
        Value::Array(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(json(py, item)?)?;
            }
            list.into_any()
        }
        Value::Object(members) => {
            let dict = PyDict::new(py);
            for (name, value) in members {
                dict.set_item(name, json(py, value)?)?;
            }
            dict.into_any()
        }
    })
}
