//! Commands about objects.

use anyhow::Result;
use serde_json::{Value, json};

use super::kubectl::{ok, run, with_input};
use crate::api::{CONFIG_MAP, DEPLOYMENT};
use crate::case::{Case, case, pod_case};
use crate::test::{Test, expect_eq, expect_in};

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| format!("[sig-cli] Kubectl client {rest} [Conformance]");
    vec![
        case(
            &title("Kubectl api-versions should check if v1 is in available api versions"),
            api_versions,
        ),
        case(
            &title(
                "Kubectl cluster-info should check if Kubernetes control plane services is included in \
                 cluster-info",
            ),
            cluster_info,
        ),
        case(&title("Kubectl version should check is all data is printed"), version),
        case(
            &title("Kubectl diff should check if kubectl diff finds a difference for Deployments"),
            diff,
        ),
        case(
            &title("Kubectl server-side dry-run should check if kubectl can dry-run update Pods"),
            dry_run,
        ),
        pod_case(&title("Kubectl label should update the label on a resource"), label),
        case(
            "[sig-cli] Kubectl client Kubectl apply should apply a new configuration to an existing RC",
            apply,
        ),
        case(
            "[sig-cli] Kubectl client Kubectl apply should prune and take over by server-side apply",
            server_side,
        ),
        case(
            "[sig-cli] Kubectl client Kubectl get should print tables, names and columns of one's own",
            get,
        ),
        case("[sig-cli] Kubectl client Kubectl explain should describe fields", explain),
        case(
            "[sig-cli] Kubectl client Kubectl validation should detect unknown fields",
            validation,
        ),
        case(
            "[sig-cli] Kubectl client Kubectl wait should wait for conditions and deletions",
            wait,
        ),
        case("[sig-cli] Kubectl client Kubectl auth can-i should tell what may be done", can_i),
    ]
}

async fn api_versions(test: Test) -> Result<()> {
    let said = ok(&test, &["api-versions"]).await?;
    anyhow::ensure!(said.lines().any(|line| line == "v1"), "v1 is not among {said}");
    expect_in("the versions", &said, "apps/v1\n")
}

async fn cluster_info(test: Test) -> Result<()> {
    let said = ok(&test, &["cluster-info"]).await?;
    expect_in("cluster-info", &said, "Kubernetes control plane")?;
    expect_in("cluster-info", &said, "is running at")
}

async fn version(test: Test) -> Result<()> {
    let said: Value = serde_json::from_str(&ok(&test, &["version", "-o", "json"]).await?)?;
    for side in ["clientVersion", "serverVersion"] {
        for field in ["major", "minor", "gitVersion", "goVersion", "platform"] {
            let value = said[side][field].as_str().unwrap_or_default();
            anyhow::ensure!(!value.is_empty(), "{side} has no {field}: {said}");
        }
    }
    Ok(())
}

fn deployment(test: &Test, image: &str) -> String {
    let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "httpd"},
        "spec": {"paused": true, "replicas": 0, "selector": {"matchLabels": {"app": "httpd"}},
            "template": {"metadata": {"labels": {"app": "httpd"}}, "spec": {"containers": [test.pause("c")]}}}});
    object["spec"]["template"]["spec"]["containers"][0]["image"] = image.into();
    object.to_string()
}

async fn diff(test: Test) -> Result<()> {
    let first = deployment(&test, "first-image");
    with_input(&test, &["create", "-f", "-"], &first).await?;
    let same = run(&test, &["diff", "-f", "-"], &first).await?;
    expect_eq("success without a difference", &json!(same.success), &json!(true))?;
    let other = run(&test, &["diff", "-f", "-"], &deployment(&test, "second-image")).await?;
    expect_eq("success with a difference", &json!(other.success), &json!(false))?;
    for part in ["-        image: first-image", "+        image: second-image"] {
        // Indentation is the printer's.
        let squeezed = other.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        let part = part.split_whitespace().collect::<Vec<_>>().join(" ");
        expect_in("the difference", &squeezed, part.trim_start_matches(['-', '+', ' ']))?;
    }
    Ok(())
}

async fn dry_run(test: Test) -> Result<()> {
    let spec = json!({"schedulingGates": [{"name": "example.com/never"}], "containers": [test.pause("c")]});
    test.pods().create(test.pod("httpd", spec)).await?;
    let patch = r#"{"spec":{"containers":[{"name":"c","image":"other-image"}]}}"#;
    let said = ok(&test, &["patch", "pod", "httpd", "-p", patch, "--dry-run=server", "-o", "json"])
        .await?;
    let patched: Value = serde_json::from_str(&said)?;
    expect_eq(
        "the image in the dry run",
        &patched["spec"]["containers"][0]["image"],
        &json!("other-image"),
    )?;
    let kept = test.pods().get("httpd").await?;
    expect_eq("the image after it", &kept["spec"]["containers"][0]["image"], &json!(test.image()))
}

async fn label(test: Test) -> Result<()> {
    test.start(test.pod("pause", json!({"containers": [test.pause("c")]}))).await?;
    ok(&test, &["label", "pods", "pause", "testing-label=testing-label-value"]).await?;
    let said = ok(&test, &["get", "pod", "pause", "-L", "testing-label"]).await?;
    expect_in("the table", &said, "testing-label-value")?;
    ok(&test, &["label", "pods", "pause", "testing-label-"]).await?;
    let said = ok(&test, &["get", "pod", "pause", "-L", "testing-label"]).await?;
    anyhow::ensure!(!said.contains("testing-label-value"), "the label is still there: {said}");
    Ok(())
}

