//! Compares our protobuf with upstream's: for every kind, Kubernetes ships one object with every
//! field set, in JSON and in protobuf.

use anyhow::{Context, Result, ensure};
use apimachinery::ObjectExt as _;
use apimachinery::codec::{json, protobuf};
use apimachinery::schema::Registry;
use std::path::Path;

/// Checks all objects of kinds we know; returns how many there were.
pub(crate) fn verify(dir: &Path) -> Result<usize> {
    let mut count = 0;
    let mut failures = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let name = path.file_stem().and_then(|n| n.to_str()).unwrap_or_default();
        let (object, _) = json::decode(&std::fs::read(&path)?)?;
        if Registry::builtin().lookup_api_version(object.api_version(), object.kind()).is_none() {
            continue;
        }
        let theirs = std::fs::read(path.with_extension("pb"))?;
        if protobuf::encode(&object)? != theirs {
            failures.push(format!("{name}: encodes differently"));
        }
        if protobuf::decode(&theirs)? != object {
            failures.push(format!("{name}: decodes differently"));
        }
        count += 1;
    }
    failures.sort();
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(count)
}
