//! Hooks, lost records and refusals in the life of a pod.

use super::*;

#[tokio::test(start_paused = true)]
async fn nothing_counts_as_started_while_its_hook_runs() {
    let rig = Rig::new();
    let probe = json!({"exec": {"command": ["probe"]}, "periodSeconds": 1});
    rig.create(json!({"containers": [{"name": "a", "readinessProbe": probe,
        "lifecycle": {"postStart": {"exec": {"command": ["wait"]}}}}]}));
    rig.runtime.until_called("exec a wait").await;
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let status = rig.api.get(POD).unwrap()["status"].clone();
    assert_eq!(container(&status, 0)["state"]["waiting"]["reason"], "ContainerCreating");
    assert_eq!(container(&status, 0)["ready"], false);
    assert_ne!(container(&status, 0)["started"], true);
    assert!(!ready(&status), "{status}");
    assert!(!rig.runtime.calls().iter().any(|call| call == "exec a probe"));
    rig.runtime.release();
    rig.until("ready", ready).await;
    assert!(rig.runtime.calls().iter().any(|call| call == "exec a probe"));
}

#[tokio::test(start_paused = true)]
async fn an_old_look_at_the_runtime_starts_nothing_again() {
    let rig = Rig::new();
    rig.runtime.answers_slowly(std::time::Duration::from_millis(50));
    let names = ["a", "b", "c"];
    rig.create(json!({"restartPolicy": "Never", "containers": names.map(|n| json!({"name": n}))}));
    rig.until("all run", |s| (0..3).all(|i| container(s, i)["state"]["running"].is_object())).await;
    for name in names {
        rig.runtime.exit(name, 0);
    }
    rig.until("succeeded", |status| status["phase"] == "Succeeded").await;
    let made = rig.runtime.calls().into_iter().filter(|call| call.starts_with("create "));
    assert_eq!(made.collect::<Vec<_>>(), ["create a", "create b", "create c"]);
}

#[tokio::test(start_paused = true)]
async fn restarts_are_counted_on_where_the_runtime_has_forgotten() {
    let mut rig = Rig::new();
    rig.create(json!({"containers": [{"name": "a"}]}));
    rig.until("ready", ready).await;
    rig.runtime.exit("a", 3);
    rig.until("restarted", |s| container(s, 0)["restartCount"] == 1 && ready(s)).await;
    for count in 2..4 {
        rig.stop().await;
        rig.runtime.forget();
        rig.start();
        let again = |s: &Value| container(s, 0)["restartCount"] == count && ready(s);
        rig.until("started again", again).await;
        let status = rig.api.get(POD).unwrap()["status"].clone();
        let last = &container(&status, 0)["lastState"]["terminated"];
        assert_eq!(
            (&last["reason"], &last["exitCode"]),
            (&json!("ContainerStatusUnknown"), &json!(137))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_started_and_is_not_tried_again_has_ended() {
    let rig = Rig::new();
    rig.runtime.breaks("a");
    let containers = json!([{"name": "a"}, {"name": "b"}]);
    rig.create(json!({"restartPolicy": "Never", "containers": containers}));
    rig.until("b runs", |s| container(s, 1)["state"]["running"].is_object()).await;
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let ended = |status: &Value| {
        let state = &container(status, 0)["state"];
        assert_eq!(state["terminated"]["reason"], "StartError", "{status}");
        assert_eq!(state["terminated"]["exitCode"], 128);
    };
    // While the other runs, and when it has ended too.
    ended(&rig.api.get(POD).unwrap()["status"]);
    rig.runtime.exit("b", 0);
    rig.until("failed", |status| status["phase"] == "Failed").await;
    ended(&rig.api.get(POD).unwrap()["status"]);
    assert!(rig.api.events().iter().any(|event| event == "Failed: Error: no such file"));
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_status_is_refused_can_be_deleted() {
    let rig = Rig::new();
    rig.api.refuse_statuses(true);
    rig.create(json!({"containers": [{"name": "a"}]}));
    rig.api
        .until("somebody is told", |api| {
            api.events().iter().any(|event| event.starts_with("FailedStatusUpdate: "))
        })
        .await;
    rig.delete(1);
    rig.until_gone().await;
}

#[tokio::test(start_paused = true)]
async fn parameters_of_the_node_reject_the_pod() {
    let mut rig = Rig::new();
    rig.create(json!({"containers": [{"name": "a"}], "securityContext":
        {"sysctls": [{"name": "kernel.core_pattern", "value": "|/x"}]}}));
    rig.until("rejected", |status| status["phase"] == "Failed").await;
    let status = rig.api.get(POD).unwrap()["status"].clone();
    assert_eq!(status["reason"], "SysctlForbidden");
    let message = "Pod was rejected: forbidden sysctl: \"kernel.core_pattern\" not allowlisted";
    assert_eq!(status["message"], message);
    assert!(!rig.runtime.calls().iter().any(|call| call == "sandbox"));

    // A kubelet that is started later leaves it so.
    rig.stop().await;
    rig.start();
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(rig.api.get(POD).unwrap()["status"], status);
}

#[tokio::test(start_paused = true)]
async fn a_private_image_is_not_there_for_others() {
    let rig = Rig::new();
    let auths = json!({"auths": {"reg.example": {"username": "u", "password": "p"}}});
    let bytes = k8s_openapi::ByteString(auths.to_string().into_bytes());
    let secret = json!({"metadata": {"namespace": "ns", "name": "s", "uid": "s1"},
        "data": {".dockerconfigjson": bytes}});
    rig.api.put("/api/v1/namespaces/ns/secrets/s", secret);
    let container_of = |policy: &str| json!([{"name": "a", "image": "reg.example/app:1", "imagePullPolicy": policy}]);
    rig.create(json!({"containers": container_of("Always"), "imagePullSecrets": [{"name": "s"}]}));
    rig.until("ready", ready).await;
    rig.delete(1);
    rig.until_gone().await;

    rig.create(json!({"containers": container_of("Never")}));
    let never =
        |status: &Value| container(status, 0)["state"]["waiting"]["reason"] == "ErrImageNeverPull";
    rig.until("not there", never).await;
    rig.delete(1);
    rig.until_gone().await;

    rig.create(json!({"containers": container_of("Never"), "imagePullSecrets": [{"name": "s"}]}));
    rig.until("ready", ready).await;
}

#[tokio::test(start_paused = true)]
async fn names_that_are_none_and_resolvers_lists_that_are_too_long_are_told() {
    let rig = Rig::new();
    let searches: Vec<_> = (0..40).map(|n| format!("d{n}.example")).collect();
    rig.create(json!({"containers": [{"name": "a", "image": "NOT:a name"}],
        "dnsConfig": {"searches": searches}}));
    let invalid =
        |status: &Value| container(status, 0)["state"]["waiting"]["reason"] == "InvalidImageName";
    rig.until("invalid", invalid).await;
    rig.api
        .until("told", |api| {
            let told = |reason: &str| api.events().iter().any(|event| event.starts_with(reason));
            told("DNSConfigForming: Search Line limits were exceeded") && told("InspectFailed: ")
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn users_of_a_pod_are_mapped_or_the_pod_is_told() {
    let rig = Rig::new();
    rig.runtime.without_user_namespaces();
    rig.create(json!({"hostUsers": false, "containers": [{"name": "a"}]}));
    rig.api
        .until("told", |api| {
            api.events().iter().any(|event| {
                event.starts_with("FailedCreatePodSandBox: ")
                    && event.contains("runtime does not support user namespaces")
            })
        })
        .await;
    assert!(!rig.runtime.calls().iter().any(|call| call == "sandbox"));
}
