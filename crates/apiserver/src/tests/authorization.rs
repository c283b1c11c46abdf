//! Webhooks that authorize, and other authorizers by configuration.

use std::time::Duration;

use futures::FutureExt;
use http::Method;
use serde_json::{Value, json};

use super::harness::{Answer, Api};
use super::peer::{Peer, Reply};
use crate::authz::{self, Attributes};
use crate::{Authorization, StartError, User};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
const GENEROUS: Duration = Duration::from_secs(20);

/// A file with a configuration of these authorizers.
struct File(tempfile::TempDir);

impl File {
    fn new(authorizers: &Value) -> Self {
        let file = Self(tempfile::tempdir().unwrap());
        file.write(authorizers);
        file
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("authz.yaml")
    }

    fn write(&self, authorizers: &Value) {
        let config = json!({"apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AuthorizationConfiguration", "authorizers": authorizers});
        std::fs::write(self.path(), config.to_string()).unwrap();
    }

    fn options(&self) -> Authorization {
        Authorization { config_file: Some(self.path()), ..Authorization::default() }
    }
}

fn plain(ty: &str) -> Value {
    json!({"type": ty, "name": ty.to_lowercase()})
}

/// A webhook of a configuration, with these differences.
fn webhook(peer: &Peer, changes: &Value) -> Value {
    let mut webhook = json!({
        "timeout": "1s", "subjectAccessReviewVersion": "v1",
        "matchConditionSubjectAccessReviewVersion": "v1", "failurePolicy": "NoOpinion",
        "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": peer.kubeconfig()},
    });
    for (field, value) in changes.as_object().unwrap() {
        webhook[field] = value.clone();
    }
    json!({"type": "Webhook", "name": "hook.example", "webhook": webhook})
}

fn ann() -> User {
    User::new("ann", &["a"])
}

async fn list(api: &Api, user: User) -> Answer {
    api.ask(Method::GET, MAPS).by(user).send().await
}

fn allow() -> Reply {
    Reply::Status(json!({"allowed": true, "reason": "so it is"}))
}

/// Waits until this holds.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(GENEROUS, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("it holds at last");
}

