//! A service of your own that takes Flyte's tokens.
//!
//!     cargo run --bin flyte-auth-example-service -- ISSUER AUDIENCE
//!     flyte-auth header --endpoint HOST | curl -H @- http://127.0.0.1:PORT/me
//!
//! ISSUER is the `iss` of the tokens, AUDIENCE their `aud` (`flyte-auth status` and `flyte-auth token` tell). Prints the
//! address that it listens on.

use std::env;
use std::error::Error;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use flyte_auth::ErrorKind;
use flyte_auth::protocol::secret::AccessToken;
use flyte_auth::verify::Verifier;
use tokio::net::TcpListener;

/// What a refused request is told (RFC 6750 section 3).
type Refused = (StatusCode, [(header::HeaderName, String); 1], String);

fn refused(status: StatusCode, error: &str, why: String) -> Refused {
    (status, [(header::WWW_AUTHENTICATE, format!("Bearer error=\"{error}\""))], why)
}

async fn me(State(verifier): State<Verifier>, headers: HeaderMap) -> Result<String, Refused> {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(("Bearer", text)) = value.split_once(' ') else {
        return Err(refused(StatusCode::UNAUTHORIZED, "invalid_request", "a bearer token is required\n".to_owned()));
    };
    let token = verifier.verify(&AccessToken::new(text)).await.map_err(|error| match error.code() {
        "insufficient_scope" => refused(StatusCode::FORBIDDEN, "insufficient_scope", format!("{error}\n")),
        // The issuer does not answer: that says nothing of the caller.
        _ if error.kind() != ErrorKind::Denied => {
            refused(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "try again\n".to_owned())
        }
        _ => refused(StatusCode::UNAUTHORIZED, "invalid_token", format!("{error}\n")),
    })?;
    Ok(format!(
        "{} by {} may {}\n",
        token.subject().unwrap_or("-"),
        token.client_id().unwrap_or("-"),
        token.scopes().join(" ")
    ))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (issuer, audience) = env::args().nth(1).zip(env::args().nth(2)).ok_or("give an issuer and an audience")?;
    let verifier = Verifier::builder(issuer).audience(audience).required_scope("all").build()?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    #[expect(clippy::print_stdout, reason = "the program's output")]
    {
        println!("http://{}", listener.local_addr()?);
    }
    axum::serve(listener, Router::new().route("/me", get(me)).with_state(verifier)).await?;
    Ok(())
}
