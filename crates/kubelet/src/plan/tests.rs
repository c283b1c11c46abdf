use super::*;
use crate::testing::{container, pod, sandbox};
use serde_json::{Value, json};

fn healthy(_: &str) -> Health {
    Health { started: true, ..Health::default() }
}

/// `a:running`, `a:exited=1`, `a:created`, `b:exited=0@0` (in sandbox 0; the default is 1).
fn view(sandboxes: Vec<runtime::SandboxStatus>, containers: &[&str]) -> PodView {
    let mut view = PodView { sandboxes, containers: Vec::new() };
    for (attempt, text) in containers.iter().enumerate() {
        view.containers.insert(0, container(text, attempt as u32));
    }
    view
}

fn summary(plan: &Plan) -> String {
    let mut parts = Vec::new();
    if plan.kill_pod {
        parts.push("killpod".to_owned());
    }
    parts.extend(plan.create_sandbox.map(|attempt| format!("sandbox{attempt}")));
    parts.extend(plan.kill.iter().map(|kill| format!("-{}", kill.name)));
    parts.extend(plan.start.iter().map(|name| format!("+{name}")));
    parts.join(" ")
}

fn check(spec: Value, containers: &[&str], wanted: &str) {
    let view = view(vec![sandbox(1, SandboxState::Ready)], containers);
    let got = plan(&pod(spec.clone()), &view, healthy);
    assert_eq!(summary(&got), wanted, "{containers:?} of {spec}");
}

#[test]
fn a_new_pod_gets_a_sandbox_and_a_lost_one_is_replaced() {
    let spec = json!({"containers": [{"name": "a"}]});
    let table: [(Vec<runtime::SandboxStatus>, &[&str], &str); 4] = [
        (vec![], &[], "sandbox0"),
        (vec![sandbox(0, SandboxState::NotReady)], &[], "sandbox1"),
        (vec![sandbox(0, SandboxState::NotReady)], &["a:running@0"], "killpod sandbox1"),
        (vec![sandbox(0, SandboxState::NotReady)], &["a:exited=0@0"], "sandbox1"),
    ];
    for (sandboxes, containers, wanted) in table {
        let got = plan(&pod(spec.clone()), &view(sandboxes, containers), healthy);
        assert_eq!(summary(&got), wanted, "{containers:?}");
    }
    let never = pod(json!({"restartPolicy": "Never", "containers": [{"name": "a"}]}));
    let done = view(vec![sandbox(0, SandboxState::NotReady)], &["a:exited=1@0"]);
    assert_eq!(summary(&plan(&never, &done, healthy)), "", "nothing is left to run");
}

#[test]
fn restart_policies() {
    for (policy, exited, wanted) in [
        ("Always", "a:exited=0", "+a"),
        ("OnFailure", "a:exited=1", "+a"),
        ("OnFailure", "a:exited=0", "killpod"),
        ("Never", "a:exited=1", "killpod"),
        ("Never", "a:created", "+a"),
    ] {
        let spec = json!({"restartPolicy": policy, "containers": [{"name": "a"}]});
        check(spec, &[exited], wanted);
    }
    let two = json!({"restartPolicy": "Never", "containers": [{"name": "a"}, {"name": "b"}]});
    check(two, &["a:exited=0", "b:running"], "");
    let rules = json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]);
    for (code, wanted) in [("a:exited=42", "+a"), ("a:exited=1", "killpod")] {
        let own = json!({"name": "a", "restartPolicy": "Never", "restartPolicyRules": rules});
        check(json!({"containers": [own]}), &[code], wanted);
    }
}

