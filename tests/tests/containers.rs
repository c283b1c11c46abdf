//! Containers: commands, streams, files, identities, limits, probes, hooks.

use std::io::Write;
use std::process::Stdio;

use e2e::{BUSYBOX, Cluster};

/// A pod of one busybox container; `spec` is YAML in flow style, without its braces.
fn pod(name: &str, script: &str, spec: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}, tier: "back"}}, annotations: {{note: "a b"}}}}
spec:
  terminationGracePeriodSeconds: 2
  restartPolicy: Never
  containers:
  - {{name: main, image: "{BUSYBOX}", command: [sh, -c, '{script}']{spec}}}
"#
    )
}

fn cluster() -> Cluster {
    let cluster = Cluster::start();
    cluster.import_busybox();
    cluster
}

/// Runs a pod to its end and gives its log.
fn log_of(cluster: &Cluster, name: &str) -> String {
    cluster.wait(&format!("--for=jsonpath={{.status.phase}}=Succeeded pod/{name}"));
    cluster.kubectl(&format!("logs {name}")).ok()
}

#[test]
fn streams_work_both_ways() {
    let cluster = cluster();
    cluster.apply(&pod(
        "shell",
        "echo one; echo two >&2; while read l; do echo got $l; done; sleep 1000",
        ", stdin: true",
    ));
    cluster.wait("--for=condition=Ready pod/shell");

    // exec with input, with and without a terminal, and both kinds of clients.
    for old in [false, true] {
        let mut command =
            if old { cluster.oldest_kubectl_command() } else { cluster.kubectl_command() };
        command.args(["exec", "-i", "shell", "--", "sh", "-c", "tr a-z A-Z; exit 7"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl starts");
        let input = "hello\n".repeat(50_000);
        let mut stdin = child.stdin.take().expect("its input");
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().expect("it ends");
        writer.join().expect("no panic").expect("written");
        assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout == "HELLO\n".repeat(50_000).as_bytes(), "streams differ");
    }
    let mut attach = cluster.kubectl_command();
    attach.args(["attach", "-i", "shell"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut attach = attach.spawn().expect("kubectl starts");
    attach.stdin.as_mut().expect("its input").write_all(b"line\n").expect("written");
    cluster.wait_said("shell", "got line");
    assert_eq!(cluster.kubectl("logs -f shell --limit-bytes=4").ok(), "one\n");
    attach.kill().expect("ended");
    attach.wait().expect("ended");

    let local = cluster.dir().join("file");
    std::fs::write(&local, "x".repeat(300_000)).expect("written");
    let back = cluster.dir().join("back");
    cluster.kubectl(&format!("cp {} shell:/tmp/file", local.display())).ok();
    cluster.kubectl(&format!("cp shell:/tmp/file {}", back.display())).ok();
    assert!(std::fs::read(&local).expect("read") == std::fs::read(&back).expect("read"));

    let stamped = cluster.kubectl("logs shell --timestamps --tail=1").ok();
    assert!(stamped.starts_with("20") && stamped.contains("Z got line"), "{stamped}");
    cluster.kubectl("exec shell -- sleep 2").ok();
    let quiet = cluster.kubectl("logs shell --since=1s").ok();
    assert!(!quiet.contains("one"), "{quiet}");
    let wrong = cluster.kubectl("logs shell -c other").fails();
    assert!(wrong.contains("container other is not valid for pod shell"), "{wrong}");
}

#[test]
fn volumes_and_environment_hold_what_they_should() {
    let cluster = cluster();
    cluster
        .kubectl("create configmap conf --from-literal=color=blue --from-literal=b.txt=bee")
        .ok();
    cluster.kubectl("create secret generic sec --from-literal=key=hush").ok();
    let script = "echo $color $KEY $NAME $IP_SET $CPU $MIRROR; cat /conf/b.txt; echo; cat /sec/key; echo; \
        cat /down/labels; echo; cat /down/mem; echo; ls /proj; wc -c < /proj/token; stat -c %a /sec/..data/key; \
        mount | grep -c \"/shm-like type tmpfs\"; echo made > /empty/made; cat /sub; \
        touch /conf/b.txt 2> /dev/null || echo :read-only; hostname; cat /etc/hosts | grep -c volumes; \
        cat /var/run/secrets/kubernetes.io/serviceaccount/namespace";
    let manifest = format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: volumes, labels: {{app: x}}}}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: "{BUSYBOX}"
    command: [sh, -c, '{script}']
    resources: {{limits: {{memory: 64Mi, cpu: 500m}}}}
    envFrom: [{{configMapRef: {{name: conf}}}}]
    env:
    - {{name: KEY, valueFrom: {{secretKeyRef: {{name: sec, key: key}}}}}}
    - {{name: NAME, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}
    - {{name: IP, valueFrom: {{fieldRef: {{fieldPath: status.podIP}}}}}}
    - {{name: IP_SET, value: "ip-$(IP)"}}
    - {{name: CPU, valueFrom: {{resourceFieldRef: {{resource: limits.cpu, divisor: 1m}}}}}}
    - {{name: MIRROR, value: "$(color)-$$(color)-$(UNSET)"}}
    volumeMounts:
    - {{name: conf, mountPath: /conf}}
    - {{name: sec, mountPath: /sec}}
    - {{name: down, mountPath: /down}}
    - {{name: proj, mountPath: /proj}}
    - {{name: empty, mountPath: /empty}}
    - {{name: ram, mountPath: /shm-like}}
    - {{name: conf, mountPath: /sub, subPath: color}}
  volumes:
  - {{name: conf, configMap: {{name: conf}}}}
  - {{name: sec, secret: {{secretName: sec, defaultMode: 0400}}}}
  - name: down
    downwardAPI:
      items:
      - {{path: labels, fieldRef: {{fieldPath: metadata.labels}}}}
      - {{path: mem, resourceFieldRef: {{containerName: main, resource: limits.memory}}}}
  - name: proj
    projected:
      sources:
      - serviceAccountToken: {{path: token, audience: vault, expirationSeconds: 600}}
      - configMap: {{name: conf, items: [{{key: color, path: c}}]}}
  - {{name: empty, emptyDir: {{}}}}
  - {{name: ram, emptyDir: {{medium: Memory}}}}
"#
    );
    cluster.apply(&manifest);
    let log = log_of(&cluster, "volumes");
    let ip = cluster.kubectl("get pod volumes -o jsonpath={.status.podIP}").ok();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[0], format!("blue hush volumes ip-{ip} 500 blue-$(color)-$(UNSET)"), "{log}");
    assert_eq!(lines[1..4], ["bee", "hush", r#"app="x""#], "{log}");
    assert_eq!(lines[4], (64 << 20).to_string(), "{log}");
    assert_eq!(lines[5..7], ["c", "token"], "{log}");
    assert!(lines[7].trim().parse::<usize>().expect("a length") > 500, "{log}");
    assert_eq!(lines[8..], ["400", "1", "blue:read-only", "volumes", "1", "default"], "{log}");
}

#[test]
fn containers_run_as_they_are_told() {
    let cluster = cluster();
    cluster.apply(&pod(
        "who",
        "id -u; id -g; id -G; touch /x 2>&1; grep -E \"^(CapEff|NoNewPrivs|Seccomp):\" /proc/self/status",
        ", securityContext: {runAsUser: 1000, runAsGroup: 3000, readOnlyRootFilesystem: true, \
         allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}",
    ));
    let log = log_of(&cluster, "who");
    assert!(log.starts_with("1000\n3000\n3000\n"), "{log}");
    assert!(log.contains("Read-only file system"), "{log}");
    for word in ["CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(log.contains(word), "{word}: {log}");
    }

    // A memory hog is killed and says so.
    cluster.apply(&pod(
        "hog",
        "tail -c 200000000 /dev/zero | wc -c; exit 1",
        ", resources: {limits: {memory: 16Mi}}",
    ));
    cluster.wait("--for=jsonpath={.status.phase}=Failed pod/hog");
    let state = "jsonpath={.status.containerStatuses[0].state.terminated.reason}";
    let reason = cluster.kubectl(&format!("get pod hog -o {state}")).ok();
    assert!(reason == "OOMKilled" || reason == "Error", "{reason}");

    // Exit codes and messages.
    cluster.apply(&pod("fails", "echo why > /dev/termination-log; exit 3", ""));
    cluster.wait("--for=jsonpath={.status.phase}=Failed pod/fails");
    let ended = "get pod fails -o jsonpath={.status.containerStatuses[0].state.terminated";
    assert_eq!(cluster.kubectl(&format!("{ended}.exitCode}}")).ok(), "3");
    assert_eq!(cluster.kubectl(&format!("{ended}.message}}")).ok(), "why\n");
}

#[test]
fn init_containers_sidecars_hooks_and_probes_take_their_turns() {
    let cluster = cluster();
    let manifest = format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: turns}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 5
  initContainers:
  - {{name: first, image: "{BUSYBOX}", command: [sh, -c, "echo first > /w/log"], volumeMounts: [{{name: w, mountPath: /w}}]}}
  - name: side
    image: "{BUSYBOX}"
    restartPolicy: Always
    command: [sh, -c, "echo side >> /w/log; touch /w/side; sleep 1000"]
    startupProbe: {{exec: {{command: [test, -f, /w/side]}}, periodSeconds: 1}}
    volumeMounts: [{{name: w, mountPath: /w}}]
  containers:
  - name: main
    image: "{BUSYBOX}"
    command: [sh, -c, "test -f /w/started; cat /w/log; sleep 2"]
    lifecycle: {{postStart: {{exec: {{command: [touch, /w/started]}}}}}}
    volumeMounts: [{{name: w, mountPath: /w}}]
  volumes: [{{name: w, emptyDir: {{}}}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: sick}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: "{BUSYBOX}"
    command: [sh, -c, "touch /ok; sleep 1; rm /ok; sleep 1000"]
    livenessProbe: {{exec: {{command: [cat, /ok]}}, periodSeconds: 1, failureThreshold: 1}}
"#
    );
    cluster.apply(&manifest);
    cluster.wait("--for=jsonpath={.status.phase}=Succeeded pod/turns");
    assert_eq!(cluster.kubectl("logs turns -c main").ok(), "first\nside\n");

    cluster.wait("--for=jsonpath={.status.containerStatuses[0].restartCount}=1 pod/sick");
    cluster.kubectl("logs sick --previous").ok();
    let events = cluster.kubectl("get events --field-selector involvedObject.name=sick").ok();
    assert!(events.contains("Unhealthy") && events.contains("Killing"), "{events}");
}
