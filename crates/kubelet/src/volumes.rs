//! Volumes: prepared on the node before the containers that mount them.

mod atomic;
mod empty_dir;
mod files;
mod host_path;
mod ownership;
mod persistent;
pub(crate) mod subpath;
mod tmpfs;
pub(crate) mod token;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Pod, Volume};
use k8s_openapi::jiff::Timestamp;

use crate::context::Context;
use crate::dirs::{SUBPATHS, VOLUMES};
use crate::pod::{members, spec, uid};
use crate::spec::downward::Facts;

/// A volume that is ready on the node.
#[derive(Clone, Debug)]
pub(crate) struct MountedVolume {
    pub(crate) path: PathBuf,
    pub(crate) readonly: bool,
    /// A group that may use it, besides the pod's own.
    group: Option<i64>,
}

/// The volumes of a pod that are ready.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mounted {
    volumes: BTreeMap<String, MountedVolume>,
    /// When a token in them should be replaced.
    pub(crate) refresh_at: Option<Timestamp>,
}

impl Mounted {
    pub(crate) fn get(&self, volume: &str) -> Option<&MountedVolume> {
        self.volumes.get(volume)
    }

    /// Groups that containers must be in to use the volumes.
    pub(crate) fn groups(&self) -> impl Iterator<Item = i64> {
        self.volumes.values().filter_map(|volume| volume.group)
    }
}

/// Prepares every volume that a container mounts, or brings its content up to date.
///
/// # Errors
/// A volume cannot be prepared; the message is that of the `FailedMount` event.
pub(crate) async fn prepare(
    context: &Context,
    pod: &Pod,
    facts: &Facts,
) -> Result<Mounted, String> {
    let used: BTreeSet<String> = members(pod)
        .iter()
        .flat_map(|member| member.container.volume_mounts.iter().flatten())
        .map(|mount| mount.name.clone())
        .collect();
    let mut mounted = Mounted::default();
    for volume in spec(pod).volumes.iter().flatten().filter(|volume| used.contains(&volume.name)) {
        let one = prepare_one(context, pod, volume, facts, &mut mounted.refresh_at).await.map_err(
            |error| format!("MountVolume.SetUp failed for volume {:?} : {error}", volume.name),
        )?;
        mounted.volumes.insert(volume.name.clone(), one);
    }
    Ok(mounted)
}

/// Brings volumes made of API objects up to date, and returns when a token in them should be
/// replaced.
///
/// # Errors
/// An object is missing or cannot be written.
pub(crate) async fn refresh(
    context: &Context,
    pod: &Pod,
    facts: &Facts,
) -> Result<Option<Timestamp>, String> {
    let mut refresh_at = None;
    for volume in spec(pod).volumes.iter().flatten() {
        let path = files_path(context, pod, volume);
        // Volumes that no container mounts were never written.
        if path.exists()
            && let Some(content) =
                files::content(context, pod, volume, facts, &mut refresh_at).await?
        {
            atomic::write(&path, &content, fs_group(pod)).map_err(|error| error.to_string())?;
        }
    }
    Ok(refresh_at)
}

fn fs_group(pod: &Pod) -> Option<i64> {
    spec(pod).security_context.as_ref().and_then(|context| context.fs_group)
}

/// Secrets and tokens must not reach a disk, and the rest costs nothing to keep with them.
fn files_path(context: &Context, pod: &Pod, volume: &Volume) -> PathBuf {
    context.dirs.volatile().join(uid(pod)).join(&volume.name)
}

async fn prepare_one(
    context: &Context,
    pod: &Pod,
    volume: &Volume,
    facts: &Facts,
    refresh_at: &mut Option<Timestamp>,
) -> Result<MountedVolume, String> {
    let fs_group = fs_group(pod);
    let plain = |path: PathBuf| MountedVolume { path, readonly: false, group: None };
    if let Some(source) = &volume.empty_dir {
        let path = context.dirs.volume(uid(pod), "kubernetes.io~empty-dir", &volume.name);
        empty_dir::prepare(&path, source)?;
        ownership::apply(&path, fs_group, pod)?;
        return Ok(plain(path));
    }
    if let Some(source) = &volume.host_path {
        host_path::check(source)?;
        return Ok(plain(source.path.clone().into()));
    }
    if let Some((claim, readonly)) = persistent::claim(pod, volume) {
        let (path, readonly) = persistent::locate(context, pod, &claim, readonly).await?;
        if !readonly {
            ownership::apply(&path, fs_group, pod)?;
        }
        return Ok(MountedVolume { path, readonly, group: None });
    }
    if let Some(content) = files::content(context, pod, volume, facts, refresh_at).await? {
        let path = files_path(context, pod, volume);
        atomic::write(&path, &content, fs_group).map_err(|error| error.to_string())?;
        return Ok(MountedVolume { path, readonly: true, group: None });
    }
    Err("this kubelet has no plugin for the volume's source".to_owned())
}

/// Mounts what all pods share; done once at start.
///
/// # Errors
/// The directory cannot be made.
pub(crate) fn set_up(context: &Context) -> std::io::Result<()> {
    let path = context.dirs.volatile();
    std::fs::create_dir_all(&path)?;
    tmpfs::mount(&path, None)
}

/// Removes all volumes of a pod from the node.
///
/// # Errors
/// Something of it is still mounted or in use.
pub(crate) fn tear_down(context: &Context, uid: &str) -> std::io::Result<()> {
    let pod = context.dirs.pod(uid);
    tmpfs::unmount_below(&pod)?;
    remove_all(&context.dirs.volatile().join(uid))?;
    remove_all(&pod.join(SUBPATHS))?;
    remove_all(&pod.join(VOLUMES))
}

/// Unmounts everything at and below a directory.
///
/// # Errors
/// Something is still in use.
pub(crate) fn unmount(directory: &Path) -> std::io::Result<()> {
    tmpfs::unmount_below(directory)
}

fn remove_all(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
