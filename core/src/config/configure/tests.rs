use super::*;

fn run(existing: Option<&str>, endpoint: &str, insecure: bool) -> Result<Configured> {
    let endpoint = Endpoint::parse(endpoint, insecure, "x").unwrap();
    configure(ConfigureRequest {
        endpoint: &endpoint,
        program: &["/abs/flyte-auth".to_owned()],
        flags: &[],
        path: Path::new("/h/.flyte/config.yaml"),
        existing,
    })
}

fn text(existing: &str) -> String {
    run(Some(existing), "h.example", false).unwrap_or_else(|error| panic!("{existing}: {error}")).text
}

const COMMAND: &str = "command: [/abs/flyte-auth, token, --endpoint, dns:///h.example]";

#[test]
fn a_fresh_file_is_the_block_that_all_three_clients_read() {
    let configured = run(None, "https://h.example/", false).unwrap();
    let expected = format!("admin:\n  endpoint: dns:///h.example\n  authType: ExternalCommand\n  {COMMAND}\n");
    assert!(configured.text.starts_with(&expected), "{}", configured.text);
    assert_eq!(configured.text, configured.block);
    assert!(configured.diff.contains("\n+admin:\n"), "{}", configured.diff);
    assert!(configured.diff.contains("@@ -0,0 +1,"), "{}", configured.diff);
    // flytectl refuses keys that it does not know: comments only.
    let keys = yaml::parse(&configured.text).ok().unwrap();
    let keys: Vec<&str> =
        keys.get("admin").unwrap().entries().unwrap().iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(keys, ["endpoint", "authType", "command"]);
    assert!(configured.traps.iter().any(|trap| trap.contains("FLYTE_ADMIN_DISABLEKEYRING=true")));
    // What was written is what the loader takes for itself.
    let loaded = file::parse(Path::new("c.yaml"), None, &configured.text).unwrap();
    assert!(loaded.warnings.is_empty());
    // And a second run changes nothing.
    let again = run(Some(&configured.text), "h.example", false).unwrap();
    assert_eq!((again.text.as_str(), again.diff.as_str()), (configured.text.as_str(), ""));
}

#[test]
fn everything_else_stays_as_it_is() {
    let before = "# head\nlogger:\n  level: 1   # quiet\n\nadmin:\n  # where\n  endpoint: dns:///old.example  # moved soon\n\n  \
                  authType: Pkce\n  scopes:\n  - a\n  - b\n  # last words\n\nstorage:\n  type: stow\n";
    let after = format!(
        "# head\nlogger:\n  level: 1   # quiet\n\nadmin:\n  # where\n  endpoint: dns:///h.example  # moved soon\n\n  \
         authType: ExternalCommand\n  {COMMAND}\n  scopes:\n  - a\n  - b\n  # last words\n\nstorage:\n  type: stow\n"
    );
    assert_eq!(text(before), after);
    let configured = run(Some(before), "h.example", false).unwrap();
    assert_eq!(
        configured.diff,
        format!(
            "--- /h/.flyte/config.yaml\n+++ /h/.flyte/config.yaml\n@@ -4,9 +4,10 @@\n \n admin:\n   # where\n-  endpoint: \
             dns:///old.example  # moved soon\n+  endpoint: dns:///h.example  # moved soon\n \n-  authType: \
             Pkce\n+  authType: ExternalCommand\n+  {COMMAND}\n   scopes:\n   - a\n   - b\n"
        )
    );
}