#[tokio::test]
async fn a_webhook_allows_denies_and_leaves_it_to_others() {
    let peer = Peer::start(|spec| match spec["user"].as_str() {
        Some("ann") => allow(),
        Some("bob") => {
            Reply::Status(json!({"allowed": false, "denied": true, "reason": "not you"}))
        }
        _ => Reply::Status(json!({"allowed": false, "reason": "who?"})),
    })
    .await;
    let file = File::new(&json!([webhook(&peer, &json!({})), plain("Node"), plain("RBAC")]));
    let api = Api::authorized_by(file.options()).await.unwrap();
    list(&api, ann()).await.ok();
    let refused = "configmaps is forbidden: User \"bob\" cannot list resource \"configmaps\" in \
                   API group \"\" in the namespace \"default\": not you";
    assert_eq!(list(&api, User::new("bob", &[])).await.fails(403)["message"], refused);
    let unknown = list(&api, User::new("eve", &[])).await.fails(403);
    let unknown = unknown["message"].as_str().unwrap();
    assert!(unknown.ends_with("in the namespace \"default\": hook.example: who?"), "{unknown}");
    // The privileged group comes before any webhook.
    api.get(MAPS).await.ok();
    let users: Vec<Value> =
        peer.asked().iter().map(|asked| asked["spec"]["user"].clone()).collect();
    assert_eq!(users, ["ann", "bob", "eve"]);
    assert_eq!(
        peer.asked()[0],
        json!({"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
            "metadata": {}, "status": {"allowed": false},
            "spec": {"user": "ann", "groups": ["a", "system:authenticated"],
                "resourceAttributes": {"verb": "list", "version": "v1", "resource": "configmaps",
                    "namespace": "default"}}})
    );
    // Its word is believed for a while.
    list(&api, ann()).await.ok();
    list(&api, User::new("bob", &[])).await.fails(403);
    assert_eq!(peer.asked().len(), 3);

    let review = |user: &str| {
        json!({"spec": {"user": user, "resourceAttributes": {"verb": "get", "resource": "pods",
            "fieldSelector": {"requirements": [{"key": "a", "operator": "In", "values": ["b"]}]},
            "labelSelector": {"rawSelector": "c notin (d,e), f"}}}})
    };
    let status = api.post(REVIEWS, &review("bob")).await.ok()["status"].clone();
    assert_eq!(status, json!({"allowed": false, "denied": true, "reason": "not you"}));
    let asked = peer.asked().pop().unwrap();
    let attributes = &asked["spec"]["resourceAttributes"];
    assert_eq!(
        attributes["fieldSelector"]["requirements"],
        json!([{"key": "a", "operator": "In", "values": ["b"]}])
    );
    assert_eq!(
        attributes["labelSelector"]["requirements"],
        json!([{"key": "c", "operator": "NotIn", "values": ["d", "e"]},
            {"key": "f", "operator": "Exists"}])
    );

    let rules = json!({"spec": {"namespace": "default"}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let status = api.ask(Method::POST, path).by(ann()).json(&rules).send().await.ok();
    assert_eq!(status["status"]["incomplete"], true);
    assert_eq!(
        status["status"]["evaluationError"],
        "webhook authorizer does not support user rule resolution"
    );
    let metrics = api.metrics().registry.scrape_text(None).body;
    for line in [
        "apiserver_authorization_decisions_total{decision=\"denied\",name=\"hook.example\",\
         type=\"Webhook\"}",
        "apiserver_authorization_webhook_evaluations_total{name=\"hook.example\",\
         result=\"success\"}",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
}

/// Nothing is waited for, and so nothing allocated to wait, unless a webhook must be asked.
#[tokio::test]
async fn a_decision_waits_for_a_webhook_alone() {
    let peer = Peer::start(|_| allow()).await;
    let hook =
        || webhook(&peer, &json!({"matchConditions": [{"expression": "request.user != 'eve'"}]}));
    let first = File::new(&json!([hook(), plain("RBAC")]));
    let last = File::new(&json!([plain("RBAC"), hook()]));
    let (admin, ann, eve) = (User::new("a", &["system:masters"]), ann(), User::new("eve", &[]));
    let ready = |api: &Api, user: &User, path: &str| {
        let server = &api.server().0;
        let attributes = Attributes::on_path(user, "get", path);
        authz::decide(server, attributes).now_or_never().is_some()
    };
    for (options, wanted) in [
        (Authorization::default(), [true; 5]),
        (last.options(), [true, true, false, true, true]),
        (first.options(), [true, false, false, true, true]),
    ] {
        let api = Api::authorized_by(options).await.unwrap();
        let asked =
            [(&admin, "/x"), (&ann, "/healthz"), (&ann, "/x"), (&eve, "/healthz"), (&eve, "/x")];
        assert_eq!(asked.map(|(user, path)| ready(&api, user, path)), wanted);
        let server = &api.server().0;
        authz::decide(server, Attributes::on_path(&ann, "get", "/x")).await;
        assert!(ready(&api, &ann, "/x"), "it is known now");
    }
}

#[tokio::test]
async fn everybody_may_do_everything_but_must_say_who_it_is() {
    let modes = Some(vec!["AlwaysAllow".to_owned()]);
    let api =
        Api::authorized_by(Authorization { modes, ..Authorization::default() }).await.unwrap();
    list(&api, User::new("eve", &[])).await.ok();
    api.ask(http::Method::GET, MAPS).unauthenticated().send().await.fails(401);
}

#[tokio::test]
async fn flags_configure_a_webhook_of_the_older_version() {
    let peer = Peer::start(|_| allow()).await;
    let options = Authorization {
        modes: Some(vec!["RBAC".into(), "Webhook".into()]),
        webhook_config_file: Some(peer.kubeconfig()),
        webhook_cache_authorized_ttl: Some(Duration::ZERO),
        ..Authorization::default()
    };
    let api = Api::authorized_by(options).await.unwrap();
    list(&api, ann()).await.ok();
    list(&api, ann()).await.ok();
    let asked = peer.asked();
    assert_eq!(asked.len(), 2, "nothing is kept");
    assert_eq!(asked[0]["apiVersion"], "authorization.k8s.io/v1beta1");
    assert_eq!(asked[0]["spec"]["group"], json!(["a", "system:authenticated"]));
}

#[tokio::test]
async fn a_webhook_that_fails_is_left_out_or_denies() {
    let peer = Peer::start(|_| Reply::Hang).await;
    for denies in [false, true] {
        let policy = if denies { "Deny" } else { "NoOpinion" };
        let hook = webhook(&peer, &json!({"failurePolicy": policy}));
        let file = File::new(&json!([hook, plain("AlwaysAllow")]));
        let api = Api::authorized_by(file.options()).await.unwrap();
        for (what, reply) in [
            ("hangs", Reply::Hang),
            ("is garbage", Reply::Raw(200, "{nonsense".to_owned())),
            ("is of another kind", Reply::Raw(200, r#"{"kind":"Pod","status":{}}"#.to_owned())),
            ("is huge", Reply::Raw(200, "x".repeat(10 << 20))),
            ("is elsewhere", Reply::Moved),
            ("is no success", Reply::Raw(403, "no".to_owned())),
        ] {
            let (before, hangs) = (peer.asked().len(), what == "hangs");
            peer.act(move |_| reply.clone());
            let answer = tokio::time::timeout(GENEROUS, list(&api, ann())).await.unwrap();
            match denies {
                false => drop(answer.ok()),
                true => {
                    let message = answer.fails(500)["message"].as_str().unwrap().to_owned();
                    assert!(message.starts_with("Internal Server Error: \"/api/v1/"), "{message}");
                    assert_eq!(message.contains("context deadline exceeded"), hangs, "{message}");
                }
            }
            assert_eq!(peer.asked().len(), before + 1, "{what}: no redirect, no other attempt");
        }
        // A failure that may pass is tried again.
        let before = peer.asked().len();
        peer.act(|_| Reply::Raw(500, String::new()));
        let review =
            json!({"spec": {"user": "x", "nonResourceAttributes": {"path": "/", "verb": "get"}}});
        let status = api.post(REVIEWS, &review).await.ok()["status"].clone();
        assert_eq!(status["allowed"], !denies);
        assert_eq!(peer.asked().len(), before + 5);
        if denies {
            assert!(status["evaluationError"].as_str().unwrap().contains("an error on the server"));
            assert_eq!(status["denied"], true);
        }
        peer.act(|_| Reply::Hang);
    }
}

#[tokio::test]
async fn what_a_client_chose_at_length_is_not_kept() {
    let peer = Peer::start(|_| allow()).await;
    let file = File::new(&json!([webhook(&peer, &json!({}))]));
    let api = Api::authorized_by(file.options()).await.unwrap();
    let ask = async |name: String| {
        let review = json!({"spec": {"user": "u", "resourceAttributes": {"name": name}}});
        api.post(REVIEWS, &review).await.ok()
    };
    for (length, asked) in [(9999, 1), (10_000, 2)] {
        let before = peer.asked().len();
        ask("n".repeat(length)).await;
        ask("n".repeat(length)).await;
        assert_eq!(peer.asked().len() - before, asked, "{length}");
    }
}

#[tokio::test]
async fn conditions_choose_what_is_asked_within_a_budget() {
    let peer = Peer::start(|_| allow()).await;
    let costly = "request.groups.all(a, request.groups.all(b, request.groups.all(c, \
                  a != b || b != c || a == c)))";
    let conditions = json!({"failurePolicy": "Deny", "matchConditions": [
        {"expression": "request.user != 'system:apiserver'"},
        {"expression": "!has(request.nonResourceAttributes)"},
        {"expression": costly},
    ]});
    let file = File::new(&json!([webhook(&peer, &conditions), plain("AlwaysDeny")]));
    let api = Api::authorized_by(file.options()).await.unwrap();
    list(&api, ann()).await.ok();
    let version = api.ask(Method::GET, "/version").by(ann()).send().await.fails(403);
    assert!(version["message"].as_str().unwrap().ends_with("alwaysdeny: Everything is forbidden."));
    assert_eq!(peer.asked().len(), 1);
    let groups: Vec<String> = (0..500).map(|i| format!("group{i}")).collect();
    let review = json!({"spec": {"user": "u", "groups": groups, "resourceAttributes": {}}});
    let begun = std::time::Instant::now();
    let status = api.post(REVIEWS, &review).await.ok()["status"].clone();
    assert!(begun.elapsed() < GENEROUS);
    let error = status["evaluationError"].as_str().unwrap();
    assert!(error.contains("cel evaluation error") && error.contains("cost limit"), "{error}");
    assert_eq!((&status["denied"], peer.asked().len()), (&json!(true), 1));
}

#[tokio::test]
async fn a_changed_configuration_is_in_force_and_a_wrong_one_is_not() {
    let peer = Peer::start(|_| allow()).await;
    let file = File::new(&json!([plain("RBAC")]));
    let api = Api::authorized_by(file.options()).await.unwrap();
    list(&api, ann()).await.fails(403);
    file.write(&json!([plain("RBAC"), webhook(&peer, &json!({}))]));
    until(async || list(&api, ann()).await.code == 200).await;
    let failures = || {
        let metrics = api.metrics().registry.scrape_text(None).body;
        let name = "apiserver_authorization_config_controller_automatic_reloads_total{";
        let mut lines = metrics.lines().filter(|line| line.contains("status=\"failure\""));
        let line = lines.find(|line| line.starts_with(name));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64)
    };
    for (count, wrong) in [
        (1, json!([])),
        (2, json!([webhook(&peer, &json!({}))])),
        (3, json!([plain("RBAC"), plain("Node")])),
        (4, json!([plain("RBAC"), {"type": "ABAC", "name": "abac"}])),
    ] {
        file.write(&wrong);
        until(async || failures() == count).await;
        list(&api, ann()).await.ok();
    }
    std::fs::write(file.path(), "nonsense").unwrap();
    until(async || failures() == 5).await;
    list(&api, ann()).await.ok();
    file.write(&json!([plain("RBAC")]));
    until(async || list(&api, ann()).await.code == 403).await;
}

#[tokio::test]
async fn options_that_cannot_be_are_refused() {
    let modes = |modes: &[&str]| Authorization {
        modes: Some(modes.iter().map(|mode| (*mode).to_owned()).collect()),
        ..Authorization::default()
    };
    let file = File::new(&json!([plain("RBAC")]));
    for (options, wanted) in [
        (modes(&[]), "at least one authorization-mode must be passed"),
        (modes(&["Magic"]), "authorization-mode \"Magic\" is not a valid mode"),
        (modes(&["ABAC"]), "authorization-mode ABAC's authorization policy file not passed"),
        (
            Authorization { policy_file: Some("x".into()), ..modes(&["RBAC"]) },
            "cannot specify --authorization-policy-file without mode ABAC",
        ),
        (
            modes(&["RBAC", "RBAC"]),
            "authorization-mode [\"RBAC\", \"RBAC\"] has mode specified \
            more than once",
        ),
        (modes(&["Webhook"]), "authorization-mode Webhook's authorization config file not passed"),
        (
            Authorization { webhook_config_file: Some("x".into()), ..modes(&["RBAC"]) },
            "cannot specify --authorization-webhook-config-file without mode Webhook",
        ),
        (
            Authorization { modes: Some(vec!["RBAC".into()]), ..file.options() },
            "--authorization-config can not be specified when --authorization-mode or \
             --authorization-webhook-* flags are defined",
        ),
    ] {
        let why = Api::authorized_by(options).await.err().unwrap();
        assert!(matches!(why, StartError::Authorization(_)));
        assert_eq!(why.to_string(), wanted);
    }
    let policies = file.0.path().join("policies.jsonl");
    std::fs::write(&policies, "{\"user\":\"ann\",\"readonly\":true}\n").unwrap();
    let abac = Authorization { policy_file: Some(policies), ..modes(&["ABAC"]) };
    let abac = Api::authorized_by(abac).await.unwrap();
    list(&abac, ann()).await.ok();
    let refused = list(&abac, User::new("bob", &[])).await.fails(403);
    assert!(refused["message"].as_str().unwrap().ends_with("abac: No policy matched."));
    let allows = Api::authorized_by(modes(&["AlwaysAllow"])).await.unwrap();
    list(&allows, ann()).await.ok();
    let denies = Api::authorized_by(modes(&["AlwaysDeny"])).await.unwrap();
    list(&denies, ann()).await.fails(403);
    denies.get(MAPS).await.ok();
}

#[tokio::test]
async fn expressions_of_policies_ask_the_webhook_too() {
    let peer = Peer::start(|spec| {
        let attributes = &spec["resourceAttributes"];
        Reply::Status(
            json!({"allowed": attributes["verb"] != "grant" || attributes["name"] == "b"}),
        )
    })
    .await;
    let file = File::new(&json!([webhook(&peer, &json!({}))]));
    let api = Api::authorized_by(file.options()).await.unwrap();
    let group = "/apis/admissionregistration.k8s.io/v1";
    let expression = "authorizer.group('g').resource('r').name('b')\
                      .check('grant').allowed() && \
                      authorizer.group('g').resource('r').name(object.metadata.name)\
                      .check('grant').allowed()";
    let policy = json!({"metadata": {"name": "p"}, "spec": {
        "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"],
            "operations": ["CREATE"], "resources": ["configmaps"]}]},
        "validations": [{"expression": expression}]}});
    api.post(&format!("{group}/validatingadmissionpolicies"), &policy).await.ok();
    let binding = json!({"metadata": {"name": "b"},
        "spec": {"policyName": "p", "validationActions": ["Deny"]}});
    api.post(&format!("{group}/validatingadmissionpolicybindings"), &binding).await.ok();
    let create = async |name: &str| {
        let map = json!({"metadata": {"name": name}});
        api.ask(Method::POST, MAPS).by(ann()).json(&map).send().await
    };
    until(async || create("a").await.code == 422).await;
    create("b").await.ok();
    let granted = |asked: &Value| asked["spec"]["resourceAttributes"]["verb"] == "grant";
    let names: Vec<Value> = peer.asked().into_iter().filter(granted).collect();
    assert_eq!(names.len(), 2, "each once, and then it is known: {names:?}");
}
