//! Images.

use std::path::{Path, PathBuf};

use crate::cri::connection::{DEADLINE, ImageClient};
use crate::cri::status::pull_error;
use crate::cri::{Cri, convert, proto};
use crate::{Error, FilesystemUsage, Image, PulledImage, RegistryAuth, Result};

impl Cri {
    pub(in crate::cri) async fn pull(
        &self,
        reference: &str,
        auth: Option<RegistryAuth>,
    ) -> Result<PulledImage> {
        let request = proto::PullImageRequest {
            image: Some(convert::image_spec(reference)),
            auth: auth.map(convert::registry_auth),
            sandbox_config: None,
        };
        // A pull has no deadline: the runtime ends one that makes no progress.
        let pulled = self.0.calls.image(ImageClient::pull_image, request, None).await;
        let pulled = pulled.map_err(|status| pull_error(reference, status))?;
        let image = self.find_image(&pulled.image_ref).await?;
        let image = image.ok_or_else(|| Error::NotFound(pulled.image_ref.clone()))?;
        let digest = image.repo_digests.first().and_then(|name| name.split_once('@'));
        Ok(PulledImage {
            digest: digest.map(|(_, digest)| digest.to_owned()).unwrap_or_default(),
            id: image.id,
            // CRI does not tell what was present before.
            fetched_bytes: image.size,
        })
    }

    pub(in crate::cri) async fn find_image(&self, reference: &str) -> Result<Option<Image>> {
        let request = proto::ImageStatusRequest {
            image: Some(convert::image_spec(reference)),
            verbose: true,
        };
        let response =
            self.0.calls.image(ImageClient::image_status, request, Some(DEADLINE)).await?;
        Ok(response.image.map(|image| {
            let mut image = convert::image(image);
            if let Some(config) = convert::image_config(&response.info) {
                image.config = config;
            }
            image
        }))
    }

    pub(in crate::cri) async fn images(&self) -> Result<Vec<Image>> {
        let all = proto::ListImagesRequest::default();
        let list = self.0.calls.image(ImageClient::list_images, all, Some(DEADLINE)).await?;
        Ok(list.images.into_iter().map(convert::image).collect())
    }

    pub(in crate::cri) async fn delete_image(&self, reference: &str) -> Result<()> {
        let request = proto::RemoveImageRequest { image: Some(convert::image_spec(reference)) };
        let removed = self.0.calls.image(ImageClient::remove_image, request, Some(DEADLINE)).await;
        super::sandbox::absent_is_fine(removed)
    }

    pub(in crate::cri) async fn filesystem(&self) -> Result<FilesystemUsage> {
        let request = proto::ImageFsInfoRequest {};
        let response =
            self.0.calls.image(ImageClient::image_fs_info, request, Some(DEADLINE)).await?;
        let images = response.image_filesystems.into_iter().next().unwrap_or_default();
        let containers = response.container_filesystems.into_iter().next().unwrap_or_default();
        let mountpoint = PathBuf::from(images.fs_id.unwrap_or_default().mountpoint);
        let bytes = |value: Option<proto::UInt64Value>| value.unwrap_or_default().value;
        // Of the file system itself CRI tells nothing; a runtime is on this machine, so it is here.
        let fs = nix::sys::statvfs::statvfs(&existing(&mountpoint))?;
        let block = fs.fragment_size();
        Ok(FilesystemUsage {
            mountpoint,
            image_bytes: bytes(images.used_bytes),
            container_bytes: bytes(containers.used_bytes),
            inodes_used: bytes(images.inodes_used) + bytes(containers.inodes_used),
            capacity_bytes: fs.blocks() * block,
            available_bytes: fs.blocks_available() * block,
            inodes: fs.files(),
            inodes_free: fs.files_free(),
        })
    }
}

/// The path, or the nearest directory above it that is there: a runtime may not have made it yet.
fn existing(path: &Path) -> PathBuf {
    let found = path.ancestors().find(|path| path.exists());
    found.unwrap_or(Path::new("/")).to_owned()
}
