//! `/configz`: this kubelet's configuration, in those fields of upstream's `KubeletConfiguration` that
//! have a meaning here.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::config::ImageCredentials;
use crate::context::Context;
use crate::{housekeeping, node};

pub(super) fn shown(context: &Context) -> Value {
    let config = &context.config;
    let (policy, allowed) = verification(&config.image_credentials);
    let mut shown = json!({
        "enableServer": config.server.is_some(),
        "podLogsDir": context.dirs.logs(),
        "authentication": {
            "x509": {}, "webhook": {"enabled": true}, "anonymous": {"enabled": false},
        },
        "authorization": {"mode": "Webhook", "webhook": {}},
        "enableDebuggingHandlers": true,
        "enableSystemLogHandler": true,
        "imagePullCredentialsVerificationPolicy": policy,
        "clusterDomain": config.cluster_domain,
        "clusterDNS": config.cluster_dns.iter().map(IpAddr::to_string).collect::<Vec<_>>(),
        "nodeStatusUpdateFrequency": go_duration(node::LOOK),
        "nodeStatusReportFrequency": go_duration(node::REPORT),
        "nodeLeaseDurationSeconds": node::LEASE_SECONDS,
        "nodeStatusMaxImages": node::MAX_IMAGES,
        "imageMinimumGCAge": go_duration(housekeeping::IMAGE_MIN_AGE),
        "imageGCHighThresholdPercent": housekeeping::IMAGES_HIGH,
        "imageGCLowThresholdPercent": housekeeping::IMAGES_LOW,
        "containerLogMaxSize": format!("{}Mi", housekeeping::LOG_MAX_SIZE >> 20),
        "containerLogMaxFiles": housekeeping::LOG_MAX_FILES,
        "containerLogMonitorInterval": go_duration(housekeeping::PERIOD),
        "cgroupDriver": "cgroupfs",
        "maxPods": config.max_pods,
        "registerNode": true,
        "containerRuntimeEndpoint": "",
    });
    if let Some(server) = &config.server {
        shown["address"] = server.listen.ip().to_string().into();
        shown["port"] = server.listen.port().into();
    }
    for (field, list) in [
        ("preloadedImagesVerificationAllowlist", allowed),
        ("allowedUnsafeSysctls", &config.allowed_unsafe_sysctls),
    ] {
        if !list.is_empty() {
            shown[field] = json!(list);
        }
    }
    json!({"kubeletconfig": shown})
}

/// Upstream's name of the policy, and the images that it names.
fn verification(policy: &ImageCredentials) -> (&'static str, &[String]) {
    match policy {
        ImageCredentials::NeverVerify => ("NeverVerify", &[]),
        ImageCredentials::NeverVerifyPreloadedImages => ("NeverVerifyPreloadedImages", &[]),
        ImageCredentials::NeverVerifyAllowlistedImages(images) => {
            ("NeverVerifyAllowlistedImages", images)
        }
        ImageCredentials::AlwaysVerify => ("AlwaysVerify", &[]),
    }
}

fn go_duration(duration: Duration) -> String {
    let nanos = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    apimachinery::time::format_duration(nanos)
}
