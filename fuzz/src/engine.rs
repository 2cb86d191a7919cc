//! The coverage-guided binary: libFuzzer's own `main` and options; `FLYTE_AUTH_FUZZ_TARGET` names the target. One binary
//! for all, because linking takes longer than a short run.
#![no_main]

use std::sync::OnceLock;

use flyte_auth_fuzz::Target;

static TARGET: OnceLock<&'static Target> = OnceLock::new();

fn chosen() -> &'static Target {
    let name = std::env::var("FLYTE_AUTH_FUZZ_TARGET").unwrap_or_default();
    Target::named(&name).unwrap_or_else(|| panic!("FLYTE_AUTH_FUZZ_TARGET names no target: {name:?}"))
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET.get_or_init(chosen).run(data));
