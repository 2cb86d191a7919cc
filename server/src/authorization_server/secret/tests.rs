use std::sync::Arc;
use std::time::Duration;

use flyte_auth::clock::SystemEntropy;

use super::*;
use crate::authorization_server::Grants;

const NOW: i64 = 1_700_000_000;

fn client(secrets: Vec<Secret>) -> Client {
    Client {
        id: "propeller".to_owned(),
        secrets,
        keys: None,
        public: false,
        redirect_uris: Vec::new(),
        grants: Grants::default(),
        scopes: Vec::new(),
        default_scopes: Vec::new(),
        audience: None,
    }
}

fn bcrypt_of(secret: &str) -> Secret {
    Secret::Hash(SecretHash(bcrypt::hash(secret, 4).unwrap()))
}

#[tokio::test]
async fn bcrypt_and_argon2_open_and_a_rotated_secret_does_too() {
    use argon2::PasswordHasher as _;
    let argon = argon2::Argon2::default().hash_password_with_salt(b"new", b"sixteen bytes at").unwrap().to_string();
    let client = client(vec![Secret::Hash(SecretHash(argon)), bcrypt_of("old")]);
    let secrets = Secrets::new(&SystemEntropy);
    let now = Timestamp::from_secs(NOW);
    for (secret, opens) in [("new", true), ("old", true), ("other", false), ("", false)] {
        assert_eq!(secrets.opens(&client, secret, now).await.unwrap(), opens, "{secret}");
    }
}

#[tokio::test]
async fn what_opened_is_remembered_and_not_hashed_again() {
    let client = client(vec![bcrypt_of("right")]);
    let secrets = Secrets::new(&SystemEntropy);
    let now = Timestamp::from_secs(NOW);
    // More than may be guessed: had each been hashed, the limit would have refused it.
    for _ in 0..3 * BURST {
        assert!(secrets.opens(&client, "right", now).await.unwrap());
    }
    assert!(!format!("{secrets:?}").contains("right"));
}

#[tokio::test]
async fn a_client_that_begins_with_many_requests_at_once_pays_once() {
    let client = Arc::new(client(vec![bcrypt_of("right")]));
    let secrets = Arc::new(Secrets::new(&SystemEntropy));
    let now = Timestamp::from_secs(NOW);
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..4 * BURST {
        let (client, secrets) = (Arc::clone(&client), Arc::clone(&secrets));
        all.spawn(async move { secrets.opens(&client, "right", now).await.unwrap() });
    }
    while let Some(opened) = all.join_next().await {
        assert!(opened.unwrap(), "none of them is a guess");
    }
}

#[tokio::test]
async fn guessing_is_limited_and_the_right_client_is_not_locked_out() {
    let client = client(vec![bcrypt_of("right")]);
    let secrets = Secrets::new(&SystemEntropy);
    let mut now = Timestamp::from_secs(NOW);
    assert!(secrets.opens(&client, "right", now).await.unwrap());
    let mut refused = 0;
    for guess in 0..BURST + 5 {
        refused += u32::from(secrets.opens(&client, &format!("wrong {guess}"), now).await.is_err());
    }
    assert!(refused >= 5, "{refused}");
    assert!(secrets.opens(&client, "right", now).await.unwrap(), "whoever knows the secret is let in");
    now = now.plus(Duration::from_secs(2));
    assert!(!secrets.opens(&client, "wrong", now).await.unwrap(), "after a while one may try again");
}

#[tokio::test]
async fn a_client_without_a_secret_opens_to_none() {
    let secrets = Secrets::new(&SystemEntropy);
    let client = client(Vec::new());
    for secret in ["", "x", "foobar"] {
        assert!(!secrets.opens(&client, secret, Timestamp::from_secs(NOW)).await.unwrap());
    }
}
