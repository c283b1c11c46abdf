//! Objects that never change.

use anyhow::Result;
use serde_json::json;

use crate::api::{CONFIG_MAP, Kind, Patch, SECRET, expect_refusal};
use crate::case::{Case, case};
use crate::test::{Test, expect_in};

pub(super) fn cases() -> Vec<Case> {
    [("ConfigMap", CONFIG_MAP), ("Secrets", SECRET)]
        .map(|(title, kind)| {
            let title =
                format!("[sig-storage] {title} should be immutable if `immutable` field is set [Conformance]");
            case(&title, move |test| immutable(test, kind.clone()))
        })
        .into()
}

async fn immutable(test: Test, kind: Kind) -> Result<()> {
    let objects = test.of(&kind);
    // "dmFsdWU=" is data of either kind.
    objects.create(json!({"metadata": {"name": "o"}, "data": {"k": "dmFsdWU="}})).await?;
    let change = |value: &str| objects.patch("o", Patch::Merge, json!({"data": {"k": value}}));
    change("b3RoZXI=").await?;
    objects.patch("o", Patch::Merge, json!({"immutable": true})).await?;
    let refusal = expect_refusal(change("dGhpcmQ=").await, 422, "Invalid")?;
    expect_in("the refusal", refusal.message(), "field is immutable when `immutable` is set")?;
    let back = objects.patch("o", Patch::Merge, json!({"immutable": false})).await;
    expect_refusal(back, 422, "Invalid")?;
    let label = json!({"metadata": {"labels": {"still": "changes"}}});
    objects.patch("o", Patch::Merge, label).await?;
    objects.delete("o").await.map(drop)
}
