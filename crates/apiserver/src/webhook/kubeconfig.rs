//! Webhooks that the administrator names by a kubeconfig file.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use super::Target;
use super::target::Credentials;

/// The reason why a file names no webhook.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("{}: {why}", path.display())]
    File { path: PathBuf, why: std::io::Error },
    #[error("{}: {why}", path.display())]
    Content { path: PathBuf, why: String },
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Config {
    clusters: Vec<Named>,
    users: Vec<Named>,
    contexts: Vec<Named>,
    current_context: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
    cluster: Value,
    user: Value,
    context: Value,
}

/// Settings that would change who is believed, or that nobody reads here.
const UNSUPPORTED: &[(&str, &[&str])] = &[
    ("cluster", &["insecure-skip-tls-verify", "tls-server-name", "proxy-url"]),
    ("user", &["tokenFile", "username", "password", "exec", "auth-provider", "as"]),
];

impl Target {
    /// Reads the webhook of a file's current context.
    ///
    /// # Errors
    /// The file cannot be read, is incomplete, or asks for what is not supported.
    pub(crate) fn of_kubeconfig(path: &Path) -> Result<Self, Unusable> {
        let bytes = read(path)?;
        let content = |why: String| Unusable::Content { path: path.to_owned(), why };
        let (value, _) =
            apimachinery::codec::yaml::decode(&bytes).map_err(|why| content(why.message))?;
        let config: Config =
            serde_json::from_value(value).map_err(|why| content(why.to_string()))?;
        let find = |list: &[Named], name: &str, of: fn(&Named) -> &Value| {
            list.iter().find(|named| named.name == name).map(|named| of(named).clone())
        };
        let context = find(&config.contexts, &config.current_context, |n| &n.context)
            .ok_or_else(|| content("it has no current context".to_owned()))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let cluster = find(&config.clusters, &text(&context["cluster"]), |n| &n.cluster)
            .ok_or_else(|| content("it has no cluster of its context".to_owned()))?;
        let user = find(&config.users, &text(&context["user"]), |n| &n.user).unwrap_or_default();
        for (part, fields) in UNSUPPORTED {
            let value = if *part == "user" { &user } else { &cluster };
            let set = |field: &&&str| {
                let value = &value[**field];
                !value.is_null() && *value != false && *value != ""
            };
            if let Some(field) = fields.iter().find(set) {
                return Err(content(format!("{field} is not supported")));
            }
        }
        let base = path.parent().unwrap_or(Path::new(""));
        // A value in the file goes before one in another file.
        let pem = |of: &Value, field: &str| -> Result<String, Unusable> {
            let data = text(&of[format!("{field}-data")]);
            let bytes = match text(&of[field]) {
                _ if !data.is_empty() => {
                    STANDARD.decode(&data).map_err(|why| content(format!("{field}-data: {why}")))?
                }
                file if file.is_empty() => return Ok(String::new()),
                file => read(&base.join(file))?,
            };
            String::from_utf8(bytes).map_err(|_| content(format!("{field} is not PEM")))
        };
        let authority = pem(&cluster, "certificate-authority")?;
        if authority.is_empty() {
            return Err(content("certificate-authority is required".to_owned()));
        }
        let credentials = Credentials {
            certificate: pem(&user, "client-certificate")?,
            key: pem(&user, "client-key")?,
            token: text(&user["token"]),
        };
        let config = serde_json::json!({
            "url": text(&cluster["server"]), "caBundle": STANDARD.encode(authority),
        });
        let target = Self::read(&config).map_err(|why| content(why.to_string()))?;
        let target = target.with(credentials);
        // Finds mistakes in certificates now.
        target.tls().map_err(|why| content(why.to_string()))?;
        Ok(target)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Unusable> {
    std::fs::read(path).map_err(|why| Unusable::File { path: path.to_owned(), why })
}
