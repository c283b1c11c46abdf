//! The container's root: overlay, standard mounts, pivot, masks.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::layers::Layers;
use super::mounts::{
    self, Kind, NODEV, NOEXEC, NOSUID, READONLY, Root, STRICTATIME, clone_tree, new_filesystem,
    set_attributes,
};
use super::users::Entry;
use super::{devices, sys};
use crate::api::{Mount, Propagation};
use crate::spec::{ImageMount, ROOT_MOUNT, Spec, VOLATILE};
use crate::tree::{Links, Tree};

/// Group of terminals in containers.
const TTY_GROUP: u32 = 5;

/// More lower directories than this do not fit mount(2)'s page of options.
const MOUNT_LAYER_LIMIT: usize = 40;

/// Builds the root file system in this process's new mount namespace and moves into it.
pub(super) fn enter(spec: &Spec, users: Option<&Entry>) -> io::Result<()> {
    let rootfs = spec.data_dir.join(VOLATILE).join(ROOT_MOUNT);
    isolate(spec, &rootfs)?;
    let mut layers = Layers::new(spec, users)?;
    sys::context("mount root file system", mount_overlay(spec, &mut layers))?;
    let root = Root::open(&rootfs)?.owned_by(users.map(|users| users.root));
    standard_mounts(spec, &root)?;
    let mut sorted: Vec<_> = spec.mounts.iter().map(Source::Node).collect();
    sorted.extend(spec.images.iter().map(Source::Image));
    sorted.sort_by_key(|source| source.target().components().count());
    for source in sorted {
        let at = source.target().display().to_string();
        match source {
            Source::Node(mount) => sys::context(
                format_args!("mount {} at {at}", mount.host_path.display()),
                bind(mount, &root, users),
            )?,
            Source::Image(image) => sys::context(
                format_args!("mount image at {at}"),
                mount_image(image, &mut layers, &root),
            )?,
        }
    }
    sys::context("create devices", devices::create(spec, &root))?;
    // The node's, because the container may have put anything at its own.
    let nulls = spec.masked_paths.iter().map(|_| null()).collect::<io::Result<Vec<_>>>()?;
    pivot(&root, asks_for(spec, Propagation::Bidirectional))?;
    drop(root);
    for path in &spec.readonly_paths {
        sys::context(format_args!("make {} read-only", path.display()), make_readonly(path))?;
    }
    for (path, null) in spec.masked_paths.iter().zip(nulls) {
        sys::context(format_args!("mask {}", path.display()), mask(path, null))?;
    }
    if spec.readonly_rootfs {
        let flags = nix::fcntl::OFlag::O_PATH | nix::fcntl::OFlag::O_CLOEXEC;
        let root = nix::fcntl::open("/", flags, nix::sys::stat::Mode::empty())?;
        set_attributes(root.as_fd(), READONLY, 0, false)?;
    }
    Ok(())
}

/// The source of a mount besides those that every container has.
enum Source<'a> {
    Node(&'a Mount),
    Image(&'a ImageMount),
}

impl Source<'_> {
    fn target(&self) -> &Path {
        match self {
            Self::Node(mount) => &mount.container_path,
            Self::Image(image) => &image.container_path,
        }
    }
}

/// Keeps this namespace's mounts from reaching the node, except by bidirectional mounts.
fn isolate(spec: &Spec, rootfs: &Path) -> io::Result<()> {
    if !asks_for(spec, Propagation::Bidirectional) {
        if !asks_for(spec, Propagation::HostToContainer) {
            // Nothing of the node's later mounts is wanted, of which every pod makes some.
            return propagation(Path::new("/"), MsFlags::MS_PRIVATE | MsFlags::MS_REC);
        }
        propagation(Path::new("/"), MsFlags::MS_SLAVE | MsFlags::MS_REC)?;
    }
    propagation(&mount_point_of(rootfs)?, MsFlags::MS_PRIVATE)
}

fn asks_for(spec: &Spec, wanted: Propagation) -> bool {
    spec.mounts.iter().any(|mount| mount.propagation == wanted)
}

fn propagation(path: &Path, flags: MsFlags) -> io::Result<()> {
    Ok(mount(None::<&str>, path, None::<&str>, flags, None::<&str>)?)
}

fn mount_point_of(path: &Path) -> io::Result<PathBuf> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    let real = path.canonicalize()?;
    Ok(table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|field| PathBuf::from(unescape(field)))
        .filter(|point| real.starts_with(point))
        .max_by_key(|point| point.components().count())
        .unwrap_or_else(|| PathBuf::from("/")))
}

/// mountinfo writes blanks and backslashes as three octal digits.
fn unescape(field: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(field.to_owned(), |text, (code, char)| text.replace(code, char))
}

