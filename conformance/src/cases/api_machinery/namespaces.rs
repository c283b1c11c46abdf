//! Namespaces and what becomes of their contents.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::api::{CONFIG_MAP, NAMESPACE, POD, Patch, SECRET, SERVICE, expect_refusal};
use crate::case::{Case, case, pod_case};
use crate::test::{Test, condition, expect_eq};

pub(super) fn cases() -> Vec<Case> {
    vec![
        pod_case(
            "[sig-api-machinery] Namespaces [Serial] should ensure that all pods are removed when a \
             namespace is deleted [Conformance]",
            pods_go,
        ),
        case(
            "[sig-api-machinery] Namespaces [Serial] should ensure that all services are removed when a \
             namespace is deleted [Conformance]",
            services_go,
        ),
        case(
            "[sig-api-machinery] Namespaces [Serial] should patch a Namespace [Conformance]",
            patch,
        ),
        case(
            "[sig-api-machinery] Namespaces [Serial] should apply an update to a Namespace [Conformance]",
            update,
        ),
        case(
            "[sig-api-machinery] Namespaces [Serial] should apply changes to a namespace status \
             [Conformance]",
            status,
        ),
        case(
            "[sig-api-machinery] Namespaces [Serial] should apply a finalizer to a Namespace \
             [Conformance]",
            finalizer,
        ),
        pod_case(
            "[sig-api-machinery] OrderedNamespaceDeletion namespace deletion should delete pod first \
             [Conformance]",
            pods_first,
        ),
        case(
            "[sig-api-machinery] Namespaces should refuse new objects while they are deleted",
            refuses_while_deleted,
        ),
    ]
}

async fn pods_go(test: Test) -> Result<()> {
    let name = test.namespace("gone").await?;
    let pods = test.cluster.namespaced(&POD, &name);
    pods.create(test.pod("p", json!({"containers": [{"args": ["pause"]}]}))).await?;
    pods.wait("p", "to run", |pod| pod["status"]["phase"] == "Running").await?;
    let namespaces = test.cluster.all(&NAMESPACE);
    namespaces.delete(&name).await?;
    namespaces.wait_gone(&name).await?;
    crate::run::make_namespace(&test.cluster, &name, json!({})).await?;
    expect_eq("pods of the new namespace", &json!(pods.items("").await?), &json!([]))
}

async fn services_go(test: Test) -> Result<()> {
    let name = test.namespace("gone").await?;
    let services = test.cluster.namespaced(&SERVICE, &name);
    let object = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    services.create(object).await?;
    let namespaces = test.cluster.all(&NAMESPACE);
    let marked = namespaces.delete(&name).await?;
    expect_eq("the phase while deleted", &marked["status"]["phase"], &json!("Terminating"))?;
    namespaces.wait_gone(&name).await?;
    crate::run::make_namespace(&test.cluster, &name, json!({})).await?;
    expect_eq("services of the new namespace", &json!(services.items("").await?), &json!([]))
}

async fn patch(test: Test) -> Result<()> {
    let name = test.namespace("patched").await?;
    let namespaces = test.cluster.all(&NAMESPACE);
    let body = json!({"metadata": {"labels": {"testLabel": "testValue"}}});
    namespaces.patch(&name, Patch::Strategic, body).await?;
    let read = namespaces.get(&name).await?;
    expect_eq("the label", &read["metadata"]["labels"]["testLabel"], &json!("testValue"))?;
    // The server's own label names it.
    let own = &read["metadata"]["labels"]["kubernetes.io/metadata.name"];
    expect_eq("the label of the name", own, &json!(name))
}

async fn update(test: Test) -> Result<()> {
    let name = test.namespace("updated").await?;
    let namespaces = test.cluster.all(&NAMESPACE);
    let set = |object: &mut Value| object["metadata"]["labels"]["updated"] = "yes".into();
    namespaces.change(&name, set).await?;
    let read = namespaces.get(&name).await?;
    expect_eq("the label", &read["metadata"]["labels"]["updated"], &json!("yes"))
}

