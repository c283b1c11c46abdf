//! Stock helm with a chart of its own making.

use e2e::Cluster;

const TEST_POD: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: "{{ include "chart.fullname" . }}-test"
  annotations: {"helm.sh/hook": test}
spec:
  restartPolicy: Never
  containers:
  - name: get
    image: coxswain.local/demo:v1
    args: [get, 'http://{{ include "chart.fullname" . }}:{{ .Values.service.port }}/']
"#;

#[test]
fn a_chart_is_installed_upgraded_tested_rolled_back_and_removed() {
    let cluster = Cluster::start();
    let chart = cluster.dir().join("chart");
    let chart = chart.to_string_lossy();
    cluster.helm(&format!("create {chart}")).ok();
    let test = format!("{chart}/templates/tests/test-connection.yaml");
    std::fs::write(test, TEST_POD).expect("written");

    let values = "--set image.repository=coxswain.local/demo,image.tag=v1,service.port=8080";
    cluster.helm(&format!("install web {chart} {values} --wait --timeout 60s")).ok();
    let tested = cluster.helm("test web --timeout 60s").ok();
    assert!(tested.contains("Succeeded"), "{tested}");

    cluster.helm(&format!("upgrade web {chart} {values},replicaCount=2 --wait --timeout 60s")).ok();
    let replicas = "get deployment web-chart -o jsonpath={.status.readyReplicas}";
    assert_eq!(cluster.kubectl(replicas).ok(), "2");
    cluster.helm("rollback web 1 --wait --timeout 60s").ok();
    assert_eq!(cluster.kubectl("get deployment web-chart -o jsonpath={.spec.replicas}").ok(), "1");
    let history = cluster.helm("history web").ok();
    assert!(history.contains("Rollback to 1"), "{history}");

    cluster.helm("uninstall web --wait --timeout 60s").ok();
    assert_eq!(cluster.helm("list -q").ok(), "");
    cluster.kubectl("wait --for=delete pod -l app.kubernetes.io/name=chart --timeout=30s").ok();
    let left = cluster.kubectl(
        "get deployments,replicasets,services,pods -l app.kubernetes.io/name=chart -o name",
    );
    assert_eq!(left.ok(), "");
}
