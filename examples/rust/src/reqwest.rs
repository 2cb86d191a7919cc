//! REST calls by reqwest: the token goes into each request, and into none for another host.
//!
//!     cargo run -p flyte-auth-example --bin flyte-auth-example-reqwest -- http://127.0.0.1:8088

mod session;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "a program for a terminal")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let session = session::from_arguments()?;
    let flyte = flyte_auth::reqwest::client(&session)?;

    let reply = flyte.send(flyte.get("/me").header("accept", "application/json")).await?;
    println!("{} answered {}", reply.url().path(), reply.status());

    // A token of one host does not leave for another.
    match flyte.send(flyte.get("https://elsewhere.example/")).await {
        Ok(_) => println!("elsewhere answered"),
        Err(error) => println!("elsewhere: {}", error.code()),
    }
    Ok(())
}
