//! The error table's way into JavaScript: `node/src/errors.ts` has the classes, this names the row.
//!
//! It goes as JSON in an error's message, since napi gives an error no other member that an asynchronous call keeps.

use flyte_auth::Error;
use flyte_auth::config::Spelling;
use flyte_auth_cli::host::Failure;
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
    let failure = Failure::of(error, Spelling::CamelCase);
    json!({
        "kind": failure.kind.name(),
        "code": failure.code,
        "text": failure.text,
        "message": failure.message,
        "nextStep": failure.next_step,
        "retryable": failure.retryable,
        "retryAfter": failure.retry_after.map(|after| after.as_secs_f64()),
        "endpoint": failure.endpoint,
        "setting": failure.setting,
        "oauthError": failure.oauth_error,
        "oauthErrorDescription": failure.oauth_error_description,
        "causes": failure.causes,
    })
}
