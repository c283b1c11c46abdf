//! `coxswain kubeconfig`: the administrator's credentials, for kubectl.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::cli::KubeconfigArgs;
use crate::dir::{ADMIN, EXTERNAL};

pub(crate) fn run(args: &KubeconfigArgs) -> Result<()> {
    let name = if args.external { EXTERNAL } else { ADMIN };
    let path = args.cluster.dir.join("kubeconfig").join(format!("{name}.conf"));
    if !path.is_file() {
        let hint = match args.external {
            true => "it is written by `up` with an address that other machines reach",
            false => "it is written when the cluster is brought up",
        };
        bail!("{} does not exist: {hint}", path.display());
    }
    if !args.merge {
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        say!("{}", text.trim_end());
        return Ok(());
    }
    let into = kubectls()?;
    pki::kubeconfig::merge(&path, &into)?;
    say!("merged into {}", into.display());
    Ok(())
}

/// The file that kubectl writes to.
fn kubectls() -> Result<PathBuf> {
    let listed = std::env::var_os("KUBECONFIG").unwrap_or_default();
    if let Some(first) = std::env::split_paths(&listed).find(|path| !path.as_os_str().is_empty()) {
        return Ok(first);
    }
    let home = std::env::var_os("HOME").context("neither KUBECONFIG nor HOME is set")?;
    Ok(PathBuf::from(home).join(".kube/config"))
}
