//! One probe, once.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Target, grpc, http, tcp};
use crate::context::Context;

const MAX_OUTPUT: usize = 10 * 1024;

/// The outcome of one probe.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    /// It counts as a success, but with this text.
    Warning(String),
    /// The container said no, with this text.
    Failure(String),
    /// The probe could not be asked.
    Unknown(String),
}

pub(super) async fn run(context: &Context, target: &Target, probe: &Probe) -> Outcome {
    let timeout = probe.timeout_seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(1).max(1);
    let timeout = Duration::from_secs(timeout);
    let host = |given: Option<&String>| {
        given.filter(|host| !host.is_empty()).unwrap_or(&target.pod_ip).clone()
    };
    if let Some(exec) = &probe.exec {
        let command = exec.command.clone().unwrap_or_default();
        return exec_probe(context, target, command, timeout).await;
    }
    if let Some(get) = &probe.http_get {
        return match port(&target.container, &get.port) {
            Err(error) => Outcome::Unknown(error.to_string()),
            Ok(port) => http::probe(get, &host(get.host.as_ref()), port, timeout).await,
        };
    }
    if let Some(socket) = &probe.tcp_socket {
        return match port(&target.container, &socket.port) {
            Err(error) => Outcome::Unknown(error.to_string()),
            Ok(port) => tcp::probe(&host(socket.host.as_ref()), port, timeout).await,
        };
    }
    if let Some(action) = &probe.grpc {
        let service = action.service.as_deref().unwrap_or_default();
        return match u16::try_from(action.port) {
            Err(_) => Outcome::Unknown(NoPort::Number(action.port).to_string()),
            Ok(port) => grpc::probe(&target.pod_ip, port, service, timeout).await,
        };
    }
    let name = &target.container.name;
    Outcome::Unknown(format!("missing probe handler for container {name}"))
}

async fn exec_probe(
    context: &Context,
    target: &Target,
    command: Vec<String>,
    timeout: Duration,
) -> Outcome {
    let shown = command.join(" ");
    match context.runtime.exec_sync(&target.container_id, command, timeout).await {
        Ok(output) if output.exit_code == 0 => Outcome::Success,
        Ok(output) => {
            let mut bytes = output.stdout;
            bytes.extend(output.stderr);
            bytes.truncate(MAX_OUTPUT);
            Outcome::Failure(String::from_utf8_lossy(&bytes).into_owned())
        }
        Err(runtime::Error::DeadlineExceeded(_)) => Outcome::Failure(format!(
            "command timed out: {shown:?} timed out after {}s",
            timeout.as_secs()
        )),
        Err(error) => Outcome::Unknown(error.to_string()),
    }
}

/// Why a port cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoPort {
    #[error("port {0} not found")]
    Named(String),
    #[error("invalid port number: {0}")]
    Number(i32),
}

/// A port by number, or by its name in the container.
///
/// # Errors
/// There is no such port.
pub(crate) fn port(container: &Container, port: &IntOrString) -> Result<u16, NoPort> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => container
            .ports
            .iter()
            .flatten()
            .find(|port| port.name.as_ref() == Some(name))
            .map(|port| port.container_port)
            .or_else(|| name.parse().ok())
            .ok_or_else(|| NoPort::Named(name.clone()))?,
    };
    u16::try_from(number).ok().filter(|port| *port > 0).ok_or(NoPort::Number(number))
}
