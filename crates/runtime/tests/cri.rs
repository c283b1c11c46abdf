//! The CRI client with a containerd of its own. Needs root, containerd, runc, the CNI plugins and
//! a static busybox (`cargo xtask test` installs them).
#![allow(clippy::unwrap_used)]

mod containerd;

use std::time::Duration;

use containerd::Containerd;
use runtime::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type Outcome = std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>;

#[tokio::test]
async fn containerd_runs_pods() -> Outcome {
    let node = Containerd::start().await?;
    let cri = node.connect().await?;
    assert_eq!(cri.version().await?.runtime_name, "containerd");
    let status = cri.status().await?;
    assert!(status.runtime_ready && status.network_ready, "{status:?}");
    cri.update_pod_cidrs(vec!["10.99.0.0/24".parse()?]).await?;

    images(&cri).await?;
    let sandbox = lifecycle(&node, &cri).await?;
    let id = node.container(&cri, &sandbox, "work", "cat; sleep 1000", |_| {}).await?;
    cri.start_container(&id).await?;
    commands(&cri, &id).await?;
    usage(&cri, &sandbox, &id).await?;
    attaching(&node, &cri, &sandbox).await?;
    forwarding(&node, &cri, &sandbox).await?;
    restarted(&node, &sandbox).await?;
    removal(&node, &cri, &sandbox, &id).await?;
    node.end();
    Ok(())
}

async fn images(cri: &cri::Cri) -> Outcome {
    assert!(cri.image_status("test/absent:1").await?.is_none());
    let image = cri.image_status(containerd::IMAGE).await?.unwrap();
    assert_eq!(image.config.env, ["FROM_IMAGE=image"]);
    assert_eq!(image.config.entrypoint, ["/bin/sh", "-c"]);
    assert!(cri.list_images().await?.iter().any(|listed| listed.id == image.id));
    let usage = cri.image_fs_info().await?;
    assert!(usage.capacity_bytes > usage.available_bytes, "{usage:?}");

    let refused = cri.pull_image("127.0.0.1:1/no/registry:1", None).await.unwrap_err();
    let Error::ImagePull(PullError::RegistryUnavailable { message, .. }) = &refused else {
        panic!("{refused:?}")
    };
    assert!(message.contains("connection refused"), "{message}");
    let invalid = cri.pull_image("Not A Name", None).await.unwrap_err();
    assert!(matches!(invalid, Error::ImagePull(PullError::InvalidName { .. })), "{invalid:?}");
    let import = cri.import_image("x.tar".as_ref()).await.unwrap_err();
    assert!(import.to_string().contains("ctr -n k8s.io images import"), "{import}");
    Ok(())
}

/// From created to exited, with what is logged and announced on the way.
async fn lifecycle(
    node: &Containerd,
    cri: &cri::Cri,
) -> std::result::Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let mut events = cri.events();
    let config = node.sandbox("pod");
    let sandbox = cri.run_pod_sandbox(config.clone()).await?;
    let status = cri.pod_sandbox_status(&sandbox).await?;
    assert_eq!((status.state, &status.metadata), (SandboxState::Ready, &config.metadata));
    assert_eq!(status.annotations, config.annotations);
    assert!(status.ips[0].to_string().starts_with("10.98."), "{:?}", status.ips);

    let script = "echo one; echo two >&2; echo $FROM_IMAGE $MINE; id -u; exit 3";
    let set = |config: &mut ContainerConfig| {
        config.envs = vec![("MINE".into(), "mine".into())];
        config.security.run_as_user = Some(1000);
        config.labels.insert("find".into(), "me".into());
    };
    let id = node.container(cri, &sandbox, "first", script, set).await?;
    assert_eq!(cri.container_status(&id).await?.state, ContainerState::Created);
    cri.start_container(&id).await?;
    let status = until_exited(cri, &id).await?;
    assert_eq!((status.exit_code, status.reason.as_str()), (3, "Error"));
    assert!(status.started_at.is_some() && status.started_at <= status.finished_at);
    assert_eq!(status.sandbox_id, sandbox);
    let log = std::fs::read_to_string(&status.log_path)?;
    for line in ["stdout F one", "stderr F two", "stdout F image mine", "stdout F 1000"] {
        assert!(log.contains(line), "{line} is not in {log}");
    }
    // Every change is announced, however it is found out.
    loop {
        let event = events.recv().await?;
        assert_eq!(event.pod_uid, "uid-pod");
        if event.container_id == id && event.kind == ContainerEventKind::Stopped {
            break;
        }
    }
    cri.reopen_container_log(&id).await.unwrap_err();

    let labels = [("find".to_owned(), "me".to_owned())].into();
    let filter = ContainerFilter { labels, ..ContainerFilter::default() };
    let found = cri.list_containers(filter).await?;
    assert_eq!(found.iter().map(|found| &found.id).collect::<Vec<_>>(), [&id]);

    let twice = node.container(cri, &sandbox, "first", script, |_| {}).await;
    assert!(twice.is_err(), "its name is taken");
    let missing = |config: &mut ContainerConfig| config.command = vec!["/no/such".into()];
    let id = node.container(cri, &sandbox, "missing", "", missing).await?;
    let failed = cri.start_container(&id).await.unwrap_err();
    let Error::Start { message, .. } = &failed else { panic!("{failed:?}") };
    assert!(message.contains("no such file or directory"), "{message}");
    assert_eq!(cri.container_status(&id).await?.reason, "StartError");
    Ok(sandbox)
}

