//! Follows FlowSchemas and priority levels: flow control obeys them, and the condition of each schema
//! tells if its priority level exists.

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use apimachinery::apply::{self, Writer};
use apimachinery::schema::Registry;
use apimachinery::{Object, ObjectExt, Status, time};
use serde_json::{Value, json};
use store::Expect;

use crate::cache::{Collection, Cursor, Snapshot};
use crate::registry::{self, Kind};
use crate::server::Server;
use crate::verbs::Failure;

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
/// Upstream's field manager for this condition.
const MANAGER: &str = "api-priority-and-fairness-config-consumer-v1";
const DANGLING: &str = "Dangling";
/// Watches schemas and levels until the server is dropped.
pub(crate) async fn run(server: Weak<Server>) {
    let find = |resource| registry::find(GROUP, "v1", resource);
    let (Some(schemas), Some(levels)) = (find("flowschemas"), find("prioritylevelconfigurations"))
    else {
        return;
    };
    while let Some((mut schema_changes, mut level_changes)) = begin(&server, schemas, levels) {
        loop {
            {
                let Some(server) = server.upgrade() else { return };
                sync(&server, schemas, levels).await;
            }
            tokio::select! {
                () = schema_changes.1.wait() => {}
                () = level_changes.1.wait() => {}
            }
            let mut both = [&mut schema_changes, &mut level_changes].into_iter();
            if both.any(|(collection, cursor)| collection.drain(cursor, |_| {}).is_err()) {
                // Too far behind: start again.
                break;
            }
        }
    }
}

type Changes = (Arc<Collection>, Cursor);

/// Cursors at the present; `None` once the server is dropped.
fn begin(
    server: &Weak<Server>,
    schemas: &'static Kind,
    levels: &'static Kind,
) -> Option<(Changes, Changes)> {
    let server = server.upgrade()?;
    let follow = |kind| {
        let collection = server.collection(kind).ok()?.clone();
        let (_, revision) = server.present(kind).ok()?;
        let cursor = collection.watch_after(revision).ok()?;
        Some((collection, cursor))
    };
    Some((follow(schemas)?, follow(levels)?))
}

async fn sync(server: &Server, schemas: &'static Kind, levels: &'static Kind) {
    let (Ok((all, _)), Ok((known, _))) = (server.present(schemas), server.present(levels)) else {
        return;
    };
    let objects = |snapshot: &Snapshot| -> Vec<Object> {
        snapshot.range("", "").map(|entry| entry.object()).collect()
    };
    let (all, known) = (objects(&all), objects(&known));
    server.flow_control.configure(&all, &known);
    let known: HashSet<&str> = known.iter().map(|level| level.name()).collect();
    for schema in all {
        let name = schema.str_at(&["spec", "priorityLevelConfiguration", "name"]);
        let wanted = condition(name, known.contains(name));
        if is_told(&schema, &wanted) {
            continue;
        }
        // A change in between is handled next.
        if let Err(Failure::Refused(status)) = tell(server, schemas, &schema, wanted).await {
            tracing::warn!(schema = schema.name(), error = %status.message, "status of a flow schema");
        }
    }
}

fn condition(level: &str, found: bool) -> Value {
    let (status, reason) = if found { ("False", "Found") } else { ("True", "NotFound") };
    let what = if found { "and it exists" } else { "but there is no such object" };
    let level = apimachinery::text::quote(level);
    json!({
        "type": DANGLING, "status": status, "reason": reason,
        "lastTransitionTime": time::now_rfc3339(),
        "message": format!(
            "This FlowSchema references the PriorityLevelConfiguration object named {level} {what}"
        ),
    })
}

fn is_told(schema: &Object, wanted: &Value) -> bool {
    let mut conditions = schema["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|is| {
        ["type", "status", "reason", "message"].iter().all(|field| is[*field] == wanted[*field])
    })
}

/// Applies the condition to the schema.
async fn tell(
    server: &Server,
    kind: &'static Kind,
    schema: &Object,
    wanted: Value,
) -> Result<(), Failure> {
    let Some(ty) = Registry::builtin().lookup(GROUP, kind.version, kind.kind) else {
        return Err(Failure::Refused(Status::internal("no schema for FlowSchema")));
    };
    let (api_version, now) = (kind.api_version(), time::now_rfc3339());
    let applied = json!({
        "apiVersion": api_version, "kind": kind.kind, "metadata": {"name": schema.name()},
        "status": {"conditions": [wanted]},
    });
    let writer = Writer {
        manager: MANAGER,
        api_version: &api_version,
        subresource: "status",
        now: &now,
        reset_fields: &["metadata", "spec"],
    };
    let applied = apply::apply(ty, Some(schema), &applied, &writer, true);
    let mut object = applied.map_err(Failure::Refused)?;
    let revision = schema.resource_version().parse().unwrap_or(0);
    server.commit(kind, &mut object, Expect::At(revision)).await
}
