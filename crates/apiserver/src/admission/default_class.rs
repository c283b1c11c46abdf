//! DefaultStorageClass and DefaultIngressClass: objects without a class get the newest default one.

use apimachinery::{Object, ObjectExt, Status};
use async_trait::async_trait;

use super::{Operation, Plugin, Request};
use crate::registry;

/// Gives objects of one kind the default of another.
pub(super) struct DefaultClass {
    group: &'static str,
    resource: &'static str,
    /// Field of the spec that names the class.
    field: &'static str,
    /// Annotations that name a class in place of the field.
    named_by: &'static [&'static str],
    class_group: &'static str,
    classes: &'static str,
    /// Annotations that make a class the default.
    marks: &'static [&'static str],
}

pub(super) static STORAGE: DefaultClass = DefaultClass {
    group: "",
    resource: "persistentvolumeclaims",
    field: "storageClassName",
    named_by: &["volume.beta.kubernetes.io/storage-class"],
    class_group: "storage.k8s.io",
    classes: "storageclasses",
    marks: &[
        "storageclass.kubernetes.io/is-default-class",
        "storageclass.beta.kubernetes.io/is-default-class",
    ],
};

pub(super) static INGRESS: DefaultClass = DefaultClass {
    group: "networking.k8s.io",
    resource: "ingresses",
    field: "ingressClassName",
    named_by: &["kubernetes.io/ingress.class"],
    class_group: "networking.k8s.io",
    classes: "ingressclasses",
    marks: &["ingressclass.kubernetes.io/is-default-class"],
};

#[async_trait]
impl Plugin for DefaultClass {
    async fn admit(&self, request: &Request<'_>, object: &mut Object) -> Result<(), Status> {
        let concerned = request.operation == Operation::Create
            && request.is(self.group, self.resource)
            && request.sub.is_none()
            && object["spec"].is_object();
        if !concerned
            || !object["spec"][self.field].is_null()
            || self.named_by.iter().any(|name| object.annotation(name).is_some())
        {
            return Ok(());
        }
        let kind = registry::find(self.class_group, "v1", self.classes)
            .ok_or_else(|| Status::internal(format!("no {}", self.classes)))?;
        let (snapshot, _) = request.server.present(kind)?;
        let marked =
            |class: &Object| self.marks.iter().any(|mark| class.annotation(mark) == Some("true"));
        let created = |class: &Object| class.str_at(&["metadata", "creationTimestamp"]).to_owned();
        // Entries are sorted by name, and the first of equally new ones is taken.
        let newest = snapshot
            .range("", "")
            .map(|entry| entry.object())
            .filter(marked)
            .reduce(|best, class| if created(&class) > created(&best) { class } else { best });
        if let Some(class) = newest {
            object.set_path(&["spec", self.field], class.name().into());
        }
        Ok(())
    }
}
