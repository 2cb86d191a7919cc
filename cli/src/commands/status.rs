//! `status`, `list`, `whoami`.

use std::process::ExitCode;

use flyte_auth::session::Session;
use flyte_auth::session::status::Status;
use flyte_auth::store::Record;
use flyte_auth::store::record::TokenOrigin;
use flyte_auth::{Error, ErrorKind, Result};
use serde_json::json;

use crate::args::{Global, StatusArgs};
use crate::{output, setup};

pub(crate) fn status(global: &Global, args: &StatusArgs, as_json: bool) -> Result<ExitCode> {
    let session = if args.verify { setup::session(global)? } else { setup::session_to_look(global)? };
    let verified = if args.verify { Some(setup::block_on(async { Ok(verify(&session).await) })?) } else { None };
    let status = session.status()?;
    let rejected = matches!(&verified, Some(Err(_)));
    if as_json {
        let mut document =
            serde_json::to_value(&status).map_err(|cause| Error::internal("status").with_source(cause))?;
        if let Some(verified) = &verified {
            document["verified"] = verified.is_ok().into();
            if let Err(error) = verified {
                document["verify_error"] = error.to_string().into();
            }
        }
        output::json(&document);
    } else {
        output::data(&render(&status, verified.as_ref()));
    }
    Ok(match verified {
        Some(Err(error)) => ExitCode::from(error.kind().exit_code()),
        _ if !status.signed_in && !rejected => ExitCode::from(ErrorKind::LoginRequired.exit_code()),
        _ => ExitCode::SUCCESS,
    })
}

async fn verify(session: &Session) -> Result<String> {
    let user = session.whoami_verified().await?;
    Ok(user.email.or(user.name).or(user.subject).unwrap_or_else(|| "an unnamed identity".to_owned()))
}

fn render(status: &Status, verified: Option<&Result<String>>) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let mut rows = vec![
        ("endpoint", status.endpoint.clone()),
        ("signed in", if status.signed_in { "yes" } else { "no" }.to_owned()),
        ("as", text(&status.email.clone().or_else(|| status.subject.clone()))),
        ("token source", status.token_source.to_owned()),
        ("token expires", text(&status.access_token_expires_at)),
        ("refresh token", if status.has_refresh_token { "yes" } else { "no" }.to_owned()),
        ("session expires", text(&status.session_expires_at)),
        ("generation", status.generation.unwrap_or("not asked yet").to_owned()),
        ("auth type", status.auth_type.to_owned()),
        ("issuer", text(&status.issuer)),
        ("client id", text(&status.client_id)),
        ("scopes", text(&Some(status.scopes.join(" ")).filter(|scopes| !scopes.is_empty()))),
        ("store", format!("{} ({})", status.store, status.store_reason)),
        ("kept in", text(&status.store_location)),
        ("profile", text(&status.profile)),
        ("config file", text(&status.config_file)),
    ];
    match verified {
        Some(Ok(who)) => rows.insert(2, ("verified", format!("yes, the server sees {who}"))),
        Some(Err(error)) => rows.insert(2, ("verified", format!("no: {error}"))),
        None => {}
    }
    rows.iter().map(|(name, value)| output::field(name, 16, value)).collect()
}

pub(crate) fn list(global: &Global, as_json: bool) -> Result<ExitCode> {
    let store = setup::stores(global)?;
    let mut records = Vec::new();
    let mut hidden = 0;
    for key in store.keys()? {
        match store.load(&key) {
            Ok(Some(record)) => records.push((key, record)),
            Ok(None) => {}
            Err(error) => {
                hidden += 1;
                output::talk(&format!("flyte-auth: session {} cannot be shown: {error}", key.as_str()));
            }
        }
    }
    let name = |record: &Record| (record.endpoint.clone(), record.profile.clone(), record.account.clone());
    records.sort_by_cached_key(|(_, record)| name(record));
    let now = flyte_auth::clock::SystemClock::read();
    let ended = |record: &Record| record.refresh_token.is_none() && record.expires_at.is_some_and(|at| now >= at);
    let kept_in = |key| store.describe_for(key).kind.name();
    if as_json {
        let rows: Vec<_> = records
            .iter()
            .map(|(key, record)| {
                json!({
                    "key": key.as_str(), "endpoint": record.endpoint, "profile": record.profile, "account": record.account,
                    "subject": record.subject, "email": record.email, "token_source": record.origin.name(),
                    "client_id": record.client_id, "issuer": record.issuer, "store": kept_in(key),
                    "access_token_expires_at": record.expires_at.map(flyte_auth::Timestamp::to_rfc3339),
                    "has_refresh_token": record.refresh_token.is_some(), "signed_in": !ended(record),
                })
            })
            .collect();
        output::json(&rows);
        return Ok(ExitCode::SUCCESS);
    }
    if records.is_empty() {
        if hidden == 0 {
            output::talk("No sessions on this machine. Run: flyte-auth login HOST");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let or_dash = |text: Option<&String>| text.cloned().unwrap_or_else(|| "-".to_owned());
    let rows: Vec<Vec<String>> = records
        .iter()
        .map(|(key, record)| {
            let state = match (ended(record), record.refresh_token.is_some()) {
                (true, _) => "ended",
                (false, true) => "refreshes",
                (false, false) => "until it expires",
            };
            // A client id is an identity only of a machine; a person without an ID token is not told.
            let machine = record.client_id.as_ref().filter(|_| record.origin == TokenOrigin::ClientCredentials);
            let identity = record.email.as_ref().or(record.subject.as_ref()).or(machine);
            vec![
                record.endpoint.clone(),
                or_dash(record.profile.as_ref()),
                or_dash(record.account.as_ref()),
                or_dash(identity),
                record.origin.name().to_owned(),
                record.expires_at.map_or_else(|| "-".into(), flyte_auth::Timestamp::to_rfc3339),
                state.to_owned(),
                kept_in(key).to_owned(),
            ]
        })
        .collect();
    let head = ["ENDPOINT", "PROFILE", "ACCOUNT", "IDENTITY", "SOURCE", "TOKEN EXPIRES", "SESSION", "STORE"];
    output::data(&output::table(&head, &rows));
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn whoami(global: &Global, as_json: bool) -> Result<ExitCode> {
    let session = setup::session(global)?;
    let user = setup::block_on(async { session.whoami_verified().await })?;
    if as_json {
        output::json(&user);
    } else {
        let rows = [
            ("subject", &user.subject),
            ("name", &user.name),
            ("email", &user.email),
            ("username", &user.preferred_username),
        ];
        let text: String = rows
            .iter()
            .filter_map(|(name, value)| value.as_ref().map(|value| output::field(name, 10, value)))
            .collect();
        output::data(if text.is_empty() { "the server accepts the token and names nobody\n" } else { &text });
    }
    Ok(ExitCode::SUCCESS)
}
