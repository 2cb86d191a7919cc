//! Fuzz targets for every reader of foreign bytes: plain functions that panic where a property does not hold.
//!
//! They are used three ways: by the coverage-guided binary (`engine.rs`, scripts/fuzz.sh), by `tests/corpus.rs`, which
//! replays every committed input in the ordinary test run, and by whoever wants to look at one input.
#![expect(clippy::expect_used, reason = "a target tells of a broken property by panicking")]

pub mod corpus;
mod support;
mod targets;

pub use targets::TARGETS;

use std::alloc::System;

use cap::Cap;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// What a reader may have allocated at one time, beside a multiple of its input.
const MEMORY: usize = 16 * 1024 * 1024;
/// Small pieces (a node of a tree, a header) take many times their bytes on the wire.
const MEMORY_A_BYTE: usize = 256;

/// One reader, or a family of readers that are only ever used together.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Names its seeds, its corpus and its dictionary.
    pub name: &'static str,
    /// What foreign bytes it reads, and what must hold.
    pub about: &'static str,
    run: fn(&[u8]),
}

impl Target {
    /// Runs it on one input.
    ///
    /// # Panics
    /// If a property does not hold. An input that makes a reader allocate without measure ends the process.
    pub fn run(&self, data: &[u8]) {
        ALLOCATOR
            .set_limit(ALLOCATOR.allocated() + MEMORY + MEMORY_A_BYTE * data.len())
            .expect("the limit is above what is allocated");
        (self.run)(data);
        ALLOCATOR.set_limit(usize::MAX).expect("no limit");
    }

    /// The target of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }
}
