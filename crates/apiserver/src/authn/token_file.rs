//! Static tokens: a file of lines `token,user,uid,"group,group"`. As in upstream, it is read when the
//! server starts and not again.

use std::collections::HashMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::options::OptionsError;
use crate::user::User;
use crate::watched_file;

/// The users by the digests of their tokens, so that the time of a look-up tells nothing of them.
#[derive(Default)]
pub(super) struct TokenFile(HashMap<[u8; 32], User>);

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

impl TokenFile {
    pub(super) fn read(path: &Path) -> Result<Self, OptionsError> {
        let refuse = |why: &dyn std::fmt::Display| {
            OptionsError::File(path.display().to_string(), why.to_string())
        };
        let text = watched_file::read(path).map_err(|why| refuse(&why))?;
        let mut users = HashMap::new();
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        for (number, record) in (1..).zip(reader.records()) {
            let record = record.map_err(|why| refuse(&why))?;
            let (Some(token), Some(name), Some(uid)) =
                (record.get(0), record.get(1), record.get(2))
            else {
                let (path, found) = (path.display().to_string(), record.len());
                return Err(OptionsError::TokenColumns { path, found });
            };
            if token.is_empty() {
                tracing::warn!(file = %path.display(), number, "empty token in the token file");
                continue;
            }
            let groups = record.get(3).map(|groups| groups.split(',').map(str::to_owned).collect());
            let user = User {
                name: name.to_owned(),
                uid: uid.to_owned(),
                groups: groups.unwrap_or_default(),
                ..User::default()
            };
            if users.insert(digest(token), user.with_standing()).is_some() {
                tracing::warn!(file = %path.display(), number, "duplicate token in the token file");
            }
        }
        Ok(Self(users))
    }

    pub(super) fn user(&self, token: &str) -> Option<&User> {
        if self.0.is_empty() { None } else { self.0.get(&digest(token)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_tokens_and_their_users() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens.csv");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            TokenFile::read(&path)
        };
        let file = read("t1,ann,u1\n\nt2,bob,u2,\"a,b\"\n,empty,u3\nt1,eve,u4,,rest\n").unwrap();
        let eve = file.user("t1").unwrap();
        assert_eq!((eve.name.as_str(), eve.uid.as_str()), ("eve", "u4"));
        assert_eq!(file.user("t2").unwrap().groups, ["a", "b", "system:authenticated"]);
        assert!(file.user("").is_none() && file.user("t3").is_none());
        let why = read("t1,ann\n").err().unwrap().to_string();
        assert!(
            why.ends_with("must have at least 3 columns (token, user name, user uid), found 2"),
            "{why}"
        );
        assert!(TokenFile::read(&dir.path().join("none")).is_err());
    }
}