#[test]
fn layouts() {
    let block = format!("admin:\n  endpoint: dns:///h.example\n  authType: ExternalCommand\n  {COMMAND}\n");
    for (before, after) in [
        ("logger: {level: 1}\n", format!("logger: {{level: 1}}\n\n{block}")),
        ("logger: {level: 1}", format!("logger: {{level: 1}}\n\n{block}")),
        ("admin:\n", block.clone()),
        ("admin: {}\n", block.clone()),
        ("admin:   # mine\nlogger:\n", block.replace("admin:", "admin:   # mine") + "logger:\n"),
        (
            "admin:\n    command:\n      - old\n      - words\n    endpoint: old\n    maxRetries: 1",
            format!(
                "admin:\n    authType: ExternalCommand\n    {COMMAND}\n    endpoint: dns:///h.example\n    maxRetries: 1\n"
            ),
        ),
        (
            "admin:\n  command:\n  - old\n  # about retries\n  maxRetries: 1\n",
            format!(
                "admin:\n  endpoint: dns:///h.example\n  authType: ExternalCommand\n  {COMMAND}\n  # about retries\n  maxRetries: 1\n"
            ),
        ),
        ("admin:\n  insecure: true\n  endpoint: old\n", String::new()),
    ] {
        let found = text(before);
        if after.is_empty() {
            assert!(found.contains("  insecure: false\n"), "{found}");
        } else {
            let mut sorted: Vec<&str> = found.lines().collect();
            let mut expected: Vec<&str> = after.lines().collect();
            sorted.sort_unstable();
            expected.sort_unstable();
            assert_eq!(sorted, expected, "{found}");
        }
    }
    let crlf = text("\u{feff}logger: {}\r\nadmin:\r\n  endpoint: old\r\n");
    assert!(crlf.starts_with("\u{feff}logger: {}\r\nadmin:\r\n  endpoint: dns:///h.example\r\n"), "{crlf:?}");
    assert_eq!(crlf.matches('\n').count(), crlf.matches("\r\n").count());
}

#[test]
fn refused_rather_than_rewritten() {
    for before in [
        "admin: {endpoint: old, authType: Pkce}\n",
        "{admin: {endpoint: old}}\n",
        "x: &a {endpoint: b}\nadmin: *a\n",
        "x: &a {endpoint: b}\nadmin:\n  <<: *a\n  authType: Pkce\n  \"end\\u0070oint\": old\n",
        "admin:\n  Endpoint: x\n  endpoint: y\n",
    ] {
        let error = run(Some(before), "h.example", false).expect_err(before);
        assert_eq!(error.kind(), crate::error::ErrorKind::Config, "{before}");
        if error.code() == "configure_by_hand" {
            assert!(error.next_step().unwrap().contains("dns:///h.example"), "{error}");
        }
    }
    assert_eq!(run(Some("admin:\n\tx: y\n"), "h", false).unwrap_err().code(), "config_syntax");
}

#[test]
fn plaintext_flags_and_spaces() {
    let configured = run(None, "localhost:30080", true).unwrap();
    assert!(configured.block.contains("  insecure: true\n"), "{}", configured.block);
    assert!(configured.block.contains("--endpoint, dns:///localhost:30080, --insecure]"), "{}", configured.block);
    assert!(configured.traps.iter().any(|trap| trap.contains("needs TLS")));
    let endpoint = Endpoint::parse("h", false, "x").unwrap();
    let configured = configure(ConfigureRequest {
        endpoint: &endpoint,
        program: &[r"C:\Program Files\flyte-auth.exe".to_owned()],
        flags: &["--profile".to_owned(), "no".to_owned()],
        path: Path::new("c.yaml"),
        existing: None,
    })
    .unwrap();
    let command = yaml::parse(&configured.block).ok().unwrap();
    let command = command.get("admin").unwrap().get("command").unwrap();
    let words = [r"C:\Program Files\flyte-auth.exe", "token", "--endpoint", "dns:///h", "--profile", "no"];
    assert!(
        *command == Node::List(words.iter().map(|word| Node::Text((*word).to_owned())).collect()),
        "{}",
        configured.block
    );
    assert!(cfg!(windows) || configured.traps.iter().any(|trap| trap.contains("absolute path")));
}

#[test]
fn traps_in_the_file() {
    let found = |existing: &str| run(Some(existing), "h.example", false).unwrap().traps.join("\n");
    assert!(found("admin:\n  clientSecretLocation: /x\n").contains("clientSecretLocation makes pyflyte and flyte"));
    assert!(found("admin:\n  clientSecretEnvVar: X\n").contains("clientSecretEnvVar makes pyflyte and flyte"));
    assert!(found("admin:\n  authType: flyte_auth\n").contains("FLYTE_CREDENTIALS_AUTH_MODE=flyte_auth"));
    let mixed = run(Some("admin:\n  endpoint: x\ntask:\n  org: o\n"), "h.example", false).unwrap();
    assert!(mixed.text.contains("  disableKeyring: true\n"), "{}", mixed.text);
    assert!(mixed.traps.iter().any(|trap| trap.contains("flytectl refuses files with the section task")));
}
