//! Volumes made of API objects: config maps, secrets, the downward API, tokens, or all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret, Volume,
};
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::atomic::{Content, File};
use super::token;
use crate::context::Context;
use crate::pod::namespace;
use crate::spec::downward::{self, Facts};
use crate::{certificates, objects, trust};

mod projected;

const DEFAULT_MODE: i32 = 0o644;

/// Why the files of a volume cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Object(#[from] objects::Error),
    #[error(transparent)]
    Token(#[from] token::Error),
    #[error(transparent)]
    Downward(#[from] downward::Error),
    #[error("{kind} {name:?} not found")]
    NoObject { kind: &'static str, name: String },
    #[error("references non-existent {kind} key: {key}")]
    NoKey { kind: &'static str, key: String },
    #[error(transparent)]
    Trust(#[from] trust::Error),
    #[error(transparent)]
    Certificate(#[from] certificates::Error),
    /// Of several sources of a volume.
    #[error("[{}]", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Several(Vec<Error>),
}

impl Error {
    fn of(mut all: Vec<Self>) -> Self {
        match all.len() {
            1 => all.remove(0),
            _ => Self::Several(all),
        }
    }

    /// Returns true if nothing that is watched will tell that it may be tried again.
    pub(crate) fn is_silent(&self) -> bool {
        match self {
            Self::Object(_) | Self::Token(_) | Self::Trust(trust::Error::NotSynced) => true,
            Self::Several(all) => all.iter().any(Self::is_silent),
            _ => false,
        }
    }
}

/// One look at the volumes of a pod.
pub(super) struct Pass<'a> {
    facts: &'a Facts,
    /// How long what comes from others may be waited for.
    deadline: Instant,
    /// When something in them should be replaced.
    pub(super) refresh_at: Option<Timestamp>,
    /// Bytes of trust anchors that they may still take.
    anchors: usize,
}

impl<'a> Pass<'a> {
    pub(super) fn new(facts: &'a Facts, patience: Duration) -> Self {
        let deadline = Instant::now() + patience;
        Self { facts, deadline, refresh_at: None, anchors: trust::MAX_ANCHORS }
    }
}

/// The files of such a volume; `None` for other kinds of volume.
pub(super) async fn content(
    context: &Context,
    pod: &Pod,
    volume: &Volume,
    pass: &mut Pass<'_>,
) -> Result<Option<Content>, Error> {
    let objects = &context.objects;
    let mut out = Content::new();
    if let Some(source) = &volume.config_map {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        let optional = source.optional == Some(true);
        let map = objects.config_maps.get(namespace(pod), &source.name).await?;
        let data = map.as_deref().map(map_data);
        let what = ("configmap", source.name.as_str());
        pick(&mut out, what, data, source.items.as_deref(), mode, optional)?;
    } else if let Some(source) = &volume.secret {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        let optional = source.optional == Some(true);
        let name = source.secret_name.as_deref().unwrap_or_default();
        let secret = objects.secrets.get(namespace(pod), name).await?;
        let data = secret.as_deref().map(secret_data);
        pick(&mut out, ("secret", name), data, source.items.as_deref(), mode, optional)?;
    } else if let Some(source) = &volume.downward_api {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        downward_files(&mut out, pod, source.items.as_deref(), mode, pass.facts)?;
    } else if let Some(source) = &volume.projected {
        projected::files(&mut out, context, pod, (&volume.name, source), pass).await?;
    } else {
        return Ok(None);
    }
    Ok(Some(out))
}

fn map_data(map: &ConfigMap) -> BTreeMap<String, Vec<u8>> {
    let text = map.data.iter().flatten().map(|(k, v)| (k.clone(), v.clone().into_bytes()));
    let binary = map.binary_data.iter().flatten().map(|(k, v)| (k.clone(), v.0.clone()));
    text.chain(binary).collect()
}

fn secret_data(secret: &Secret) -> BTreeMap<String, Vec<u8>> {
    secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect()
}

/// All keys as files, or those in `items` under their paths.
fn pick(
    out: &mut Content,
    (kind, name): (&'static str, &str),
    data: Option<BTreeMap<String, Vec<u8>>>,
    items: Option<&[KeyToPath]>,
    mode: i32,
    optional: bool,
) -> Result<(), Error> {
    let Some(mut data) = data else {
        let missing = || Error::NoObject { kind, name: name.to_owned() };
        return if optional { Ok(()) } else { Err(missing()) };
    };
    let file = |content, mode: i32| File { content, mode: mode as u32, user: None };
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        out.extend(data.into_iter().map(|(key, content)| (key, file(content, mode))));
        return Ok(());
    };
    for item in items {
        match data.remove(&item.key) {
            Some(content) => {
                out.insert(item.path.clone(), file(content.clone(), item.mode.unwrap_or(mode)));
                data.insert(item.key.clone(), content);
            }
            None if optional => {}
            None => return Err(Error::NoKey { kind, key: item.key.clone() }),
        }
    }
    Ok(())
}

fn downward_files(
    out: &mut Content,
    pod: &Pod,
    items: Option<&[DownwardAPIVolumeFile]>,
    mode: i32,
    facts: &Facts,
) -> Result<(), Error> {
    for item in items.unwrap_or_default() {
        let text = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), _) => downward::field(pod, &field.field_path, facts)?,
            (None, Some(resource)) => downward::resource(pod, None, resource, facts)?,
            (None, None) => continue,
        };
        let mode = item.mode.unwrap_or(mode) as u32;
        out.insert(item.path.clone(), File { content: text.into_bytes(), mode, user: None });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn items_rename_and_missing_keys_are_named() {
        let data =
            || Some([("a".to_owned(), b"1".to_vec()), ("b".to_owned(), b"2".to_vec())].into());
        let items: Vec<KeyToPath> =
            serde_json::from_value(json!([{"key": "a", "path": "x/y", "mode": 0o400}])).unwrap();
        let mut out = Content::new();
        pick(&mut out, ("configmap", "m"), data(), Some(&items), 0o644, false).unwrap();
        assert_eq!(out.keys().collect::<Vec<_>>(), ["x/y"]);
        assert_eq!(out["x/y"].mode, 0o400);

        let wrong: Vec<KeyToPath> =
            serde_json::from_value(json!([{"key": "z", "path": "z"}])).unwrap();
        let got = pick(&mut out, ("configmap", "m"), data(), Some(&wrong), 0o644, false);
        assert_eq!(got.unwrap_err().to_string(), "references non-existent configmap key: z");
        let absent = pick(&mut out, ("secret", "s"), None, None, 0o644, false);
        assert_eq!(absent.unwrap_err().to_string(), "secret \"s\" not found");
        pick(&mut out, ("secret", "s"), None, None, 0o644, true).unwrap();
    }
}
