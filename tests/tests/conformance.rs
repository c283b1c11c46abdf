//! The conformance suite against this cluster, and the proof that its cases can fail.

use std::process::Command;

use e2e::{Cluster, run, tool};

/// Titles of cases for features that are not built yet, and of cases that take minutes.
const LEFT_OUT: &str = "CronJob|\\[Slow\\]";

fn conformance(cluster: &Cluster) -> Command {
    let mut command = Command::new(tool("COXSWAIN"));
    command.arg("conformance").arg("--kubectl").arg(tool("KUBECTL"));
    command.arg("--kubeconfig").arg(cluster.dir().join("kubeconfig/admin.conf"));
    command
}

/// A report without the hundreds of cases that passed, so that a failure is seen in a log.
fn without_passed(report: &str) -> String {
    let others =
        report.lines().filter(|line| !line.starts_with("ok ") && !line.starts_with("skip "));
    others.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_cluster_without_the_image_is_told_how_to_get_it() {
    let cluster = Cluster::start();
    let missing = run(conformance(&cluster).args(["--focus", "should get a host IP"]));
    assert_eq!(missing.code, 2, "{}{}", missing.stdout, missing.stderr);
    assert!(missing.stderr.contains("coxswain image import"), "{}", missing.stderr);
}

#[test]
fn the_suite_passes_and_leaves_nothing_and_notices_lies() {
    let cluster = Cluster::with(&["--nodes", "2"]);
    let archive = cluster.dir().join("conformance.tar");
    run(conformance(&cluster).arg("image").arg("--out").arg(&archive)).ok();
    let mut import = Command::new(tool("COXSWAIN"));
    run(import.args(["image", "import"]).arg(&archive).arg("--dir").arg(cluster.dir())).ok();

    let report = cluster.dir().join("junit.xml");
    let suite = run(conformance(&cluster).args(["--skip", LEFT_OUT]).arg("--junit").arg(&report));
    let said = without_passed(&suite.stdout);
    assert_eq!(suite.code, 0, "{}{said}", suite.stderr);
    assert!(suite.stdout.contains(" 0 failed"), "{said}");
    let report = std::fs::read_to_string(report).expect("the report");
    assert!(report.matches("<testcase ").count() > 400, "{report}");
    let left = "get namespaces,nodes,clusterroles,persistentvolumes,priorityclasses -o name \
                -l conformance.coxswain.dev/run";
    assert_eq!(cluster.kubectl(left).ok(), "");

    let lies = ["dry-run", "field-selectors", "impersonation", "medium", "modes", "run-as-user"];
    let proof = run(conformance(&cluster).arg("prove").args(lies));
    assert_eq!(proof.code, 0, "{}{}", proof.stdout, proof.stderr);
    for lie in lies {
        assert!(proof.stdout.contains(lie), "{}", proof.stdout);
    }
}
