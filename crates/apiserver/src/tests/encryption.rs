//! Encryption at rest, from requests down to the bytes of the files, and attacks on those.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use store::{Expect, Op, Options, Store};

use super::custom::{DEFINITIONS, until};
use super::harness::{Api, open_store};
use crate::encryption::{Mood, Plugin};
use crate::{EncryptionOptions, User};

const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const KEY: &str = "/registry/core/secrets/default/one";
/// It appears in a Secret in base64.
const PASSWORD: &str = "Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZQ==";
const IGNORE: &str = "ignoreStoreReadErrorWithClusterBreakingPotential=true";
const MERGE: &str = "application/merge-patch+json";

/// A log that is soon replaced by a snapshot.
const SMALL: Options = Options { segment_bytes: 64 << 10, snapshot_after: 64 << 10 };

fn key(form: &str, name: &str, byte: u8) -> Value {
    use base64::Engine;
    let secret = base64::engine::general_purpose::STANDARD.encode([byte; 32]);
    json!({form: {"keys": [{"name": name, "secret": secret}]}})
}

fn identity() -> Value {
    json!({"identity": {}})
}

fn file_of(dir: &Path, resources: &[&str], providers: &[Value]) -> PathBuf {
    let path = dir.join("encryption.yaml");
    let file = json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
        "resources": [{"resources": resources, "providers": providers}]});
    std::fs::write(&path, file.to_string()).unwrap();
    path
}

/// A server whose Secrets are stored by these providers.
async fn start(dir: tempfile::TempDir, providers: &[Value]) -> Api {
    let config = match providers {
        [] => None,
        providers => Some(file_of(dir.path(), &["secrets"], providers)),
    };
    let encryption = EncryptionOptions { config, automatic_reload: false };
    Api::encrypted(dir, encryption, SMALL).await.unwrap_or_else(|why| panic!("{why}"))
}

fn fresh() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn secret(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"password": PASSWORD}})
}

