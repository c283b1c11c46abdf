//! `cargo xtask cri [--check]`: writes the messages and clients of the Container Runtime Interface,
//! or checks that what is committed is what upstream's `api.proto` gives.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::schema::download;
use crate::test::root;

const GENERATOR: &str = "crates/runtime/codegen";
const GENERATED: &str = "crates/runtime/src/cri/generated/runtime.v1.rs";

pub(crate) fn run(args: &[String]) -> Result<()> {
    let check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("usage: cargo xtask cri [--check]"),
    };
    let proto = download("k8s.io/cri-api")?.join("pkg/apis/runtime/v1/api.proto");
    let dir = tempfile::tempdir()?;
    generate(&proto, dir.path())?;
    let text = std::fs::read_to_string(dir.path().join("runtime.v1.rs"))?;
    let path = root().join(GENERATED);
    if check {
        let committed = std::fs::read_to_string(&path).context(GENERATED)?;
        ensure!(committed == text, "{GENERATED} is stale; run `cargo xtask cri`");
    } else {
        std::fs::write(&path, text).context(GENERATED)?;
    }
    Ok(())
}

/// The generator has dependencies that the project is spared: it is no member of the workspace.
fn generate(proto: &Path, out: &Path) -> Result<()> {
    let status = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--locked", "--target-dir"])
        .arg(root().join("target/cri-codegen"))
        .arg("--")
        .args([proto, out])
        .current_dir(root().join(GENERATOR))
        .status()?;
    ensure!(status.success(), "{GENERATOR} failed");
    Ok(())
}
