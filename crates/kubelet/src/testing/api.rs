//! An API server in memory: enough of one for a kubelet.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

type Answer = UnsyncBoxBody<Bytes, Infallible>;

#[derive(Default)]
struct State {
    /// By path, such as `/api/v1/namespaces/ns/pods/p`.
    objects: BTreeMap<String, Value>,
    version: u64,
    /// Statuses of pods are not taken.
    refusing: bool,
    watchers: Vec<(String, Option<String>, mpsc::UnboundedSender<Value>)>,
}

/// The server. Cloning shares it.
#[derive(Clone, Default)]
pub(crate) struct Api {
    state: Arc<Mutex<State>>,
    changes: watch::Sender<u64>,
}

fn resource(path: &str) -> &str {
    let parts: Vec<_> = path.split('/').collect();
    if parts.len() > 2 { parts[parts.len() - 2] } else { "" }
}

impl Api {
    pub(crate) fn client(&self) -> client::Client {
        let this = self.clone();
        let service = tower::service_fn(move |request| {
            let this = this.clone();
            async move { Ok::<_, Infallible>(this.answer(request).await) }
        });
        client::transport::in_process(service, ())
    }

    /// Creates or replaces an object as a user would.
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.store(path, object);
    }

    /// Refuses statuses of pods for good, or takes them again.
    pub(crate) fn refuse_statuses(&self, refuse: bool) {
        self.state.lock().refusing = refuse;
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.state.lock().objects.get(path).cloned()
    }

    /// Removes an object without an event, as if it went while the watch was broken.
    pub(crate) fn forget(&self, path: &str) {
        self.state.lock().objects.remove(path);
    }

    /// Removes an object as a user would.
    pub(crate) fn delete(&self, path: &str) {
        self.remove(path);
    }

    /// All objects of a resource, by path.
    pub(crate) fn all(&self, kind: &str) -> Vec<(String, Value)> {
        let state = self.state.lock();
        let own = state.objects.iter().filter(|(path, _)| resource(path) == kind);
        own.map(|(path, object)| (path.clone(), object.clone())).collect()
    }

    /// Reasons and messages of all events.
    pub(crate) fn events(&self) -> Vec<String> {
        let state = self.state.lock();
        let events = state.objects.iter().filter(|(path, _)| resource(path) == "events");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        events
            .map(|(_, event)| format!("{}: {}", text(&event["reason"]), text(&event["message"])))
            .collect()
    }

    /// Waits until `check` holds; the caller's test would hang otherwise, and says what it saw.
    pub(crate) async fn until(&self, what: &str, check: impl Fn(&Self) -> bool) {
        let mut changes = self.changes.subscribe();
        let wait = async {
            while !check(self) {
                changes.changed().await.expect("the server lives");
            }
        };
        let limit = std::time::Duration::from_secs(600);
        if tokio::time::timeout(limit, wait).await.is_err() {
            let state = self.state.lock();
            panic!("{what} did not happen: {:#?}", state.objects);
        }
    }

    fn store(&self, path: &str, mut object: Value) -> Value {
        let mut state = self.state.lock();
        state.version += 1;
        let version = state.version;
        object["metadata"]["resourceVersion"] = version.to_string().into();
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = format!("uid-{version}").into();
        }
        let kind = if state.objects.contains_key(path) { "MODIFIED" } else { "ADDED" };
        state.objects.insert(path.to_owned(), object.clone());
        tell(&mut state, path, &json!({"type": kind, "object": object}));
        drop(state);
        self.changes.send_modify(|n| *n += 1);
        object
    }

    fn remove(&self, path: &str) -> Option<Value> {
        let mut state = self.state.lock();
        state.version += 1;
        let mut object = state.objects.remove(path)?;
        object["metadata"]["resourceVersion"] = state.version.to_string().into();
        tell(&mut state, path, &json!({"type": "DELETED", "object": object}));
        drop(state);
        self.changes.send_modify(|n| *n += 1);
        Some(object)
    }

    async fn answer(&self, request: Request<Body>) -> Response<Answer> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let query = parts.uri.query().unwrap_or_default();
        let path = parts.uri.path().trim_end_matches("/status").to_owned();
        match parts.method {
            Method::GET if query.contains("watch=true") => self.watch(&path, query),
            Method::GET => match self.get(&path) {
                Some(object) => reply(StatusCode::OK, &object),
                None if path.ends_with('s') && self.is_collection(&path) => self.list(&path, query),
                None => not_found(),
            },
            Method::POST => {
                let mut body = body;
                if let Some(prefix) = body["metadata"]["generateName"].as_str() {
                    let name = format!("{prefix}{}", self.state.lock().version);
                    body["metadata"]["name"] = name.into();
                }
                let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                reply(StatusCode::CREATED, &self.store(&format!("{path}/{name}"), body))
            }
            Method::PUT => reply(StatusCode::OK, &self.store(&path, body)),
            Method::PATCH
                if self.state.lock().refusing
                    && path.contains("/pods/")
                    && parts.uri.path().ends_with("/status") =>
            {
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                    "reason": "Invalid", "message": "no", "code": 422});
                reply(StatusCode::UNPROCESSABLE_ENTITY, &status)
            }
            Method::PATCH => match self.get(&path) {
                None => not_found(),
                Some(mut object) => {
                    merge(&mut object, body);
                    reply(StatusCode::OK, &self.store(&path, object))
                }
            },
            Method::DELETE => match self.remove(&path) {
                Some(object) => reply(StatusCode::OK, &object),
                None => not_found(),
            },
            _ => not_found(),
        }
    }

    fn is_collection(&self, path: &str) -> bool {
        let kinds = [
            "clustertrustbundles",
            "configmaps",
            "nodes",
            "podcertificaterequests",
            "pods",
            "secrets",
            "services",
        ];
        kinds.contains(&path.rsplit('/').next().unwrap_or_default())
    }

    fn list(&self, path: &str, query: &str) -> Response<Answer> {
        let state = self.state.lock();
        let kind = path.rsplit('/').next().unwrap_or_default();
        let name = selected_name(query);
        let items: Vec<_> = state
            .objects
            .iter()
            .filter(|(path, object)| resource(path) == kind && named(object, name.as_deref()))
            .map(|(_, object)| object.clone())
            .collect();
        let metadata = json!({"resourceVersion": state.version.to_string()});
        reply(StatusCode::OK, &json!({"kind": "List", "metadata": metadata, "items": items}))
    }

    fn watch(&self, path: &str, query: &str) -> Response<Answer> {
        let (sender, events) = mpsc::unbounded_channel::<Value>();
        let kind = path.rsplit('/').next().unwrap_or_default().to_owned();
        self.state.lock().watchers.push((kind, selected_name(query), sender));
        let frames = futures::stream::unfold(events, |mut events| async move {
            events.recv().await.map(|event| (event, events))
        })
        .map(|event| Ok::<_, Infallible>(Frame::data(Bytes::from(format!("{event}\n")))));
        Response::new(BodyExt::boxed_unsync(StreamBody::new(frames)))
    }
}

