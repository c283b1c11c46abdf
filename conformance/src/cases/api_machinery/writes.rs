//! Creating, replacing and deleting: names, dry runs, preconditions, finalizers.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::api::{CONFIG_MAP, DEPLOYMENT, Patch, SECRET, SERVICE, expect_refusal};
use crate::case::{Case, case};
use crate::test::{Test, expect_eq, expect_in};

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| format!("[sig-api-machinery] Writes should {rest}");
    vec![
        case(
            "[sig-api-machinery] Generated names should be unique and keep their prefix",
            generated_names,
        ),
        case(&title("leave nothing behind in a dry run"), dry_run),
        case(&title("hold to the preconditions of a deletion"), preconditions),
        case(&title("keep an object until its last finalizer is gone"), finalizers),
        case(&title("report every invalid field by its path"), invalid),
        case(&title("ignore a status in a plain write and a spec in a status write"), subresources),
        case(&title("count the generation of a spec alone"), generation),
        case(&title("refuse an object of another namespace, kind or version"), mismatches),
    ]
}

async fn generated_names(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..10 {
        let made = maps.create(json!({"metadata": {"generateName": "gen-"}})).await?;
        names.insert(crate::test::name(&made).to_owned());
    }
    expect_eq("how many names differ", &json!(names.len()), &json!(10))?;
    match names.iter().find(|name| !name.starts_with("gen-") || name.len() != 9) {
        Some(name) => bail!("expected gen- and five characters, got {name}"),
        None => Ok(()),
    }
}

async fn dry_run(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    let made = maps.create_with("dryRun=All", json!({"metadata": {"name": "never"}})).await?;
    if !made["metadata"]["uid"].is_string() {
        bail!("the object of a dry run has no uid: {made}");
    }
    expect_refusal(maps.get("never").await, 404, "NotFound")?;
    maps.create(json!({"metadata": {"name": "kept"}, "data": {"a": "1"}})).await?;
    let patched = maps.patch("kept?dryRun=All", Patch::Merge, json!({"data": {"a": "2"}})).await?;
    expect_eq("the answer of a dry patch", &patched["data"]["a"], &json!("2"))?;
    maps.delete("kept?dryRun=All").await?;
    let kept = maps.get("kept").await?;
    expect_eq("the data after dry runs", &kept["data"], &json!({"a": "1"}))?;
    let invalid = maps.create_with("dryRun=All", json!({"metadata": {"name": "Not Valid"}})).await;
    expect_refusal(invalid, 422, "Invalid")?;
    let other = maps.create_with("dryRun=Some", json!({"metadata": {"name": "x"}})).await;
    expect_refusal(other, 422, "Invalid").map(drop)
}

async fn preconditions(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    let made = maps.create(json!({"metadata": {"name": "m"}})).await?;
    let wrong = json!({"preconditions": {"uid": "00000000-0000-4000-8000-000000000000"}});
    expect_refusal(maps.delete_with("m", wrong).await, 409, "Conflict")?;
    maps.patch("m", Patch::Merge, json!({"data": {"a": "1"}})).await?;
    let stale = json!({"preconditions": {"resourceVersion": made["metadata"]["resourceVersion"]}});
    expect_refusal(maps.delete_with("m", stale).await, 409, "Conflict")?;
    let right = json!({"preconditions": {"uid": made["metadata"]["uid"]}});
    let status = maps.delete_with("m", right).await?;
    expect_eq("the answer", &status["status"], &json!("Success"))?;
    expect_refusal(maps.delete("m").await, 404, "NotFound").map(drop)
}

async fn finalizers(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    let held = json!({"metadata": {"name": "m", "finalizers": ["example.com/a", "example.com/b"]}});
    maps.create(held).await?;
    let marked = maps.delete("m").await?;
    if !marked["metadata"]["deletionTimestamp"].is_string() {
        bail!("a deletion that is held does not answer with the marked object: {marked}");
    }
    let one = json!({"metadata": {"finalizers": ["example.com/b"]}});
    maps.patch("m", Patch::Merge, one).await?;
    maps.get("m").await?;
    let more = json!({"metadata": {"finalizers": ["example.com/b", "example.com/c"]}});
    expect_refusal(maps.patch("m", Patch::Merge, more).await, 422, "Invalid")?;
    maps.patch("m", Patch::Merge, json!({"metadata": {"finalizers": null}})).await?;
    expect_refusal(maps.get("m").await, 404, "NotFound").map(drop)
}

