//! Kubeconfig files.

use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{Error, Issued, Result};

/// Writes a kubeconfig with embedded certificates that only its owner may read.
///
/// `server` is a URL, `user` the name the context is known by.
pub fn write(path: &Path, server: &str, ca: &str, user: &str, client: &Issued) -> Result<()> {
    let context = format!("{user}@coxswain");
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "coxswain", "cluster": {
            "server": server,
            "certificate-authority-data": STANDARD.encode(ca),
        }}],
        "users": [{"name": user, "user": {
            "client-certificate-data": STANDARD.encode(&client.cert),
            "client-key-data": STANDARD.encode(&client.key),
        }}],
        "contexts": [{"name": context, "context": {"cluster": "coxswain", "user": user}}],
        "current-context": context,
        "preferences": {},
    });
    let text =
        serde_yaml_ng::to_string(&config).map_err(|e| Error::Crypto(format!("kubeconfig: {e}")))?;
    crate::write(path, &text, true)
}

/// What a component needs of a kubeconfig with embedded certificates.
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
    let text =
        std::fs::read_to_string(path).map_err(|source| Error::Io { path: name.clone(), source })?;
    let malformed = |why: String| Error::Malformed { path: name.clone(), why };
    let config: Value = serde_yaml_ng::from_str(&text).map_err(|e| malformed(e.to_string()))?;
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
        write(&path, "https://10.0.0.1:6443", "CA", "system:node:a", &client).unwrap();
        let read = read(&path).unwrap();
        assert_eq!((read.server.as_str(), read.ca.as_str()), ("https://10.0.0.1:6443", "CA"));
        assert_eq!((read.client.cert.as_str(), read.client.key.as_str()), ("C", "K"));
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
