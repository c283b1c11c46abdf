//! The audit: what the log says of requests, and what it must not cost or reveal.

use std::path::PathBuf;

use apimachinery::ObjectExt;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::Api;
use super::webhooks::Webhook;
use crate::{
    AuditFormat, AuditLog, AuditMode, AuditOptions, AuditTruncate, AuditWebhook, StartError, User,
};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A server with an audit log, and where the log is.
struct Audited {
    api: Api,
    dir: tempfile::TempDir,
}

fn options(dir: &tempfile::TempDir, rules: &str) -> AuditOptions {
    let policy = dir.path().join("policy.yaml");
    let text = format!("apiVersion: audit.k8s.io/v1\nkind: Policy\n{rules}");
    std::fs::write(&policy, text).unwrap();
    let log = AuditLog::new(dir.path().join("audit.log"));
    AuditOptions { policy_file: Some(policy), log: Some(log), webhook: None }
}

impl Audited {
    async fn new(rules: &str) -> Self {
        Self::with(rules, |_| {}).await
    }

    async fn with(rules: &str, change: impl FnOnce(&mut AuditLog)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = options(&dir, rules);
        change(options.log.as_mut().unwrap());
        let api = Api::with_audit(options).await.unwrap();
        Self { api, dir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("audit.log")
    }

    fn events(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The events of requests with an audit ID.
    fn of(&self, id: &str) -> Vec<Value> {
        self.events().into_iter().filter(|event| event["auditID"] == id).collect()
    }
}

fn stages(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["stage"].as_str().unwrap()).collect()
}

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"k": "v"}})
}

#[tokio::test]
async fn an_event_says_who_did_what_and_how_it_ended() {
    let audited = Audited::new("rules: [{level: RequestResponse}]\nomitManagedFields: true").await;
    let answer = audited
        .api
        .ask(Method::POST, &format!("{MAPS}?fieldManager=m"))
        .header("audit-id", "mine")
        .header("user-agent", "tool/1")
        .header("x-forwarded-for", "10.1.2.3")
        .json(&map("a"))
        .send()
        .await;
    answer.ok();
    let events = audited.of("mine");
    assert_eq!(stages(&events), ["RequestReceived", "ResponseComplete"]);
    let event = &events[1];
    for (field, want) in [
        ("kind", json!("Event")),
        ("apiVersion", json!("audit.k8s.io/v1")),
        ("level", json!("RequestResponse")),
        ("requestURI", json!(format!("{MAPS}?fieldManager=m"))),
        ("verb", json!("create")),
        (
            "user",
            json!({"username": "tester", "groups": ["system:masters", "system:authenticated"]}),
        ),
        ("sourceIPs", json!(["10.1.2.3"])),
        ("userAgent", json!("tool/1")),
        (
            "objectRef",
            json!({
                "resource": "configmaps", "namespace": "default", "name": "a", "apiVersion": "v1",
            }),
        ),
        ("responseStatus", json!({"metadata": {}, "code": 201})),
        (
            "annotations",
            json!({
                "authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": "",
            }),
        ),
    ] {
        assert_eq!(event[field], want, "{field}: {event}");
    }
    assert_eq!(event["requestObject"]["data"]["k"], "v");
    assert_eq!(event["responseObject"]["metadata"]["name"], "a");
    assert!(!event["responseObject"]["metadata"]["uid"].is_null());
    assert!(event["responseObject"]["metadata"]["managedFields"].is_null());
    assert_eq!(events[0]["stageTimestamp"], event["requestReceivedTimestamp"]);
    assert!(events[0]["objectRef"]["name"].is_null());

    // A patch is recorded as it is, and an error with its status.
    let refused = audited
        .api
        .ask(Method::PATCH, &format!("{MAPS}/missing"))
        .header("audit-id", "patch")
        .header("content-type", "application/merge-patch+json")
        .body(r#"{"data":{"x":"y"}}"#)
        .send()
        .await;
    refused.fails(404);
    let event = audited.of("patch").pop().unwrap();
    assert_eq!(event["requestObject"], json!({"data": {"x": "y"}}));
    assert_eq!(event["responseStatus"]["reason"], "NotFound");
    assert_eq!(event["responseStatus"]["code"], 404);
    assert_eq!(event["responseObject"]["kind"], "Status");

    // In other encodings too.
    let list = audited.api.ask(Method::GET, MAPS).header("audit-id", "list");
    let list = list.header("accept", "application/vnd.kubernetes.protobuf").send().await;
    assert!(list.code.is_success());
    let event = audited.of("list").pop().unwrap();
    assert_eq!(event["responseObject"]["kind"], "ConfigMapList");
    assert_eq!(event["responseObject"]["items"][0]["data"]["k"], "v");
    assert!(!event["responseObject"].to_string().contains("managedFields"));
}

#[tokio::test]
async fn a_level_records_no_more_than_it_says() {
    let rules = "rules:
- {level: None, users: [quiet]}
- {level: Metadata, resources: [{resources: [secrets]}]}
- {level: Request, omitStages: [RequestReceived], verbs: [create]}";
    let audited = Audited::new(rules).await;
    let secrets = "/api/v1/namespaces/default/secrets";
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"p": "hunter2"}});
    let ask = audited.api.ask(Method::POST, secrets).header("authorization", "Bearer t0ken");
    ask.json(&secret).send().await.ok();
    audited.api.get(&format!("{secrets}/s")).await.ok();
    let quiet = User::new("quiet", &["system:masters"]);
    audited.api.ask(Method::POST, MAPS).by(quiet).json(&map("quiet")).send().await.ok();
    audited.api.post(MAPS, &map("a")).await.ok();
    let text = std::fs::read_to_string(audited.path()).unwrap();
    assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg") && !text.contains("t0ken"));
    assert!(!text.contains("quiet"));
    let maps = audited.events();
    let maps: Vec<_> = maps.iter().filter(|e| e["objectRef"]["resource"] == "configmaps").collect();
    assert_eq!(maps.len(), 1);
    assert_eq!(maps[0]["requestObject"]["metadata"]["name"], "a");
    assert!(maps[0]["responseObject"].is_null());
}

