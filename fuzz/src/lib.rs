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

/// What a reader may allocate for one input, all in all, beside a multiple of its length.
const MEMORY: usize = 16 * 1024 * 1024;
/// Small pieces (a node of a tree, a header) take many times their bytes on the wire, and targets read an input often.
const MEMORY_A_BYTE: usize = 4096;

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
    /// If a property does not hold, or if it allocated without measure.
    pub fn run(&self, data: &[u8]) {
        support::shown::begin();
        let before = ALLOCATOR.total_allocated();
        (self.run)(data);
        let allocated = ALLOCATOR.total_allocated() - before;
        assert!(allocated <= MEMORY + MEMORY_A_BYTE * data.len(), "{allocated} bytes for {}", data.len());
        support::shown::judge_suspected(data, self.run);
    }

    /// The target of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }
}
