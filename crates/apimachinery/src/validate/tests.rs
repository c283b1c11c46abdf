use super::*;
use crate::schema::Registry;
use serde_json::json;

fn deployment() -> &'static Type {
    Registry::builtin().lookup("apps", "v1", "Deployment").unwrap()
}

fn secret() -> &'static Type {
    Registry::builtin().lookup("", "v1", "Secret").unwrap()
}

#[test]
fn unknown_and_duplicate_fields_are_found_and_removed() {
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "bad": 1,
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "c", "immage": "x"}]}}},
    });
    let duplicates = [Duplicate::Field("spec.replicas".to_owned())];
    let mut value = object.clone();
    let warnings =
        check(deployment(), &mut value, FieldValidation::Warn, &duplicates, None).unwrap();
    let mut sorted = warnings.clone();
    sorted.sort();
    assert_eq!(
        sorted,
        [
            "duplicate field \"spec.replicas\"",
            "unknown field \"bad\"",
            "unknown field \"spec.template.spec.containers[0].immage\"",
        ]
    );
    assert!(value.get("bad").is_none());
    assert_eq!(value["spec"]["template"]["spec"]["containers"][0], json!({"name": "c"}));

    let mut value = object.clone();
    let error = check(deployment(), &mut value, FieldValidation::Strict, &[], None).unwrap_err();
    assert_eq!(error.code, 400);
    assert!(
        error.message.starts_with(
            "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding \
             error: unknown field "
        ),
        "{}",
        error.message
    );
    let mut value = object;
    assert!(
        check(deployment(), &mut value, FieldValidation::Ignore, &[], None).unwrap().is_empty()
    );
}

#[test]
fn wrong_types_read_like_go() {
    let table = [
        (
            json!({"spec": {"replicas": "3"}}),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of \
             type int32",
        ),
        (
            json!({"spec": {"replicas": 1.5}}),
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas \
             of type int32",
        ),
        (
            json!({"spec": {"template": {"spec": {"containers": [{"env": [{"value": true}]}]}}}}),
            "json: cannot unmarshal bool into Go struct field \
             EnvVar.spec.template.spec.containers.env.value of type string",
        ),
        (
            json!({"spec": {"template": {"spec": {"containers": {}}}}}),
            "json: cannot unmarshal object into Go struct field \
             PodSpec.spec.template.spec.containers of type []v1.Container",
        ),
        (
            json!({"metadata": {"labels": {"a": ["b"]}}}),
            "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type \
             string",
        ),
        (
            json!({"metadata": []}),
            "json: cannot unmarshal array into Go struct field Deployment.metadata of type \
             v1.ObjectMeta",
        ),
    ];
    for (mut object, message) in table {
        let error =
            check(deployment(), &mut object, FieldValidation::Ignore, &[], None).unwrap_err();
        let full =
            format!("Deployment in version \"v1\" cannot be handled as a Deployment: {message}");
        assert_eq!(error.message, full);
    }
    for (mut object, part) in [
        (json!({"data": {"a": "%"}}), "illegal base64 data at input byte 0"),
        (json!({"metadata": {"creationTimestamp": "x"}}), "parsing time \"x\""),
    ] {
        let error = check(secret(), &mut object, FieldValidation::Ignore, &[], None).unwrap_err();
        assert!(error.message.contains(part), "{}", error.message);
    }
}

#[test]
fn values_get_the_form_upstream_keeps() {
    let mut object = json!({
        "metadata": {"creationTimestamp": "2024-01-01T02:00:00+02:00", "labels": {"a": null}},
        "spec": {
            "replicas": 0, "paused": false, "minReadySeconds": 0, "strategy": {},
            "revisionHistoryLimit": null,
            "template": {"spec": {
                "nodeName": "", "automountServiceAccountToken": false, "hostNetwork": false,
                "volumes": [{"name": "v", "emptyDir": {}}], "tolerations": [], "nodeSelector": {},
                "containers": [{"name": "", "resources": {"limits": {"cpu": 1, "memory": "1024Ki"}}}],
            }},
        },
        "status": null,
    });
    check(deployment(), &mut object, FieldValidation::Strict, &[], None).unwrap();
    assert_eq!(
        object,
        json!({
            "metadata": {"creationTimestamp": "2024-01-01T00:00:00Z", "labels": {"a": ""}},
            "spec": {
                "replicas": 0, "strategy": {},
                "template": {"spec": {
                    "automountServiceAccountToken": false,
                    "volumes": [{"name": "v", "emptyDir": {}}],
                    "containers": [{
                        "name": "", "resources": {"limits": {"cpu": "1", "memory": "1Mi"}},
                    }],
                }},
            },
        })
    );
}

