//! EncryptionConfiguration: the file of `--encryption-provider-config`.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use apimachinery::text::quote;
use apimachinery::{ObjectExt, time};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zeroize::{Zeroize, Zeroizing};

use super::cipher::{Form, Sealer};
use crate::config_file::{FileKind, Malformed};
use crate::registry::check::{Field, check};

/// Time of a call to a plugin, if the file does not say another.
const CALL_TIME: Duration = Duration::from_secs(3);

/// Why a text is no configuration. Nothing of its secrets stands in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ConfigError {
    #[error("{0}")]
    Malformed(String),
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Unsupported(String),
}

/// A group and a resource, either of which may be `*`.
pub(super) type GroupResource = (String, String);

/// A list of resources and how they are stored.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) resources: Vec<GroupResource>,
    pub(super) providers: Vec<Provider>,
}

/// One way to store values.
#[derive(Debug)]
pub(super) enum Provider {
    /// As they are.
    Identity,
    /// Under keys of this process: the first seals, all of them open.
    Keys(Form, Vec<(String, Sealer)>),
    /// Under keys that a plugin keeps.
    Kms(Plugin),
}

/// A plugin that keeps keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plugin {
    pub(super) name: String,
    /// Its socket; one in the abstract namespace begins with `@`.
    pub(super) socket: PathBuf,
    /// Time of a call.
    pub(super) timeout: Duration,
}

/// The shape of the file.
static KIND: LazyLock<FileKind> = LazyLock::new(|| {
    let text = || json!({"type": "string"});
    let object = |fields: Value| json!({"type": "object", "properties": fields});
    let list = |items: Value| json!({"type": "array", "items": items});
    let keys = || object(json!({"keys": list(object(json!({"name": text(), "secret": text()})))}));
    let kms = object(json!({
        "apiVersion": text(), "name": text(), "endpoint": text(), "timeout": text(),
        "cachesize": {"type": "integer", "format": "int32"},
    }));
    let provider = object(json!({
        "aesgcm": keys(), "aescbc": keys(), "secretbox": keys(), "identity": object(json!({})),
        "kms": kms,
    }));
    let rule = object(json!({"resources": list(text()), "providers": list(provider)}));
    let fields = object(json!({"resources": list(rule)}));
    FileKind::new("EncryptionConfiguration", &["v1"], &fields)
});

/// The words of the file for providers, and those of upstream's messages.
const PROVIDERS: [&str; 5] = ["kms", "aesgcm", "aescbc", "secretbox", "identity"];
const NO_PROVIDER: &str = "provider does not contain any of the expected providers: KMS, AESGCM, \
                           AESCBC, Secretbox, Identity";

/// Reads and validates the text of a file. With `reload` it may be read again while the server runs.
///
/// # Errors
/// It is none, or asks for what this server does not do.
pub(super) fn read(text: &str, reload: bool) -> Result<Vec<Rule>, ConfigError> {
    let value = KIND.decode(text).map_err(|why| match why {
        Malformed::Unnamed(field) => ConfigError::Malformed(format!("Object '{field}' is missing")),
        Malformed::Otherwise(why) => ConfigError::Malformed(why),
    })?;
    let mut value = Erased(value);
    let errors = check(&value.0, |root| check_rules(root, reload));
    if !errors.0.is_empty() {
        return Err(ConfigError::Invalid(errors.message()));
    }
    let rules = value.0["resources"].as_array_mut().into_iter().flatten();
    rules.map(rule).collect()
}

/// A document whose texts are erased when it is dropped.
struct Erased(Value);

impl Drop for Erased {
    fn drop(&mut self) {
        erase(&mut self.0);
    }
}

fn erase(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(erase),
        Value::Object(fields) => fields.values_mut().for_each(erase),
        _ => {}
    }
}

/// As upstream's `ParseGroupResource`.
pub(super) fn parse_resource(text: &str) -> GroupResource {
    let (resource, group) = text.split_once('.').unwrap_or((text, ""));
    (group.to_owned(), resource.to_owned())
}

