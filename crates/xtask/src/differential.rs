//! `cargo xtask differential [MODULE…]`: side by side with upstream's kube-apiserver.
//!
//! The comparisons are in `tests/differential`. `KUBE_APISERVER` and `ETCD` name upstream's
//! binaries, when they are not on PATH; `COXSWAIN` ours, when it is not the release build.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::test::{release_binary, release_build, root};
use crate::tools::on_path;

/// The comparisons that are quick enough for every change.
pub(crate) const BOUNDED: &[&str] = &["s5", "s7", "s1a", "s3", "s8"];

/// Upstream's binaries.
pub(crate) struct Upstream {
    kube_apiserver: PathBuf,
    etcd: PathBuf,
}

impl Upstream {
    /// Finds them by their variables or on PATH.
    pub(crate) fn find() -> Option<Self> {
        let find = |variable: &str, name: &str| {
            std::env::var_os(variable).map(PathBuf::from).or_else(|| on_path(name))
        };
        Some(Self {
            kube_apiserver: find("KUBE_APISERVER", "kube-apiserver")?,
            etcd: find("ETCD", "etcd")?,
        })
    }
}

/// Runs the named comparisons, or all.
pub(crate) fn run(modules: &[String]) -> Result<()> {
    let upstream = Upstream::find().context(
        "kube-apiserver and etcd are not on PATH; tests/differential/README.md says how to build \
         them",
    )?;
    let binary = match std::env::var_os("COXSWAIN") {
        Some(binary) => PathBuf::from(binary),
        None => {
            if !release_build().current_dir(root()).status()?.success() {
                bail!("the release build failed");
            }
            release_binary()?
        }
    };
    compare(&upstream, &binary, modules.iter().map(String::as_str))
}

/// Starts both servers, compares and stops them.
pub(crate) fn compare<'a>(
    upstream: &Upstream,
    binary: &std::path::Path,
    modules: impl Iterator<Item = &'a str>,
) -> Result<()> {
    let scripts = root().join("tests/differential");
    let script = |name: &str| {
        let mut command = Command::new(scripts.join(name));
        command
            .current_dir(root())
            .env("COXSWAIN", binary)
            .env("KUBE_APISERVER", &upstream.kube_apiserver)
            .env("ETCD", &upstream.etcd);
        command
    };
    let outcome = if script("start").status()?.success() {
        let mut compare = Command::new("python3");
        compare.arg(scripts.join("run.py")).args(modules).current_dir(root());
        compare.env("PYTHONDONTWRITEBYTECODE", "1").status().context("running python3")
    } else {
        bail!("the servers did not start: see target/differential/*.log")
    };
    script("stop").status()?;
    if !outcome?.success() {
        bail!("there are differences that are not expected");
    }
    Ok(())
}
