//! Cases of sig-cli, with the kubectl of the machine that they run on.

mod applications;
mod kubectl;
mod objects;
mod proxy;
mod workloads;

use crate::case::{Case, Need};

pub(super) fn cases() -> Vec<Case> {
    [applications::cases(), objects::cases(), proxy::cases(), workloads::cases()]
        .into_iter()
        .flatten()
        .map(|case| case.needs(Need::Kubectl))
        .collect()
}
