use super::*;
use crate::schema::{Alternative, Field, Shape};
use crate::validate::{FieldValidation, check};
use proptest::prelude::*;
use serde_json::{Map, json};

#[test]
fn a_pod_keeps_what_go_would_show() {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "x", "labels": {"a": ""}, "creationTimestamp": "2024-01-01T00:00:00Z"},
        "spec": {
            "containers": [{
                "name": "", "ports": [{"containerPort": 0}],
                "livenessProbe": {"httpGet": {"port": "web", "path": "/"}, "periodSeconds": 3},
                "resources": {"requests": {"cpu": "100m"}},
            }],
            "volumes": [{"name": "v", "emptyDir": {}}],
            "automountServiceAccountToken": false, "priority": 0,
        },
        "status": {"podIPs": [{"ip": "10.0.0.1"}]},
    });
    assert_eq!(decode(&encode(&pod).unwrap()).unwrap(), pod);

    let mut noisy = pod.clone();
    noisy["spec"]["hostNetwork"] = json!(false);
    noisy["spec"]["nodeName"] = json!("");
    noisy["spec"]["containers"][0]["ports"][0]["hostPort"] = json!(0);
    assert_eq!(decode(&encode(&noisy).unwrap()).unwrap(), pod);
}

#[test]
fn lists_and_watch_events_are_spliced_from_encoded_items() {
    let registry = Registry::builtin();
    let pod = |name: &str| json!({"metadata": {"name": name}, "spec": {"containers": []}});
    let ty = registry.lookup("", "v1", "Pod").unwrap();
    let raw: Vec<Vec<u8>> = ["a", "b"].map(|n| encode_raw(ty, &pod(n))).into();
    let list_type = registry.lookup("", "v1", "PodList").unwrap();
    let meta = json!({"resourceVersion": "7", "remainingItemCount": 3});
    let items = raw.iter().map(Vec::as_slice);
    let bytes = encode_list_envelope(list_type, "v1", "PodList", &meta, items);
    let list = json!({
        "apiVersion": "v1", "kind": "PodList", "metadata": meta,
        "items": [
            {"metadata": {"name": "a"}, "spec": {}}, {"metadata": {"name": "b"}, "spec": {}},
        ],
    });
    assert_eq!(decode(&bytes).unwrap(), list);

    let event = encode_watch_event("ADDED", &envelope("v1", "Pod", &raw[0]));
    let ty = registry.lookup("", "v1", "WatchEvent").unwrap();
    let decoded = decode_raw(ty, &event).unwrap();
    assert_eq!(decoded["type"], "ADDED");
    assert_eq!(decoded["object"]["metadata"]["name"], "a");
    assert_eq!(decoded["object"]["kind"], "Pod");
}

#[test]
fn status_travels_as_protobuf() {
    let status = Status::too_many_requests("slow down", 3).to_value();
    assert_eq!(decode(&encode(&status).unwrap()).unwrap(), status);
}

#[test]
fn packed_and_split_fields_are_accepted() {
    let ty = Registry::builtin().type_by_name("io.k8s.api.core.v1.PodSecurityContext").unwrap();
    let number = ty.field("supplementalGroups").unwrap().tag;
    let mut packed = wire::Writer::default();
    packed.bytes(number, &[1, 0x80, 0x01]);
    packed.integer(number, 3);
    assert_eq!(decode_raw(ty, &packed.0).unwrap(), json!({"supplementalGroups": [1, 128, 3]}));

    let pod = Registry::builtin().lookup("", "v1", "Pod").unwrap();
    let mut split = encode_raw(pod, &json!({"metadata": {"name": "x"}}));
    split.extend(encode_raw(pod, &json!({"metadata": {"labels": {"a": "b"}}})));
    let merged = json!({"metadata": {"name": "x", "labels": {"a": "b"}}});
    assert_eq!(decode_raw(pod, &split).unwrap(), merged);
}

#[test]
fn broken_bytes_are_refused() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}});
    let good = encode(&pod).unwrap();
    for end in 0..good.len() - 1 {
        let _ = decode(&good[..end]);
    }
    assert_eq!(decode(&good[..good.len() - 5]).unwrap_err().code, 400);
    assert_eq!(decode(b"{}").unwrap_err().code, 400);
    let unknown = envelope("v1", "Nope", b"");
    let message = decode(&unknown).unwrap_err().message;
    assert_eq!(message, "no kind \"Nope\" is registered for version \"v1\"");
    let mut custom = pod;
    custom["kind"] = json!("Nope");
    assert_eq!(encode(&custom).unwrap_err().code, 406);
}

