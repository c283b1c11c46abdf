//! Cases of sig-architecture.

use anyhow::Result;

use crate::case::{Case, case};
use crate::test::Test;

pub(super) fn cases() -> Vec<Case> {
    vec![case(
        "[sig-architecture] Conformance Tests should have at least two untainted nodes [Conformance]",
        two_nodes,
    )]
}

async fn two_nodes(test: Test) -> Result<()> {
    let nodes = test.nodes();
    anyhow::ensure!(nodes.len() >= 2, "expected two nodes that take any pod, found {nodes:?}");
    Ok(())
}
