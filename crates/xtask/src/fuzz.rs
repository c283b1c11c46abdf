//! `cargo xtask fuzz [SECONDS]`: feeds whatever reads input from outside with mutated input, each
//! reader for so many seconds.

use anyhow::{Context, Result, bail};

use crate::test::{cargo, root};

const CRATES: &[&str] = &["apimachinery", "dns", "rules", "runtime", "store"];
const DEFAULT: &str = "60";

pub(crate) fn run(args: &[String]) -> Result<()> {
    let seconds = args.first().map_or(DEFAULT, String::as_str);
    seconds.parse::<u64>().with_context(|| format!("{seconds:?} is no number of seconds"))?;
    let mut command = cargo("test --lib --no-fail-fast");
    command.args(CRATES.iter().flat_map(|name| ["-p", name])).arg("fuzz_tests");
    if !command.env("FUZZ_SECONDS", seconds).current_dir(root()).status()?.success() {
        bail!("some input was not survived; FUZZ_SEED brings it again");
    }
    Ok(())
}
