//! The cases: a folder for each special interest group, a file for each area.

mod api_machinery;
mod apps;
mod architecture;
mod auth;
mod cli;
mod instrumentation;
mod lifecycle;
mod network;
mod node;
mod scheduling;
mod storage;

use crate::case::Case;

/// All cases.
pub(crate) fn all() -> Vec<Case> {
    [
        api_machinery::cases(),
        apps::cases(),
        architecture::cases(),
        auth::cases(),
        cli::cases(),
        instrumentation::cases(),
        network::cases(),
        node::cases(),
        scheduling::cases(),
        storage::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// The titles of upstream's conformance tests of v1.37.
    const UPSTREAM: &str = include_str!("../../titles.txt");

    /// A title without its labels, `[...]`, whose number and places differ by the version of upstream.
    fn unlabelled(title: &str) -> String {
        let parts =
            title.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest));
        parts.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn titles_are_upstreams_and_unique() {
        let upstream: BTreeSet<String> = UPSTREAM.lines().map(unlabelled).collect();
        let cases = super::all();
        let titles: BTreeSet<&str> = cases.iter().map(|case| case.title.as_str()).collect();
        assert_eq!(titles.len(), cases.len(), "two cases have the same title");
        for title in titles {
            let claims = title.contains("[Conformance]");
            assert_eq!(claims, upstream.contains(&unlabelled(title)), "{title}");
        }
    }

    #[test]
    fn every_group_has_cases() {
        let cases = super::all();
        for sig in [
            "api-machinery",
            "apps",
            "architecture",
            "auth",
            "autoscaling",
            "cli",
            "instrumentation",
            "network",
            "node",
            "scheduling",
            "storage",
        ] {
            let of = cases.iter().filter(|case| case.sig() == format!("sig-{sig}")).count();
            assert!(of > 0, "sig-{sig} has no case");
        }
    }
}
