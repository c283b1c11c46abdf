//! Custom resources in OpenAPI and in aggregated discovery.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::custom_resources::{define, definition};
use crate::api::{CUSTOM_RESOURCE_DEFINITION, Kind, Patch};
use crate::case::{Case, case};
use crate::test::{Test, expect_eq};

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| {
        format!(
            "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] {rest} \
             [Conformance]"
        )
    };
    let discovery = |rest: &str| {
        format!(
            "[sig-api-machinery] AggregatedDiscovery should support {rest} for CRDs [Conformance]"
        )
    };
    vec![
        case(&title("works for CRD without validation schema"), |test| preserving(test, true)),
        case(&title("works for CRD preserving unknown fields at the schema root"), |test| {
            preserving(test, true)
        }),
        case(&title("works for CRD preserving unknown fields in an embedded object"), |test| {
            preserving(test, false)
        }),
        case(&title("works for multiple CRDs of different groups"), |test| {
            several(test, Same::Nothing)
        }),
        case(
            &title("works for multiple CRDs of same group and version but different kinds"),
            |test| several(test, Same::Version),
        ),
        case(&title("works for multiple CRDs of same group but different versions"), |test| {
            several(test, Same::Group)
        }),
        case(&title("updates the published spec when one version gets renamed"), renamed),
        case(
            &title("removes definition from spec when one version gets changed to not be served"),
            removed,
        ),
        case(&discovery("aggregated discovery interface"), discovered),
        case(&discovery("raw aggregated discovery request"), discovered),
    ]
}

/// The schema that a kind is published with, if it is.
async fn published(test: &Test, kind: &Kind) -> Result<Option<Value>> {
    let index = test.cluster.get("/openapi/v3").await?.object()?;
    let path = format!("apis/{}", kind.api_version());
    let Some(url) = index["paths"][&path]["serverRelativeURL"].as_str() else { return Ok(None) };
    let answer = test.cluster.call(http::Method::GET, url, None).await?;
    if answer.code == 404 {
        return Ok(None);
    }
    let document = answer.object()?;
    let schemas = document["components"]["schemas"].as_object().context("no schemas")?;
    let found = schemas.iter().find(|(name, _)| name.ends_with(&format!(".{}", kind.kind)));
    Ok(found.map(|(_, schema)| schema.clone()))
}

/// Waits until a kind is published, or is not.
async fn until(test: &Test, kind: &Kind, there: bool) -> Result<Value> {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        match published(test, kind).await? {
            Some(schema) if there => return Ok(schema),
            None if !there => return Ok(Value::Null),
            _ => {}
        }
        anyhow::ensure!(Instant::now() < until, "{} published: expected {there}", kind.plural);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

async fn preserving(test: Test, root: bool) -> Result<()> {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let (mut object, kind) = definition(&test, json!({"inner": open}));
    if root {
        object["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = open;
    }
    define(&test, object).await?;
    let schema = until(&test, &kind, true).await?;
    let place = if root { &schema } else { &schema["properties"]["spec"]["properties"]["inner"] };
    let mark = &place["x-kubernetes-preserve-unknown-fields"];
    expect_eq("that unknown fields are preserved", mark, &json!(true))?;
    let spec = json!({"inner": {"anything": [1, "two"]}});
    let made = test.of(&kind).create(json!({"metadata": {"name": "x"}, "spec": spec})).await?;
    expect_eq("the spec", &made["spec"], &spec)
}

/// The part of their names that two definitions share.
enum Same {
    Nothing,
    Group,
    Version,
}

async fn several(test: Test, same: Same) -> Result<()> {
    let (first, one) = definition(&test, json!({"first": {"type": "string"}}));
    let (mut second, mut two) = definition(&test, json!({"second": {"type": "string"}}));
    if !matches!(same, Same::Nothing) {
        two.group = one.group.clone();
        second["spec"]["group"] = json!(one.group);
        second["metadata"]["name"] = format!("{}.{}", two.plural, two.group).into();
    }
    if matches!(same, Same::Group) {
        two.version = "v2".into();
        second["spec"]["versions"][0]["name"] = "v2".into();
    }
    define(&test, first).await?;
    define(&test, second).await?;
    for (kind, field) in [(one, "first"), (two, "second")] {
        let schema = until(&test, &kind, true).await?;
        let found = &schema["properties"]["spec"]["properties"][field]["type"];
        expect_eq(&format!("the field {field}"), found, &json!("string"))?;
    }
    Ok(())
}

/// A definition with the versions v1 and v2.
async fn two_versions(test: &Test) -> Result<(String, Kind, Kind)> {
    let (mut object, one) = definition(test, json!({"a": {"type": "string"}}));
    let mut version = object["spec"]["versions"][0].clone();
    version["name"] = "v2".into();
    version["storage"] = false.into();
    if let Some(versions) = object["spec"]["versions"].as_array_mut() {
        versions.push(version);
    }
    let name = define(test, object).await?;
    let two = Kind { version: "v2".into(), ..one.clone() };
    until(test, &one, true).await?;
    until(test, &two, true).await?;
    Ok((name, one, two))
}

async fn renamed(test: Test) -> Result<()> {
    let (name, one, two) = two_versions(&test).await?;
    let patch = json!([{"op": "replace", "path": "/spec/versions/1/name", "value": "v3"}]);
    test.cluster.all(&CUSTOM_RESOURCE_DEFINITION).patch(&name, Patch::Json, patch).await?;
    until(&test, &Kind { version: "v3".into(), ..two.clone() }, true).await?;
    until(&test, &two, false).await?;
    until(&test, &one, true).await.map(drop)
}

async fn removed(test: Test) -> Result<()> {
    let (name, one, two) = two_versions(&test).await?;
    let patch = json!([{"op": "replace", "path": "/spec/versions/1/served", "value": false}]);
    test.cluster.all(&CUSTOM_RESOURCE_DEFINITION).patch(&name, Patch::Json, patch).await?;
    until(&test, &two, false).await?;
    until(&test, &one, true).await.map(drop)
}

async fn discovered(test: Test) -> Result<()> {
    let (object, kind) = definition(&test, json!({}));
    define(&test, object).await?;
    let accept = "application/json;v=v2;g=apidiscovery.k8s.io;as=APIGroupDiscoveryList";
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let list = test.cluster.get_as("/apis", accept).await?.object()?;
        let mut groups = list["items"].as_array().into_iter().flatten();
        if let Some(group) = groups.find(|group| group["metadata"]["name"] == *kind.group) {
            let resource = &group["versions"][0]["resources"][0];
            expect_eq("the resource", &resource["resource"], &json!(kind.plural))?;
            expect_eq("its kind", &resource["responseKind"]["kind"], &json!(kind.kind))?;
            return expect_eq("its scope", &resource["scope"], &json!("Namespaced"));
        }
        anyhow::ensure!(Instant::now() < until, "{} is not in aggregated discovery", kind.group);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}
