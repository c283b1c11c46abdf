//! A running cluster of its own directory and port.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use crate::command::{Outcome, run, tool};

/// How long something may take that takes a moment.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster; dropping it takes it down as Ctrl-C would.
pub struct Cluster {
    dir: PathBuf,
    listen: SocketAddr,
    process: Option<Child>,
    options: &'static [&'static str],
    // Last, so that the directory outlives the process.
    _kept: tempfile::TempDir,
}

/// A port that is free, and stays so while its server is restarted: it is below those that the
/// kernel gives to connections, and below the node ports.
///
/// # Panics
/// All are taken.
#[must_use]
pub fn free_port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test binaries that run one after the other begin at different places.
    let first = (std::process::id() % 100) as u16 * 100;
    let ports = std::iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed)).take(10_000);
    let addresses =
        ports.map(|n| SocketAddr::from(([127, 0, 0, 1], 20_000 + (first + n) % 10_000)));
    let mut free = addresses.filter(|address| TcpListener::bind(address).is_ok());
    free.next().expect("a free port")
}

impl Cluster {
    /// Starts a cluster and waits until its node is ready.
    #[must_use]
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts a cluster with further options of `up`.
    #[must_use]
    pub fn with(options: &'static [&'static str]) -> Self {
        let mut cluster = Self::place();
        cluster.options = options;
        cluster.up();
        cluster
    }

    /// A directory and a port for a cluster that does not run.
    #[must_use]
    pub fn place() -> Self {
        let kept = tempfile::tempdir().expect("a directory");
        let dir = kept.path().to_owned();
        Self { dir, listen: free_port(), process: None, options: &[], _kept: kept }
    }

    /// Waits until somebody serves the API at the cluster's address.
    pub fn wait_served(&self) {
        let begun = Instant::now();
        while self.kubectl("get --raw /readyz").code != 0 {
            assert!(begun.elapsed() < PATIENCE, "nobody serves {}", self.listen);
        }
    }

    /// Waits until a pod's log has a line.
    pub fn wait_said(&self, pod: &str, line: &str) {
        let begun = Instant::now();
        while !self.kubectl(&format!("logs {pod}")).stdout.lines().any(|said| said == line) {
            assert!(begun.elapsed() < PATIENCE, "{pod} did not say {line}");
        }
    }

    /// Waits until an object exists.
    pub fn wait_created(&self, object: &str) {
        let begun = Instant::now();
        while self.kubectl(&format!("get {object}")).code != 0 {
            assert!(begun.elapsed() < PATIENCE, "{object} is not created");
        }
    }

    /// Starts the cluster's process again, after `kill` or `stop`.
    pub fn up(&mut self) {
        let listen = self.listen.to_string();
        let mut words = vec!["up", "--listen", &listen];
        words.extend(self.options);
        self.run(&words);
    }

    /// Runs the binary with these arguments as the cluster's process, in its directory, until it is
    /// ready, and returns its output until then.
    ///
    /// # Panics
    /// It ends before.
    pub fn run(&mut self, arguments: &[&str]) -> String {
        let mut child = Command::new(tool("COXSWAIN"))
            .args(arguments)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("coxswain starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut said = String::new();
        let ready = lines.by_ref().map_while(Result::ok).any(|line| {
            said.push_str(&line);
            said.push('\n');
            line.contains("export KUBECONFIG")
        });
        assert!(ready, "coxswain ended before it was ready:\n{said}");
        // Whatever it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        self.process = Some(child);
        said
    }

    /// Starts the cluster with these further options of `up` from now on.
    pub fn set_options(&mut self, options: &'static [&'static str]) {
        self.options = options;
    }

    /// Process ids of the cluster's further nodes.
    #[must_use]
    pub fn node_pids(&self) -> Vec<i32> {
        let dir = self.dir.to_string_lossy().into_owned();
        let is_node = |pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.starts_with("coxswain node ") && line.contains(&dir)
        };
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok());
        pids.filter(is_node).collect()
    }

    /// Process id of the cluster.
    ///
    /// # Panics
    /// It is not running.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.process.as_ref().expect("it runs").id() as i32
    }

    fn signal(&mut self, signal: i32) {
        if let Some(mut child) = self.process.take() {
            let status =
                Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status();
            assert!(status.is_ok_and(|s| s.success()), "the process is there to be signalled");
            let _ = child.wait();
        }
    }

    /// Ends the process at once, as a crash would.
    pub fn kill(&mut self) {
        self.signal(9);
    }

    /// Ends the process as Ctrl-C does.
    pub fn stop(&mut self) {
        self.signal(2);
    }

    /// Directory of the cluster.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Address of the API server.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    fn stock(&self, variable: &str) -> Command {
        let mut command = Command::new(tool(variable));
        command.env("KUBECONFIG", self.dir.join("kubeconfig/admin.conf"));
        // Nothing is remembered between clusters.
        command.env("HOME", self.dir.join("home"));
        command
    }

    /// A kubectl command to be given more by the caller.
    #[must_use]
    pub fn kubectl_command(&self) -> Command {
        self.stock("KUBECTL")
    }

    /// A command of the oldest supported kubectl.
    #[must_use]
    pub fn oldest_kubectl_command(&self) -> Command {
        self.stock("KUBECTL_OLDEST")
    }

    /// Runs the newest kubectl with words split at spaces.
    #[must_use]
    pub fn kubectl(&self, words: &str) -> Outcome {
        run(self.stock("KUBECTL").args(words.split_whitespace()))
    }

    /// Runs the oldest supported kubectl.
    #[must_use]
    pub fn oldest_kubectl(&self, words: &str) -> Outcome {
        run(self.stock("KUBECTL_OLDEST").args(words.split_whitespace()))
    }

    /// Runs helm.
    #[must_use]
    pub fn helm(&self, words: &str) -> Outcome {
        run(self.stock("HELM").args(words.split_whitespace()))
    }

    /// Gives the cluster's nodes the image [`crate::BUSYBOX`].
    pub fn import_busybox(&self) {
        let archive = self.dir.join("busybox.tar");
        crate::image::write_busybox(&archive);
        let mut command = Command::new(tool("COXSWAIN"));
        command.args(["image", "import"]).arg(&archive).arg("--dir").arg(&self.dir);
        run(&mut command).ok();
    }

    /// Applies a manifest.
    ///
    /// # Panics
    /// kubectl refuses it.
    pub fn apply(&self, manifest: &str) {
        let mut child = self
            .kubectl_command()
            .args(["apply", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl starts");
        child.stdin.take().expect("its input").write_all(manifest.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Waits for a condition with `kubectl wait`.
    #[track_caller]
    pub fn wait(&self, words: &str) {
        let outcome = self.kubectl(&format!("wait --timeout=60s {words}"));
        if outcome.code != 0 {
            let pods = self.kubectl("get pods -A -o wide").stdout;
            let events = self.kubectl("get events -A").stdout;
            panic!("{words}: {}\n{pods}\n{events}", outcome.stderr);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}
