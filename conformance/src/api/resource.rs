//! One resource of the cluster, in a namespace or without.

use std::time::Duration;

use anyhow::{Context, Result};
use http::{Method, Request};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Answer, Cluster, Kind, Refusal, Watch};

/// How a patch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patch {
    /// RFC 6902.
    Json,
    /// RFC 7396.
    Merge,
    /// By the patch strategies of the kind.
    Strategic,
    /// Server-side apply.
    Apply,
}

impl Patch {
    fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json-patch+json",
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Apply => "application/apply-patch+yaml",
        }
    }
}

/// One resource.
#[derive(Clone)]
pub struct Resource {
    cluster: Cluster,
    kind: Kind,
    namespace: Option<String>,
}

impl Resource {
    pub(super) fn new(cluster: Cluster, kind: Kind, namespace: Option<String>) -> Self {
        Self { cluster, kind, namespace }
    }

    /// The cluster it is of.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The same with another deadline.
    #[must_use]
    pub fn until(&self, deadline: Instant) -> Self {
        Self { cluster: self.cluster.until(deadline), ..self.clone() }
    }

    /// The same with waits that end after `time` at the latest.
    #[must_use]
    pub fn within(&self, time: Duration) -> Self {
        self.until(self.cluster.deadline().min(Instant::now() + time))
    }

    /// The path of the collection with a query.
    #[must_use]
    pub fn path(&self, query: &str) -> String {
        let path = self.kind.path(self.namespace.as_deref());
        if query.is_empty() { path } else { format!("{path}?{}", escape(query)) }
    }

    /// The path of an object, or of a subresource: `name` or `name/status`.
    #[must_use]
    pub fn object_path(&self, name: &str) -> String {
        format!("{}/{name}", self.path(""))
    }

    /// The object with its kind and version, and the mark of this run if it is of the cluster.
    fn complete(&self, mut object: Value) -> Value {
        object["apiVersion"] = self.kind.api_version().into();
        object["kind"] = self.kind.kind.clone().into();
        // A question is answered and not kept.
        if !self.kind.namespaced && !self.kind.kind.ends_with("Review") {
            let (label, run) = self.cluster.trash().mark();
            object["metadata"]["labels"][label] = run.into();
        }
        object
    }

    /// Creates an object; its kind and version are filled in.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub async fn create(&self, object: Value) -> Result<Value> {
        self.create_with("", object).await
    }

    /// Creates an object with a query such as `dryRun=All`.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub async fn create_with(&self, query: &str, object: Value) -> Result<Value> {
        let object = self.complete(object);
        self.note(&object);
        let answer = self.cluster.call(Method::POST, &self.path(query), Some(&object)).await?;
        let created = answer.object()?;
        self.note(&created);
        Ok(created)
    }

    /// Remembers a cluster-scoped object before it is created, so that it is always removed.
    fn note(&self, object: &Value) {
        if let (false, Some(name)) = (self.kind.namespaced, object["metadata"]["name"].as_str()) {
            self.cluster.trash().add(&self.kind, name);
        }
    }

    /// Posts to a subresource: `name/binding`.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let path = self.object_path(path);
        self.cluster.call(Method::POST, &path, Some(body)).await?.object()
    }

    /// Reads an object, or a subresource: `name/status`.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub async fn get(&self, name: &str) -> Result<Value> {
        self.cluster.call(Method::GET, &self.object_path(name), None).await?.object()
    }

    /// Reads the collection with a query.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub async fn list(&self, query: &str) -> Result<Value> {
        self.cluster.call(Method::GET, &self.path(query), None).await?.object()
    }

    /// The objects of a query.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub async fn items(&self, query: &str) -> Result<Vec<Value>> {
        let mut list = self.list(query).await?;
        let items = list["items"].take();
        let Value::Array(items) = items else {
            anyhow::bail!("the list of {} has no items: {list}", self.kind.plural)
        };
        Ok(items)
    }

    /// Replaces an object, or a subresource if `name` has it.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub async fn replace_at(&self, name: &str, object: &Value) -> Result<Value> {
        self.cluster.call(Method::PUT, &self.object_path(name), Some(object)).await?.object()
    }

    /// Replaces an object.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub async fn replace(&self, object: &Value) -> Result<Value> {
        let name = object["metadata"]["name"].as_str().context("the object has no name")?;
        self.replace_at(name, object).await
    }

    /// Changes an object as it is now, again after conflicts; gives the new one.
    ///
    /// # Errors
    /// A refusal other than a conflict, or no answer.
    pub async fn change(&self, name: &str, change: impl Fn(&mut Value) + Send) -> Result<Value> {
        let plain = name.split('/').next().unwrap_or(name);
        loop {
            let mut object = self.get(plain).await?;
            change(&mut object);
            match self.replace_at(name, &object).await {
                Err(error) if Refusal::code_of(&error) == Some(409) => {}
                result => return result,
            }
        }
    }

    /// Patches an object, or a subresource if `name` has it, with a query after `?`.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub async fn patch(&self, name: &str, patch: Patch, body: Value) -> Result<Value> {
        self.patch_raw(name, patch, &body).await?.object()
    }

    /// Applies an object as a field manager.
    ///
    /// # Errors
    /// A refusal such as a conflict, or no answer.
    pub async fn apply(&self, name: &str, manager: &str, object: Value) -> Result<Value> {
        let mut object = self.complete(object);
        self.note(&json!({"metadata": {"name": name.split(['/', '?']).next()}}));
        object["metadata"]["name"] = name.split(['/', '?']).next().unwrap_or(name).into();
        let mark = if name.contains('?') { '&' } else { '?' };
        let path = format!("{name}{mark}fieldManager={manager}");
        self.patch(&path, Patch::Apply, object).await
    }

    /// Patches and gives the whole answer.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn patch_raw(&self, name: &str, patch: Patch, body: &Value) -> Result<Answer> {
        let request = Request::patch(self.object_path(name))
            .header("content-type", patch.media_type())
            .body(serde_json::to_vec(body)?)?;
        self.cluster.send(request).await
    }

    /// Deletes an object as the server does by default.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub async fn delete(&self, name: &str) -> Result<Value> {
        self.cluster.call(Method::DELETE, &self.object_path(name), None).await?.object()
    }

    /// Deletes an object with options.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub async fn delete_with(&self, name: &str, options: Value) -> Result<Value> {
        self.cluster.call(Method::DELETE, &self.object_path(name), Some(&options)).await?.object()
    }

    /// Deletes the objects of a query.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub async fn delete_all(&self, query: &str) -> Result<Value> {
        self.cluster.call(Method::DELETE, &self.path(query), None).await?.object()
    }

    /// Watches the objects of a query from a resource version; from the present state if empty.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub async fn watch_from(&self, query: &str, version: &str) -> Result<Watch> {
        let mut parts = vec!["watch=true", "allowWatchBookmarks=true"];
        let version = format!("resourceVersion={version}");
        if version.len() > "resourceVersion=".len() {
            parts.push(&version);
        }
        if !query.is_empty() {
            parts.push(query);
        }
        Watch::open(&self.cluster, &self.path(&parts.join("&"))).await
    }
}

/// Selectors are written as people write them; what a URL does not carry is escaped.
fn escape(query: &str) -> String {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const SET: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'#').add(b'%');
    utf8_percent_encode(query, SET).to_string()
}
