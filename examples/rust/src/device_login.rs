//! A login with a code that the program shows itself, in two phases: begin, then wait for the person.
//!
//!     cargo run -p flyte-auth-example --bin flyte-auth-example-device-login -- http://127.0.0.1:8088

mod session;

use flyte_auth::interaction::Flow;
use flyte_auth::session::login::LoginOptions;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "a program for a terminal")]
async fn main() -> Result<(), flyte_auth::Error> {
    let session = session::from_arguments()?;
    let options = LoginOptions { flow: Flow::Device, ..LoginOptions::default() };
    let Some(pending) = session.begin_login(&options).await? else {
        println!("{} has no auth", session.place());
        return Ok(());
    };
    println!("open {} and enter {}", pending.url(), pending.user_code().unwrap_or("nothing"));
    let outcome = pending.finish(None, None).await?;
    println!("signed in as {}", outcome.email.or(outcome.subject).unwrap_or_else(|| session.place().to_owned()));
    Ok(())
}
