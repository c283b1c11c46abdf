//! Fetching the manifest of an image, bounded: a registry may send one without an end.

use oci_client::Reference;
use oci_client::errors::{OciDistributionError, OciEnvelope};
use oci_client::secrets::RegistryAuth as Secret;
use reqwest::{Client, Response, StatusCode, header};

use super::digest_of;
use super::model::{DOCKER_INDEX, DOCKER_MANIFEST, INDEX, Index, MANIFEST, Manifest};

/// Longer manifests are none; as containerd's.
const MAX_MANIFEST: u64 = 4 << 20;
/// Documents that are wanted, the image's own first.
const ACCEPT: [&str; 4] = [MANIFEST, DOCKER_MANIFEST, INDEX, DOCKER_INDEX];

/// Where manifests are got from, and by whom.
pub(super) struct Source<'a> {
    pub(super) client: &'a Client,
    /// By plain HTTP.
    pub(super) plain: bool,
    pub(super) reference: &'a Reference,
    pub(super) secret: &'a Secret,
}

impl Source<'_> {
    /// The manifest for this platform, and the digest that the image is known by: that of the
    /// index, where there is one.
    pub(super) async fn manifest(&self) -> Result<(Manifest, String), OciDistributionError> {
        let named = self.reference.digest().or(self.reference.tag()).unwrap_or("latest");
        let (bytes, digest) = self.document(named, self.reference.digest(), MAX_MANIFEST).await?;
        let parse = |error: serde_json::Error| {
            OciDistributionError::ManifestParsingError(error.to_string())
        };
        let index: Index = serde_json::from_slice(&bytes).map_err(parse)?;
        if index.manifests.is_empty() {
            return Ok((serde_json::from_slice(&bytes).map_err(parse)?, digest));
        }
        let entry = index.select().ok_or(OciDistributionError::ImageManifestNotFoundError(
            "no match for platform in manifest".to_owned(),
        ))?;
        let size = entry.size.min(MAX_MANIFEST);
        let (bytes, _) = self.document(&entry.digest, Some(&entry.digest), size).await?;
        Ok((serde_json::from_slice(&bytes).map_err(parse)?, digest))
    }

    async fn document(
        &self,
        name: &str,
        wanted: Option<&str>,
        limit: u64,
    ) -> Result<(Vec<u8>, String), OciDistributionError> {
        let registry = self.reference.resolve_registry();
        let scheme = if self.plain { "http" } else { "https" };
        let repository = self.reference.repository();
        let url = format!("{scheme}://{registry}/v2/{repository}/manifests/{name}");
        let request = self.client.get(&url).header(header::ACCEPT, ACCEPT.join(", "));
        let request = match self.secret {
            Secret::Basic(user, password) => request.basic_auth(user, Some(password)),
            Secret::Bearer(token) => request.bearer_auth(token),
            Secret::Anonymous => request,
        };
        let response = request.send().await?;
        let status = response.status();
        let bytes = read(response, limit, &format!("manifest {name}")).await?;
        if status != StatusCode::OK {
            return Err(refusal(status, &bytes, url));
        }
        let digest = digest_of(&bytes);
        match wanted {
            // Only what has this digest is what was asked for; another algorithm cannot be checked.
            Some(wanted) if wanted != digest => Err(OciDistributionError::GenericError(Some(
                format!("manifest {wanted} has digest {digest}"),
            ))),
            _ => Ok((bytes, digest)),
        }
    }
}

/// Reads an answer to its end, if it has one within the limit in bytes.
pub(super) async fn read(
    mut response: Response,
    limit: u64,
    what: &str,
) -> Result<Vec<u8>, OciDistributionError> {
    let mut bytes = Vec::new();
    while let Some(more) = response.chunk().await? {
        if (bytes.len() + more.len()) as u64 > limit {
            let message = format!("{what} is longer than {limit} bytes");
            return Err(OciDistributionError::GenericError(Some(message)));
        }
        bytes.extend_from_slice(&more);
    }
    Ok(bytes)
}

fn refusal(status: StatusCode, bytes: &[u8], url: String) -> OciDistributionError {
    match status {
        StatusCode::UNAUTHORIZED => OciDistributionError::UnauthorizedError { url },
        status if status.is_client_error() => match serde_json::from_slice::<OciEnvelope>(bytes) {
            Ok(envelope) => OciDistributionError::RegistryError { envelope, url },
            Err(_) => OciDistributionError::ServerError {
                code: status.as_u16(),
                url,
                message: String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]).into_owned(),
            },
        },
        status => OciDistributionError::ServerError {
            code: status.as_u16(),
            url,
            message: String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]).into_owned(),
        },
    }
}
