//! Running cases: those that may side by side first, then one after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::StreamExt;
use serde_json::json;

use super::prepare::make_namespace;
use super::progress::Progress;
use super::{Outcome, Record};
use crate::api::{CORE_EVENT, Cluster};
use crate::args::Options;
use crate::case::{Case, Need, Skipped};
use crate::test::{Settings, Test};

/// How long after its deadline a case is waited for: its waits end by themselves.
const GRACE: Duration = Duration::from_secs(5);

/// Runs the cases and gives a record of each, in their order; what they made is removed by
/// `cleaner`, which speaks to the same cluster.
pub(crate) async fn execute(
    options: &Options,
    cluster: &Cluster,
    cleaner: &Cluster,
    cases: &[Arc<Case>],
    settings: &Arc<Settings>,
    show: &Progress,
) -> Vec<Record> {
    let one = |index: usize, case: Arc<Case>| async move {
        show.begin(&case.title);
        let record = record(options, [cluster, cleaner], &case, settings).await;
        show.end(index, &record);
    };
    for serial in [false, true] {
        let at_once = if serial { 1 } else { usize::from(options.parallel) };
        let chosen = cases.iter().cloned().enumerate().filter(|(_, case)| case.serial() == serial);
        futures::stream::iter(chosen.map(|(index, case)| one(index, case)))
            .for_each_concurrent(at_once, |run| run)
            .await;
    }
    show.records()
}

/// A need that is not met, in words.
fn unmet_need(case: &Case, settings: &Settings) -> Option<String> {
    case.needs.iter().find_map(|need| match need {
        Need::Nodes(count) if settings.nodes.len() < *count => {
            Some(format!("needs {count} nodes that take pods; there are {}", settings.nodes.len()))
        }
        Need::Kubectl if settings.kubectl.is_none() => {
            Some("needs kubectl, which is not on PATH; --kubectl names one".to_owned())
        }
        _ => None,
    })
}

async fn record(
    options: &Options,
    clusters: [&Cluster; 2],
    case: &Arc<Case>,
    settings: &Arc<Settings>,
) -> Record {
    let begun = Instant::now();
    let outcome = match unmet_need(case, settings) {
        Some(reason) => Outcome::Skipped(reason),
        None => attempt(options, clusters, case, settings).await,
    };
    Record { title: case.title.clone(), outcome, time: begun.elapsed() }
}

async fn attempt(
    options: &Options,
    [cluster, cleaner]: [&Cluster; 2],
    case: &Arc<Case>,
    settings: &Arc<Settings>,
) -> Outcome {
    let deadline = tokio::time::Instant::now() + options.timeout;
    let timed = cluster.until(deadline);
    let suffix = format!("{:08x}", rand::random::<u32>());
    let namespace = format!("{}-{suffix}", case.sig().trim_start_matches("sig-"));
    let test = Test {
        cluster: timed.clone(),
        namespace: namespace.clone().into(),
        settings: settings.clone(),
    };
    let work = async {
        make_namespace(&timed, &namespace, json!({})).await?;
        case.run(test).await
    };
    // A panic in a case is a failure of that case.
    let work = futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(work));
    let result = match tokio::time::timeout_at(deadline + GRACE, work).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(anyhow::anyhow!("the case panicked")),
        Err(_) => Err(anyhow::anyhow!("the case did not end within {:?}", options.timeout)),
    };
    let outcome = outcome(result, cluster, &namespace).await;
    let made = cluster.trash().of_suffix(&suffix);
    cluster.trash().sweep(cleaner, &made).await;
    outcome
}

async fn outcome(result: Result<()>, cluster: &Cluster, namespace: &str) -> Outcome {
    match result {
        Ok(()) => Outcome::Passed,
        Err(error) if error.is::<Skipped>() => Outcome::Skipped(error.to_string()),
        Err(error) => {
            let events = events(cluster, namespace).await;
            Outcome::Failed(format!("{error:#}{events}"))
        }
    }
}

/// The last events of the case's namespace, as lines.
async fn events(cluster: &Cluster, namespace: &str) -> String {
    let short = cluster.until(tokio::time::Instant::now() + Duration::from_secs(5));
    let items = short.namespaced(&CORE_EVENT, namespace).items("").await.unwrap_or_default();
    let line = |event: &serde_json::Value| {
        let text = |field: &serde_json::Value| field.as_str().unwrap_or_default().to_owned();
        let object = &event["involvedObject"];
        format!(
            "\n  {} {} {}/{}: {}",
            text(&event["type"]),
            text(&event["reason"]),
            text(&object["kind"]).to_lowercase(),
            text(&object["name"]),
            text(&event["message"]),
        )
    };
    let skip = items.len().saturating_sub(20);
    let lines: String = items.iter().skip(skip).map(line).collect();
    if lines.is_empty() { lines } else { format!("\nevents of {namespace}:{lines}") }
}
