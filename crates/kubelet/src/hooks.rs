//! Lifecycle hooks.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, LifecycleHandler, Pod};

use crate::context::Context;
use crate::pod::full_name;
use crate::probes::http;
use crate::probes::run::{NoPort, port};

/// Why a hook failed, in upstream's words.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("Exec lifecycle hook ([{command}]) {place} failed - error: {source}, message: {:?}", source.output())]
    Exec { command: String, place: Place, source: ExecError },
    #[error("HTTP lifecycle hook ({path}) {place} failed - error: {source}, message: \"\"")]
    Http { path: String, place: Place, source: HttpError },
    #[error("Invalid handler: {handler:?} {place}")]
    Invalid { handler: Box<LifecycleHandler>, place: Place },
}

/// Why the command of a hook failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecError {
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
    #[error("command '{command}' exited with {code}")]
    Exited { command: String, code: i32, output: String },
}

impl ExecError {
    /// The output of a command that ran, after its error, as upstream tells it.
    fn output(&self) -> String {
        match self {
            Self::Runtime(_) => String::new(),
            Self::Exited { output, .. } => format!("{self}: {output}"),
        }
    }
}

/// Why the request of a hook failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error(transparent)]
    Port(#[from] NoPort),
    #[error(transparent)]
    Fetch(#[from] http::Error),
}

/// The container whose hook it is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    container: String,
    pod: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "for Container {:?} in Pod {:?}", self.container, self.pod)
    }
}

/// Runs a hook to its end.
///
/// # Errors
/// It failed.
pub(crate) async fn run(
    context: &Context,
    pod: &Pod,
    container: &Container,
    container_id: &str,
    pod_ip: &str,
    handler: &LifecycleHandler,
) -> Result<(), Error> {
    let place = Place { container: container.name.clone(), pod: full_name(pod) };
    if let Some(exec) = &handler.exec {
        let words = exec.command.clone().unwrap_or_default();
        let command = words.join(" ");
        let ran = run_command(context, container_id, words).await;
        return ran.map_err(|source| Error::Exec { command, place, source });
    }
    if let Some(get) = &handler.http_get {
        let host = get.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(pod_ip);
        let path = get.path.clone().unwrap_or_default();
        let asked = ask(get, container, host).await;
        return asked.map_err(|source| Error::Http { path, place, source });
    }
    if let Some(sleep) = &handler.sleep {
        tokio::time::sleep(Duration::from_secs(sleep.seconds.max(0) as u64)).await;
        return Ok(());
    }
    Err(Error::Invalid { handler: Box::new(handler.clone()), place })
}

async fn run_command(
    context: &Context,
    container_id: &str,
    command: Vec<String>,
) -> Result<(), ExecError> {
    let shown = command.join(" ");
    let output = context.runtime.exec_sync(container_id, command, Duration::ZERO).await?;
    if output.exit_code == 0 {
        return Ok(());
    }
    let bytes = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Err(ExecError::Exited { command: shown, code: output.exit_code, output: text })
}

/// Any answer will do.
async fn ask(get: &HTTPGetAction, container: &Container, host: &str) -> Result<(), HttpError> {
    let port = port(container, &get.port)?;
    http::fetch(get, host, port, "kube-lifecycle/1.37").await?;
    Ok(())
}
