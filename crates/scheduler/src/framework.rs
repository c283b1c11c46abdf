//! The scheduling cycle: filter the nodes, score what remains, take the best.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cache::NodeInfo;
use crate::change::Change;
use crate::cluster::Cluster;
use crate::plugins::{PLUGINS, State};
use crate::pod::PodInfo;

pub(crate) use fit_error::{FitError, histogram};
pub(crate) use score::{MAX_SCORE, Score};

mod fit_error;
pub(crate) mod score;

/// Why a pod is not taken, by one node or by all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(crate) reasons: Vec<Cow<'static, str>>,
    /// True if removing pods might help.
    pub(crate) resolvable: bool,
    /// The plugins that reject.
    pub(crate) by: PluginSet,
}

impl Rejection {
    /// Other pods are in the way.
    pub(crate) fn resolvable(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reasons: vec![reason.into()], resolvable: true, by: PluginSet::default() }
    }

    /// Nothing that happens to the node's pods helps.
    pub(crate) fn unresolvable(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { resolvable: false, ..Self::resolvable(reason) }
    }

    fn by(mut self, plugin: usize) -> Self {
        self.by = PluginSet::only(plugin);
        self
    }
}

/// Plugins by their places in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PluginSet(u32);

impl PluginSet {
    fn only(plugin: usize) -> Self {
        Self(1 << plugin)
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Returns true if a change may end the rejection of a pod by one of these plugins; where no
    /// plugin rejected it, any change may.
    pub(crate) fn may_accept(self, pod: &PodInfo, change: &Change) -> bool {
        let rejecting = |at: usize| self.0 & (1 << at) != 0;
        self.0 == 0
            || PLUGINS.iter().enumerate().any(|(at, p)| rejecting(at) && (p.helps)(pod, change))
    }
}

/// Works out once what a filter then looks up, or rejects the pod altogether.
pub(crate) type PreFilter = for<'a> fn(&mut Cycle<'a>) -> Result<(), Rejection>;
/// Says whether a node takes the cycle's pod.
pub(crate) type Filter = fn(&Cycle<'_>, &NodeInfo) -> Result<(), Rejection>;
/// Keeps what was worked out right when a pod is thought onto a node (1) or away from it (-1).
pub(crate) type Update = for<'a> fn(&mut Cycle<'a>, &'a PodInfo, &'a NodeInfo, i64);

/// One plugin. Filters run in the table's order until one rejects; scores are weighted and added.
pub(crate) struct Plugin {
    /// Upstream's name of it.
    pub(crate) name: &'static str,
    pub(crate) prefilter: Option<PreFilter>,
    pub(crate) filter: Option<Filter>,
    pub(crate) update: Option<Update>,
    pub(crate) score: Option<Score>,
    /// Returns true if a change may make the filter accept a pod it has rejected.
    pub(crate) helps: fn(&PodInfo, &Change) -> bool,
}

impl Plugin {
    /// A plugin that does nothing, to begin a row with.
    pub(crate) const fn named(name: &'static str) -> Self {
        Self { name, prefilter: None, filter: None, update: None, score: None, helps: |_, _| false }
    }
}

/// The input of the plugins in one scheduling cycle, and the state they computed for this pod.
#[derive(Clone)]
pub(crate) struct Cycle<'a> {
    pub(crate) pod: &'a PodInfo,
    pub(crate) cluster: &'a Cluster,
    /// The only nodes that can take the pod, where it names them.
    pub(crate) only: Option<BTreeSet<&'a str>>,
    /// The node looked at last.
    pub(crate) reached: Option<&'a str>,
    /// Extension points whose plugins have run, with what came of it and how long it took.
    pub(crate) points: Vec<(&'static str, &'static str, Duration)>,
    pub(crate) state: State<'a>,
}

impl<'a> Cycle<'a> {
    pub(crate) fn new(pod: &'a PodInfo, cluster: &'a Cluster) -> Self {
        Self {
            pod,
            cluster,
            only: None,
            reached: None,
            points: Vec::new(),
            state: State::default(),
        }
    }

    /// Notes that the plugins of an extension point have run since `begun`.
    pub(crate) fn ran(&mut self, point: &'static str, status: &'static str, begun: Instant) {
        self.points.push((point, status, begun.elapsed()));
    }

    /// Runs what precedes the filters.
    pub(crate) fn prepare(&mut self) -> Result<(), Rejection> {
        for (at, plugin) in PLUGINS.iter().enumerate() {
            if let Some(prefilter) = plugin.prefilter {
                prefilter(self).map_err(|rejection| rejection.by(at))?;
            }
        }
        Ok(())
    }

