//! What outlives a restart.

use crate::common::Server;

#[tokio::test]
async fn keys_sessions_and_certificates_outlive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("new");
    let start = || {
        let state = state.clone();
        Server::start(move |options| {
            options.state = Some(state);
            options.tls = true;
            options.rotate_refresh_tokens = true;
            options.auto_approve = Some("alice@example.org".to_owned());
        })
    };
    let server = start().await;
    let ready = server.sandbox.ready().clone();
    let first = server.sign_in("all offline").await;
    let revoked = server.sign_in("all offline").await["refresh_token"].as_str().unwrap().to_owned();
    server.post("/oauth2/revoke", &[("token", &revoked), ("client_id", "flytectl")]).await;
    let second = server.refresh(first["refresh_token"].as_str().unwrap()).await.json();
    let (keys, ca) = (server.get("/oauth2/jwks").await.json(), std::fs::read(ready.ca_cert.as_ref().unwrap()).unwrap());
    server.sandbox.shutdown().await;
    for name in ["keys.json", "sessions.db", "tls.json", "ca.pem"] {
        let file = state.join(name);
        let content = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
        for secret in [revoked.as_str(), second["refresh_token"].as_str().unwrap()] {
            assert!(!content.contains(secret), "{name} holds digests only");
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        }
    }

    let server = start().await;
    assert_eq!(server.get("/oauth2/jwks").await.json(), keys);
    assert_eq!(std::fs::read(server.sandbox.ready().ca_cert.as_ref().unwrap()).unwrap(), ca);
    assert_eq!(server.refresh(&revoked).await.error().1, "invalid_grant");
    let third = server.refresh(second["refresh_token"].as_str().unwrap()).await;
    assert_eq!(third.status, 200, "{third:?}");
    assert_eq!(server.refresh(second["refresh_token"].as_str().unwrap()).await.error().1, "invalid_grant");
    assert_eq!(server.stats().await["reuse_detections"], 1, "reuse is seen across restarts too");
}

#[tokio::test]
async fn broken_state_is_named_and_left_alone() {
    use flyte_auth_server::sandbox::{Options, Sandbox};
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sessions.db");
    std::fs::write(&file, "{ not json").unwrap();
    let options = Options { state: Some(folder.path().to_owned()), ..Options::default() };
    let error = Sandbox::start(options).await.unwrap_err();
    assert_eq!((error.code(), error.kind()), ("database_malformed", flyte_auth::ErrorKind::Store));
    assert!(error.to_string().contains("sessions.db"), "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{ not json");
    let options = Options { state: Some(file), ..Options::default() };
    assert_eq!(Sandbox::start(options).await.unwrap_err().code(), "state_unavailable");
}
