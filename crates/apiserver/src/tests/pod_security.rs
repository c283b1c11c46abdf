//! Pod security standards, through the API.

use std::io::Write;

use apimachinery::ObjectExt;
use http::Method;
use serde_json::{Value, json};

use super::harness::{Answer, Api};
use crate::{AdmissionOptions, User};

const MERGE: &str = "application/merge-patch+json";
const NAMESPACE: &str = "/api/v1/namespaces/default";
const PODS: &str = "/api/v1/namespaces/default/pods";

fn pod(name: &str, spec: Value) -> Value {
    let mut pod = json!({"metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    pod
}

async fn label(api: &Api, labels: &[(&str, &str)]) -> Answer {
    let labels: serde_json::Map<String, Value> = labels
        .iter()
        .map(|(key, value)| (format!("pod-security.kubernetes.io/{key}"), json!(value)))
        .collect();
    api.patch(NAMESPACE, MERGE, &json!({"metadata": {"labels": labels}})).await
}

fn warnings(answer: &Answer) -> Vec<String> {
    let all = answer.headers.get_all("warning").iter();
    all.map(|value| value.to_str().unwrap().replace("\\\"", "\"")).collect()
}

const PRIVILEGED: &str =
    "privileged (container \"c\" must not set securityContext.privileged=true)";

fn privileged() -> Value {
    json!({"containers": [{"name": "c", "image": "i", "securityContext": {"privileged": true}}]})
}

#[tokio::test]
async fn pods_are_refused_and_workloads_warned_about() {
    let api = Api::start().await;
    assert!(warnings(&api.post(PODS, &pod("before", privileged())).await).is_empty());
    label(&api, &[("enforce", "baseline")]).await.ok();
    let refused = api.post(PODS, &pod("p", privileged())).await.fails(403);
    assert_eq!(
        refused["message"],
        format!("pods \"p\" is forbidden: violates PodSecurity \"baseline:latest\": {PRIVILEGED}")
    );
    assert_eq!(refused["reason"], "Forbidden");
    assert_eq!(refused["details"], json!({"name": "p", "kind": "pods"}));
    // A name that was generated is told.
    let mut generated = pod("", privileged());
    generated["metadata"] = json!({"generateName": "g-"});
    let refused = api.post(PODS, &generated).await.fails(403);
    assert!(refused["message"].as_str().unwrap().starts_with("pods \"g-"), "{refused}");

    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": privileged()});
    let deployment = json!({"metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}});
    let path = "/apis/apps/v1/namespaces/default/deployments";
    let made = api.post(path, &deployment).await;
    made.ok();
    let would = format!("would violate PodSecurity \"baseline:latest\": {PRIVILEGED}");
    assert_eq!(warnings(&made), [format!("299 - \"{would}\"")]);
    let scaled = api.patch(&format!("{path}/d"), MERGE, &json!({"spec": {"replicas": 3}})).await;
    assert_eq!(warnings(&scaled).len(), 1);
    let cron = json!({"metadata": {"name": "j"}, "spec": {"schedule": "@daily",
        "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never",
            "hostIPC": true, "containers": [{"name": "c", "image": "i"}]}}}}}});
    let made = api.post("/apis/batch/v1/namespaces/default/cronjobs", &cron).await;
    assert!(warnings(&made).iter().any(|w| w.contains("host namespaces (hostIPC=true)")));
    // Warned about only.
    label(&api, &[("enforce", "privileged"), ("warn", "restricted"), ("warn-version", "v1.7")])
        .await
        .ok();
    let made = api.post(PODS, &pod("w", json!({}))).await;
    made.ok();
    assert_eq!(
        warnings(&made),
        ["299 - \"would violate PodSecurity \"restricted:v1.7\": runAsNonRoot != true (pod or \
          container \"c\" must set securityContext.runAsNonRoot=true)\""]
    );

    let counted = api.get("/metrics").await;
    let counted = String::from_utf8(counted.bytes.to_vec()).unwrap();
    for line in [
        "pod_security_evaluations_total{decision=\"deny\",mode=\"enforce\",policy_level=\"baseline\",\
         policy_version=\"latest\",request_operation=\"create\",resource=\"pod\",subresource=\"\"} 2",
        "pod_security_evaluations_total{decision=\"deny\",mode=\"warn\",policy_level=\"restricted\",\
         policy_version=\"v1.7\",request_operation=\"create\",resource=\"pod\",subresource=\"\"} 1",
        "pod_security_evaluations_total{decision=\"deny\",mode=\"warn\",policy_level=\"baseline\",\
         policy_version=\"latest\",request_operation=\"update\",resource=\"controller\",\
         subresource=\"\"} 1",
    ] {
        assert!(counted.contains(line), "{line}");
    }
}

