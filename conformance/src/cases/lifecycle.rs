//! The life of an object of any kind, through every verb: most "should support … API operations".

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::api::{Kind, Patch, Watch, expect_refusal};
use crate::case::{Case, case};
use crate::test::{Test, expect_eq, name};

/// A kind and what is done to an object of it.
#[derive(Clone)]
pub(crate) struct Life {
    /// The kind.
    pub(crate) kind: Kind,
    /// An object without its name.
    pub(crate) object: Value,
    /// A merge patch that the object takes, with metadata left alone.
    pub(crate) change: Value,
    /// A status that it takes, if clients may write it.
    pub(crate) status: Option<Value>,
}

/// A case that leads an object through its life.
pub(crate) fn life_case(title: &str, life: Life) -> Case {
    case(title, move |test| live(test, life.clone()))
}

/// Demands that `actual` has everything that `expected` has.
pub(crate) fn expect_has(what: &str, actual: &Value, expected: &Value) -> Result<()> {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            for (field, value) in expected {
                let found = actual.get(field).unwrap_or(&Value::Null);
                expect_has(&format!("{what}.{field}"), found, value)?;
            }
            Ok(())
        }
        // Conditions are told apart by their type; controllers add their own.
        (Value::Array(actual), Value::Array(expected))
            if expected.iter().all(|e| e["type"].is_string()) =>
        {
            for wanted in expected {
                let found = actual.iter().find(|one| one["type"] == wanted["type"]);
                expect_has(what, found.unwrap_or(&Value::Null), wanted)?;
            }
            Ok(())
        }
        (Value::Array(actual), Value::Array(expected)) if actual.len() == expected.len() => {
            for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
                expect_has(&format!("{what}[{index}]"), actual, expected)?;
            }
            Ok(())
        }
        _ => expect_eq(what, actual, expected),
    }
}

/// Demands that discovery has the resource with every verb.
pub(crate) async fn expect_discovered(test: &Test, kind: &Kind) -> Result<()> {
    let list = test.cluster.get(&kind.root()).await?.object()?;
    let resources = list["resources"].as_array().context("a group version without resources")?;
    let found = resources.iter().find(|r| r["name"] == *kind.plural);
    let found = found.with_context(|| format!("{} is not in {}", kind.plural, kind.root()))?;
    expect_eq("the kind in discovery", &found["kind"], &json!(kind.kind))?;
    expect_eq("namespaced in discovery", &found["namespaced"], &json!(kind.namespaced))?;
    let verbs = found["verbs"].as_array().cloned().unwrap_or_default();
    for verb in ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
    {
        if !verbs.contains(&json!(verb)) {
            bail!("{} has no verb {verb} in discovery: {verbs:?}", kind.plural);
        }
    }
    Ok(())
}

/// The next event of a type; events of the controllers' own writes are passed over.
async fn seen(
    watch: &mut Watch,
    kind: &str,
    what: &str,
    met: impl Fn(&Value) -> bool,
) -> Result<()> {
    loop {
        let event = watch.event().await.with_context(|| format!("expected {kind} {what}"))?;
        if event.kind == kind && met(&event.object) {
            return Ok(());
        }
        if event.kind == "ERROR" || (event.kind == "DELETED" && kind != "DELETED") {
            bail!("expected {kind} {what}, but got {}: {}", event.kind, event.object);
        }
    }
}

fn object_of(life: &Life, name: &str, group: &str) -> Value {
    let mut object = life.object.clone();
    object["metadata"]["name"] = name.into();
    object["metadata"]["labels"]["life"] = group.into();
    object
}

/// Leads an object through its life.
pub(crate) async fn live(test: Test, life: Life) -> Result<()> {
    expect_discovered(&test, &life.kind).await?;
    let resource = test.of(&life.kind);
    let (object_name, group) = (test.unique("life"), test.unique("group"));
    let selector = format!("labelSelector=life={group}");
    let list = resource.list(&selector).await?;
    let version = list["metadata"]["resourceVersion"].as_str().context("a list without version")?;
    let mut watch = resource.watch_from(&selector, version).await?;

    // Created, as given, once.
    let object = object_of(&life, &object_name, &group);
    let created = resource.create(object.clone()).await?;
    expect_has("the created object", &created, &object)?;
    for field in ["uid", "resourceVersion", "creationTimestamp"] {
        if !created["metadata"][field].is_string() {
            bail!("the created object has no {field}: {created}");
        }
    }
    seen(&mut watch, "ADDED", "of the created", |o| name(o) == object_name).await?;
    expect_refusal(resource.create(object.clone()).await, 409, "AlreadyExists")?;

    // Read by name, by selector, over all namespaces.
    let read = resource.get(&object_name).await?;
    expect_eq("the uid read", &read["metadata"]["uid"], &created["metadata"]["uid"])?;
    expect_has("the object read", &read, &object)?;
    for everywhere in [resource.clone(), test.cluster.all(&life.kind)] {
        let items = everywhere.items(&selector).await?;
        let names: Vec<&str> = items.iter().map(name).collect();
        if names != [object_name.as_str()] {
            bail!("expected just {object_name} by {}, got {names:?}", everywhere.path(&selector));
        }
    }

    // Changed by a patch and by a whole object.
    let mut change = life.change.clone();
    change["metadata"]["annotations"]["patched"] = "yes".into();
    let patched = resource.patch(&object_name, Patch::Merge, change.clone()).await?;
    expect_has("the patched object", &patched, &change)?;
    seen(&mut watch, "MODIFIED", "of the patch", |o| {
        o["metadata"]["annotations"]["patched"] == "yes"
    })
    .await?;
    expect_has("the object after the patch", &resource.get(&object_name).await?, &change)?;
    let annotate = |object: &mut Value| object["metadata"]["annotations"]["updated"] = "yes".into();
    let updated = resource.change(&object_name, annotate).await?;
    expect_eq("the update", &updated["metadata"]["annotations"]["updated"], &json!("yes"))?;
    seen(&mut watch, "MODIFIED", "of the update", |o| {
        o["metadata"]["annotations"]["updated"] == "yes"
    })
    .await?;
    let mut stale = created.clone();
    stale["metadata"]["annotations"] = json!({"stale": "yes"});
    expect_refusal(resource.replace(&stale).await, 409, "Conflict")?;

    if let Some(status) = &life.status {
        let at = format!("{object_name}/status");
        let body = json!({"status": status});
        let patched = resource.patch(&at, Patch::Merge, body.clone()).await?;
        expect_has("the status after its patch", &patched["status"], status)?;
        expect_has("the status read", &resource.get(&at).await?["status"], status)?;
        let updated = resource.change(&at, |o| o["metadata"]["annotations"]["s"] = "yes".into());
        expect_has("the status after its update", &updated.await?["status"], status)?;
    }

    // Deleted alone and together.
    resource.delete(&object_name).await?;
    seen(&mut watch, "DELETED", "of the object", |o| name(o) == object_name).await?;
    expect_refusal(resource.get(&object_name).await, 404, "NotFound")?;
    for part in ["a", "b"] {
        let one = object_of(&life, &format!("{object_name}-{part}"), &group);
        resource.create(one).await?;
    }
    let other = object_of(&life, &format!("{object_name}-other"), &format!("{group}-other"));
    resource.create(other).await?;
    resource.delete_all(&selector).await?;
    resource
        .wait_all(&selector, "the collection to be deleted", |objects| objects.is_empty())
        .await?;
    resource.get(&format!("{object_name}-other")).await.context("a collection took another's")?;
    Ok(())
}
