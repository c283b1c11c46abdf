//! The commands of the documents, run as they stand there.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use e2e::{Cluster, Outcome, Step, machine_name, run, tool};

const README: &str = include_str!("../../README.md");
const OPERATIONS: &str = include_str!("../../docs/operations.md");

/// Commands that no test can run, and where else they are.
const ELSEWHERE: &[(&str, &str)] = &[
    ("cargo run --release -- up", "the binary is run by all tests"),
    ("cargo xtask test", "it runs this"),
    ("perf record -g -p $(cat data/up.pid) -- sleep 10", "a tool that need not be there"),
    ("perf report --no-children", "a tool that need not be there"),
    ("coxswain logs [-f] [--node NAME]", "tests/logs.rs"),
];

type Check = fn(&[&str]);

/// Commands that are run together, and how.
const RUN: &[(&[&str], Check)] = &[
    (&["coxswain up --dir D --listen 127.0.0.1:7443"], one_node),
    (&["coxswain up --listen 0.0.0.0:6443 --tls-san api.example.com"], another_name),
    (&["coxswain kubeconfig --merge"], merged),
    (&["coxswain up --nodes 3"], three_nodes),
    (&["coxswain up --detach; coxswain logs -f; coxswain status; coxswain down"], background),
    (&["coxswain conformance --kubeconfig F"], conformance),
    (&["coxswain up --runtime simulated"], one_node),
    (&["coxswain up --runtime cri:/run/containerd/containerd.sock"], containerd),
    (&["coxswain image import image.tar", "coxswain image ls"], images),
    (
        &[
            "coxswain apiserver --dir D --listen 0.0.0.0:6443 --advertise-address 10.0.0.5",
            "coxswain scheduler --kubeconfig D/kubeconfig/scheduler.conf",
            "coxswain controller-manager --kubeconfig D/kubeconfig/controller-manager.conf",
            "coxswain kubelet --kubeconfig D/kubeconfig/kubelet-$(hostname).conf",
            "coxswain proxy --kubeconfig D/kubeconfig/kube-proxy.conf",
        ],
        components,
    ),
    (&["coxswain up -v"], one_node),
    (&["coxswain up --log-level info,kubelet=debug,apiserver::trace=debug"], one_node),
    (&["coxswain up --log-format json --log-file /var/log/coxswain.log"], log_file),
    (
        &["coxswain up --enable-admission-plugins PodNodeSelector --disable-admission-plugins \
           DefaultStorageClass"],
        one_node,
    ),
    (&["coxswain up --audit-policy-file policy.yaml --audit-log-path audit.log"], audited),
    (
        &[
            "coxswain up --encryption-provider-config encryption.yaml",
            "kubectl get secrets -A -o json | kubectl replace -f -",
        ],
        encrypted,
    ),
    (&["coxswain down --dir D && cp -a D /backup/D-$(date +%F)"], copied),
];

/// A shell in a directory, for which `coxswain` and `kubectl` are those under test.
struct Shell<'d> {
    dir: &'d Path,
    bin: tempfile::TempDir,
    /// Commands before each command.
    exports: String,
}

impl<'d> Shell<'d> {
    fn new(dir: &'d Path) -> Self {
        let bin = tempfile::tempdir().unwrap();
        symlink(tool("COXSWAIN"), bin.path().join("coxswain")).unwrap();
        symlink(tool("KUBECTL"), bin.path().join("kubectl")).unwrap();
        Self { dir, bin, exports: String::new() }
    }

    fn command(&self, words: &str) -> Command {
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{}{words}", self.exports)])
            .current_dir(self.dir)
            .env("PATH", format!("{}:{path}", self.bin.path().display()))
            .env("HOME", self.bin.path())
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, words: &str) -> Outcome {
        run(&mut self.command(words))
    }
}

