//! The operating system of a pod, and the rules that depend on it.

use std::sync::LazyLock;

use apimachinery::names;
use regex::Regex;

use super::all_containers;
use crate::registry::check::Field;

/// Fields that a pod on Windows may not have: in both security contexts, in the pod's only, and in
/// a container's only.
const BOTH: &[&str] =
    &["appArmorProfile", "seLinuxOptions", "seccompProfile", "runAsUser", "runAsGroup"];
const OF_POD: &[&str] = &[
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
];
const OF_CONTAINER: &[&str] = &[
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
];

pub(super) fn check_os(os: &Field<'_>, spec: &Field<'_>) {
    match os.str("name") {
        "" => os.at("name").required(""),
        "linux" => {
            let context = spec.at("securityContext");
            for context in std::iter::once(context)
                .chain(all_containers(spec).map(|c| c.at("securityContext")))
            {
                if let Some(options) = context.opt("windowsOptions") {
                    options.forbidden("windows options cannot be set for a linux pod");
                }
            }
        }
        "windows" => {
            const REFUSED: &str = "cannot be set for a windows pod";
            let refuse = |parent: &Field<'_>, names: &[&str]| {
                for field in names.iter().filter_map(|name| parent.opt(name)) {
                    field.forbidden(REFUSED);
                }
            };
            let context = spec.at("securityContext");
            refuse(&context, BOTH);
            refuse(&context, OF_POD);
            refuse(spec, &["hostUsers", "hostPID", "hostIPC", "shareProcessNamespace"]);
            for container in all_containers(spec) {
                let context = container.at("securityContext");
                refuse(&context, BOTH);
                refuse(&context, OF_CONTAINER);
            }
        }
        other => {
            let error = apimachinery::field::FieldError::not_supported(
                os.path(),
                other,
                &["linux", "windows"],
            );
            os.push(error);
        }
    }
}

/// Either all containers are host processes on Windows, or none.
pub(super) fn check_host_process(spec: &Field<'_>) {
    let own = |context: &Field<'_>| context.at("windowsOptions").get("hostProcess").as_bool();
    let of_pod = own(&spec.at("securityContext"));
    let (mut all, mut host) = (0, 0);
    for container in all_containers(spec) {
        let context = container.at("securityContext");
        let of_container = own(&context);
        if let (Some(pod), Some(container)) = (of_pod, of_container)
            && pod != container
        {
            context.at("windowsOptions").at("hostProcess").invalid(format!(
                "pod hostProcess value must be identical if both are specified, was {pod}"
            ));
        }
        all += 1;
        host += usize::from(of_container.or(of_pod) == Some(true));
    }
    if host > 0 {
        if host != all {
            spec.invalid_value(
                "",
                "If pod contains any hostProcess containers then all containers must be \
                 HostProcess containers",
            );
        }
        if !spec.flag("hostNetwork") {
            spec.at("hostNetwork").invalid_value(
                false,
                "hostNetwork must be true if pod contains any hostProcess containers",
            );
        }
    }
}

static NET_BIOS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"^[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}$"#).ok());
static DOMAIN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    const LABEL: &str = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?";
    Regex::new(&format!(r"^{LABEL}(?:\.{LABEL})*$")).ok()
});

fn matches(regex: &Option<Regex>, text: &str) -> bool {
    regex.as_ref().is_some_and(|r| r.is_match(text))
}

const MAX_SPEC: usize = 64 << 10;
const MAX_DOMAIN: usize = 256;
const MAX_USER: usize = 104;

/// Checks the Windows options of a security context.
pub(super) fn check_windows_options(context: &Field<'_>) {
    let Some(options) = context.opt("windowsOptions") else { return };
    if options.has("gmsaCredentialSpecName") {
        options.valid("gmsaCredentialSpecName", names::dns1123_subdomain);
    }
    if let Some(spec) = options.opt("gmsaCredentialSpec") {
        match spec.text().len() {
            0 => spec.invalid("gmsaCredentialSpec cannot be an empty string"),
            n if n > MAX_SPEC => spec.invalid("gmsaCredentialSpec size must be under 64 KiB"),
            _ => {}
        }
    }
    let Some(name) = options.opt("runAsUserName") else { return };
    let text = name.text();
    if text.is_empty() {
        return name.invalid("runAsUserName cannot be an empty string");
    }
    if text.chars().any(|c| c.is_ascii_control()) {
        return name.invalid("runAsUserName cannot contain control characters");
    }
    let (domain, user) = match text.split('\\').collect::<Vec<_>>()[..] {
        [user] => (None, user),
        [domain, user] => (Some(domain), user),
        _ => return name.invalid("runAsUserName cannot contain more than one backslash"),
    };
    if let Some(domain) = domain {
        if domain.len() >= MAX_DOMAIN {
            name.invalid(format!(
                "runAsUserName's Domain length must be under {MAX_DOMAIN} characters"
            ));
        }
        if !matches(&NET_BIOS, domain) && !matches(&DOMAIN, domain) {
            name.invalid("runAsUserName's Domain doesn't match the NetBios nor the DNS format");
        }
    }
    if user.is_empty() {
        name.invalid("runAsUserName's User cannot be empty");
    } else if user.len() > MAX_USER {
        name.invalid(format!(
            "runAsUserName's User length must not be longer than {MAX_USER} characters"
        ));
    }
    if !user.is_empty() && user.chars().all(|c| matches!(c, '.' | ' ')) {
        name.invalid("runAsUserName's User cannot contain only periods or spaces");
    }
    if user
        .contains(['"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']'])
    {
        name.invalid(
            "runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]",
        );
    }
}
