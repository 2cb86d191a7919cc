//! Replays every committed input of every target: what once broke a reader does not break it again.

use flyte_auth_fuzz::{TARGETS, corpus};

/// One test for all, because the cap on memory is the process's.
#[test]
fn every_committed_input_keeps_every_property() {
    let mut broken = Vec::new();
    for target in TARGETS {
        let inputs = corpus::inputs(target.name).unwrap_or_else(|error| panic!("inputs of {}: {error}", target.name));
        assert!(inputs.len() >= 3, "{} has only {} inputs", target.name, inputs.len());
        for (name, input) in inputs {
            if std::panic::catch_unwind(|| target.run(&input)).is_err() {
                broken.push(format!("{}: {name}", target.name));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_folder_of_seeds_is_a_target_s() {
    for folder in ["seeds", "found"] {
        for entry in std::fs::read_dir(corpus::folder(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(flyte_auth_fuzz::Target::named(name).is_some(), "{} is no target's", path.display());
        }
    }
}