#[tokio::test]
async fn a_long_request_is_complete_when_its_stream_is() {
    let audited = Audited::new("rules: [{level: RequestResponse}]").await;
    let ask = audited.api.ask(Method::GET, &format!("{MAPS}?watch=1")).header("audit-id", "w");
    let mut body = ask.open().await.into_body();
    assert_eq!(stages(&audited.of("w")), ["RequestReceived", "ResponseStarted"]);
    audited.api.post(MAPS, &map("a")).await.ok();
    while let Some(frame) = body.frame().await {
        if frame.unwrap().into_data().is_ok_and(|data| !data.is_empty()) {
            break;
        }
    }
    drop(body);
    let events = audited.of("w");
    assert_eq!(stages(&events), ["RequestReceived", "ResponseStarted", "ResponseComplete"]);
    assert_eq!(events[2]["responseStatus"]["code"], 200);
    assert!(events[2]["responseObject"].is_null());
}

#[tokio::test]
async fn refusals_name_their_reason_and_the_impersonated() {
    let audited = Audited::new("rules: [{level: Metadata}]").await;
    let ask = audited.api.ask(Method::GET, MAPS).header("audit-id", "imp");
    ask.header("impersonate-user", "somebody").send().await.fails(403);
    let event = audited.of("imp").pop().unwrap();
    assert_eq!(event["user"]["username"], "tester");
    assert_eq!(event["impersonatedUser"]["username"], "somebody");
    let constraint = &event["authenticationMetadata"]["impersonationConstraint"];
    assert_eq!(constraint, "impersonate:user-info");
    assert_eq!(event["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert_eq!(event["responseStatus"]["reason"], "Forbidden");
    assert_eq!(event["responseStatus"]["code"], 403);
}

/// A request that its sender could not authenticate, and one over a connection of its own.
#[tokio::test]
async fn a_failed_authentication_is_audited_with_its_address() {
    let audited = Audited::new("rules: [{level: Metadata}]").await;
    let ask = http::Request::builder().uri(MAPS).header("authorization", "Bearer wrong.t0.ken");
    let ask = ask.header("audit-id", "nobody").body(crate::body::full("")).unwrap();
    let answer = audited.api.server().handle(ask, None).await;
    assert_eq!(answer.status(), 401);
    let events = audited.of("nobody");
    assert_eq!(stages(&events), ["ResponseStarted"]);
    assert_eq!(events[0]["user"], json!({}));
    assert_eq!(events[0]["responseStatus"]["code"], 401);
    assert!(!events[0].to_string().contains("wrong.t0.ken"));

    let mut stream = audited.api.connect().await;
    let head = "GET /version HTTP/1.1\r\nhost: x\r\naudit-id: tls\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let event = audited.of("tls").pop().unwrap();
    assert_eq!(event["sourceIPs"], json!(["127.0.0.1"]));
    assert!(event["objectRef"].is_null());
    assert_eq!(event["verb"], "get");
}

#[tokio::test]
async fn what_a_client_says_stays_one_bounded_line() {
    let audited =
        Audited::with("rules: [{level: Metadata}]", |log| log.format = AuditFormat::Legacy).await;
    let long = "i".repeat(4000);
    let agent = "a".repeat(5000);
    let ask = audited.api.ask(Method::GET, "/version?x=%0Ay").header("audit-id", &long);
    ask.header("user-agent", &agent).send().await.ok();
    let text = std::fs::read_to_string(audited.path()).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains(&long)).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line.contains(" AUDIT: id=\"")), "{lines:?}");
    assert!(lines[0].contains(&format!("user-agent=\"{}...TRUNCATED\"", "a".repeat(1024))));
    assert!(lines[0].ends_with("response=\"<deferred>\""));
    assert!(lines[1].ends_with("response=\"200\""), "{}", lines[1]);
}

