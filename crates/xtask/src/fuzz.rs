//! `cargo xtask fuzz [SECONDS]`: feeds whatever reads input from outside with mutated input, each
//! reader for so many seconds.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::test::{cargo, root};

/// Seconds of each reader where nothing is said.
const DEFAULT: u64 = 60;
/// Seconds of each reader in `cargo xtask test`: on two processors forty in all.
pub(crate) const BRIEF: u64 = 3;

/// The readers by their tests.
const READERS: &[&str] = &[
    "codecs::checked_objects_stay_as_they_are_in_every_encoding",
    "codecs::json_is_read_and_read_again",
    "codecs::protobuf_is_read_and_read_again",
    "codecs::yaml_is_read_and_read_again",
    "objects::field_sets_read_back",
    "objects::json_patches_are_carried_out_or_refused",
    "objects::merge_patches_settle",
    "objects::odd_managers_and_live_objects_are_survived",
    "objects::strategic_patches_are_carried_out_or_refused",
    "objects::what_is_applied_twice_changes_nothing_the_second_time",
    "texts::durations_read_back",
    "texts::field_selectors_read_back",
    "texts::label_selectors_read_back",
    "texts::quantities_keep_their_value_in_their_normal_form",
    "texts::times_read_back",
    "fuzz_tests::schedules_have_a_next_time_or_none",
    "embedded::fuzz_tests::damage_is_survived",
    "server::fuzz_tests::messages_are_answered_or_dropped",
    "layer::fuzz_tests::layers_stay_in_their_directory",
    "spdy::fuzz_tests::frames_are_read_or_refused",
];

/// The command that runs all readers for so many seconds each, with a seed that it prints. It is of
/// the whole workspace, so that the binaries are those of the unit tests.
pub(crate) fn command(seconds: u64) -> Command {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_secs());
    let seed = std::env::var("FUZZ_SEED").unwrap_or_else(|_| now.to_string());
    println!("FUZZ_SEED={seed} FUZZ_SECONDS={seconds}");
    let mut command = cargo("test --workspace --exclude e2e --lib --no-fail-fast fuzz_tests");
    command.env("FUZZ_SEED", seed).env("FUZZ_SECONDS", seconds.to_string());
    command
}

/// The readers that did not run, by the output of the tests.
pub(crate) fn missing(output: &str) -> Vec<&'static str> {
    let ran = |reader: &&&str| {
        output.lines().any(|line| {
            let name = line.strip_prefix("test ").and_then(|rest| rest.split(' ').next());
            name.is_some_and(|name| name.ends_with(**reader))
        })
    };
    READERS.iter().filter(|reader| !ran(reader)).copied().collect()
}

pub(crate) fn run(args: &[String]) -> Result<()> {
    let seconds = args.first().map_or(Ok(DEFAULT), |text| {
        text.parse().with_context(|| format!("{text:?} is no number of seconds"))
    })?;
    if !command(seconds).current_dir(root()).status()?.success() {
        bail!("some input was not survived; FUZZ_SEED brings it again");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{READERS, missing};

    #[test]
    fn a_reader_that_did_not_run_is_missed() {
        let line = |reader: &&str| format!("test some::{reader} ... ok\n");
        let all: String = READERS.iter().map(line).collect();
        assert!(missing(&all).is_empty());
        let rest: String = READERS[1..].iter().map(line).collect();
        assert_eq!(missing(&rest), [READERS[0]]);
    }

    #[test]
    fn readers_are_all_in_the_list() {
        let sources = crate::tidy::rust_files();
        let fuzzed =
            sources.iter().filter(|(path, _)| path.to_string_lossy().contains("fuzz_tests"));
        let tests = fuzzed.flat_map(|(_, text)| text.split("#[test]\nfn ").skip(1));
        let mut count = 0;
        for test in tests.filter_map(|rest| rest.split('(').next()) {
            assert!(READERS.iter().any(|reader| reader.ends_with(test)), "{test} is not listed");
            count += 1;
        }
        assert_eq!(count, READERS.len());
    }
}
