//! `/configz`: how this kubelet is configured, in upstream's words.

use serde_json::{Map, Value, json};

use super::{Answer, json as answer};
use crate::config::{ImageCredentials, KubeletConfig};
use crate::context::Context;

pub(super) fn serve(context: &Context) -> Answer {
    answer(&json!({"kubeletconfig": of(&context.config)}))
}

fn of(config: &KubeletConfig) -> Value {
    let mut out = Map::new();
    let mut set = |name: &str, value: Value| out.insert(name.to_owned(), value);
    set("enableServer", config.server.is_some().into());
    if let Some(server) = &config.server {
        set("address", server.listen.ip().to_string().into());
        set("port", server.listen.port().into());
    }
    set("authentication", json!({"webhook": {"enabled": true}, "anonymous": {"enabled": false}}));
    set("authorization", json!({"mode": "Webhook"}));
    set("clusterDomain", config.cluster_domain.clone().into());
    let dns: Vec<String> = config.cluster_dns.iter().map(ToString::to_string).collect();
    set("clusterDNS", dns.into());
    set("maxPods", config.max_pods.into());
    if !config.allowed_unsafe_sysctls.is_empty() {
        set("allowedUnsafeSysctls", config.allowed_unsafe_sysctls.clone().into());
    }
    let (policy, list) = match &config.image_credentials {
        ImageCredentials::NeverVerify => ("NeverVerify", None),
        ImageCredentials::NeverVerifyPreloadedImages => ("NeverVerifyPreloadedImages", None),
        ImageCredentials::NeverVerifyAllowlistedImages(list) => {
            ("NeverVerifyAllowlistedImages", Some(list.clone()))
        }
        ImageCredentials::AlwaysVerify => ("AlwaysVerify", None),
    };
    set("imagePullCredentialsVerificationPolicy", policy.into());
    if let Some(list) = list {
        set("preloadedImagesVerificationAllowlist", list.into());
    }
    out.into()
}
