//! The steps of a case: what the runner is told, and what must come of it.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Verdict;
use crate::browser;
use crate::case::{Expect, Step, Visit, WantedError, WantedUrl};
use crate::conduct::{Stage, write};
use crate::matcher::Matching;
use crate::{rules, script};

/// What is awaited comes within this time, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(40);
/// Between two looks.
const POLL: Duration = Duration::from_millis(20);
/// The kinds of the error table.
const KINDS: [&str; 8] = ["config", "network", "server", "login_required", "denied", "cancelled", "store", "internal"];

/// Performs a step.
///
/// # Errors
/// What is not as the case wants it.
pub async fn perform(step: &Step, stage: &mut Stage) -> Verdict {
    match step {
        Step::Open { session, options, expect } => {
            let (now, filled) = (stage.script.now(), Value::Object(options.clone()));
            let options = {
                let state = stage.script.state();
                state.variables.value(&filled, now, &stage.script.signer)?
            };
            let command = json!({ "do": "open", "session": session, "options": options });
            ask(stage, command, expect.as_ref()).await
        }
        Step::Token { session, count, keep, eventually, expect } => {
            let mut command = json!({ "do": "token", "session": session });
            if let Some(count) = count {
                command["count"] = (*count).into();
            }
            if let Some(keep) = keep {
                command["keep"] = keep.as_str().into();
            }
            if let Some(count) = count {
                let answer = exchange(stage, &command).await?;
                let several = answer.get("ok").and_then(Value::as_array).map(Vec::len);
                if answer.get("ok").is_some() && several != usize::try_from(*count).ok() {
                    return Err(format!("{count} calls gave {several:?} answers"));
                }
                return judge(stage, &answer, expect.as_ref());
            }
            if *eventually {
                return eventually_token(stage, command, expect.as_ref()).await;
            }
            ask(stage, command, expect.as_ref()).await
        }
        Step::Headers { session, expect } => plain(stage, "headers", session, expect.as_ref()).await,
        Step::Status { session, expect } => plain(stage, "status", session, expect.as_ref()).await,
        Step::Whoami { session, expect } => plain(stage, "whoami", session, expect.as_ref()).await,
        Step::Cancel { session } => plain(stage, "cancel", session, None).await,
        Step::Invalidate { session, token } => {
            ask(stage, json!({ "do": "invalidate", "session": session, "token": token }), None).await
        }
        Step::Logout { session, revoke, expect } => {
            ask(stage, json!({ "do": "logout", "session": session, "revoke": revoke }), expect.as_ref()).await
        }
        Step::BeginLogin { session, flow, expect, url } => {
            begin_login(stage, session, flow, expect.as_ref(), url.as_ref()).await
        }
        Step::Finish { session, browser, paste, expect } => {
            finish(stage, session, browser, paste.as_deref(), expect.as_ref()).await
        }
        Step::Clock { advance } => stage.move_clock(*advance),
        Step::Restart {} => stage.start().await,
        Step::Requests { on, host, count, eventually } => requests(stage, on, host, *count, *eventually).await,
        Step::Apart { on, host, seconds } => apart(stage, on, host, seconds),
        Step::Write { file, text } => {
            let (file, text) = {
                let state = stage.script.state();
                (state.variables.text(file)?, state.variables.text(text)?)
            };
            write(&stage.folder, &file, &text)
        }
        Step::Stored { holds, lacks } => stored(stage, holds, lacks),
    }
}

async fn plain(stage: &mut Stage, name: &str, session: &str, expect: Option<&Expect>) -> Verdict {
    ask(stage, json!({ "do": name, "session": session }), expect).await
}

/// Sends a command and judges its answer.
async fn ask(stage: &mut Stage, command: Value, expect: Option<&Expect>) -> Verdict {
    let answer = exchange(stage, &command).await?;
    judge(stage, &answer, expect)
}

async fn exchange(stage: &mut Stage, command: &Value) -> Verdict<Value> {
    let runner = stage.runner()?;
    runner.send(command).await?;
    runner.answer().await
}