    /// Thinks a pod onto a node (1) or away from it (-1).
    pub(crate) fn update(&mut self, pod: &'a PodInfo, node: &'a NodeInfo, change: i64) {
        for update in PLUGINS.iter().filter_map(|plugin| plugin.update) {
            update(self, pod, node, change);
        }
    }

    /// Checks if a node takes the pod. `node` is the assumed state of `of`: the same, or a copy
    /// with other pods. Pods nominated for the node that do not yield to this one count as on it,
    /// and as not: which of the two holds in the end is unknown.
    pub(crate) fn filter(&self, of: &'a NodeInfo, node: &NodeInfo) -> Result<(), Rejection> {
        let mut ahead = self
            .cluster
            .nominations
            .others(of.name(), self.pod)
            .filter(|other| other.priority() >= self.pod.priority())
            .peekable();
        if ahead.peek().is_some() {
            let (mut cycle, mut node) = (self.clone(), node.clone());
            for other in ahead {
                cycle.update(other, of, 1);
                node.add(Arc::clone(other));
            }
            cycle.run_filters(&node)?;
        }
        self.run_filters(node)
    }

    fn run_filters(&self, node: &NodeInfo) -> Result<(), Rejection> {
        for (at, plugin) in PLUGINS.iter().enumerate() {
            if let Some(filter) = plugin.filter {
                filter(self, node).map_err(|rejection| {
                    tracing::trace!(pod = %self.pod.key, node = node.name(), by = plugin.name);
                    rejection.by(at)
                })?;
            }
        }
        Ok(())
    }
}

/// How many nodes that fit are enough to choose from: all of few, fewer of many (upstream's adaptive
/// `percentageOfNodesToScore`).
fn enough(nodes: usize) -> usize {
    const ALL_OF: usize = 100;
    let percent = 50usize.saturating_sub(nodes / 125).max(5);
    (nodes * percent / 100).max(ALL_OF)
}

/// Upstream's word for what a plugin is content with.
pub(crate) const SUCCESS: &str = "Success";

/// Upstream's word for what came of an extension point.
pub(crate) const fn status(success: bool) -> &'static str {
    if success { SUCCESS } else { "Unschedulable" }
}

/// The node for a pod, by a cycle that is `Cycle::new`. In large clusters not every node is looked
/// at, so that each pod begins `after` where the one before ended.
///
/// # Errors
/// Why there is none.
pub(crate) fn schedule<'a>(
    cycle: &mut Cycle<'a>,
    after: &str,
) -> Result<&'a NodeInfo, FitError<'a>> {
    let cluster = cycle.cluster;
    let mut error = FitError { nodes: cluster.cache.nodes().count(), ..FitError::default() };
    if error.nodes == 0 {
        return Err(error);
    }
    let begun = Instant::now();
    let prepared = cycle.prepare();
    cycle.ran("PreFilter", status(prepared.is_ok()), begun);
    if let Err(rejection) = prepared {
        error.all = Some(rejection);
        return Err(error);
    }
    let begun = Instant::now();
    let nominated = cluster.nominations.of(&cycle.pod.key);
    if let Some(node) = nominated.and_then(|name| cluster.cache.node(name))
        && cycle.filter(node, node).is_ok()
    {
        cycle.ran("Filter", SUCCESS, begun);
        return Ok(node);
    }
    let named: Option<Vec<&NodeInfo>> = cycle
        .only
        .as_ref()
        .map(|names| names.iter().filter_map(|n| cluster.cache.node(n)).collect());
    let (mut feasible, enough) = (Vec::new(), enough(error.nodes));
    let others = named.is_none().then(|| cluster.cache.nodes_after(after));
    for node in named.into_iter().flatten().chain(others.into_iter().flatten()) {
        cycle.reached = Some(node.name());
        match cycle.filter(node, node) {
            Ok(()) => feasible.push(node),
            Err(rejection) => error.rejected.push((node, rejection)),
        }
        if feasible.len() >= enough {
            break;
        }
    }
    cycle.ran("Filter", status(!feasible.is_empty()), begun);
    match feasible.as_slice() {
        [] => Err(error),
        [only] => Ok(only),
        nodes => {
            let begun = Instant::now();
            let best = score::best(cycle, nodes);
            cycle.ran("Score", SUCCESS, begun);
            Ok(best)
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
