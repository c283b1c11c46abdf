//! Which images the kubelet pulled, and with whose credentials: a pod may use a private image only
//! if it has credentials for it too. The records are upstream's, so that they outlive both a
//! restart and a change of kubelets.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use k8s_openapi::jiff::Timestamp;
use parking_lot::Mutex;
use runtime::{Image, private};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::auth::Credential;
use crate::config::ImageCredentials;

const API_VERSION: &str = "kubelet.config.k8s.io/v1beta1";
/// From so many secrets of one image on, no more are noted that merely match.
const MANY: usize = 100;

/// A pull that was begun.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Intent {
    kind: String,
    api_version: String,
    image: String,
}

/// An image that was pulled.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    kind: String,
    api_version: String,
    last_updated_time: Timestamp,
    image_ref: String,
    /// By repository.
    #[serde(default)]
    credential_mapping: BTreeMap<String, Access>,
}

/// The pods that may use an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Access {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kubernetes_secrets: Vec<PullSecret>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    node_pods_accessible: bool,
}

/// A secret, and the hash of the credential in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PullSecret {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) credential_hash: String,
}

impl Access {
    /// The access that a pull with this credential, or with none, proves.
    fn by(credential: Option<&Credential>) -> Self {
        match credential {
            None => Self { node_pods_accessible: true, ..Self::default() },
            Some(credential) => Self {
                kubernetes_secrets: vec![credential.secret.clone()],
                node_pods_accessible: false,
            },
        }
    }

    /// Adds what another pull showed; says whether that is news.
    fn merge(&mut self, new: Self) -> bool {
        if self.node_pods_accessible {
            return false;
        }
        if new.node_pods_accessible {
            *self = new;
            return true;
        }
        let before = self.kubernetes_secrets.clone();
        for secret in new.kubernetes_secrets {
            self.kubernetes_secrets.retain(|old| {
                (&old.uid, &old.namespace, &old.name)
                    != (&secret.uid, &secret.namespace, &secret.name)
            });
            self.kubernetes_secrets.push(secret);
        }
        self.kubernetes_secrets.sort();
        self.kubernetes_secrets != before
    }
}

/// The records on disk.
pub(crate) struct PullRecords {
    pulling: PathBuf,
    pulled: PathBuf,
    policy: ImageCredentials,
    /// Pulls that are going on, by image; held while a record is read and written.
    intents: Mutex<HashMap<String, usize>>,
}

impl PullRecords {
    pub(crate) fn open(directory: PathBuf, policy: ImageCredentials) -> io::Result<Self> {
        let (pulling, pulled) = (directory.join("pulling"), directory.join("pulled"));
        for path in [&directory, &pulling, &pulled] {
            private::directory(path)?;
        }
        Ok(Self { pulling, pulled, policy, intents: Mutex::default() })
    }

    /// Takes over what an earlier kubelet began to pull: what is there by now was pulled, nobody
    /// knows with which credentials.
    pub(crate) fn adopt(&self, images: &[Image]) {
        let intents = self.intents.lock();
        for intent in read_all::<Intent>(&self.pulling) {
            let pulled = images.iter().find(|image| {
                let names = || image.repo_tags.iter().chain(&image.repo_digests);
                let full = runtime::full_image_name(&intent.image).unwrap_or_default();
                names().any(|name| *name == intent.image || *name == full)
            });
            if let Some(image) = pulled
                && self.note(&intent.image, &image.id, None).is_ok()
            {
                // It is tried again at the next start.
                let _ = remove(&path(&self.pulling, &intent.image));
            }
        }
        drop(intents);
    }