#[tokio::test]
async fn a_large_event_loses_its_objects_and_says_so() {
    let audited = Audited::with("rules: [{level: Request}]", |log| {
        log.truncate = Some(AuditTruncate { max_event_size: 4096, max_batch_size: 4096 });
    });
    let audited = audited.await;
    let large = json!({"metadata": {"name": "l"}, "data": {"k": "x".repeat(10_000)}});
    let ask = audited.api.ask(Method::POST, MAPS).header("audit-id", "large");
    ask.json(&large).send().await.ok();
    let event = audited.of("large").pop().unwrap();
    assert!(event["requestObject"].is_null());
    assert_eq!(event["annotations"]["audit.k8s.io/truncated"], "true");
    // Even what is left may be too large: it is counted.
    let long = "i".repeat(5000);
    audited.api.ask(Method::GET, "/version").header("audit-id", &long).send().await.ok();
    assert_eq!(audited.of(&long).len(), 0);
    let scraped = audited.api.get("/metrics").await;
    let scraped = String::from_utf8_lossy(&scraped.bytes).into_owned();
    assert!(scraped.contains("apiserver_audit_error_total{plugin=\"truncate\"} 2"), "{scraped}");
}

#[tokio::test]
async fn events_wait_in_a_buffer_and_are_all_written() {
    let audited =
        Audited::with("rules: [{level: Metadata}]", |log| log.mode = AuditMode::Batch).await;
    for i in 0..20 {
        audited.api.post(MAPS, &map(&format!("m{i}"))).await.ok();
    }
    audited.api.flush_audit().await;
    let events = audited.events();
    let created = |e: &&Value| e["objectRef"]["name"].as_str().is_some_and(|n| n.starts_with('m'));
    assert_eq!(events.iter().filter(created).count(), 20);
}

