//! Why a pod fits nowhere, in upstream's words.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{PluginSet, Rejection};
use crate::cache::NodeInfo;

/// Why a pod fits nowhere.
#[derive(Default)]
pub(crate) struct FitError<'a> {
    /// How many nodes there are.
    pub(crate) nodes: usize,
    /// Why no node at all was looked at.
    pub(crate) all: Option<Rejection>,
    /// The rejection by each node that was examined.
    pub(crate) rejected: Vec<(&'a NodeInfo, Rejection)>,
}

/// Of nodes that were not looked at because the pod names others.
const NOT_NAMED: &str = "node(s) didn't satisfy plugin(s) [NodeAffinity]";

impl<'a> FitError<'a> {
    /// The plugins that rejected the pod.
    pub(crate) fn plugins(&self) -> PluginSet {
        let mut plugins = PluginSet::default();
        let rejections = self.rejected.iter().map(|(_, rejection)| rejection);
        rejections.chain(&self.all).for_each(|rejection| plugins.extend(rejection.by));
        plugins
    }

    /// The nodes on which the removal of pods might help.
    pub(crate) fn resolvable(&self) -> Vec<&'a NodeInfo> {
        let resolvable = self.rejected.iter().filter(|(_, rejection)| rejection.resolvable);
        resolvable.map(|(node, _)| *node).collect()
    }

    /// The message of event and condition, with what preemption has to say, if it does not help.
    pub(crate) fn message(&self, preemption: Option<&str>) -> String {
        if self.nodes == 0 {
            return "no nodes available to schedule pods".into();
        }
        let mut message = match &self.all {
            Some(rejection) => available(self.nodes, &rejection.reasons.join(", ")),
            None => {
                let reasons = self.rejected.iter().flat_map(|(_, rejection)| &rejection.reasons);
                histogram(self.nodes, reasons, self.nodes - self.rejected.len(), NOT_NAMED)
            }
        };
        if let Some(text) = preemption {
            message += &format!(" no new claims to deallocate, preemption: {text}");
        }
        message
    }
}

fn available(nodes: usize, reasons: &str) -> String {
    format!("0/{nodes} nodes are available: {reasons}.")
}

/// `0/3 nodes are available: 1 this, 2 that.`, with `others` more nodes of which `rest` is true.
pub(crate) fn histogram<'a>(
    nodes: usize,
    reasons: impl Iterator<Item = &'a Cow<'static, str>>,
    others: usize,
    rest: &'static str,
) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    if others > 0 {
        *counts.entry(rest).or_default() += others;
    }
    let mut lines: Vec<String> =
        counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    // By text, counts included, as upstream sorts them.
    lines.sort();
    available(nodes, &lines.join(", "))
}