    /// Notes that an image is about to be pulled: if that is all that is known of it later, it
    /// counts as pulled.
    pub(crate) fn begin(&self, image: &str) -> io::Result<Pull<'_>> {
        let mut intents = self.intents.lock();
        let intent = Intent {
            kind: "ImagePullIntent".to_owned(),
            api_version: API_VERSION.to_owned(),
            image: image.to_owned(),
        };
        save(&path(&self.pulling, image), &intent)?;
        *intents.entry(image.to_owned()).or_default() += 1;
        Ok(Pull { records: self, image: image.to_owned(), ended: false })
    }

    fn end(&self, image: &str, pulled: Option<(&str, Option<&Credential>)>) {
        let mut intents = self.intents.lock();
        if let Some((id, credential)) = pulled
            && let Err(error) = self.note(image, id, Some(Access::by(credential)))
        {
            // The intent stays, and with it that the kubelet pulled it.
            tracing::error!(image, %error, "pulled image not recorded");
            return;
        }
        let left = intents.get(image).copied().unwrap_or(0).saturating_sub(1);
        if left > 0 {
            intents.insert(image.to_owned(), left);
            return;
        }
        match remove(&path(&self.pulling, image)) {
            Ok(()) => drop(intents.remove(image)),
            Err(error) => tracing::error!(image, %error, "end of a pull not recorded"),
        }
    }

    /// Returns true if a pod with these credentials has to pull the image to prove that it may use
    /// it, although the image is there under this id.
    pub(crate) fn must_pull(&self, image: &str, id: &str, credentials: &[Credential]) -> bool {
        let intents = self.intents.lock();
        let record = match load::<Record>(&path(&self.pulled, id)) {
            Ok(record) => record.filter(|record| record.image_ref == id),
            Err(error) => {
                tracing::error!(image, %error, "record of a pulled image is not readable");
                return true;
            }
        };
        let by_kubelet = record.is_some()
            || intents.get(image).is_some_and(|count| *count > 0)
            || path(&self.pulling, image).exists();
        if !self.verifies(image, by_kubelet) {
            return false;
        }
        let Some(access) = record
            .as_ref()
            .zip(runtime::repository_of(image).ok())
            .and_then(|(record, repository)| record.credential_mapping.get(&repository))
        else {
            return true;
        };
        if access.node_pods_accessible {
            return false;
        }
        let known = &access.kubernetes_secrets;
        let place = |secret: &PullSecret| {
            (secret.uid.clone(), secret.namespace.clone(), secret.name.clone())
        };
        for own in credentials {
            let same_hash = known.iter().any(|k| k.credential_hash == own.secret.credential_hash);
            let same_place = known.iter().any(|k| place(k) == place(&own.secret));
            if !same_hash && !same_place {
                continue;
            }
            // Valid also when the secret, or the credential in it, is another one later.
            if !(same_hash && same_place)
                && known.len() < MANY
                && let Err(error) = self.note(image, id, Some(Access::by(Some(own))))
            {
                tracing::error!(image, %error, "pulled image not recorded");
            }
            return false;
        }
        true
    }

    /// Forgets images that are gone and were not pulled again since `before`.
    pub(crate) fn prune(&self, present: &[Image], before: Timestamp) {
        let _intents = self.intents.lock();
        for record in read_all::<Record>(&self.pulled) {
            let gone = !present.iter().any(|image| image.id == record.image_ref);
            if gone
                && record.last_updated_time < before
                && let Err(error) = remove(&path(&self.pulled, &record.image_ref))
            {
                tracing::error!(image = record.image_ref, %error, "record not removed");
            }
        }
    }

    fn verifies(&self, image: &str, by_kubelet: bool) -> bool {
        match &self.policy {
            ImageCredentials::NeverVerify => false,
            ImageCredentials::NeverVerifyPreloadedImages => by_kubelet,
            ImageCredentials::AlwaysVerify => true,
            ImageCredentials::NeverVerifyAllowlistedImages(list) => {
                let name = runtime::repository_of(image).unwrap_or_default();
                !list.iter().any(|pattern| match pattern.strip_suffix('*') {
                    Some(prefix) => name.starts_with(prefix),
                    None => *pattern == name,
                })
            }
        }
    }

    fn note(&self, image: &str, id: &str, access: Option<Access>) -> io::Result<()> {
        let repository = runtime::repository_of(image).map_err(io::Error::other)?;
        let path = path(&self.pulled, id);
        let known = load::<Record>(&path).ok().flatten().filter(|record| record.image_ref == id);
        let mut changed = known.is_none();
        let mut record = known.unwrap_or_else(|| Record {
            kind: "ImagePulledRecord".to_owned(),
            api_version: API_VERSION.to_owned(),
            last_updated_time: Timestamp::now(),
            image_ref: id.to_owned(),
            credential_mapping: BTreeMap::new(),
        });
        if let Some(access) = access {
            changed |= record.credential_mapping.entry(repository).or_default().merge(access);
        }
        if changed {
            record.last_updated_time = Timestamp::now();
            save(&path, &record)?;
        }
        Ok(())
    }
}

/// A name that any text can be kept under.
fn path(directory: &Path, of: &str) -> PathBuf {
    let hash = Sha256::digest(of.as_bytes());
    let hex = hex::encode(hash);
    directory.join(format!("sha256-{hex}"))
}

fn save<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    private::write(path, &serde_json::to_vec(value)?)
}

fn load<T: serde::de::DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// All records of a directory that can be read.
fn read_all<T: serde::de::DeserializeOwned>(directory: &Path) -> Vec<T> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let whole = entries.map(|entry| entry.path()).filter(|path| path.extension().is_none());
    whole.filter_map(|path| load(&path).ok().flatten()).collect()
}

/// A pull under way. If it is given up, because its pod has gone, it has ended too: what would stay
/// noted for ever is that the kubelet may have pulled the image.
pub(crate) struct Pull<'r> {
    records: &'r PullRecords,
    image: String,
    ended: bool,
}

impl Pull<'_> {
    /// Notes how it ended: the image's id and the credential that opened the registry, or that
    /// there was none.
    pub(crate) fn end(mut self, pulled: Option<(&str, Option<&Credential>)>) {
        self.ended = true;
        self.records.end(&self.image, pulled);
    }
}

impl Drop for Pull<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.records.end(&self.image, None);
        }
    }
}

#[cfg(test)]
mod tests;
