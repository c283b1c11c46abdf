//! `cargo xtask bench [NAME…]`: builds what is measured and runs the benchmarks.

use anyhow::{Result, bail};

use crate::test::{cargo, release_binary, root};
use crate::tools;

/// Runs the named benchmarks, or all.
pub(crate) fn run(names: &[String]) -> Result<()> {
    tools::ensure_etcd()?;
    for package in ["coxswain", "bench"] {
        let mut build = cargo("build --release -p");
        if !build.arg(package).current_dir(root()).status()?.success() {
            bail!("building {package} failed");
        }
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
