//! Who am I? A whole program that uses the machine's Flyte login.
//!
//!     flyte-auth login http://127.0.0.1:8088      # once, for every tool on this machine
//!     cargo run -p flyte-auth-example -- http://127.0.0.1:8088
//!
//! Machine credentials work too: FLYTE_AUTH_CLIENT_ID and FLYTE_AUTH_CLIENT_SECRET.

mod session;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "a program for a terminal")]
async fn main() -> Result<(), flyte_auth::Error> {
    let session = session::from_arguments()?;

    // For your own calls: one header, name and value, fresh each time you ask.
    match session.header().await? {
        Some((name, _secret)) => println!("calls to {} carry the header {name}", session.place()),
        None => println!("{} has no auth", session.place()),
    }
    let user = session.whoami().await?;
    println!("signed in as {}", user.email.or(user.subject).unwrap_or_else(|| "nobody in particular".to_owned()));
    Ok(())
}
