use std::io::Write;

use super::*;

fn options(enable: &[&str], disable: &[&str]) -> AdmissionOptions {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    AdmissionOptions { enable: owned(enable), disable: owned(disable), config_file: None }
}

fn names(options: &AdmissionOptions) -> Vec<&'static str> {
    Chain::new(options).unwrap().0.iter().map(|(at, _)| PLUGINS[*at].name).collect()
}

/// Upstream's, and the one that every installer enables.
const BY_DEFAULT: &[&str] = &[
    "NamespaceLifecycle",
    "LimitRanger",
    "ServiceAccount",
    "NodeRestriction",
    "TaintNodesByCondition",
    "PodSecurity",
    "Priority",
    "DefaultTolerationSeconds",
    "DefaultStorageClass",
    "StorageObjectInUseProtection",
    "PodGroupProtection",
    "PersistentVolumeClaimResize",
    "RuntimeClass",
    "CertificateApproval",
    "CertificateSigning",
    "ClusterTrustBundleAttest",
    "CertificateSubjectRestriction",
    "DefaultIngressClass",
    "PodTopologyLabels",
    "NodeDeclaredFeatureValidator",
    "PodResizeValidator",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionWebhook",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
    "ResourceQuota",
];

const OWN: &[&str] = &["PolicyParams", "PodCertificates", "RBACEscalation"];

#[test]
fn the_default_ones_run_in_upstreams_order() {
    let run = names(&AdmissionOptions::default());
    let run: Vec<&str> = run.into_iter().filter(|name| !OWN.contains(name)).collect();
    assert_eq!(run, BY_DEFAULT);
}

#[test]
fn others_run_when_they_are_enabled_and_only_known_ones_can_be() {
    let run = names(&options(&["AlwaysPullImages", "Priority"], &["PodSecurity", "LimitRanger"]));
    assert!(run.contains(&"AlwaysPullImages") && run.contains(&"Priority"));
    assert!(!run.contains(&"PodSecurity") && !run.contains(&"LimitRanger"));
    let why = |options| Chain::new(&options).err().unwrap().to_string();
    assert_eq!(why(options(&["Foo"], &[])), "enable-admission-plugins plugin \"Foo\" is unknown");
    // A rule of this server is no plugin that could be disabled.
    assert_eq!(
        why(options(
            &["Foo", "Priority", "AlwaysDeny"],
            &["RBACEscalation", "Priority", "AlwaysDeny"]
        )),
        "[enable-admission-plugins plugin \"Foo\" is unknown, disable-admission-plugins plugin \
         \"RBACEscalation\" is unknown, [AlwaysDeny Priority] in enable-admission-plugins and \
         disable-admission-plugins overlapped]"
    );
}

fn with_file(enable: &[&str], text: &str) -> Result<Chain, AdmissionError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let mut options = options(enable, &[]);
    options.config_file = Some(file.path().to_owned());
    Chain::new(&options)
}

#[test]
fn a_file_configures_the_plugins_that_run() {
    let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n";
    let limits = format!(
        "{head}- name: EventRateLimit\n  configuration:\n    \
         apiVersion: eventratelimit.admission.k8s.io/v1alpha1\n    kind: Configuration\n    \
         limits: [{{type: Server, qps: QPS, burst: 1}}]\n"
    );
    assert!(with_file(&["EventRateLimit"], &limits.replace("QPS", "1")).is_ok());
    let wrong = limits.replace("QPS", "0");
    assert_eq!(
        with_file(&["EventRateLimit"], &wrong).err().unwrap().to_string(),
        "couldn't init admission plugin \"EventRateLimit\": limits[0].qps: Invalid value: 0: must be \
         positive"
    );
    // Nobody reads the configuration of a plugin that does not run.
    assert!(with_file(&[], &wrong).is_ok());

    let security = format!(
        "{head}- name: PodSecurity\n  configuration:\n    \
         apiVersion: pod-security.admission.config.k8s.io/v1\n    \
         kind: PodSecurityConfiguration\n    defaults: {{enforce: strict}}\n"
    );
    assert_eq!(
        with_file(&[], &security).err().unwrap().to_string(),
        "failed to initialize admission plugin \"PodSecurity\": PodSecurity configuration error: \
         enforce: must be one of privileged, baseline, restricted"
    );
    // Webhooks that this server would not find or not reach as is wanted.
    let webhooks = format!("{head}- name: ValidatingAdmissionWebhook\n  path: w.yaml\n");
    assert_eq!(
        with_file(&[], &webhooks).err().unwrap().to_string(),
        "couldn't init admission plugin \"ValidatingAdmissionWebhook\": this server does not read its \
         configuration yet"
    );
    let of_other = security.replace("PodSecurityConfiguration", "Configuration");
    assert!(
        with_file(&[], &of_other).err().unwrap().to_string().contains("no kind \"Configuration\"")
    );
}

#[test]
fn a_file_must_be_one() {
    let fails = |text: &str| {
        let refused = with_file(&["PodNodeSelector"], text).err();
        refused.map(|why| why.to_string()).unwrap_or_default()
    };
    assert!(fails("plugins: []").contains("'Kind' is missing"));
    assert!(fails("kind: AdmissionConfiguration\napiVersion: v1\n").contains("no kind"));
    let doubled = "kind: AdmissionConfiguration\nkind: X\napiVersion: apiserver.config.k8s.io/v1\n";
    assert!(!fails(doubled).is_empty());
    let unknown =
        "kind: AdmissionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nplugin: []";
    assert!(fails(unknown).contains("unknown field `plugin`"), "{}", fails(unknown));
    // The whole file of one plugin, from before there was one for all.
    let alone = "podNodeSelectorPluginConfig:\n  clusterDefaultNodeSelector: a=b\n";
    assert_eq!(fails(alone), "");
    assert!(fails("podNodeSelectorPluginConfig: {ns: a}").contains("ns: invalid selector: [a]"));

    let missing = AdmissionOptions { config_file: Some("/missing".into()), ..Default::default() };
    assert_eq!(
        Chain::new(&missing).err().unwrap().to_string(),
        "unable to read admission control configuration from \"/missing\" [No such file or directory \
         (os error 2)]"
    );
}
