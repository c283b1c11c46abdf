//! The time that the compiler takes: for a fresh clone, after a changed line, and for others.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};

use crate::report::{Report, Row, Target};

/// Crates of which a line is changed: the one that all others use and the last one. With the
/// seconds that may pass until the binary is there.
const CHANGED: [(&str, f64); 2] =
    [("crates/apimachinery/src/lib.rs", 240.0), ("crates/coxswain/src/main.rs", 90.0)];

/// Builds into a directory of its own, which is removed afterwards.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let target = tempfile::tempdir_in(root.join("target"))?;
    let build = Build { root, target: target.path().to_owned() };
    let (took, cpu) = build.run("release")?;
    report.add(row("build of a fresh clone, processor time", cpu, 60.0, Target::Below(12.0)));
    report.add(row("  and until it was there", took, 60.0, Target::None));
    for (file, limit) in CHANGED {
        // Cargo goes by the time; the content is nobody's to change here.
        let file_times = File::options().append(true).open(build.root.join(file));
        file_times.with_context(|| file.to_owned())?.set_modified(SystemTime::now())?;
        let (took, _) = build.run("release")?;
        report.add(row(
            &format!("build after a change in {file}"),
            took,
            1.0,
            Target::Below(limit),
        ));
    }
    build.run("dist")?;
    let bytes = std::fs::metadata(build.binary("dist")?)?.len();
    report.add(Row {
        what: "size of the binary for others (dist)".into(),
        figure: bytes as f64 / 1e6,
        baseline: None,
        unit: "MB",
        target: Target::Below(50.0),
    });
    Ok(())
}

fn row(what: &str, time: Duration, unit: f64, target: Target) -> Row {
    Row {
        what: what.to_owned(),
        figure: time.as_secs_f64() / unit,
        baseline: None,
        unit: if unit == 60.0 { "min" } else { "s" },
        target,
    }
}

struct Build {
    root: PathBuf,
    target: PathBuf,
}

impl Build {
    /// Builds the binary; returns how long it took, and the processor time of that.
    fn run(&self, profile: &str) -> Result<(Duration, Duration)> {
        let (before, begun) = (children()?, Instant::now());
        let status = Command::new("cargo")
            .args(["build", "--quiet", "--locked", "-p", "coxswain", "--profile", profile])
            .env("CARGO_TARGET_DIR", &self.target)
            .current_dir(&self.root)
            .status()?;
        ensure!(status.success(), "the build failed");
        Ok((begun.elapsed(), children()?.saturating_sub(before)))
    }

    /// The binary, whose folder is named after the machine.
    fn binary(&self, profile: &str) -> Result<PathBuf> {
        let folders = std::fs::read_dir(&self.target)?.filter_map(Result::ok);
        let binaries = folders.map(|folder| folder.path().join(profile).join("coxswain"));
        binaries.into_iter().find(|binary| binary.is_file()).context("no binary was built")
    }
}

/// Processor time of all processes that were started here and have ended, with theirs.
fn children() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = |time: nix::sys::time::TimeVal| {
        Duration::from_micros(
            u64::try_from(time.tv_sec() * 1_000_000 + time.tv_usec()).unwrap_or(0),
        )
    };
    Ok(micros(usage.user_time()) + micros(usage.system_time()))
}
