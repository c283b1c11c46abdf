//! Custom resources.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::api::{CUSTOM_RESOURCE_DEFINITION, Kind, Patch, expect_refusal};
use crate::case::{Case, case};
use crate::cases::lifecycle::{Life, live};
use crate::test::{Test, condition, expect_eq, expect_in, name};

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| {
        format!(
            "[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] {rest} \
             [Conformance]"
        )
    };
    vec![
        case(
            &title(
                "Simple CustomResourceDefinition creating/deleting custom resource definition objects works",
            ),
            creating,
        ),
        case(
            &title(
                "Simple CustomResourceDefinition listing custom resource definition objects works",
            ),
            listing,
        ),
        case(
            &title(
                "Simple CustomResourceDefinition getting/updating/patching custom resource definition \
                 status sub-resource works",
            ),
            status,
        ),
        case(&title("custom resource defaulting for requests and from storage works"), defaulting),
        case(
            "[sig-api-machinery] CustomResourceDefinition Watch [Privileged:ClusterAdmin] \
             CustomResourceDefinition Watch watch on custom resource definition objects [Conformance]",
            watching,
        ),
        case(
            "[sig-api-machinery] FieldValidation should create/apply an invalid CR with extra properties \
             for CRD with validation schema [Conformance]",
            validation,
        ),
        case(
            "[sig-api-machinery] CustomResourceFieldSelectors [Privileged:ClusterAdmin] \
             CustomResourceFieldSelectors MUST list and watch custom resources matching the field \
             selector [Conformance]",
            field_selectors,
        ),
        case(
            "[sig-api-machinery] CustomResourceDefinition resources should lead custom resources through \
             every verb",
            every_verb,
        ),
        case(
            "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD with \
             validation schema [Conformance]",
            published,
        ),
    ]
}

/// A definition of one namespaced kind in one version, and that kind.
pub(super) fn definition(test: &Test, properties: Value) -> (Value, Kind) {
    let word = test.unique("w").replace('-', "");
    let (group, plural) = (format!("{word}.example.com"), format!("{word}s"));
    let kind = Kind::custom(&group, "v1", &plural, &format!("W{}", &word[1..]), true);
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": properties},
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }});
    let definition = json!({
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": word, "kind": kind.kind},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema},
                "subresources": {"status": {}},
            }],
        },
    });
    (definition, kind)
}

/// Makes a definition and waits until its kind is served.
pub(super) async fn define(test: &Test, definition: Value) -> Result<String> {
    let definitions = test.cluster.all(&CUSTOM_RESOURCE_DEFINITION);
    let made = definitions.create(definition).await?;
    let established = |d: &Value| condition(d, "Established")["status"] == "True";
    let soon = definitions.within(std::time::Duration::from_secs(30));
    soon.wait(name(&made), "to be established", established).await?;
    Ok(name(&made).to_owned())
}

async fn creating(test: Test) -> Result<()> {
    let (object, kind) = definition(&test, json!({"size": {"type": "integer"}}));
    let made = define(&test, object).await?;
    let list = test.cluster.get(&kind.root()).await?.object()?;
    expect_eq("the kind in discovery", &list["resources"][0]["kind"], &json!(kind.kind))?;
    let definitions = test.cluster.all(&CUSTOM_RESOURCE_DEFINITION);
    definitions.delete(&made).await?;
    definitions.wait_gone(&made).await?;
    // The kind may be served a little longer than its definition is there; then its path is none.
    let until = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        match test.of(&kind).items("").await {
            Err(error) if error.to_string().contains("404") => return Ok(()),
            Ok(_) if tokio::time::Instant::now() < until => {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            listed => bail!("expected no such kind, but the answer is {listed:?}"),
        }
    }
}

async fn listing(test: Test) -> Result<()> {
    let definitions = test.cluster.all(&CUSTOM_RESOURCE_DEFINITION);
    let label = test.unique("list");
    let mut names = Vec::new();
    for _ in 0..3 {
        let (mut object, _) = definition(&test, json!({}));
        object["metadata"]["labels"] = json!({"listed": label});
        names.push(define(&test, object).await?);
    }
    names.sort();
    let query = format!("labelSelector=listed={label}");
    let listed = definitions.items(&query).await?;
    let seen: Vec<&str> = listed.iter().map(name).collect();
    expect_eq("the definitions", &json!(seen), &json!(names))?;
    definitions.delete_all(&query).await?;
    definitions.wait_all(&query, "no definition", |list| list.is_empty()).await.map(drop)
}

