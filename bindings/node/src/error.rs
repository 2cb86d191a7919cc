//! The error table's way into JavaScript: `node/src/errors.ts` has the classes, this names the row.
//!
//! It goes as JSON in an error's message, since napi gives an error no other member that an asynchronous call keeps.

use std::error::Error as _;

use flyte_auth::Error;
use flyte_auth::config::Spelling;
use serde_json::json;

/// What tells our errors from others.
const PREFIX: &str = "flyte-auth:";

/// The error for JavaScript.
#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
pub(crate) fn raise(error: Error) -> napi::Error {
    napi::Error::from_reason(format!("{PREFIX}{}", members(&error)))
}

/// `Failure` of `native.d.ts`, as JSON.
pub(crate) fn members(error: &Error) -> serde_json::Value {
    let setting = error.setting().map(|setting| (setting, option(setting)));
    let spelled = |text: &str| {
        let text = Spelling::CamelCase.respell(text).into_owned();
        match &setting {
            Some((named, spelled)) if named.contains('_') => text.replace(named, spelled),
            _ => text,
        }
    };
    let mut causes = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    json!({
        "kind": error.kind().name(),
        "code": error.code(),
        "text": spelled(&error.to_string()),
        "message": spelled(error.message()),
        "nextStep": error.next_step().map(spelled),
        "retryable": error.is_retryable(),
        "retryAfter": error.retry_after().map(|after| after.as_secs_f64()),
        "endpoint": error.endpoint(),
        "setting": setting.as_ref().map(|(_, spelled)| spelled),
        "oauthError": error.oauth_error(),
        "oauthErrorDescription": error.oauth_error_description(),
        "causes": causes,
    })
}

/// A setting as JavaScript's options have it; keys of files and variables stay as they are.
fn option(setting: &str) -> String {
    let is_ours = setting.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_ours { Spelling::CamelCase.spell(setting) } else { setting.to_owned() }
}
