//! The limit of a process timer: a Rust process that does nothing.
fn main() {}