#[test]
fn schemas_accept_their_alternatives() {
    let crd = Registry::builtin()
        .lookup("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
        .unwrap();
    let schema = json!({
        "type": "object", "additionalProperties": false,
        "properties": {"a": {"items": {"type": "string"}, "enum": [1, null, "x"]}},
        "default": {"anything": [null]},
    });
    let mut object = json!({"spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]}});
    let before = object.clone();
    let warnings = check(crd, &mut object, FieldValidation::Strict, &[], None).unwrap();
    assert!(warnings.is_empty());
    assert_eq!(object, before);
}

#[test]
fn what_is_odd_is_told_in_the_order_of_the_document() {
    let document = br#"{"zz":1,"spec":{"replicas":1,"bad":{"a":1,"a":2},"replicas":2},
        "zz":2,"metadata":{"Name":"x"},"Data":1}"#;
    let (mut value, duplicates) = crate::codec::json::decode(document).unwrap();
    let found = check(deployment(), &mut value, FieldValidation::Warn, &duplicates, Some(document))
        .unwrap();
    // The content of unknown fields is not inspected.
    assert_eq!(
        found,
        [
            "unknown field \"zz\"",
            "unknown field \"spec.bad\"",
            "duplicate field \"spec.replicas\"",
            "unknown field \"metadata.Name\"",
            "unknown field \"Data\"",
        ]
    );
}

#[test]
fn maps_are_called_by_the_types_of_their_keys() {
    let slice = Registry::builtin().lookup("resource.k8s.io", "v1", "ResourceSlice").unwrap();
    let table = [
        (
            json!({"attributes": 5}),
            "cannot unmarshal number into Go struct field Device.spec.devices.attributes of type \
             map[v1.QualifiedName]v1.DeviceAttribute",
        ),
        (
            json!({"attributes": {"a": 5}}),
            "cannot unmarshal number into Go struct field Device.spec.devices.attributes of type \
             v1.DeviceAttribute",
        ),
        (
            json!({"capacity": []}),
            "cannot unmarshal array into Go struct field Device.spec.devices.capacity of type \
             map[v1.QualifiedName]v1.DeviceCapacity",
        ),
    ];
    for (device, want) in table {
        let mut object = json!({"spec": {"devices": [device]}});
        let error = unknown_fields(slice, &mut object).unwrap_err();
        assert!(error.to_string().ends_with(want), "{error}");
    }
}

#[test]
fn an_empty_list_where_anything_may_stand_is_kept() {
    let set = Registry::builtin().lookup("apps", "v1", "StatefulSet").unwrap();
    let claims = json!([{"metadata": {"managedFields": [{"fieldsV1": []}], "finalizers": []}}]);
    let mut object = json!({"spec": {"volumeClaimTemplates": claims}});
    unknown_fields(set, &mut object).unwrap();
    assert_eq!(
        object["spec"]["volumeClaimTemplates"][0]["metadata"],
        json!({"managedFields": [{"fieldsV1": []}]})
    );
}

#[test]
fn paths_of_unknown_fields_are_bounded() {
    let slice = Registry::builtin().lookup("resource.k8s.io", "v1", "ResourceSlice").unwrap();
    let fields: serde_json::Map<String, serde_json::Value> =
        (0..10_000).map(|i| (format!("x{i}"), json!(1))).collect();
    let key = "k".repeat(100_000);
    let mut object = json!({"spec": {"devices": [{"attributes": {&key: fields}}]}});
    let found = unknown_fields(slice, &mut object).unwrap();
    assert!(!found.is_empty() && found.len() < 100, "{}", found.len());
    // They are removed nevertheless.
    assert_eq!(object["spec"]["devices"][0]["attributes"][&key], json!({}));
}

/// Duplicates inside an unknown field are reported too if its path is too long to look up.
#[test]
fn beginnings_of_long_paths_are_not_looked_up() {
    for (length, known) in [(10, 1), (2000, 2)] {
        let name = "x".repeat(length);
        let document = format!("{{\"{name}\":{{\"a\":1,\"a\":2}}}}");
        let (mut value, duplicates) = crate::codec::json::decode(document.as_bytes()).unwrap();
        let json = Some(document.as_bytes());
        let found =
            check(deployment(), &mut value, FieldValidation::Warn, &duplicates, json).unwrap();
        assert_eq!(found.len(), known, "{length}");
    }
}
