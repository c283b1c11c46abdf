//! Images and containers that attack the node.

use std::os::unix::fs::{MetadataExt, symlink};
use std::time::Duration;

use runtime::*;

use crate::support::{self, Node, Outcome};

/// A volume at `/dev` or `/dev/pts` brings its own null device and terminals.
pub(crate) async fn masks(node: &Node) -> Outcome {
    let pod = node.pod("masks").await?;
    let dev = node.dir().join("dev");
    std::fs::create_dir_all(dev.join("pts"))?;
    symlink("/proc/sys/kernel/hostname", dev.join("null"))?;
    let mount = |path: &str, host: &std::path::Path| Mount {
        container_path: path.into(),
        host_path: host.to_owned(),
        ..Mount::default()
    };
    let script = "cat /masked; echo -n; stat -c %F /masked";
    let id = node
        .run(&pod, "null", script, |config| {
            config.mounts = vec![mount("/dev", &dev)];
            config.security.masked_paths = vec!["/masked".into()];
        })
        .await?;
    node.exited(&id).await?;
    let log = node.output(&id).await?;
    assert!(log.contains("character special file") && !log.contains("masks"), "{log}");

    // A terminal's number is that of a link to elsewhere.
    let pts = node.dir().join("pts");
    std::fs::create_dir_all(&pts)?;
    for number in 0..4 {
        symlink("/proc/sysrq-trigger", pts.join(number.to_string()))?;
    }
    symlink("/dev/ptmx", pts.join("ptmx"))?;
    let mut config = node.config("pts", "true");
    config.tty = true;
    config.mounts = vec![mount("/dev/pts", &pts)];
    let id = node.runtime.create_container(&pod, config).await?;
    let error = node.runtime.start_container(&id).await.unwrap_err();
    assert!(error.to_string().contains("terminal"), "{error}");
    Ok(())
}

/// Instead of a user database, the image has a FIFO or a device without an end.
pub(crate) async fn image(node: &Node) -> Outcome {
    let pod = node.pod("fifo").await?;
    for (name, make) in [("fifo", "mkfifo /etc/passwd"), ("zero", "ln -s /dev/zero /etc/passwd")] {
        let script =
            format!("{make} && echo made; trap 'exit 0' TERM; while :; do sleep 1 & wait; done");
        let id = node.run(&pod, name, &script, |_| {}).await?;
        node.logged(&id, "made").await?;
        let cmd = ["echo", "0"].map(str::to_owned).to_vec();
        let output = node.runtime.exec_sync(&id, cmd, Duration::from_secs(20)).await?;
        assert_eq!(output.stdout, b"0\n", "{name}");
    }
    Ok(())
}

/// A path through a descriptor that the runtime has open, as CVE-2024-21626.
pub(crate) async fn working_directory(node: &Node) -> Outcome {
    let pod = node.pod("cwd").await?;
    for number in 3..12 {
        let mut config = node.config(&format!("fd{number}"), "ls ../../..");
        config.working_dir = format!("/proc/self/fd/{number}");
        let id = node.runtime.create_container(&pod, config).await?;
        let error = node.runtime.start_container(&id).await.unwrap_err().to_string();
        assert!(error.contains("cwd"), "{number}: {error}");
    }
    let id = node
        .run(&pod, "link", "pwd", |config| config.working_dir = "/escape/../down".into())
        .await?;
    assert_eq!(node.exited(&id).await?.exit_code, 0, "{}", node.output(&id).await?);
    assert!(!std::path::Path::new("/tmp/down").exists());
    Ok(())
}

/// The hard link of one layer to a link of another is that link, inside.
pub(crate) async fn layers(node: &Node) -> Outcome {
    let secret = node.dir().join("secret");
    std::fs::write(&secret, "of the node")?;
    let path = node.dir().join("hostile.tar");
    support::linked_archive(&path, secret.to_str().unwrap_or_default())?;
    node.runtime.import_image(&path).await?;
    let pod = node.pod("layers").await?;
    let id = node
        .run(&pod, "c", "cat /hl; cat /door/shadow; ls /door", |config| {
            config.image = "hostile:1".into();
            config.command = ["/bin/busybox", "sh", "-c"].map(str::to_owned).to_vec();
        })
        .await?;
    node.exited(&id).await?;
    let log = node.output(&id).await?;
    assert!(!log.contains("of the node") && log.contains("No such file"), "{log}");
    assert_eq!(std::fs::metadata(&secret)?.nlink(), 1);
    Ok(())
}

pub(crate) async fn sysctls(node: &Node) -> Outcome {
    let before = std::fs::read_to_string("/proc/sys/kernel/core_pattern")?;
    let attempt = |name: &str, number: usize, change: fn(&mut SandboxConfig)| {
        let mut config = node.sandbox(&format!("sysctl{number}"));
        config.linux.sysctls = [(name.to_owned(), "|/x".to_owned())].into();
        change(&mut config);
        node.runtime.run_pod_sandbox(config)
    };
    for (number, name) in [
        "kernel.core_pattern",
        "kernel/core_pattern",
        "vm.swappiness",
        "net/../kernel/core_pattern",
    ]
    .into_iter()
    .enumerate()
    {
        let error = attempt(name, number, |_| {}).await.unwrap_err();
        assert!(matches!(error, Error::Internal(_)), "{error:?}");
    }
    let on_node = |config: &mut SandboxConfig| {
        config.hostname.clear();
        config.linux.namespaces.network = NamespaceMode::Node;
    };
    assert!(attempt("net.core.somaxconn", 9, on_node).await.is_err());
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/core_pattern")?, before);

    let mut config = node.sandbox("sysctl");
    config.linux.sysctls = [("net.core.somaxconn", "77"), ("kernel.msgmax", "4242")]
        .map(|(n, v)| (n.into(), v.into()))
        .into();
    let pod = node.runtime.run_pod_sandbox(config).await?;
    let script = "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax";
    let id = node.run(&pod, "c", script, |_| {}).await?;
    node.exited(&id).await?;
    assert_eq!(node.output(&id).await?, "77\n4242\n");
    Ok(())
}

/// A container's environment has secrets; so have the runtime's records of it.
pub(crate) async fn records(node: &Node) -> Outcome {
    let pod = node.pod("records").await?;
    let id = node.run(&pod, "c", "ls -ld / | cut -c1-10; id -u", |config| {
        config.envs = vec![("PASSWORD".into(), "hunter2".into())];
        config.security.run_as_user = Some(1000);
    });
    let id = id.await?;
    node.exited(&id).await?;
    assert_eq!(node.output(&id).await?, "drwxr-xr-x\n1000\n");
    let data = node.dir().join("data");
    let mode = |path: &std::path::Path| std::fs::metadata(path).map(|found| found.mode() & 0o777);
    for name in ["", "containers", "sandboxes", "images", "layers"] {
        assert_eq!(mode(&data.join(name))?, 0o700, "{name}");
    }
    let directory = data.join("containers").join(&id);
    for name in ["spec.json", "container.json", "run.json", "exit.json"] {
        assert_eq!(mode(&directory.join(name))?, 0o600, "{name}");
    }
    assert_eq!(mode(&data.join("sandboxes").join(&pod).join("sandbox.json"))?, 0o600);
    Ok(())
}
