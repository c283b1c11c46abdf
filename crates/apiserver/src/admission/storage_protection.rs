//! StorageObjectInUseProtection: volumes, claims and classes are kept as long as they are in use.

use apimachinery::{Object, ObjectExt, Status};
use async_trait::async_trait;
use serde_json::Value;

use super::{Operation, Plugin, Request};

pub(super) struct StorageProtection;

const FINALIZERS: &[(&str, &str, &str)] = &[
    ("", "persistentvolumes", "kubernetes.io/pv-protection"),
    ("", "persistentvolumeclaims", "kubernetes.io/pvc-protection"),
    ("storage.k8s.io", "volumeattributesclasses", "kubernetes.io/vac-protection"),
];

#[async_trait]
impl Plugin for StorageProtection {
    async fn admit(&self, request: &Request<'_>, object: &mut Object) -> Result<(), Status> {
        let found = FINALIZERS.iter().find(|(group, resource, _)| request.is(group, resource));
        let Some((_, _, finalizer)) = found else { return Ok(()) };
        let concerned = request.operation == Operation::Create && request.sub.is_none();
        if concerned && !object.finalizers().any(|own| own == *finalizer) {
            let mut all: Vec<Value> = object.finalizers().map(Value::from).collect();
            all.push((*finalizer).into());
            object.set_meta("finalizers", all.into());
        }
        Ok(())
    }
}