fn rule(rule: &mut Value) -> Result<Rule, ConfigError> {
    let resources = rule["resources"].as_array().into_iter().flatten();
    let resources = resources.filter_map(Value::as_str).map(parse_resource).collect();
    let providers = rule["providers"].as_array().into_iter().flatten();
    Ok(Rule { resources, providers: providers.map(provider).collect::<Result<_, _>>()? })
}

fn provider(given: &Value) -> Result<Provider, ConfigError> {
    for (word, form) in
        [("aesgcm", Form::Gcm), ("aescbc", Form::Cbc), ("secretbox", Form::Secretbox)]
    {
        if let Some(keys) = given.get(word) {
            let keys = keys["keys"].as_array().into_iter().flatten();
            return keys
                .map(|key| sealer(key, form))
                .collect::<Result<_, _>>()
                .map(|keys| Provider::Keys(form, keys));
        }
    }
    match given.get("kms") {
        Some(kms) => plugin(kms).map(Provider::Kms),
        None => Ok(Provider::Identity),
    }
}

fn sealer(key: &Value, form: Form) -> Result<(String, Sealer), ConfigError> {
    let name = key.str_at(&["name"]).to_owned();
    let bytes = decoded(key.str_at(&["secret"])).unwrap_or_default();
    let sealer = Sealer::new(form, bytes).map_err(|why| {
        ConfigError::Invalid(format!("error while creating cipher for named key {name}: {why}"))
    })?;
    Ok((name, sealer))
}

/// The bytes of a secret, in base64 that may have breaks between its lines.
fn decoded(secret: &str) -> Option<Zeroizing<Vec<u8>>> {
    let one_line: String = secret.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    STANDARD.decode(Zeroizing::new(one_line).as_bytes()).ok().map(Zeroizing::new)
}

fn plugin(kms: &Value) -> Result<Plugin, ConfigError> {
    let name = kms.str_at(&["name"]).to_owned();
    if kms.str_at(&["apiVersion"]) != "v2" {
        return Err(ConfigError::Unsupported(format!(
            "KMSv1 is deprecated and will only receive security updates going forward. Use KMSv2 \
             instead: this server has no KMSv1 (provider {})",
            quote(&name)
        )));
    }
    let path = unix_path(kms.str_at(&["endpoint"]));
    let socket =
        path.strip_prefix("/@").map_or_else(|| path.into(), |own| format!("@{own}").into());
    let timeout = time::parse_duration(kms.str_at(&["timeout"]));
    let timeout = timeout.and_then(|nanos| u64::try_from(nanos).ok());
    Ok(Plugin { name, socket, timeout: timeout.map_or(CALL_TIME, Duration::from_nanos) })
}

/// The path of a URL such as `unix:///run/kms.sock`.
fn unix_path(endpoint: &str) -> &str {
    let rest = endpoint.split_once(':').map_or("", |(_, rest)| rest);
    match rest.strip_prefix("//") {
        // Before the path is the URL's host, which a socket has not.
        Some(rest) => rest.find('/').map_or("", |at| &rest[at..]),
        None => rest,
    }
}

fn check_rules(root: &Field<'_>, reload: bool) {
    if root.len("resources") == 0 {
        return root.at("resources").required("at least one resources is required");
    }
    let mut names: Vec<&str> = Vec::new();
    for rule in root.items("resources") {
        for part in ["resources", "providers"] {
            let list = rule.at(part);
            if rule.len(part) == 0 {
                list.required(format!("at least one {} is required", list.path().as_str()));
            }
            if part == "resources" {
                check_overlap(&rule);
                rule.items(part).for_each(|resource| check_resource(&resource));
            }
        }
        for provider in rule.items("providers") {
            check_provider(&provider, &mut names, reload);
        }
    }
}

