//! Images.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::cri::proto;
use crate::{Image, ImageConfig, Labels, RegistryAuth};

pub(in crate::cri) fn image_spec(reference: &str) -> proto::ImageSpec {
    proto::ImageSpec { image: reference.to_owned(), ..Default::default() }
}

pub(in crate::cri) fn registry_auth(auth: RegistryAuth) -> proto::AuthConfig {
    match auth {
        RegistryAuth::Basic { username, password } => {
            proto::AuthConfig { username, password, ..Default::default() }
        }
        RegistryAuth::Bearer(token) => {
            proto::AuthConfig { registry_token: token, ..Default::default() }
        }
    }
}

pub(in crate::cri) fn image(image: proto::Image) -> Image {
    let user = match image.uid {
        Some(uid) => uid.value.to_string(),
        None => image.username,
    };
    Image {
        id: image.id,
        repo_tags: image.repo_tags,
        repo_digests: image.repo_digests,
        size: image.size,
        pinned: image.pinned,
        config: ImageConfig { user, ..ImageConfig::default() },
    }
}

/// The image's own configuration, from the JSON of a verbose status: not part of CRI, but
/// containerd and CRI-O both have the OCI image under `info`.
pub(in crate::cri) fn image_config(info: &BTreeMap<String, String>) -> Option<ImageConfig> {
    #[derive(Deserialize)]
    struct Info {
        #[serde(rename = "imageSpec")]
        image: Spec,
    }
    #[derive(Deserialize)]
    struct Spec {
        config: Config,
    }
    // https://github.com/opencontainers/image-spec/blob/main/config.md
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Config {
        #[serde(default)]
        user: String,
        env: Option<Vec<String>>,
        entrypoint: Option<Vec<String>>,
        cmd: Option<Vec<String>>,
        #[serde(default)]
        working_dir: String,
        #[serde(default)]
        stop_signal: String,
        labels: Option<Labels>,
        volumes: Option<BTreeMap<String, serde_json::Value>>,
    }
    let info: Info = serde_json::from_str(info.get("info")?).ok()?;
    let config = info.image.config;
    Some(ImageConfig {
        user: config.user,
        env: config.env.unwrap_or_default(),
        entrypoint: config.entrypoint.unwrap_or_default(),
        cmd: config.cmd.unwrap_or_default(),
        working_dir: config.working_dir,
        stop_signal: config.stop_signal,
        labels: config.labels.unwrap_or_default(),
        volumes: config.volumes.unwrap_or_default().into_keys().map(Into::into).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_read_where_it_is_told() {
        assert_eq!(image_config(&BTreeMap::new()), None);
        let text = r#"{"chainID":"x","imageSpec":{"architecture":"amd64","config":
            {"User":"65532","Env":["A=b"],"Entrypoint":["/e"],"Cmd":null,"Volumes":{"/d":{}}}}}"#;
        let config = image_config(&[("info".to_owned(), text.to_owned())].into()).unwrap();
        assert_eq!((config.user.as_str(), config.entrypoint.len()), ("65532", 1));
        assert_eq!((config.cmd.len(), config.volumes[0].to_str()), (0, Some("/d")));
    }

    #[test]
    fn the_user_is_an_id_or_a_name() {
        let plain = proto::Image { username: "nobody".to_owned(), ..Default::default() };
        assert_eq!(image(plain.clone()).config.user, "nobody");
        let numeric = proto::Image { uid: Some(proto::Int64Value { value: 7 }), ..plain };
        assert_eq!(image(numeric).config.user, "7");
    }
}
