//! Trust anchors between a simulated API server and pods.

use super::*;
use crate::testing::api::Api;
use pki::pods::{anchors, encode_certificate};
use serde_json::{Value, json};
use std::time::Duration;

const BUNDLES: &str = "/apis/certificates.k8s.io/v1/clustertrustbundles";

struct Rig {
    api: Api,
    kicks: Kicks,
    trust: TrustBundles,
    cancel: CancellationToken,
}

impl Rig {
    fn new() -> Self {
        let (api, kicks, cancel) = (Api::default(), Kicks::default(), CancellationToken::new());
        let trust = TrustBundles::new(api.client(), kicks.clone(), cancel.clone());
        Self { api, kicks, trust, cancel }
    }

    fn put(&self, name: &str, signer: &str, labels: &Value, anchors: &[&str]) {
        let text: String = anchors.iter().map(|der| encode_certificate(der.as_bytes())).collect();
        self.put_text(name, signer, labels, &text);
    }

    fn put_text(&self, name: &str, signer: &str, labels: &Value, text: &str) {
        let spec = json!({"signerName": signer, "trustBundle": text});
        let bundle = json!({"metadata": {"name": name, "labels": labels}, "spec": spec});
        self.api.put(&format!("{BUNDLES}/{name}"), bundle);
    }

    async fn get(&self, projection: Value) -> Result<Vec<String>, String> {
        let projection = serde_json::from_value(projection).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let file =
            self.trust.get("u", &projection, deadline).await.map_err(|error| error.to_string())?;
        let found = anchors(std::str::from_utf8(&file).unwrap());
        Ok(found.into_iter().map(|der| String::from_utf8(der).unwrap()).collect())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list
}

#[tokio::test(start_paused = true)]
async fn bundles_are_found_by_name_or_by_signer_and_labels() {
    let rig = Rig::new();
    rig.put("own", "", &json!({}), &["x", "x"]);
    rig.put("s:a", "s/s", &json!({"alive": "yes"}), &["a", "b"]);
    rig.put("s:b", "s/s", &json!({"alive": "no"}), &["b", "c"]);
    rig.put("t:a", "t/t", &json!({"alive": "yes"}), &["d"]);
    let none = "combination of signerName and labelSelector matched zero ClusterTrustBundles";
    let missing = "while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io \
                   \"gone\" not found";
    let select = |key: &str, value: &str| json!({"matchLabels": {key: value}});
    for (projection, want) in [
        (json!({"name": "own"}), Ok(vec!["x"])),
        (json!({"name": "gone"}), Err(missing)),
        (json!({"name": "gone", "optional": true}), Ok(vec![])),
        (json!({"signerName": "s/s", "labelSelector": {}}), Ok(vec!["a", "b", "c"])),
        (json!({"signerName": "s/s", "labelSelector": select("alive", "yes")}), Ok(vec!["a", "b"])),
        (json!({"signerName": "s/s"}), Err(none)),
        (json!({"signerName": "s/s", "optional": true}), Ok(vec![])),
        (json!({"signerName": "s/s", "labelSelector": select("k", "v")}), Err(none)),
        (json!({"signerName": "u/u", "labelSelector": {}}), Err(none)),
        (
            json!({}),
            Err("ClusterTrustBundle projection requires either name or signerName to be set"),
        ),
    ] {
        let mut projection = projection;
        projection["path"] = "p".into();
        let got = rig.get(projection.clone()).await.map(sorted);
        let want = want.map(|list| list.into_iter().map(str::to_owned).collect());
        assert_eq!(got, want.map_err(str::to_owned), "{projection}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_order_of_anchors_is_kept_and_no_one_s() {
    let rig = Rig::new();
    let names: Vec<String> = (0..150).map(|n| format!("{n:03}")).collect();
    for name in &names {
        rig.put(&format!("s:{name}"), "s/s", &json!({}), &[name]);
    }
    let all = json!({"path": "p", "signerName": "s/s", "labelSelector": {}});
    let first = rig.get(all.clone()).await.unwrap();
    assert_ne!(first, names, "an order that others could rely on");
    assert_eq!(sorted(first.clone()), names);
    rig.api.delete(&format!("{BUNDLES}/s:007"));
    let without: Vec<_> = first.into_iter().filter(|name| name != "007").collect();
    while rig.get(all.clone()).await.unwrap().len() == 150 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.get(all).await.unwrap(), without, "the others keep their places");
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_told_of_its_bundles_alone_and_only_while_it_uses_them() {
    let rig = Rig::new();
    rig.kicks.register("u");
    assert!(!rig.trust.is_watching(), "no pod uses any");
    let own = json!({"path": "p", "name": "own"});
    rig.get(own.clone()).await.unwrap_err();
    rig.put("other", "s/s", &json!({}), &["o"]);
    rig.put("own", "", &json!({}), &["x"]);
    while rig.get(own.clone()).await.is_err() {
        tokio::task::yield_now().await;
    }
    let told = async {
        while !rig.kicks.take_news("u") {
            tokio::task::yield_now().await;
        }
    };
    told.await;
    rig.put("other", "s/s", &json!({}), &["p"]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!rig.kicks.take_news("u"), "another's bundle");
    assert!(rig.trust.is_watching());
    rig.trust.forget("u");
    assert!(!rig.trust.is_watching());
    rig.put("own", "", &json!({}), &["y"]);
    assert_eq!(rig.get(own).await.unwrap(), ["y"], "nothing old is remembered");
}

#[tokio::test(start_paused = true)]
async fn anchors_beyond_the_budget_are_refused_before_they_are_read() {
    let rig = Rig::new();
    let text = "#".repeat(1 << 20);
    for n in 0..33 {
        rig.put_text(&format!("s:{n}"), "s/s", &json!({}), &text);
    }
    let all = json!({"path": "p", "signerName": "s/s", "labelSelector": {}});
    let refused = rig.get(all).await.unwrap_err();
    assert_eq!(refused, "the trust anchors of a pod may take 33554432 bytes at most");
    let values: Vec<String> = (0..11_000).map(|n| format!("value-{n}")).collect();
    let long = json!({"path": "p", "signerName": "s/s", "labelSelector":
        {"matchExpressions": [{"key": "k", "operator": "In", "values": values}]}});
    let refused = rig.get(long).await.unwrap_err();
    assert!(refused.ends_with("is larger than 102400"), "{refused}");
}
