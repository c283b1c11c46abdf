use super::*;

fn lines(registry: &Registry) -> Vec<String> {
    registry.encode(Format::Text).lines().map(str::to_owned).collect()
}

#[test]
fn text_is_that_of_upstreams_library() {
    let registry = Registry::bare();
    let requests = registry.counters(
        Desc::stable("apiserver_request_total", "Counter of requests, say \"x\""),
        ["verb", "code"],
    );
    requests.with(["LIST", "200"]).inc();
    requests.with(["GET", "404"]).inc_by(2);
    requests.with(["GET", "200"]).inc();
    registry.counter(Desc::alpha("authentication_attempts", "Tries.")).inc();
    registry.gauge(Desc::stable("objects", "How many.").deprecated("1.34.0")).set(2.5);
    let took = registry.histograms(Desc::foreign("took_seconds", "Time"), ["zone"], &[0.05, 1.0]);
    took.with(["a\"\\\n"]).observe(0.05);
    took.with(["a\"\\\n"]).observe(3.0);
    registry.gauges(Desc::alpha("never", "Not observed."), ["x"]);
    registry.collect(Desc::foreign("cpu_seconds_total", "CPU"), Kind::Counter, ["pod"], |s| {
        s.add_at(["b"], 1.5, 1_700_000_000_123);
        s.add_at(["a"], 2.0, 1_700_000_000_123);
    });
    registry.collect(Desc::foreign("nothing", "No samples"), Kind::Gauge, [], |_| {});
    registry.collect(Desc::foreign("plain", "No labels"), Kind::Gauge, [], |s| s.add([], 1e9));
    let want = r#"# HELP apiserver_request_total [STABLE] Counter of requests, say "x"
# TYPE apiserver_request_total counter
apiserver_request_total{code="200",verb="GET"} 1
apiserver_request_total{code="200",verb="LIST"} 1
apiserver_request_total{code="404",verb="GET"} 2
# HELP authentication_attempts [ALPHA] Tries.
# TYPE authentication_attempts counter
authentication_attempts 1
# HELP cpu_seconds_total CPU
# TYPE cpu_seconds_total counter
cpu_seconds_total{pod="a"} 2 1700000000123
cpu_seconds_total{pod="b"} 1.5 1700000000123
# HELP objects [STABLE] (Deprecated since 1.34.0) How many.
# TYPE objects gauge
objects 2.5
# HELP plain No labels
# TYPE plain gauge
plain 1000000000
# HELP took_seconds Time
# TYPE took_seconds histogram
took_seconds_bucket{zone="a\"\\\n",le="0.05"} 1
took_seconds_bucket{zone="a\"\\\n",le="1"} 1
took_seconds_bucket{zone="a\"\\\n",le="+Inf"} 2
took_seconds_sum{zone="a\"\\\n"} 3.05
took_seconds_count{zone="a\"\\\n"} 2
"#;
    assert_eq!(registry.encode(Format::Text), want);
}

#[test]
fn openmetrics_ends_as_it_must_and_names_counters_without_their_suffix() {
    let registry = Registry::bare();
    registry.counter(Desc::alpha("adds_total", "Adds")).inc();
    registry.counter(Desc::alpha("attempts", "Tries")).inc();
    let want = "# HELP adds [ALPHA] Adds\n# TYPE adds counter\nadds_total 1\n\
                # HELP attempts [ALPHA] Tries\n# TYPE attempts unknown\nattempts 1\n# EOF\n";
    assert_eq!(registry.encode(Format::OpenMetrics), want);
}

#[test]
fn the_format_is_negotiated() {
    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=";
    const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=";
    // As Prometheus 3 asks.
    let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                      application/openmetrics-text;version=0.0.1;q=0.4,\
                      text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
                      text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    for (accept, media, escaping) in [
        (None, TEXT, "underscores"),
        (Some("*/*"), TEXT, "underscores"),
        (Some("text/plain;version=0.0.4;escaping=dots"), TEXT, "dots"),
        (Some("text/plain;q=0.9, application/openmetrics-text;q=0.1"), TEXT, "underscores"),
        (Some("application/openmetrics-text"), OPEN, "underscores"),
        (Some("application/openmetrics-text;version=7"), TEXT, "underscores"),
        (Some("application/openmetrics-text;q=0,text/plain"), TEXT, "underscores"),
        (Some(prometheus), OPEN, "allow-utf-8"),
    ] {
        let registry = Registry::bare();
        let answer = registry.scrape(accept);
        assert_eq!(answer.content_type, format!("{media}{escaping}"), "{accept:?}");
        assert_eq!(answer.body.ends_with("# EOF\n"), media == OPEN, "{accept:?}");
        // Samples with timestamps have one form.
        assert!(registry.scrape_text(accept).content_type.starts_with(TEXT));
    }
}

