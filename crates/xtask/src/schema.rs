//! `cargo xtask schema [--check]`: writes the facts about Kubernetes' API types, or checks that
//! they are fresh and transcode upstream's sample objects exactly.
//!
//! The source is the Go declarations themselves, fetched with `go mod download`: they alone say
//! which fields are pointers, and with that what an absent field means.

mod declared;
mod go;
mod golden;
mod types;
mod write;

use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Kubernetes version whose API this project serves, as the Go modules number it.
const VERSION: &str = "v0.37.2";
const FACTS: &str = "crates/apimachinery/src/schema/kubernetes.facts";
const RULES: &str = "crates/apiserver/src/registry/declared.facts";

/// A Go package that declares API types.
struct Package {
    module: &'static str,
    dir: &'static str,
    /// Prefix of the OpenAPI names.
    model: &'static str,
    group: &'static str,
    version: &'static str,
}

const fn package(
    module: &'static str,
    dir: &'static str,
    model: &'static str,
    group: &'static str,
    version: &'static str,
) -> Package {
    Package { module, dir, model, group, version }
}

/// Group, OpenAPI segment and the versions that Kubernetes serves.
const API_GROUPS: &[(&str, &str, &[&str])] = &[
    ("admission.k8s.io", "admission", &["v1"]),
    ("admissionregistration.k8s.io", "admissionregistration", &["v1", "v1beta1", "v1alpha1"]),
    ("apidiscovery.k8s.io", "apidiscovery", &["v2", "v2beta1"]),
    ("internal.apiserver.k8s.io", "apiserverinternal", &["v1alpha1"]),
    ("apps", "apps", &["v1"]),
    ("authentication.k8s.io", "authentication", &["v1"]),
    ("authorization.k8s.io", "authorization", &["v1"]),
    ("autoscaling", "autoscaling", &["v1", "v2"]),
    ("batch", "batch", &["v1"]),
    ("certificates.k8s.io", "certificates", &["v1", "v1beta1", "v1alpha1"]),
    ("coordination.k8s.io", "coordination", &["v1", "v1beta1", "v1alpha2"]),
    ("", "core", &["v1"]),
    ("discovery.k8s.io", "discovery", &["v1"]),
    ("events.k8s.io", "events", &["v1"]),
    ("flowcontrol.apiserver.k8s.io", "flowcontrol", &["v1"]),
    ("lifecycle.k8s.io", "lifecycle", &["v1alpha1"]),
    ("networking.k8s.io", "networking", &["v1", "v1beta1"]),
    ("node.k8s.io", "node", &["v1"]),
    ("policy", "policy", &["v1"]),
    ("rbac.authorization.k8s.io", "rbac", &["v1"]),
    ("resource.k8s.io", "resource", &["v1", "v1beta2", "v1beta1", "v1alpha3"]),
    ("scheduling.k8s.io", "scheduling", &["v1", "v1beta1", "v1alpha3"]),
    ("storage.k8s.io", "storage", &["v1", "v1beta1"]),
    ("storagemigration.k8s.io", "storagemigration", &["v1", "v1beta1"]),
];

const OTHER_PACKAGES: &[Package] = &[
    package(
        "k8s.io/apimachinery",
        "pkg/apis/meta/v1",
        "io.k8s.apimachinery.pkg.apis.meta.v1",
        "meta.k8s.io",
        "v1",
    ),
    package(
        "k8s.io/apiextensions-apiserver",
        "pkg/apis/apiextensions/v1",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1",
        "apiextensions.k8s.io",
        "v1",
    ),
    package(
        "k8s.io/kube-aggregator",
        "pkg/apis/apiregistration/v1",
        "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1",
        "apiregistration.k8s.io",
        "v1",
    ),
];

/// Generates the facts and rules and writes them, or with `--check` compares them with what is committed.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("usage: cargo xtask schema [--check]"),
    };
    let world = read()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (place, text) in
        [(FACTS, write::facts(&world, VERSION)?), (RULES, declared::facts(&world, VERSION)?)]
    {
        let path = root.join(place);
        if check {
            let committed = std::fs::read_to_string(&path).context(place)?;
            ensure!(committed == text, "{place} is stale; run `cargo xtask schema`");
        } else {
            std::fs::write(&path, text).context(place)?;
        }
    }
    if check {
        let objects = golden::verify(&download("k8s.io/api")?.join("testdata/HEAD"))?;
        println!("facts are fresh; {objects} objects transcode as upstream's");
    }
    Ok(())
}

fn read() -> Result<types::World> {
    let mut world = types::World::default();
    let api = download("k8s.io/api")?;
    for (group, segment, versions) in API_GROUPS {
        for version in *versions {
            let model = format!("io.k8s.api.{segment}.{version}");
            let import = format!("k8s.io/api/{segment}/{version}");
            let dir = api.join(segment).join(version);
            world.add(&import, &dir, &model, group, version)?;
        }
    }
    for p in OTHER_PACKAGES {
        let import = format!("{}/{}", p.module, p.dir);
        let dir = download(p.module)?.join(p.dir);
        world.add(&import, &dir, p.model, p.group, p.version)?;
    }
    Ok(world)
}

/// Fetches a Go module into Go's own cache and returns where it lies. A fetch that fails, as the
/// network may, is tried again: it would be taken for stale facts.
pub(crate) fn download(module: &str) -> Result<PathBuf> {
    const ATTEMPTS: usize = 3;
    let go = crate::tools::go_toolchain()
        .context("the Go toolchain is needed to read the API's declarations")?;
    let elsewhere = tempfile::tempdir()?;
    let mut said = String::new();
    for _ in 0..ATTEMPTS {
        let output = Command::new(&go)
            .args(["mod", "download", "-json", &format!("{module}@{VERSION}")])
            .current_dir(&elsewhere)
            .output()?;
        let answer: Option<serde_json::Value> = serde_json::from_slice(&output.stdout).ok();
        if let Some(dir) = answer.as_ref().and_then(|answer| answer["Dir"].as_str()) {
            return Ok(PathBuf::from(dir));
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        said = text(&output.stdout) + &text(&output.stderr);
    }
    bail!("go mod download {module}: {said}")
}