/// A source of choices for generated values.
struct Choices<'a>(std::iter::Cycle<std::slice::Iter<'a, u8>>);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or_default()
    }

    fn text(&mut self) -> String {
        ["", "a", "ü\n", "kubernetes.io/x"][usize::from(self.byte() % 4)].to_owned()
    }

    fn pick(&mut self, values: Value) -> Value {
        let values = values.as_array().cloned().unwrap_or_default();
        values[usize::from(self.byte()) % values.len()].clone()
    }

    fn value(&mut self, shape: &Shape, depth: usize) -> Value {
        let byte = self.byte();
        let number = i64::from(byte) - 100;
        match shape {
            Shape::String => self.text().into(),
            Shape::Bool => (byte & 1 == 1).into(),
            Shape::Int32 => (number * 13_000_000).into(),
            Shape::Int64 => (number << 50).into(),
            Shape::Double => (number as f64 / 8.0 + 0.0625).into(),
            Shape::Bytes => self.pick(json!(["", "AAEC", "//8="])),
            Shape::Time => self.pick(json!(["1969-12-31T23:59:59Z", "2024-02-29T00:00:00Z"])),
            Shape::MicroTime => {
                json!(
                    ["1969-12-31T23:59:59.000001Z", "2024-02-29T00:00:00.500000Z"]
                        [usize::from(byte & 1)]
                )
            }
            Shape::Duration => self.pick(json!(["1h0m0s", "1.5s", "0s"])),
            Shape::Quantity => self.pick(json!(["0", "100m", "1Gi", "-1.234"])),
            Shape::IntOrString if byte & 1 == 0 => number.into(),
            Shape::IntOrString => self.text().into(),
            Shape::Any => self.pick(json!([{"a": [1, "x", null]}, [1.5], "s", true])),
            Shape::RawExtension | Shape::FieldsV1 => json!({"x": {"y": [byte]}}),
            Shape::SchemaOr(Alternative::Bool, _) if byte & 1 == 0 => (byte & 2 == 2).into(),
            Shape::SchemaOr(Alternative::Strings, _) if byte & 1 == 0 => json!(["a", ""]),
            Shape::SchemaOr(Alternative::Array, _) if byte & 1 == 0 => json!([{"type": "string"}]),
            Shape::SchemaOr(_, ty) => self.object(ty, depth + 1),
            Shape::List(list) => {
                (0..1 + byte % 3).map(|_| self.value(&list.item, depth + 1)).collect()
            }
            Shape::Map(map) => {
                let entries =
                    (0..1 + byte % 2).map(|i| (format!("k{i}"), self.value(&map.value, depth + 1)));
                Value::Object(entries.collect())
            }
            Shape::Object(ty) => self.object(ty, depth + 1),
        }
    }

    fn object(&mut self, ty: &Type, depth: usize) -> Value {
        let mut map = Map::new();
        for field in ty.fields.iter().filter(|f| f.tag != 0) {
            // Deeper structs get sparser, or recursive types would never end.
            if usize::from(self.byte() % 8) < 6usize.saturating_sub(depth) {
                let Field { name, shape, .. } = field;
                map.insert(name.clone(), self.value(shape, depth));
            }
        }
        Value::Object(map)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn every_kind_round_trips(bytes in prop::collection::vec(any::<u8>(), 97..499)) {
        let mut choices = Choices(bytes.iter().cycle());
        for ty in Registry::builtin().types() {
            let Some(gvk) = &ty.gvk else { continue };
            let mut object = choices.object(ty, 0);
            object["apiVersion"] = gvk.api_version().into();
            object["kind"] = gvk.kind.as_str().into();
            if ty.field("kind").is_none() || ty.fields.iter().all(|f| f.tag == 0) {
                continue;
            }
            // Zeros that Go omits from JSON need not survive.
            check(ty, &mut object, FieldValidation::Strict, &[], None).unwrap();
            let back = decode(&encode(&object).unwrap()).unwrap();
            prop_assert_eq!(&back, &object, "{}", ty.name);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for kind in ["Pod", "Event", "Node"] {
            let ty = Registry::builtin().lookup("", "v1", kind).unwrap();
            let _ = decode_raw(ty, &bytes);
        }
        let _ = decode(&[MAGIC, &bytes].concat());
    }
}
