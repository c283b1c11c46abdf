//! `cargo xtask bench [NAME…]`: builds what is measured and runs the benchmarks.

use anyhow::{Result, bail};

use crate::test::{release_binary, release_build, root};
use crate::tools;

/// Runs the named benchmarks, or all.
pub(crate) fn run(names: &[String]) -> Result<()> {
    tools::ensure_etcd()?;
    // The benchmarks beside the binary: built for the same target.
    let mut build = release_build();
    if !build.args(["-p", "bench"]).current_dir(root()).status()?.success() {
        bail!("the release build failed");
    }
    let binary = release_binary()?;
    let bench = binary.with_file_name("bench");
    let mut command = std::process::Command::new(bench);
    command.args(names).env("COXSWAIN", &binary).current_dir(root());
    if !command.status()?.success() {
        bail!("the benchmarks failed");
    }
    Ok(())
}
