//! What a Node addon's linker needs on each platform.

fn main() {
    napi_build::setup();
}