/// Replaces what stands for something.
fn filled(command: &str, values: &[(&str, &str)]) -> String {
    let words = command.split(' ').map(|word| {
        let value = values.iter().find(|(name, _)| word == *name);
        value.map_or(word, |(_, value)| value)
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Runs an `up`, at a free port.
fn up(command: &str, values: &[(&str, &str)]) -> Cluster {
    let mut cluster = Cluster::place();
    let (dir, listen) = (cluster.dir().display().to_string(), cluster.listen().to_string());
    let port = listen.rsplit(':').next().unwrap();
    let everywhere = format!("0.0.0.0:{port}");
    let own = [("D", &*dir), ("127.0.0.1:7443", &listen), ("0.0.0.0:6443", &everywhere)];
    let mut command = filled(&filled(command, values), &own);
    if !command.contains("--listen") {
        command.push_str(&format!(" --listen {listen}"));
    }
    let words: Vec<_> = command.split(' ').skip(1).collect();
    cluster.run(&words);
    cluster
}

fn one_node(commands: &[&str]) {
    let cluster = up(commands[0], &[]);
    assert_eq!(cluster.kubectl("get nodes -o name").ok().lines().count(), 1);
}

fn another_name(commands: &[&str]) {
    let cluster = up(commands[0], &[]);
    cluster.kubectl("--tls-server-name api.example.com get --raw /readyz").ok();
    cluster.kubectl("--tls-server-name api.example.org get --raw /readyz").fails();
}

fn three_nodes(commands: &[&str]) {
    let cluster = up(commands[0], &[]);
    let nodes = cluster.kubectl("get nodes --no-headers").ok();
    assert_eq!(nodes.lines().filter(|line| line.contains(" Ready ")).count(), 3, "{nodes}");
}

fn merged(commands: &[&str]) {
    let cluster = Cluster::with(&["--runtime", "simulated"]);
    let shell = Shell::new(cluster.dir());
    shell.run(commands[0]).ok();
    assert!(shell.run("kubectl get nodes").ok().contains(" Ready "));
}

/// Stops the cluster in a directory whatever becomes of the test.
struct Stopped<'s>(&'s Shell<'s>, String);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        let _ = self.0.run(&format!("coxswain down --dir {}", self.1));
    }
}

fn background(commands: &[&str]) {
    let cluster = Cluster::place();
    let shell = Shell::new(cluster.dir());
    let _stopped = Stopped(&shell, ".".to_owned());
    let [start, logs, status, down] = commands[0].split("; ").collect::<Vec<_>>()[..] else {
        panic!("four commands: {commands:?}");
    };
    shell.run(&format!("{start} --runtime simulated --listen {}", cluster.listen())).ok();
    let follower = shell.command(&format!("exec {logs}")).stdout(Stdio::piped()).spawn().unwrap();
    let mut follower = Ended(follower);
    shell.run(status).ok();
    shell.run(down).ok();
    shell.run(status).fails();
    let mut log = BufReader::new(follower.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(log.any(|line| line.contains("the cluster stops")), "the log has no end");
}

fn conformance(commands: &[&str]) {
    let cluster = Cluster::with(&["--runtime", "simulated"]);
    let shell = Shell::new(cluster.dir());
    let command = filled(commands[0], &[("F", "kubeconfig/admin.conf")]);
    let suite = shell.run(&format!("{command} --focus 'kube-root-ca.crt'")).ok();
    assert!(suite.contains("1 passed"), "{suite}");
}

fn log_file(commands: &[&str]) {
    let cluster = up(commands[0], &[("/var/log/coxswain.log", "own.log")]);
    let log = std::fs::read_to_string(cluster.dir().join("own.log")).unwrap();
    let first: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!(first["level"], "INFO");
}

fn audited(commands: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (policy, log) = (path("policy.yaml"), path("audit.log"));
    let rules = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n";
    std::fs::write(&policy, rules).unwrap();
    let cluster = up(commands[0], &[("policy.yaml", &policy), ("audit.log", &log)]);
    cluster.kubectl("create configmap audited").ok();
    let events = std::fs::read_to_string(&log).unwrap();
    let event =
        events.lines().find(|line| line.contains("/configmaps") && line.contains("audited"));
    let event: serde_json::Value = serde_json::from_str(event.expect("an event")).unwrap();
    assert_eq!(event["level"], "Metadata");
    assert_eq!(event["user"]["username"], "kubernetes-admin", "{event}");
}

fn encrypted(commands: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("encryption.yaml");
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let write = |providers: &str| {
        let rule = format!("resources:\n- resources: [secrets]\n  providers: [{providers}]\n");
        let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n";
        std::fs::write(&config, format!("{head}{rule}")).unwrap();
    };
    let own = format!("{{secretbox: {{keys: [{{name: key1, secret: {key}}}]}}}}");
    let path = config.display().to_string();
    let reload = "--encryption-provider-config-automatic-reload";
    write("{identity: {}}");
    let command = format!("{} {reload}", commands[0]);
    let cluster = up(&command, &[("encryption.yaml", &path)]);
    cluster.kubectl("create secret generic hidden --from-literal=password=fuchsschwanz").ok();
    let password = "ZnVjaHNzY2h3YW56";
    let stored = |text: &str| {
        let files = std::fs::read_dir(cluster.dir().join("data/store")).unwrap();
        files
            .filter_map(|file| std::fs::read(file.unwrap().path()).ok())
            .any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    };
    assert!(stored(password));
    write(&format!("{own}, {{identity: {{}}}}"));
    let mut shell = Shell::new(cluster.dir());
    shell.exports = "export KUBECONFIG=kubeconfig/admin.conf; ".to_owned();
    let read = "get secret hidden -o jsonpath={.data.password}";
    let begun = std::time::Instant::now();
    let patient = || assert!(begun.elapsed().as_secs() < 120, "the password stays in the files");
    // The file is in force in a moment, and the store cleans itself in some more.
    while !stored("k8s:enc:secretbox:v1:key1:") {
        shell.run(commands[1]).ok();
        patient();
    }
    while stored(password) {
        assert_eq!(cluster.kubectl(read).ok(), password);
        patient();
    }
    assert_eq!(cluster.kubectl(read).ok(), password);
}

fn images(commands: &[&str]) {
    let cluster = Cluster::start();
    let shell = Shell::new(cluster.dir());
    shell.run("coxswain image build-demo image.tar").ok();
    shell.run(commands[0]).ok();
    let listed = shell.run(commands[1]).ok();
    assert!(listed.contains("coxswain.local/demo:v1"), "{listed}");
}

fn copied(commands: &[&str]) {
    let (place, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let shell = Shell::new(place.path());
    let listen = e2e::free_port();
    let start = |dir: &str| {
        format!("coxswain up --detach --runtime simulated --listen {listen} --dir {dir}")
    };
    let _first = Stopped(&shell, "D".to_owned());
    shell.run(&start("D")).ok();
    let kubectl = |dir: &str, words: &str| {
        shell.run(&format!("kubectl --kubeconfig {dir}/kubeconfig/admin.conf {words}"))
    };
    kubectl("D", "create configmap kept").ok();
    let to = backup.path().display().to_string();
    shell.run(&commands[0].replace("/backup", &to)).ok();
    let copy = std::fs::read_dir(backup.path()).unwrap().next().unwrap().unwrap().path();
    let copy = copy.display().to_string();
    let _second = Stopped(&shell, copy.clone());
    shell.run(&start(&copy)).ok();
    kubectl(&copy, "get configmap kept").ok();
}

/// A process that is ended with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).stderr(Stdio::null()).status();
        let _ = self.0.wait();
    }
}

fn components(commands: &[&str]) {
    let cluster = Cluster::place();
    let shell = Shell::new(cluster.dir());
    let everywhere = format!("0.0.0.0:{}", cluster.listen().port());
    let dir = cluster.dir().display().to_string();
    let [own, metrics, health] = [(); 3].map(|()| e2e::free_port().port());
    let mut running = Vec::new();
    for command in commands {
        // Options without which it would collide with other processes of this machine.
        let further = match command.split(' ').nth(1).unwrap() {
            "scheduler" | "controller-manager" => "--secure-port 0".to_owned(),
            "kubelet" => format!("--runtime simulated --data-dir {dir}/node"),
            "proxy" => format!(
                "--cluster-id tour{own} --metrics-bind-address 127.0.0.1:{metrics} \
                 --healthz-bind-address 127.0.0.1:{health}"
            ),
            _ => String::new(),
        };
        let values = [("0.0.0.0:6443", &*everywhere), ("10.0.0.5", "127.0.0.1"), ("D", &dir)];
        let command = filled(command, &values).replace("D/", &format!("{dir}/"));
        let child = shell.command(&format!("exec {command} {further}")).spawn().unwrap();
        running.insert(0, Ended(child));
        cluster.wait_served();
    }
    cluster.wait_created("serviceaccount/default");
    cluster.kubectl("create deployment web --image=simulated --replicas=2").ok();
    cluster.kubectl("rollout status deployment/web --timeout=60s").ok();
    cluster.kubectl("expose deployment web --port=80").ok();
    for child in &mut running {
        assert!(child.0.try_wait().unwrap().is_none(), "a component ended by itself");
    }
}

/// A containerd of its own, with a network that no pod uses.
fn containerd(commands: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().display();
    let config = format!(
        r#"version = 2
root = "{own}/root"
state = "{own}/state"
[grpc]
  address = "{own}/containerd.sock"
[ttrpc]
  address = "{own}/containerd.sock.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{own}/cni"
"#
    );
    std::fs::create_dir(dir.path().join("cni")).unwrap();
    let network = r#"{"cniVersion": "0.4.0", "name": "tour", "plugins": [{"type": "loopback"}]}"#;
    std::fs::write(dir.path().join("cni/10-tour.conflist"), network).unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, config).unwrap();
    let log = std::fs::File::create(dir.path().join("log")).unwrap();
    let child = Command::new("containerd").arg("--config").arg(path).stderr(log).spawn();
    let _containerd = Ended(child.expect("containerd starts"));
    let socket = dir.path().join("containerd.sock");
    let begun = std::time::Instant::now();
    while run(Command::new("ctr").arg("--address").arg(&socket).arg("version")).code != 0 {
        assert!(begun.elapsed().as_secs() < 60, "containerd does not answer");
    }
    let socket = format!("cri:{}", socket.display());
    let cluster = up(commands[0], &[("cri:/run/containerd/containerd.sock", &socket)]);
    let runtime = "get nodes -o jsonpath={.items[0].status.nodeInfo.containerRuntimeVersion}";
    assert!(cluster.kubectl(runtime).ok().starts_with("containerd://"));
}

