//! VolumeAttachment and VolumeAttributesClass.

use apimachinery::field::ErrorList;
use apimachinery::{Object, names};

use super::super::check::{Field, check, check_csi_driver_name};
use super::super::core::{check_inline_volume, default_volume_source};
use super::super::strategy::{ALL_METADATA, Context, Strategy, clear_status};
use super::{check_parameters, check_provisioner};
use crate::registry::Sub;

pub(super) struct Attachment;

/// Maximum total size of the keys and values of the metadata, in bytes.
const MAX_METADATA: usize = 256 << 10;
const MAX_MESSAGE: usize = 1024;

impl Strategy for Attachment {
    fn status_keeps(&self) -> &'static [&'static str] {
        ALL_METADATA
    }

    fn reset_fields(&self, sub: Option<Sub>, _has_status: bool) -> &'static [&'static str] {
        if sub.is_none() { &["status"] } else { &["metadata", "spec"] }
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        clear_status(object);
        ErrorList::new()
    }

    fn default(&self, object: &mut Object) {
        let source = object.get_mut("spec").and_then(|spec| spec.get_mut("source"));
        if let Some(volume) = source.and_then(|source| source.get_mut("inlineVolumeSpec")) {
            default_volume_source(volume);
        }
    }

    fn validate(&self, object: &Object) -> ErrorList {
        let mut errors = check(object, check_attachment);
        errors.0.extend(check(object, check_new).0);
        errors
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| {
            check_attachment(object);
            object.immutable_as("spec", old, "VolumeAttachmentSpec");
        })
    }

    fn validate_status(&self, object: &Object, old: &Object) -> ErrorList {
        self.validate_change(None, object, old)
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}

fn check_attachment(object: &Field<'_>) {
    let spec = object.at("spec");
    spec.needs("attacher");
    let source = spec.at("source");
    const ONE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (source.has("inlineVolumeSpec"), source.has("persistentVolumeName")) {
        (false, false) => source.required(ONE),
        (true, true) => source.forbidden(ONE),
        (false, true) => {
            if source.str("persistentVolumeName").is_empty() {
                source
                    .at("persistentVolumeName")
                    .required("must specify non empty persistentVolumeName");
            }
        }
        (true, false) => check_inline_volume(&source.at("inlineVolumeSpec")),
    }
    spec.valid("nodeName", names::dns1123_subdomain);
    let status = object.at("status");
    let size: usize = status
        .entries("attachmentMetadata")
        .map(|(key, value)| key.len() + value.text().len())
        .sum();
    if size > MAX_METADATA {
        status.at("attachmentMetadata").too_long(MAX_METADATA);
    }
    for field in ["attachError", "detachError"] {
        let error = status.at(field);
        if error.str("message").len() > MAX_MESSAGE {
            error.at("message").too_long(MAX_METADATA);
        }
        if error.int("errorCode").is_some_and(|code| code < 0) {
            error.at("errorCode").invalid("must be between 0 and 2147483647, inclusive");
        }
    }
}

/// Rules that objects created before v1 need not satisfy.
fn check_new(object: &Field<'_>) {
    let spec = object.at("spec");
    check_csi_driver_name(&spec.at("attacher"));
    let name = spec.at("source").at("persistentVolumeName");
    if !name.value().is_null() {
        name.invalid_all(names::dns1123_subdomain(name.text()));
    }
}

pub(super) struct AttributesClass;

impl Strategy for AttributesClass {
    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            check_provisioner(object, "driverName");
            check_parameters(object);
            if object.len("parameters") == 0 {
                object.at("parameters").required("must contain at least one key/value pair");
            }
        })
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        let mut errors = check(object, |object| {
            for field in ["driverName", "parameters"] {
                if object.get(field) != &old[field] {
                    object.at(field).forbidden(format!("updates to {field} are forbidden."));
                }
            }
        });
        errors.0.extend(self.validate(object).0);
        errors
    }
}
