//! A node to run containers on, and a small runner in the standard harness's output format.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::time::Duration;

use futures::FutureExt;
use runtime::embedded::{Embedded, EmbeddedConfig};
use runtime::*;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

pub(crate) type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;
type Test = for<'a> fn(&'a Node) -> Pin<Box<dyn Future<Output = Outcome> + 'a>>;

const IMAGE: &str = "test/busybox:1";
const PATIENCE: Duration = Duration::from_secs(30);

/// A runtime with an image, in a directory of its own.
pub(crate) struct Node {
    pub(crate) runtime: Embedded,
    dir: tempfile::TempDir,
}

pub(crate) fn config(dir: &Path) -> EmbeddedConfig {
    let name = dir.to_string_lossy().into_owned();
    let tag: u32 = name.bytes().fold(7, |sum: u32, byte| sum.wrapping_mul(31) + u32::from(byte));
    EmbeddedConfig {
        data_dir: dir.join("data"),
        cluster: name,
        node: "node".into(),
        node_netns: None,
        pod_cidr: Some(format!("10.{}.{}.0/24", 200 + tag % 50, tag / 50 % 250).parse().unwrap()),
        cluster_cidr: format!("10.{}.0.0/16", 200 + tag % 50).parse().unwrap(),
        own_ports: Vec::new(),
        mtu: 1500,
        cgroup_root: format!("/coxswain-test-{tag:x}"),
        registry: RegistryConfig::default(),
    }
}

async fn open(dir: &Path) -> Result<Embedded> {
    let runtime = Embedded::open(config(dir)).await?;
    let busybox = std::fs::read("/bin/busybox")?;
    let archive = dir.join("image.tar");
    let mut files = vec![
        ImageFile::new("/bin/busybox", 0o755, &busybox),
        ImageFile::new("/www/index.html", 0o644, b"hello from the image"),
        ImageFile::new("/masked", 0o644, b"secret\n"),
        ImageFile::new("/maskeddir/secret", 0o644, b"secret"),
        ImageFile::new("/tmp/.keep", 0o644, b""),
        ImageFile::new("/mnt/.keep", 0o644, b""),
        ImageFile::new("/escape", 0o120_777, b"/tmp/escape-target"),
    ];
    let applets: Vec<_> = "sh cat echo id pwd hostname sleep ls touch head tr grep unshare mount \
        chroot mknod printf true ps httpd wget tty stty wc stat mkdir mkfifo ln chown umount cut"
        .split_whitespace()
        .map(|name| format!("/bin/{name}"))
        .collect();
    for path in &applets {
        files.push(ImageFile::new(path, 0o120_777, b"busybox"));
    }
    let spec = ImageSpec {
        files,
        entrypoint: vec!["/bin/sh".into(), "-c".into()],
        env: vec!["FROM_IMAGE=image".into()],
        ..ImageSpec::default()
    };
    build_image_tar(&archive, IMAGE, &spec)?;
    runtime.import_image(&archive).await?;
    Ok(runtime)
}

fn sandbox(dir: &Path, name: &str) -> SandboxConfig {
    SandboxConfig {
        metadata: SandboxMetadata {
            name: name.into(),
            uid: format!("uid-{name}"),
            namespace: "test".into(),
            attempt: 0,
        },
        hostname: name.into(),
        log_directory: dir.join("logs").join(name),
        dns_config: Some(DnsConfig { servers: vec!["192.0.2.53".into()], ..DnsConfig::default() }),
        linux: LinuxSandboxConfig {
            cgroup_parent: format!("/kubepods/pod{name}"),
            ..LinuxSandboxConfig::default()
        },
        ..SandboxConfig::default()
    }
}

fn container(name: &str, script: &str) -> ContainerConfig {
    ContainerConfig {
        metadata: ContainerMetadata { name: name.into(), attempt: 0 },
        image: IMAGE.into(),
        args: vec![script.into()],
        log_path: format!("{name}/0.log").into(),
        security: SecurityContext {
            seccomp: Seccomp::RuntimeDefault,
            ..SecurityContext::default()
        },
        ..ContainerConfig::default()
    }
}

