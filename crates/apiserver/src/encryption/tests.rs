//! Plugins that work, change their key, hang or lie.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Encryption, EncryptionError, EncryptionOptions};
use super::{Mood, Plugin};
use crate::metrics::Encryption as Metrics;

const SECRETS: (&str, &str) = ("", "secrets");
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// A moment more than an answer stands.
const STALE: Duration = Duration::from_millis(3_100);

fn write(dir: &Path, rules: &Value) -> PathBuf {
    let path = dir.join("encryption.json");
    let file = json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
        "resources": rules});
    std::fs::write(&path, file.to_string()).unwrap();
    // Whoever may read it is the administrator's business: it is read all the same.
    std::fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    path
}

async fn open(path: &Path) -> Result<Encryption, EncryptionError> {
    let options = EncryptionOptions { config: Some(path.to_owned()), automatic_reload: false };
    let metrics = Arc::new(Metrics::new(&telemetry::metrics::Registry::new(), "a"));
    Ok(Encryption::open(&options, metrics).await?.unwrap())
}

fn with_plugin(dir: &Path) -> Value {
    let endpoint = format!("unix://{}", dir.join("kms.sock").display());
    json!([{"resources": ["secrets"], "providers": [
        {"kms": {"apiVersion": "v2", "name": "k", "endpoint": endpoint, "timeout": "1s"}},
        {"identity": {}},
    ]}])
}

