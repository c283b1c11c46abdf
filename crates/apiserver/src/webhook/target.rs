//! Where a webhook is (`WebhookClientConfig`).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use apimachinery::ObjectExt;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use serde_json::Value;

use super::CallError;
use crate::endpoints;
use crate::server::Server;

/// The address of a webhook and who may answer there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    /// Name in the certificate, and host of the URL.
    pub(super) host: String,
    pub(super) port: u16,
    path: String,
    /// PEM; empty for the machine's own authorities, of which there are none here.
    authority: String,
    service: Option<(String, String)>,
    credentials: Credentials,
}

/// How this server shows who it is, if it does.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Credentials {
    /// PEM, as its key.
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) token: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

/// The authorities of a `caBundle`, PEM; empty if there are none.
pub(crate) fn ca_bundle(config: &Value) -> String {
    let bundle = STANDARD.decode(config.str_at(&["caBundle"])).unwrap_or_default();
    String::from_utf8(bundle).unwrap_or_default()
}

impl Target {
    /// Reads a `clientConfig`.
    ///
    /// # Errors
    /// It names neither a service nor a URL.
    pub(crate) fn read(config: &Value) -> Result<Self, CallError> {
        let refused = |why: &str| CallError::Answer(why.to_owned());
        let authority = ca_bundle(config);
        if let Some(service) = config.get("service").filter(|service| service.is_object()) {
            let (namespace, name) =
                (service.str_at(&["namespace"]).to_owned(), service.str_at(&["name"]).to_owned());
            let port = service["port"].as_u64().and_then(|port| u16::try_from(port).ok());
            let path = service.str_at(&["path"]);
            return Ok(Self {
                host: format!("{name}.{namespace}.svc"),
                port: port.unwrap_or(443),
                path: if path.is_empty() { "/".to_owned() } else { path.to_owned() },
                authority,
                service: Some((namespace, name)),
                credentials: Credentials::default(),
            });
        }
        let url = config.str_at(&["url"]);
        if url.is_empty() {
            return Err(refused("webhook configuration must have either service or URL"));
        }
        let uri: Uri =
            url.parse().map_err(|why| CallError::Answer(format!("Unparsable URL: {why}")))?;
        let host = uri.host().filter(|_| uri.scheme_str() == Some("https"));
        let host = host.ok_or_else(|| refused("the URL of a webhook must be https"))?;
        Ok(Self {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: uri.port_u16().unwrap_or(443),
            path: uri.path().to_owned(),
            authority,
            service: None,
            credentials: Credentials::default(),
        })
    }

    /// The same webhook, called with credentials.
    pub(super) fn with(self, credentials: Credentials) -> Self {
        Self { credentials, ..self }
    }

    /// The token that each call bears; empty if there is none.
    pub(super) fn token(&self) -> &str {
        &self.credentials.token
    }

    /// How a connection to it is made.
    pub(super) fn tls(&self) -> pki::Result<rustls::ClientConfig> {
        let Credentials { certificate, key, .. } = &self.credentials;
        if certificate.is_empty() {
            return pki::tls::trusting(&self.authority);
        }
        let own = pki::Issued { cert: certificate.clone(), key: key.clone() };
        pki::tls::client(&own, &self.authority)
    }

    /// The path and query of a request that is given this time.
    pub(super) fn path(&self, time: Duration) -> String {
        format!("{}?timeout={}s", self.path, time.as_secs_f64().ceil() as u64)
    }

    /// Host and port, as headers and messages have them.
    pub(super) fn authority_of_url(&self) -> String {
        match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(ip)) => format!("[{ip}]:{}", self.port),
            _ => format!("{}:{}", self.host, self.port),
        }
    }

    pub(super) fn url(&self, time: Duration) -> String {
        format!("https://{}{}", self.authority_of_url(), self.path(time))
    }

    /// The addresses to connect to, in the order in which they are tried.
    pub(super) async fn addresses(&self, server: &Server) -> Result<Vec<SocketAddr>, CallError> {
        let Some((namespace, name)) = &self.service else {
            let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
            let dial = |why| CallError::Transport(format!("dial tcp: lookup {}: {why}", self.host));
            return Ok(found.map_err(dial)?.collect());
        };
        endpoints::of_service(server, namespace, name, self.port)
            .map_err(|why| CallError::Transport(why.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_webhook_has_a_service_or_a_secure_url() {
        let time = Duration::from_millis(9500);
        let service = json!({"service": {"namespace": "n", "name": "s", "path": "/x"}});
        let target = Target::read(&service).unwrap();
        assert_eq!(target.url(time), "https://s.n.svc:443/x?timeout=10s");
        let target = Target::read(&json!({"url": "https://[::1]:8443/y"})).unwrap();
        assert_eq!((target.host.as_str(), target.port), ("::1", 8443));
        assert_eq!(target.url(time), "https://[::1]:8443/y?timeout=10s");
        for bad in [json!({}), json!({"url": "http://a/"}), json!({"url": "nonsense"})] {
            assert!(Target::read(&bad).is_err(), "{bad}");
        }
    }
}
