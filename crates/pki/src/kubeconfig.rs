//! Kubeconfig files.

use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{Error, Issued, Result, sec1};

/// Where a cluster is found, and the name it goes by in kubeconfigs.
#[derive(Clone, Copy, Debug)]
pub struct Cluster<'a> {
    /// Its name, which tells its entries from those of other clusters.
    pub name: &'a str,
    /// URL of the API server.
    pub server: &'a str,
    /// Certificate of its authority, PEM.
    pub ca: &'a str,
}

/// Writes a kubeconfig with embedded certificates that only its owner may read.
///
/// User and context are named after `user` and the cluster, so that files of several clusters
/// merge.
pub fn write(path: &Path, cluster: Cluster<'_>, user: &str, client: &Issued) -> Result<()> {
    let Cluster { name, server, ca } = cluster;
    let context = format!("{user}@{name}");
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {
            "server": server,
            "certificate-authority-data": STANDARD.encode(ca),
        }}],
        "users": [{"name": context, "user": {
            "client-certificate-data": STANDARD.encode(&client.cert),
            // Clients in Java read no other form.
            "client-key-data": STANDARD.encode(sec1::from_pkcs8(&client.key)),
        }}],
        "contexts": [{"name": context, "context": {"cluster": name, "user": context}}],
        "current-context": context,
        "preferences": {},
    });
    let text =
        serde_yaml_ng::to_string(&config).map_err(|e| Error::Crypto(format!("kubeconfig: {e}")))?;
    crate::write(path, &text, true)
}

/// Lists of a kubeconfig whose entries have names.
const LISTS: &[&str] = &["clusters", "contexts", "users"];

/// Adds the entries of one kubeconfig to another, in place of those of the same names, and makes
/// its context the current one. The other file need not exist.
///
/// # Errors
/// [`Error::Io`], or [`Error::Malformed`] where one of them is no kubeconfig.
pub fn merge(from: &Path, into: &Path) -> Result<()> {
    let added = parse(from)?;
    let mut config = match into.exists() {
        true => parse(into)?,
        false => json!({"apiVersion": "v1", "kind": "Config", "preferences": {}}),
    };
    for list in LISTS {
        let new = added[list].as_array().cloned().unwrap_or_default();
        let mut all = config[list].as_array().cloned().unwrap_or_default();
        all.retain(|entry| !new.iter().any(|added| added["name"] == entry["name"]));
        all.extend(new);
        config[list] = all.into();
    }
    config["current-context"] = added["current-context"].clone();
    let text =
        serde_yaml_ng::to_string(&config).map_err(|e| Error::Crypto(format!("kubeconfig: {e}")))?;
    if let Some(dir) = into.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        std::fs::create_dir_all(dir)
            .map_err(|source| Error::Io { path: dir.display().to_string(), source })?;
    }
    crate::write(into, &text, true)
}

fn parse(path: &Path) -> Result<Value> {
    let name = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|source| Error::Io { path: name.clone(), source })?;
    let config: Value = serde_yaml_ng::from_str(&text)
        .map_err(|e| Error::Malformed { path: name.clone(), why: e.to_string() })?;
    match config {
        // An empty file is a kubeconfig without entries.
        Value::Null => Ok(json!({"apiVersion": "v1", "kind": "Config", "preferences": {}})),
        Value::Object(_) => Ok(config),
        _ => Err(Error::Malformed { path: name, why: "it is no kubeconfig".to_owned() }),
    }
}

/// The parts of a kubeconfig with embedded certificates that a component needs.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// URL of the API server.
    pub server: String,
    /// Certificate of the cluster's authority, PEM.
    pub ca: String,
    /// The client's own certificate and key.
    pub client: Issued,
}

/// Reads the first cluster and user of a kubeconfig with embedded certificates.
///
/// # Errors
/// [`Error::Io`], or [`Error::Malformed`] where something is missing or only named by path.
pub fn read(path: &Path) -> Result<Credentials> {
    let name = path.display().to_string();
    let malformed = |why: String| Error::Malformed { path: name.clone(), why };
    let config = parse(path)?;
    let (cluster, user) = (&config["clusters"][0]["cluster"], &config["users"][0]["user"]);
    let text = |object: &Value, field: &str| {
        let value = object[field].as_str().map(str::to_owned);
        value.ok_or_else(|| malformed(format!("{field} is missing")))
    };
    let pem = |object: &Value, field: &str| {
        let bytes = STANDARD.decode(text(object, field)?).ok();
        let pem = bytes.and_then(|b| String::from_utf8(b).ok());
        pem.ok_or_else(|| malformed(format!("{field} is not a PEM text in base64")))
    };
    Ok(Credentials {
        server: text(cluster, "server")?,
        ca: pem(cluster, "certificate-authority-data")?,
        client: Issued {
            cert: pem(user, "client-certificate-data")?,
            key: pem(user, "client-key-data")?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.conf");
        let client = Issued { cert: "C".to_owned(), key: "K".to_owned() };
        let cluster = Cluster { name: "c", server: "https://10.0.0.1:6443", ca: "CA" };
        write(&path, cluster, "system:node:a", &client).unwrap();
        let read = read(&path).unwrap();
        assert_eq!((read.server.as_str(), read.ca.as_str()), ("https://10.0.0.1:6443", "CA"));
        assert_eq!((read.client.cert.as_str(), read.client.key.as_str()), ("C", "K"));
    }

    #[test]
    fn files_of_two_clusters_merge() {
        let dir = tempfile::tempdir().unwrap();
        let client = Issued { cert: "C".to_owned(), key: "K".to_owned() };
        let into = dir.path().join("home/config");
        for (name, server) in [("a", "https://a"), ("b", "https://b"), ("a", "https://c")] {
            let path = dir.path().join(name);
            write(&path, Cluster { name, server, ca: "CA" }, "admin", &client).unwrap();
            merge(&path, &into).unwrap();
        }
        let config = parse(&into).unwrap();
        let names = |list: &str| -> Vec<&str> {
            config[list].as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap()).collect()
        };
        assert_eq!(names("clusters"), ["b", "a"]);
        assert_eq!(names("users"), ["admin@b", "admin@a"]);
        assert_eq!(names("contexts"), ["admin@b", "admin@a"]);
        assert_eq!(config["clusters"][1]["cluster"]["server"], "https://c");
        assert_eq!(config["current-context"], "admin@a");
    }

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.conf");
        std::fs::write(&path, "clusters: [{cluster: {server: x}}]").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("certificate-authority-data is missing"), "{error}");
    }
}