#[test]
fn init_containers_run_one_by_one() {
    let spec = json!({
        "initContainers": [{"name": "i"}, {"name": "j"}], "containers": [{"name": "a"}],
    });
    let table: [(&[&str], &str); 6] = [
        (&[], "+i"),
        (&["i:running"], ""),
        (&["i:exited=0"], "+j"),
        (&["i:exited=1"], "+i"),
        (&["i:exited=0", "j:exited=0"], "+a"),
        (&["i:exited=0", "j:exited=0", "a:exited=1"], "+a"),
    ];
    for (containers, wanted) in table {
        check(spec.clone(), containers, wanted);
    }
    let mut never = spec.clone();
    never["restartPolicy"] = "Never".into();
    check(never, &["i:exited=1"], "killpod");
    // In a new sandbox everything begins again.
    check(spec, &["i:exited=0@0", "j:exited=0@0", "a:exited=1@0"], "+i");
}

#[test]
fn sidecars_are_kept_running() {
    let spec = json!({
        "initContainers": [{"name": "s", "restartPolicy": "Always"}, {"name": "i"}],
        "containers": [{"name": "a"}], "restartPolicy": "Never",
    });
    let table: [(&[&str], &str); 6] = [
        (&[], "+s"),
        (&["s:running"], "+i"),
        (&["s:running", "i:running"], ""),
        (&["s:exited=1", "i:running"], "+s"),
        (&["s:exited=0", "i:exited=0", "a:running"], "+s"),
        (&["s:running", "i:exited=0", "a:exited=0"], "killpod"),
    ];
    for (containers, wanted) in table {
        check(spec.clone(), containers, wanted);
    }
    let view = view(vec![sandbox(1, SandboxState::Ready)], &["s:running"]);
    let starting = plan(&pod(spec), &view, |_| Health::default());
    assert_eq!(summary(&starting), "", "it has not started yet");
}

#[test]
fn failed_probes_and_changed_images_kill() {
    let probe = json!({"terminationGracePeriodSeconds": 7});
    let spec = json!({"containers": [{"name": "a", "livenessProbe": probe}]});
    let view = view(vec![sandbox(1, SandboxState::Ready)], &["a:running"]);
    let sick = Health { started: true, liveness_failed: true, ..Health::default() };
    let got = plan(&pod(spec), &view, |_| sick);
    assert_eq!(got.kill[0].message, "Container a failed liveness probe, will be restarted");
    assert_eq!(got.kill[0].grace, Some(7));

    let other = json!({"containers": [{"name": "a", "image": "other"}]});
    let got = plan(&pod(other.clone()), &view, healthy);
    assert_eq!(got.kill[0].message, "Container a definition changed, will be restarted");
    let mut never = other;
    never["restartPolicy"] = "Never".into();
    check(never, &["a:exited=137"], "+a");
}

#[test]
fn ephemeral_containers_are_started_once() {
    let spec = json!({"containers": [{"name": "a"}], "ephemeralContainers": [{"name": "e"}]});
    check(spec.clone(), &["a:running"], "+e");
    check(spec, &["a:running", "e:exited=1"], "");
}

#[test]
fn what_its_resources_outgrew_is_replaced_however_it_ended() {
    let spec = json!({"restartPolicy": "OnFailure", "containers": [{"name": "a"}, {"name": "b"}],
                      "initContainers": [{"name": "s", "restartPolicy": "Always"}]});
    let table: [(&[&str], &str); 3] = [
        (&["s:running", "a:running", "b:running"], "-s -a -b"),
        (&["s:exited=0", "a:exited=0", "b:running"], "+s +a -b"),
        (&["s:running", "a:created", "b:exited=0"], "-s +a +b"),
    ];
    for (containers, wanted) in table {
        let view = view(vec![sandbox(1, SandboxState::Ready)], containers);
        let outgrown = |_: &str| Health { started: true, outgrown: true, ..Health::default() };
        let got = plan(&pod(spec.clone()), &view, outgrown);
        let mut parts: Vec<_> = summary(&got).split(' ').map(str::to_owned).collect();
        let mut expected: Vec<_> = wanted.split(' ').map(str::to_owned).collect();
        parts.sort();
        expected.sort();
        assert_eq!(parts, expected, "{containers:?}");
    }
}