fn check_overlap(rule: &Field<'_>) {
    let all: Vec<GroupResource> = rule.strings("resources").map(parse_resource).collect();
    let any = ("*".to_owned(), "*".to_owned());
    let (mut twice, mut overlap) = (false, false);
    for (i, one) in all.iter().enumerate() {
        for (_, other) in all.iter().enumerate().filter(|(j, _)| i != *j) {
            match one == other {
                true if !twice => twice = true,
                _ => {
                    let both = one.0 == other.0 && (one.1 == "*" || other.1 == "*");
                    overlap |= *one == any || both;
                }
            }
        }
    }
    let list = rule.at("resources");
    if twice {
        list.invalid("the same resource cannot be specified multiple times");
    }
    if overlap {
        list.invalid(
            "using overlapping resources such as 'secrets' and '*.' in the same resource list is \
             not allowed as they will be masked",
        );
    }
}

fn check_resource(field: &Field<'_>) {
    let text = field.text();
    let (group, resource) = parse_resource(text);
    let why = match (text, group.as_str(), resource.as_str()) {
        (text, ..) if text.to_lowercase() != text => {
            "resource name should not contain capital letters"
        }
        ("*", ..) => {
            "use '*.' to encrypt all the resources from core API group or *.* to encrypt all \
             resources"
        }
        ("apiserveripinfo" | "serviceipallocations" | "servicenodeportallocations", ..) => {
            "resources which do not have REST API/s cannot be encrypted"
        }
        (_, "events.k8s.io", _) => {
            "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use \
             'events' instead in the config file"
        }
        (_, "extensions", _) => {
            "'extensions' group has been removed and cannot be used for encryption"
        }
        (_, "*", resource) if resource != "*" => {
            "encrypting the same resource across groups is not supported"
        }
        _ => return,
    };
    field.invalid(why);
}

fn check_provider<'a>(field: &Field<'a>, names: &mut Vec<&'a str>, reload: bool) {
    // Its value has secrets, and is not shown.
    match PROVIDERS.iter().filter(|word| field.has(word)).count() {
        0 => field.invalid_omitted(NO_PROVIDER),
        1 => {}
        _ => field.invalid_omitted(
            "more than one provider specified in a single element, should split into different \
             list elements",
        ),
    }
    if let Some(kms) = field.opt("kms") {
        check_kms(&kms, names, reload);
        return names.push(kms.str("name"));
    }
    for (word, lengths) in
        [("aesgcm", &[16, 24, 32][..]), ("aescbc", &[16, 24, 32]), ("secretbox", &[32])]
    {
        if let Some(keys) = field.opt(word) {
            return check_keys(&keys, lengths);
        }
    }
}

fn check_keys(field: &Field<'_>, lengths: &[usize]) {
    if field.len("keys") == 0 {
        return field.at("keys").required("at least one keys is required");
    }
    for key in field.items("keys") {
        if key.str("name").is_empty() {
            key.at("name").required("name is a mandatory field for a key");
        }
        let (at, secret) = (key.at("secret"), key.str("secret"));
        if secret.is_empty() {
            at.required("secret is a mandatory field for a key");
            continue;
        }
        match decoded(secret) {
            None => at.invalid_value("REDACTED", "secrets must be base64 encoded"),
            Some(bytes) if !lengths.contains(&bytes.len()) => {
                let lengths: Vec<String> = lengths.iter().map(ToString::to_string).collect();
                let (len, lengths) = (bytes.len(), lengths.join(" "));
                let why = format!(
                    "secret is not of the expected length, got {len}, expected one of [{lengths}]"
                );
                at.invalid_value("REDACTED", why);
            }
            Some(_) => {}
        }
    }
}

