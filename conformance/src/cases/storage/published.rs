//! Config maps, secrets and their projections as files.

use anyhow::Result;
use serde_json::{Value, json};

use crate::api::{CONFIG_MAP, SECRET};
use crate::case::{Case, pod_case};
use crate::test::{Test, expect_in};

/// How an object gets into a volume.
#[derive(Clone, Copy)]
enum Source {
    ConfigMap,
    Secret,
    ProjectedConfigMap,
    ProjectedSecret,
}

impl Source {
    /// The name in upstream's titles.
    fn title(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secrets",
            Self::ProjectedConfigMap => "Projected configMap",
            Self::ProjectedSecret => "Projected secret",
        }
    }

    fn is_secret(self) -> bool {
        matches!(self, Self::Secret | Self::ProjectedSecret)
    }

    async fn make(self, test: &Test, name: &str) -> Result<()> {
        if self.is_secret() {
            let object = json!({"metadata": {"name": name}, "stringData": {"data-1": "value-1", "data-2": "value-2"}});
            test.of(&SECRET).create(object).await?;
        } else {
            let object = json!({"metadata": {"name": name}, "data": {"data-1": "value-1", "data-2": "value-2"}});
            test.of(&CONFIG_MAP).create(object).await?;
        }
        Ok(())
    }

    /// The volume of an object with items and a mode.
    fn volume(self, volume: &str, name: &str, items: Option<Value>, mode: Option<i32>) -> Value {
        let (kind, key) = match self {
            Self::ConfigMap => ("configMap", "name"),
            Self::Secret => ("secret", "secretName"),
            Self::ProjectedConfigMap => ("configMap", "name"),
            Self::ProjectedSecret => ("secret", "name"),
        };
        let mut source = json!({key: name});
        if let Some(items) = items {
            source["items"] = items;
        }
        let mut volume = json!({"name": volume});
        let projected = matches!(self, Self::ProjectedConfigMap | Self::ProjectedSecret);
        if projected {
            volume["projected"] = json!({"sources": [{kind: source}]});
        } else {
            volume[kind] = source;
        }
        if let Some(mode) = mode {
            volume[if projected { "projected" } else { kind }]["defaultMode"] = mode.into();
        }
        volume
    }
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for source in
        [Source::ConfigMap, Source::Secret, Source::ProjectedConfigMap, Source::ProjectedSecret]
    {
        let mut add = |rest: &str, how: How| {
            let title = format!("[sig-storage] {} {rest} [Conformance]", source.title());
            cases.push(pod_case(&title, move |test| consume(test, source, how)));
        };
        let plain = How::default();
        add("should be consumable from pods in volume [NodeConformance]", plain);
        add(
            "should be consumable from pods in volume with defaultMode set [LinuxOnly] [NodeConformance]",
            How { mode: Some(0o400), ..plain },
        );
        let mapped = How { mapped: true, ..plain };
        add("should be consumable from pods in volume with mappings [NodeConformance]", mapped);
        let item_mode = if source.is_secret() { "Item Mode" } else { "Item mode" };
        add(
            &format!(
                "should be consumable from pods in volume with mappings and {item_mode} set [LinuxOnly] \
                 [NodeConformance]"
            ),
            How { item_mode: Some(0o400), ..mapped },
        );
        let twice = if source.is_secret() { "a pod" } else { "the same pod" };
        add(
            &format!("should be consumable in multiple volumes in {twice} [NodeConformance]"),
            How { twice: true, ..plain },
        );
        if source.is_secret() {
            add(
                "should be consumable from pods in volume as non-root with defaultMode and fsGroup set \
                 [LinuxOnly] [NodeConformance]",
                How { mode: Some(0o440), user: Some(1000), group: Some(1001), ..plain },
            );
        } else {
            add(
                "should be consumable from pods in volume as non-root [NodeConformance]",
                How { user: Some(1000), ..plain },
            );
            add(
                "should be consumable from pods in volume with mappings as non-root [NodeConformance]",
                How { user: Some(1000), ..mapped },
            );
        }
    }
    cases
}

/// Variations of the volume and the pod.
#[derive(Clone, Copy, Default)]
struct How {
    mode: Option<i32>,
    mapped: bool,
    item_mode: Option<i32>,
    twice: bool,
    user: Option<i64>,
    group: Option<i64>,
}

async fn consume(test: Test, source: Source, how: How) -> Result<()> {
    let name = test.unique("object");
    source.make(&test, &name).await?;
    let mut item = json!({"key": "data-2", "path": "path/to/data-2"});
    if let Some(mode) = how.item_mode {
        item["mode"] = mode.into();
    }
    let items = how.mapped.then(|| json!([item]));
    let mut context = json!({});
    if let Some(user) = how.user {
        context["runAsUser"] = user.into();
    }
    if let Some(group) = how.group {
        context["fsGroup"] = group.into();
    }
    let count = if how.twice { 2 } else { 1 };
    let names: Vec<String> = (0..count).map(|index| format!("v{index}")).collect();
    let volumes: Vec<Value> =
        names.iter().map(|volume| source.volume(volume, &name, items.clone(), how.mode)).collect();
    let mounts: Vec<Value> = names
        .iter()
        .map(|volume| json!({"name": volume, "mountPath": format!("/{volume}"), "readOnly": true}))
        .collect();
    let spec = json!({
        "securityContext": context, "volumes": volumes,
        "containers": [{"volumeMounts": mounts}],
    });
    let (file, content) = match how.mapped {
        true => ("path/to/data-2", "value-2"),
        false => ("data-1", "value-1"),
    };
    let mut steps = vec!["id".to_owned()];
    for volume in &names {
        steps.push(format!("cat /{volume}/{file}"));
        steps.push(format!("stat /{volume}/{file}"));
        // Mapped volumes have what is mapped and nothing else.
        steps.push(match how.mapped {
            true => format!("missing /{volume}/data-1"),
            false => format!("cat /{volume}/data-2"),
        });
    }
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    let log = test.output(spec, &steps).await?;
    expect_in("the user", &log, &format!("Uid: {}", how.user.unwrap_or(0)))?;
    let mode = how.item_mode.or(how.mode).unwrap_or(0o644);
    let group = how.group.unwrap_or(0);
    for volume in &names {
        expect_in("the log", &log, &format!("{content}\n/{volume}/{file}: mode={mode:04o}"))?;
        expect_in(
            "the file's group",
            &log,
            &format!("/{volume}/{file}: mode={mode:04o} uid=0 gid={group}"),
        )?;
    }
    Ok(())
}
