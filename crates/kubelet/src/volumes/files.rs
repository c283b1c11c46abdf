//! Volumes made of API objects: config maps, secrets, the downward API, tokens, or all of them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret, Volume, VolumeProjection,
};
use k8s_openapi::jiff::Timestamp;

use super::atomic::{Content, File};
use super::token;
use crate::context::Context;
use crate::objects;
use crate::pod::{namespace, spec};
use crate::spec::downward::{self, Facts};

const DEFAULT_MODE: i32 = 0o644;
/// Tokens are for their owner only.
const TOKEN_MODE: u32 = 0o600;

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
}

/// The files of such a volume; `None` for other kinds of volume. `refresh_at` is lowered to when
/// a token in it should be replaced.
pub(super) async fn content(
    context: &Context,
    pod: &Pod,
    volume: &Volume,
    facts: &Facts,
    refresh_at: &mut Option<Timestamp>,
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
        downward_files(&mut out, pod, source.items.as_deref(), mode, facts)?;
    } else if let Some(source) = &volume.projected {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        for projection in source.sources.iter().flatten() {
            project(&mut out, context, pod, projection, mode, facts, refresh_at).await?;
        }
    } else {
        return Ok(None);
    }
    Ok(Some(out))
}

async fn project(
    out: &mut Content,
    context: &Context,
    pod: &Pod,
    projection: &VolumeProjection,
    mode: i32,
    facts: &Facts,
    refresh_at: &mut Option<Timestamp>,
) -> Result<(), Error> {
    let objects = &context.objects;
    if let Some(source) = &projection.config_map {
        let map = objects.config_maps.get(namespace(pod), &source.name).await?;
        let data = map.as_deref().map(map_data);
        let optional = source.optional == Some(true);
        let what = ("configmap", source.name.as_str());
        pick(out, what, data, source.items.as_deref(), mode, optional)?;
    }
    if let Some(source) = &projection.secret {
        let secret = objects.secrets.get(namespace(pod), &source.name).await?;
        let data = secret.as_deref().map(secret_data);
        let optional = source.optional == Some(true);
        let what = ("secret", source.name.as_str());
        pick(out, what, data, source.items.as_deref(), mode, optional)?;
    }
    if let Some(source) = &projection.downward_api {
        downward_files(out, pod, source.items.as_deref(), mode, facts)?;
    }
    if let Some(source) = &projection.service_account_token {
        let token = context.tokens.get(pod, source).await?;
        *refresh_at = Some(refresh_at.map_or(token.refresh_at, |at| at.min(token.refresh_at)));
        let (mode, user) = token_access(pod, mode);
        let content = token.text.into_bytes();
        out.insert(source.path.clone(), File { content, mode, user });
    }
    Ok(())
}

/// Owner and mode of a token: where the pod has a group, or one user that all containers run as,
/// it is for them only, else as the volume says. The group's right to read it comes with the group.
fn token_access(pod: &Pod, default: i32) -> (u32, Option<u32>) {
    let context = spec(pod).security_context.as_ref();
    let of_pod = context.and_then(|context| context.run_as_user);
    let mut users = crate::pod::members(pod).into_iter().map(|member| {
        let own = member.container.security_context.as_ref().and_then(|own| own.run_as_user);
        own.or(of_pod)
    });
    let user = users.next().flatten().filter(|first| users.all(|user| user == Some(*first)));
    let user = user.and_then(|user| u32::try_from(user).ok());
    let group = context.is_some_and(|context| context.fs_group.is_some());
    let mode = if group || user.is_some() { TOKEN_MODE } else { default as u32 };
    (mode, user)
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

    #[test]
    fn tokens_belong_to_the_user_all_containers_share() {
        let pod = |spec| -> Pod { serde_json::from_value(json!({"spec": spec})).unwrap() };
        let c = |user: Option<i64>| json!({"name": "c", "securityContext": {"runAsUser": user}});
        let table = [
            (json!({"containers": [c(None)]}), (0o644, None)),
            (json!({"containers": [c(Some(7)), c(Some(7))]}), (0o600, Some(7))),
            (json!({"containers": [c(Some(7)), c(Some(8))]}), (0o644, None)),
            (
                json!({"securityContext": {"fsGroup": 9}, "containers": [c(Some(7))]}),
                (0o600, Some(7)),
            ),
            (json!({"securityContext": {"fsGroup": 9}, "containers": [c(None)]}), (0o600, None)),
        ];
        for (spec, wanted) in table {
            assert_eq!(token_access(&pod(spec), 0o644), wanted);
        }
    }
}