#[tokio::test(flavor = "multi_thread")]
async fn seeds_are_encrypted_by_the_plugin_and_change_with_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = Plugin::start(&dir.path().join("kms.sock"), "key-1");
    let path = write(dir.path(), &with_plugin(dir.path()));
    let encryption = open(&path).await.unwrap();
    let seal =
        || encryption.seal(SECRETS, b"value", "/registry/core/secrets/a/b").unwrap().unwrap();
    let (first, mark) = seal();
    assert!(first.starts_with(b"k8s:enc:kms:v2:k:"));
    assert_ne!(first, seal().0, "each value has its own key");
    assert_eq!(encryption.seal_now(SECRETS), Some(mark));
    assert_eq!(encryption.seal(("", "pods"), b"x", "/p").unwrap().map(|(sealed, _)| sealed), None);

    // A second server knows the seed by the plugin alone, and asks once.
    let other = open(&path).await.unwrap();
    for _ in 0..3 {
        let place = "/registry/core/secrets/a/b";
        let (value, seen) = other.unseal(SECRETS, &first, place).await.unwrap().unwrap();
        assert_eq!((&value[..], seen), (&b"value"[..], mark));
    }
    let count = |method: &str| plugin.state.lock().calls.iter().filter(|c| *c == method).count();
    assert_eq!((count("Encrypt"), count("Decrypt")), (2, 1));
    let moved = other.unseal(SECRETS, &first, "/registry/core/secrets/a/c").await;
    assert_eq!(moved.unwrap_err().0, "cipher: message authentication failed");

    plugin.rotate("key-2");
    tokio::time::sleep(Duration::from_millis(20_100)).await;
    assert!(encryption.is_healthy().await);
    assert_ne!(encryption.seal_now(SECRETS), Some(mark), "what was sealed is stale");
    let (second, _) = seal();
    for sealed in [&first, &second] {
        let place = "/registry/core/secrets/a/b";
        assert!(encryption.unseal(SECRETS, sealed, place).await.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_hangs_or_lies_costs_a_bounded_time_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), &with_plugin(dir.path()));
    let sealing = |encryption: &Encryption| {
        encryption.seal(SECRETS, b"value", "/k").map(drop).map_err(|why| why.to_string())
    };
    // Not there yet.
    let begun = Instant::now();
    let encryption = open(&path).await.unwrap();
    assert!(!encryption.is_healthy().await && encryption.has_health());
    assert_eq!(sealing(&encryption).unwrap_err(), "got unexpected nil transformer");
    let plugin = Plugin::start(&dir.path().join("kms.sock"), "key-1");
    for mood in [Mood::Hangs, Mood::Garbage, Mood::Floods, Mood::Keyless] {
        plugin.set(mood);
        let encryption = open(&path).await.unwrap();
        assert!(!encryption.is_healthy().await, "{mood:?}");
        assert!(sealing(&encryption).is_err(), "{mood:?}");
        let stored = b"k8s:enc:kms:v2:k:anything";
        assert!(encryption.unseal(SECRETS, stored, "/k").await.is_err(), "{mood:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(20));

    // It comes to itself.
    plugin.set(Mood::Well);
    tokio::time::sleep(STALE).await;
    assert!(encryption.is_healthy().await);
    let (sealed, _) = encryption.seal(SECRETS, b"value", "/k").unwrap().unwrap();

    // Ill, it still has its key: what is sealed can be read, and for a while be written.
    plugin.set(Mood::Ill);
    let ill = open(&path).await.unwrap();
    assert!(!ill.is_healthy().await);
    assert!(ill.unseal(SECRETS, &sealed, "/k").await.unwrap().is_some());
    // Damage is told from damage.
    plugin.set(Mood::Well);
    for at in [20, sealed.len() / 2, sealed.len() - 1] {
        let mut bad = sealed.clone();
        bad[at] ^= 1;
        assert!(encryption.unseal(SECRETS, &bad, "/k").await.is_err(), "{at}");
        assert!(encryption.unseal(SECRETS, &sealed[..at], "/k").await.is_err(), "{at}");
    }
}

#[tokio::test]
async fn lists_are_looked_up_from_the_narrow_to_the_wide() {
    let dir = tempfile::tempdir().unwrap();
    let keys = |name: &str| json!({"aescbc": {"keys": [{"name": name, "secret": KEY}]}});
    let rules = json!([
        {"resources": ["events"], "providers": [{"identity": {}}]},
        {"resources": ["secrets", "pandas.bears.example"], "providers": [keys("one")]},
        {"resources": ["*.apps"], "providers": [keys("two")]},
        {"resources": ["*.*"], "providers": [keys("three")]},
    ]);
    let encryption = open(&write(dir.path(), &rules)).await.unwrap();
    for (of, prefix) in [
        (("", "events"), None),
        (SECRETS, Some("k8s:enc:aescbc:v1:one:")),
        (("bears.example", "pandas"), Some("k8s:enc:aescbc:v1:one:")),
        (("apps", "deployments"), Some("k8s:enc:aescbc:v1:two:")),
        (("", "pods"), Some("k8s:enc:aescbc:v1:three:")),
        (("batch", "jobs"), Some("k8s:enc:aescbc:v1:three:")),
    ] {
        let sealed = encryption.seal(of, b"x", "/k").unwrap().map(|(sealed, _)| sealed);
        let starts = sealed
            .as_ref()
            .map(|sealed| prefix.is_some_and(|prefix| sealed.starts_with(prefix.as_bytes())));
        assert_eq!(starts, prefix.map(|_| true), "{of:?}");
    }
    // A value in the open cannot be read where no provider says so.
    let plain = encryption.unseal(SECRETS, b"{}", "/k").await;
    assert_eq!(plain.unwrap_err().0, "no matching prefix found");
    assert!(encryption.unseal(("", "events"), b"{}", "/k").await.unwrap().is_none());

    let masked = json!([
        {"resources": ["*.*"], "providers": [{"identity": {}}]},
        {"resources": ["secrets"], "providers": [keys("one")]},
    ]);
    let error = open(&write(dir.path(), &masked)).await.err().unwrap().to_string();
    assert!(error.contains("resource \"secrets\" is masked by earlier rule \"*.*\""), "{error}");
}

#[tokio::test]
async fn options_are_refused_in_upstreams_words() {
    let metrics = || Arc::new(Metrics::new(&telemetry::metrics::Registry::new(), "a"));
    let options = EncryptionOptions { config: None, automatic_reload: true };
    let error = Encryption::open(&options, metrics()).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        "--encryption-provider-config-automatic-reload must be set with --encryption-provider-config"
    );
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("missing");
    assert!(matches!(open(&path).await, Err(EncryptionError::Unread { .. })));
    std::fs::write(&path, "").unwrap();
    assert!(matches!(open(&path).await, Err(EncryptionError::Empty(_))));
    std::fs::write(&path, "kind: Pod").unwrap();
    assert!(matches!(open(&path).await, Err(EncryptionError::Malformed { .. })));
}
