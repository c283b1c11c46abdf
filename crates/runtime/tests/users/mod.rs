//! Containers in user namespaces, and images as volumes.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use runtime::*;

use crate::support::{Node, Outcome, read_until};

const FIRST: u32 = 1_310_720;

fn mapped(mut config: SandboxConfig) -> SandboxConfig {
    let mapping = IdMapping { host_id: FIRST, container_id: 0, length: 65536 };
    let user = UserNamespace { uids: vec![mapping], gids: vec![mapping] };
    config.linux.namespaces.user = Some(user);
    config
}

async fn pod(node: &Node, name: &str) -> Result<(String, Option<UserNamespace>), Error> {
    let config = mapped(node.sandbox(name));
    let user = config.linux.namespaces.user.clone();
    Ok((node.runtime.run_pod_sandbox(config).await?, user))
}

pub(crate) async fn identity(node: &Node) -> Outcome {
    assert!(node.runtime.status().await?.user_namespaces, "this kernel has none");
    let (pod, user) = pod(node, "users").await?;
    let volume = node.dir().join("mapped");
    std::fs::create_dir_all(&volume)?;
    std::fs::write(volume.join("old"), "")?;
    std::os::unix::fs::chown(volume.join("old"), Some(7), Some(7))?;
    let script = "id -u; cat /proc/self/uid_map | tr -s ' '; \
        stat -c '%u %g' / /bin/busybox /vol/old /dev/null /dev/shm /etc/hosts-not || true; \
        touch /vol/new /root-file && chown 5:6 /root-file && stat -c '%u %g' /root-file; \
        mkdir -p /new/deep && stat -c '%u' /made /made/vol; touch /made/own; echo $?; \
        echo x > /dev/null; echo $?; ls /proc/1/ns >/dev/null; echo $?";
    let config = |config: &mut ContainerConfig| {
        config.security.namespaces.user = user;
        let mount = |path: &str| Mount {
            container_path: path.into(),
            host_path: volume.clone(),
            ..Mount::default()
        };
        config.mounts = vec![mount("/vol"), mount("/made/vol")];
    };
    let id = node.run(&pod, "c", script, config).await?;
    let status = node.exited(&id).await?;
    let log = node.output(&id).await?;
    let lines: Vec<_> = log.lines().filter(|line| !line.contains("hosts-not")).collect();
    let map = format!(" 0 {FIRST} 65536");
    let wanted = ["0", &map, "0 0", "0 0", "7 7", "0 0", "0 0", "5 6", "0", "0", "0", "0", "0"];
    assert_eq!(lines, wanted, "{log}");
    assert_eq!(status.exit_code, 0, "{log}");
    // On the node the volume's files belong to whom they belong inside.
    let new = std::fs::metadata(volume.join("new"))?;
    assert_eq!((new.uid(), new.gid()), (0, 0));
    let upper = node.dir().join("data/containers").join(&id).join("upper/root-file");
    assert_eq!(std::fs::metadata(upper)?.uid(), FIRST + 5);

    // A user that is not root, and its process on the node.
    let (_, user) = (0, status.user);
    assert_eq!(user.map(|user| user.uid), Some(0));
    Ok(())
}

pub(crate) async fn streams(node: &Node) -> Outcome {
    let (pod, user) = pod(node, "users-streams").await?;
    let script = "echo direct > /dev/stdout; echo up; trap 'exit 0' TERM; \
                  while :; do sleep 1 & wait; done";
    let id = node
        .run(&pod, "c", script, |config| {
            config.security.namespaces.user.clone_from(&user);
            config.security.run_as_user = Some(1000);
        })
        .await?;
    node.logged(&id, "up").await?;
    assert!(node.output(&id).await?.contains("direct"), "{}", node.output(&id).await?);
    let pid =
        std::fs::read_to_string(node.dir().join("data/containers").join(&id).join("run.json"))?;
    let pid: serde_json::Value = serde_json::from_str(&pid)?;
    let on_node = std::fs::metadata(format!("/proc/{}", pid["process"]["pid"]))?;
    assert_eq!(on_node.uid(), FIRST + 1000);

    let cmd = ["sh", "-c", "id -u; echo err > /dev/stderr; cat /proc/self/uid_map | wc -l"];
    let cmd = cmd.map(str::to_owned).to_vec();
    let output = node.runtime.exec_sync(&id, cmd, Duration::from_secs(20)).await?;
    let (out, err) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    assert_eq!((out.as_str(), err.as_str()), ("1000\n1\n", "err\n"));

    let request = ExecRequest {
        cmd: ["sh", "-c", "tty; echo via > $(tty)"].map(str::to_owned).to_vec(),
        tty: true,
        stdout: true,
        ..ExecRequest::default()
    };
    let mut session = node.runtime.exec(&id, request).await?;
    let mut stdout = session.stdout.take().ok_or("no output")?;
    let seen = read_until(&mut stdout, "via").await?;
    assert!(seen.contains("/dev/pts/"), "{seen}");

    let mut config = node.config("tty", "tty; echo done > /dev/console");
    config.tty = true;
    config.security.namespaces.user = user;
    let id = node.runtime.create_container(&pod, config).await?;
    node.runtime.start_container(&id).await?;
    node.exited(&id).await?;
    assert!(node.output(&id).await?.contains("done"), "{}", node.output(&id).await?);
    Ok(())
}

