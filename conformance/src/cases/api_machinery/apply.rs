//! Server-side apply.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::api::{CONFIG_MAP, DEPLOYMENT, Patch, SERVICE, expect_refusal};
use crate::case::{Case, case};
use crate::test::{Test, expect_eq, expect_in};

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| format!("[sig-api-machinery] ServerSideApply should {rest}");
    vec![
        case(&title("create an applied object if it does not already exist"), creates),
        case(&title("give up ownership of a field if forced applied by a controller"), forced),
        case(&title("remove a field if it is owned but removed in the apply request"), removes),
        case(
            &title(
                "not remove a field if an owner unsets the field but other managers still have ownership of the field",
            ),
            shared,
        ),
        case(&title("merge lists by their keys and owners"), keyed_lists),
        case(&title("ignore conflict errors if force apply is used"), conflict),
        case(&title("record the managers of updates and of a subresource"), managers),
        case(&title("leave an object alone that would not change"), unchanged),
        case(&title("demand a field manager and the object's own name"), demands),
    ]
}

fn manager<'a>(object: &'a Value, name: &str) -> Result<&'a Value> {
    let managers = object["metadata"]["managedFields"].as_array().context("no managedFields")?;
    let found = managers.iter().find(|entry| entry["manager"] == name);
    found.with_context(|| format!("{name} is not among {managers:?}"))
}

async fn creates(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    let path = format!("{}?fieldManager=first", maps.object_path("m"));
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}});
    let request = http::Request::patch(&path)
        .header("content-type", "application/apply-patch+yaml")
        .body(serde_yaml_ng::to_string(&body)?.into_bytes())?;
    let answer = test.cluster.send(request).await?;
    expect_eq("the status of the first apply", &json!(answer.code), &json!(201))?;
    let made = answer.object()?;
    let entry = manager(&made, "first")?;
    expect_eq("the operation", &entry["operation"], &json!("Apply"))?;
    expect_eq("the fields", &entry["fieldsV1"], &json!({"f:data": {"f:a": {}}}))
}

async fn forced(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    maps.apply("m", "first", json!({"data": {"a": "1", "b": "1"}})).await?;
    let taken = maps.apply("m?force=true", "second", json!({"data": {"a": "2"}})).await?;
    expect_eq("the value", &taken["data"], &json!({"a": "2", "b": "1"}))?;
    let first = &manager(&taken, "first")?["fieldsV1"];
    expect_eq("what the first still owns", first, &json!({"f:data": {"f:b": {}}}))?;
    let second = &manager(&taken, "second")?["fieldsV1"];
    expect_eq("what the second owns", second, &json!({"f:data": {"f:a": {}}}))
}

async fn removes(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    maps.apply("m", "first", json!({"data": {"a": "1", "b": "1"}})).await?;
    maps.patch("m", Patch::Merge, json!({"data": {"other": "x"}})).await?;
    let less = maps.apply("m", "first", json!({"data": {"a": "1"}})).await?;
    expect_eq("the data", &less["data"], &json!({"a": "1", "other": "x"}))
}

async fn shared(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    maps.apply("m", "first", json!({"data": {"a": "1", "b": "1"}})).await?;
    maps.apply("m", "second", json!({"data": {"b": "1"}})).await?;
    let kept = maps.apply("m", "first", json!({"data": {"a": "1"}})).await?;
    expect_eq("the data while another owns it", &kept["data"], &json!({"a": "1", "b": "1"}))?;
    let gone = maps.apply("m", "second", json!({})).await?;
    expect_eq("the data when nobody does", &gone["data"], &json!({"a": "1"}))
}

async fn keyed_lists(test: Test) -> Result<()> {
    let services = test.of(&SERVICE);
    let ports = |list: Value| json!({"spec": {"ports": list}});
    services
        .apply("s", "first", ports(json!([{"name": "a", "port": 80, "protocol": "TCP"}])))
        .await?;
    let second = ports(json!([{"name": "b", "port": 81, "protocol": "TCP"}]));
    let both = services.apply("s", "second", second).await?;
    let names = |service: &Value| -> Vec<Value> {
        service["spec"]["ports"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|p| p["name"].clone())
            .collect()
    };
    expect_eq("the ports of both", &json!(names(&both)), &json!(["a", "b"]))?;
    let keys = r#"k:{"port":81,"protocol":"TCP"}"#;
    let owned = &manager(&both, "second")?["fieldsV1"]["f:spec"]["f:ports"][keys];
    if !owned.is_object() {
        bail!("the second manager does not own {keys}: {both}");
    }
    let moved = ports(json!([{"name": "c", "port": 82, "protocol": "TCP"}]));
    let after = services.apply("s", "second", moved).await?;
    expect_eq("the ports after a move", &json!(names(&after)), &json!(["a", "c"]))
}

async fn conflict(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    maps.apply("m", "first", json!({"data": {"a": "1"}})).await?;
    let refused = maps.apply("m", "second", json!({"data": {"a": "2"}})).await;
    let refusal = expect_refusal(refused, 409, "Conflict")?;
    expect_in("the conflict", refusal.message(), r#"conflict with "first""#)?;
    let cause = &refusal.status["details"]["causes"][0];
    expect_eq("the cause", &cause["reason"], &json!("FieldManagerConflict"))?;
    expect_eq("its field", &cause["field"], &json!(".data.a"))?;
    let read = maps.get("m").await?;
    expect_eq("the data after a conflict", &read["data"], &json!({"a": "1"}))?;
    let forced = maps.apply("m?force=true", "second", json!({"data": {"a": "2"}})).await?;
    expect_eq("the data after force", &forced["data"], &json!({"a": "2"}))
}

async fn managers(test: Test) -> Result<()> {
    let deployments = test.of(&DEPLOYMENT);
    let object = json!({"metadata": {"name": "d"}, "spec": {
        "paused": true, "replicas": 0, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "never-run"}]}},
    }});
    let made = deployments.create_with("fieldManager=maker", object).await?;
    let entry = manager(&made, "maker")?;
    expect_eq("the operation", &entry["operation"], &json!("Update"))?;
    expect_eq("the version", &entry["apiVersion"], &json!("apps/v1"))?;
    let status = json!({"status": {"conditions": [{
        "type": "Tested", "status": "True", "reason": "R", "message": "m",
    }]}});
    let patched = deployments.patch("d/status?fieldManager=reporter", Patch::Merge, status).await?;
    let entry = manager(&patched, "reporter")?;
    expect_eq("the subresource", &entry["subresource"], &json!("status"))?;
    if entry["fieldsV1"]["f:status"].is_null() || !entry["fieldsV1"]["f:spec"].is_null() {
        bail!("a status write owns {}", entry["fieldsV1"]);
    }
    Ok(())
}

async fn unchanged(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    let body = json!({"data": {"a": "1"}});
    let first = maps.apply("m", "first", body.clone()).await?;
    let again = maps.apply("m", "first", body).await?;
    let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    expect_eq("the version after the same apply", &version(&again), &version(&first))?;
    let empty = maps.patch("m", Patch::Merge, json!({"data": {"a": "1"}})).await?;
    expect_eq("the version after an empty patch", &version(&empty), &version(&first))
}

async fn demands(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}});
    let nobody = maps.patch("m", Patch::Apply, body.clone()).await;
    expect_refusal(nobody, 422, "Invalid")?;
    let other = maps.patch("other?fieldManager=f", Patch::Apply, body).await;
    expect_refusal(other, 400, "BadRequest").map(drop)
}