async fn apply(test: Test) -> Result<()> {
    let map = |data: Value| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data})
            .to_string()
    };
    with_input(&test, &["apply", "-f", "-"], &map(json!({"a": "1", "b": "1"}))).await?;
    let patch = json!({"data": {"other": "kept"}});
    test.of(&CONFIG_MAP).patch("m", crate::api::Patch::Merge, patch).await?;
    let said = with_input(&test, &["apply", "-f", "-"], &map(json!({"a": "2"}))).await?;
    expect_in("what apply says", &said, "configmap/m configured")?;
    let read = test.of(&CONFIG_MAP).get("m").await?;
    expect_eq("the data", &read["data"], &json!({"a": "2", "other": "kept"}))?;
    let said = with_input(&test, &["apply", "-f", "-"], &map(json!({"a": "2"}))).await?;
    expect_in("what the same again says", &said, "configmap/m unchanged")
}

async fn server_side(test: Test) -> Result<()> {
    let text = deployment(&test, "first-image");
    let said = with_input(&test, &["apply", "--server-side", "-f", "-"], &text).await?;
    expect_in("what apply says", &said, "serverside-applied")?;
    let patch =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "taken"}]}}}});
    test.of(&DEPLOYMENT)
        .patch("httpd?fieldManager=taker", crate::api::Patch::Strategic, patch)
        .await?;
    let refused = run(&test, &["apply", "--server-side", "-f", "-"], &text).await?;
    expect_eq("success of a conflict", &json!(refused.success), &json!(false))?;
    expect_in("the conflict", &refused.stderr, "conflict with \"taker\"")?;
    let forced = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    with_input(&test, &forced, &text).await?;
    let read = test.of(&DEPLOYMENT).get("httpd").await?;
    let image = &read["spec"]["template"]["spec"]["containers"][0]["image"];
    expect_eq("the image", image, &json!("first-image"))
}

async fn get(test: Test) -> Result<()> {
    let object =
        json!({"metadata": {"name": "m", "labels": {"a": "b"}}, "data": {"k": "v", "l": "w"}});
    test.of(&CONFIG_MAP).create(object).await?;
    let table = ok(&test, &["get", "configmaps", "-l", "a=b"]).await?;
    let mut lines = table.lines();
    let words = |line: Option<&str>| -> Vec<String> {
        line.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    expect_eq("the head", &json!(words(lines.next())), &json!(["NAME", "DATA", "AGE"]))?;
    expect_eq("the row", &json!(words(lines.next())[..2]), &json!(["m", "2"]))?;
    let names = ok(&test, &["get", "configmaps", "-l", "a=b", "-o", "name"]).await?;
    expect_eq("the names", &json!(names), &json!("configmap/m\n"))?;
    let column = ok(&test, &["get", "configmap", "m", "-o", "jsonpath={.data.k}"]).await?;
    expect_eq("the field", &json!(column), &json!("v"))?;
    let absent = run(&test, &["get", "configmap", "absent"], "").await?;
    expect_in("what is said of nothing", &absent.stderr, "configmaps \"absent\" not found")
}

async fn explain(test: Test) -> Result<()> {
    let said = ok(&test, &["explain", "deployment.spec.replicas"]).await?;
    for part in ["GROUP:", "apps", "Deployment", "replicas <integer>", "Number of desired pods"] {
        expect_in("the explanation", &said, part)?;
    }
    Ok(())
}

async fn validation(test: Test) -> Result<()> {
    let text =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "dada": {}})
            .to_string();
    let refused = run(&test, &["create", "-f", "-"], &text).await?;
    expect_eq("success with an unknown field", &json!(refused.success), &json!(false))?;
    expect_in("the refusal", &refused.stderr, "unknown field \"dada\"")?;
    with_input(&test, &["create", "--validate=false", "-f", "-"], &text).await.map(drop)
}

async fn wait(test: Test) -> Result<()> {
    let spec = json!({"schedulingGates": [{"name": "example.com/never"}], "containers": [test.pause("c")]});
    test.pods().create(test.pod("p", spec)).await?;
    let arguments = ["wait", "pod/p", "--for=condition=PodScheduled", "--timeout=1s"];
    let early = run(&test, &arguments, "").await?;
    expect_in("what is said in vain", &early.stderr, "timed out waiting for the condition")?;
    let hold = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    test.pods().patch("p", crate::api::Patch::Merge, hold).await?;
    test.pods().delete("p").await?;
    let early = run(&test, &["wait", "pod/p", "--for=delete", "--timeout=1s"], "").await?;
    expect_in("what is said in vain", &early.stderr, "timed out waiting for the condition")?;
    let pods = test.pods();
    let release = async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let body = json!({"metadata": {"finalizers": null}});
        pods.patch("p", crate::api::Patch::Merge, body).await
    };
    let waiting = ok(&test, &["wait", "pod/p", "--for=delete", "--timeout=60s"]);
    futures::try_join!(waiting, release).map(drop)
}

async fn can_i(test: Test) -> Result<()> {
    let yes = ok(&test, &["auth", "can-i", "delete", "nodes"]).await?;
    expect_eq("the administrator", &json!(yes.trim()), &json!("yes"))?;
    let arguments = ["auth", "can-i", "delete", "nodes", "--as", "nobody-in-particular"];
    let no = run(&test, &arguments, "").await?;
    expect_eq("anybody", &json!(no.stdout.trim()), &json!("no"))
}
