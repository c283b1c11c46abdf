//! Objects as tables and as metadata alone.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::api::{CONFIG_MAP, NODE, POD, POD_TEMPLATE, SELF_SUBJECT_ACCESS_REVIEW};
use crate::case::{Case, case};
use crate::test::{Test, expect_eq};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "[sig-api-machinery] Servers with support for Table transformation should return a 406 for a \
             backend which does not implement metadata [Conformance]",
            not_acceptable,
        ),
        case(
            "[sig-api-machinery] Servers with support for Table transformation should return pod details",
            pod_details,
        ),
        case(
            "[sig-api-machinery] Servers with support for Table transformation should return chunks of \
             table results for list calls",
            chunks,
        ),
        case(
            "[sig-api-machinery] Servers with support for Table transformation should return generic \
             metadata details across all namespaces for nodes",
            nodes,
        ),
        case(
            "[sig-api-machinery] Servers should return objects as PartialObjectMetadata when asked",
            metadata_only,
        ),
        case(
            "[sig-api-machinery] Servers should refuse a media type that they do not know",
            unknown_type,
        ),
        case("[sig-api-machinery] Servers should read and write YAML", yaml),
        case("[sig-api-machinery] Servers should write protobuf for kinds that have it", protobuf),
    ]
}

async fn not_acceptable(test: Test) -> Result<()> {
    let body = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}},
    });
    let request = http::Request::post(SELF_SUBJECT_ACCESS_REVIEW.path(None))
        .header("content-type", "application/json")
        .header("accept", TABLE)
        .body(serde_json::to_vec(&body)?)?;
    let answer = test.cluster.send(request).await?;
    expect_eq("the status", &json!(answer.code), &json!(406))
}

async fn table(test: &Test, path: &str) -> Result<Value> {
    let table = test.cluster.get_as(path, TABLE).await?.object()?;
    expect_eq("the kind", &table["kind"], &json!("Table"))?;
    let columns = table["columnDefinitions"].as_array().context("no columns")?.len();
    for row in table["rows"].as_array().context("no rows")? {
        expect_eq(
            "cells of a row",
            &json!(row["cells"].as_array().map(Vec::len)),
            &json!(columns),
        )?;
    }
    Ok(table)
}

