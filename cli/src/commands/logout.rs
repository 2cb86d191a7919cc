//! `logout`: the local copy first, then the server.

use std::process::ExitCode;

use flyte_auth::Result;
use serde_json::json;

use crate::args::{Global, LogoutArgs};
use crate::{output, setup};

pub(crate) fn logout(global: &Global, args: &LogoutArgs, as_json: bool) -> Result<ExitCode> {
    if args.all {
        return all(global, as_json);
    }
    let session = setup::session_to_end(&setup::with_target(global, args.target.as_deref()))?;
    let outcome = setup::block_on(session.logout(args.revoke))?;
    let revoked = outcome.revocation.as_ref().map(std::result::Result::is_ok);
    if as_json {
        output::json(&json!({
            "endpoint": session.place(), "was_signed_in": outcome.was_signed_in, "revoked": revoked,
            "revocation_error": outcome.revocation.as_ref().and_then(|done| done.as_ref().err()).map(ToString::to_string),
        }));
    }
    let what = if outcome.was_signed_in { "signed out of" } else { "nobody was signed in to" };
    output::talk(&format!("flyte-auth: {what} {}", session.place()));
    match outcome.revocation {
        Some(Ok(())) => output::talk("flyte-auth: the tokens are revoked at the server"),
        Some(Err(error)) => {
            output::talk(&format!(
                "flyte-auth: the local copy is gone, but the server did not revoke the tokens: {error}"
            ));
            return Ok(ExitCode::from(error.kind().exit_code()));
        }
        None => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn all(global: &Global, as_json: bool) -> Result<ExitCode> {
    let store = setup::store(global)?;
    let mut ended = Vec::new();
    // By key: what cannot be read (a locked keyring, another key) must go too.
    for key in store.keys()? {
        let endpoint = store.load(&key).ok().flatten().map(|record| record.endpoint);
        if store.delete(&key)? {
            ended.push(endpoint.unwrap_or_else(|| format!("session {}", key.as_str())));
        }
    }
    if as_json {
        output::json(&json!({ "ended": ended }));
    }
    output::talk(&format!("flyte-auth: {} session(s) removed from this machine", ended.len()));
    Ok(ExitCode::SUCCESS)
}