impl Node {
    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    pub(crate) fn sandbox(&self, name: &str) -> SandboxConfig {
        sandbox(self.dir.path(), name)
    }

    pub(crate) fn config(&self, name: &str, script: &str) -> ContainerConfig {
        container(name, script)
    }

    pub(crate) async fn pod(&self, name: &str) -> Result<String> {
        self.runtime.run_pod_sandbox(self.sandbox(name)).await
    }

    pub(crate) async fn create(
        &self,
        pod: &str,
        name: &str,
        script: &str,
        change: impl FnOnce(&mut ContainerConfig),
    ) -> Result<String> {
        let mut config = container(name, script);
        change(&mut config);
        self.runtime.create_container(pod, config).await
    }

    pub(crate) async fn run(
        &self,
        pod: &str,
        name: &str,
        script: &str,
        change: impl FnOnce(&mut ContainerConfig),
    ) -> Result<String> {
        let id = self.create(pod, name, script, change).await?;
        self.runtime.start_container(&id).await?;
        Ok(id)
    }

    pub(crate) async fn exited(&self, id: &str) -> Result<ContainerStatus> {
        let mut events = self.runtime.events();
        let wait = async {
            loop {
                let status = self.runtime.container_status(id).await?;
                if status.state == ContainerState::Exited {
                    return Ok(status);
                }
                events.recv().await.ok();
            }
        };
        let late = |_| Err(Error::DeadlineExceeded("the container does not exit".into()));
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(late)
    }

    /// The container's output, both streams as they came.
    pub(crate) async fn output(&self, id: &str) -> Result<String> {
        let status = self.runtime.container_status(id).await?;
        let log = std::fs::read_to_string(status.log_path)?;
        let mut text = String::new();
        for line in log.lines() {
            let mut fields = line.splitn(4, ' ').skip(2);
            let tag = fields.next().unwrap_or_default();
            text += fields.next().unwrap_or_default();
            if tag == "F" {
                text.push('\n');
            }
        }
        Ok(text)
    }

    /// Waits until the container has written `text`.
    pub(crate) async fn logged(&self, id: &str, text: &str) -> Outcome {
        let found = async {
            while !self.output(id).await.is_ok_and(|log| log.contains(text)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        Ok(tokio::time::timeout(PATIENCE, found).await?)
    }

    /// Waits until no process of the container has this command line.
    pub(crate) async fn until_no_process(&self, id: &str, command: &str) -> Outcome {
        let cmd = ["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"].map(str::to_owned);
        let gone = async {
            loop {
                let output = self.runtime.exec_sync(id, cmd.to_vec(), PATIENCE).await?;
                if !String::from_utf8_lossy(&output.stdout).contains(command) {
                    return Ok(());
                }
            }
        };
        tokio::time::timeout(PATIENCE, gone).await?
    }
}

/// Runs every test on one node, then checks that nothing is left behind.
pub(crate) fn run(tests: &[(&str, Test)]) {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if std::env::args().any(|argument| argument == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        println!("test result: ok. 0 passed; 0 failed; {} ignored (needs root)", tests.len());
        return;
    }
    // As strict as that of the processes that open a runtime.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let executor = tokio::runtime::Runtime::new().expect("an executor");
    let (mut passed, mut failed) = (0, 0);
    let mut report = |name: &str, outcome: std::thread::Result<Outcome>| {
        let (counter, text) = match outcome {
            Ok(Ok(())) => (&mut passed, "ok".to_owned()),
            Ok(Err(error)) => (&mut failed, format!("FAILED: {error}")),
            Err(_) => (&mut failed, "FAILED: panicked".to_owned()),
        };
        *counter += 1;
        println!("test {name} ... {text}");
    };
    executor.block_on(async {
        let dir = tempfile::tempdir().expect("a directory");
        let node = Node { runtime: open(dir.path()).await.expect("a runtime"), dir };
        for (name, test) in tests {
            if filter.as_deref().is_none_or(|filter| name.contains(filter)) {
                report(name, AssertUnwindSafe(test(&node)).catch_unwind().await);
            }
        }
        report("nothing_is_left_behind", AssertUnwindSafe(left_behind(&node)).catch_unwind().await);
    });
    let result = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {result}. {passed} passed; {failed} failed; 0 ignored");
    std::process::exit(i32::from(failed > 0));
}

async fn left_behind(node: &Node) -> Outcome {
    node.runtime.destroy_all().await?;
    let dir = node.dir.path().to_string_lossy().into_owned();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let left: Vec<_> = mounts.lines().filter(|line| line.contains(&dir)).collect();
    assert!(left.is_empty(), "mounts: {left:?}");
    let config = config(node.dir.path());
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup")? {
        let path = hierarchy?.path().join(config.cgroup_root.trim_start_matches('/'));
        assert!(!path.exists(), "cgroup {}", path.display());
    }
    let bridge = network::pod::bridge_name(&config.cluster, &config.node);
    let links = network::link::LinkSocket::open()?.links()?;
    let veths = links.iter().filter(|link| link.name == bridge);
    assert_eq!(veths.count(), 0, "{links:?}");
    for name in ["containers", "sandboxes"] {
        assert_eq!(std::fs::read_dir(config.data_dir.join(name))?.count(), 0, "{name}");
    }
    let processes = std::fs::read_dir("/proc")?
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("cmdline")).ok());
    let shims: Vec<_> =
        processes.filter(|line| line.contains("container-shim") && line.contains(&dir)).collect();
    assert!(shims.is_empty(), "shims: {shims:?}");
    Ok(())
}

