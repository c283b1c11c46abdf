//! Writes every object of a resource again, a page at a time.

use std::time::Duration;

use client::ObjectKey;
use client::helpers::{is_conflict, is_not_found};
use k8s_openapi::api::storagemigration::v1::StorageVersionMigration;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::DynamicObject;
use kube::core::PartialObjectMeta;
use serde_json::json;

use super::conditions::{
    self, FAILED, HAS_FAILED, HAS_SUCCEEDED, IS_RUNNING, RUNNING, SUCCEEDED, has_ended, progress,
    version,
};
use super::{Controller, DONE, parsed, patience};
use crate::Outcome;
use crate::common::discovery::Found;
use crate::context::message;

/// The manager of the writes, which change no field.
const MANAGER: &str = "storage-version-migrator-controller";
/// Objects of which only the metadata is held at a time.
const PAGE: u32 = 500;

/// How far a migration is.
#[derive(Clone, Copy, Default)]
struct Count {
    /// Objects that are not known to be stored anew.
    left: usize,
    total: usize,
}

/// Why a migration did not come to its end.
enum Stopped {
    /// It is worth another try.
    Retry(kube::Error),
    Failed(String),
}

impl Controller {
    /// Migrates the objects of a migration that has begun.
    pub(super) async fn migrate(&self, key: &ObjectKey) -> Outcome {
        let Some(migration) = self.migrations.get(key) else { return DONE };
        if has_ended(&migration) || version(&migration).is_empty() {
            return DONE;
        }
        let Some(kind) = self.kind(&migration).await? else {
            if let Some(wait) = patience(&migration) {
                return Ok(Some(wait));
            }
            let why = "unable to obtain GVR from discovery";
            return self.fail(&migration, None, why).await;
        };
        let Some(begun) = parsed(version(&migration)) else {
            let why = format!("resource version is not well formed: {}", version(&migration));
            return self.fail(&migration, None, &why).await;
        };
        let mut count = Count::default();
        let mut changed = (*migration).clone();
        match self.rewrite(&kind, begun, &mut count).await {
            Ok(()) => {
                let message = progress(count.left, count.total, None);
                conditions::set(&mut changed, RUNNING, true, IS_RUNNING, &message, None);
                let done = "Migration completed";
                conditions::set(&mut changed, SUCCEEDED, true, HAS_SUCCEEDED, done, None);
                self.write_status(&changed).await?;
                DONE
            }
            Err(Stopped::Failed(why)) => self.fail(&migration, Some(count), &why).await,
            Err(Stopped::Retry(error)) => {
                let message = progress(count.left, count.total, Some(&message(&error)));
                if conditions::set(&mut changed, RUNNING, true, IS_RUNNING, &message, None) {
                    self.write_status(&changed).await?;
                }
                match delay(&error) {
                    Some(delay) => Ok(Some(delay)),
                    None => Err(error.into()),
                }
            }
        }
    }

    /// Writes again what is not newer than `begun`.
    async fn rewrite(&self, kind: &Found, begun: u64, count: &mut Count) -> Result<(), Stopped> {
        let api = kind.api(&self.context.client, "");
        let mut page = ListParams::default().limit(PAGE);
        let mut seen = 0;
        loop {
            let list = match api.list_metadata(&page).await {
                Ok(list) => list,
                // It took so long that the rest of the list is no more. What was written is newer
                // than `begun` now, so that each round has less to do.
                Err(kube::Error::Api(status)) if status.code == 410 => {
                    (page.continue_token, seen) = (None, 0);
                    continue;
                }
                Err(error) => return Err(stopped(error)),
            };
            let after = list.metadata.remaining_item_count.unwrap_or_default();
            let after = usize::try_from(after).unwrap_or_default();
            seen += list.items.len();
            *count = Count { left: list.items.len() + after, total: seen + after };
            for object in &list.items {
                self.write_again(kind, object, begun).await?;
                count.left -= 1;
            }
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page.continue_token = Some(token),
                None => return Ok(()),
            }
        }
    }

    /// Writes an object as it is. Somebody who has changed or deleted it meanwhile has done the
    /// same, or made it needless.
    async fn write_again(
        &self,
        kind: &Found,
        object: &PartialObjectMeta<DynamicObject>,
        begun: u64,
    ) -> Result<(), Stopped> {
        let at = object.resource_version().unwrap_or_default();
        match parsed(&at) {
            Some(at) if at > begun => return Ok(()),
            Some(_) => {}
            None => {
                let why = format!("resource version is not well formed: {at}");
                return Err(Stopped::Failed(why));
            }
        }
        let api = kind.api(&self.context.client, &object.namespace().unwrap_or_default());
        let patch = Patch::Merge(json!({
            "apiVersion": kind.resource.api_version, "kind": kind.resource.kind,
            "metadata": {"resourceVersion": at},
        }));
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        match api.patch_metadata(&object.name_any(), &params, &patch).await {
            Err(error) if !is_conflict(&error) && !is_not_found(&error) => Err(stopped(error)),
            _ => Ok(()),
        }
    }

    async fn fail(
        &self,
        migration: &StorageVersionMigration,
        count: Option<Count>,
        why: &str,
    ) -> Outcome {
        let mut changed = migration.clone();
        let mut text = format!("migration encountered unhandled error: {why}");
        if let Some(Count { left, total }) = count {
            text = format!("{left}/{total} not yet migrated. {text}");
            let message = progress(left, total, None);
            conditions::set(&mut changed, RUNNING, true, IS_RUNNING, &message, None);
        }
        conditions::set(&mut changed, FAILED, true, HAS_FAILED, &text, None);
        self.write_status(&changed).await?;
        DONE
    }
}

/// Another try may do where the server is busy, or cannot be reached.
fn stopped(error: kube::Error) -> Stopped {
    const PASSING: [&str; 5] =
        ["ServerTimeout", "TooManyRequests", "ServiceUnavailable", "InternalError", "Timeout"];
    match &error {
        kube::Error::Api(status) if PASSING.contains(&&*status.reason) || status.code == 429 => {
            Stopped::Retry(error)
        }
        kube::Error::Api(_) => Stopped::Failed(message(&error)),
        _ => Stopped::Retry(error),
    }
}

/// The time after which a busy server wants to be asked again.
fn delay(error: &kube::Error) -> Option<Duration> {
    let kube::Error::Api(status) = error else { return None };
    let seconds = status.details.as_ref()?.retry_after_seconds;
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}
