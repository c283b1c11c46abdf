//! The user namespaces of pods with `hostUsers: false`: a range of ids for each, kept in the pod's
//! directory in upstream's form.

use std::collections::HashMap;
use std::fs;
use std::io;

use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use runtime::{IdMapping, Runtime, UserNamespace, private};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::dirs::Dirs;
use crate::pod::{spec, uid};

/// Ids of each pod, as upstream's.
const IDS_PER_POD: u32 = 65536;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    uid_mappings: Vec<IdMapping>,
    gid_mappings: Vec<IdMapping>,
}

/// Why a pod has no user namespace.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("can't set `spec.hostUsers: false`, runtime does not support user namespaces")]
    Unsupported,
    #[error("can't set `spec.hostUsers: false`, runtime does not support user namespaces: {0}")]
    Runtime(#[from] runtime::Error),
    #[error("create user namespace: {0}")]
    Create(io::Error),
    #[error("user namespace: {0}")]
    Read(io::Error),
    #[error("invalid user namespace configuration: {0}")]
    Invalid(&'static str),
    #[error("range picked for pod {0:?} already taken")]
    Taken(String),
}

/// The ranges of user ids, by pod.
pub(crate) struct UserNamespaces {
    dirs: Dirs,
    /// Number of the node's first range, counted from that of the machine's own users.
    first: u32,
    count: u32,
    used: Mutex<HashMap<String, u32>>,
}

impl UserNamespaces {
    /// Reads which pods have a range already. Kubelets of one machine, which is known by their
    /// directories, give their pods ranges of their own.
    ///
    /// # Errors
    /// The record on disk cannot be read, or gives two pods the same range.
    pub(crate) fn open(dirs: Dirs, max_pods: u32) -> io::Result<Self> {
        let count = max_pods.clamp(1, u32::MAX / IDS_PER_POD - 1);
        let blocks = ((u32::MAX / IDS_PER_POD - 1) / count).max(1);
        let hash = Sha256::digest(dirs.root().as_os_str().as_encoded_bytes());
        let block = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]) % blocks;
        // The first range is that of the machine's own users.
        let first = 1 + block * count;
        let this = Self { dirs, first, count, used: Mutex::default() };
        for entry in fs::read_dir(this.dirs.pods()).into_iter().flatten().flatten() {
            let pod = entry.file_name().to_string_lossy().into_owned();
            if let Some(user) = this.read(&pod)? {
                this.record(&pod, &user).map_err(io::Error::other)?;
            }
        }
        Ok(this)
    }

    /// The user namespace of a pod; `None` for one with the node's users.
    ///
    /// # Errors
    /// The runtime has none, or no range is free; in upstream's words.
    pub(crate) async fn of(
        &self,
        runtime: &dyn Runtime,
        pod: &Pod,
    ) -> Result<Option<UserNamespace>, Error> {
        if spec(pod).host_users != Some(false) {
            return Ok(None);
        }
        if !runtime.status().await?.user_namespaces {
            return Err(Error::Unsupported);
        }
        let id = uid(pod);
        if let Some(user) = self.read(id).map_err(Error::Read)? {
            self.record(id, &user)?;
            return Ok(Some(user));
        }
        self.create(id).map(Some).map_err(Error::Create)
    }

    /// Gives back the range of a pod that is gone.
    pub(crate) fn release(&self, pod: &str) {
        self.used.lock().remove(pod);
    }

    fn create(&self, pod: &str) -> io::Result<UserNamespace> {
        let mut used = self.used.lock();
        let range = (self.first..self.first + self.count)
            .find(|range| !used.values().any(|other| other == range))
            .ok_or_else(|| {
                io::Error::other("could not find an empty slot to allocate a user namespace")
            })?;
        let mapping =
            IdMapping { host_id: range * IDS_PER_POD, container_id: 0, length: IDS_PER_POD };
        let page = Page { uid_mappings: vec![mapping], gid_mappings: vec![mapping] };
        fs::create_dir_all(self.dirs.pod(pod))?;
        private::write(&self.dirs.user_namespace(pod), &serde_json::to_vec(&page)?)?;
        used.insert(pod.to_owned(), range);
        Ok(UserNamespace { uids: page.uid_mappings, gids: page.gid_mappings })
    }

    fn read(&self, pod: &str) -> io::Result<Option<UserNamespace>> {
        let page: Page = match fs::read(self.dirs.user_namespace(pod)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                io::Error::other(format!("invalid user namespace mappings file: {error}"))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(UserNamespace { uids: page.uid_mappings, gids: page.gid_mappings }))
    }

    fn record(&self, pod: &str, user: &UserNamespace) -> Result<(), Error> {
        let [mapping] = user.uids[..] else {
            return Err(Error::Invalid("no more than one mapping allowed."));
        };
        if user.uids != user.gids {
            return Err(Error::Invalid("GID and UID mapping should be identical"));
        }
        if mapping.container_id != 0 {
            return Err(Error::Invalid("UID 0 must be mapped"));
        }
        let range = mapping.host_id / IDS_PER_POD;
        if mapping.length != IDS_PER_POD || mapping.host_id % IDS_PER_POD != 0 || range == 0 {
            return Err(Error::Invalid("no range of a pod"));
        }
        let mut used = self.used.lock();
        if used.iter().any(|(other, taken)| other != pod && *taken == range) {
            return Err(Error::Taken(pod.to_owned()));
        }
        used.insert(pod.to_owned(), range);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{pod, runtime::Simulated};
    use serde_json::json;
    use std::path::Path;

    fn open(dir: &Path, count: u32) -> UserNamespaces {
        UserNamespaces::open(Dirs::new(dir), count).unwrap()
    }

    fn wanting(id: &str) -> Pod {
        let mut pod = pod(json!({"hostUsers": false}));
        pod.metadata.uid = Some(id.to_owned());
        pod
    }

    async fn first(users: &UserNamespaces, id: &str) -> Result<u32, Error> {
        let user = users.of(&Simulated::default(), &wanting(id)).await?.unwrap();
        assert_eq!(user.uids, user.gids);
        assert_eq!((user.uids[0].container_id, user.uids[0].length), (0, 65536));
        Ok(user.uids[0].host_id)
    }

    #[tokio::test]
    async fn each_pod_has_a_range_that_outlives_the_kubelet() {
        let dir = tempfile::tempdir().unwrap();
        let users = open(dir.path(), 2);
        assert_eq!(users.of(&Simulated::default(), &pod(json!({}))).await.unwrap(), None);
        let (a, b) = (first(&users, "a").await.unwrap(), first(&users, "b").await.unwrap());
        assert!(a >= 65536 && a % 65536 == 0 && b.abs_diff(a) == 65536, "{a} {b}");
        assert_eq!(first(&users, "a").await.unwrap(), a);
        let error = first(&users, "c").await.unwrap_err().to_string();
        assert!(error.contains("could not find an empty slot"), "{error}");

        let users = open(dir.path(), 2);
        assert_eq!(first(&users, "b").await.unwrap(), b);
        assert!(first(&users, "c").await.is_err(), "a has its range still");
        runtime::tree::remove_all(&dir.path().join("pods/a")).unwrap();
        users.release("a");
        assert_eq!(first(&users, "c").await.unwrap(), a);
    }

    #[test]
    fn what_could_map_the_nodes_root_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("pods/x")).unwrap();
        for (host, container, length) in [(0, 0, 65536), (65536, 1, 65536), (70000, 0, 65536)] {
            let mapping = json!([{"hostId": host, "containerId": container, "length": length}]);
            let page = json!({"uidMappings": mapping, "gidMappings": mapping});
            fs::write(dir.path().join("pods/x/userns"), page.to_string()).unwrap();
            assert!(UserNamespaces::open(Dirs::new(dir.path()), 110).is_err(), "{page}");
        }
    }
}