async fn status(test: Test) -> Result<()> {
    let name = test.namespace("status").await?;
    let namespaces = test.cluster.all(&NAMESPACE);
    let one = |kind: &str| json!({"type": kind, "status": "True", "reason": "E2E", "message": "Set by an e2e test"});
    let at = format!("{name}/status");
    let body = json!({"metadata": {"annotations": {"e2e-patched": "true"}},
        "status": {"conditions": [one("StatusPatch")]}});
    let patched = namespaces.patch(&at, Patch::Merge, body).await?;
    let patched = condition(&patched, "StatusPatch");
    expect_eq("the patched condition", &patched["reason"], &json!("E2E"))?;
    let push = |object: &mut Value| {
        if let Some(conditions) = object["status"]["conditions"].as_array_mut() {
            conditions.push(one("StatusUpdate"));
        }
    };
    namespaces.change(&at, push).await?;
    let read = namespaces.get(&at).await?;
    for kind in ["StatusPatch", "StatusUpdate"] {
        expect_eq(kind, &condition(&read, kind)["status"], &json!("True"))?;
    }
    Ok(())
}

async fn finalizer(test: Test) -> Result<()> {
    let name = test.namespace("finalized").await?;
    let namespaces = test.cluster.all(&NAMESPACE);
    let mut object = namespaces.get(&name).await?;
    expect_eq("its own finalizers", &object["spec"]["finalizers"], &json!(["kubernetes"]))?;
    let added = json!(["kubernetes", "e2e.example.com/fakeFinalizer"]);
    object["spec"]["finalizers"] = added.clone();
    let at = format!("{name}/finalize");
    let updated = namespaces.replace_at(&at, &object).await?;
    expect_eq("the finalizers", &updated["spec"]["finalizers"], &added)?;
    object = namespaces.get(&name).await?;
    object["spec"]["finalizers"] = json!(["kubernetes"]);
    let updated = namespaces.replace_at(&at, &object).await?;
    expect_eq("the finalizers at last", &updated["spec"]["finalizers"], &json!(["kubernetes"]))
}

async fn pods_first(test: Test) -> Result<()> {
    let name = test.namespace("ordered").await?;
    let pods = test.cluster.namespaced(&POD, &name);
    let maps = test.cluster.namespaced(&CONFIG_MAP, &name);
    let mut pod = test.pod("p", json!({"containers": [{"args": ["pause"]}]}));
    pod["metadata"]["finalizers"] = json!(["e2e.example.com/finalizer"]);
    pods.create(pod).await?;
    maps.create(json!({"metadata": {"name": "kept"}})).await?;
    let namespaces = test.cluster.all(&NAMESPACE);
    namespaces.delete(&name).await?;
    pods.wait("p", "to be marked for deletion", |pod| {
        pod["metadata"]["deletionTimestamp"].is_string()
    })
    .await?;
    let remaining = "NamespaceContentRemaining";
    namespaces
        .wait(&name, "to say that content remains", |n| condition(n, remaining)["status"] == "True")
        .await?;
    let kept = maps.get("kept").await?;
    if kept["metadata"]["deletionTimestamp"].is_string() {
        bail!("a config map is deleted while a pod of its namespace remains");
    }
    pods.patch("p", Patch::Merge, json!({"metadata": {"finalizers": null}})).await?;
    namespaces.wait_gone(&name).await
}

async fn refuses_while_deleted(test: Test) -> Result<()> {
    let name = test.namespace("closing").await?;
    let secrets = test.cluster.namespaced(&SECRET, &name);
    let held = json!({"metadata": {"name": "held", "finalizers": ["example.com/hold"]}});
    secrets.create(held).await?;
    test.cluster.all(&NAMESPACE).delete(&name).await?;
    let late = secrets.create(json!({"metadata": {"name": "late"}})).await;
    let refusal = expect_refusal(late, 403, "Forbidden")?;
    let cause = &refusal.status["details"]["causes"][0]["reason"];
    expect_eq("the cause", cause, &json!("NamespaceTerminating"))?;
    secrets.patch("held", Patch::Merge, json!({"metadata": {"finalizers": null}})).await?;
    test.cluster.all(&NAMESPACE).wait_gone(&name).await
}
