//! Cases of sig-auth.

mod accounts;
mod certificates;
mod nodes;
mod pod_security;
mod rbac;
mod reviews;
mod tokens;

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    [
        accounts::cases(),
        certificates::cases(),
        nodes::cases(),
        pod_security::cases(),
        rbac::cases(),
        reviews::cases(),
        tokens::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
