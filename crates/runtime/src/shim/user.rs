//! Resolves a process's user by the image's `/etc/passwd` and `/etc/group`.

use std::io::{self, Read};
use std::path::Path;

use crate::api::{ProcessUser, SupplementalGroupsPolicy};
use crate::spec::UserSpec;
use crate::tree::{Links, Tree};

/// More than this of a user database is not read.
const MAX_DATABASE: u64 = 16 << 20;

/// A resolved user, with the home directory for `HOME`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) ids: ProcessUser,
    pub(super) home: String,
}

/// Looks a user up in the root file system of the caller.
pub(super) fn resolve(spec: &UserSpec) -> io::Result<User> {
    let root = Tree::open(Path::new("/"))?;
    resolve_in(spec, &database(&root, "etc/passwd"), &database(&root, "etc/group"))
}

/// A file of the image, which may have put anything there: a FIFO that nobody writes to, a device
/// without an end.
fn database(root: &Tree, path: &str) -> String {
    let read = || -> io::Result<String> {
        let mut text = String::new();
        root.open_file(Path::new(path), Links::Root)?
            .take(MAX_DATABASE)
            .read_to_string(&mut text)?;
        Ok(text)
    };
    read().unwrap_or_default()
}

fn resolve_in(spec: &UserSpec, passwd: &str, group: &str) -> io::Result<User> {
    let (user, named_group) = match spec.user.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (spec.user.as_str(), None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let entry = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| {
        fields.len() >= 4 && (fields[0] == user || (fields[2] == user && is_number(user)))
    });
    let uid = match &entry {
        Some(fields) => parse(fields[2])?,
        None if is_number(user) => parse(user)?,
        None => {
            return Err(io::Error::other(format!(
                "unable to find user {user}: no matching entries in passwd file"
            )));
        }
    };
    let gid = match (spec.gid, named_group.filter(|name| !name.is_empty())) {
        (Some(gid), _) => gid,
        (None, Some(name)) => find_group(name, group)?,
        (None, None) => entry.as_ref().map_or(Ok(0), |fields| parse(fields[3]))?,
    };
    let mut supplemental_groups = spec.supplemental_groups.clone();
    if spec.policy == SupplementalGroupsPolicy::Merge
        && let Some(name) = entry.as_ref().map(|fields| fields[0])
    {
        supplemental_groups.extend(groups_of(name, group));
    }
    supplemental_groups.push(gid);
    supplemental_groups.sort_unstable();
    supplemental_groups.dedup();
    let home = entry.as_ref().and_then(|fields| fields.get(5)).filter(|home| !home.is_empty());
    Ok(User {
        ids: ProcessUser { uid, gid, supplemental_groups },
        home: (*home.unwrap_or(&"/")).to_owned(),
    })
}

fn find_group(name: &str, group: &str) -> io::Result<u32> {
    let entry = group
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.len() >= 3 && (fields[0] == name || fields[2] == name));
    match entry {
        Some(fields) => parse(fields[2]),
        None if is_number(name) => parse(name),
        None => Err(io::Error::other(format!(
            "unable to find group {name}: no matching entries in group file"
        ))),
    }
}

fn groups_of<'a>(user: &'a str, group: &'a str) -> impl Iterator<Item = u32> + 'a {
    group.lines().filter_map(move |line| {
        let fields: Vec<_> = line.split(':').collect();
        let member = fields.get(3)?.split(',').any(|member| member == user);
        if member { fields[2].parse().ok() } else { None }
    })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn parse(text: &str) -> io::Result<u32> {
    text.parse().map_err(|_| io::Error::other(format!("uids and gids must be in range: {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv:/bin/false\nbad\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\nlogs:x:50:web,other\nnone:x:51:other\n";

    fn resolved(user: &str, gid: Option<u32>, extra: &[u32]) -> (u32, u32, Vec<u32>, String) {
        let spec = UserSpec {
            user: user.into(),
            gid,
            supplemental_groups: extra.into(),
            ..UserSpec::default()
        };
        let user = resolve_in(&spec, PASSWD, GROUP).unwrap();
        (user.ids.uid, user.ids.gid, user.ids.supplemental_groups, user.home)
    }

    #[test]
    fn users_resolve_as_containerd_does() {
        assert_eq!(resolved("", None, &[]), (0, 0, vec![0], "/root".into()));
        assert_eq!(resolved("web", None, &[]), (33, 34, vec![34, 50], "/srv".into()));
        assert_eq!(resolved("33", None, &[7]), (33, 34, vec![7, 34, 50], "/srv".into()));
        assert_eq!(resolved("1000", None, &[]), (1000, 0, vec![0], "/".into()));
        assert_eq!(resolved("1000:logs", None, &[]), (1000, 50, vec![50], "/".into()));
        assert_eq!(resolved("web", Some(9), &[]), (33, 9, vec![9, 50], "/srv".into()));
    }

    #[test]
    fn unknown_names_are_refused() {
        for (user, expected) in [
            ("nobody", "unable to find user nobody: no matching entries in passwd file"),
            ("web:nobody", "unable to find group nobody: no matching entries in group file"),
        ] {
            let spec = UserSpec { user: user.into(), ..UserSpec::default() };
            assert_eq!(resolve_in(&spec, PASSWD, GROUP).unwrap_err().to_string(), expected);
        }
    }
}
