//! Lifecycle hooks.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};

use crate::context::Context;
use crate::pod::full_name;
use crate::probes::{http, run::port};

/// Runs a hook to its end.
///
/// # Errors
/// It failed, in upstream's words.
pub(crate) async fn run(
    context: &Context,
    pod: &Pod,
    container: &Container,
    container_id: &str,
    pod_ip: &str,
    handler: &LifecycleHandler,
) -> Result<(), String> {
    let place = format!("for Container {:?} in Pod {:?}", container.name, full_name(pod));
    if let Some(exec) = &handler.exec {
        let command = exec.command.clone().unwrap_or_default();
        let shown = command.join(" ");
        let failed = |error: &dyn std::fmt::Display, message: &str| {
            Err(format!(
                "Exec lifecycle hook ([{shown}]) {place} failed - error: {error}, message: \
                 {message:?}"
            ))
        };
        return match context.runtime.exec_sync(container_id, command, Duration::ZERO).await {
            Ok(output) if output.exit_code == 0 => Ok(()),
            Ok(output) => {
                let error = format!("command '{shown}' exited with {}", output.exit_code);
                let bytes = [output.stdout, output.stderr].concat();
                failed(&error, &format!("{error}: {}", String::from_utf8_lossy(&bytes)))
            }
            Err(error) => failed(&error, ""),
        };
    }
    if let Some(get) = &handler.http_get {
        let host = get.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(pod_ip);
        let path = get.path.as_deref().unwrap_or_default();
        let failed = |error: String| {
            Err(format!(
                "HTTP lifecycle hook ({path}) {place} failed - error: {error}, message: \"\""
            ))
        };
        let port = match port(container, &get.port) {
            Ok(port) => port,
            Err(error) => return failed(error),
        };
        return match http::fetch(get, host, port, "kube-lifecycle/1.35").await {
            Ok(_) => Ok(()),
            Err(error) => failed(error),
        };
    }
    if let Some(sleep) = &handler.sleep {
        tokio::time::sleep(Duration::from_secs(sleep.seconds.max(0) as u64)).await;
        return Ok(());
    }
    Err(format!("Invalid handler: {handler:?} {place}"))
}