async fn eventually_token(stage: &mut Stage, command: Value, expect: Option<&Expect>) -> Verdict {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let verdict = ask(stage, command.clone(), expect).await;
        if verdict.is_ok() || tokio::time::Instant::now() >= deadline {
            return verdict;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Judges an answer: `{"ok": …}` or `{"error": {…}}`.
fn judge(stage: &Stage, answer: &Value, expect: Option<&Expect>) -> Verdict {
    let window = stage.script.window();
    let mut state = stage.script.state();
    if let Some(error) = answer.get("error") {
        let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        let (kind, code, message) = (text("kind"), text("code"), text("message"));
        rules::message(message, &state.memory)?;
        if !KINDS.contains(&kind) || code.is_empty() || message.is_empty() {
            return Err(format!("an error that is none: kind {kind:?}, code {code:?}, message {message:?}"));
        }
        let mut matching = Matching { variables: &mut state.variables, window };
        return match expect {
            Some(Expect::Error(wanted)) => error_is(&mut matching, wanted, error, message),
            _ => Err(format!("the error {kind}, {code}: {message}")),
        };
    }
    let Some(ok) = answer.get("ok") else { return Err("the runner's answer has neither ok nor error".to_owned()) };
    let mut matching = Matching { variables: &mut state.variables, window };
    match expect {
        None => Ok(()),
        Some(Expect::Error(wanted)) => Err(format!("success, not the error {}", wanted.kind)),
        // Several tokens at once: each must be right.
        Some(Expect::Ok(wanted)) => match ok {
            Value::Array(several) if !wanted.is_array() => {
                several.iter().try_for_each(|one| matching.value("one of them", wanted, Some(one)))
            }
            one => matching.value("it", wanted, Some(one)),
        },
    }
}

fn error_is(matching: &mut Matching<'_>, wanted: &WantedError, error: &Value, message: &str) -> Verdict {
    let found = |name: &str| error.get(name);
    let said = |reason: String| format!("{reason} ({message})");
    matching.value("the error's kind", &Value::from(wanted.kind.as_str()), found("kind")).map_err(said)?;
    if let Some(code) = &wanted.code {
        matching.value("the error's code", code, found("code")).map_err(said)?;
    }
    if let Some(retryable) = wanted.retryable {
        matching.value("the error's retryable", &Value::from(retryable), found("retryable")).map_err(said)?;
    }
    for part in &wanted.message_has {
        let part = matching.variables.text(part)?;
        if !message.contains(&part) {
            return Err(format!("the message does not say {part:?}: {message}"));
        }
    }
    Ok(())
}

async fn begin_login(
    stage: &mut Stage,
    session: &str,
    flow: &str,
    expect: Option<&Expect>,
    url: Option<&WantedUrl>,
) -> Verdict {
    let answer = exchange(stage, &json!({ "do": "begin_login", "session": session, "flow": flow })).await?;
    judge(stage, &answer, expect)?;
    let begun = answer.get("ok").and_then(|ok| ok.get("url")).and_then(Value::as_str);
    let is_code = answer.pointer("/ok/user_code").is_none_or(Value::is_null);
    if let Some(begun) = begun.filter(|_| is_code) {
        authorization_url(stage, begun, url)
    } else if url.is_some() {
        Err("there is no authorization URL".to_owned())
    } else {
        Ok(())
    }
}

/// Judges the authorization URL; `{{state}}` and the others are its parameters from here on.
fn authorization_url(stage: &Stage, begun: &str, wanted: Option<&WantedUrl>) -> Verdict {
    let begun = url::Url::parse(begun).map_err(|_| "the authorization URL is no URL".to_owned())?;
    let query: Vec<(String, String)> = begun.query_pairs().into_owned().collect();
    let window = stage.script.window();
    let mut state = stage.script.state();
    let state = &mut *state;
    rules::authorization_request(&query, &mut state.memory)?;
    for name in ["state", "nonce", "code_challenge", "redirect_uri"] {
        if let Some(value) = script::value(&query, name) {
            state.variables.set(name, value);
        }
    }
    let Some(wanted) = wanted else { return Ok(()) };
    let at = state.variables.text(&wanted.at)?;
    let found = &begun[..url::Position::AfterPath];
    if found != at {
        return Err(format!("the authorization URL is at {found}, not {at}"));
    }
    let mut exact = wanted.query.clone();
    // Judged in every case; here only whether there is anything else.
    for name in ["response_type", "state", "code_challenge", "code_challenge_method"] {
        exact.entry(name).or_insert_with(|| json!({ "any": true }));
    }
    let mut matching = Matching { variables: &mut state.variables, window };
    script::pairs(&mut matching, "authorization URL", &exact, &query)
}

async fn finish(
    stage: &mut Stage,
    session: &str,
    visits: &[Visit],
    paste: Option<&str>,
    expect: Option<&Expect>,
) -> Verdict {
    let variables = stage.script.state().variables.clone();
    let pasted = paste.map(|line| variables.text(line)).transpose()?;
    let command = json!({ "do": "finish", "session": session, "redirect_url": pasted });
    stage.runner()?.send(&command).await?;
    for (at, visit) in visits.iter().enumerate() {
        browser::visit(visit, &variables).await.map_err(|reason| format!("visit {}: {reason}", at + 1))?;
    }
    let answer = stage.runner()?.answer().await?;
    judge(stage, &answer, expect)
}

async fn requests(stage: &Stage, on: &str, host: &str, count: usize, eventually: bool) -> Verdict {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let arrived = stage.script.arrived.notified();
        let found = stage.script.count(host, on);
        if found == count {
            return Ok(());
        }
        if !eventually || found > count || tokio::time::timeout_at(deadline, arrived).await.is_err() {
            return Err(format!("{on} came {found} times, not {count}"));
        }
    }
}

/// At least so many seconds lie between one request and the next.
fn apart(stage: &Stage, on: &str, host: &str, seconds: &[f64]) -> Verdict {
    let state = stage.script.state();
    let times: Vec<_> =
        state.requests.iter().filter(|request| request.host == host && request.line == on).map(|r| r.at).collect();
    if times.len() != seconds.len() + 1 {
        return Err(format!("{on} came {} times, not {}", times.len(), seconds.len() + 1));
    }
    for ((pair, least), at) in times.windows(2).zip(seconds).zip(1..) {
        // The peer sees a request a moment after it was sent, the first one too: a tenth is that moment.
        let found = pair[1].since(pair[0]).as_secs_f64();
        if found < least - 0.1 {
            return Err(format!("{found:.1} s between request {at} and the next to {on}, not {least} s"));
        }
    }
    Ok(())
}

/// Which texts the state folder holds; a file that holds one is its owner's alone.
fn stored(stage: &Stage, holds: &[String], lacks: &[String]) -> Verdict {
    let variables = stage.script.state().variables.clone();
    let mut files = Vec::new();
    all_files(&stage.state_folder(), &mut files)?;
    let with = |text: &str| files.iter().filter(|(_, content)| content.contains(text)).collect::<Vec<_>>();
    for text in holds {
        let found = with(&variables.text(text)?);
        if found.is_empty() {
            return Err(format!("the state folder does not hold {text:?}"));
        }
        for (path, _) in found {
            private(path)?;
        }
    }
    for text in lacks {
        if !with(&variables.text(text)?).is_empty() {
            return Err(format!("the state folder holds {text:?}"));
        }
    }
    Ok(())
}

fn all_files(folder: &Path, found: &mut Vec<(std::path::PathBuf, String)>) -> Verdict {
    // No folder holds nothing.
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry.map_err(|cause| cause.to_string())?.path();
        if path.is_dir() {
            all_files(&path, found)?;
        } else if let Ok(content) = std::fs::read(&path) {
            found.push((path, String::from_utf8_lossy(&content).into_owned()));
        }
    }
    Ok(())
}