#[test]
fn a_family_cannot_be_made_to_grow_without_end() {
    let registry = Registry::new();
    let family = registry.counters(Desc::alpha("by_whatever_total", "A mistake."), ["a", "b"]);
    let known = family.with(["known", "x"]);
    for i in 0..3 * MAX_SERIES {
        family.with([&format!("{i}"), "x"]).inc();
    }
    assert_eq!(family.len(), MAX_SERIES + 1);
    known.inc();
    family.with(["known", "x"]).inc();
    let text = lines(&registry);
    let rest = 2 * MAX_SERIES + 1;
    for line in [
        "by_whatever_total{a=\"known\",b=\"x\"} 2".to_owned(),
        format!("by_whatever_total{{a=\"unexpected\",b=\"unexpected\"}} {rest}"),
        format!("cardinality_enforcement_unexpected_categorizations_total {rest}"),
    ] {
        assert!(text.contains(&line), "{line}");
    }
}

#[test]
fn series_end_when_what_they_tell_of_does() {
    let family = Registry::bare().gauges(Desc::alpha("probes", "Probes"), ["pod", "probe"]);
    for pod in ["a", "b"] {
        family.with([pod, "live"]).set(1.0);
        family.with([pod, "ready"]).set(1.0);
    }
    family.remove(["a", "live"]);
    assert_eq!(family.len(), 3);
    family.retain(|[pod, _]| pod != "b");
    assert_eq!(family.len(), 1);
}

#[test]
fn a_registry_counts_its_metrics_and_shares_what_is_shared() {
    struct Queues(Family<Gauge, 1>);
    let registry = Registry::new();
    let queues = |registry: &Registry| {
        registry.shared(|r| Queues(r.gauges(Desc::alpha("depth", "Depth"), ["name"])))
    };
    queues(&registry).0.with(["a"]).set(1.0);
    queues(&registry).0.with(["b"]).set(2.0);
    let text = lines(&registry);
    for line in [
        "depth{name=\"a\"} 1",
        "depth{name=\"b\"} 2",
        "registered_metrics_total{deprecated_version=\"\",stability_level=\"ALPHA\"} 2",
        "registered_metrics_total{deprecated_version=\"\",stability_level=\"BETA\"} 3",
        "hidden_metrics_total 0",
    ] {
        assert!(text.iter().any(|l| l == line), "{line}\n{text:#?}");
    }
}

#[test]
fn the_process_is_seen() {
    let registry = Registry::bare();
    process(&registry);
    let text = lines(&registry);
    let value = |name: &str| -> f64 {
        let line = text.iter().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name}")).parse().unwrap()
    };
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    assert!((now - value("process_start_time_seconds")).abs() < 3600.0);
    assert!(value("process_cpu_seconds_total") >= 0.0);
    assert!(value("process_resident_memory_bytes") > 100_000.0);
    assert!(value("process_virtual_memory_bytes") > value("process_resident_memory_bytes"));
    assert!(value("process_network_receive_bytes_total") >= 0.0);
    assert!(value("process_open_fds") >= 3.0);
    assert!(value("process_max_fds") >= value("process_open_fds"));
}

#[test]
fn bounds_are_upstreams() {
    let bounds = buckets::exponential(10e-9, 10.0, 10);
    assert_eq!(bounds.len(), 10);
    let registry = Registry::bare();
    registry.histogram(Desc::alpha("h", "h"), &bounds).observe(0.0);
    let text = registry.encode(Format::Text);
    // As a scrape of upstream's workqueue metrics shows them.
    for bound in ["1e-08", "1e-07", "1e-06", "9.999999999999999e-06", "9.999999999999999e-05"] {
        assert!(text.contains(&format!("le=\"{bound}\"")), "{bound}\n{text}");
    }
    assert_eq!(buckets::linear(1.0, 2.0, 3), [1.0, 3.0, 5.0]);
}

#[test]
fn a_registry_has_what_upstream_promises_of_it() {
    assert_eq!(stable::differences(&Registry::new(), &["registry"]), [""; 0]);
    let levels = ServiceLevels::default();
    assert_eq!(stable::differences(&levels.registry, &["slis"]), [""; 0]);
    let registry = Registry::bare();
    registry.gauge(Desc::stable("scheduler_pending_pods", "Without its label."));
    let found = stable::differences(&registry, &["kubelet/probes"]);
    assert_eq!(
        found,
        [
            "- prober_probe_total counter BETA container,namespace,pod,pod_uid,probe_type,result",
            "+ scheduler_pending_pods gauge STABLE -",
        ]
    );
}