async fn status(test: Test) -> Result<()> {
    let (object, _) = definition(&test, json!({}));
    let made = define(&test, object).await?;
    let definitions = test.cluster.all(&CUSTOM_RESOURCE_DEFINITION);
    let at = format!("{made}/status");
    let told = json!({"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "m"});
    let push = |object: &mut Value| {
        if let Some(conditions) = object["status"]["conditions"].as_array_mut() {
            conditions.push(told.clone());
        }
    };
    let updated = definitions.change(&at, push).await?;
    expect_eq("the condition", &condition(&updated, "StatusUpdate")["reason"], &json!("E2E"))?;
    let read = definitions.get(&at).await?;
    let patch = json!({"metadata": {"annotations": {"patched": "yes"}}, "status": read["status"]});
    let patched = definitions.patch(&at, Patch::Merge, patch).await?;
    expect_eq("the condition still", &condition(&patched, "StatusUpdate")["status"], &json!("True"))
}

async fn defaulting(test: Test) -> Result<()> {
    let (object, kind) = definition(&test, json!({"a": {"type": "string"}}));
    let made = define(&test, object).await?;
    let resource = test.of(&kind);
    resource.create(json!({"metadata": {"name": "before"}, "spec": {}})).await?;
    let definitions = test.cluster.all(&CUSTOM_RESOURCE_DEFINITION);
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/a/default";
    let body = json!([{"op": "add", "path": path, "value": "A"}]);
    definitions.patch(&made, Patch::Json, body).await?;
    // The new schema shows in what it does only.
    let until = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let dry =
            resource.create_with("dryRun=All", json!({"metadata": {"name": "dry"}, "spec": {}}));
        if dry.await?["spec"]["a"] == "A" {
            break;
        }
        if tokio::time::Instant::now() > until {
            bail!("expected spec.a to be defaulted to A within 30 s");
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    let read = resource.get("before").await?;
    expect_eq("the default of what was stored without", &read["spec"]["a"], &json!("A"))
}

async fn watching(test: Test) -> Result<()> {
    let (object, kind) = definition(&test, json!({"a": {"type": "string"}}));
    define(&test, object).await?;
    let resource = test.of(&kind);
    let mut watch = resource.watch_from("", "").await?;
    for one in ["name1", "name2"] {
        resource.create(json!({"metadata": {"name": one}, "spec": {"a": "x"}})).await?;
        watch.expect("ADDED", one).await?;
    }
    for one in ["name1", "name2"] {
        resource.patch(one, Patch::Merge, json!({"spec": {"a": "y"}})).await?;
        watch.expect("MODIFIED", one).await?;
    }
    for one in ["name1", "name2"] {
        resource.delete(one).await?;
        watch.expect("DELETED", one).await?;
    }
    Ok(())
}

async fn validation(test: Test) -> Result<()> {
    let properties = json!({
        "size": {"type": "integer", "minimum": 1, "maximum": 5},
        "mode": {"type": "string", "enum": ["on", "off"]},
    });
    let (object, kind) = definition(&test, properties);
    define(&test, object).await?;
    let resource = test.of(&kind);
    let large = json!({"metadata": {"name": "x"}, "spec": {"size": 9}});
    let refusal = expect_refusal(resource.create(large).await, 422, "Invalid")?;
    expect_in("the refusal", refusal.message(), "spec.size")?;
    let other = json!({"metadata": {"name": "x"}, "spec": {"mode": "maybe"}});
    expect_refusal(resource.create(other).await, 422, "Invalid")?;
    let extra = json!({"metadata": {"name": "x"}, "spec": {"size": 2, "extra": true}});
    let strict = resource.create_with("fieldValidation=Strict", extra.clone()).await;
    let refusal = expect_refusal(strict, 400, "BadRequest")?;
    expect_in("the refusal", refusal.message(), r#"unknown field "spec.extra""#)?;
    let pruned = resource.create(extra).await?;
    expect_eq("the pruned spec", &pruned["spec"], &json!({"size": 2}))
}

async fn field_selectors(test: Test) -> Result<()> {
    let properties = json!({"color": {"type": "string"}});
    let (mut object, kind) = definition(&test, properties);
    object["spec"]["versions"][0]["selectableFields"] = json!([{"jsonPath": ".spec.color"}]);
    define(&test, object).await?;
    let resource = test.of(&kind);
    let mut watch = resource.watch_from("fieldSelector=spec.color=blue", "").await?;
    for (name, color) in [("a", "red"), ("b", "blue")] {
        resource.create(json!({"metadata": {"name": name}, "spec": {"color": color}})).await?;
    }
    watch.expect("ADDED", "b").await?;
    let items = resource.items("fieldSelector=spec.color=red").await?;
    let names: Vec<&str> = items.iter().map(name).collect();
    expect_eq("what is red", &json!(names), &json!(["a"]))
}

async fn every_verb(test: Test) -> Result<()> {
    let (object, kind) = definition(&test, json!({"size": {"type": "integer"}}));
    define(&test, object).await?;
    let life = Life {
        kind,
        object: json!({"spec": {"size": 1}}),
        change: json!({"spec": {"size": 2}}),
        status: Some(json!({"phase": "Seen"})),
    };
    live(test, life).await
}

async fn published(test: Test) -> Result<()> {
    let (object, kind) =
        definition(&test, json!({"size": {"type": "integer", "description": "how large"}}));
    define(&test, object).await?;
    let path = format!("apis/{}", kind.api_version());
    let until = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    let url = loop {
        let index = test.cluster.get("/openapi/v3").await?.object()?;
        if let Some(url) = index["paths"][&path]["serverRelativeURL"].as_str() {
            break url.to_owned();
        }
        if tokio::time::Instant::now() > until {
            bail!("expected {path} in /openapi/v3 within 30 s");
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    };
    let document = test.cluster.get(&url).await?.object()?;
    let schemas = document["components"]["schemas"].as_object().context("no schemas")?;
    let found = schemas.iter().find(|(name, _)| name.ends_with(&format!(".{}", kind.kind)));
    let (_, schema) = found.context("the kind has no schema")?;
    let size = &schema["properties"]["spec"]["properties"]["size"];
    expect_eq("the description", &size["description"], &json!("how large"))
}
