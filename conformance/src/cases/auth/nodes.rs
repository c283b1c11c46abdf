//! Nodes as users.

use anyhow::Result;
use serde_json::json;

use crate::api::{NODE, SECRET, expect_refusal};
use crate::case::{Case, case};
use crate::test::Test;

pub(super) fn cases() -> Vec<Case> {
    vec![case(
        "[sig-auth] [Feature:NodeAuthorizer] A node shouldn't be able to create another node or read \
         what is not its pods'",
        confined,
    )]
}

async fn confined(test: Test) -> Result<()> {
    let node = test.unique("node");
    let secret = json!({"metadata": {"name": "unrelated"}});
    test.of(&SECRET).create(secret).await?;
    let as_node = test.cluster.impersonate(&format!("system:node:{node}"), &["system:nodes"])?;
    let secrets = as_node.namespaced(&SECRET, &test.namespace);
    expect_refusal(secrets.get("unrelated").await, 403, "Forbidden")?;
    expect_refusal(secrets.items("").await, 403, "Forbidden")?;
    let nodes = as_node.all(&NODE);
    let another = json!({"metadata": {"name": test.unique("another")}});
    expect_refusal(nodes.create(another).await, 403, "Forbidden")?;
    if let Some(other) = test.nodes().first() {
        let change = nodes.patch(
            other,
            crate::api::Patch::Merge,
            json!({"metadata": {"labels": {"taken": "over"}}}),
        );
        expect_refusal(change.await, 403, "Forbidden")?;
    }
    Ok(())
}
