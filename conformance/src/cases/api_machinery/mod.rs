//! Cases of sig-api-machinery.

mod apply;
mod chunking;
mod custom_fields;
mod custom_openapi;
mod custom_resources;
mod discovery;
mod field_validation;
mod garbage;
mod kinds;
mod namespaces;
mod patches;
mod policies;
mod quota;
mod selectors;
mod table;
mod versions;
mod watchers;
mod webhooks;
mod writes;

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    [
        apply::cases(),
        chunking::cases(),
        custom_fields::cases(),
        custom_openapi::cases(),
        custom_resources::cases(),
        discovery::cases(),
        field_validation::cases(),
        garbage::cases(),
        kinds::cases(),
        namespaces::cases(),
        patches::cases(),
        policies::cases(),
        quota::cases(),
        selectors::cases(),
        table::cases(),
        versions::cases(),
        watchers::cases(),
        webhooks::cases(),
        writes::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
