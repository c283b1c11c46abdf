//! Limit ranges.

use anyhow::Result;
use serde_json::{Value, json};

use crate::api::{LIMIT_RANGE, Patch, expect_refusal};
use crate::case::{Case, case};
use crate::cases::lifecycle::{Life, life_case};
use crate::test::{Test, expect_eq, expect_in};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "[sig-scheduling] LimitRange should create a LimitRange with defaults and ensure pod has those \
             defaults applied. [Conformance]",
            defaults,
        ),
        life_case(
            "[sig-scheduling] LimitRange should list, patch and delete a LimitRange by collection \
             [Conformance]",
            Life {
                kind: LIMIT_RANGE,
                object: json!({"spec": {"limits": [{"type": "Container", "min": {"cpu": "50m"},
                    "max": {"cpu": "500m"}, "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}}]}}),
                change: json!({"metadata": {"labels": {"changed": "yes"}}}),
                status: None,
            },
        ),
    ]
}

fn pod(name: &str, resources: Value) -> Value {
    json!({"metadata": {"name": name}, "spec": {
        "schedulingGates": [{"name": "example.com/never"}],
        "containers": [{"name": "c", "image": "never-run", "resources": resources}],
    }})
}

async fn defaults(test: Test) -> Result<()> {
    let limit = json!({"type": "Container",
        "min": {"cpu": "50m", "memory": "100Mi"},
        "max": {"cpu": "500m", "memory": "500Mi"},
        "default": {"cpu": "500m", "memory": "500Mi"},
        "defaultRequest": {"cpu": "100m", "memory": "200Mi"}});
    let ranges = test.of(&LIMIT_RANGE);
    ranges
        .create(json!({"metadata": {"name": "limit-range"}, "spec": {"limits": [limit]}}))
        .await?;
    let resources = |pod: &Value| pod["spec"]["containers"][0]["resources"].clone();
    let plain = test.pods().create(pod("plain", json!({}))).await?;
    let all = json!({"requests": {"cpu": "100m", "memory": "200Mi"},
        "limits": {"cpu": "500m", "memory": "500Mi"}});
    expect_eq("the defaults", &resources(&plain), &all)?;
    let part = json!({"requests": {"cpu": "300m"}, "limits": {"memory": "300Mi"}});
    let partial = test.pods().create(pod("partial", part)).await?;
    let merged = json!({"requests": {"cpu": "300m", "memory": "300Mi"},
        "limits": {"cpu": "500m", "memory": "300Mi"}});
    expect_eq("the defaults beside what is given", &resources(&partial), &merged)?;
    let small = json!({"requests": {"cpu": "10m"}});
    let refusal = expect_refusal(test.pods().create(pod("small", small)).await, 403, "Forbidden")?;
    expect_in("the refusal", refusal.message(), "minimum cpu usage per Container is 50m")?;
    let large = json!({"limits": {"memory": "600Mi"}});
    let refusal = expect_refusal(test.pods().create(pod("large", large)).await, 403, "Forbidden")?;
    expect_in("the refusal", refusal.message(), "maximum memory usage per Container is 500Mi")?;
    let body = json!([{"op": "replace", "path": "/spec/limits/0/min/cpu", "value": "5m"}]);
    ranges.patch("limit-range", Patch::Json, body).await?;
    ranges.get("limit-range").await?;
    let small = json!({"requests": {"cpu": "10m"}});
    test.pods().create(pod("small", small)).await.map(drop)
}
