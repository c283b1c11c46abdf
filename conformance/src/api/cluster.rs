//! The cluster under test, as one user sees it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use http::{Method, Request};
use http_body_util::BodyExt;
use kube::client::Body;
use kube::config::AuthInfo;
use kube::{Client, Config};
use serde_json::Value;
use tokio::time::Instant;

use super::{Answer, Kind, Resource};
use crate::run::Trash;

/// How long a single request may take.
const REQUEST: Duration = Duration::from_secs(60);

/// A cluster and whom it is spoken to as.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    config: Arc<Config>,
    trash: Trash,
    deadline: Instant,
}

impl Cluster {
    /// The cluster of a configuration; what is made in it goes into `trash`.
    ///
    /// # Errors
    /// If the configuration makes no client.
    pub(crate) fn new(config: Config, trash: Trash) -> Result<Self> {
        let client = Client::try_from(config.clone()).context("the kubeconfig makes no client")?;
        let deadline = Instant::now() + Duration::from_secs(86_400);
        Ok(Self { client, config: Arc::new(config), trash, deadline })
    }

    /// The same with another time by which every wait has ended.
    #[must_use]
    pub fn until(&self, deadline: Instant) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// The time by which every wait has ended.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The typed client, for what is not plain requests.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The address of the API server.
    #[must_use]
    pub fn url(&self) -> String {
        self.config.cluster_url.to_string()
    }

    pub(crate) fn trash(&self) -> &Trash {
        &self.trash
    }

    /// The same cluster as the holder of a bearer token, or as nobody.
    ///
    /// # Errors
    /// If it makes no client.
    pub fn as_bearer(&self, token: Option<&str>) -> Result<Self> {
        let auth_info =
            AuthInfo { token: token.map(|t| t.to_owned().into()), ..AuthInfo::default() };
        self.with_auth(auth_info)
    }

    /// The same cluster as the holder of a client certificate; both are base64 of PEM.
    ///
    /// # Errors
    /// If it makes no client.
    pub fn as_certificate(&self, certificate: &str, key: &str) -> Result<Self> {
        self.with_auth(AuthInfo {
            client_certificate_data: Some(certificate.to_owned()),
            client_key_data: Some(key.to_owned().into()),
            ..AuthInfo::default()
        })
    }

    /// The same cluster while acting as another user.
    ///
    /// # Errors
    /// If it makes no client.
    pub fn impersonate(&self, user: &str, groups: &[&str]) -> Result<Self> {
        let mut auth_info = self.config.auth_info.clone();
        auth_info.impersonate = Some(user.to_owned());
        auth_info.impersonate_groups = Some(groups.iter().map(|&g| g.to_owned()).collect());
        self.with_auth(auth_info)
    }

    fn with_auth(&self, auth_info: AuthInfo) -> Result<Self> {
        let mut config = (*self.config).clone();
        config.auth_info = auth_info;
        let client = Client::try_from(config.clone())?;
        Ok(Self { client, config: Arc::new(config), ..self.clone() })
    }

    /// A resource in a namespace.
    #[must_use]
    pub fn namespaced(&self, kind: &Kind, namespace: &str) -> Resource {
        Resource::new(self.clone(), kind.clone(), Some(namespace.to_owned()))
    }

    /// A resource of the cluster, or of all namespaces.
    #[must_use]
    pub fn all(&self, kind: &Kind) -> Resource {
        Resource::new(self.clone(), kind.clone(), None)
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// If there is no answer. Any status is one.
    pub async fn send(&self, request: Request<Vec<u8>>) -> Result<Answer> {
        let name = format!("{} {}", request.method(), request.uri());
        let until = self.deadline.min(Instant::now() + REQUEST);
        let work = async {
            let (head, body) = self.client.send(request.map(Body::from)).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, kube::Error>((head, body))
        };
        let (head, body) = tokio::time::timeout_at(until, work)
            .await
            .with_context(|| format!("{name} was not answered in time"))?
            .with_context(|| format!("{name} failed"))?;
        Ok(Answer { request: name, code: head.status.as_u16(), headers: head.headers, body })
    }

    /// Sends a request with JSON or without a body.
    ///
    /// # Errors
    /// As [`Cluster::send`].
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        let request = Request::builder().method(method).uri(path);
        let request = match body {
            Some(body) => request
                .header("content-type", "application/json")
                .body(serde_json::to_vec(body)?)?,
            None => request.body(Vec::new())?,
        };
        self.send(request).await
    }

    /// Reads a path that must answer with success.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.call(Method::GET, path, None).await?.success()
    }

    /// Reads a path with an `Accept` header; any status is an answer.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn get_as(&self, path: &str, accept: &str) -> Result<Answer> {
        self.send(Request::get(path).header("accept", accept).body(Vec::new())?).await
    }
}
