//! Custom resources in OpenAPI, against what kube-apiserver v1.37.2 publishes of the same
//! definitions.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::{Value, json};

use super::harness::{Answer, Api, Watch};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const V1: &str = "apis/my-shop.example.com/v1";
const V1BETA1: &str = "apis/my-shop.example.com/v1beta1";
const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
const V3_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf";

/// Definitions, and what upstream's server answers about them.
fn recorded() -> Value {
    serde_json::from_str(include_str!("custom_openapi.json")).unwrap()
}

async fn until_established(api: &Api, name: &str) {
    let path = format!("{DEFINITIONS}?watch=true&fieldSelector=metadata.name%3D{name}");
    let mut watch = Watch::open(api, &path).await;
    loop {
        let object = watch.event().await["object"].take();
        let mut conditions = object["status"]["conditions"].as_array().into_iter().flatten();
        if conditions.any(|c| c["type"] == "Established" && c["status"] == "True") {
            return;
        }
    }
}

async fn established() -> Api {
    let api = Api::start().await;
    for definition in recorded()["definitions"].as_array().unwrap() {
        api.post(DEFINITIONS, definition).await.ok();
        until_established(&api, definition["metadata"]["name"].as_str().unwrap()).await;
    }
    api
}

async fn accepting(api: &Api, path: &str, media_type: &str) -> Answer {
    api.ask(Method::GET, path).header("accept", media_type).send().await
}

fn tag(answer: &Answer) -> String {
    answer.headers["etag"].to_str().unwrap().to_owned()
}

/// The entries of the group of these tests.
fn own(object: &Value) -> BTreeMap<&String, &Value> {
    let all = object.as_object().unwrap().iter();
    all.filter(|(name, _)| name.contains("my-shop")).collect()
}

/// An operation in one line.
fn line(document: &Value, path: &str, method: &str) -> Option<String> {
    let item = &document["paths"][path];
    let operation = item.get(method)?;
    let text = |name: &str| operation[name].as_str().unwrap_or_default();
    let list = |name: &str| {
        let all: Vec<&str> =
            operation[name].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        all.join(",")
    };
    let names = |parameters: &Value| {
        let name = |parameter: &Value| {
            let shared = parameter["$ref"].as_str().and_then(|r| r.rsplit('/').next());
            let parameter = shared.map_or(parameter, |name| &document["parameters"][name]);
            parameter["name"].as_str().unwrap().to_owned()
        };
        let mut all: Vec<String> = parameters.as_array().into_iter().flatten().map(name).collect();
        all.sort();
        all.join(",")
    };
    let answers: Vec<String> = operation["responses"]
        .as_object()?
        .iter()
        .filter_map(|(code, answer)| {
            Some(format!("{code}={}", answer["schema"]["$ref"].as_str()?.rsplit('.').next()?))
        })
        .collect();
    Some(format!(
        "{method} {path} {} {} {} ({}) {} takes {} gives {} with {} and {}",
        text("operationId"),
        operation["tags"][0].as_str()?,
        text("x-kubernetes-action"),
        text("description"),
        answers.join(","),
        list("consumes"),
        list("produces"),
        names(&operation["parameters"]),
        names(&item["parameters"])
    ))
}

#[tokio::test]
async fn custom_resources_are_described_as_upstream_describes_them() {
    let api = established().await;
    let recorded = recorded();
    let v2 = api.get("/openapi/v2").await.ok();
    let definitions = own(&v2["definitions"]);
    assert_eq!(definitions.len(), recorded["v2"].as_object().unwrap().len());
    for (name, schema) in definitions {
        assert_eq!(*schema, recorded["v2"][name], "{name}");
    }
    let paths = own(&v2["paths"]);
    let lines = paths.keys().flat_map(|path| {
        ["get", "put", "post", "delete", "patch"].map(|method| line(&v2, path, method))
    });
    let lines: Vec<Value> = lines.flatten().map(Value::from).collect();
    assert_eq!(Value::from(lines), recorded["operations"]);

    let v3 = api.get(&format!("/openapi/v3/{V1}")).await.ok();
    let schemas = &v3["components"]["schemas"];
    assert_eq!(json!(keys(schemas)), recorded["types"]);
    for (name, schema) in own(schemas) {
        assert_eq!(*schema, recorded["v3"][name], "{name}");
    }
    assert_eq!(v3["info"], json!({"title": "Kubernetes CRD Swagger", "version": "v0.1.0"}));
    let widgets = &v3["paths"][format!("/{V1}/namespaces/{{namespace}}/widgets")];
    let taken = &widgets["post"]["requestBody"]["content"];
    assert_eq!(
        taken.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["application/json", "application/yaml"]
    );
    // Every reference leads somewhere.
    let text = v3.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.get(name).is_some(), "{name}");
    }
}

