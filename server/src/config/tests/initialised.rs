//! What `secrets init` makes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::*;

#[test]
fn the_files_have_flyteadmins_formats() {
    let scene = Scene::new();
    for (name, letters, bytes) in
        [("cookie_hash_key", 86, 64), ("cookie_block_key", 43, 32), ("claim_symmetric_key", 43, 32)]
    {
        let text = fs::read_to_string(scene.folder.path().join(name)).unwrap();
        assert_eq!(text.len(), letters, "{name}: no padding, no newline");
        assert_eq!(STANDARD_NO_PAD.decode(&text).unwrap().len(), bytes, "{name}");
    }
    let pem = fs::read_to_string(scene.folder.path().join("token_rsa_key.pem")).unwrap();
    assert!(pem.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"), "PKCS #1: flyteadmin refuses PKCS #8");
    assert!(pem.ends_with("-----END RSA PRIVATE KEY-----\n"));
    assert!(pem.lines().all(|line| line.len() <= 64), "RFC 7468 section 2");
    // A second opinion on the key inside.
    jsonwebtoken::EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
}

#[test]
fn what_is_there_is_kept_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cookie_hash_key"), "mine").unwrap();
    let written = secrets_init::init(folder.path(), SigningAlgorithm::Es256, &SystemEntropy).unwrap();
    let kept: Vec<_> = written.iter().map(|secret| secret.kept).collect();
    assert_eq!(kept, [true, false, false, false]);
    assert_eq!(fs::read_to_string(folder.path().join("cookie_hash_key")).unwrap(), "mine");
    let pem = fs::read(folder.path().join("token_es256_key.pem")).unwrap();
    secrets_init::init(folder.path(), SigningAlgorithm::Es256, &SystemEntropy).unwrap();
    assert_eq!(fs::read(folder.path().join("token_es256_key.pem")).unwrap(), pem);
}

#[cfg(unix)]
#[test]
fn only_this_user_may_read_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("secrets");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for secret in secrets_init::init(&folder, SigningAlgorithm::Rs256, &SystemEntropy).unwrap() {
        assert_eq!(mode(&secret.file), 0o600, "{}", secret.file.display());
    }
    assert_eq!(mode(&folder), 0o700);
    // A folder that was there keeps its mode: others may have business in it.
    let shared = outer.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o755)).unwrap();
    secrets_init::init(&shared, SigningAlgorithm::Es256, &SystemEntropy).unwrap();
    assert_eq!(mode(&shared), 0o755);
}

#[test]
fn a_folder_that_cannot_be_made_is_named_as_the_command_line_has_it() {
    let outer = tempfile::tempdir().unwrap();
    let file = outer.path().join("file");
    fs::write(&file, "").unwrap();
    let error = secrets_init::init(&file.join("below"), SigningAlgorithm::Es256, &SystemEntropy).unwrap_err();
    assert_eq!(error.setting(), Some("DIR"));
    assert!(!error.to_string().contains("--state"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_is_not_reported_as_a_key() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", folder.path().join("cookie_hash_key")).unwrap();
    let error = secrets_init::init(folder.path(), SigningAlgorithm::Es256, &SystemEntropy).unwrap_err();
    assert_eq!(error.code(), "secrets_unwritable");
    assert!(error.message().contains("cookie_hash_key"), "{error}");
}
