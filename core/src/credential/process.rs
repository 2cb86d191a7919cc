//! Runs a command that prints a secret: argv, no shell, a deadline, stderr passed through, output never logged.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::config::{DEPTH_VALUE, DEPTH_VARIABLE};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::secret::SecretBytes;

/// Longest that a command may take. A person may have to answer it (a hardware key, a password manager).
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
/// Output beyond this is no token.
const MAX_OUTPUT: usize = 1024 * 1024;

/// Runs `argv` and returns its stdout. `setting` names where the command is configured.
///
/// # Errors
/// Kind `Config` if it cannot be started or fails with exit code 2; kind `Denied` if it fails; kind `Cancelled` (code `command_timeout`) after
/// `timeout`. The output enters no message.
pub async fn output_of(argv: &[String], setting: &str, timeout: Duration) -> Result<SecretBytes> {
    let Some((program, arguments)) = argv.split_first().filter(|(program, _)| !program.is_empty()) else {
        return Err(Error::config("command_empty", setting, format!("{setting} is empty"))
            .with_next("Set it to a list: the program and its arguments"));
    };
    let mut command = Command::new(program);
    command.args(arguments).env(DEPTH_VARIABLE, DEPTH_VALUE);
    // stdin stays: a command may ask on the terminal. stderr stays: its words are for the person.
    command.stdin(Stdio::inherit()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|cause| {
        Error::config("command_not_started", setting, format!("{setting} ({program}) cannot be started: {cause}"))
            .with_next("Check the path; IDEs and notebooks have another PATH, so an absolute path is safer")
            .with_source(cause)
    })?;
    let run = async {
        let output = match child.stdout.take() {
            Some(stdout) => SecretBytes::read_from_async(stdout, MAX_OUTPUT).await?,
            None => SecretBytes::new(),
        };
        Ok::<_, std::io::Error>((child.wait().await?, output))
    };
    let (status, output) = match tokio::time::timeout(timeout, run).await {
        Ok(done) => done.map_err(|cause| {
            Error::new(ErrorKind::Denied, "command_failed", format!("{setting} ({program}) could not be read: {cause}"))
                .with_setting(setting)
                .with_source(cause)
        })?,
        Err(_) => {
            return Err(Error::new(
                ErrorKind::Cancelled,
                "command_timeout",
                format!("{setting} ({program}) gave no answer in {} s", timeout.as_secs()),
            )
            .with_setting(setting)
            .with_next(format!("Run it by hand to see what it waits for: {}", for_a_person(argv))));
        }
    };
    if status.success() {
        return Ok(output);
    }
    // 2 is every command line's word for wrong usage, ours too: a wrapper that leads back to us ends with it.
    let kind = if status.code() == Some(2) { ErrorKind::Config } else { ErrorKind::Denied };
    Err(Error::new(kind, "command_failed", format!("{setting} ({program}) failed: {status}"))
        .with_setting(setting)
        .with_next(format!("Run it by hand: {}", for_a_person(argv))))
}

/// `argv` for a message: arguments that look like secrets are masked, as in `config explain`.
pub fn for_a_person(argv: &[String]) -> String {
    quoted(&crate::config::masked_argv(argv))
}

/// `argv` as a person can paste it into a POSIX shell.
pub fn quoted(argv: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    let quote = |word: &String| {
        if !word.is_empty() && word.chars().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    argv.iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Vec<String> {
        vec!["sh".into(), "-c".into(), script.into()]
    }

    async fn run(argv: &[String]) -> Result<SecretBytes> {
        output_of(argv, "admin.command", Duration::from_millis(400)).await
    }

    #[tokio::test]
    async fn output_depth_and_failures() {
        assert_eq!(run(&sh("echo $FLYTE_AUTH_DEPTH")).await.unwrap()[..], b"1\n"[..]);
        for (argv, code) in [
            (sh("echo canary; exit 3"), "command_failed"),
            (sh("sleep 30"), "command_timeout"),
            (vec!["/does/not/exist".to_owned()], "command_not_started"),
            (vec![], "command_empty"),
            (vec![String::new()], "command_empty"),
        ] {
            let error = run(&argv).await.unwrap_err();
            assert_eq!(error.code(), code, "{argv:?}");
            assert_eq!(error.setting(), Some("admin.command"));
            assert!(error.next_step().is_some());
        }
        let error = run(&sh("echo canary-out; exit 3")).await.unwrap_err();
        assert!(!error.message().contains("canary-out"), "{error}");
    }

    #[tokio::test]
    async fn secrets_of_a_command_line_are_not_repeated() {
        let argv = ["sh", "-c", "exit 3", "--password", "canary-1", "--client-secret=canary-2"].map(str::to_owned);
        let error = run(&argv).await.unwrap_err();
        assert!(error.to_string().contains("--password") && !error.to_string().contains("canary"), "{error}");
    }

    #[test]
    fn quoting_is_for_a_shell() {
        let argv = ["a", "b c", "", "it's", "x=1"].map(str::to_owned);
        assert_eq!(quoted(&argv), r"a 'b c' '' 'it'\''s' x=1");
    }
}
