//! Projected volumes: several sources in one directory.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{
    ClusterTrustBundleProjection, Pod, PodCertificateProjection, ProjectedVolumeSource,
    VolumeProjection,
};

use super::super::atomic::{Content, File};
use super::{DEFAULT_MODE, Error, Pass, downward_files, map_data, pick, secret_data};
use crate::certificates::{self, Asked, Credentials};
use crate::context::Context;
use crate::pod::{namespace, spec, uid};
use crate::trust;

/// Errors of a volume that are told.
const MAX_ERRORS: usize = 16;
/// Credentials are for their owner only.
const OWN_MODE: u32 = 0o600;

/// The files of a volume. What is wrong with its sources is told of all of them.
pub(super) async fn files(
    out: &mut Content,
    context: &Context,
    pod: &Pod,
    (volume, source): (&str, &ProjectedVolumeSource),
    pass: &mut Pass<'_>,
) -> Result<(), Error> {
    let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
    let mut errors = Vec::new();
    // All are asked for before one is waited for.
    let mut asked = HashMap::new();
    for (index, projection) in source.sources.iter().flatten().enumerate() {
        if let Some(wanted) = &projection.pod_certificate {
            asked.insert(index, context.certificates.ask(pod, (volume, index), wanted));
        }
    }
    for (index, projection) in source.sources.iter().flatten().enumerate() {
        let place = Place { context, pod, mode };
        match place.project(out, projection, asked.remove(&index), pass).await {
            Ok(()) => {}
            // The rest would be read for nothing.
            Err(error @ Error::Trust(trust::Error::TooLarge)) => return Err(error),
            Err(error) => note(&mut errors, error),
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::of(errors)) }
}

/// Adds an error that is not there yet: a pod may have thousands of sources, and all of them are told
/// in one event.
fn note(errors: &mut Vec<Error>, error: Error) {
    let text = error.to_string();
    if errors.len() < MAX_ERRORS && errors.iter().all(|other| other.to_string() != text) {
        errors.push(error);
    }
}

/// A source of a volume.
struct Place<'a> {
    context: &'a Context,
    pod: &'a Pod,
    mode: i32,
}

impl Place<'_> {
    async fn project(
        &self,
        out: &mut Content,
        projection: &VolumeProjection,
        asked: Option<Result<Asked, certificates::Error>>,
        pass: &mut Pass<'_>,
    ) -> Result<(), Error> {
        let (objects, pod, mode) = (&self.context.objects, self.pod, self.mode);
        if let Some(source) = &projection.config_map {
            let map = objects.config_maps.get(namespace(pod), &source.name).await?;
            let data = map.as_deref().map(map_data);
            let optional = source.optional == Some(true);
            let what = ("configmap", source.name.as_str());
            pick(out, what, data, source.items.as_deref(), mode, optional)?;
        }
        if let Some(source) = &projection.secret {
            let secret = objects.secrets.get(namespace(pod), &source.name).await?;
            let data = secret.as_deref().map(secret_data);
            let optional = source.optional == Some(true);
            let what = ("secret", source.name.as_str());
            pick(out, what, data, source.items.as_deref(), mode, optional)?;
        }
        if let Some(source) = &projection.downward_api {
            downward_files(out, pod, source.items.as_deref(), mode, pass.facts)?;
        }
        if let Some(source) = &projection.service_account_token {
            let token = self.context.tokens.get(pod, source).await?;
            let due = token.refresh_at;
            pass.refresh_at = Some(pass.refresh_at.map_or(due, |at| at.min(due)));
            out.insert(source.path.clone(), self.file(token.text.into_bytes()));
        }
        if let Some(source) = &projection.cluster_trust_bundle {
            out.insert(source.path.clone(), self.anchors(source, pass).await?);
        }
        if let (Some(source), Some(asked)) = (&projection.pod_certificate, asked) {
            self.credentials(out, source, &*asked?.get(pass.deadline).await?);
        }
        Ok(())
    }

    async fn anchors(
        &self,
        source: &ClusterTrustBundleProjection,
        pass: &mut Pass<'_>,
    ) -> Result<File, Error> {
        let anchors = match pass.anchors {
            0 => Err(trust::Error::TooLarge),
            _ => self.context.trust.get(uid(self.pod), source, pass.deadline).await,
        };
        let anchors = anchors.and_then(|anchors| {
            let left = pass.anchors.checked_sub(anchors.len()).ok_or(trust::Error::TooLarge)?;
            pass.anchors = left;
            Ok(anchors)
        });
        if matches!(anchors, Err(trust::Error::TooLarge)) {
            // Nor need other volumes be tried.
            pass.anchors = 0;
        }
        Ok(self.file(anchors?.to_vec()))
    }

    fn credentials(
        &self,
        out: &mut Content,
        source: &PodCertificateProjection,
        Credentials { key, chain }: &Credentials,
    ) {
        for (path, parts) in [
            (&source.credential_bundle_path, [key.as_str(), chain]),
            (&source.key_path, [key, ""]),
            (&source.certificate_chain_path, [chain, ""]),
        ] {
            if let Some(path) = path.as_ref().filter(|path| !path.is_empty()) {
                out.insert(path.clone(), self.file(parts.concat().into_bytes()));
            }
        }
    }

    fn file(&self, content: Vec<u8>) -> File {
        let (mode, user) = access(self.pod, self.mode);
        File { content, mode, user }
    }
}

/// Owner and mode of credentials: where the pod has a group, or one user that all containers run as,
/// it is for them only, else as the volume says. The group's right to read it comes with the group.
fn access(pod: &Pod, default: i32) -> (u32, Option<u32>) {
    let context = spec(pod).security_context.as_ref();
    let of_pod = context.and_then(|context| context.run_as_user);
    let mut users = crate::pod::members(pod).into_iter().map(|member| {
        let own = member.container.security_context.as_ref().and_then(|own| own.run_as_user);
        own.or(of_pod)
    });
    let user = users.next().flatten().filter(|first| users.all(|user| user == Some(*first)));
    let user = user.and_then(|user| u32::try_from(user).ok());
    let group = context.is_some_and(|context| context.fs_group.is_some());
    let mode = if group || user.is_some() { OWN_MODE } else { default as u32 };
    (mode, user)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn credentials_belong_to_the_user_all_containers_share() {
        let pod = |spec| -> Pod { serde_json::from_value(json!({"spec": spec})).unwrap() };
        let c = |user: Option<i64>| json!({"name": "c", "securityContext": {"runAsUser": user}});
        let table = [
            (json!({"containers": [c(None)]}), (0o644, None)),
            (json!({"containers": [c(Some(7)), c(Some(7))]}), (0o600, Some(7))),
            (json!({"containers": [c(Some(7)), c(Some(8))]}), (0o644, None)),
            (
                json!({"securityContext": {"fsGroup": 9}, "containers": [c(Some(7))]}),
                (0o600, Some(7)),
            ),
            (json!({"securityContext": {"fsGroup": 9}, "containers": [c(None)]}), (0o600, None)),
        ];
        for (spec, wanted) in table {
            assert_eq!(access(&pod(spec), 0o644), wanted);
        }
    }
}