async fn invalid(test: Test) -> Result<()> {
    let object = json!({"metadata": {"name": "s"}, "spec": {"ports": [
        {"name": "UPPER", "port": 80}, {"name": "ok", "port": 70000},
    ]}});
    let refusal = expect_refusal(test.of(&SERVICE).create(object).await, 422, "Invalid")?;
    let causes = refusal.status["details"]["causes"].as_array().cloned().unwrap_or_default();
    let fields: Vec<&str> = causes.iter().filter_map(|cause| cause["field"].as_str()).collect();
    for field in ["spec.ports[0].name", "spec.ports[1].port"] {
        if !fields.contains(&field) {
            bail!("expected a cause for {field}, got {fields:?}");
        }
    }
    let bad =
        test.of(&SECRET).create(json!({"metadata": {"name": "s"}, "data": {"k": "%%"}})).await;
    expect_refusal(bad, 400, "BadRequest").map(drop)
}

fn deployment(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {
        "paused": true, "replicas": 0, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "never-run"}]}},
    }})
}

async fn subresources(test: Test) -> Result<()> {
    let deployments = test.of(&DEPLOYMENT);
    let mut object = deployment("d");
    let condition = json!([{"type": "Told", "status": "True"}]);
    object["status"]["conditions"] = condition.clone();
    let made = deployments.create(object).await?;
    if !crate::test::condition(&made, "Told").is_null() {
        bail!("a create kept the status that was sent: {}", made["status"]);
    }
    let plain = json!({"status": {"conditions": condition.clone()}});
    let patched = deployments.patch("d", Patch::Merge, plain).await?;
    if !crate::test::condition(&patched, "Told").is_null() {
        bail!("a plain write changed the status: {patched}");
    }
    let both = json!({"spec": {"replicas": 5}, "status": {"conditions": condition}});
    let patched = deployments.patch("d/status", Patch::Merge, both).await?;
    expect_eq("the replicas after a status write", &patched["spec"]["replicas"], &json!(0))?;
    let told = crate::test::condition(&patched, "Told");
    expect_eq("the condition", &told["status"], &json!("True"))
}

async fn generation(test: Test) -> Result<()> {
    let deployments = test.of(&DEPLOYMENT);
    let generation = |object: &Value| object["metadata"]["generation"].clone();
    let made = deployments.create(deployment("d")).await?;
    expect_eq("the first generation", &generation(&made), &json!(1))?;
    let labelled = json!({"metadata": {"labels": {"x": "y"}}});
    let labelled = deployments.patch("d", Patch::Merge, labelled).await?;
    expect_eq("the generation after a label", &generation(&labelled), &json!(1))?;
    let scaled =
        deployments.patch("d", Patch::Merge, json!({"spec": {"minReadySeconds": 3}})).await?;
    expect_eq("the generation after a change of the spec", &generation(&scaled), &json!(2))
}

async fn mismatches(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    let elsewhere = json!({"metadata": {"name": "m", "namespace": "elsewhere"}});
    let refusal = expect_refusal(maps.create(elsewhere).await, 400, "BadRequest")?;
    expect_in("the refusal", refusal.message(), "namespace of the provided object does not match")?;
    for body in [
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "m"}}),
        json!({"apiVersion": "apps/v1", "kind": "ConfigMap", "metadata": {"name": "m"}}),
    ] {
        let answer = test.cluster.call(http::Method::POST, &maps.path(""), Some(&body)).await?;
        expect_refusal(answer.object(), 400, "BadRequest")?;
    }
    let made = maps.create(json!({"metadata": {"name": "m"}})).await?;
    let answer = maps.replace_at("other", &made).await;
    expect_refusal(answer, 400, "BadRequest").map(drop)
}
