//! Probes and lifecycle hooks.

use apimachinery::names;

use super::Scope;
use crate::registry::check::Field;

/// Checks that exactly one of the handlers is given. `grace` limits a sleep.
fn check_handler(handler: &Field<'_>, kinds: &[&str], grace: Option<i64>) {
    let mut given = 0;
    for kind in kinds {
        let Some(action) = handler.opt(kind) else { continue };
        given += 1;
        if given > 1 {
            action.forbidden("may not specify more than 1 handler type");
            continue;
        }
        match *kind {
            "exec" => {
                action.needs("command");
            }
            "httpGet" => check_http_get(&action),
            "tcpSocket" | "grpc" => action.port_or_name("port"),
            _ => {
                let seconds = action.int("seconds").unwrap_or(0);
                if let Some(grace) = grace
                    && !(0..=grace).contains(&seconds)
                {
                    action.invalid_value(
                        seconds,
                        format!(
                            "must be non-negative and less than terminationGracePeriodSeconds \
                             ({grace})"
                        ),
                    );
                }
            }
        }
    }
    if given == 0 {
        handler.required("must specify a handler type");
    }
}

fn check_http_get(action: &Field<'_>) {
    action.needs("path");
    action.port_or_name("port");
    action.one_of("scheme", &["HTTP", "HTTPS"]);
    for header in action.items("httpHeaders") {
        for message in names::http_header_name(header.str("name")) {
            action.at("httpHeaders").invalid_value(header.str("name"), message);
        }
    }
}

pub(super) fn check_probes(container: &Field<'_>) {
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.opt(name) else { continue };
        check_handler(&probe, &["exec", "httpGet", "tcpSocket", "grpc"], None);
        probe.non_negative_all(&[
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
        ]);
        let grace = probe.at("terminationGracePeriodSeconds");
        if grace.value().as_i64().is_some_and(|n| n <= 0) {
            grace.invalid("must be greater than 0");
        }
        if name == "readinessProbe" {
            if probe.has("terminationGracePeriodSeconds") {
                grace.invalid("must not be set for readinessProbes");
            }
        } else if probe.int("successThreshold") != Some(1) {
            probe
                .at("successThreshold")
                .invalid_value(probe.int("successThreshold").unwrap_or(0), "must be 1");
        }
    }
}

pub(super) fn check_lifecycle(lifecycle: &Field<'_>, scope: &Scope<'_>) {
    for hook in ["postStart", "preStop"] {
        if let Some(hook) = lifecycle.opt(hook) {
            let kinds = &["exec", "httpGet", "tcpSocket", "sleep"];
            check_handler(&hook, kinds, scope.grace_period());
        }
    }
    if let Some(signal) = lifecycle.opt("stopSignal") {
        match scope.spec["os"]["name"].as_str() {
            None => signal.forbidden("may not be set for containers with empty `spec.os.name`"),
            Some("windows") => lifecycle.one_of("stopSignal", &["SIGKILL", "SIGTERM"]),
            Some("linux") => {
                let signals = linux_signals();
                let signals: Vec<&str> = signals.iter().map(String::as_str).collect();
                lifecycle.one_of("stopSignal", &signals);
            }
            Some(_) => {}
        }
    }
}

/// Names of the signals of Linux, sorted.
fn linux_signals() -> Vec<String> {
    const NAMED: &str = "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF \
                         PWR QUIT RTMAX RTMIN SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG \
                         USR1 USR2 VTALRM WINCH XCPU XFSZ";
    let named = NAMED.split_whitespace().map(|name| format!("SIG{name}"));
    let after_first = (1..=15).map(|n| format!("SIGRTMIN+{n}"));
    let before_last = (1..=14).map(|n| format!("SIGRTMAX-{n}"));
    let mut all: Vec<String> = named.chain(after_first).chain(before_last).collect();
    all.sort();
    all
}
