//! Packs the release binary's relative relocations where the C library of this machine can read them.
//!
//! Half of what `flyte-auth token` takes beyond an empty process is the loader reading half a megabyte of relocations.
//! Packed (`DT_RELR`) they are a few kilobytes. glibc reads that from 2.36 on; packages for older systems are built with
//! FLYTE_AUTH_PORTABLE=1.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=FLYTE_AUTH_PORTABLE");
    let set = |name: &str| std::env::var(name).unwrap_or_default();
    let native =
        set("HOST") == set("TARGET") && set("CARGO_CFG_TARGET_OS") == "linux" && set("CARGO_CFG_TARGET_ENV") == "gnu";
    if set("PROFILE") == "release"
        && native
        && set("FLYTE_AUTH_PORTABLE").is_empty()
        && glibc_minor().is_some_and(|minor| minor >= 36)
    {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The minor version of this machine's glibc 2.
fn glibc_minor() -> Option<u32> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().strip_prefix("glibc 2.")?.parse().ok()
}