/// The file is a device that is always full.
#[tokio::test]
async fn a_request_that_cannot_be_recorded_is_refused_if_that_is_strict() {
    for (mode, code) in [(AuditMode::Blocking, 200), (AuditMode::BlockingStrict, 500)] {
        let audited =
            Audited::with("rules: [{level: Metadata, users: [tester], verbs: [get]}]", |log| {
                log.path = "/dev/full".into();
                log.max_size = 0;
                log.max_age = 0;
                log.mode = mode;
            });
        let audited = audited.await;
        let answer = audited.api.get("/version").await;
        assert_eq!(answer.code.as_u16(), code, "{mode:?}");
        let quiet = User::new("quiet", &["system:masters"]);
        let scraped = audited.api.ask(Method::GET, "/metrics").by(quiet).send().await;
        let scraped = String::from_utf8_lossy(&scraped.bytes).into_owned();
        let rejected = scraped.lines().find_map(|line| {
            line.strip_prefix("apiserver_audit_requests_rejected_total ")?.parse::<u64>().ok()
        });
        assert_eq!(rejected.is_some_and(|n| n > 0), code == 500, "{scraped}");
        assert!(scraped.contains("apiserver_audit_error_total{plugin=\"log\"} "), "{scraped}");
    }
}

#[tokio::test]
async fn a_wrong_configuration_ends_the_start() {
    let refused = async |change: &dyn Fn(&mut AuditOptions)| -> String {
        let dir = tempfile::tempdir().unwrap();
        let mut options = options(&dir, "rules: [{level: Metadata}]");
        change(&mut options);
        match Api::with_audit(options).await {
            Err(StartError::Audit(why)) => why.to_string(),
            _ => panic!("it starts"),
        }
    };
    let why = refused(&|o| o.log.as_mut().unwrap().path = "/proc/none/audit.log".into()).await;
    assert!(why.starts_with("audit log file /proc/none/audit.log: "), "{why}");
    let why = refused(&|o| o.policy_file = Some("/none".into())).await;
    assert!(why.starts_with("loading audit policy file: failed to read file path \"/none\""));
    let why = refused(&|o| {
        let log = o.log.as_mut().unwrap();
        (log.mode, log.buffer_size) = (AuditMode::Batch, 0);
    });
    assert_eq!(why.await, "invalid audit batch log buffer size 0, must be a positive number");
    let webhook = AuditWebhook::new("/none");
    let why = refused(&move |o| o.webhook = Some(webhook.clone())).await;
    assert!(why.starts_with("initializing audit webhook: "), "{why}");
}