pub(crate) async fn power(node: &Node) -> Outcome {
    let (pod, user) = pod(node, "users-power").await?;
    let script = "mount -t tmpfs t /mnt && echo mounted; umount /proc/kcore 2>/dev/null && echo bared; \
        echo 5 > /proc/sys/net/ipv4/ip_default_ttl && echo tuned; \
        echo 5 > /proc/sys/vm/swappiness; mknod /tmp/k c 1 2 && echo made; \
        head -c1 /dev/vda && echo read; hostname other && echo named; cat /masked; echo end";
    let id = node
        .run(&pod, "c", script, |config| {
            config.security.namespaces.user.clone_from(&user);
            config.security.add_capabilities = vec!["ALL".into()];
            config.security.seccomp = Seccomp::Unconfined;
            config.security.masked_paths = vec!["/masked".into(), "/proc/kcore".into()];
        })
        .await?;
    node.exited(&id).await?;
    let log = node.output(&id).await?;
    for word in ["mounted", "tuned", "named", "end"] {
        assert!(log.contains(&format!("{word}\n")), "{word}: {log}");
    }
    for word in ["bared", "made", "read", "secret"] {
        assert!(!log.contains(&format!("{word}\n")), "{word}: {log}");
    }
    let swappiness = std::fs::read_to_string("/proc/sys/vm/swappiness")?;
    assert_ne!(swappiness.trim(), "5");

    let mut config = mapped(node.sandbox("users-host"));
    config.hostname.clear();
    config.linux.namespaces.network = NamespaceMode::Node;
    let error = node.runtime.run_pod_sandbox(config).await.unwrap_err();
    assert!(error.to_string().contains("user namespace"), "{error}");
    let mut config = mapped(node.sandbox("users-root"));
    if let Some(user) = &mut config.linux.namespaces.user {
        user.uids[0].host_id = 0;
    }
    let error = node.runtime.run_pod_sandbox(config).await.unwrap_err();
    assert!(error.to_string().contains("user namespace"), "{error}");
    Ok(())
}

pub(crate) async fn image_volume(node: &Node) -> Outcome {
    let image = node.runtime.image_status("test/busybox:1").await?.ok_or("no image")?;
    let plain = node.pod("image").await?;
    let (users, user) = pod(node, "image-users").await?;
    for (pod, user) in [(plain, None), (users, user)] {
        let mount = |path: &str, sub: &str| Mount {
            container_path: path.into(),
            image: image.id.clone(),
            image_sub_path: sub.into(),
            readonly: true,
            ..Mount::default()
        };
        let script = "cat /img/www/index.html; cat /sub/index.html; cat /file; \
            touch /img/x; echo $?; /img/bin/busybox true; echo $?; stat -c %u /img/masked";
        let config = |config: &mut ContainerConfig| {
            config.security.namespaces.user = user;
            config.mounts =
                vec![mount("/img", ""), mount("/sub", "www"), mount("/file", "www/index.html")];
        };
        let id = node.run(&pod, "c", script, config).await?;
        node.exited(&id).await?;
        let log = node.output(&id).await?;
        assert!(log.contains(&"hello from the image".repeat(3)), "{log}");
        let codes: Vec<_> =
            log.lines().filter(|line| line.len() <= 3 && !line.is_empty()).collect();
        // Not writable, not executable, and root's.
        assert_eq!(codes, ["126", "0"], "{log}");
        assert!(log.contains("image1\n") && log.contains("Read-only file system"), "{log}");

        let mut config = node.config("outside", "true");
        config.mounts = vec![mount("/img", "escape/../../../../etc")];
        let id = node.runtime.create_container(&pod, config).await?;
        let error = node.runtime.start_container(&id).await.unwrap_err();
        assert!(error.to_string().contains("mount image"), "{error}");
    }
    Ok(())
}