#[cfg(unix)]
fn private(path: &Path) -> Verdict {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Path| std::fs::metadata(path).map(|data| data.permissions().mode() & 0o777);
    let folder = path.parent().unwrap_or(path);
    for (path, wanted) in [(path, 0o600), (folder, 0o700)] {
        let found = mode(path).map_err(|cause| cause.to_string())?;
        if found != wanted {
            return Err(format!("{} has mode {found:o}, not {wanted:o}", path.display()));
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn private(_path: &Path) -> Verdict {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_compared_member_by_member() {
        let mut variables = crate::template::Variables::default();
        let now = flyte_auth::Timestamp::from_secs(0);
        let window = crate::matcher::Window { from: now, to: now };
        let mut matching = Matching { variables: &mut variables, window };
        let error = json!({"kind": "server", "code": "html", "retryable": true, "message": "a page"});
        let wanted = |kind: &str, code: &str, retryable: bool, says: &str| WantedError {
            kind: kind.to_owned(),
            code: Some(code.into()),
            retryable: Some(retryable),
            message_has: vec![says.to_owned()],
        };
        assert_eq!(error_is(&mut matching, &wanted("server", "html", true, "page"), &error, "a page"), Ok(()));
        for other in [
            wanted("denied", "html", true, "page"),
            wanted("server", "json", true, "page"),
            wanted("server", "html", false, "page"),
            wanted("server", "html", true, "form"),
        ] {
            assert!(error_is(&mut matching, &other, &error, "a page").is_err());
        }
    }

    #[test]
    fn the_members_of_open_are_an_object() {
        assert!(serde_json::from_value::<Step>(json!({"do": "open", "options": {}})).is_ok());
        assert!(serde_json::from_value::<Step>(json!({"do": "open", "option": {}})).is_err());
    }
}
