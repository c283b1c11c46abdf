//! Files that change all at once: a directory of symbolic links through `..data`, which one
//! rename moves from the old content to the new. The layout is part of the API: applications
//! watch `..data`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Component, Path, PathBuf};

use k8s_openapi::jiff::Timestamp;

const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";

/// One file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) content: Vec<u8>,
    pub(super) mode: u32,
    /// Owner, where it is not root.
    pub(super) user: Option<u32>,
}

/// Files by relative path.
pub(super) type Content = BTreeMap<String, File>;

/// Makes `target` hold exactly `content`. Nothing is written when it already does.
pub(super) fn write(target: &Path, content: &Content, group: Option<u32>) -> io::Result<()> {
    if let Some(path) = content.keys().find(|path| !is_inside(path)) {
        let message = format!("invalid path: {path:?}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    fs::create_dir_all(target)?;
    set_up_dir(target, group)?;
    let old = fs::read_link(target.join(DATA)).ok();
    if let Some(old) = &old
        && holds(&target.join(old), content)
    {
        // A kubelet may have died over these.
        link_tops(target, content)?;
        return remove_old(target, &old.to_string_lossy());
    }
    let name = format!("..{}.{:09}", stamp(), rand::random_range(0..1_000_000_000u32));
    let fresh = target.join(&name);
    if let Err(error) = fill(&fresh, content, group) {
        // The next attempt takes as much memory again.
        let _ = fs::remove_dir_all(&fresh);
        return Err(error);
    }
    let new_link = target.join(DATA_NEW);
    let _ = fs::remove_file(&new_link);
    symlink(&name, &new_link)?;
    fs::rename(&new_link, target.join(DATA))?;
    link_tops(target, content)?;
    remove_old(target, &name)
}

fn fill(fresh: &Path, content: &Content, group: Option<u32>) -> io::Result<()> {
    fs::create_dir(fresh)?;
    set_up_dir(fresh, group)?;
    content.iter().try_for_each(|(path, file)| write_file(fresh, path, file, group))
}

/// Removes former content, also of a kubelet that died over it.
fn remove_old(target: &Path, present: &str) -> io::Result<()> {
    for entry in fs::read_dir(target)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("..") && name != present && entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn stamp() -> String {
    Timestamp::now().strftime("%Y_%m_%d_%H_%M_%S").to_string()
}

/// Relative, and never above where it starts.
fn is_inside(path: &str) -> bool {
    !path.is_empty()
        && !path.starts_with("..")
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

fn set_up_dir(path: &Path, group: Option<u32>) -> io::Result<()> {
    let mode = if group.is_some() { 0o2775 } else { 0o755 };
    if let Some(group) = group
        && fs::metadata(path)?.gid() != group
    {
        lchown(path, None, Some(group))?;
    }
    if fs::metadata(path)?.mode() & 0o7777 != mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

fn write_file(root: &Path, path: &str, file: &File, group: Option<u32>) -> io::Result<()> {
    let full = root.join(path);
    let mut at = root.to_owned();
    for part in Path::new(path).parent().into_iter().flat_map(Path::components) {
        at.push(part);
        if !at.exists() {
            fs::create_dir(&at)?;
            set_up_dir(&at, group)?;
        }
    }
    fs::write(&full, &file.content)?;
    if file.user.is_some() || group.is_some() {
        lchown(&full, file.user, group)?;
    }
    // The group must be able to read what was made for it.
    let mode = if group.is_some() { file.mode | 0o440 } else { file.mode };
    fs::set_permissions(&full, fs::Permissions::from_mode(mode))
}

/// Returns true if a data directory holds exactly this content.
fn holds(dir: &Path, content: &Content) -> bool {
    let mut present = BTreeSet::new();
    if files_below(dir, Path::new(""), &mut present).is_err() {
        return false;
    }
    let wanted: BTreeSet<PathBuf> = content.keys().map(PathBuf::from).collect();
    present == wanted
        && content
            .iter()
            .all(|(path, file)| fs::read(dir.join(path)).is_ok_and(|bytes| bytes == file.content))
}

fn files_below(root: &Path, at: &Path, out: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(at))? {
        let entry = entry?;
        let path = at.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            files_below(root, &path, out)?;
        } else {
            out.insert(path);
        }
    }
    Ok(())
}

/// Makes the links users see, one per first path element, and removes those of old content.
fn link_tops(target: &Path, content: &Content) -> io::Result<()> {
    let tops: BTreeSet<&str> = content.keys().filter_map(|path| path.split('/').next()).collect();
    for top in &tops {
        let link = target.join(top);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new(DATA).join(top), &link)?;
        }
    }
    for entry in fs::read_dir(target)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("..") && !tops.contains(name.as_ref()) {
            fs::remove_file(target.join(name.as_ref()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(files: &[(&str, &str)]) -> Content {
        let file = |text: &str| File { content: text.into(), mode: 0o640, user: None };
        files.iter().map(|(path, text)| ((*path).to_owned(), file(text))).collect()
    }

    fn visible(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with(".."))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn content_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("volume");
        write(&target, &content(&[("a", "1"), ("sub/b", "2")]), None).unwrap();
        assert_eq!(visible(&target), ["a", "sub"]);
        assert_eq!(fs::read_to_string(target.join("sub/b")).unwrap(), "2");
        assert_eq!(fs::metadata(target.join("a")).unwrap().mode() & 0o777, 0o640);
        let first = fs::read_link(target.join(DATA)).unwrap();

        write(&target, &content(&[("a", "1"), ("sub/b", "2")]), None).unwrap();
        assert_eq!(fs::read_link(target.join(DATA)).unwrap(), first, "nothing changed");

        write(&target, &content(&[("a", "3"), ("c", "4")]), None).unwrap();
        assert_eq!(visible(&target), ["a", "c"]);
        assert_eq!(fs::read_to_string(target.join("a")).unwrap(), "3");
        assert!(!target.join(first).exists(), "old content is removed");
    }

    #[test]
    fn an_attempt_that_fails_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("volume");
        // A file cannot be a directory too.
        let clash = content(&[("a", "1"), ("a/b", "2")]);
        for _ in 0..2 {
            write(&target, &clash, None).unwrap_err();
            assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
        }
        fs::create_dir(target.join("..2026_of_one_that_died")).unwrap();
        write(&target, &content(&[("a", "1")]), None).unwrap();
        assert_eq!(fs::read_dir(&target).unwrap().count(), 3);
    }

    #[test]
    fn paths_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["", "/etc/passwd", "../x", "a/../../x", "..data"] {
            assert!(write(dir.path(), &content(&[(path, "x")]), None).is_err(), "{path}");
        }
    }
}
