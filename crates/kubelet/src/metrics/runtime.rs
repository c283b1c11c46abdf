//! A runtime whose operations are counted and timed.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::runtime::*;
use async_trait::async_trait;
use telemetry::metrics::{Counter, Desc, Family, Histogram, Registry, buckets};
use tokio::sync::broadcast;

/// The runtime, with its operations counted and timed.
pub(crate) struct Measured {
    runtime: Arc<dyn Runtime>,
    total: Family<Counter, 1>,
    errors: Family<Counter, 1>,
    times: Family<Histogram, 1>,
}

impl Measured {
    pub(crate) fn new(runtime: Arc<dyn Runtime>, main: &Registry) -> Self {
        Self {
            runtime,
            total: main.counters(
                Desc::alpha(
                    "kubelet_runtime_operations_total",
                    "Cumulative number of runtime operations by operation type.",
                ),
                ["operation_type"],
            ),
            errors: main.counters(
                Desc::alpha(
                    "kubelet_runtime_operations_errors_total",
                    "Cumulative number of runtime operation errors by operation type.",
                ),
                ["operation_type"],
            ),
            times: main.histograms(
                Desc::alpha(
                    "kubelet_runtime_operations_duration_seconds",
                    "Duration in seconds of runtime operations. Broken down by operation type.",
                ),
                ["operation_type"],
                &buckets::exponential(0.005, 2.5, 14),
            ),
        }
    }

    async fn measure<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.total.with([operation]).inc();
        let begun = Instant::now();
        let result = work.await;
        self.times.with([operation]).observe(begun.elapsed().as_secs_f64());
        if result.is_err() {
            self.errors.with([operation]).inc();
        }
        result
    }
}

/// One method for each of the trait's, under upstream's name of the operation.
macro_rules! measured {
    ($($operation:literal $method:ident($($name:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Runtime for Measured {
            $(async fn $method(&self $(, $name: $type)*) -> Result<$answer> {
                self.measure($operation, self.runtime.$method($($name),*)).await
            })*

            fn events(&self) -> broadcast::Receiver<ContainerEvent> {
                self.runtime.events()
            }
        }
    };
}

measured! {
    "version" version() -> Version;
    "status" status() -> RuntimeStatus;
    "update_runtime_config" update_pod_cidrs(cidrs: Vec<ipnet::IpNet>) -> ();
    "run_podsandbox" run_pod_sandbox(config: SandboxConfig) -> String;
    "stop_podsandbox" stop_pod_sandbox(id: &str) -> ();
    "remove_podsandbox" remove_pod_sandbox(id: &str) -> ();
    "podsandbox_status" pod_sandbox_status(id: &str) -> SandboxStatus;
    "list_podsandbox" list_pod_sandboxes(filter: SandboxFilter) -> Vec<SandboxStatus>;
    "podsandbox_resources" pod_sandbox_resources(id: &str) -> Resources;
    "update_podsandbox" update_pod_sandbox_resources(id: &str, resources: Resources) -> ();
    "create_container" create_container(sandbox_id: &str, config: ContainerConfig) -> String;
    "start_container" start_container(id: &str) -> ();
    "stop_container" stop_container(id: &str, timeout: Duration) -> ();
    "remove_container" remove_container(id: &str) -> ();
    "container_status" container_status(id: &str) -> ContainerStatus;
    "list_containers" list_containers(filter: ContainerFilter) -> Vec<ContainerStatus>;
    "update_container" update_container_resources(id: &str, resources: Resources) -> ();
    "reopen_container_log" reopen_container_log(id: &str) -> ();
    "exec_sync" exec_sync(id: &str, cmd: Vec<String>, timeout: Duration) -> ExecOutput;
    "exec" exec(id: &str, request: ExecRequest) -> Session;
    "attach" attach(id: &str, request: AttachRequest) -> Session;
    "port_forward" port_forward(sandbox_id: &str, port: u16) -> ByteStream;
    "container_stats" container_stats(id: &str) -> ContainerStats;
    "podsandbox_stats" pod_sandbox_stats(id: &str) -> SandboxStats;
    "pull_image" pull_image(reference: &str, auth: Option<RegistryAuth>) -> PulledImage;
    "image_status" image_status(reference: &str) -> Option<Image>;
    "list_images" list_images() -> Vec<Image>;
    "remove_image" remove_image(reference: &str) -> ();
    "import_image" import_image(archive: &Path) -> Vec<Image>;
    "image_fs_info" image_fs_info() -> FilesystemUsage;
}
