//! The stock tools the end-to-end tests drive: from PATH first, then the system's packages, then
//! built with Go from their public modules.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::test::root;

/// Built when the machine has no kubectl.
const KUBECTL: &str = "v0.35.0";
/// The oldest kubectl that must work.
const OLDEST_KUBECTL: &str = "v0.27.16";
const HELM: &str = "helm.sh/helm/v3/cmd/helm@v3.19.2";

/// Where each tool is.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) kubectl: PathBuf,
    pub(crate) oldest_kubectl: PathBuf,
    pub(crate) helm: PathBuf,
    pub(crate) busybox: PathBuf,
}

impl Tools {
    /// Finds every tool, installing or building what is missing.
    ///
    /// # Errors
    /// A tool can be had in no way; the message names it.
    pub(crate) fn find() -> Result<Self> {
        let found = installed_kubectls();
        let newest = found.iter().max_by_key(|(minor, _)| *minor).map(|(_, path)| path.clone());
        let oldest = found.iter().find(|(minor, _)| *minor == 27).map(|(_, path)| path.clone());
        Ok(Self {
            kubectl: newest.map_or_else(|| build_kubectl(KUBECTL), Ok)?,
            oldest_kubectl: oldest.map_or_else(|| build_kubectl(OLDEST_KUBECTL), Ok)?,
            helm: on_path("helm").map_or_else(build_helm, Ok)?,
            busybox: busybox()?,
        })
    }
}

fn path_dirs() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect()
}

/// A program on PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    path_dirs().into_iter().map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// Every kubectl beside the ones on PATH, with its minor version.
fn installed_kubectls() -> Vec<(u32, PathBuf)> {
    let mut dirs = path_dirs();
    // A dispatcher keeps the versions beside the file its link leads to.
    dirs.extend(
        on_path("kubectl").and_then(|p| p.canonicalize().ok()?.parent().map(Path::to_owned)),
    );
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for dir in dirs {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            // Nothing but a kubectl may be run to see what it is.
            if is_kubectl(&entry.file_name().to_string_lossy())
                && path.is_file()
                && let Some(minor) = minor_version(&path)
            {
                found.push((minor, path));
            }
        }
    }
    found
}

/// Returns true if a file is named as a kubectl: `kubectl`, `kubectl.1.27`, `kubectl-v1.35.0`.
fn is_kubectl(name: &str) -> bool {
    name.strip_prefix("kubectl").is_some_and(|rest| {
        let version = rest.trim_start_matches(['.', '-', 'v']);
        version.chars().all(|c| c.is_ascii_digit() || c == '.')
    })
}

fn minor_version(kubectl: &Path) -> Option<u32> {
    let output = Command::new(kubectl).args(["version", "--client", "-o", "json"]).output().ok()?;
    let version: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    let minor = version["clientVersion"]["minor"].as_str()?;
    minor.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok()
}

/// Directory of tools that were built here.
fn built() -> PathBuf {
    root().join("target/tools")
}

/// The Go toolchain, on PATH or where it is installed by default.
pub(crate) fn go_toolchain() -> Option<PathBuf> {
    let installed = || Some(PathBuf::from("/usr/local/go/bin/go")).filter(|p| p.is_file());
    on_path("go").or_else(installed)
}

fn go(dir: &Path, words: &[&str]) -> Result<()> {
    let go = go_toolchain()
        .context("go is needed to build kubectl and helm; install it or put both on PATH")?;
    let status = Command::new(go)
        .args(words)
        .current_dir(dir)
        .env("GOBIN", built())
        .env("GOFLAGS", "-mod=mod")
        .status()?;
    if !status.success() {
        bail!("go {} failed", words.join(" "));
    }
    Ok(())
}

/// kubectl is a library with a main function of five lines.
fn build_kubectl(version: &str) -> Result<PathBuf> {
    let out = built().join(format!("kubectl-{version}"));
    if out.is_file() {
        return Ok(out);
    }
    println!("building kubectl {version}");
    std::fs::create_dir_all(built())?;
    let dir = tempfile::tempdir()?;
    std::fs::write(
        dir.path().join("main.go"),
        "package main\n\nimport (\n\t\"k8s.io/component-base/cli\"\n\t\"k8s.io/kubectl/pkg/cmd\"\n\t\"os\"\n)\n\n\
         func main() { os.Exit(cli.Run(cmd.NewDefaultKubectlCommand())) }\n",
    )?;
    std::fs::write(
        dir.path().join("go.mod"),
        format!("module kubectl\n\ngo 1.21\n\nrequire k8s.io/kubectl {version}\n"),
    )?;
    go(dir.path(), &["mod", "tidy"])?;
    let target = out.to_string_lossy().into_owned();
    go(dir.path(), &["build", "-o", &target, "."])?;
    Ok(out)
}

fn build_helm() -> Result<PathBuf> {
    let out = built().join("helm");
    if !out.is_file() {
        println!("building helm");
        std::fs::create_dir_all(built())?;
        go(&root(), &["install", HELM])?;
    }
    Ok(out)
}

/// A static busybox, from which tests make images.
fn busybox() -> Result<PathBuf> {
    let path = PathBuf::from("/bin/busybox");
    if !path.is_file() {
        install("busybox-static")?;
    }
    Ok(path)
}

/// Sees to it that there is an etcd on PATH to compare with.
///
/// # Errors
/// There is none and it cannot be installed.
pub(crate) fn ensure_etcd() -> Result<()> {
    match on_path("etcd") {
        Some(_) => Ok(()),
        None => install("etcd-server"),
    }
}

/// Sees to it that there is `nft`, with which tests do to our tables what others might.
///
/// # Errors
/// It is missing and cannot be installed.
pub(crate) fn ensure_nft() -> Result<()> {
    match on_path("nft") {
        Some(_) => Ok(()),
        None => install("nftables"),
    }
}

/// Sees to it that there is a containerd to drive through CRI, with what it needs.
///
/// # Errors
/// It is missing and cannot be installed.
pub(crate) fn ensure_containerd() -> Result<()> {
    let here = ["containerd", "ctr", "runc"].iter().all(|name| on_path(name).is_some());
    if here && Path::new("/usr/lib/cni/bridge").is_file() {
        return Ok(());
    }
    for package in ["containerd", "runc", "containernetworking-plugins"] {
        install(package)?;
    }
    Ok(())
}

/// Installs a package with the system's package manager.
fn install(package: &str) -> Result<()> {
    println!("installing {package}");
    let apt = |words: &[&str]| {
        Command::new("apt-get")
            .args(words)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status()
            .is_ok_and(|status| status.success())
    };
    if !(apt(&["update", "-q"]) && apt(&["install", "-y", "-q", package])) {
        bail!("the package {package} is missing and could not be installed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::is_kubectl;

    #[test]
    fn only_a_kubectl_is_run_to_ask_for_its_version() {
        for name in ["kubectl", "kubectl.1.27", "kubectl-v0.35.0"] {
            assert!(is_kubectl(name), "{name}");
        }
        for name in ["reboot", "mkfs", "kubectl-foo", "kubectx", "dpkg"] {
            assert!(!is_kubectl(name), "{name}");
        }
    }
}
