//! Lists in pages.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::api::{CONFIG_MAP, POD_TEMPLATE, Resource, expect_refusal};
use crate::case::{Case, case};
use crate::test::{Test, expect_eq, name};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "[sig-api-machinery] Servers with support for API chunking should return chunks of results \
             for list calls [Conformance]",
            pages,
        ),
        case(
            "[sig-api-machinery] Servers with support for API chunking should keep pages consistent \
             while objects are written and deleted",
            consistent,
        ),
        case(
            "[sig-api-machinery] Servers with support for API chunking should refuse a continue token \
             that is not its own",
            foreign_token,
        ),
        case(
            "[sig-api-machinery] Servers with support for resource version matching should honour \
             Exact, NotOlderThan and unset",
            version_match,
        ),
    ]
}

fn template(name: &str) -> Value {
    let spec = json!({"containers": [{"name": "c", "image": "never-run"}]});
    json!({"metadata": {"name": name}, "template": {"spec": spec}})
}

async fn fill(resource: &Resource, count: usize) -> Result<()> {
    let many = (0..count).map(|index| resource.create(template(&format!("t-{index:04}"))));
    futures::future::try_join_all(many).await.map(drop)
}

fn next_page(list: &Value) -> String {
    list["metadata"]["continue"].as_str().unwrap_or_default().to_owned()
}

async fn pages(test: Test) -> Result<()> {
    let templates = test.of(&POD_TEMPLATE);
    fill(&templates, 60).await?;
    let (mut seen, mut token, mut version) = (Vec::new(), String::new(), Value::Null);
    loop {
        let list = templates.list(&format!("limit=17&continue={token}")).await?;
        let items = list["items"].as_array().context("a page without items")?;
        if items.len() > 17 {
            bail!("a page of limit=17 has {} items", items.len());
        }
        seen.extend(items.iter().map(|item| name(item).to_owned()));
        if version.is_null() {
            version = list["metadata"]["resourceVersion"].clone();
        }
        expect_eq("the version of each page", &list["metadata"]["resourceVersion"], &version)?;
        token = next_page(&list);
        let rest = list["metadata"]["remainingItemCount"].as_u64();
        if token.is_empty() {
            expect_eq("the rest of the last page", &json!(rest), &Value::Null)?;
            break;
        }
        expect_eq("what remains", &json!(rest), &json!(60 - seen.len()))?;
    }
    let expected: Vec<String> = (0..60).map(|index| format!("t-{index:04}")).collect();
    expect_eq("all pages together", &json!(seen), &json!(expected))?;
    let whole = templates.list("").await?;
    expect_eq("the whole list's token", &json!(next_page(&whole)), &json!(""))?;
    expect_eq("the whole list", &json!(whole["items"].as_array().map(Vec::len)), &json!(60))
}

async fn consistent(test: Test) -> Result<()> {
    let templates = test.of(&POD_TEMPLATE);
    fill(&templates, 12).await?;
    let first = templates.list("limit=4").await?;
    templates.delete("t-0010").await?;
    templates.create(template("t-0005a")).await?;
    let rest = templates.list(&format!("limit=100&continue={}", next_page(&first))).await?;
    let names: BTreeSet<&str> = rest["items"].as_array().into_iter().flatten().map(name).collect();
    if !names.contains("t-0010") || names.contains("t-0005a") || names.len() != 8 {
        bail!("expected the second page as of the first's version, got {names:?}");
    }
    Ok(())
}

async fn foreign_token(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    expect_refusal(maps.list("limit=1&continue=bm90LWEtdG9rZW4").await, 400, "BadRequest").map(drop)
}

async fn version_match(test: Test) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    let before = maps.create(json!({"metadata": {"name": "before"}})).await?;
    let version = before["metadata"]["resourceVersion"].as_str().context("no version")?.to_owned();
    maps.create(json!({"metadata": {"name": "after"}})).await?;
    let names = |list: &Value| {
        let items = list["items"].as_array().into_iter().flatten();
        items.map(|i| name(i).to_owned()).filter(|n| n != "kube-root-ca.crt").collect::<Vec<_>>()
    };
    let exact = maps.list(&format!("resourceVersion={version}&resourceVersionMatch=Exact")).await?;
    expect_eq("the exact list's version", &exact["metadata"]["resourceVersion"], &json!(version))?;
    expect_eq("the exact list", &json!(names(&exact)), &json!(["before"]))?;
    let fresh = maps.list("").await?;
    expect_eq("the list without version", &json!(names(&fresh)), &json!(["after", "before"]))?;
    let newer = format!("resourceVersion={version}&resourceVersionMatch=NotOlderThan");
    if !names(&maps.list(&newer).await?).contains(&"before".to_owned()) {
        bail!("a list not older than the object's version lacks the object");
    }
    let alone = maps.list("resourceVersionMatch=Exact").await;
    expect_refusal(alone, 422, "Invalid").map(drop)
}