/// Mounts an image where it is asked for, read-only, or a path in it.
fn mount_image(image: &ImageMount, layers: &mut Layers<'_>, root: &Root) -> io::Result<()> {
    let mut lower = image.layers.iter().map(|l| layers.path(l)).collect::<io::Result<Vec<_>>>()?;
    // overlayfs wants two at least, where there is nothing to write to.
    lower.push(layers.nothing()?);
    let place = layers.place()?;
    let attributes = READONLY | NOSUID | NODEV | NOEXEC;
    if lower.len() <= MOUNT_LAYER_LIMIT {
        let options = format!("lowerdir={}", lower.join(":"));
        mount(Some("overlay"), &place, Some("overlay"), MsFlags::MS_RDONLY, Some(&*options))?;
    } else {
        let options: Vec<_> = lower.iter().map(|layer| ("lowerdir+", layer.as_str())).collect();
        let overlay = new_filesystem("overlay", &options, attributes)?;
        mounts::attach(overlay.as_fd(), Root::open(&place)?.as_fd())?;
    }
    let found = Tree::open(&place)?.open_at(&image.sub_path, OFlag::O_PATH, Links::Root)?;
    let directory = nix::sys::stat::fstat(&found)?.st_mode & libc::S_IFMT == libc::S_IFDIR;
    let kind = if directory { Kind::Directory } else { Kind::File };
    let tree = mounts::clone_of(found.as_fd())?;
    set_attributes(tree.as_fd(), attributes, MsFlags::MS_PRIVATE.bits(), false)?;
    root.mount(&tree, &image.container_path, kind)
}

fn mount_overlay(spec: &Spec, layers: &mut Layers<'_>) -> io::Result<()> {
    // Relative paths keep the options short and free of the data directory's own characters.
    std::env::set_current_dir(&spec.data_dir)?;
    let dir = spec.container_dir.display().to_string();
    let (upper, work) = (format!("{dir}/upper"), format!("{dir}/work"));
    let lower = spec.layers.iter().map(|l| layers.path(l)).collect::<io::Result<Vec<_>>>()?;
    let target = Path::new(VOLATILE).join(ROOT_MOUNT);
    if lower.len() <= MOUNT_LAYER_LIMIT {
        let options = format!("lowerdir={},upperdir={upper},workdir={work}", lower.join(":"));
        let flags = MsFlags::empty();
        return Ok(mount(Some("overlay"), &target, Some("overlay"), flags, Some(&*options))?);
    }
    let mut options: Vec<_> = lower.iter().map(|layer| ("lowerdir+", layer.as_str())).collect();
    options.extend([("upperdir", upper.as_str()), ("workdir", work.as_str())]);
    let overlay = new_filesystem("overlay", &options, 0)?;
    Root::open(&spec.data_dir)?.mount(&overlay, &target, Kind::Directory)
}

