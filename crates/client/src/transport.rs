//! The two ways to an API server: inside this process, and over HTTPS.

use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::refusals;
use bytes::Bytes;
use http::header::{HeaderValue, USER_AGENT};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Body as HttpBody;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt};
use kube::config::{KubeConfigOptions, Kubeconfig};
use telemetry::metrics::Registry;
use tower::{BoxError, Service, ServiceBuilder};

use crate::metrics::Requests;

/// How long a connection attempt may take. The kernel repeats its packets ever more rarely: a new
/// attempt finds a link that has come back much sooner than an old one.
const CONNECT: Duration = Duration::from_secs(3);
/// A connection that is silent for so long is asked whether it still leads anywhere.
const SILENCE: Duration = Duration::from_secs(5);
/// A connection on which nothing is acknowledged for so long leads nowhere, also if it is a watch
/// on which there is nothing to say.
const UNANSWERED: Duration = Duration::from_secs(10);

/// Why a client could not be built from a kubeconfig.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is missing, malformed or names what does not exist.
    #[error("kubeconfig {path}: {source}")]
    Kubeconfig {
        /// The file that was read.
        path: String,
        /// The reason.
        source: Box<kube::config::KubeconfigError>,
    },
    /// Certificates or keys in it are not usable.
    #[error("client from kubeconfig {path}: {source}")]
    Client {
        /// The file that was read.
        path: String,
        /// The reason.
        source: Box<kube::Error>,
    },
}

/// A client whose requests go straight to `service`, an API server in this process: no socket, no
/// TLS. `identity` (the API server's own type for an authenticated user) is put into the
/// extensions of every request, where nothing from a network can put it.
///
/// Must be called within a tokio runtime.
pub fn in_process<S, I, B>(service: S, identity: I) -> kube::Client
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    I: Clone + Send + Sync + 'static,
{
    kube::Client::new(Identified { service, identity }, "default")
}

/// The same client under a name of its own, which the API server records as the manager of what it
/// writes, and whose requests are counted in `registry` as such to `host`.
pub fn named(
    client: kube::Client,
    name: &'static str,
    host: &str,
    registry: &Registry,
) -> kube::Client {
    let namespace = client.default_namespace().to_owned();
    let (metrics, host): (_, Arc<str>) = (Requests::of(registry), host.into());
    let service = tower::service_fn(move |mut request: Request<Body>| {
        let agent = HeaderValue::from_static(name);
        request.headers_mut().entry(USER_AGENT).or_insert(agent);
        let (client, metrics, host) = (client.clone(), metrics.clone(), host.clone());
        let path = request.uri().path().to_owned();
        async move {
            let (method, begun) = (request.method().clone(), Instant::now());
            let result = client.send(request).await;
            let code = result.as_ref().ok().map(Response::status);
            let code = code.as_ref().map_or("<error>", StatusCode::as_str);
            let word = known(&method);
            metrics.results.with([code, word, &host]).inc();
            let took = begun.elapsed().as_secs_f64();
            metrics.durations.with([word, &host]).observe(took);
            Ok::<_, BoxError>(refusals::noted(name, &method, &path, result?).await)
        }
    });
    kube::Client::new(service, namespace)
}

/// A method's name in a bounded number of labels.
fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

/// A client from a kubeconfig file, with its client certificate or token.
///
/// # Errors
/// The file or the credentials in it are unusable; the server is not contacted.
pub async fn https(kubeconfig: &Path) -> Result<kube::Client, Error> {
    connect(kubeconfig, config(kubeconfig).await?)
}

/// A client of the same server that says nothing of who it is.
///
/// # Errors
/// As [`https`].
pub(crate) async fn anonymous(kubeconfig: &Path) -> Result<kube::Client, Error> {
    let mut config = config(kubeconfig).await?;
    config.auth_info = Default::default();
    connect(kubeconfig, config)
}

fn connect(kubeconfig: &Path, config: kube::Config) -> Result<kube::Client, Error> {
    // Another crate may have installed a provider already; either one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let build = || -> kube::Result<kube::Client> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_keepalive(Some(SILENCE));
        connector.set_keepalive_interval(Some(SILENCE));
        connector.set_keepalive_retries(Some(2));
        connector.set_tcp_user_timeout(Some(UNANSWERED));
        let connector = config.rustls_https_connector_with_connector(connector)?;
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .build::<_, Body>(connector);
        let service = ServiceBuilder::new()
            .layer(config.base_uri_layer())
            .option_layer(config.auth_layer()?)
            .map_err(BoxError::from)
            .service(http);
        Ok(kube::Client::new(service, config.default_namespace.clone()))
    };
    build().map_err(|source| Error::Client {
        path: kubeconfig.display().to_string(),
        source: Box::new(source),
    })
}

/// Reads the current context of a kubeconfig.
async fn config(kubeconfig: &Path) -> Result<kube::Config, Error> {
    let read = async {
        let file = Kubeconfig::read_from(kubeconfig)?;
        kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await
    };
    read.await.map_err(|source| Error::Kubeconfig {
        path: kubeconfig.display().to_string(),
        source: Box::new(source),
    })
}

/// Adds the caller's identity to each request.
#[derive(Clone)]
struct Identified<S, I> {
    service: S,
    identity: I,
}

impl<S, I> Service<Request<Body>> for Identified<S, I>
where
    S: Service<Request<Body>>,
    I: Clone + Send + Sync + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        request.extensions_mut().insert(self.identity.clone());
        self.service.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;
    use std::convert::Infallible;

    #[derive(Clone, Debug, PartialEq)]
    struct User(&'static str);

    #[tokio::test]
    async fn every_request_carries_the_identity() {
        let service = tower::service_fn(|request: Request<Body>| async move {
            assert_eq!(request.extensions().get::<User>(), Some(&User("system:kube-scheduler")));
            assert_eq!(request.uri().path(), "/api/v1/namespaces/ns/configmaps/c");
            let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}"#;
            Ok::<_, Infallible>(Response::new(Body::from(body.as_bytes().to_vec())))
        });
        let client = in_process(service, User("system:kube-scheduler"));
        let map: ConfigMap = kube::Api::namespaced(client, "ns").get("c").await.unwrap();
        assert_eq!(map.metadata.name.as_deref(), Some("c"));
    }

    #[tokio::test]
    async fn requests_are_counted_by_what_came_of_them() {
        let registry = Registry::bare();
        let service = tower::service_fn(|request: Request<Body>| async move {
            if request.uri().path().ends_with("/none") {
                return Err(BoxError::from("no way"));
            }
            let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}"#;
            Ok(Response::new(Body::from(body.as_bytes().to_vec())))
        });
        let client = named(in_process(service, User("me")), "me", "in-process", &registry);
        let maps = kube::Api::<ConfigMap>::namespaced(client, "ns");
        maps.get("c").await.unwrap();
        maps.get("c").await.unwrap();
        maps.get("none").await.unwrap_err();
        let text = registry.encode(telemetry::metrics::Format::Text);
        for line in [
            r#"rest_client_requests_total{code="200",host="in-process",method="GET"} 2"#,
            r#"rest_client_requests_total{code="<error>",host="in-process",method="GET"} 1"#,
            r#"rest_client_request_duration_seconds_count{host="in-process",verb="GET"} 3"#,
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }

    #[tokio::test]
    async fn a_bad_kubeconfig_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.conf");
        std::fs::write(&path, "apiVersion: v1\nkind: Config\ncurrent-context: nowhere\n").unwrap();
        let error = https(&path).await.err().expect("no such context").to_string();
        assert!(error.contains("admin.conf"), "{error}");
    }
}