#[tokio::test]
async fn policies_and_pod_security_annotate_events() {
    let audited = Audited::new("rules: [{level: Metadata}]").await;
    let base = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic";
    let policy = json!({
        "metadata": {"name": "p.example.com"},
        "spec": {
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                "resources": ["configmaps"],
            }]},
            "validations": [{"expression": "true"}, {"expression": "false", "message": "never"}],
            "auditAnnotations": [
                {"key": "name", "valueExpression": "'is ' + object.metadata.name"},
                {"key": "none", "valueExpression": "null"},
                {"key": "long", "valueExpression": "string(object.data.k)"},
            ],
        },
    });
    audited.api.post(&format!("{base}ies"), &policy).await.ok();
    let binding = json!({
        "metadata": {"name": "b"},
        "spec": {"policyName": "p.example.com", "validationActions": ["Audit"]},
    });
    audited.api.post(&format!("{base}ybindings"), &binding).await.ok();
    let long = json!({"metadata": {"name": "c"}, "data": {"k": "é".repeat(9000)}});
    let ask = audited.api.ask(Method::POST, MAPS).header("audit-id", "vap");
    ask.json(&long).send().await.ok();
    let event = audited.of("vap").pop().unwrap();
    let annotations = &event["annotations"];
    assert_eq!(annotations["p.example.com/name"], "is c", "{event}");
    assert!(annotations["p.example.com/none"].is_null());
    assert_eq!(annotations["p.example.com/long"].as_str().unwrap().len(), 10 * 1024);
    let failures = annotations["validation.policy.admission.k8s.io/validation_failure"].as_str();
    let failures: Value = serde_json::from_str(failures.unwrap()).unwrap();
    assert_eq!(
        failures,
        json!([{
            "message": "never", "policy": "p.example.com", "binding": "b", "expressionIndex": 1,
            "validationActions": ["Audit"],
        }])
    );
    // An annotation that cannot be evaluated is a refusal, by any binding.
    let ask = audited.api.post(MAPS, &json!({"metadata": {"name": "d"}})).await;
    let status = ask.fails(422);
    assert!(status.str_at(&["message"]).contains("with binding 'b' denied request: "), "{status}");

    let labels = json!({"metadata": {"name": "strict", "labels": {
        "pod-security.kubernetes.io/audit": "restricted",
    }}});
    audited.api.post("/api/v1/namespaces", &labels).await.ok();
    let account = json!({"metadata": {"name": "default"}});
    audited.api.post("/api/v1/namespaces/strict/serviceaccounts", &account).await.ok();
    let pod = json!({
        "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    let pods = "/api/v1/namespaces/strict/pods";
    let ask = audited.api.ask(Method::POST, pods).header("audit-id", "pod");
    ask.json(&pod).send().await.ok();
    let event = audited.of("pod").pop().unwrap();
    let annotations = &event["annotations"];
    assert_eq!(annotations["pod-security.kubernetes.io/enforce-policy"], "privileged:latest");
    let found = annotations["pod-security.kubernetes.io/audit-violations"].as_str().unwrap();
    assert!(found.starts_with("would violate PodSecurity \"restricted:latest\": "), "{found}");
}

#[tokio::test]
async fn a_webhook_gets_events_in_batches_and_losses_are_counted() {
    let webhook = Webhook::start().await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ca.crt"), &webhook.authority).unwrap();
    // The second is a server that does not follow.
    for (path, lost) in [("audit", false), ("moved", true)] {
        let file = dir.path().join(path);
        let kubeconfig = json!({
            "clusters": [{"name": "c", "cluster": {"certificate-authority": "ca.crt",
                "server": format!("https://127.0.0.1:{}/{path}", webhook.port)}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        });
        std::fs::write(&file, kubeconfig.to_string()).unwrap();
        let mut options = options(&dir, "rules: [{level: Metadata}]");
        options.log = None;
        let initial_backoff = std::time::Duration::from_millis(1);
        options.webhook = Some(AuditWebhook { initial_backoff, ..AuditWebhook::new(file) });
        let api = Api::with_audit(options).await.unwrap();
        for i in 0..5 {
            api.post(MAPS, &map(&format!("w{i}"))).await.ok();
        }
        api.flush_audit().await;
        let scraped = api.get("/metrics").await;
        let scraped = String::from_utf8_lossy(&scraped.bytes).into_owned();
        let counted = scraped.contains("apiserver_audit_error_total{plugin=\"webhook\"} ");
        assert_eq!(counted, lost, "{path}: {scraped}");
    }
    let asked = webhook.asked.lock();
    let lists = asked.iter().filter(|asked| asked["path"] == "audit");
    let events: Vec<&Value> = lists.filter_map(|list| list["items"].as_array()).flatten().collect();
    let complete = |event: &&&Value| {
        event["stage"] == "ResponseComplete"
            && event["objectRef"]["name"].as_str().is_some_and(|name| name.starts_with('w'))
    };
    assert_eq!(events.iter().filter(complete).count(), 5);
    assert!(webhook_batches(&asked) <= 2, "batches, not single events");
}

fn webhook_batches(asked: &[Value]) -> usize {
    asked.iter().filter(|asked| asked["path"] == "audit").count()
}
