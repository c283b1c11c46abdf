//! Fields of custom resources: known, unknown, duplicate.

use anyhow::Result;
use serde_json::{Value, json};

use super::custom_resources::{define, definition};
use crate::api::{Kind, expect_refusal};
use crate::case::{Case, case};
use crate::test::{Test, expect_eq, expect_in};

pub(super) fn cases() -> Vec<Case> {
    let title =
        |rest: &str| format!("[sig-api-machinery] FieldValidation should {rest} [Conformance]");
    vec![
        case(&title("create/apply a valid CR for CRD with validation schema"), valid),
        case(
            &title("create/apply a CR with unknown fields for CRD with no validation schema"),
            preserved,
        ),
        case(&title("detect duplicates in a CR when preserving unknown fields"), duplicates),
        case(
            &title("detect unknown metadata fields in both the root and embedded object of a CR"),
            metadata,
        ),
    ]
}

/// Makes the kind with another schema of its objects.
async fn kind(test: &Test, schema: Value) -> Result<Kind> {
    let (mut object, kind) = definition(test, json!({}));
    object["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = schema;
    define(test, object).await?;
    Ok(kind)
}

fn open_schema() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

async fn valid(test: Test) -> Result<()> {
    let (object, kind) = definition(&test, json!({"size": {"type": "integer"}}));
    define(&test, object).await?;
    let resource = test.of(&kind);
    let body = json!({"metadata": {"name": "x"}, "spec": {"size": 2}});
    let made = resource.create_with("fieldValidation=Strict", body).await?;
    expect_eq("the spec", &made["spec"], &json!({"size": 2}))?;
    let applied =
        resource.apply("y?fieldValidation=Strict", "applier", json!({"spec": {"size": 3}}));
    expect_eq("the applied spec", &applied.await?["spec"], &json!({"size": 3}))
}

async fn preserved(test: Test) -> Result<()> {
    let kind = kind(&test, open_schema()).await?;
    let body = json!({"metadata": {"name": "x"}, "spec": {"foo": "a", "unknown": ["b", {"c": 1}]}});
    let made = test.of(&kind).create_with("fieldValidation=Strict", body.clone()).await?;
    expect_eq("the spec", &made["spec"], &body["spec"])
}

async fn duplicates(test: Test) -> Result<()> {
    let kind = kind(&test, open_schema()).await?;
    let text = format!(
        r#"{{"apiVersion": "{}", "kind": "{}", "metadata": {{"name": "x"}}, "spec": {{"a": 1, "a": 2}}}}"#,
        kind.api_version(),
        kind.kind
    );
    let request = http::Request::post(test.of(&kind).path("fieldValidation=Strict"))
        .header("content-type", "application/json")
        .body(text.into_bytes())?;
    let refusal = expect_refusal(test.cluster.send(request).await?.object(), 400, "BadRequest")?;
    expect_in("the refusal", refusal.message(), r#"duplicate field "spec.a""#)
}

async fn metadata(test: Test) -> Result<()> {
    let embedded = json!({"type": "object", "x-kubernetes-embedded-resource": true,
        "x-kubernetes-preserve-unknown-fields": true});
    let properties = json!({"spec": {"type": "object", "properties": {"embedded": embedded}}});
    let kind = kind(&test, json!({"type": "object", "properties": properties})).await?;
    let inner =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "unknownInner": "b"}});
    let body = json!({"metadata": {"name": "x", "unknownMeta": "a"}, "spec": {"embedded": inner}});
    let strict = test.of(&kind).create_with("fieldValidation=Strict", body).await;
    let refusal = expect_refusal(strict, 400, "BadRequest")?;
    expect_in("the refusal", refusal.message(), r#"unknown field "metadata.unknownMeta""#)?;
    let inner = r#"unknown field "spec.embedded.metadata.unknownInner""#;
    expect_in("the refusal", refusal.message(), inner)
}