/// The owner's side of the adoption test: starts two containers, says so and waits to be killed.
pub(crate) fn own(dir: String) -> ! {
    let dir = PathBuf::from(dir);
    let executor = tokio::runtime::Runtime::new().expect("an executor");
    let error: Error = executor.block_on(async {
        let start = async {
            let runtime = open(&dir).await?;
            let pod = runtime.run_pod_sandbox(sandbox(&dir, "owned")).await?;
            let long = runtime.create_container(&pod, container("long", "sleep 1000")).await?;
            let script = "while ! [ -e /share/go ]; do sleep 0.05; done; exit 6";
            let mut config = container("short", script);
            config.mounts = vec![Mount {
                container_path: "/share".into(),
                host_path: dir.join("share"),
                ..Mount::default()
            }];
            let short = runtime.create_container(&pod, config).await?;
            runtime.start_container(&long).await?;
            runtime.start_container(&short).await?;
            println!("{long} {short}");
            std::future::pending::<Result<()>>().await
        };
        start.await.expect_err("the owner never ends by itself")
    });
    eprintln!("{error}");
    std::process::exit(1)
}

pub(crate) fn start_owner(dir: &Path) -> std::io::Result<tokio::process::Child> {
    std::fs::create_dir_all(dir.join("share"))?;
    tokio::process::Command::new(std::env::current_exe()?)
        .arg("owner")
        .arg(dir)
        .stdout(Stdio::piped())
        .spawn()
}

pub(crate) async fn owner_says(owner: &mut tokio::process::Child) -> std::io::Result<String> {
    let stdout = owner.stdout.take().expect("piped");
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).await?;
    Ok(line.trim().to_owned())
}

pub(crate) async fn wait_for_file(path: &Path) -> Outcome {
    let found = async {
        while !path.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    Ok(tokio::time::timeout(PATIENCE, found).await?)
}

pub(crate) async fn read_until(
    stream: &mut (impl AsyncRead + Unpin),
    text: &str,
) -> std::io::Result<String> {
    let mut seen = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&seen).contains(text) {
            if stream.read_buf(&mut seen).await? == 0 {
                break;
            }
        }
        Ok::<_, std::io::Error>(())
    };
    tokio::time::timeout(PATIENCE, read).await??;
    Ok(String::from_utf8_lossy(&seen).into_owned())
}

