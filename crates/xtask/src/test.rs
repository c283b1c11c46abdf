//! `cargo xtask test`: everything that must hold before a change lands.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::differential::{self, Upstream};
use crate::tools::{Tools, on_path};

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Outcomes of the steps.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
}

impl Tally {
    /// Runs a step that counts as one test.
    fn step(&mut self, name: &str, command: &mut Command) {
        let begun = Instant::now();
        println!("== {name}");
        let ok = command.current_dir(root()).status().is_ok_and(|status| status.success());
        println!("== {name}: {} ({:.0?})", if ok { "ok" } else { "FAILED" }, begun.elapsed());
        if ok { self.passed += 1 } else { self.failed += 1 }
    }

    /// Runs tests and adds up their summaries.
    fn tests(&mut self, name: &str, command: &mut Command) -> Result<()> {
        let begun = Instant::now();
        println!("== {name}");
        let output = command
            .current_dir(root())
            .stdout(Stdio::piped())
            .spawn()
            .and_then(tee)
            .with_context(|| format!("running {name}"))?;
        let (mut passed, mut failed) = (0, 0);
        for line in output.text.lines().filter(|l| l.starts_with("test result:")) {
            let count = |word: &str| {
                let before = line.split(word).next()?.trim_end();
                before.rsplit([' ', ';']).next()?.parse::<usize>().ok()
            };
            passed += count(" passed").unwrap_or(0);
            failed += count(" failed").unwrap_or(0);
        }
        if !output.success && failed == 0 {
            failed = 1;
        }
        println!("== {name}: {passed} passed, {failed} failed ({:.0?})", begun.elapsed());
        self.passed += passed;
        self.failed += failed;
        Ok(())
    }
}

struct Output {
    text: String,
    success: bool,
}

/// Shows a child's output as it comes, and keeps it.
fn tee(mut child: std::process::Child) -> std::io::Result<Output> {
    use std::io::{BufRead, BufReader};
    let mut text = String::new();
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).lines() {
            let line = line?;
            println!("{line}");
            text.push_str(&line);
            text.push('\n');
        }
    }
    Ok(Output { text, success: child.wait()?.success() })
}

pub(crate) fn cargo(words: &str) -> Command {
    let mut command = Command::new("cargo");
    command.args(words.split_whitespace());
    command
}

/// Runs everything; an error if anything failed.
pub(crate) fn run() -> Result<()> {
    let mut tally = Tally::default();
    tally.step("formatting", &mut cargo("fmt --all --check"));
    tally.step("lints", &mut cargo("clippy --workspace --all-targets --quiet -- -D warnings"));
    let tools = Tools::find()?;
    crate::tools::ensure_containerd()?;
    crate::tools::ensure_nft()?;
    tally.step("schema facts", &mut cargo("xtask schema --check"));
    tally.step("CRI messages", &mut cargo("xtask cri --check"));
    tally
        .tests("unit and API tests", &mut cargo("test --workspace --exclude e2e --no-fail-fast"))?;
    tally.step("release build", &mut release_build());
    side_by_side(&mut tally)?;
    let mut end_to_end = cargo("test -p e2e --no-fail-fast -- --test-threads=1");
    end_to_end
        .env("COXSWAIN", release_binary()?)
        .env("KUBECTL", &tools.kubectl)
        .env("KUBECTL_OLDEST", &tools.oldest_kubectl)
        .env("HELM", &tools.helm)
        .env("BUSYBOX", &tools.busybox);
    tally.tests("end-to-end tests", &mut end_to_end)?;
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.failed > 0 {
        bail!("{} failed", tally.failed);
    }
    Ok(())
}

/// The quick comparisons with upstream's server, where that is installed.
fn side_by_side(tally: &mut Tally) -> Result<()> {
    let Some(upstream) = Upstream::find() else {
        println!("== side by side: not run, kube-apiserver and etcd are not on PATH");
        return Ok(());
    };
    println!("== side by side with kube-apiserver");
    let outcome =
        differential::compare(&upstream, &release_binary()?, differential::BOUNDED.iter().copied());
    match outcome {
        Ok(()) => tally.passed += 1,
        Err(why) => {
            println!("== side by side: FAILED: {why:#}");
            tally.failed += 1;
        }
    }
    Ok(())
}

/// Builds the one static file: with musl where its target and C compiler are installed, else with
/// glibc (`.cargo/config.toml`).
pub(crate) fn release_build() -> Command {
    let mut build = cargo("build --release -p coxswain");
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output();
    let sysroot = sysroot.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let installed =
        |sysroot: &String| Path::new(sysroot).join("lib/rustlib").join(&target).is_dir();
    if sysroot.is_ok_and(|sysroot| installed(&sysroot)) && on_path("musl-gcc").is_some() {
        build.args(["--target", &target]);
    }
    build
}

/// Where cargo put the release binary.
pub(crate) fn release_binary() -> Result<PathBuf> {
    let output = cargo("metadata --format-version 1 --no-deps").current_dir(root()).output()?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let target =
        PathBuf::from(metadata["target_directory"].as_str().context("no target directory")?);
    // With an explicit target the profile's directory is one level down.
    let candidates = std::fs::read_dir(&target)?
        .filter_map(|entry| Some(entry.ok()?.path().join("release/coxswain")))
        .chain([target.join("release/coxswain")]);
    candidates
        .filter(|path| path.is_file())
        .max_by_key(|path| path.metadata().and_then(|m| m.modified()).ok())
        .context("the release build left no binary")
}