#[test]
fn every_command_of_the_documents_is_run() {
    let documents: Vec<_> = [README, OPERATIONS].into_iter().flat_map(e2e::commands).collect();
    let known = |command: &str| {
        let run = RUN.iter().any(|(commands, _)| commands.contains(&command));
        run || ELSEWHERE.iter().any(|(elsewhere, _)| *elsewhere == command)
    };
    for command in &documents {
        assert!(known(command), "nothing runs {command:?}: add it to RUN");
    }
    for (commands, check) in RUN {
        for command in *commands {
            assert!(documents.iter().any(|c| c == command), "no document has {command:?}");
        }
        println!("{}", commands.join("\n"));
        check(commands);
    }
}

/// A line of output without what differs from run to run.
fn plain(line: &str) -> String {
    let line = line.replace(" deleted from default namespace", " deleted");
    let word = |word: &str| {
        if word == machine_name() || word == "vm" {
            return "NODE".to_owned();
        }
        if word.parse::<std::net::IpAddr>().is_ok() {
            return "ADDRESS".to_owned();
        }
        if let Some((before, name)) = word.split_once("web-")
            && name.split('-').count() == 2
        {
            return format!("{before}POD");
        }
        if let Some((name, path)) = word.split_once("=/") {
            return format!("{name}=/{}", path.rsplit('/').next().unwrap_or_default());
        }
        let is_age = |unit| {
            let number = word.strip_suffix(unit).unwrap_or_default();
            !number.is_empty() && number.chars().all(|c| c.is_ascii_digit())
        };
        if is_age('s') || is_age('m') { "AGE".to_owned() } else { word.to_owned() }
    };
    let words: Vec<_> = line.split_whitespace().map(word).collect();
    match &words[..] {
        // Pods of an undone rollout may still be ending.
        [found, _, rest @ ..] if found == "Found" => rest.join(" "),
        // Time since the start, and what has started.
        [time, unit, rest @ ..] if unit == "ms" && time.parse::<u32>().is_ok() => rest.join(" "),
        _ => words.join(" "),
    }
}