fn check_kms(kms: &Field<'_>, names: &[&str], reload: bool) {
    let (name, at) = (kms.str("name"), kms.at("name"));
    let version = match kms.str("apiVersion") {
        "" => "v1",
        version => version,
    };
    if name.is_empty() {
        at.required("name is a mandatory field for a provider");
    }
    if version != "v1" && name.contains(':') {
        at.invalid(format!("invalid KMS provider name {name}, must not contain ':'"));
    }
    if (reload || version != "v1") && names.contains(&name) {
        at.invalid(format!("duplicate KMS provider name {name}, names must be unique"));
    }
    let timeout = kms.at("timeout");
    if let Some(text) = kms.opt("timeout").map(|field| field.text())
        && time::parse_duration(text).is_none_or(|nanos| nanos <= 0)
    {
        timeout.invalid("timeout should be a positive value");
    }
    let endpoint = kms.at("endpoint");
    match endpoint.text() {
        "" => endpoint.invalid_value("", "endpoint is a mandatory field for a kms"),
        text => {
            let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
            if scheme != "unix" {
                endpoint.invalid(format!(
                    "unsupported scheme {} for KMS provider, only unix is supported",
                    quote(scheme)
                ));
            }
        }
    }
    match kms.int("cachesize") {
        Some(_) if version != "v1" => {
            kms.at("cachesize").invalid("cachesize is not supported in v2");
        }
        Some(0) => {
            let why = "cachesize should be a positive value, or negative to disable";
            kms.at("cachesize").invalid(why);
        }
        _ => {}
    }
    if !matches!(version, "v1" | "v2") {
        let why =
            "unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported";
        kms.at("apiVersion").invalid(why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn file(rules: &Value) -> String {
        let (version, kind) = ("apiserver.config.k8s.io/v1", "EncryptionConfiguration");
        json!({"apiVersion": version, "kind": kind, "resources": rules}).to_string()
    }

    fn refused(rules: Value) -> String {
        let error = read(&file(&rules), false).unwrap_err().to_string();
        assert!(!error.contains(KEY), "{error}");
        error
    }

    fn rule_of(resources: Value, provider: Value) -> Value {
        json!([{"resources": resources, "providers": [provider]}])
    }

    #[test]
    fn every_provider_is_read() {
        let keys = || json!({"keys": [{"name": "key1", "secret": KEY}]});
        let rules = json!([
            {"resources": ["secrets", "pandas.awesome.bears.example"], "providers": [
                {"aesgcm": keys()}, {"aescbc": keys()}, {"secretbox": keys()}, {"identity": {}},
            ]},
            {"resources": ["*."], "providers": [{"kms": {
                "apiVersion": "v2", "name": "k", "endpoint": "unix:///run/kms.sock", "timeout": "1500ms",
            }}]},
            {"resources": ["*.*"], "providers": [{"kms": {
                "apiVersion": "v2", "name": "l", "endpoint": "unix:///@kms",
            }}]},
        ]);
        let read = read(&file(&rules), true).unwrap();
        let of = |text| parse_resource(text);
        assert_eq!(read[0].resources, [of("secrets"), of("pandas.awesome.bears.example")]);
        assert_eq!(read[1].resources, [("".to_owned(), "*".to_owned())]);
        assert_eq!(read[2].resources, [("*".to_owned(), "*".to_owned())]);
        assert_eq!(read[0].providers.len(), 4);
        let plugin = |rule: &Rule| match &rule.providers[0] {
            Provider::Kms(plugin) => (plugin.socket.clone(), plugin.timeout),
            other => panic!("{other:?}"),
        };
        let socket = |text: &str| PathBuf::from(text);
        assert_eq!(plugin(&read[1]), (socket("/run/kms.sock"), Duration::from_millis(1500)));
        assert_eq!(plugin(&read[2]), (socket("@kms"), CALL_TIME));
        assert!(!format!("{read:?}").contains("0, 1, 2, 3"), "a key is shown");
    }

    #[test]
    fn wrong_files_are_refused_in_upstreams_words() {
        let keys = |secret: &str| json!({"keys": [{"name": "key1", "secret": secret}]});
        let secrets = || json!(["secrets"]);
        let kms = |fields: Value| {
            let mut kms = json!({"apiVersion": "v2", "name": "k", "endpoint": "unix:///s"});
            kms.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            json!({"kms": kms})
        };
        for (rules, why) in [
            (json!([]), "resources: Required value: at least one resources is required"),
            (
                json!([{"resources": [], "providers": [{"identity": {}}]}]),
                "resources[0].resources: Required value: at least one resources[0].resources is required",
            ),
            (
                json!([{"resources": ["secrets"], "providers": []}]),
                "resources[0].providers: Required value: at least one resources[0].providers is required",
            ),
            (
                rule_of(json!(["secrets", "*."]), json!({"identity": {}})),
                "using overlapping resources such as 'secrets' and '*.' in the same resource list is \
                 not allowed as they will be masked",
            ),
            (
                rule_of(json!(["secrets", "secrets"]), json!({"identity": {}})),
                "the same resource cannot be specified multiple times",
            ),
            (
                rule_of(json!(["Secrets"]), json!({"identity": {}})),
                "resources[0].resources[0]: Invalid value: \"Secrets\": resource name should not \
                 contain capital letters",
            ),
            (
                rule_of(json!(["*"]), json!({"identity": {}})),
                "use '*.' to encrypt all the resources from core API group or *.* to encrypt all \
                 resources",
            ),
            (
                rule_of(json!(["secrets.*"]), json!({"identity": {}})),
                "encrypting the same resource across groups is not supported",
            ),
            (
                rule_of(json!(["events.events.k8s.io"]), json!({"identity": {}})),
                "Use 'events' instead in the config file",
            ),
            (rule_of(secrets(), json!({})), NO_PROVIDER),
            (
                rule_of(secrets(), json!({"identity": {}, "aescbc": keys(KEY)})),
                "more than one provider specified in a single element",
            ),
            (
                rule_of(secrets(), json!({"aesgcm": {"keys": []}})),
                "resources[0].providers[0].aesgcm.keys: Required value: at least one keys is required",
            ),
            (
                rule_of(secrets(), json!({"aescbc": keys("AAAA")})),
                "resources[0].providers[0].aescbc.keys[0].secret: Invalid value: \"REDACTED\": secret \
                 is not of the expected length, got 3, expected one of [16 24 32]",
            ),
            (
                rule_of(secrets(), json!({"secretbox": keys("not base64!")})),
                "secret: Invalid value: \"REDACTED\": secrets must be base64 encoded",
            ),
            (
                rule_of(secrets(), kms(json!({"endpoint": "tcp://a"}))),
                "unsupported scheme \"tcp\" for KMS provider, only unix is supported",
            ),
            (
                rule_of(secrets(), kms(json!({"name": "a:b"}))),
                "invalid KMS provider name a:b, must not contain ':'",
            ),
            (
                rule_of(secrets(), kms(json!({"timeout": "-1s"}))),
                "timeout should be a positive value",
            ),
            (rule_of(secrets(), kms(json!({"cachesize": 5}))), "cachesize is not supported in v2"),
            (rule_of(secrets(), kms(json!({"apiVersion": "v3"}))), "only v1 and v2 are supported"),
            (rule_of(secrets(), kms(json!({"apiVersion": "v1"}))), "Use KMSv2 instead"),
            (
                json!([{"resources": ["secrets"], "providers": [kms(json!({})), kms(json!({}))]}]),
                "duplicate KMS provider name k, names must be unique",
            ),
            (
                rule_of(secrets(), json!({"aescbc": {"keyz": [{"secret": KEY}]}})),
                "unknown field \"resources[0].providers[0].aescbc.keyz\"",
            ),
        ] {
            let error = refused(rules);
            assert!(error.contains(why), "{error}\n  is not\n{why}");
        }
        for text in ["", "{", "kind: EncryptionConfiguration", "apiVersion: v1\nkind: Pod"] {
            assert!(matches!(read(text, false), Err(ConfigError::Malformed(_))), "{text}");
        }
    }
}
