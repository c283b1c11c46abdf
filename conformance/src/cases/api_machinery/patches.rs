//! The kinds of patch.

use anyhow::Result;
use serde_json::json;

use crate::api::{CONFIG_MAP, Patch, SERVICE, expect_refusal};
use crate::case::{Case, case};
use crate::test::{Test, expect_eq};

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| format!("[sig-api-machinery] Patch should {rest}");
    vec![
        case(&title("take JSON patches with tests"), json_patch),
        case(&title("take merge patches, where null removes"), merge_patch),
        case(&title("merge lists of a strategic merge patch by their keys"), strategic_patch),
        case(&title("honour a resource version inside"), preconditions),
        case(&title("refuse what changes the object's identity"), identity),
    ]
}

async fn json_patch(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    maps.create(json!({"metadata": {"name": "m"}, "data": {"a": "1", "b": "2"}})).await?;
    let patch = json!([
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "replace", "path": "/data/a", "value": "3"},
        {"op": "move", "from": "/data/b", "path": "/data/c"},
        {"op": "add", "path": "/metadata/labels", "value": {"l": "x"}},
    ]);
    let patched = maps.patch("m", Patch::Json, patch).await?;
    expect_eq("the data", &patched["data"], &json!({"a": "3", "c": "2"}))?;
    expect_eq("the labels", &patched["metadata"]["labels"], &json!({"l": "x"}))?;
    let failing = json!([
        {"op": "replace", "path": "/data/a", "value": "4"},
        {"op": "test", "path": "/data/a", "value": "1"},
    ]);
    expect_refusal(maps.patch("m", Patch::Json, failing).await, 422, "Invalid")?;
    let read = maps.get("m").await?;
    expect_eq("the data after a failed test", &read["data"]["a"], &json!("3"))
}

async fn merge_patch(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    maps.create(json!({"metadata": {"name": "m"}, "data": {"a": "1", "b": "2"}})).await?;
    let body = json!({"data": {"a": null, "c": "3"}});
    let patched = maps.patch("m", Patch::Merge, body).await?;
    expect_eq("the data", &patched["data"], &json!({"b": "2", "c": "3"}))?;
    let absent = maps.patch("absent", Patch::Merge, json!({"data": {}})).await;
    expect_refusal(absent, 404, "NotFound").map(drop)
}

async fn strategic_patch(test: Test) -> Result<()> {
    let services = test.of(&SERVICE);
    let ports = json!([{"name": "a", "port": 80}, {"name": "b", "port": 81}]);
    services.create(json!({"metadata": {"name": "s"}, "spec": {"ports": ports}})).await?;
    let body = json!({"spec": {"ports": [
        {"port": 81, "name": "renamed"}, {"port": 80, "$patch": "delete"}, {"port": 82, "name": "c"},
    ]}});
    let patched = services.patch("s", Patch::Strategic, body).await?;
    let mut seen: Vec<(i64, String)> = patched["spec"]["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|p| (p["port"].as_i64().unwrap_or(0), p["name"].as_str().unwrap_or("").to_owned()))
        .collect();
    seen.sort();
    expect_eq("the ports", &json!(seen), &json!([[81, "renamed"], [82, "c"]]))?;
    // A merge patch takes the list as a whole.
    let body = json!({"spec": {"ports": [{"name": "only", "port": 90}]}});
    let patched = services.patch("s", Patch::Merge, body).await?;
    expect_eq(
        "the number of ports",
        &json!(patched["spec"]["ports"].as_array().map(Vec::len)),
        &json!(1),
    )
}

async fn preconditions(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    let first = maps.create(json!({"metadata": {"name": "m"}})).await?;
    let version = first["metadata"]["resourceVersion"].clone();
    maps.patch("m", Patch::Merge, json!({"data": {"a": "1"}})).await?;
    let body = json!({"metadata": {"resourceVersion": version}, "data": {"a": "2"}});
    expect_refusal(maps.patch("m", Patch::Merge, body).await, 409, "Conflict").map(drop)
}

async fn identity(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    maps.create(json!({"metadata": {"name": "m"}})).await?;
    let renamed = maps.patch("m", Patch::Merge, json!({"metadata": {"name": "n"}})).await;
    expect_refusal(renamed, 400, "BadRequest")?;
    let uid = json!({"metadata": {"uid": "00000000-0000-4000-8000-000000000000"}});
    expect_refusal(maps.patch("m", Patch::Merge, uid).await, 422, "Invalid")?;
    let mut other = maps.get("m").await?;
    other["metadata"]["uid"] = "00000000-0000-4000-8000-000000000000".into();
    expect_refusal(maps.replace(&other).await, 409, "Conflict").map(drop)
}