async fn until_exited(cri: &cri::Cri, id: &str) -> Result<ContainerStatus> {
    let mut events = cri.events();
    loop {
        let status = cri.container_status(id).await?;
        if status.state == ContainerState::Exited {
            return Ok(status);
        }
        events.recv().await.ok();
    }
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

async fn commands(cri: &cri::Cri, id: &str) -> Outcome {
    let script = ["sh", "-c", "echo out; echo err >&2; exit 7"].map(str::to_owned).to_vec();
    let output = cri.exec_sync(id, script.clone(), Duration::from_secs(10)).await?;
    assert_eq!(output.exit_code, 7);
    assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
    let slow = cri.exec_sync(id, words("sleep 60"), Duration::from_secs(1)).await;
    assert!(matches!(slow, Err(Error::DeadlineExceeded(_))), "{slow:?}");

    let request =
        ExecRequest { cmd: words("wc -c"), stdin: true, stdout: true, ..ExecRequest::default() };
    let mut session = cri.exec(id, request).await?;
    let mut stdin = session.stdin.take().unwrap();
    let writing = tokio::spawn(async move {
        stdin.write_all(&vec![b'x'; 1_000_000]).await?;
        // Only now does wc count, while its output is still to come.
        stdin.shutdown().await
    });
    let mut counted = String::new();
    session.stdout.take().unwrap().read_to_string(&mut counted).await?;
    writing.await??;
    assert_eq!(counted.trim(), "1000000");
    assert_eq!(session.exit.await?, 0);

    let request = ExecRequest { cmd: script, stdout: true, stderr: true, ..Default::default() };
    let mut session = cri.exec(id, request).await?;
    let (mut out, mut err) = (String::new(), String::new());
    let (mut stdout, mut stderr) = (session.stdout.take().unwrap(), session.stderr.take().unwrap());
    let (code, _, _) = tokio::join!(
        session.exit,
        stdout.read_to_string(&mut out),
        stderr.read_to_string(&mut err)
    );
    assert_eq!((code?, out.as_str(), err.as_str()), (7, "out\n", "err\n"));

    let request = ExecRequest {
        cmd: ["sh", "-c", "read go; stty size"].map(str::to_owned).to_vec(),
        tty: true,
        stdin: true,
        stdout: true,
        ..Default::default()
    };
    let mut session = cri.exec(id, request).await?;
    let size = TerminalSize { width: 123, height: 45 };
    session.resize.as_ref().unwrap().send(size).await?;
    session.stdin.as_mut().unwrap().write_all(b"\n").await?;
    let mut out = String::new();
    session.stdout.take().unwrap().read_to_string(&mut out).await?;
    assert_eq!(session.exit.await?, 0, "{out}");

    let missing = ExecRequest { cmd: words("nosuchprogram"), stdout: true, ..Default::default() };
    let failed = cri.exec(id, missing).await?.exit.await.unwrap_err();
    assert!(failed.to_string().contains("executable file not found in $PATH"), "{failed}");
    let absent = cri.exec_sync("absent", words("true"), Duration::ZERO).await;
    assert!(matches!(absent, Err(Error::NotFound(_))), "{absent:?}");
    Ok(())
}

async fn usage(cri: &cri::Cri, sandbox: &str, id: &str) -> Outcome {
    let stats = cri.container_stats(id).await?;
    assert_eq!((stats.id.as_str(), stats.metadata.name.as_str()), (id, "work"));
    assert!(stats.usage.cpu_usage_nanos > 0 && stats.usage.memory_working_set > 0, "{stats:?}");
    let stats = cri.pod_sandbox_stats(sandbox).await?;
    assert_eq!(stats.metadata.name, "pod");
    assert!(stats.network.is_some_and(|network| network.interface == "eth0"));
    let limits = Resources { memory_limit: Some(64 << 20), ..Resources::default() };
    cri.update_container_resources(id, limits).await?;
    Ok(())
}

async fn attaching(node: &Containerd, cri: &cri::Cri, sandbox: &str) -> Outcome {
    let open = |config: &mut ContainerConfig| {
        config.stdin = true;
        config.stdin_once = true;
    };
    let id = node.container(cri, sandbox, "attached", "cat; exit 5", open).await?;
    cri.start_container(&id).await?;
    let request = AttachRequest { stdin: true, stdout: true, stderr: true };
    let mut session = cri.attach(&id, request.clone()).await?;
    let mut stdin = session.stdin.take().unwrap();
    stdin.write_all(b"said to the process\n").await?;
    let mut line = [0; 20];
    let mut stdout = session.stdout.take().unwrap();
    stdout.read_exact(&mut line).await?;
    assert_eq!(&line, b"said to the process\n");
    stdin.shutdown().await?;
    session.exit.await?;
    assert_eq!(until_exited(cri, &id).await?.exit_code, 5);
    let late = cri.attach(&id, request).await;
    assert!(matches!(late, Err(Error::FailedPrecondition(_))), "{late:?}");
    Ok(())
}

async fn forwarding(node: &Containerd, cri: &cri::Cri, sandbox: &str) -> Outcome {
    let script = "httpd -f -p 8080 -h /www";
    let id = node.container(cri, sandbox, "web", script, |_| {}).await?;
    cri.start_container(&id).await?;
    let listening = "until wget -qO- http://127.0.0.1:8080/; do sleep 0.1; done";
    let ready = ["sh", "-c", listening].map(str::to_owned).to_vec();
    cri.exec_sync(&id, ready, Duration::from_secs(20)).await?;
    let mut connection = cri.port_forward(sandbox, 8080).await?;
    connection.write_all(b"GET /index.html HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    assert!(answer.contains("200 OK") && answer.ends_with("hello from the image"), "{answer}");
    let mut closed = cri.port_forward(sandbox, 81).await?;
    let error = closed.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert!(error.to_string().contains("connection refused"), "{error}");
    Ok(())
}

/// A kubelet that starts anew knows its pods' configuration from the runtime.
async fn restarted(node: &Containerd, sandbox: &str) -> Outcome {
    let cri = node.connect().await?;
    let id = node.container(&cri, sandbox, "later", "true", |_| {}).await?;
    cri.start_container(&id).await?;
    let status = until_exited(&cri, &id).await?;
    assert_eq!((status.exit_code, status.reason.as_str()), (0, "Completed"));
    assert!(status.log_path.starts_with(node.sandbox("pod").log_directory));
    Ok(())
}

async fn removal(node: &Containerd, cri: &cri::Cri, sandbox: &str, id: &str) -> Outcome {
    for _ in 0..2 {
        cri.stop_container(id, Duration::from_millis(100)).await?;
    }
    assert_eq!(until_exited(cri, id).await?.exit_code, 137);
    let exec = cri.exec_sync(id, words("true"), Duration::ZERO).await;
    assert!(exec.is_err(), "it has exited");
    for _ in 0..2 {
        cri.remove_container(id).await?;
    }
    let gone = cri.container_status(id).await;
    assert!(matches!(gone, Err(Error::NotFound(_))), "{gone:?}");
    let cgroup = node.cgroup_directory("pod");
    assert!(cgroup.exists());
    for _ in 0..2 {
        cri.stop_pod_sandbox(sandbox).await?;
    }
    let filter = SandboxFilter { state: Some(SandboxState::NotReady), ..Default::default() };
    assert_eq!(cri.list_pod_sandboxes(filter).await?[0].id, sandbox);
    for _ in 0..2 {
        cri.remove_pod_sandbox(sandbox).await?;
    }
    assert!(!cgroup.exists(), "{}", cgroup.display());
    let second = cri.run_pod_sandbox(node.sandbox("second")).await?;
    assert_eq!(cri.list_pod_sandboxes(SandboxFilter::default()).await?[0].id, second);
    cri.destroy_all().await?;
    assert!(cri.list_pod_sandboxes(SandboxFilter::default()).await?.is_empty());
    assert!(cri.list_containers(ContainerFilter::default()).await?.is_empty());
    cri.remove_image(containerd::IMAGE).await?;
    cri.remove_image(containerd::IMAGE).await?;
    assert!(cri.image_status(containerd::IMAGE).await?.is_none());
    Ok(())
}