fn selected_name(query: &str) -> Option<String> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let selector = pairs.into_iter().find(|(key, _)| key == "fieldSelector")?.1.into_owned();
    selector.strip_prefix("metadata.name=").map(str::to_owned)
}

fn named(object: &Value, name: Option<&str>) -> bool {
    name.is_none_or(|name| object["metadata"]["name"] == name)
}

fn tell(state: &mut State, path: &str, event: &Value) {
    let kind = resource(path).to_owned();
    state.watchers.retain(|(watched, name, sender)| {
        *watched != kind
            || !named(&event["object"], name.as_deref())
            || sender.send(event.clone()).is_ok()
    });
}

/// A strategic merge as far as statuses need it.
fn merge(into: &mut Value, patch: Value) {
    let Value::Object(changes) = patch else {
        *into = patch;
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, change) in changes {
        match change {
            Value::Null => drop(into.as_object_mut().map(|map| map.remove(&key))),
            Value::Array(list) if key == "conditions" => merge_by_type(&mut into[key], list),
            Value::Array(mut list) => {
                list.retain(|item| item.get("$patch").is_none());
                into[key] = Value::Array(list);
            }
            change => merge(&mut into[key], change),
        }
    }
}

fn merge_by_type(into: &mut Value, list: Vec<Value>) {
    if !into.is_array() {
        *into = json!([]);
    }
    let Some(present) = into.as_array_mut() else { return };
    for change in list {
        if change["$patch"] == "delete" {
            present.retain(|old| old["type"] != change["type"]);
            continue;
        }
        match present.iter_mut().find(|old| old["type"] == change["type"]) {
            Some(old) => merge(old, change),
            None => present.push(change),
        }
    }
}

fn reply(status: StatusCode, value: &Value) -> Response<Answer> {
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())).boxed_unsync());
    *response.status_mut() = status;
    response
}

fn not_found() -> Response<Answer> {
    let status = json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"});
    reply(StatusCode::NOT_FOUND, &status)
}
