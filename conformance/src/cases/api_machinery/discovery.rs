//! Discovery, versions, OpenAPI and health.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::case::{Case, case};
use crate::test::{Test, expect_eq};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "[sig-api-machinery] server version should find the server version [Conformance]",
            version,
        ),
        case(
            "[sig-api-machinery] Discovery should validate PreferredVersion for each APIGroup [Conformance]",
            preferred,
        ),
        case(
            "[sig-api-machinery] Discovery should locate the groupVersion and a resource within each \
             APIGroup [Conformance]",
            locate,
        ),
        case(
            "[sig-api-machinery] AggregatedDiscovery should support raw aggregated discovery endpoint \
             Accept headers [Conformance]",
            aggregated_raw,
        ),
        case(
            "[sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface \
             [Conformance]",
            aggregated,
        ),
        case(
            "[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should include webhook \
             resources in discovery documents [Conformance]",
            webhooks,
        ),
        case(
            "[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] should \
             include custom resource definition resources in discovery documents [Conformance]",
            definitions,
        ),
        case(
            "[sig-api-machinery] OpenAPI should describe built-in kinds in versions 2 and 3",
            openapi,
        ),
        case("[sig-api-machinery] health checks should answer at livez and readyz", health),
        case(
            "[sig-api-machinery] Servers should answer an unknown path and resource with 404",
            unknown,
        ),
    ]
}

async fn version(test: Test) -> Result<()> {
    let version = test.cluster.get("/version").await?.object()?;
    let number = |field: &str| -> Result<u32> {
        let text = version[field].as_str().with_context(|| format!("no {field} in {version}"))?;
        Ok(text.trim_end_matches('+').parse()?)
    };
    number("major").context("major")?;
    number("minor").context("minor")?;
    let whole = version["gitVersion"].as_str().unwrap_or_default();
    if !whole.starts_with(&format!("v{}.{}", number("major")?, number("minor")?)) {
        bail!("gitVersion {whole} does not begin with the major and minor version");
    }
    Ok(())
}

async fn groups(test: &Test) -> Result<Vec<Value>> {
    let list = test.cluster.get("/apis").await?.object()?;
    expect_eq("the kind of /apis", &list["kind"], &json!("APIGroupList"))?;
    list["groups"].as_array().cloned().context("no groups")
}

/// Checks every group. One that other cases define and remove may go meanwhile.
async fn each_group(test: &Test, check: impl AsyncFn(&Test, &Value) -> Result<()>) -> Result<()> {
    for group in groups(test).await? {
        if let Err(error) = check(test, &group).await
            && groups(test).await?.contains(&group)
        {
            return Err(error);
        }
    }
    Ok(())
}

async fn preferred(test: Test) -> Result<()> {
    each_group(&test, async |test, group| {
        let name = group["name"].as_str().unwrap_or_default();
        let alone = test.cluster.get(&format!("/apis/{name}")).await?.object()?;
        expect_eq("the kind of a group", &alone["kind"], &json!("APIGroup"))?;
        let preferred = &alone["preferredVersion"]["groupVersion"];
        expect_eq("the preferred version", preferred, &group["preferredVersion"]["groupVersion"])?;
        let versions = alone["versions"].as_array().context("a group without versions")?;
        if !versions.iter().any(|version| version["groupVersion"] == *preferred) {
            bail!("{name} prefers {preferred}, which is not among {versions:?}");
        }
        Ok(())
    })
    .await
}

async fn locate(test: Test) -> Result<()> {
    each_group(&test, async |test, group| {
        for version in group["versions"].as_array().into_iter().flatten() {
            let version = version["groupVersion"].as_str().unwrap_or_default();
            let list = test.cluster.get(&format!("/apis/{version}")).await?.object()?;
            expect_eq("groupVersion", &list["groupVersion"], &json!(version))?;
            if list["resources"].as_array().is_none_or(Vec::is_empty) {
                bail!("{version} has no resources");
            }
        }
        Ok(())
    })
    .await?;
    for (version, resource, kind) in [
        ("apps/v1", "deployments", "Deployment"),
        ("apps/v1", "deployments/scale", "Scale"),
        ("batch/v1", "jobs/status", "Job"),
        ("networking.k8s.io/v1", "ingresses", "Ingress"),
        ("rbac.authorization.k8s.io/v1", "clusterroles", "ClusterRole"),
    ] {
        let list = test.cluster.get(&format!("/apis/{version}")).await?.object()?;
        expect_resource(&list, resource, kind)?;
    }
    let core = test.cluster.get("/api/v1").await?.object()?;
    for (resource, kind) in [("pods", "Pod"), ("pods/eviction", "Eviction"), ("nodes", "Node")] {
        expect_resource(&core, resource, kind)?;
    }
    Ok(())
}

fn expect_resource(list: &Value, resource: &str, kind: &str) -> Result<()> {
    let mut resources = list["resources"].as_array().into_iter().flatten();
    let found = resources.find(|r| r["name"] == resource);
    let found = found.with_context(|| format!("{resource} is not in {}", list["groupVersion"]))?;
    expect_eq(&format!("the kind of {resource}"), &found["kind"], &json!(kind))
}

