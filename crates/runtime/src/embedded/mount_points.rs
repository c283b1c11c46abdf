//! A lowest layer with the places at which nearly every container has something mounted, so that
//! they are made once and not in every container that its image leaves without.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::private;
use crate::spec::Spec;
use crate::tree::remove_all;

/// Directory of these layers in the runtime's data directory: one at most for each subset of the
/// places.
pub(super) const DIRECTORY: &str = "mount-points";

/// Directories that every container has.
const ALWAYS: [&str; 3] = ["proc", "sys", "dev"];
/// Places of those only that mount something there, and whether that is a directory.
const USUAL: [(&str, bool); 4] = [
    ("var/run/secrets/kubernetes.io/serviceaccount", true),
    ("etc/hosts", false),
    ("etc/hostname", false),
    ("etc/resolv.conf", false),
];

/// The layer for a container, relative to the data directory. It is made if it is not there.
pub(super) fn layer(data: &Path, spec: &Spec) -> io::Result<PathBuf> {
    let wanted = |(path, directory): &(&str, bool)| {
        let at = |target: &Path| target.strip_prefix("/").is_ok_and(|it| it == Path::new(path));
        let mount = spec.mounts.iter().find(|mount| at(&mount.container_path));
        mount.is_some_and(|mount| match *directory {
            true => mount.host_path.is_dir(),
            false => mount.host_path.is_file(),
        })
    };
    let subset = USUAL.iter().enumerate().filter(|(_, place)| wanted(place));
    let subset = subset.fold(0u8, |set, (index, _)| set | 1 << index);
    let layer = Path::new(DIRECTORY).join(format!("{subset:x}"));
    let path = data.join(&layer);
    if !path.is_dir() {
        make(&path, subset)?;
    }
    Ok(layer)
}

/// Removes layers that an earlier process did not finish.
pub(super) fn clean(data: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(data.join(DIRECTORY))? {
        let path = entry?.path();
        if path.extension().is_some() {
            remove_all(&path)?;
        }
    }
    Ok(())
}

/// Makes a layer whole or not at all, beside others who may make the same.
fn make(layer: &Path, subset: u8) -> io::Result<()> {
    let temporary = layer.with_extension(super::new_id());
    private::directory(&temporary)?;
    open_to_all(&temporary, 0o755)?;
    for path in ALWAYS {
        ensure_directory(&temporary, Path::new(path))?;
    }
    for (index, (path, directory)) in USUAL.iter().enumerate() {
        if subset & 1 << index == 0 {
            continue;
        }
        let path = Path::new(path);
        if *directory {
            ensure_directory(&temporary, path)?;
        } else {
            ensure_directory(&temporary, path.parent().unwrap_or(path))?;
            File::create(temporary.join(path))?;
            open_to_all(&temporary.join(path), 0o644)?;
        }
    }
    match std::fs::rename(&temporary, layer) {
        Err(_) if layer.is_dir() => remove_all(&temporary),
        result => result,
    }
}

fn ensure_directory(root: &Path, path: &Path) -> io::Result<()> {
    let mut directory = root.to_owned();
    for part in path {
        directory.push(part);
        if !directory.is_dir() {
            std::fs::create_dir(&directory)?;
            open_to_all(&directory, 0o755)?;
        }
    }
    Ok(())
}

/// Containers see it, whoever they run as; the umask is for data.
fn open_to_all(path: &Path, mode: u32) -> io::Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_has_the_places_of_its_subset_and_is_made_once() {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(data.path().join(DIRECTORY)).unwrap();
        let layer = data.path().join(DIRECTORY).join("b");
        make(&layer, 0b1011).unwrap();
        // Somebody else was as far.
        make(&layer, 0b1011).unwrap();
        let mode = |path: &str| layer.join(path).metadata().ok().map(|m| m.permissions().mode());
        assert_eq!(mode("proc"), Some(0o40755));
        assert_eq!(mode("var/run/secrets/kubernetes.io/serviceaccount"), Some(0o40755));
        assert_eq!(mode("etc/hosts"), Some(0o100644));
        assert_eq!(mode("etc/resolv.conf"), Some(0o100644));
        assert_eq!(mode("etc/hostname"), None);
        assert_eq!(std::fs::read_dir(data.path().join(DIRECTORY)).unwrap().count(), 1);
    }
}
