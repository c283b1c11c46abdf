//! A containerd in a directory of its own, with a pod network of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use runtime::cri::Cri;
use runtime::*;
use telemetry::metrics::Registry;

type Fallible<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

pub(crate) const IMAGE: &str = "docker.io/test/busybox:1";
const PAUSE: &str = "docker.io/test/pause:1";
const CNI: &str = "/usr/lib/cni";
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Containerd {
    dir: tempfile::TempDir,
    bridge: String,
    child: Child,
}

impl Containerd {
    pub(crate) async fn start() -> Fallible<Self> {
        for needed in ["/bin/busybox", "/usr/lib/cni/bridge", "/usr/lib/cni/host-local"] {
            let here = Path::new(needed).is_file();
            assert!(here, "{needed} is missing; `cargo xtask test` installs it");
        }
        let dir = tempfile::tempdir()?;
        let bridge = format!("cri{:x}", std::process::id());
        let path = dir.path();
        std::fs::create_dir(path.join("cni"))?;
        std::fs::write(path.join("cni/10-test.conflist"), cni(path, &bridge))?;
        std::fs::write(path.join("config.toml"), config(path))?;
        let log = std::fs::File::create(path.join("containerd.log"))?;
        let child = Command::new("containerd")
            .arg("--config")
            .arg(path.join("config.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("containerd: {error}; `cargo xtask test` installs it"))?;
        let node = Self { dir, bridge, child };
        node.until(async |_| Ok(())).await?;
        let busybox = std::fs::read("/bin/busybox")?;
        node.import(PAUSE, &["/bin/busybox", "sleep", "1000000"], &busybox)?;
        node.import(IMAGE, &["/bin/sh", "-c"], &busybox)?;
        Ok(node)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("containerd.sock")
    }

    /// Connects, and waits for the images that were imported.
    pub(crate) async fn connect(&self) -> Fallible<Cri> {
        self.until(async |cri| {
            for image in [PAUSE, IMAGE] {
                cri.image_status(image).await?.ok_or_else(|| Error::NotFound(image.into()))?;
            }
            Ok(())
        })
        .await
    }

    /// Connects until the runtime is as `wanted`.
    async fn until(&self, wanted: impl AsyncFn(&Cri) -> Result<()>) -> Fallible<Cri> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let attempt = async {
                let cri = Cri::connect(&self.socket(), &Registry::bare()).await?;
                wanted(&cri).await?;
                Ok::<_, Error>(cri)
            };
            match attempt.await {
                Ok(cri) => return Ok(cri),
                Err(error) if Instant::now() > deadline => {
                    let log = std::fs::read_to_string(self.dir.path().join("containerd.log"))?;
                    return Err(format!("containerd is not ready: {error}\n{log}").into());
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    fn import(&self, name: &str, entrypoint: &[&str], busybox: &[u8]) -> Fallible<()> {
        let archive = self.dir.path().join("image.tar");
        let mut files = vec![
            ImageFile::new("/bin/busybox", 0o755, busybox),
            ImageFile::new("/www/index.html", 0o644, b"hello from the image"),
            ImageFile::new("/tmp/.keep", 0o644, b""),
        ];
        let applets = "sh cat echo id sleep true wc stty httpd wget";
        let applets: Vec<_> = applets.split(' ').map(|name| format!("/bin/{name}")).collect();
        for path in &applets {
            files.push(ImageFile::new(path, 0o120_777, b"busybox"));
        }
        let spec = ImageSpec {
            files,
            entrypoint: entrypoint.iter().map(|word| (*word).to_owned()).collect(),
            env: vec!["FROM_IMAGE=image".into()],
            ..ImageSpec::default()
        };
        build_image_tar(&archive, name, &spec)?;
        let output = Command::new("ctr")
            .arg("--address")
            .arg(self.socket())
            .args(["--namespace", "k8s.io", "images", "import"])
            .arg(&archive)
            .output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("ctr images import: {said}").into());
        }
        Ok(())
    }

    fn cgroup(&self, pod: &str) -> String {
        format!("/cri-test-{}/pod{pod}", std::process::id())
    }

    /// The first of the pod's cgroups that the machine has.
    pub(crate) fn cgroup_directory(&self, pod: &str) -> PathBuf {
        let base = Path::new("/sys/fs/cgroup");
        let root = if base.join("cgroup.controllers").exists() {
            base.to_owned()
        } else {
            base.join("memory")
        };
        root.join(self.cgroup(pod).trim_start_matches('/'))
    }

    pub(crate) fn sandbox(&self, name: &str) -> SandboxConfig {
        SandboxConfig {
            metadata: SandboxMetadata {
                name: name.into(),
                uid: format!("uid-{name}"),
                namespace: "test".into(),
                attempt: 0,
            },
            hostname: name.into(),
            log_directory: self.dir.path().join("logs").join(name),
            dns_config: Some(DnsConfig {
                servers: vec!["192.0.2.53".into()],
                ..Default::default()
            }),
            annotations: [("kept".to_owned(), "as it is".to_owned())].into(),
            linux: LinuxSandboxConfig {
                cgroup_parent: self.cgroup(name),
                ..LinuxSandboxConfig::default()
            },
            ..SandboxConfig::default()
        }
    }

    /// Makes a container in the sandbox `pod`.
    pub(crate) async fn container(
        &self,
        cri: &Cri,
        sandbox: &str,
        name: &str,
        script: &str,
        change: impl FnOnce(&mut ContainerConfig),
    ) -> Result<String> {
        // The kubelet makes the directories of logs.
        std::fs::create_dir_all(self.sandbox("pod").log_directory.join(name))?;
        let mut config = ContainerConfig {
            metadata: ContainerMetadata { name: name.into(), attempt: 0 },
            image: IMAGE.into(),
            args: vec![script.into()],
            log_path: format!("{name}/0.log").into(),
            security: SecurityContext { seccomp: Seccomp::RuntimeDefault, ..Default::default() },
            ..ContainerConfig::default()
        };
        change(&mut config);
        cri.create_container(sandbox, config).await
    }

    /// Ends containerd, which has no pods any more.
    pub(crate) fn end(self) {}
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // A failed test leaves pods, whose processes would outlive containerd.
        let socket = self.socket();
        let cleaner = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                Cri::connect(&socket, &Registry::bare()).await?.destroy_all().await
            })
        });
        if !matches!(cleaner.join(), Ok(Ok(()))) {
            eprintln!("pods of {} are left", self.dir.path().display());
        }
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").arg(&pid).status();
        let _ = self.child.wait();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let below = self.dir.path().to_string_lossy().into_owned();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for point in points.filter(|point| point.starts_with(&below)).rev_sorted() {
            let _ = Command::new("umount").args(["-l", point]).status();
        }
        let _ =
            Command::new("ip").args(["link", "del", &self.bridge]).stderr(Stdio::null()).status();
        for controller in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let root = controller.path().join(format!("cri-test-{}", std::process::id()));
            let _ = std::fs::remove_dir(root);
        }
        let _ = std::fs::remove_dir(format!("/sys/fs/cgroup/cri-test-{}", std::process::id()));
    }
}

