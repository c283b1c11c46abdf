//! Files of a volume with overlapping paths.

use apimachinery::ObjectExt;
use serde_json::Value;

use super::items;

/// A file and a description of its source.
struct File {
    path: String,
    source: String,
}

impl File {
    fn shown(&self) -> String {
        match self.source.as_str() {
            "" => format!("{:?}", self.path),
            source => format!("{:?} ({source})", self.path),
        }
    }

    /// Returns true if the paths are equal, or one is a directory of the other.
    fn overlaps(&self, other: &Self) -> bool {
        let (a, b) = (format!("{}/", self.path), format!("{}/", other.path));
        !self.path.is_empty() && !other.path.is_empty() && (a.starts_with(&b) || b.starts_with(&a))
    }
}

/// Warns of overlapping paths in ConfigMap, Secret, downward API and projected volumes.
pub(super) fn warn(volume: &Value, found: &mut Vec<String>) {
    let name = volume.str_at(&["name"]);
    let named = |kind: &str, name: &str| format!("{kind} {name:?}");
    let map = &volume["configMap"];
    let secret = &volume["secret"];
    for (source, of, is) in [
        (map, named("ConfigMap", map.str_at(&["name"])), map.is_object()),
        (secret, named("Secret", secret.str_at(&["secretName"])), secret.is_object()),
        (&volume["downwardAPI"], "DownwardAPI".to_owned(), volume["downwardAPI"].is_object()),
    ] {
        if is {
            check(name, &of, files(source, ""), found);
        }
    }
    let mut all = Vec::new();
    for source in items(volume, &["projected", "sources"]) {
        let kind = source.as_object().into_iter().flatten().find(|(_, v)| v.is_object());
        let Some((kind, source)) = kind else {
            found.push(format!("volume {name:?} (Projected) has no sources provided"));
            continue;
        };
        let own = source.str_at(&["name"]);
        let path = |path: &str, source: String| File { path: path.to_owned(), source };
        match kind.as_str() {
            "configMap" => all.extend(files(source, &named("ConfigMap", own))),
            "secret" => all.extend(files(source, &named("Secret", own))),
            "downwardAPI" => all.extend(files(source, "DownwardAPI")),
            "serviceAccountToken" => {
                all.push(path(source.str_at(&["path"]), "ServiceAccountToken".to_owned()));
            }
            "clusterTrustBundle" => {
                let own = if own.is_empty() { source.str_at(&["signerName"]) } else { own };
                all.push(path(source.str_at(&["path"]), named("ClusterTrustBundle", own)));
            }
            "podCertificate" => {
                for (field, what) in [
                    ("certificateChainPath", "chain"),
                    ("keyPath", "key"),
                    ("credentialBundlePath", "credential bundle"),
                ] {
                    let at = source.str_at(&[field]);
                    if !at.is_empty() {
                        all.push(path(at, format!("PodCertificate {what}")));
                    }
                }
            }
            _ => {}
        }
    }
    check(name, "Projected", all, found);
}

fn files(source: &Value, of: &str) -> Vec<File> {
    let file =
        |item: &Value| File { path: item.str_at(&["path"]).to_owned(), source: of.to_owned() };
    items(source, &["items"]).map(file).collect()
}

fn check(volume: &str, of: &str, files: Vec<File>, found: &mut Vec<String>) {
    let mut before: Vec<File> = Vec::new();
    for mut file in files {
        file.path.truncate(file.path.trim_end_matches('/').len());
        for other in before.iter().filter(|other| other.overlaps(&file)) {
            let (file, other) = (file.shown(), other.shown());
            found.push(format!("volume {volume:?} ({of}): overlapping paths: {file} with {other}"));
        }
        before.push(file);
        if before.len() > MAX_FILES {
            return;
        }
    }
}

/// Maximum number of files compared in a volume: each is compared with all before it.
const MAX_FILES: usize = 1000;