async fn pod_details(test: Test) -> Result<()> {
    let spec = json!({"nodeName": "", "schedulingGates": [{"name": "example.com/never"}],
        "containers": [{}]});
    test.pods().create(test.pod("tabled", spec)).await?;
    let table = table(&test, &test.of(&POD).object_path("tabled")).await?;
    let columns: Vec<&str> = table["columnDefinitions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|column| column["name"].as_str())
        .collect();
    if !columns.starts_with(&["Name", "Ready", "Status", "Restarts", "Age"]) {
        bail!("the columns of pods are {columns:?}");
    }
    let cells = &table["rows"][0]["cells"];
    expect_eq("the name's cell", &cells[0], &json!("tabled"))?;
    expect_eq("the readiness' cell", &cells[1], &json!("0/1"))?;
    expect_eq("the status' cell", &cells[2], &json!("SchedulingGated"))?;
    let object = &table["rows"][0]["object"];
    expect_eq("the row's object", &object["kind"], &json!("PartialObjectMetadata"))?;
    expect_eq("its name", &object["metadata"]["name"], &json!("tabled"))
}

async fn chunks(test: Test) -> Result<()> {
    let templates = test.of(&POD_TEMPLATE);
    for index in 0..5 {
        let spec = json!({"containers": [{"name": "c", "image": "never-run"}]});
        let name = format!("template-{index:04}");
        templates.create(json!({"metadata": {"name": name}, "template": {"spec": spec}})).await?;
    }
    let first = table(&test, &templates.path("limit=2")).await?;
    let next = first["metadata"]["continue"].as_str().context("no continue token")?;
    let rest = table(&test, &templates.path(&format!("continue={next}"))).await?;
    let names = |table: &Value| -> Vec<Value> {
        table["rows"].as_array().into_iter().flatten().map(|row| row["cells"][0].clone()).collect()
    };
    expect_eq("the first page", &json!(names(&first)), &json!(["template-0000", "template-0001"]))?;
    let expected = json!(["template-0002", "template-0003", "template-0004"]);
    expect_eq("the second page", &json!(names(&rest)), &expected)
}

async fn nodes(test: Test) -> Result<()> {
    let table = table(&test, &NODE.path(None)).await?;
    expect_eq("the first column", &table["columnDefinitions"][0]["name"], &json!("Name"))?;
    let nodes = test.cluster.all(&NODE).items("").await?;
    let rows = table["rows"].as_array().map(Vec::len);
    expect_eq("the number of rows", &json!(rows), &json!(nodes.len()))?;
    if table["metadata"]["resourceVersion"].as_str().is_none_or(str::is_empty) {
        bail!("the table has no resourceVersion: {table}");
    }
    Ok(())
}

async fn metadata_only(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    let object = json!({"metadata": {"name": "m", "labels": {"a": "b"}}, "data": {"k": "v"}});
    maps.create(object).await?;
    let accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let one = test.cluster.get_as(&maps.object_path("m"), accept).await?.object()?;
    expect_eq("the kind", &one["kind"], &json!("PartialObjectMetadata"))?;
    expect_eq("its API version", &one["apiVersion"], &json!("meta.k8s.io/v1"))?;
    expect_eq("its labels", &one["metadata"]["labels"], &json!({"a": "b"}))?;
    expect_eq("its data", &one["data"], &Value::Null)?;
    let accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let list = test.cluster.get_as(&maps.path("labelSelector=a=b"), accept).await?.object()?;
    expect_eq("the list's kind", &list["kind"], &json!("PartialObjectMetadataList"))?;
    expect_eq("the item's data", &list["items"][0]["data"], &Value::Null)?;
    expect_eq("the item's name", &list["items"][0]["metadata"]["name"], &json!("m"))
}

async fn unknown_type(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    let answer = test.cluster.get_as(&maps.path(""), "application/x-nobody-knows").await?;
    expect_eq("the status of an unknown Accept", &json!(answer.code), &json!(406))?;
    let request = http::Request::post(maps.path(""))
        .header("content-type", "application/x-nobody-knows")
        .body(b"{}".to_vec())?;
    let answer = test.cluster.send(request).await?;
    expect_eq("the status of an unknown Content-Type", &json!(answer.code), &json!(415))
}

async fn yaml(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    let text =
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: written\ndata:\n  flag: \"yes\"\n";
    let request = http::Request::post(maps.path(""))
        .header("content-type", "application/yaml")
        .header("accept", "application/yaml")
        .body(text.as_bytes().to_vec())?;
    let answer = test.cluster.send(request).await?.success()?;
    let kind = answer.header("content-type").to_owned();
    expect_eq("the content type", &json!(kind), &json!("application/yaml"))?;
    let read: Value = serde_yaml_ng::from_slice(&answer.body).context("the answer is no YAML")?;
    expect_eq("the data as YAML", &read["data"], &json!({"flag": "yes"}))?;
    let kept = maps.get("written").await?;
    expect_eq("the data as JSON", &kept["data"], &json!({"flag": "yes"}))
}

async fn protobuf(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    maps.create(json!({"metadata": {"name": "bytes"}, "data": {"needle": "in-the-haystack"}}))
        .await?;
    let kind = "application/vnd.kubernetes.protobuf";
    let answer = test.cluster.get_as(&maps.object_path("bytes"), kind).await?.success()?;
    expect_eq("the content type", &json!(answer.header("content-type")), &json!(kind))?;
    if !answer.body.starts_with(b"k8s\0") {
        bail!("the answer does not begin with the magic bytes: {:?}", answer.body);
    }
    if !answer.body.windows(15).any(|part| part == b"in-the-haystack") {
        bail!("the answer lacks the data");
    }
    // A server reads the bytes that it wrote.
    let request = http::Request::put(maps.object_path("bytes"))
        .header("content-type", kind)
        .header("accept", "application/json")
        .body(answer.body.to_vec())?;
    let replaced = test.cluster.send(request).await?.object()?;
    expect_eq("the data read back", &replaced["data"], &json!({"needle": "in-the-haystack"}))
}