fn standard_mounts(spec: &Spec, root: &Root) -> io::Result<()> {
    let privileged = spec.process.privileged;
    let strict = NOSUID | NOEXEC | NODEV;
    let sys_attributes = if privileged { strict } else { strict | READONLY };
    let replaced = |path: &str| spec.mounts.iter().any(|m| m.container_path == Path::new(path));
    let new = |kind: &str, path: &str, options: &[(&str, &str)], attributes: u64| {
        if replaced(path) {
            return Ok(());
        }
        let filesystem = new_filesystem(kind, options, attributes);
        let filesystem = sys::context(format_args!("mount {kind} at {path}"), filesystem)?;
        root.mount(&filesystem, Path::new(path), Kind::Directory)
    };
    new("proc", "/proc", &[], strict)?;
    let (uid, gid) = root.owner().unwrap_or((0, 0));
    let (own_uid, own_gid, tty) = (uid.to_string(), gid.to_string(), (gid + TTY_GROUP).to_string());
    let owned = [("uid", &*own_uid), ("gid", &*own_gid)];
    let dev = [&[("mode", "755"), ("size", "65536k")][..], &owned].concat();
    new("tmpfs", "/dev", &dev, NOSUID | STRICTATIME)?;
    let pts = [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620"), ("gid", &*tty)];
    new("devpts", "/dev/pts", &pts, NOSUID | NOEXEC)?;
    new("mqueue", "/dev/mqueue", &[], strict)?;
    new("sysfs", "/sys", &[], sys_attributes)?;
    if !replaced("/dev/shm") {
        let shm = clone_tree(&spec.shm, false)?;
        set_attributes(shm.as_fd(), strict, MsFlags::MS_PRIVATE.bits(), false)?;
        root.mount(&shm, Path::new("/dev/shm"), Kind::Directory)?;
    }
    if !replaced("/sys/fs/cgroup") {
        sys::context("mount cgroup", mount_cgroups(spec, root, sys_attributes))?;
    }
    Ok(())
}

/// Shows the container its own cgroup: a cgroup2 file system seen from the cgroup namespace, or
/// with v1 a directory per controller.
fn mount_cgroups(spec: &Spec, root: &Root, attributes: u64) -> io::Result<()> {
    let base = Path::new("/sys/fs/cgroup");
    let [first, ..] = &*spec.cgroups else { return Ok(()) };
    if first.join("cgroup.controllers").exists() {
        let filesystem = new_filesystem("cgroup2", &[], attributes)?;
        return root.mount(&filesystem, base, Kind::Directory);
    }
    let directory = new_filesystem("tmpfs", &[("mode", "755")], NOSUID | NOEXEC | NODEV)?;
    root.mount(&directory, base, Kind::Directory)?;
    for cgroup in &spec.cgroups {
        let Some(name) = cgroup.strip_prefix(base).ok().and_then(|path| path.components().next())
        else {
            continue;
        };
        // A hierarchy of several controllers, as `cpu,cpuacct`, is found under each of their names.
        let joined = name.as_os_str().to_string_lossy();
        let each = joined.split(',').filter(|part| *part != joined);
        for name in std::iter::once(&*joined).chain(each) {
            let tree = clone_tree(cgroup, false)?;
            set_attributes(tree.as_fd(), attributes, MsFlags::MS_PRIVATE.bits(), false)?;
            root.mount(&tree, &base.join(name), Kind::Directory)?;
        }
    }
    Ok(())
}

fn bind(mount: &Mount, root: &Root, users: Option<&Entry>) -> io::Result<()> {
    let kind = match mounts::kind_of(&mount.host_path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::create_dir_all(&mount.host_path)?;
            Kind::Directory
        }
        result => result?,
    };
    let tree = clone_tree(&mount.host_path, true)?;
    if let Some(users) = users {
        users.map(tree.as_fd())?;
    }
    let flags = match mount.propagation {
        Propagation::Private => MsFlags::MS_PRIVATE,
        Propagation::HostToContainer => MsFlags::MS_SLAVE,
        Propagation::Bidirectional => MsFlags::MS_SHARED,
    };
    set_attributes(tree.as_fd(), 0, flags.bits(), true)?;
    if mount.readonly {
        set_attributes(tree.as_fd(), READONLY, 0, mount.recursive_readonly)?;
    }
    root.mount(&tree, &mount.container_path, kind)
}

/// Makes `root` the root. Mounts of this namespace are `shared` with the node where one of them is to
/// be.
fn pivot(root: &Root, shared: bool) -> io::Result<()> {
    let old = std::fs::File::open("/")?;
    nix::unistd::fchdir(root.as_fd())?;
    sys::context("pivot_root", nix::unistd::pivot_root(".", ".").map_err(io::Error::from))?;
    nix::unistd::fchdir(&old)?;
    if shared {
        // The old root's unmounting must not travel to the node.
        propagation(Path::new("."), MsFlags::MS_SLAVE | MsFlags::MS_REC)?;
    }
    umount2(".", MntFlags::MNT_DETACH)?;
    std::env::set_current_dir("/")
}

fn make_readonly(path: &Path) -> io::Result<()> {
    let tree = match clone_tree(path, true) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result?,
    };
    set_attributes(tree.as_fd(), READONLY, 0, true)?;
    cover(path, &tree)
}

fn null() -> io::Result<OwnedFd> {
    let null = clone_tree(Path::new("/dev/null"), false)?;
    let found = nix::sys::stat::fstat(&null)?;
    if found.st_mode & libc::S_IFMT == libc::S_IFCHR && found.st_rdev == libc::makedev(1, 3) {
        return Ok(null);
    }
    Err(io::Error::other("/dev/null of the node is another device"))
}

fn mask(path: &Path, null: OwnedFd) -> io::Result<()> {
    let metadata = match std::fs::metadata(path) {
        Err(error) if is_absent(&error) => return Ok(()),
        result => result?,
    };
    let tree = if metadata.is_dir() {
        new_filesystem("tmpfs", &[("size", "0k")], READONLY | NOSUID | NODEV | NOEXEC)?
    } else {
        null
    };
    cover(path, &tree)
}

fn cover(path: &Path, tree: &OwnedFd) -> io::Result<()> {
    let flags = nix::fcntl::OFlag::O_PATH | nix::fcntl::OFlag::O_CLOEXEC;
    let target = nix::fcntl::open(path, flags, nix::sys::stat::Mode::empty())?;
    mounts::attach(tree.as_fd(), target.as_fd())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
