//! Measurements side by side: each figure with its baseline, their ratio, its target and the verdict.
//!
//! `cargo build --release -p coxswain` first; the binary is `$COXSWAIN`, else the release build of
//! this checkout. Then `cargo run --release -p bench -- [api|extension|store|list|watch|pods|up|memory|size|build]…`;
//! without names all but `build` run, in under five minutes. Baselines are measured in the same run on the same
//! machine, alternating with what is compared, so a busy machine slows both; ratios mean more than
//! figures. `api` and `extension` are set against upstream's server where `KUBE_APISERVER` (and `ETCD`, if it is not on
//! `PATH`) name the binaries. `store` needs Debian's `etcd-server` on `PATH`, `pods` needs root.

mod benchmarks;
mod cluster;
mod etcd;
mod fixture;
mod grpc;
mod http;
mod load;
mod process;
mod report;
mod servers;
mod stats;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use report::Report;

/// Measures Coxswain side by side with its baselines.
#[derive(Parser)]
struct Cli {
    /// Benchmarks to run; all if not given.
    benchmarks: Vec<Benchmark>,
    /// Serves a file over TLS with the certificate of a cluster directory; how a baseline is made.
    #[arg(long, hide = true, num_args = 2, value_names = ["CLUSTER", "FILE"])]
    serve: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Benchmark {
    /// Requests to the API server alone, against upstream's with etcd.
    Api,
    /// The cost of webhooks, policies and rules in a write, against upstream's.
    Extension,
    /// Durable puts per second, against etcd and against bare write and fdatasync.
    Store,
    /// LIST of 10,000 pods, against a static buffer.
    List,
    /// Events to 1,000 watchers, against a static buffer.
    Watch,
    /// Time from creating a pod until it is running.
    Pods,
    /// Time from nothing to a ready node.
    Up,
    /// Resident memory.
    Memory,
    /// Bytes of the binary.
    Size,
    /// Time that the compiler takes; minutes, so that it only runs when it is named.
    Build,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The first of this process, so it cannot fail.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(cli) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns true if every benchmark came to its end; a missed target is a result, not a failure.
fn run(cli: Cli) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let [cluster, file] = &cli.serve[..] {
        return runtime.block_on(fixture::serve(cluster, file)).map(|()| true);
    }
    let quick = Benchmark::value_variants().iter().filter(|one| **one != Benchmark::Build);
    let chosen: Vec<Benchmark> = match &cli.benchmarks[..] {
        [] => quick.copied().collect(),
        some => some.to_vec(),
    };
    let mut report = Report::default();
    let mut complete = true;
    for benchmark in &chosen {
        let name = format!("{benchmark:?}").to_lowercase();
        eprintln!("measuring {name}");
        if let Err(error) = runtime.block_on(measure(*benchmark, &mut report)) {
            complete = false;
            report.failed(&name, &format!("{error:#}"));
        }
    }
    print!("{report}");
    // Connections that a benchmark left open are not worth waiting for.
    runtime.shutdown_background();
    Ok(complete)
}

async fn measure(benchmark: Benchmark, report: &mut Report) -> Result<()> {
    match benchmark {
        Benchmark::Api => benchmarks::api::measure(report).await,
        Benchmark::Extension => benchmarks::extension::measure(report).await,
        Benchmark::Store => benchmarks::store::measure(report).await,
        Benchmark::List => benchmarks::list::measure(report).await,
        Benchmark::Watch => benchmarks::watch::measure(report).await,
        Benchmark::Pods => benchmarks::pods::measure(report).await,
        Benchmark::Up => benchmarks::up::measure(report).await,
        Benchmark::Memory => benchmarks::memory::measure(report).await,
        Benchmark::Size => benchmarks::size::measure(report),
        Benchmark::Build => benchmarks::build::measure(report),
    }
}