/// Writes what `docker save` would for an image `deep:1` of many layers, the last one gzip. Every
/// layer adds a file, replaces `/top`, and hides `/gone`, which the first one has.
pub(crate) fn docker_archive(path: &Path, layers: usize) -> std::io::Result<()> {
    let mut archive = tar::Builder::new(std::fs::File::create(path)?);
    let mut add = |name: &str, bytes: &[u8]| append(&mut archive, name, bytes);
    let (mut diff_ids, mut names) = (Vec::new(), Vec::new());
    for number in 0..layers {
        let mut layer = tar::Builder::new(Vec::new());
        append(&mut layer, &format!("layers/{number}"), b"")?;
        append(&mut layer, "top", format!("{number}\n").as_bytes())?;
        if number == 0 {
            append(&mut layer, "bin/busybox", &std::fs::read("/bin/busybox")?)?;
            append(&mut layer, "gone/file", b"")?;
        } else {
            append(&mut layer, ".wh.gone", b"")?;
        }
        let mut bytes = layer.into_inner()?;
        diff_ids.push(sha256(&bytes));
        if number + 1 == layers {
            let level = flate2::Compression::fast();
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
            std::io::Write::write_all(&mut gzip, &bytes)?;
            bytes = gzip.finish()?;
        }
        let name = format!("{number}/layer.tar");
        add(&name, &bytes)?;
        names.push(name);
    }
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {"Env": null, "Cmd": ["/bin/busybox"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}
    });
    let manifest =
        serde_json::json!([{"Config": "config.json", "RepoTags": ["deep:1"], "Layers": names}]);
    add("config.json", config.to_string().as_bytes())?;
    add("manifest.json", manifest.to_string().as_bytes())?;
    archive.finish()
}

/// Writes what `docker save` would for an image `hostile:1`: its first layer has links to a file of
/// the node and to where that is, its second one a hard link to the one and a file in the other.
pub(crate) fn linked_archive(path: &Path, secret: &str) -> std::io::Result<()> {
    let link = |layer: &mut tar::Builder<Vec<u8>>, kind, name: &str, target: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o777);
        header.set_size(0);
        // Its owner and time stay blank, which means zero.
        layer.append_link(&mut header, name, target)
    };
    let mut first = tar::Builder::new(Vec::new());
    append(&mut first, "bin/busybox", &std::fs::read("/bin/busybox")?)?;
    for applet in ["sh", "cat", "ls"] {
        link(&mut first, tar::EntryType::Symlink, &format!("bin/{applet}"), "busybox")?;
    }
    link(&mut first, tar::EntryType::Symlink, "s", secret)?;
    link(&mut first, tar::EntryType::Symlink, "door", "/nowhere")?;
    let mut second = tar::Builder::new(Vec::new());
    link(&mut second, tar::EntryType::Link, "hl", "s")?;
    let layers = [first.into_inner()?, second.into_inner()?];
    let diff_ids: Vec<_> = layers.iter().map(|layer| sha256(layer)).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}
    });
    let manifest = serde_json::json!([
        {"Config": "config.json", "RepoTags": ["hostile:1"], "Layers": ["0.tar", "1.tar"]}
    ]);
    let mut archive = tar::Builder::new(std::fs::File::create(path)?);
    append(&mut archive, "config.json", config.to_string().as_bytes())?;
    append(&mut archive, "manifest.json", manifest.to_string().as_bytes())?;
    append(&mut archive, "0.tar", &layers[0])?;
    append(&mut archive, "1.tar", &layers[1])?;
    archive.finish()
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    format!("sha256:{}", hex::encode(sha2::Sha256::digest(bytes)))
}

fn append<W: std::io::Write>(
    archive: &mut tar::Builder<W>,
    name: &str,
    bytes: &[u8],
) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(bytes.len() as u64);
    archive.append_data(&mut header, name, bytes)
}
