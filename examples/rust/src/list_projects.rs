//! The projects of a Flyte deployment, with your login: what pyflyte does, by tonic and Flyte's own protocol.
//!
//!     cargo run -p flyte-auth-example --bin flyte-auth-example-list-projects -- dns:///flyte.example.org
//!
//! Without an argument the endpoint is the one of pyflyte's configuration. The first run signs you in; machine
//! credentials work too: FLYTE_AUTH_CLIENT_ID and FLYTE_AUTH_CLIENT_SECRET.

mod session;

use std::io::{IsTerminal as _, stderr};
use std::process::ExitCode;
use std::time::Duration;

use flyte_auth::ErrorKind;
use flyte_auth::config::ProcessContext;
use flyte_auth::interaction::surroundings::Surroundings;
use flyte_auth::session::Session;
use flyte_auth::session::login::LoginOptions;
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

/// `flyteidl.admin.ProjectListRequest`, as far as it is needed here; a client that tonic generates does as well.
#[derive(Clone, PartialEq, prost::Message)]
struct ProjectListRequest {
    #[prost(uint32, tag = "1")]
    limit: u32,
    #[prost(string, tag = "2")]
    token: String,
}

/// `flyteidl.admin.Projects`.
#[derive(Clone, PartialEq, prost::Message)]
struct Projects {
    #[prost(message, repeated, tag = "1")]
    projects: Vec<Project>,
    #[prost(string, tag = "2")]
    token: String,
}

/// `flyteidl.admin.Project`.
#[derive(Clone, PartialEq, prost::Message)]
struct Project {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    name: String,
}

#[expect(clippy::print_stderr, reason = "a program for a terminal")]
async fn sign_in(session: &Session) -> Result<(), flyte_auth::Error> {
    let surroundings = Surroundings::gather(&ProcessContext::env);
    let options = LoginOptions { surroundings, ..LoginOptions::default() };
    if let Some(login) = session.begin_login(&options).await? {
        eprintln!("To sign in open {} {}", login.url(), login.user_code().unwrap_or_default());
        login.finish(None, None).await?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a program for a terminal")]
async fn list_projects() -> Result<(), Status> {
    let session = session::from_arguments()?;
    match session.token().await {
        // Asks whoever sits there; in CI and cron nobody does, and the error says what to do.
        Err(error) if error.kind() == ErrorKind::LoginRequired && stderr().is_terminal() => sign_in(&session).await?,
        token => drop(token?),
    }
    // Each call of this channel has the token, refreshed when it is due; one that the server rejects is replaced once.
    let mut flyte = Grpc::new(flyte_auth::tonic::channel(&session)?);
    let mut token = String::new();
    loop {
        let mut request = Request::new(ProjectListRequest { limit: 100, token });
        request.set_timeout(Duration::from_secs(30));
        let method = PathAndQuery::from_static("/flyteidl.service.AdminService/ListProjects");
        flyte.ready().await?;
        let page: Projects = flyte.unary(request, method, ProstCodec::default()).await?.into_inner();
        for Project { id, name } in page.projects {
            println!("{id}  {name}");
        }
        if page.token.is_empty() {
            return Ok(());
        }
        token = page.token;
    }
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stderr, reason = "a program for a terminal")]
async fn main() -> ExitCode {
    if let Err(status) = list_projects().await {
        // The message of an error of flyte-auth has the next step.
        eprintln!("list_projects: {:?}: {}", status.code(), status.message());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