/// Every line that a document promises came.
fn compare(step: &Step, output: &str) {
    let mut came: Vec<_> = output.lines().map(plain).collect();
    for line in &step.output {
        let wanted = plain(line);
        let place = came.iter().position(|line| *line == wanted);
        let place = place.unwrap_or_else(|| {
            panic!("{} did not say {line:?} ({wanted:?}) but:\n{output}\n{came:#?}", step.command)
        });
        came.remove(place);
    }
}

#[test]
fn the_five_minutes_of_the_readme_are_as_it_says() {
    let steps = e2e::steps(README);
    let (start, steps) = steps.split_first().expect("steps");
    assert_eq!(start.command, "sudo cargo run --release -- up");
    let mut cluster = Cluster::place();
    let listen = cluster.listen().to_string();
    compare(start, &cluster.run(&["up", "--listen", &listen]));

    let dir = cluster.dir().to_owned();
    let mut shell = Shell::new(&dir);
    assert!(steps.len() > 10, "{steps:#?}");
    for step in steps {
        if step.command.starts_with("export ") {
            shell.exports.push_str(&format!("{}\n", step.command));
            continue;
        }
        println!("{}", step.command);
        let outcome = shell.run(&step.command);
        let fails = step.output.last().is_some_and(|line| line.starts_with("error: "));
        assert_eq!(outcome.code != 0, fails, "{}: {outcome:?}", step.command);
        compare(step, &format!("{}{}", outcome.stdout, outcome.stderr));
    }
    for command in [
        "kubectl get --raw /metrics",
        "kubectl get --raw /api/v1/nodes/NODE/proxy/metrics/cadvisor",
    ] {
        assert!(README.contains(&format!("`{command}`")), "{command} is not in the README");
        let metrics = shell.run(&command.replace("NODE", &machine_name())).ok();
        assert!(metrics.contains("# TYPE "), "{command}");
    }
}

#[test]
fn every_example_is_in_the_readme_and_runs() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let cluster = Cluster::start();
    let mut shell = Shell::new(root);
    shell.exports =
        format!("export KUBECONFIG={}/kubeconfig/admin.conf\n", cluster.dir().display());
    let words = README.split_whitespace().collect::<Vec<_>>().join(" ");
    for example in std::fs::read_dir(root.join("examples")).unwrap() {
        let name = example.unwrap().file_name().into_string().unwrap();
        let command = format!("kubectl apply -f examples/{name}");
        assert!(words.contains(&format!("`{command}`")), "{command} is not in the README");
        shell.run(&command).ok();
    }
    cluster.wait("-A --for=condition=Available deployment --all");
    cluster.wait("-A --for=condition=Complete job --all");
}
