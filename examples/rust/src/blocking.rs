//! Who am I? In a program without an async runtime.
//!
//!     cargo run -p flyte-auth-example --bin flyte-auth-example-blocking -- http://127.0.0.1:8088

mod session;

#[expect(clippy::print_stdout, reason = "a program for a terminal")]
fn main() -> Result<(), flyte_auth::Error> {
    let session = flyte_auth::blocking::Session::new(session::from_arguments()?);

    // Threads share the session; however many ask at once, one refresh is made.
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let session = session.clone();
            std::thread::spawn(move || session.token())
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| flyte_auth::Error::internal("a thread panicked"))??;
    }
    let user = session.whoami()?;
    println!("signed in as {}", user.email.or(user.subject).unwrap_or_else(|| "nobody in particular".to_owned()));
    Ok(())
}
