//! `cargo xtask test`: everything that must hold before a change lands.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::differential::{self, Upstream};
use crate::fuzz;
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
    /// Names of the failures: the end of a log is read first.
    failures: Vec<String>,
}

impl Tally {
    /// Runs a step that counts as one test.
    fn step(&mut self, name: &str, command: &mut Command) {
        let begun = Instant::now();
        println!("== {name}");
        let ok = command.current_dir(root()).status().is_ok_and(|status| status.success());
        println!("== {name}: {} ({:.0?})", if ok { "ok" } else { "FAILED" }, begun.elapsed());
        if ok {
            self.passed += 1;
        } else {
            self.failed += 1;
            self.failures.push(name.to_owned());
        }
    }

    /// Runs tests, adds up their summaries and returns their output.
    fn tests(&mut self, name: &str, command: &mut Command) -> Result<String> {
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
        self.failures.extend(failed_tests(&output.text).map(|test| format!("{name}: {test}")));
        if !output.success && failed == 0 {
            failed = 1;
            self.failures.push(format!("{name}: did not end well, though no test failed"));
        }
        println!("== {name}: {passed} passed, {failed} failed ({:.0?})", begun.elapsed());
        self.passed += passed;
        self.failed += failed;
        Ok(output.text)
    }

    /// Feeds all readers of outside input for a while; one that did not run is a failure.
    fn fuzzing(&mut self) -> Result<()> {
        let output = self.tests("fuzzing", &mut fuzz::command(fuzz::BRIEF))?;
        for reader in fuzz::missing(&output) {
            self.failed += 1;
            self.failures.push(format!("fuzzing: {reader} did not run"));
        }
        Ok(())
    }
}

/// The tests that a harness says failed. Where tests write to the same output, the word may stand on
/// a line of its own; the list of failures at the harness's end has each name again.
fn failed_tests(text: &str) -> impl Iterator<Item = &str> {
    let mut listed = false;
    text.lines().filter_map(move |line| {
        match line {
            "failures:" => listed = true,
            // The first list has the tests' output, the second their names, each indented.
            _ if !line.starts_with("    ") && !line.is_empty() => listed = false,
            _ => {}
        }
        let name = line.strip_prefix("    ").filter(|_| listed)?;
        (!name.is_empty() && !name.contains(' ')).then_some(name)
    })
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
    tally.fuzzing()?;
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
        bail!("{} failed:\n{}", tally.failed, tally.failures.join("\n"));
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
            tally.failures.push("side by side".to_owned());
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

#[cfg(test)]
mod tests {
    use super::failed_tests;

    #[test]
    fn failed_tests_are_named() {
        let text = "\
running 2 tests
test a::works ... ok
test a::breaks ... FAILED

failures:

---- a::breaks stdout ----

thread 'a::breaks' panicked
    left: 1


failures:
    a::breaks
    b::breaks

test result: FAILED. 1 passed; 2 failed; 0 ignored
";
        assert_eq!(failed_tests(text).collect::<Vec<_>>(), ["a::breaks", "b::breaks"]);
        assert_eq!(failed_tests("test a ... ok\n    x\n").count(), 0);
    }
}
