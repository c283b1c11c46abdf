//! Shows that cases can fail: each mutation is a proxy in front of the real cluster that breaks one
//! feature, and the cases meant for the feature must fail through it.

mod lie;
mod proxy;
mod table;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use kube::Config;
use regex::RegexSet;

use crate::api::Cluster;
use crate::args::Options;
use crate::case::Case;
use crate::run::{Outcome, Record, Trash, configuration, execute, settings};
use crate::test::Settings;
use crate::{FAILED, PASSED};
use lie::Lie;
use proxy::Proxy;

/// One broken feature.
pub(crate) struct Mutation {
    /// Its name on the command line.
    name: &'static str,
    lie: Lie,
    /// Regular expressions of the titles of the cases that must notice.
    meant: &'static [&'static str],
}

/// How long a case is given: most failures are something that never comes.
const PATIENCE: Duration = Duration::from_secs(12);
/// How many mutations run side by side.
const AT_ONCE: usize = 6;

struct Proof<'a> {
    options: &'a Options,
    config: &'a Config,
    honest: &'a Cluster,
    settings: &'a Arc<Settings>,
}

/// Runs the named mutations, or all; 0 if every case noticed.
pub(crate) async fn prove(options: &Options, names: &[String]) -> Result<u8> {
    let all = table::mutations();
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|m| m.name != **name)) {
        let known: Vec<&str> = all.iter().map(|mutation| mutation.name).collect();
        bail!("there is no mutation {unknown}; there are {}", known.join(", "));
    }
    let selected = crate::run::select(options);
    let chosen: Vec<&Mutation> =
        all.iter().filter(|m| names.is_empty() || names.iter().any(|n| n == m.name)).collect();
    let plan = chosen
        .iter()
        .map(|mutation| Ok((*mutation, meant(mutation, &selected)?)))
        .collect::<Result<Vec<_>>>()?;
    let titles: BTreeSet<&str> =
        plan.iter().flat_map(|(_, cases)| cases.iter().map(|case| case.title.as_str())).collect();
    let concerned: Vec<Arc<Case>> =
        selected.iter().filter(|case| titles.contains(case.title.as_str())).cloned().collect();
    println!(
        "{} of {} cases are meant by {} mutations",
        concerned.len(),
        selected.len(),
        plan.len()
    );

    let config = configuration(options).await?;
    let trash = Trash::new();
    let cluster = Cluster::new(config.clone(), trash.clone())?;
    let done = tokio::select! {
        done = async {
            let settings = Arc::new(settings(options, &cluster, &concerned).await?);
            let proof = Proof { options, config: &config, honest: &cluster, settings: &settings };
            all_of(&proof, &plan, &concerned).await
        } => done,
        _ = crate::run::stop_signal() => Ok(FAILED),
    };
    trash.empty(&cluster).await;
    done
}

async fn all_of(
    proof: &Proof<'_>,
    plan: &[(&Mutation, Vec<Arc<Case>>)],
    concerned: &[Arc<Case>],
) -> Result<u8> {
    // A case that fails through an honest proxy proves nothing by failing through another.
    let truth = proof.run(&Lie::None, concerned, proof.options.timeout).await?;
    let mut sound = BTreeSet::new();
    for record in &truth {
        match &record.outcome {
            Outcome::Passed => drop(sound.insert(record.title.as_str())),
            other => {
                println!("no proof for {} ({}): {}", record.title, other.word(), first_line(other))
            }
        }
    }
    let sound = |case: &&Arc<Case>| sound.contains(case.title.as_str());
    let part = |cases: &[Arc<Case>], serial: bool| -> Vec<Arc<Case>> {
        cases.iter().filter(sound).filter(|case| case.serial() == serial).cloned().collect()
    };
    let time = PATIENCE.min(proof.options.timeout);
    let (mut killed, mut survivors) = (BTreeSet::new(), 0);
    // Side by side where that is allowed: a case that fails for what another did proves nothing.
    for (at_once, serial) in [(AT_ONCE, false), (1, true)] {
        let runs = plan.iter().map(|(mutation, cases)| {
            let cases = part(cases, serial);
            async move { (mutation.name, proof.run(&mutation.lie, &cases, time).await) }
        });
        let mut runs = futures::stream::iter(runs).buffer_unordered(at_once);
        while let Some((name, records)) = runs.next().await {
            let (failed, passed): (Vec<Record>, Vec<Record>) = records?
                .into_iter()
                .partition(|record| matches!(record.outcome, Outcome::Failed(_)));
            if failed.len() + passed.len() > 0 {
                println!("{name:<20} {:>3} noticed, {} did not", failed.len(), passed.len());
            }
            for record in &passed {
                println!("    not noticed by {}", record.title);
            }
            survivors += passed.len();
            killed.extend(failed.into_iter().map(|record| record.title));
        }
    }
    println!("{} of {} cases were shown to fail", killed.len(), concerned.len());
    Ok(if survivors == 0 { PASSED } else { FAILED })
}

fn first_line(outcome: &Outcome) -> String {
    outcome.message().lines().next().unwrap_or_default().chars().take(200).collect()
}

/// The cases that a mutation is meant for.
fn meant(mutation: &Mutation, cases: &[Arc<Case>]) -> Result<Vec<Arc<Case>>> {
    let set = RegexSet::new(mutation.meant).with_context(|| mutation.name)?;
    Ok(cases.iter().filter(|case| set.is_match(&case.title)).cloned().collect())
}

impl Proof<'_> {
    /// Runs cases through a proxy that lies.
    async fn run(&self, lie: &Lie, cases: &[Arc<Case>], time: Duration) -> Result<Vec<Record>> {
        let proxy = Proxy::bind(self.config, lie.clone()).await?;
        let file = tempfile::NamedTempFile::new()?;
        serde_json::to_writer(&file, &proxy.kubeconfig()?)?;
        let options = Options {
            kubeconfig: Some(file.path().to_owned()),
            timeout: time,
            ..self.options.clone()
        };
        let settings = Arc::new(Settings {
            kubeconfig: file.path().to_owned(),
            cache: tempfile::tempdir()?,
            image: self.settings.image.clone(),
            kubectl: self.settings.kubectl.clone(),
            nodes: self.settings.nodes.clone(),
        });
        // Objects are removed past the lie, which may be about deletions.
        let lied = Cluster::new(configuration(&options).await?, self.honest.trash().clone())?;
        let show = crate::run::Progress::silent(cases.len());
        let records = tokio::select! {
            records = execute(&options, &lied, self.honest, cases, &settings, &show) => records,
            served = proxy.serve() => {
                served?;
                bail!("the proxy ended")
            }
        };
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutation_is_meant_for_some_case() {
        let cases: Vec<Arc<Case>> = crate::cases::all().into_iter().map(Arc::new).collect();
        let mut names = BTreeSet::new();
        for mutation in table::mutations() {
            assert!(names.insert(mutation.name), "{} is there twice", mutation.name);
            for pattern in mutation.meant {
                let pattern = regex::Regex::new(pattern).unwrap();
                let found = cases.iter().any(|case| pattern.is_match(&case.title));
                assert!(found, "{}: {pattern} is the title of no case", mutation.name);
            }
        }
    }
}
