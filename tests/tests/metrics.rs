//! The metrics endpoints of a cluster in one process.

use e2e::Cluster;

#[track_caller]
fn has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|l| l.starts_with(line)), "{line}\n{text}");
    }
}

#[test]
fn one_process_tells_of_all_its_parts() {
    let cluster = Cluster::start();
    cluster.kubectl("create deployment web --image=registry.invalid/web").ok();
    cluster.kubectl("rollout status deployment/web --timeout=1ms").fails();
    cluster.wait_created("pods");
    let scheduled = "wait --for=condition=PodScheduled pods -l app=web --timeout=60s";
    cluster.kubectl(scheduled).ok();
    let text = cluster.kubectl("get --raw /metrics").ok();
    has(
        &text,
        &[
            "apiserver_request_total{",
            "apiserver_resource_objects{group=\"apps\",resource=\"deployments\"} 1",
            "scheduler_pending_pods{queue=\"active\"} 0",
            "scheduler_schedule_attempts_total{profile=\"default-scheduler\",result=\"scheduled\"} 1",
            "workqueue_adds_total{name=\"deployment\"} ",
            "running_managed_controllers{manager=\"kube-controller-manager\",name=\"job-controller\"} 1",
            "rest_client_requests_total{code=\"201\",host=\"in-process\",method=\"POST\"} ",
            "node_collector_zone_size{zone=\"\"} 1",
            "process_resident_memory_bytes ",
            "kubernetes_build_info{",
        ],
    );
    assert!(!text.contains("kubelet_"), "a node's series are its kubelet's");
    let node = format!("get --raw /api/v1/nodes/{}/proxy/", e2e::machine_name());
    let of_node = |path: &str| cluster.kubectl(&format!("{node}{path}")).ok();
    has(
        &of_node("metrics"),
        &[
            "kubelet_running_pods ",
            "kubelet_runtime_operations_total{operation_type=\"run_podsandbox\"} ",
            "kubelet_certificate_manager_client_ttl_seconds 3",
            "kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"} ",
            "coredns_forward_requests_total ",
        ],
    );
    has(
        &of_node("metrics/resource"),
        &["node_cpu_usage_seconds_total ", "resource_scrape_error 0"],
    );
    has(&of_node("metrics/cadvisor"), &["machine_memory_bytes{", "container_last_seen{"]);
    let summary: serde_json::Value = serde_json::from_str(&of_node("stats/summary")).expect("JSON");
    assert!(summary["node"]["cpu"]["usageNanoCores"].is_u64(), "{summary}");
    cluster.kubectl("delete deployment web --cascade=foreground --timeout=60s").ok();
}
