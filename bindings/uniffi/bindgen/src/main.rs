//! UniFFI's own generator, in the version that the bindings are built with (`scripts/uniffi.sh`).

fn main() {
    uniffi::uniffi_bindgen_main();
}