/// Deepest mounts first.
trait RevSorted<'a> {
    fn rev_sorted(self) -> std::vec::IntoIter<&'a str>;
}

impl<'a, I: Iterator<Item = &'a str>> RevSorted<'a> for I {
    fn rev_sorted(self) -> std::vec::IntoIter<&'a str> {
        let mut all: Vec<_> = self.collect();
        all.sort_by(|a, b| b.cmp(a));
        all.into_iter()
    }
}

fn cni(dir: &Path, bridge: &str) -> String {
    format!(
        r#"{{"cniVersion": "0.4.0", "name": "test", "plugins": [
            {{"type": "bridge", "bridge": "{bridge}", "isGateway": true, "ipMasq": false,
              "ipam": {{"type": "host-local", "dataDir": "{}",
                        "ranges": [[{{"subnet": "10.98.{}.0/24"}}]],
                        "routes": [{{"dst": "0.0.0.0/0"}}]}}}}]}}"#,
        dir.join("ipam").display(),
        std::process::id() % 250
    )
}

fn config(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        r#"version = 2
root = "{dir}/root"
state = "{dir}/state"
[grpc]
  address = "{dir}/containerd.sock"
[ttrpc]
  address = "{dir}/containerd.sock.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  disable_apparmor = true
  # A machine may not let even root lower its score below what it has.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI}"
    conf_dir = "{dir}/cni"
[plugins."io.containerd.internal.v1.opt"]
  path = "{dir}/opt"
"#
    )
}
