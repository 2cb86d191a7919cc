use super::*;

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn spellings_of_this_program() {
    let me = Me { exe: None, search_path: None, cwd: Path::new("/"), home: None };
    for (command, expected) in [
        ("flyte-auth token", Some(1)),
        ("/abs/flyte-auth token", Some(1)),
        ("./flyte-auth", Some(1)),
        (r"C:\Tools\Flyte-Auth.EXE token", Some(1)),
        ("python -m flyte_auth token", Some(3)),
        ("/venv/bin/python3.11 -I -X dev -m flyte_auth token", Some(6)),
        ("pythonw.exe -mflyte_auth token", Some(2)),
        ("py -3 -m flyte_auth token", Some(4)),
        ("python3 /venv/bin/flyte-auth token", Some(2)),
        ("uvx flyte-auth token", Some(2)),
        ("uvx --from flyte-auth flyte-auth token", Some(4)),
        ("uvx --python 3.12 flyte-auth@0.1.0 token", Some(4)),
        ("uv tool run flyte-auth token", Some(4)),
        ("pipx run flyte-auth token", Some(3)),
        ("npx --yes flyte-auth token", Some(3)),
        ("npx.cmd -y flyte-auth@latest token", Some(3)),
        ("npx --package flyte-auth flyte-auth token", Some(4)),
        ("python -m flyte_iap token", None),
        ("python script.py -m flyte_auth", None),
        ("python -c pass", None),
        ("pythonista -m flyte_auth", None),
        ("flyte-auth-wrapper token", None),
        ("gcloud auth print-access-token", None),
        ("/usr/bin/node /app/node_modules/flyte-auth/bin/flyte-auth.js token", Some(2)),
        ("node --no-warnings --import ./flyte-auth.js /x/flyte-auth.js token", Some(5)),
        ("deno run --allow-all npm:flyte-auth@0.1.0 token", Some(4)),
        ("bun /x/flyte-auth.js token", Some(2)),
        ("node server.js flyte-auth", None),
        ("node --require flyte-auth server.js", None),
        ("node", None),
        ("npx other flyte", None),
        ("sh -c flyte-auth", None),
        ("", None),
    ] {
        assert_eq!(ours(&words(command), me), expected, "{command}");
    }
}

#[cfg(unix)]
#[test]
fn the_running_binary_under_another_name() {
    let dir = tempfile::tempdir().unwrap();
    let exe = dir.path().join("flyte-auth-0.1");
    std::fs::write(&exe, "").unwrap();
    std::os::unix::fs::symlink(&exe, dir.path().join("fa")).unwrap();
    std::fs::write(dir.path().join("other"), "").unwrap();
    let path = format!("/nowhere:{}", dir.path().display());
    let me = Me { exe: Some(&exe), search_path: Some(&path), cwd: dir.path(), home: Some(dir.path()) };
    let absolute = dir.path().join("fa").display().to_string();
    for (program, expected) in [
        ("fa", true),
        ("./fa", true),
        ("~/fa", true),
        (absolute.as_str(), true),
        ("other", false),
        ("./other", false),
        ("none", false),
    ] {
        assert_eq!(ours(&[program.to_owned()], me).is_some(), expected, "{program}");
    }
    assert_eq!(ours(&words("fa"), Me { search_path: Some("/nowhere"), ..me }), None);
}

#[test]
fn global_flags_inside_the_command() {
    let origin = Origin::Argv(PathBuf::from("/c.yaml"));
    let mut warnings = Vec::new();
    let read =
        |text: &str, warnings: &mut Vec<String>| flags(&words(text), &origin, warnings, Some(Path::new("/c.yaml")));
    let entries = read(
        "token --endpoint dns:///h --profile=prod --format raw --min-ttl 30 --plaintext --insecure-skip-verify=false \
         --scopes a,b --store=file --client-id x --client-id y --force-refresh --config /c.yaml -- --audience z",
        &mut warnings,
    )
    .unwrap();
    let found: Vec<(&str, String)> =
        entries.iter().map(|e| (e.key.name(), e.list().map_or_else(|_| "true".to_owned(), |l| l.join(",")))).collect();
    assert_eq!(
        found,
        [
            ("endpoint", "dns:///h"),
            ("profile", "prod"),
            ("insecure", "true"),
            ("insecure_skip_verify", "false"),
            ("scopes", "a,b"),
            ("store", "file"),
            ("client_id", "y"),
        ]
        .map(|(k, v)| (k, v.to_owned()))
    );
    assert!(warnings.is_empty(), "{warnings:?}");
    read("token --config /other.yaml", &mut warnings).unwrap();
    assert_eq!(warnings, ["/c.yaml:admin.command: --config inside the command is ignored"]);
    let error = read("token --endpoint", &mut warnings).map(|_| ()).unwrap_err();
    assert_eq!((error.code(), error.setting()), ("command_flag", Some("/c.yaml:admin.command")));
    // What is no global flag is not taken for one.
    assert!(read("token --client-secret canary --http-proxy-url x", &mut warnings).unwrap().is_empty());
}
