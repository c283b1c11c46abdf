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
use std::time::Duration;

use client::EventType;
use k8s_openapi::api::core::v1::{Pod, Volume};
use k8s_openapi::jiff::Timestamp;
use runtime::tree::remove_all;

use crate::context::Context;
use crate::dirs::{SUBPATHS, VOLUMES};
use crate::pod::{members, spec, uid};
use crate::spec::downward::Facts;
use files::Pass;

/// How long the certificate of a pod is waited for before the pod is told that it is missing.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a volume cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The text of the `FailedMount` event.
    #[error("MountVolume.SetUp failed for volume {volume:?} : {source}")]
    SetUp { volume: String, source: Box<Error> },
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Files(#[from] files::Error),
    #[error(transparent)]
    HostPath(#[from] host_path::Error),
    #[error(transparent)]
    Claim(#[from] persistent::Error),
    #[error(transparent)]
    Group(#[from] ownership::Error),
    #[error(transparent)]
    Walk(#[from] tokio::task::JoinError),
    #[error("this kubelet has no plugin for the volume's source")]
    NoPlugin,
}

/// A volume that is ready on the node.
#[derive(Clone, Debug)]
pub(crate) struct MountedVolume {
    pub(crate) path: PathBuf,
    pub(crate) readonly: bool,
    /// Id of the image that it is made of; then there is no path.
    pub(crate) image: Option<String>,
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

/// Prepares every volume that a container mounts, or brings its content up to date. Once the pod
/// has `begun` to run containers, what they made of a volume's owners is theirs.
///
/// # Errors
/// A volume cannot be prepared.
pub(crate) async fn prepare(
    context: &Context,
    pod: &Pod,
    facts: &Facts,
    begun: bool,
) -> Result<Mounted, Error> {
    let mut used = BTreeSet::new();
    for member in members(pod) {
        let mounts = member.container.volume_mounts.iter().flatten();
        used.extend(mounts.map(|mount| mount.name.clone()));
        let sources = member.container.env.iter().flatten().filter_map(|e| e.value_from.as_ref());
        let files = sources.filter_map(|source| source.file_key_ref.as_ref());
        used.extend(files.map(|file| file.volume_name.clone()));
    }
    let mut mounted = Mounted::default();
    let mut pass = Pass::new(facts, PATIENCE);
    let wanted = |volume: &&Volume| used.contains(&volume.name) && volume.image.is_none();
    for volume in spec(pod).volumes.iter().flatten().filter(wanted) {
        let one = prepare_one(context, pod, volume, begun, &mut pass);
        let one = one.await.map_err(|error| Error::SetUp {
            volume: volume.name.clone(),
            source: Box::new(error),
        })?;
        mounted.volumes.insert(volume.name.clone(), one);
    }
    mounted.refresh_at = pass.refresh_at;
    Ok(mounted)
}

impl Mounted {
    /// Adds a volume that is an image.
    pub(crate) fn add_image(&mut self, volume: &str, id: String) {
        let one =
            MountedVolume { path: PathBuf::new(), readonly: true, image: Some(id), group: None };
        self.volumes.insert(volume.to_owned(), one);
    }
}

/// Brings volumes made of API objects up to date, and returns when something in them should be
/// replaced. What is wrong with one volume keeps no other from it.
pub(crate) async fn refresh(context: &Context, pod: &Pod, facts: &Facts) -> Refreshed {
    let mut pass = Pass::new(facts, Duration::ZERO);
    let mut errors = Vec::new();
    for volume in spec(pod).volumes.iter().flatten() {
        let path = files_path(context, pod, volume);
        // Volumes that no container mounts were never written.
        if path.exists()
            && let Err(error) = rewrite(context, pod, volume, &path, &mut pass).await
        {
            errors.push(error);
        }
    }
    Refreshed { refresh_at: pass.refresh_at, errors }
}

/// The outcome of a look at the volumes of a running pod.
pub(crate) struct Refreshed {
    /// When something in them should be replaced.
    pub(crate) refresh_at: Option<Timestamp>,
    /// Errors of single volumes.
    pub(crate) errors: Vec<Error>,
}

async fn rewrite(
    context: &Context,
    pod: &Pod,
    volume: &Volume,
    path: &Path,
    pass: &mut Pass<'_>,
) -> Result<(), Error> {
    if let Some(content) = files::content(context, pod, volume, pass).await? {
        atomic::write(path, &content, ownership::fs_group(pod))?;
    }
    Ok(())
}

impl Error {
    /// Returns true if nothing that is watched will tell that it may be tried again.
    pub(crate) fn is_silent(&self) -> bool {
        match self {
            Self::Files(error) => error.is_silent(),
            _ => true,
        }
    }
}

/// Secrets and tokens must not reach a disk, and the rest costs nothing to keep with them.
fn files_path(context: &Context, pod: &Pod, volume: &Volume) -> PathBuf {
    context.dirs.volatile().join(uid(pod)).join(&volume.name)
}

async fn prepare_one(
    context: &Context,
    pod: &Pod,
    volume: &Volume,
    begun: bool,
    pass: &mut Pass<'_>,
) -> Result<MountedVolume, Error> {
    let fs_group = ownership::fs_group(pod);
    let plain = |path: PathBuf| MountedVolume { path, readonly: false, image: None, group: None };
    if let Some(source) = &volume.empty_dir {
        let path = context.dirs.volume(uid(pod), "kubernetes.io~empty-dir", &volume.name);
        let new = empty_dir::prepare(&path, source)?;
        if let Some(group) = fs_group.filter(|_| new || !begun) {
            own(&path, group, false).await?;
        }
        return Ok(plain(path));
    }
    if let Some(source) = &volume.host_path {
        host_path::check(source)?;
        return Ok(plain(source.path.clone().into()));
    }
    if let Some((claim, readonly)) = persistent::claim(pod, volume) {
        let persistent::Located { path, ownable } =
            persistent::locate(context, pod, &claim).await?;
        context.volume_stats.note(pod, &claim, path.clone());
        if let Some(group) = fs_group.filter(|_| ownable && !readonly && !begun) {
            if persistent::is_shared(context, pod, &claim) {
                warn_of_shared(context, pod, volume, &path, group);
            } else {
                own(&path, group, ownership::on_root_mismatch(pod)).await?;
            }
        }
        return Ok(MountedVolume { path, readonly, image: None, group: None });
    }
    if let Some(content) = files::content(context, pod, volume, pass).await? {
        let path = files_path(context, pod, volume);
        atomic::write(&path, &content, fs_group)?;
        return Ok(MountedVolume { path, readonly: true, image: None, group: None });
    }
    Err(Error::NoPlugin)
}

/// A volume may have millions of files: the walk has a thread of its own.
async fn own(path: &Path, group: u32, on_root_mismatch: bool) -> Result<(), Error> {
    let path = path.to_owned();
    let walk = move || ownership::apply(&path, group, on_root_mismatch);
    Ok(tokio::task::spawn_blocking(walk).await??)
}

/// Others use the volume as it is: it stays theirs.
fn warn_of_shared(context: &Context, pod: &Pod, volume: &Volume, path: &Path, group: u32) {
    use std::os::unix::fs::MetadataExt;
    let Ok(found) = std::fs::metadata(path) else { return };
    if found.gid() != group {
        let message = format!(
            "The requested fsGroup is {group}, but the volume {} has GID {}. The volume may not \
             be shareable.",
            volume.name,
            found.gid()
        );
        context.recorder.event(pod, EventType::Warning, "AlreadyMountedVolume", message);
    }
}

/// Mounts what all pods share; done once at start.
///
/// # Errors
/// The directory cannot be made.
pub(crate) fn set_up(context: &Context) -> std::io::Result<()> {
    let path = context.dirs.volatile();
    std::fs::create_dir_all(&path)?;
    tmpfs::mount(&path, None).map(drop)
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