#[tokio::test]
async fn a_compressed_document_is_as_long_as_it_says() {
    let api = established().await;
    let plain = api.get("/openapi/v2").await;
    let ask = api.ask(Method::GET, "/openapi/v2").header("accept-encoding", "gzip");
    let sent = ask.send().await;
    assert_eq!(sent.headers["content-encoding"], "gzip");
    let said = sent.headers.get("content-length").map(|said| said.to_str().unwrap().to_owned());
    assert!(said.is_none_or(|said| said == sent.bytes.len().to_string()));
    let mut read = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(&sent.bytes[..]);
    std::io::Read::read_to_end(&mut decoder, &mut read).unwrap();
    assert_eq!(read, plain.bytes);
}

#[tokio::test]
async fn only_served_versions_are_published() {
    let api = established().await;
    let index = api.get("/openapi/v3").await.ok();
    let names: Vec<&String> = own(&index["paths"]).into_keys().collect();
    assert_eq!(names, [V1, V1BETA1]);
    let missing = api.get("/openapi/v3/apis/my-shop.example.com/v1alpha1").await;
    assert_eq!(missing.code.as_u16(), 404);
    // Without a scale, its types are not mentioned.
    let v1beta1 = api.get(&format!("/openapi/v3/{V1BETA1}")).await.ok();
    assert!(v1beta1["components"]["schemas"].get("io.k8s.api.autoscaling.v1.Scale").is_none());

    for name in ["widgets", "orbits"] {
        let path = format!("{DEFINITIONS}/{name}.my-shop.example.com");
        let mut gone = Watch::open(&api, &format!("{DEFINITIONS}?watch=true")).await;
        api.delete(&path).await.ok();
        while gone.event().await["type"] != "DELETED" {}
    }
    for _ in 0..200 {
        if own(&api.get("/openapi/v3").await.ok()["paths"]).is_empty() {
            let v2 = api.get("/openapi/v2").await.ok();
            assert!(own(&v2["definitions"]).is_empty() && own(&v2["paths"]).is_empty());
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("still published");
}

#[tokio::test]
async fn a_change_is_published_at_once() {
    let api = established().await;
    let path = format!("{DEFINITIONS}/widgets.my-shop.example.com");
    let url = |index: &Value, name: &str| {
        index["paths"][name]["serverRelativeURL"].as_str().unwrap().to_owned()
    };
    let before = api.get("/openapi/v3").await.ok();
    let v2 = tag(&api.get("/openapi/v2").await);
    let protobuf = tag(&accepting(&api, "/openapi/v2", V2_PROTOBUF).await);

    let mut definition = api.get(&path).await.ok();
    let schema = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    schema["properties"]["spec"]["properties"]["weight"] = json!({"type": "integer"});
    api.put(&path, &definition).await.ok();
    let changed = async |path: &str, media_type: &str, old: &str| {
        for _ in 0..400 {
            let answer = accepting(&api, path, media_type).await;
            if tag(&answer) != old {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("{path} is as it was");
    };
    let now = changed("/openapi/v2", "application/json", &v2).await;
    let definitions = &now.ok()["definitions"];
    let widget = &definitions["com.example.my-shop.v1.Widget"];
    assert_eq!(widget["properties"]["spec"]["properties"]["weight"], json!({"type": "integer"}));
    changed("/openapi/v2", V2_PROTOBUF, &protobuf).await;

    let after = api.get("/openapi/v3").await.ok();
    assert_ne!(url(&before, V1), url(&after, V1));
    assert_eq!(url(&before, V1BETA1), url(&after, V1BETA1));
    assert_eq!(url(&before, "apis/apps/v1"), url(&after, "apis/apps/v1"));
    let document = api.get(&url(&after, V1)).await;
    assert!(document.headers["cache-control"].to_str().unwrap().contains("immutable"));
    assert!(url(&after, V1).ends_with(tag(&document).trim_matches('"')));
    let known = api
        .ask(Method::GET, &format!("/openapi/v3/{V1}"))
        .header("if-none-match", &tag(&document))
        .send()
        .await;
    assert_eq!((known.code.as_u16(), known.bytes.len()), (304, 0));
}

/// The fields of a message: each number with what it holds, where that has a length.
fn fields(mut message: &[u8]) -> Vec<(u64, &[u8])> {
    fn varint(message: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = message[0];
            *message = &message[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return value;
            }
        }
        unreachable!()
    }
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let size = match key & 7 {
            0 => {
                varint(&mut message);
                continue;
            }
            1 => 8,
            2 => varint(&mut message) as usize,
            other => panic!("wire type {other}"),
        };
        let (value, rest) = message.split_at(size);
        found.push((key >> 3, value));
        message = rest;
    }
    found
}

/// A message within a message. Where it comes in parts they are merged, which for lists is the same
/// as to read one after another.
fn within(message: &[u8], number: u64) -> Vec<u8> {
    let parts = fields(message).into_iter().filter(|(field, _)| *field == number);
    parts.flat_map(|(_, part)| part.to_vec()).collect()
}

/// Named entries, each of which is there once.
fn named(message: &[u8], number: u64) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for (_, pair) in fields(message).into_iter().filter(|(field, _)| *field == number) {
        let name = String::from_utf8(within(pair, 1)).unwrap();
        assert!(found.insert(name.clone(), within(pair, 2)).is_none(), "{name} twice");
    }
    found
}

fn keys(object: &Value) -> BTreeSet<String> {
    object.as_object().unwrap().keys().cloned().collect()
}

#[tokio::test]
async fn protobuf_documents_in_parts_are_whole() {
    let api = established().await;
    let json = api.get("/openapi/v2").await.ok();
    let v2 = accepting(&api, "/openapi/v2", V2_PROTOBUF).await.bytes;
    let definitions = named(&within(&v2, 9), 1);
    assert_eq!(definitions.keys().cloned().collect::<BTreeSet<_>>(), keys(&json["definitions"]));
    let paths = named(&within(&v2, 8), 2);
    assert_eq!(paths.keys().cloned().collect::<BTreeSet<_>>(), keys(&json["paths"]));
    assert_eq!(within(&v2, 1), b"2.0");
    let widget = &definitions["com.example.my-shop.v1.Widget"];
    let spec = named(&within(widget, 25), 1).remove("spec").unwrap();
    let color = named(&within(&spec, 25), 1).remove("color").unwrap();
    // TypeItem.value, and the pattern.
    assert_eq!(
        (within(&within(&color, 22), 1), within(&color, 13)),
        (b"string".into(), b"^[a-z]+$".into())
    );

    let json = api.get(&format!("/openapi/v3/{V1}")).await.ok();
    let v3 = accepting(&api, &format!("/openapi/v3/{V1}"), V3_PROTOBUF).await.bytes;
    let schemas = named(&within(&within(&v3, 5), 1), 1);
    assert_eq!(
        schemas.keys().cloned().collect::<BTreeSet<_>>(),
        keys(&json["components"]["schemas"])
    );
    let paths = named(&within(&v3, 4), 1);
    assert_eq!(paths.keys().cloned().collect::<BTreeSet<_>>(), keys(&json["paths"]));
    assert_eq!(within(&v3, 1), b"3.0.0");
}
