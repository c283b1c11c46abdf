//! Resources of several running containers that change together, there and back.

use anyhow::Result;
use serde_json::{Value, json};

use crate::api::Patch;
use crate::case::{Case, pod_case};
use crate::test::{Test, expect_eq};

/// A container's resources before and after, as `cpu request/limit, memory request/limit`.
type Row = [&'static str; 2];

pub(super) fn cases() -> Vec<Case> {
    let table: [(&str, &'static [Row]); 5] = [
        (
            "guaranteed pods with multiple containers 3 containers - increase cpu & mem on c1, c2, decrease \
             cpu & mem on c3 - net increase",
            &[
                ["20m/20m, 20Mi/20Mi", "30m/30m, 30Mi/30Mi"],
                ["20m/20m, 20Mi/20Mi", "30m/30m, 30Mi/30Mi"],
                ["30m/30m, 60Mi/60Mi", "20m/20m, 50Mi/50Mi"],
            ],
        ),
        (
            "guaranteed pods with multiple containers 3 containers - increase cpu & mem on c1, decrease cpu \
             & mem on c2, c3 - net decrease",
            &[
                ["20m/20m, 20Mi/20Mi", "25m/25m, 25Mi/25Mi"],
                ["30m/30m, 60Mi/60Mi", "20m/20m, 50Mi/50Mi"],
                ["30m/30m, 60Mi/60Mi", "20m/20m, 50Mi/50Mi"],
            ],
        ),
        (
            "guaranteed pods with multiple containers 3 containers - increase: CPU (c1,c3), memory (c2, \
             c3) ; decrease: CPU (c2)",
            &[
                ["20m/20m, 30Mi/30Mi", "30m/30m, 30Mi/30Mi"],
                ["30m/30m, 30Mi/30Mi", "20m/20m, 40Mi/40Mi"],
                ["20m/20m, 30Mi/30Mi", "30m/30m, 40Mi/40Mi"],
            ],
        ),
        (
            "burstable pods - extended 6 containers - various operations performed (including adding \
             limits and requests)",
            &[
                ["20m/, /", "30m/40m, /"],
                ["/, 30Mi/", "/, 25Mi/60Mi"],
                ["20m/, 30Mi/", "20m/, 25Mi/"],
                ["20m/, /", "15m/, 30Mi/"],
                ["/, 30Mi/", "20m/, 40Mi/"],
            ],
        ),
        ("burstable pods - extended resize with equivalents", &[["2m/10m, /", "1m/5m, /"]]),
    ];
    table
        .into_iter()
        .map(|(rest, rows)| {
            // Since v1.37 upstream demands only those of burstable pods.
            let label = if rest.starts_with("burstable") { " [Conformance]" } else { "" };
            let title = format!(
                "[sig-node] Pod InPlace Resize Container {rest} [MinimumKubeletVersion:1.34]{label}"
            );
            pod_case(&title, move |test| resized(test, rows))
        })
        .collect()
}

/// The resources that a text says.
fn resources(text: &str) -> Value {
    let mut resources = json!({});
    for (name, amounts) in ["cpu", "memory"].into_iter().zip(text.split(", ")) {
        for (kind, amount) in ["requests", "limits"].into_iter().zip(amounts.split('/')) {
            if !amount.is_empty() {
                resources[kind][name] = amount.into();
            }
        }
    }
    resources
}

/// True when a container's status reports the wanted resources.
fn in_force(pod: &Value, name: &str, wanted: &Value) -> bool {
    let mut statuses = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    let Some(status) = statuses.find(|status| status["name"] == name) else { return false };
    let mut all = wanted.as_object().into_iter().flatten();
    all.all(|(kind, amounts)| status["resources"][kind] == *amounts)
}

async fn resized(test: Test, rows: &'static [Row]) -> Result<()> {
    let names: Vec<String> = (1..=rows.len()).map(|index| format!("c{index}")).collect();
    let containers = |column: usize, whole: bool| -> Value {
        let one = |(row, name): (&Row, &String)| {
            let mut container = if whole { test.pause(name) } else { json!({"name": name}) };
            container["resources"] = resources(row[column]);
            container
        };
        Value::Array(rows.iter().zip(&names).map(one).collect())
    };
    test.start(test.pod("p", json!({"containers": containers(0, true)}))).await?;
    // There; and back where nothing was added, for what was added is not taken away again.
    let added = rows.iter().any(|row| {
        let parts =
            |text: &str| text.split(['/', ',']).filter(|part| !part.trim().is_empty()).count();
        parts(row[0]) != parts(row[1])
    });
    for column in if added { &[1][..] } else { &[1, 0] } {
        let body = json!({"spec": {"containers": containers(*column, false)}});
        test.pods().patch("p/resize", Patch::Strategic, body).await?;
        let expected = format!("to have the resources {:?} in force", containers(*column, false));
        let pod = test
            .pods()
            .wait("p", &expected, |pod| {
                let all = rows.iter().zip(&names);
                all.into_iter().all(|(row, name)| in_force(pod, name, &resources(row[*column])))
            })
            .await?;
        for status in pod["status"]["containerStatuses"].as_array().into_iter().flatten() {
            expect_eq("the restarts", &status["restartCount"], &json!(0))?;
        }
        for (row, name) in rows.iter().zip(&names) {
            let limit = &resources(row[*column])["limits"]["cpu"];
            if let Some(milli) = limit.as_str().and_then(|text| text.strip_suffix('m')) {
                // The kernel takes no less than a hundredth of a core.
                let quota = (milli.parse::<u64>()? * 100).max(1000);
                let read = test.exec_ok("p", name, &["limits"]).await?;
                crate::test::expect_in("the limits", &read, &format!("cpu={quota} 100000"))?;
            }
        }
    }
    Ok(())
}