const AGGREGATED: &str = "application/json;v=v2;g=apidiscovery.k8s.io;as=APIGroupDiscoveryList";

async fn aggregated_raw(test: Test) -> Result<()> {
    for path in ["/api", "/apis"] {
        let answer = test.cluster.get_as(path, AGGREGATED).await?.success()?;
        let kind = answer.header("content-type").to_owned();
        for part in ["g=apidiscovery.k8s.io", "v=v2", "as=APIGroupDiscoveryList"] {
            if !kind.contains(part) {
                bail!("the content type of {path} is {kind}, without {part}");
            }
        }
        let list = answer.object()?;
        expect_eq("the kind", &list["kind"], &json!("APIGroupDiscoveryList"))?;
        expect_eq("the version", &list["apiVersion"], &json!("apidiscovery.k8s.io/v2"))?;
    }
    let plain = test.cluster.get_as("/apis", "application/json").await?.object()?;
    expect_eq("the kind without the parameters", &plain["kind"], &json!("APIGroupList"))
}

async fn aggregated(test: Test) -> Result<()> {
    let mut served = Vec::new();
    for path in ["/api", "/apis"] {
        let list = test.cluster.get_as(path, AGGREGATED).await?.object()?;
        for group in list["items"].as_array().context("no items")? {
            for version in group["versions"].as_array().context("no versions")? {
                for resource in version["resources"].as_array().into_iter().flatten() {
                    let part = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                    served.push((
                        part(&group["metadata"]["name"]),
                        part(&version["version"]),
                        part(&resource["resource"]),
                    ));
                    if resource["scope"].as_str().is_none()
                        || resource["verbs"].as_array().is_none()
                    {
                        bail!("a resource without scope or verbs: {resource}");
                    }
                }
            }
        }
    }
    for (group, version, resource) in [
        ("", "v1", "namespaces"),
        ("", "v1", "pods"),
        ("apps", "v1", "deployments"),
        ("batch", "v1", "cronjobs"),
        ("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations"),
    ] {
        let wanted = (group.to_owned(), version.to_owned(), resource.to_owned());
        if !served.contains(&wanted) {
            bail!("aggregated discovery lacks {wanted:?}");
        }
    }
    Ok(())
}

async fn expect_group(test: &Test, group: &str, resources: &[&str]) -> Result<()> {
    let all = groups(test).await?;
    let found = all.iter().find(|g| g["name"] == group);
    let found = found.with_context(|| format!("{group} is not in /apis"))?;
    let versions = found["versions"].as_array().into_iter().flatten();
    let wanted = format!("{group}/v1");
    if !versions.into_iter().any(|version| version["groupVersion"] == *wanted) {
        bail!("{group} is not served as v1: {found}");
    }
    let list = test.cluster.get(&format!("/apis/{wanted}")).await?.object()?;
    let names: Vec<&str> = list["resources"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|resource| resource["name"].as_str())
        .collect();
    match resources.iter().find(|resource| !names.contains(resource)) {
        Some(missing) => bail!("{wanted} lacks {missing}: {names:?}"),
        None => Ok(()),
    }
}

async fn webhooks(test: Test) -> Result<()> {
    let resources = ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"];
    expect_group(&test, "admissionregistration.k8s.io", &resources).await
}

async fn definitions(test: Test) -> Result<()> {
    expect_group(&test, "apiextensions.k8s.io", &["customresourcedefinitions"]).await
}

async fn openapi(test: Test) -> Result<()> {
    let v2 = test.cluster.get("/openapi/v2").await?.object()?;
    let deployment = &v2["definitions"]["io.k8s.api.apps.v1.Deployment"];
    let kind = &deployment["x-kubernetes-group-version-kind"][0];
    expect_eq(
        "the kind in version 2",
        kind,
        &json!({"group": "apps", "kind": "Deployment", "version": "v1"}),
    )?;
    let index = test.cluster.get("/openapi/v3").await?.object()?;
    let path = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str();
    let path = path.context("version 3 has no apis/apps/v1")?;
    let v3 = test.cluster.get(path).await?.object()?;
    let schema = &v3["components"]["schemas"]["io.k8s.api.apps.v1.DeploymentSpec"];
    expect_eq(
        "a field's type in version 3",
        &schema["properties"]["replicas"]["type"],
        &json!("integer"),
    )
}

async fn health(test: Test) -> Result<()> {
    for path in ["/livez", "/readyz", "/healthz"] {
        let text = test.cluster.get(path).await?.text();
        expect_eq(path, &json!(text), &json!("ok"))?;
    }
    let verbose = test.cluster.get("/readyz?verbose").await?.text();
    if !verbose.contains("[+]ping ok") || !verbose.contains("readyz check passed") {
        bail!("/readyz?verbose does not list its checks: {verbose}");
    }
    Ok(())
}

async fn unknown(test: Test) -> Result<()> {
    for path in ["/nothing", "/api/v1/nothings", "/apis/apps/v1/nothings", "/apis/no.such.group/v1"]
    {
        let answer = test.cluster.call(http::Method::GET, path, None).await?;
        expect_eq(&format!("the status of {path}"), &json!(answer.code), &json!(404))?;
    }
    Ok(())
}
