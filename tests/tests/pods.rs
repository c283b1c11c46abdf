//! Everyday work with pods by stock kubectl, the newest and the oldest that is supported.

use e2e::Cluster;

const POD: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 2
  containers:
  - name: web
    image: coxswain.local/demo:v1
    env: [{name: GREETING, value: Ahoy}]
    ports: [{containerPort: 8080}]
"#;

#[test]
fn a_pod_lives_and_can_be_talked_to() {
    let cluster = Cluster::start();
    let nodes = cluster.kubectl("get nodes").ok();
    assert!(nodes.contains(" Ready "), "{nodes}");

    cluster.apply(POD);
    cluster.wait("--for=condition=Ready pod/web");
    let ip = cluster.kubectl("get pod web -o jsonpath={.status.podIP}").ok();

    let get = "-- /coxswain demo get http://127.0.0.1:8080/";
    assert_eq!(cluster.kubectl(&format!("exec web {get}")).ok(), "Ahoy from web\n");
    assert_eq!(cluster.oldest_kubectl(&format!("exec web {get}")).ok(), "Ahoy from web\n");
    // A failing command's exit code comes through.
    let refused = cluster.kubectl("exec web -- /coxswain demo get http://127.0.0.1:9/");
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    let missing = cluster.kubectl("exec web -- /no/such/program").fails();
    assert!(missing.contains("no such file or directory"), "{missing}");

    for logs in [cluster.kubectl("logs web"), cluster.oldest_kubectl("logs web --tail=10")] {
        let logs = logs.ok();
        assert!(logs.contains("listening on port 8080") && logs.contains("GET /"), "{logs}");
    }
    assert_eq!(cluster.kubectl("logs web --tail=0").ok(), "");

    let wide = cluster.kubectl("get pods -o wide").ok();
    assert!(wide.contains("1/1") && wide.contains("Running") && wide.contains(&ip), "{wide}");
    let described = cluster.kubectl("describe pod web").ok();
    for word in ["Scheduled", "Pulled", "Created", "Started", "Successfully assigned default/web"] {
        assert!(described.contains(word), "{word} is missing in\n{described}");
    }

    cluster.kubectl("delete pod web").ok();
    assert!(cluster.kubectl("get pod web").fails().contains("NotFound"));
}

#[test]
fn objects_are_edited_as_upstream_would() {
    let cluster = Cluster::start();
    cluster.kubectl("create configmap c --from-literal=a=1").ok();
    cluster.kubectl("label configmap c x=y").ok();
    cluster.kubectl("annotate configmap c note=n").ok();
    cluster.oldest_kubectl("patch configmap c --type=merge -p {\"data\":{\"b\":\"2\"}}").ok();
    assert_eq!(cluster.kubectl("get cm c -o jsonpath={.data}").ok(), r#"{"a":"1","b":"2"}"#);
    assert_eq!(cluster.kubectl("get cm -l x=y -o name").ok(), "configmap/c\n");
    assert_eq!(cluster.kubectl("get cm -l x!=y,x -o name").ok(), "");

    let unknown = "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\"},\"spec\":{\"containerz\":[]}}";
    let path = cluster.dir().join("bad.json");
    std::fs::write(&path, unknown).expect("written");
    let refused = cluster.kubectl(&format!("create -f {}", path.display())).fails();
    assert!(refused.contains("unknown field \"spec.containerz\""), "{refused}");

    assert!(cluster.kubectl("auth can-i delete pods --as=nobody").stdout.starts_with("no"));
    assert!(
        cluster.kubectl("explain deployment.spec.replicas").ok().contains("Number of desired pods")
    );
    assert!(cluster.oldest_kubectl("explain pod.spec").ok().contains("containers"));
    let resources = cluster.kubectl("api-resources -o name").ok();
    assert!(resources.lines().count() > 55, "{resources}");
}
