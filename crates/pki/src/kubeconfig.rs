//! Kubeconfig files.

use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::{Issued, Result};

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
    let text = serde_yaml_ng::to_string(&config)
        .map_err(|e| crate::Error::Crypto(format!("kubeconfig: {e}")))?;
    crate::write(path, &text, true)
}