#[tokio::test]
async fn what_runs_in_a_pod_is_judged_again_when_it_changes() {
    let api = Api::start().await;
    let one = format!("{PODS}/p");
    api.post(PODS, &pod("p", privileged())).await.ok();
    let relabelled = label(&api, &[("enforce", "baseline")]).await;
    relabelled.ok();
    assert_eq!(
        warnings(&relabelled),
        [
            "299 - \"existing pods in namespace \"default\" violate the new PodSecurity enforce level \
             \"baseline:latest\"\"",
            "299 - \"p: privileged\"",
        ]
    );
    // Nothing else in it runs.
    api.patch(&one, MERGE, &json!({"metadata": {"labels": {"a": "b"}}})).await.ok();
    let status = format!("{one}/status");
    api.patch(&status, MERGE, &json!({"status": {"phase": "Running"}})).await.ok();
    let image = json!([{"op": "replace", "path": "/spec/containers/0/image", "value": "j"}]);
    let refused = api.patch(&one, "application/json-patch+json", &image).await.fails(403);
    assert!(refused["message"].as_str().unwrap().contains(PRIVILEGED), "{refused}");

    api.post(PODS, &pod("q", json!({}))).await.ok();
    let debug = |name: &str, context: Value| json!({"spec": {"ephemeralContainers": [{"name": name, "image": "i", "securityContext": context}]}});
    let strategic = "application/strategic-merge-patch+json";
    let path = format!("{PODS}/q/ephemeralcontainers");
    let refused = api.patch(&path, strategic, &debug("e", json!({"privileged": true}))).await;
    assert!(
        refused.fails(403)["message"].as_str().unwrap().contains("privileged (container \"e\""),
    );
    api.patch(&path, strategic, &debug("f", json!({}))).await.ok();
}

#[tokio::test]
async fn labels_of_namespaces_are_checked_when_they_change() {
    let api = Api::start().await;
    let refused = label(&api, &[("enforce", "strict"), ("warn-version", "1.30")]).await.fails(422);
    assert_eq!(
        refused["message"],
        "Namespace \"default\" is invalid: \
         [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one \
         of privileged, baseline, restricted, \
         metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: \"1.30\": must be \
         \"latest\" or \"v1.x\"]"
    );
    let wrong = json!({"pod-security.kubernetes.io/enforce": "strict"});
    let created = json!({"metadata": {"name": "n", "labels": wrong}});
    api.post("/api/v1/namespaces", &created).await.fails(422);

    // From before it was checked: the strictest standard, until somebody repairs it.
    api.store(json!({"kind": "Namespace", "apiVersion": "v1", "status": {"phase": "Active"},
        "metadata": {"name": "old", "labels": wrong}}))
        .await;
    let account = json!({"metadata": {"name": "default"}});
    api.post("/api/v1/namespaces/old/serviceaccounts", &account).await.ok();
    let note = json!({"metadata": {"annotations": {"a": "b"}}});
    api.patch("/api/v1/namespaces/old", MERGE, &note).await.ok();
    let refused = api.post("/api/v1/namespaces/old/pods", &pod("p", json!({}))).await.fails(403);
    assert!(
        refused["message"].as_str().unwrap().contains("violates PodSecurity \"restricted:latest\"")
    );
}

fn configured(text: &str) -> (AdmissionOptions, tempfile::NamedTempFile) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let config_file = Some(file.path().to_owned());
    (AdmissionOptions { config_file, ..Default::default() }, file)
}

#[tokio::test]
async fn a_cluster_has_defaults_and_exemptions() {
    let (options, _file) = configured(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n\
         - name: PodSecurity\n  configuration:\n\
         \x20   apiVersion: pod-security.admission.config.k8s.io/v1\n\
         \x20   kind: PodSecurityConfiguration\n\
         \x20   defaults: {enforce: baseline}\n\
         \x20   exemptions: {namespaces: [kube-system], usernames: [trusted], runtimeClasses: [vm]}\n",
    );
    let api = Api::with_admission(options).await;
    let class = json!({"metadata": {"name": "vm"}, "handler": "vm"});
    api.post("/apis/node.k8s.io/v1/runtimeclasses", &class).await.ok();
    api.post(PODS, &pod("p", privileged())).await.fails(403);
    let mut in_vm = pod("v", privileged());
    in_vm["spec"]["runtimeClassName"] = "vm".into();
    api.post(PODS, &in_vm).await.ok();
    let trusted = User::new("trusted", &["system:masters"]);
    api.ask(Method::POST, PODS).by(trusted).json(&pod("t", privileged())).send().await.ok();
    // Its name is what counts, not one like it.
    let other = User::new("trusted2", &["system:masters"]);
    api.ask(Method::POST, PODS).by(other).json(&pod("o", privileged())).send().await.fails(403);
    let account = json!({"metadata": {"name": "default"}});
    api.post("/api/v1/namespaces/kube-system/serviceaccounts", &account).await.ok();
    api.post("/api/v1/namespaces/kube-system/pods", &pod("s", privileged())).await.ok();
    let labels =
        json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    let useless = api.patch("/api/v1/namespaces/kube-system", MERGE, &labels).await;
    assert_eq!(useless.ok().name(), "kube-system");
    assert_eq!(
        warnings(&useless),
        ["299 - \"namespace \"kube-system\" is exempt from Pod Security, and the policy \
          (enforce=restricted:latest) will be ignored\""]
    );
    let counted = String::from_utf8(api.get("/metrics").await.bytes.to_vec()).unwrap();
    let exempt = "pod_security_exemptions_total{request_operation=\"create\",resource=\"pod\",\
                  subresource=\"\"} 3";
    assert!(counted.contains(exempt), "{exempt}");
}
