//! Pulling from a registry.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use oci_client::Reference;
use oci_client::client::{Certificate, CertificateEncoding, Client, ClientConfig, ClientProtocol};
use oci_client::errors::{DigestError, OciDistributionError};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth as Secret;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::sync::OnceCell;

use super::manifest::Source;
use super::model::{ConfigFile, Descriptor};
use super::store::{Names, normalise};
use super::{ImageStore, token};
use crate::api::{PulledImage, RegistryAuth};
use crate::{PullError, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const USER_AGENT: &str = "coxswain";
/// A larger configuration of an image is none.
const MAX_CONFIG: u64 = 16 << 20;

/// How registries are reached.
#[derive(Debug, Clone, Default)]
pub struct RegistryConfig {
    /// Registries (`host:port`) spoken to by plain HTTP, beside those on loopback.
    pub insecure: Vec<String>,
    /// Further root certificates in PEM.
    pub extra_roots: Vec<Vec<u8>>,
}

/// Pulls images into a store; the same reference is fetched once however many ask.
pub(crate) struct Puller {
    store: Arc<ImageStore>,
    config: RegistryConfig,
    running: Mutex<HashMap<String, Arc<OnceCell<Result<PulledImage>>>>>,
}

impl Puller {
    pub(crate) fn new(store: Arc<ImageStore>, config: RegistryConfig) -> Self {
        // The HTTP client takes the process's provider; another component may have set it first.
        rustls::crypto::ring::default_provider().install_default().ok();
        Self { store, config, running: Mutex::new(HashMap::new()) }
    }

    pub(crate) async fn pull(&self, name: &str, auth: Option<RegistryAuth>) -> Result<PulledImage> {
        let reference = normalise(name)?;
        // Different credentials may see different things: they do not share a fetch.
        let key = match &auth {
            None => reference.whole(),
            Some(RegistryAuth::Basic { username, password }) => {
                format!("{}|{username}|{password}", reference.whole())
            }
            Some(RegistryAuth::Bearer(token)) => format!("{}|{token}", reference.whole()),
        };
        let cell = Arc::clone(self.running.lock().entry(key.clone()).or_default());
        let result = cell.get_or_init(|| self.fetch(&reference, auth)).await.clone();
        let mut running = self.running.lock();
        if running.get(&key).is_some_and(|current| Arc::ptr_eq(current, &cell)) {
            running.remove(&key);
        }
        result
    }

    async fn fetch(
        &self,
        reference: &Reference,
        auth: Option<RegistryAuth>,
    ) -> Result<PulledImage> {
        let failed = |error| classify(reference, error);
        // Fails where the machine has no root certificates at all, even for plain HTTP.
        let client = Client::try_from(self.client_config(reference)).map_err(failed)?;
        let secret = match auth {
            None => Secret::Anonymous,
            Some(RegistryAuth::Basic { username, password }) => Secret::Basic(username, password),
            Some(RegistryAuth::Bearer(token)) => Secret::Bearer(token),
        };
        let plain = self.is_plain(reference);
        let http = self.http_client().map_err(|error| failed(error.into()))?;
        let secret = token::credentials(&http, reference, plain, secret).await.map_err(failed)?;
        client.store_auth_if_needed(reference.resolve_registry(), &secret).await;
        let source = Source { client: &http, plain, reference, secret: &secret };
        let (manifest, digest) = source.manifest().await.map_err(failed)?;
        if manifest.config.size > MAX_CONFIG {
            return Err(unusable(reference, "its configuration is too large"));
        }
        let scratch = tempfile::tempdir_in(self.store.scratch())?;
        let fetch = |descriptor: Descriptor, path: PathBuf| {
            let client = &client;
            let descriptor = OciDescriptor {
                media_type: descriptor.media_type,
                digest: descriptor.digest,
                size: i64::try_from(descriptor.size).unwrap_or(i64::MAX),
                ..OciDescriptor::default()
            };
            async move { download(client, reference, &descriptor, &path).await }
        };
        let config_path = scratch.path().join("config");
        fetch(manifest.config.clone(), config_path.clone()).await?;
        let config = std::fs::read(&config_path)?;
        let diff_ids = serde_json::from_slice::<ConfigFile>(&config)
            .map_err(|error| unusable(reference, error))?
            .rootfs
            .diff_ids;
        if diff_ids.len() != manifest.layers.len() {
            return Err(unusable(reference, "number of layers and diff ids differ"));
        }
        let present = self.store.present(&diff_ids);
        let missing: Vec<_> = manifest.layers.iter().enumerate().skip(present).collect();
        let fetched: u64 = missing.iter().map(|(_, layer)| layer.size).sum();
        let downloads = missing.into_iter().map(|(position, layer)| {
            fetch(layer.clone(), scratch.path().join(position.to_string()))
        });
        futures::stream::iter(downloads.map(Ok))
            .try_for_each_concurrent(3, |download| download)
            .await?;

        let total = manifest.layers.iter().map(|layer| layer.size).sum::<u64>();
        let names = Names {
            tags: if reference.digest().is_some() { vec![] } else { vec![reference.whole()] },
            digests: vec![format!("{}/{}@{digest}", reference.registry(), reference.repository())],
        };
        let (store, name) = (Arc::clone(&self.store), reference.whole());
        let unpack = tokio::task::spawn_blocking(move || {
            let mut layers =
                |position: usize| File::open(scratch.path().join(position.to_string()));
            store.add(&config, total, &mut layers, names)
        });
        let image =
            unpack.await.map_err(io::Error::other).and_then(|result| result).map_err(|error| {
                PullError::Failed { reference: name, message: error.to_string() }
            })?;
        Ok(PulledImage { id: image.id, digest, fetched_bytes: fetched })
    }

    fn is_plain(&self, reference: &Reference) -> bool {
        let registry = reference.resolve_registry();
        is_loopback(registry) || self.config.insecure.iter().any(|r| r == registry)
    }

    fn http_client(&self) -> reqwest::Result<reqwest::Client> {
        let roots = self.config.extra_roots.iter().map(|pem| reqwest::Certificate::from_pem(pem));
        reqwest::Client::builder()
            .tls_certs_merge(roots.collect::<reqwest::Result<Vec<_>>>()?)
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .user_agent(USER_AGENT)
            .build()
    }

    fn client_config(&self, reference: &Reference) -> ClientConfig {
        ClientConfig {
            protocol: if self.is_plain(reference) {
                ClientProtocol::Http
            } else {
                ClientProtocol::Https
            },
            extra_root_certificates: self
                .config
                .extra_roots
                .iter()
                .map(|pem| Certificate { encoding: CertificateEncoding::Pem, data: pem.clone() })
                .collect(),
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            user_agent: USER_AGENT,
            ..ClientConfig::default()
        }
    }
}

fn is_loopback(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => registry,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

async fn download(
    client: &Client,
    reference: &Reference,
    descriptor: &OciDescriptor,
    path: &Path,
) -> Result<()> {
    let failed = |error| classify(reference, error);
    let mut stream = client.pull_blob_stream(reference, descriptor).await.map_err(failed)?.stream;
    let mut file = tokio::fs::File::create(path).await?;
    let mut hash = Sha256::new();
    let broken = |error: io::Error| match error.get_ref() {
        Some(cause) if cause.is::<DigestError>() => unusable(reference, cause),
        _ => unreachable(reference, error),
    };
    let declared = u64::try_from(descriptor.size).unwrap_or(0);
    let mut length = 0;
    while let Some(bytes) = stream.try_next().await.map_err(broken)? {
        length += bytes.len() as u64;
        if length > declared {
            // It may have no end at all.
            let name = &descriptor.digest;
            return Err(unusable(reference, format!("{name} is longer than {declared} bytes")));
        }
        hash.update(&bytes);
        file.write_all(&bytes).await?;
    }
    file.flush().await?;
    let found = format!("sha256:{}", hex::encode(hash.finalize()));
    if found == descriptor.digest {
        return Ok(());
    }
    Err(unusable(
        reference,
        format!("unexpected commit digest {found}, expected {}", descriptor.digest),
    ))
}

fn unusable(reference: &Reference, error: impl std::fmt::Display) -> crate::Error {
    PullError::Failed { reference: reference.whole(), message: error.to_string() }.into()
}

fn unreachable(reference: &Reference, error: impl std::error::Error) -> crate::Error {
    PullError::RegistryUnavailable { reference: reference.whole(), message: chain(&error) }.into()
}

/// An error with what caused it, down to the system call.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn classify(reference: &Reference, error: OciDistributionError) -> crate::Error {
    use OciDistributionError as E;
    let name = reference.whole();
    match error {
        E::ImageManifestNotFoundError(_) => PullError::NotFound { reference: name },
        E::RegistryError { ref envelope, .. }
            if envelope.errors.iter().any(|error| {
                use oci_client::errors::OciErrorCode as C;
                matches!(
                    error.code,
                    C::ManifestUnknown | C::NameUnknown | C::NotFound | C::ManifestBlobUnknown
                )
            }) =>
        {
            PullError::NotFound { reference: name }
        }
        E::ServerError { code: 404, .. } => PullError::NotFound { reference: name },
        E::UnauthorizedError { .. } | E::AuthenticationFailure(_) => {
            PullError::Unauthorized { reference: name, message: error.to_string() }
        }
        E::RegistryError { ref envelope, .. }
            if envelope.errors.iter().any(|error| {
                use oci_client::errors::OciErrorCode as C;
                matches!(error.code, C::Unauthorized | C::Denied)
            }) =>
        {
            PullError::Unauthorized { reference: name, message: error.to_string() }
        }
        E::RequestError(error) => {
            PullError::RegistryUnavailable { reference: name, message: chain(&error) }
        }
        error => PullError::Failed { reference: name, message: error.to_string() },
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_registries_are_plain() {
        for (registry, plain) in [
            ("127.0.0.1:5000", true),
            ("localhost", true),
            ("localhost:80", true),
            ("[::1]:5000", true),
            ("registry.example:5000", false),
            ("10.0.0.1", false),
        ] {
            assert_eq!(is_loopback(registry), plain, "{registry}");
        }
    }
}
