//! Unknown and duplicate fields.

use anyhow::{Result, bail};
use serde_json::json;

use crate::api::{Answer, CONFIG_MAP, DEPLOYMENT, expect_refusal};
use crate::case::{Case, case};
use crate::test::{Test, expect_eq, expect_in};

pub(super) fn cases() -> Vec<Case> {
    let title =
        |rest: &str| format!("[sig-api-machinery] FieldValidation should {rest} [Conformance]");
    vec![
        case(&title("detect unknown and duplicate fields of a typed object"), typed),
        case(&title("detect unknown metadata fields of a typed object"), metadata),
    ]
}

async fn post(test: &Test, query: &str, body: &str) -> Result<Answer> {
    let request = http::Request::post(test.of(&DEPLOYMENT).path(query))
        .header("content-type", "application/json")
        .body(body.as_bytes().to_vec())?;
    test.cluster.send(request).await
}

fn warnings(answer: &Answer) -> Vec<String> {
    let values = answer.headers.get_all("warning");
    values.iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}

async fn typed(test: Test) -> Result<()> {
    let body = |name: &str| {
        format!(
            r#"{{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {{"name": "{name}"}},
            "spec": {{"unknownField": "x", "replicas": 0, "replicas": 0, "selector": {{"matchLabels": {{"a": "b"}}}},
            "template": {{"metadata": {{"labels": {{"a": "b"}}}},
            "spec": {{"containers": [{{"name": "c", "image": "never-run"}}]}}}}}}}}"#
        )
    };
    let strict = post(&test, "fieldValidation=Strict", &body("strict")).await?.object();
    let refusal = expect_refusal(strict, 400, "BadRequest")?;
    expect_in("the refusal", refusal.message(), r#"unknown field "spec.unknownField""#)?;
    expect_in("the refusal", refusal.message(), r#"duplicate field "spec.replicas""#)?;
    let warn = post(&test, "fieldValidation=Warn", &body("warn")).await?.success()?;
    let texts = warnings(&warn).join("\n");
    expect_in("the warnings", &texts, r#"unknown field \"spec.unknownField\""#)?;
    expect_in("the warnings", &texts, r#"duplicate field \"spec.replicas\""#)?;
    let ignored = post(&test, "fieldValidation=Ignore", &body("ignore")).await?.success()?;
    if !warnings(&ignored).is_empty() {
        bail!("expected no warning with fieldValidation=Ignore: {:?}", warnings(&ignored));
    }
    let kept = ignored.object()?;
    expect_eq("the unknown field", &kept["spec"]["unknownField"], &serde_json::Value::Null)?;
    let other = post(&test, "fieldValidation=Maybe", &body("maybe")).await?.object();
    expect_refusal(other, 422, "Invalid").map(drop)
}

async fn metadata(test: Test) -> Result<()> {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "m", "unknownMeta": "x"}});
    let maps = test.of(&CONFIG_MAP);
    let strict = maps.create_with("fieldValidation=Strict", object.clone()).await;
    let refusal = expect_refusal(strict, 400, "BadRequest")?;
    expect_in("the refusal", refusal.message(), r#"unknown field "metadata.unknownMeta""#)?;
    let path = maps.path("fieldValidation=Warn");
    let answer = test.cluster.call(http::Method::POST, &path, Some(&object)).await?.success()?;
    let texts = warnings(&answer).join("\n");
    expect_in("the warnings", &texts, r#"unknown field \"metadata.unknownMeta\""#)?;
    let kept = answer.object()?;
    expect_eq("the unknown field", &kept["metadata"]["unknownMeta"], &serde_json::Value::Null)
}