/// Returns true if a text stands in a file of the store.
fn on_disk(dir: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(dir.join("store")).unwrap();
    files
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

/// Changes the bytes that are stored under keys.
async fn tamper(dir: &Path, change: impl Fn(&str, &[u8]) -> Option<(String, Vec<u8>)>) {
    let store = open_store(dir, SMALL).await;
    let feed = store.feed().await.unwrap();
    for (key, record) in &feed.records {
        let Some((to, bytes)) = change(key, &record.bytes[..record.revision_at]) else { continue };
        let expect = match feed.records.get(to.as_str()) {
            Some(other) => Expect::At(other.modified),
            None => Expect::Absent,
        };
        let value = store::Value { revision_at: bytes.len(), bytes: bytes.into() };
        let op = Op { key: to.as_str().into(), expect, value: Some(value) };
        store.commit(op).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_sealed_in_upstreams_form_and_read_again() {
    for form in ["aesgcm", "aescbc", "secretbox"] {
        let providers = [key(form, "key1", 1), identity()];
        let api = start(fresh(), &providers).await;
        let made = api.post(SECRETS, &secret("one")).await.ok();
        api.post(MAPS, &json!({"metadata": {"name": "plain"}, "data": {"a": "in-the-open"}}))
            .await
            .ok();
        assert_eq!(api.get(&format!("{SECRETS}/one")).await.ok(), made);
        let dir = api.end();
        assert!(on_disk(dir.path(), &format!("k8s:enc:{form}:v1:key1:")), "{form}");
        assert!(!on_disk(dir.path(), PASSWORD), "{form}");
        assert!(on_disk(dir.path(), "in-the-open"));
        let api = start(dir, &providers).await;
        assert_eq!(api.get(&format!("{SECRETS}/one")).await.ok(), made, "{form}");
        let list = api.get("/api/v1/secrets").await.ok();
        assert_eq!(list["items"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_changes_nothing_brings_a_value_under_the_present_key() {
    // As `kubectl get secrets -A -o json | kubectl replace -f -`, and as a storage migration.
    let one = format!("{SECRETS}/one");
    let api = start(fresh(), &[]).await;
    let plain = api.post(SECRETS, &secret("one")).await.ok();
    let again = api.put(&one, &plain).await.ok();
    assert_eq!(version(&again), version(&plain), "a write without effect");
    let dir = api.end();
    assert!(on_disk(dir.path(), PASSWORD));

    let sealed = start(dir, &[key("secretbox", "key1", 1), identity()]).await;
    let before = sealed.get(&one).await.ok();
    assert_eq!(before, plain);
    let replaced = sealed.put(&one, &before).await.ok();
    assert!(version(&replaced) > version(&before), "it is sealed now");
    let after =
        sealed.patch(&one, MERGE, &json!({"kind": "Secret", "apiVersion": "v1"})).await.ok();
    assert_eq!(version(&after), version(&replaced), "once is enough");

    // The log still has what was in the open, until the store is cleaned.
    let cleaned = async {
        while on_disk(&sealed.path(), PASSWORD) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), cleaned).await.expect("the files still have it");
    let dir = sealed.end();

    // Another key takes over; the first still opens.
    let api = start(dir, &[key("aesgcm", "key2", 2), key("secretbox", "key1", 1)]).await;
    let before = api.get(&one).await.ok();
    assert_eq!(before["data"]["password"], PASSWORD);
    let moved = api.put(&one, &before).await.ok();
    assert!(version(&moved) > version(&before));
    let api = start(api.end(), &[key("aesgcm", "key2", 2)]).await;
    assert_eq!(api.get(&one).await.ok()["data"]["password"], PASSWORD);
    assert_eq!(version(&api.put(&one, &moved).await.ok()), version(&moved));
    // And out again.
    let api = start(api.end(), &[identity(), key("aesgcm", "key2", 2)]).await;
    let out = api.put(&one, &moved).await.ok();
    assert!(version(&out) > version(&moved));
    let api = start(api.end(), &[]).await;
    assert_eq!(api.get(&one).await.ok()["data"]["password"], PASSWORD);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_named_and_can_be_deleted() {
    let one = format!("{SECRETS}/one");
    let api = start(fresh(), &[key("aesgcm", "key1", 1)]).await;
    api.post(SECRETS, &secret("one")).await.ok();
    api.post(MAPS, &json!({"metadata": {"name": "plain"}})).await.ok();
    // The key is gone.
    let api = start(api.end(), &[key("aesgcm", "key1", 7), identity()]).await;
    let status = api.get(&one).await.fails(500);
    let message = status["message"].as_str().unwrap();
    assert!(message.starts_with("Internal error occurred: StorageError: corrupt object, Code: 7"));
    assert!(
        message.contains(KEY) && message.contains("message authentication failed"),
        "{message}"
    );
    let status = api.get("/api/v1/secrets").await.fails(500);
    assert_eq!(status["reason"], "StoreReadError");
    assert_eq!(status["details"]["causes"][0]["field"], KEY);
    let list = "failed to read one or more secrets from the storage: StorageError";
    assert!(status["message"].as_str().unwrap().starts_with(list), "{status}");
    for uri in ["/api/v1/secrets?watch=true", "/api/v1/watch/namespaces/default/secrets"] {
        api.get(uri).await.fails(500);
    }
    api.put(&one, &secret("one")).await.fails(500);
    let mut applied = secret("one");
    (applied["apiVersion"], applied["kind"]) = ("v1".into(), "Secret".into());
    let apply = format!("{one}?fieldManager=tester");
    api.patch(&apply, "application/apply-patch+yaml", &applied).await.fails(500);
    api.delete(&one).await.fails(500);
    api.ask(Method::DELETE, SECRETS).send().await.fails(500);
    api.post(SECRETS, &secret("one")).await.fails(409);
    // Others go on.
    api.post(SECRETS, &secret("two")).await.ok();
    api.get(&format!("{SECRETS}/two")).await.ok();
    api.get("/api/v1/configmaps").await.ok();
    api.get("/api/v1/namespaces/kube-system/secrets").await.ok();

    // Deleted unread, by who may do that.
    api.ask(Method::DELETE, &format!("{SECRETS}/two?{IGNORE}")).send().await.fails(409);
    let with = format!("{one}?{IGNORE}&propagationPolicy=Orphan");
    api.ask(Method::DELETE, &with).send().await.fails(422);
    let all = format!("/api/v1/namespaces/kube-system/secrets?{IGNORE}");
    api.ask(Method::DELETE, &all).send().await.fails(422);
    let dry = format!("{one}?{IGNORE}&dryRun=All");
    api.ask(Method::DELETE, &dry).send().await.ok();
    let rule = json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["delete"]});
    let group = "/apis/rbac.authorization.k8s.io/v1";
    api.post(
        &format!("{group}/clusterroles"),
        &json!({"metadata": {"name": "d"}, "rules": [rule]}),
    )
    .await
    .ok();
    let binding = json!({"metadata": {"name": "d"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "d"},
        "subjects": [{"kind": "User", "name": "eve", "apiGroup": "rbac.authorization.k8s.io"}]});
    api.post(&format!("{group}/clusterrolebindings"), &binding).await.ok();
    let unread = format!("{one}?{IGNORE}");
    let eve = User::new("eve", &[]);
    let status = api.ask(Method::DELETE, &unread).by(eve).send().await.fails(403);
    let why = "not permitted to do \"unsafe-delete-ignore-read-errors\"";
    assert!(status["message"].as_str().unwrap().contains(why), "{status}");
    api.ask(Method::DELETE, &unread).send().await.ok();
    let left = api.get("/api/v1/secrets").await.ok();
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    api.post(SECRETS, &secret("one")).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_to_the_files_can_neither_move_nor_change_a_value() {
    for form in ["aesgcm", "aescbc", "secretbox"] {
        let providers = [key(form, "key1", 1)];
        let api = start(fresh(), &providers).await;
        for name in ["one", "two", "three", "four"] {
            api.post(SECRETS, &secret(name)).await.ok();
        }
        let dir = api.end();
        let place = |name: &str| format!("/registry/core/secrets/default/{name}");
        tamper(dir.path(), |key, bytes| match key.rsplit('/').next() {
            // To another object, to where many can read it, and damaged.
            Some("one") if key.contains("secrets") => Some((place("two"), bytes.to_vec())),
            Some("three") => {
                let mut bytes = bytes.to_vec();
                let at = bytes.len() / 2;
                bytes[at] ^= 4;
                Some((place("three"), bytes))
            }
            Some("four") => Some((place("four"), bytes[..bytes.len() - 7].to_vec())),
            _ => None,
        })
        .await;
        let api = start(dir, &providers).await;
        api.get(&format!("{SECRETS}/one")).await.ok();
        for name in ["two", "three", "four"] {
            let status = api.get(&format!("{SECRETS}/{name}")).await.fails(500);
            let message = status["message"].as_str().unwrap();
            assert!(message.contains(&place(name)), "{form}: {message}");
            assert!(!message.contains(PASSWORD), "{form}: {message}");
        }
        let status = api.get("/api/v1/secrets").await.fails(500);
        assert_eq!(status["details"]["causes"].as_array().unwrap().len(), 3, "{form}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_secret_is_no_config_map() {
    // Both are sealed by the same key, whose form does not know the place.
    let dir = fresh();
    let all = |dir: &Path| EncryptionOptions {
        config: Some(file_of(dir, &["secrets", "configmaps"], &[key("secretbox", "key1", 1)])),
        automatic_reload: false,
    };
    let encryption = all(dir.path());
    let api = Api::encrypted(dir, encryption, SMALL).await.unwrap_or_else(|why| panic!("{why}"));
    api.post(SECRETS, &secret("one")).await.ok();
    let dir = api.end();
    tamper(dir.path(), |key, bytes| {
        (key == KEY).then(|| ("/registry/core/configmaps/default/one".to_owned(), bytes.to_vec()))
    })
    .await;
    let encryption = all(dir.path());
    let api = Api::encrypted(dir, encryption, SMALL).await.unwrap_or_else(|why| panic!("{why}"));
    let status = api.get(&format!("{MAPS}/one")).await.fails(500);
    let why = "the value is that of another object, or of none";
    assert!(status["message"].as_str().unwrap().contains(why), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn admission_that_cannot_be_read_lets_nothing_through() {
    let hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    let resources = ["*.admissionregistration.k8s.io"];
    let dir = fresh();
    let options = |dir: &Path, byte: u8| EncryptionOptions {
        config: Some(file_of(dir, &resources, &[key("aesgcm", "key1", byte)])),
        automatic_reload: false,
    };
    let encryption = options(dir.path(), 1);
    let api = Api::encrypted(dir, encryption, SMALL).await.unwrap_or_else(|why| panic!("{why}"));
    api.post(hooks, &json!({"metadata": {"name": "guard"}})).await.ok();
    let dir = api.end();
    let encryption = options(dir.path(), 2);
    let api = Api::encrypted(dir, encryption, SMALL).await.unwrap_or_else(|why| panic!("{why}"));
    let status = api.post(SECRETS, &secret("one")).await.fails(500);
    assert_eq!(status["reason"], "StoreReadError");
    api.get("/api/v1/secrets").await.ok();
    api.ask(Method::DELETE, &format!("{hooks}/guard?{IGNORE}")).send().await.ok();
    api.post(SECRETS, &secret("one")).await.ok();
}

#[tokio::test]
async fn a_server_starts_over_objects_of_its_own_that_it_cannot_read() {
    let started = async |dir: tempfile::TempDir, provider: Value| {
        let all = ["configmaps", "secrets", "namespaces", "services"];
        let config = Some(file_of(dir.path(), &all, &[provider]));
        let encryption = EncryptionOptions { config, automatic_reload: false };
        let start = Api::encrypted(dir, encryption, SMALL);
        let started = tokio::time::timeout(Duration::from_secs(60), start).await;
        started.expect("it never starts").unwrap_or_else(|why| panic!("{why}"))
    };
    let api = started(fresh(), key("aescbc", "first", 1)).await;
    let api = started(api.end(), key("aescbc", "second", 2)).await;
    let refused = api.get("/api/v1/namespaces/default").await.fails(500);
    assert!(refused["message"].as_str().unwrap().contains("default"), "{refused}");
}

#[tokio::test]
async fn limits_that_cannot_be_read_let_nothing_through() {
    let dir = fresh();
    let config = Some(file_of(dir.path(), &["resourcequotas"], &[key("aesgcm", "k", 1)]));
    let encryption = EncryptionOptions { config, automatic_reload: false };
    let api = Api::encrypted(dir, encryption, SMALL).await.unwrap();
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "0"}}});
    api.post("/api/v1/namespaces/default/resourcequotas", &quota).await.ok();
    let dir = api.end();
    let config = Some(file_of(dir.path(), &["resourcequotas"], &[key("aesgcm", "k", 2)]));
    let encryption = EncryptionOptions { config, automatic_reload: false };
    let api = Api::encrypted(dir, encryption, SMALL).await.unwrap();
    api.post(MAPS, &json!({"metadata": {"name": "m"}})).await.fails(500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_may_come_later_and_change_its_key() {
    let dir = fresh();
    let socket = dir.path().join("kms.sock");
    let kms = json!({"kms": {"apiVersion": "v2", "name": "k", "timeout": "1s",
        "endpoint": format!("unix://{}", socket.display())}});
    let providers = [kms, identity()];
    let plugin = Plugin::start(&socket, "key-1");
    let api = start(dir, &providers).await;
    let made = api.post(SECRETS, &secret("one")).await.ok();
    assert_eq!(api.get("/healthz/kms-providers").await.bytes, "ok");
    let dir = api.end();
    assert!(on_disk(dir.path(), "k8s:enc:kms:v2:k:") && !on_disk(dir.path(), PASSWORD));
    let begun = std::time::Instant::now();
    plugin.set(Mood::Hangs);
    let api = start(dir, &providers).await;
    assert!(begun.elapsed() < Duration::from_secs(20), "the start hangs with the plugin");
    api.get("/api/v1/secrets").await.fails(500);
    assert_eq!(api.get("/readyz").await.code, 500);
    api.post(SECRETS, &secret("two")).await.fails(500);
    api.get("/api/v1/configmaps").await.ok();

    plugin.set(Mood::Well);
    let read = async {
        loop {
            let answer = api.get(&format!("{SECRETS}/one")).await;
            if answer.code == 200 {
                return answer.ok();
            }
            // Somebody looks at the health, which asks the plugin.
            api.get("/readyz").await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let read = tokio::time::timeout(Duration::from_secs(60), read).await.unwrap();
    assert_eq!(read["data"], made["data"]);
    assert_eq!(read["metadata"]["uid"], made["metadata"]["uid"]);
    api.get("/api/v1/secrets").await.ok();
    api.post(SECRETS, &secret("two")).await.ok();
    assert_eq!(api.get("/readyz").await.code, 200);

    // A new key makes every value stale.
    let same = api.put(&format!("{SECRETS}/one"), &read).await.ok();
    assert_eq!(version(&same), version(&read));
    plugin.rotate("key-2");
    let api = start(api.end(), &providers).await;
    let replaced = api.put(&format!("{SECRETS}/one"), &same).await.ok();
    assert!(version(&replaced) > version(&same));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_is_read_again_and_a_broken_one_is_not_in_force() {
    let dir = fresh();
    let one = format!("{SECRETS}/one");
    let config = file_of(dir.path(), &["secrets"], &[key("aescbc", "key1", 1), identity()]);
    let encryption = EncryptionOptions { config: Some(config.clone()), automatic_reload: true };
    let api = Api::encrypted(dir, encryption, SMALL).await.unwrap_or_else(|why| panic!("{why}"));
    let made = api.post(SECRETS, &secret("one")).await.ok();
    assert_eq!(api.get("/healthz/kms-providers").await.bytes, "ok");
    let told = |status: &str| {
        let text = api.metrics().registry.encode(telemetry::metrics::Format::Text);
        let name = "apiserver_encryption_config_controller_automatic_reloads_total";
        text.lines().any(|line| line.starts_with(name) && line.contains(status))
    };
    let until_told = async |status: &str| {
        let wait = async {
            while !told(status) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
    };
    std::fs::write(&config, "kind: Nonsense").unwrap();
    until_told("failure").await;
    assert_eq!(version(&api.put(&one, &made).await.ok()), version(&made), "the key has changed");
    let dir = config.parent().unwrap();
    file_of(dir, &["secrets"], &[key("secretbox", "key2", 2), key("aescbc", "key1", 1)]);
    until_told("success").await;
    let moved = api.put(&one, &made).await.ok();
    assert!(version(&moved) > version(&made));
    assert!(on_disk(dir, "k8s:enc:secretbox:v1:key2:"));
    assert_eq!(api.get(&one).await.ok()["data"]["password"], PASSWORD);
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_resources_are_stored_in_the_present_version_by_any_write() {
    let widgets = "/apis/example.com/v1/namespaces/default/widgets";
    let version_of = |name: &str, stored: bool, defaults: bool| {
        let size = match defaults {
            true => json!({"type": "integer", "default": 3}),
            false => json!({"type": "integer"}),
        };
        let spec = json!({"type": "object", "default": {}, "properties": {"size": size}});
        json!({"name": name, "served": true, "storage": stored, "schema": {"openAPIV3Schema": {
            "type": "object", "properties": {"spec": spec}}}})
    };
    let definition = |stored: &str, defaults: bool| {
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
            "versions": [
                version_of("v1", stored == "v1", defaults),
                version_of("v2", stored == "v2", defaults),
            ]}})
    };
    let api = Api::start().await;
    api.post(DEFINITIONS, &definition("v1", false)).await.ok();
    until(&api, "widgets.example.com", "Established", "True").await;
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"},
        "spec": {}});
    let made = api.post(widgets, &widget).await.ok();
    let path = format!("{widgets}/a");
    let nothing = json!({"apiVersion": "example.com/v1", "kind": "Widget"});
    let write = async || api.patch(&path, MERGE, &nothing).await.ok();
    assert_eq!(version(&write().await), version(&made));
    let change = async |definition: Value| {
        let at = format!("{DEFINITIONS}/widgets.example.com");
        api.patch(&at, MERGE, &json!({"spec": definition["spec"]})).await.ok();
    };
    // Until the new definition is served.
    let written = async |than: u64| {
        let wait = async {
            loop {
                let now = write().await;
                if version(&now) > than {
                    return now;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap()
    };
    change(definition("v2", false)).await;
    let moved = written(version(&made)).await;
    assert_eq!(version(&write().await), version(&moved), "once is enough");
    change(definition("v2", true)).await;
    let other = api.get("/apis/example.com/v2/namespaces/default/widgets/a").await.ok();
    assert_eq!(other["metadata"]["uid"], made["metadata"]["uid"]);
    // A default that is not stored yet belongs to the version that is stored.
    let nothing = json!({"apiVersion": "example.com/v2", "kind": "Widget"});
    let path = "/apis/example.com/v2/namespaces/default/widgets/a";
    let wait = async {
        loop {
            let now = api.patch(path, MERGE, &nothing).await.ok();
            if version(&now) > version(&moved) {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let defaulted = tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
    assert_eq!(defaulted["spec"]["size"], 3);
    assert_eq!(version(&api.patch(path, MERGE, &nothing).await.ok()), version(&defaulted));
}
