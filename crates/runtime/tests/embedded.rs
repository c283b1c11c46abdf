//! The embedded runtime with real containers. Needs root and a static busybox.
//!
//! Without the usual test harness, because this binary is also its own shim.
#![allow(clippy::unwrap_used)]

mod hostile;
mod support;
mod users;

use std::time::Duration;

use runtime::embedded::Embedded;
use runtime::*;
use support::{Node, Outcome, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn main() {
    runtime::maybe_run_shim();
    if std::env::args().nth(1).as_deref() == Some("owner") {
        support::own(std::env::args().nth(2).expect("a directory"));
    }
    run(&[
        ("a_container_runs_and_its_output_is_logged", |n| Box::pin(output_is_logged(n))),
        ("environment_user_and_working_directory_apply", |n| Box::pin(identity(n))),
        ("commands_run_inside", |n| Box::pin(exec(n))),
        ("a_terminal_works", |n| Box::pin(terminal(n))),
        ("attach_reaches_the_process", |n| Box::pin(attach(n))),
        ("the_root_can_be_read_only", |n| Box::pin(readonly(n))),
        ("the_memory_limit_kills", |n| Box::pin(memory(n))),
        ("the_default_seccomp_profile_and_capabilities_hold", |n| Box::pin(confinement(n))),
        ("stop_is_graceful_then_forceful", |n| Box::pin(stop(n))),
        ("a_missing_program_is_a_start_error", |n| Box::pin(missing_program(n))),
        ("mounts_cannot_be_led_astray", |n| Box::pin(mounts(n))),
        ("a_container_cannot_redirect_its_masks", |n| Box::pin(hostile::masks(n))),
        ("nothing_in_an_image_is_waited_for", |n| Box::pin(hostile::image(n))),
        ("a_working_directory_is_inside", |n| Box::pin(hostile::working_directory(n))),
        ("a_layer_cannot_take_files_of_the_node", |n| Box::pin(hostile::layers(n))),
        ("parameters_of_the_node_stay", |n| Box::pin(hostile::sysctls(n))),
        ("records_are_private", |n| Box::pin(hostile::records(n))),
        ("images_are_mounted", |n| Box::pin(users::image_volume(n))),
        ("root_of_a_user_namespace_is_nobody_outside", |n| Box::pin(users::identity(n))),
        ("a_user_namespace_has_streams_and_terminals", |n| Box::pin(users::streams(n))),
        ("a_user_namespace_shares_no_power_with_the_node", |n| Box::pin(users::power(n))),
        ("a_shared_pid_namespace_shows_all_processes", |n| Box::pin(shared_pids(n))),
        ("pods_reach_each_other_and_their_ports", |n| Box::pin(pod_network(n))),
        ("a_lost_bridge_is_made_again", |n| Box::pin(lost_bridge(n))),
        ("containers_outlive_their_owner", |n| Box::pin(adoption(n))),
        ("a_killed_prepared_shim_is_replaced", |n| Box::pin(prepared_shim(n))),
        ("usage_is_measured", |n| Box::pin(usage(n))),
        ("a_docker_archive_with_many_layers_runs", |n| Box::pin(docker_archive(n))),
        ("many_pods_start_at_once", |n| Box::pin(many(n))),
    ]);
}

async fn output_is_logged(node: &Node) -> Outcome {
    let pod = node.pod("logs").await?;
    let id = node.create(&pod, "c", "echo one; echo two >&2; printf three; exit 3", |_| {}).await?;
    let mut events = node.runtime.events();
    node.runtime.start_container(&id).await?;
    let status = node.exited(&id).await?;
    assert_eq!((status.exit_code, status.reason.as_str()), (3, "Error"));
    assert!(status.started_at <= status.finished_at);
    let log = std::fs::read_to_string(&status.log_path)?;
    let lines: Vec<_> = log.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(lines.len(), 3, "{log}");
    for line in ["stdout F one", "stderr F two", "stdout P three"] {
        assert!(lines.contains(&line), "{line} is not in {log}");
    }
    let kinds = [events.recv().await?.kind, events.recv().await?.kind];
    assert_eq!(kinds, [ContainerEventKind::Started, ContainerEventKind::Stopped]);

    let long = "i=0; while [ $i -lt 3000 ]; do printf 1234567; i=$((i+1)); done; echo";
    let id = node.run(&pod, "long", long, |_| {}).await?;
    let log = std::fs::read_to_string(node.exited(&id).await?.log_path)?;
    let tags: Vec<_> = log.lines().map(|line| line.split(' ').nth(2).unwrap()).collect();
    assert_eq!(tags, ["P", "F"]);
    Ok(())
}

async fn identity(node: &Node) -> Outcome {
    let pod = node.pod("identity").await?;
    let script = "id -u; id -g; id -G; pwd; echo $FROM_IMAGE $MINE $HOME; hostname; cat /proc/self/oom_score_adj";
    let id = node
        .run(&pod, "c", script, |config| {
            config.envs = vec![("MINE".into(), "mine".into())];
            config.working_dir = "/made/on/demand".into();
            config.security.run_as_user = Some(1000);
            config.security.run_as_group = Some(2000);
            config.security.supplemental_groups = vec![3000];
            config.resources.oom_score_adj = Some(500);
        })
        .await?;
    let status = node.exited(&id).await?;
    let expected = "1000\n2000\n2000 3000\n/made/on/demand\nimage mine /\nidentity\n500\n";
    assert_eq!(node.output(&id).await?, expected);
    let user = status.user.unwrap();
    assert_eq!((user.uid, user.gid, user.supplemental_groups), (1000, 2000, vec![2000, 3000]));
    Ok(())
}

async fn exec(node: &Node) -> Outcome {
    let pod = node.pod("exec").await?;
    let id =
        node.run(&pod, "c", "trap 'exit 0' TERM; while :; do sleep 1 & wait; done", |_| {}).await?;
    let sync = |cmd: &str| node.runtime.exec_sync(&id, words(cmd), Duration::from_secs(10));
    let output = sync("sh -c 'echo out; echo err >&2; echo $FROM_IMAGE; exit 7'").await?;
    assert_eq!(output.exit_code, 7);
    assert_eq!(output.stdout, b"out\nimage\n");
    assert_eq!(output.stderr, b"err\n");

    // A command that could not be executed has not exited.
    for (program, why) in [
        ("nosuchprogram", "executable file not found in $PATH"),
        ("/no/such/program", "stat /no/such/program: no such file or directory"),
        ("/etc", "is a directory"),
    ] {
        let request = ExecRequest { cmd: words(program), stdout: true, ..Default::default() };
        let asked = node.runtime.exec(&id, request).await.map(drop);
        for refused in [sync(program).await.map(drop), asked] {
            let text = refused.unwrap_err().to_string();
            let begins = "failed to exec in container: failed to start exec \"";
            let ends = format!(
                "\": OCI runtime exec failed: exec failed: unable to start container process: exec: \
                 {program:?}: {why}: unknown"
            );
            assert!(text.starts_with(begins) && text.ends_with(&ends), "{text}");
        }
    }

    let pids = String::from_utf8(sync("sh -c 'ls -d /proc/[0-9]*'").await?.stdout)?;
    assert!(pids.lines().any(|line| line == "/proc/1") && pids.lines().count() < 6, "{pids}");

    let refused = sync("unshare -n true").await?;
    assert_ne!(refused.exit_code, 0, "the seccomp filter must hold in exec too");

    let slow = node.runtime.exec_sync(&id, words("sleep 60"), Duration::from_millis(300)).await;
    assert!(matches!(slow, Err(Error::DeadlineExceeded(_))), "{slow:?}");
    node.until_no_process(&id, "sleep 60").await?;

    let request =
        ExecRequest { cmd: words("cat"), stdin: true, stdout: true, ..ExecRequest::default() };
    let mut session = node.runtime.exec(&id, request).await?;
    let mut stdin = session.stdin.take().unwrap();
    stdin.write_all(b"through").await?;
    drop(stdin);
    let mut echoed = String::new();
    session.stdout.take().unwrap().read_to_string(&mut echoed).await?;
    assert_eq!(echoed, "through");
    assert_eq!(session.exit.await?, 0);

    let gone = node.runtime.exec_sync(&"0".repeat(64), words("true"), Duration::ZERO).await;
    assert!(matches!(gone, Err(Error::NotFound(_))));
    Ok(())
}

async fn terminal(node: &Node) -> Outcome {
    let pod = node.pod("tty").await?;
    let id = node
        .run(&pod, "c", "tty; exec cat", |config| {
            config.tty = true;
            config.stdin = true;
        })
        .await?;
    let request = ExecRequest {
        cmd: words(
            "sh -c 'tty; read x; until [ \"$(stty size)\" = \"33 91\" ]; do sleep 0.01; done; echo fits; exit 4'",
        ),
        tty: true,
        stdin: true,
        stdout: true,
        stderr: false,
    };
    let mut session = node.runtime.exec(&id, request).await?;
    session.resize.as_ref().unwrap().send(TerminalSize { width: 91, height: 33 }).await?;
    let mut stdout = session.stdout.take().unwrap();
    support::read_until(&mut stdout, "/dev/pts/").await?;
    let mut stdin = session.stdin.take().unwrap();
    stdin.write_all(b"go\n").await?;
    let text = support::read_until(&mut stdout, "fits").await?;
    assert!(text.contains("fits"), "{text}");
    assert_eq!(session.exit.await?, 4);
    Ok(())
}

async fn attach(node: &Node) -> Outcome {
    let pod = node.pod("attach").await?;
    let id = node
        .run(&pod, "c", "read line; echo got $line; echo bad >&2; exit 5", |config| {
            config.stdin = true;
            config.stdin_once = true;
        })
        .await?;
    let request = AttachRequest { stdin: true, stdout: true, stderr: true };
    let mut session = node.runtime.attach(&id, request).await?;
    session.stdin.take().unwrap().write_all(b"hello\n").await?;
    let (mut out, mut err) = (String::new(), String::new());
    session.stdout.take().unwrap().read_to_string(&mut out).await?;
    session.stderr.take().unwrap().read_to_string(&mut err).await?;
    assert_eq!((out.as_str(), err.as_str()), ("got hello\n", "bad\n"));
    assert_eq!(session.exit.await?, 5);

    // A container for one client waits for nobody to say what it has to say.
    let id = node
        .run(&pod, "early", "echo early; read line; echo got $line", |config| {
            config.stdin = true;
            config.stdin_once = true;
        })
        .await?;
    while !node.output(&id).await?.contains("early") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let request = AttachRequest { stdin: true, stdout: true, stderr: true };
    let mut session = node.runtime.attach(&id, request).await?;
    let mut stdout = session.stdout.take().unwrap();
    assert_eq!(support::read_until(&mut stdout, "early\n").await?, "early\n");
    session.stdin.take().unwrap().write_all(b"hello\n").await?;
    assert_eq!(support::read_until(&mut stdout, "hello\n").await?, "got hello\n");
    Ok(())
}

async fn readonly(node: &Node) -> Outcome {
    let pod = node.pod("readonly").await?;
    let script = "touch /x; echo $?; echo y > /dev/null; echo $?; touch /proc/sys/kernel/hostname; \
                  echo $?; cat /masked; ls /maskeddir | wc -l; touch /dev/shm/ok; echo $?";
    let id = node
        .run(&pod, "c", script, |config| {
            config.security.readonly_rootfs = true;
            config.security.readonly_paths = vec!["/proc/sys".into()];
            config.security.masked_paths =
                vec!["/masked".into(), "/maskeddir".into(), "/none".into()];
        })
        .await?;
    node.exited(&id).await?;
    let log = node.output(&id).await?;
    let stdout: Vec<_> = log.lines().filter(|line| !line.contains(':')).collect();
    assert_eq!(stdout, ["1", "0", "1", "0", "0"], "{log}");
    Ok(())
}

async fn memory(node: &Node) -> Outcome {
    let pod = node.pod("memory").await?;
    let script = "x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo survived";
    let id = node
        .run(&pod, "c", script, |config| {
            config.resources.memory_limit = Some(16 << 20);
        })
        .await?;
    let status = node.exited(&id).await?;
    assert_eq!(status.reason, "OOMKilled", "{status:?}");
    assert_eq!(status.exit_code, 137);
    Ok(())
}

async fn confinement(node: &Node) -> Outcome {
    let pod = node.pod("confined").await?;
    let script = "unshare -m true; echo $?; mount -t tmpfs t /mnt; echo $?; chroot / true; echo $?; \
                  grep -E '^(CapEff|CapBnd|Seccomp|NoNewPrivs):' /proc/self/status; \
                  head -c1 /dev/kmsg; mknod /tmp/k c 1 2 && head -c1 /tmp/k; echo $?";
    let id = node
        .run(&pod, "c", script, |config| {
            config.security.seccomp = Seccomp::RuntimeDefault;
            config.security.no_new_privs = true;
        })
        .await?;
    node.exited(&id).await?;
    let log = node.output(&id).await?;
    assert!(log.contains("NoNewPrivs:\t1") && log.contains("Seccomp:\t2"), "{log}");
    assert!(log.contains("CapEff:\t00000000a80425fb"), "{log}");
    assert!(log.contains("CapBnd:\t00000000a80425fb"), "{log}");
    let codes: Vec<_> = log.lines().filter(|line| line.len() <= 3).collect();
    assert_eq!(codes.len(), 4, "{log}");
    assert!(codes[0] != "0" && codes[1] != "0" && codes[2] == "0" && codes[3] != "0", "{log}");

    let id = node
        .run(&pod, "user", "grep CapEff /proc/self/status", |config| {
            config.security.run_as_user = Some(1000);
        })
        .await?;
    node.exited(&id).await?;
    assert_eq!(node.output(&id).await?, "CapEff:\t0000000000000000\n");

    let id = node
        .run(&pod, "all", "mount -t tmpfs t /mnt && ls /dev/kmsg", |config| {
            config.security.privileged = true;
        })
        .await?;
    assert_eq!(node.exited(&id).await?.exit_code, 0, "{}", node.output(&id).await?);
    Ok(())
}

async fn stop(node: &Node) -> Outcome {
    let pod = node.pod("stop").await?;
    let polite = "trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 1 & wait; done";
    let id = node.run(&pod, "polite", polite, |_| {}).await?;
    node.logged(&id, "up").await?;
    node.runtime.stop_container(&id, Duration::from_secs(20)).await?;
    let status = node.runtime.container_status(&id).await?;
    assert_eq!((status.exit_code, status.state), (9, ContainerState::Exited));
    assert_eq!(node.output(&id).await?, "up\nbye\n");

    let id =
        node.run(&pod, "deaf", "trap '' TERM; echo up; while :; do sleep 1; done", |_| {}).await?;
    node.logged(&id, "up").await?;
    node.runtime.stop_container(&id, Duration::from_millis(200)).await?;
    let status = node.runtime.container_status(&id).await?;
    assert_eq!((status.exit_code, status.reason.as_str()), (137, "Error"));
    node.runtime.stop_container(&id, Duration::ZERO).await?;
    Ok(())
}

async fn missing_program(node: &Node) -> Outcome {
    let pod = node.pod("missing").await?;
    let mut config = node.config("c", "");
    config.command = vec!["nosuch".into()];
    let id = node.runtime.create_container(&pod, config).await?;
    let error = node.runtime.start_container(&id).await.unwrap_err();
    assert!(matches!(error, Error::Start { exit_code: 127, .. }), "{error:?}");
    assert!(error.to_string().contains("exec: \"nosuch\": executable file not found in $PATH"));
    let status = node.runtime.container_status(&id).await?;
    assert_eq!((status.exit_code, status.reason.as_str()), (128, "StartError"));

    let mut config = node.config("user", "true");
    config.security.run_as_username = "nobody-here".into();
    let id = node.runtime.create_container(&pod, config).await?;
    let error = node.runtime.start_container(&id).await.unwrap_err().to_string();
    assert!(error.contains("unable to find user nobody-here"), "{error}");

    let mut config = node.config("image", "true");
    config.image = "nosuchimage".into();
    let error = node.runtime.create_container(&pod, config).await.unwrap_err();
    assert!(matches!(error, Error::NotFound(_)));
    Ok(())
}

async fn mounts(node: &Node) -> Outcome {
    let pod = node.pod("mounts").await?;
    let (host, outside) = (node.dir().join("host"), node.dir().join("outside"));
    std::fs::create_dir_all(&host)?;
    std::fs::create_dir_all(&outside)?;
    std::fs::write(host.join("file"), "from the node")?;
    let mount = |path: &str, readonly| Mount {
        container_path: path.into(),
        host_path: host.clone(),
        readonly,
        ..Mount::default()
    };
    // The image's /escape is a link to an absolute path: inside, that is the container's.
    let script = "cat /escape/deep/file; cat /data/file; touch /data/no; echo $?; \
                  echo w > /new/sub/dir/written; cat /etc/resolv.conf; ls -ld /escape";
    let id = node
        .run(&pod, "c", script, |config| {
            config.mounts = vec![
                mount("/escape/deep", false),
                mount("/data", true),
                mount("/new/sub/dir", false),
            ];
        })
        .await?;
    node.exited(&id).await?;
    let log = node.output(&id).await?;
    assert!(log.contains("from the nodefrom the node1\n"), "{log}");
    assert!(log.contains("Read-only file system"), "{log}");
    assert!(log.contains("nameserver 192.0.2.53"), "{log}");
    assert_eq!(std::fs::read_to_string(host.join("written"))?, "w\n");
    assert!(!std::path::Path::new("/tmp/escape-target").exists());
    Ok(())
}

async fn shared_pids(node: &Node) -> Outcome {
    let mut config = node.sandbox("shared");
    config.linux.namespaces.pid = NamespaceMode::Pod;
    let pod = node.runtime.run_pod_sandbox(config).await?;
    let share = |config: &mut ContainerConfig| {
        config.security.namespaces.pid = NamespaceMode::Pod;
    };
    let one = node.run(&pod, "one", "echo up; exec sleep 1000", share).await?;
    node.logged(&one, "up").await?;
    let two = node.run(&pod, "two", "ps | grep -c '[s]leep 1000'; echo $$", share).await?;
    assert_eq!(node.exited(&two).await?.exit_code, 0);
    let log = node.output(&two).await?;
    assert!(log.starts_with("1\n") && !log.ends_with("\n1\n"), "{log}");

    let target = NamespaceMode::Target(one.clone());
    let debug = node
        .run(&pod, "debug", "ps | grep -c '[s]leep 1000'", |config| {
            config.security.namespaces.pid = target;
        })
        .await?;
    node.exited(&debug).await?;
    assert_eq!(node.output(&debug).await?, "1\n");
    Ok(())
}

async fn pod_network(node: &Node) -> Outcome {
    let (server, client) = (node.pod("server").await?, node.pod("client").await?);
    let address = node.runtime.pod_sandbox_status(&server).await?.ips[0];
    let script = "echo ready; exec httpd -f -p 8080 -h /www";
    let id = node.run(&server, "web", script, |_| {}).await?;
    node.logged(&id, "ready").await?;
    let script = format!(
        "for i in 1 2 3 4 5; do wget -q -O- http://{address}:8080/index.html && exit; sleep 1; done"
    );
    let get = node.run(&client, "get", &script, |_| {}).await?;
    node.exited(&get).await?;
    assert_eq!(node.output(&get).await?, "hello from the image");

    let mut stream = node.runtime.port_forward(&server, 8080).await?;
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n").await?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await?;
    assert!(reply.ends_with("hello from the image"), "{reply}");
    let refused = node.runtime.port_forward(&server, 9).await.err().unwrap().to_string();
    assert!(refused.contains("failed to connect to localhost:9"), "{refused}");
    Ok(())
}

/// Somebody removes the bridge under running pods.
async fn lost_bridge(node: &Node) -> Outcome {
    let (server, client) = (node.pod("bridge-server").await?, node.pod("bridge-client").await?);
    let address = node.runtime.pod_sandbox_status(&server).await?.ips[0];
    let script = "echo ready; exec httpd -f -p 8080 -h /www";
    let id = node.run(&server, "web", script, |_| {}).await?;
    node.logged(&id, "ready").await?;
    let config = support::config(&node.dir());
    let bridge = network::pod::bridge_name(&config.cluster, &config.node);
    network::link::LinkSocket::open()?.delete(&bridge)?;
    let script = format!(
        "for i in 1 2 3 4 5 6 7 8 9; do wget -q -O- http://{address}:8080/index.html && exit; \
         sleep 0.2; done"
    );
    let get = node.run(&client, "get", &script, |_| {}).await?;
    node.exited(&get).await?;
    assert_eq!(node.output(&get).await?, "hello from the image");
    Ok(())
}

async fn adoption(node: &Node) -> Outcome {
    let dir = node.dir().join("orphan");
    let mut owner = support::start_owner(&dir)?;
    let started = support::owner_says(&mut owner).await?;
    let [long, short] = &started.split(' ').map(str::to_owned).collect::<Vec<_>>()[..] else {
        return Err(format!("the owner said {started:?}").into());
    };
    owner.kill().await?;
    std::fs::write(dir.join("share/go"), "")?;
    let exit_file = dir.join("data/containers").join(short).join("exit.json");
    support::wait_for_file(&exit_file).await?;

    let runtime = Embedded::open(support::config(&dir)).await?;
    let status = runtime.container_status(short).await?;
    assert_eq!((status.state, status.exit_code), (ContainerState::Exited, 6));
    let status = runtime.container_status(long).await?;
    assert_eq!(status.state, ContainerState::Running);
    let output = runtime.exec_sync(long, words("echo alive"), Duration::from_secs(10)).await?;
    assert_eq!(output.stdout, b"alive\n");
    let mut events = runtime.events();
    runtime.stop_container(long, Duration::ZERO).await?;
    assert_eq!(events.recv().await?.kind, ContainerEventKind::Stopped);
    assert_eq!(runtime.container_status(long).await?.exit_code, 137);
    runtime.destroy_all().await?;
    Ok(())
}

/// Processes whose arguments have these words in them.
fn processes(words: &[&str]) -> Vec<i32> {
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let path = entry.ok()?.path();
        let arguments = std::fs::read_to_string(path.join("cmdline")).ok()?;
        let pid = path.file_name()?.to_str()?.parse().ok()?;
        words.iter().all(|word| arguments.split('\0').any(|known| known == *word)).then_some(pid)
    });
    all.collect()
}

async fn prepared_shim(node: &Node) -> Outcome {
    let pod = node.pod("prepared").await?;
    let id = node.run(&pod, "c", "sleep 1000", |_| {}).await?;
    let directory = node.dir().join("data/containers").join(&id);
    let shims = processes(&["container-shim", "run", &directory.to_string_lossy()]);
    assert_eq!(shims.len(), 1, "a shim can be found by its container");
    let own = format!("PPid:\t{}\n", std::process::id());
    let is_ours = |pid: &i32| {
        std::fs::read_to_string(format!("/proc/{pid}/status"))
            .is_ok_and(|status| status.contains(&own))
    };
    let mut prepared = processes(&["container-shim", "prepared"]);
    prepared.retain(is_ours);
    for pid in &prepared {
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(*pid),
            nix::sys::signal::Signal::SIGKILL,
        )?;
    }
    assert!(!prepared.is_empty());
    let output = node.runtime.exec_sync(&id, words("echo on"), Duration::from_secs(10)).await?;
    assert_eq!(output.stdout, b"on\n");
    assert_eq!(processes(&["container-shim", "run", &directory.to_string_lossy()]), shims);
    let status = node.runtime.container_status(&id).await?;
    assert_eq!(status.state, ContainerState::Running);
    node.runtime.remove_pod_sandbox(&pod).await?;
    Ok(())
}

async fn usage(node: &Node) -> Outcome {
    let pod = node.pod("usage").await?;
    let script = "head -c 3000000 /dev/zero > /big; echo ready; sleep 1000";
    let id = node
        .run(&pod, "c", script, |config| {
            config.resources.memory_limit = Some(64 << 20);
            config.resources.cpu_quota = Some(50_000);
            config.resources.cpu_period = Some(100_000);
        })
        .await?;
    node.logged(&id, "ready").await?;
    let stats = node.runtime.container_stats(&id).await?;
    assert!(
        stats.writable_layer_bytes >= 3_000_000 && stats.usage.cpu_usage_nanos > 0,
        "{stats:?}"
    );
    assert_eq!(stats.usage.memory_limit, Some(64 << 20));
    let resources = Resources { memory_limit: Some(32 << 20), ..Resources::default() };
    node.runtime.update_container_resources(&id, resources).await?;
    let pod_stats = node.runtime.pod_sandbox_stats(&pod).await?;
    assert_eq!(pod_stats.containers[0].usage.memory_limit, Some(32 << 20));
    assert!(pod_stats.network.is_some());
    let status = node.runtime.container_status(&id).await?;
    std::fs::rename(&status.log_path, status.log_path.with_extension("old"))?;
    node.runtime.reopen_container_log(&id).await?;
    assert!(status.log_path.exists());
    limits_are_seen_inside(node, &pod, &id).await
}

/// New limits are in the kernel, where the container itself sees them.
async fn limits_are_seen_inside(node: &Node, pod: &str, id: &str) -> Outcome {
    let limits = |quota, bytes| Resources {
        cpu_period: Some(100_000),
        cpu_quota: Some(quota),
        cpu_shares: Some(25),
        memory_limit: Some(bytes),
        ..Resources::default()
    };
    let of_pod = limits(80_000, 96 << 20);
    node.runtime.update_pod_sandbox_resources(pod, of_pod.clone()).await?;
    let found = node.runtime.pod_sandbox_resources(pod).await?;
    let seen = |r: &Resources| (r.memory_limit, r.cpu_quota);
    assert_eq!(seen(&found), seen(&of_pod));

    node.runtime.update_container_resources(id, limits(60_000, 48 << 20)).await?;
    let script = "cd /sys/fs/cgroup; cat memory.max cpu.max 2>/dev/null || \
                  cat memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us; \
                  stat -c %a memory 2>/dev/null || stat -c %a .";
    let command = vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()];
    let output = node.runtime.exec_sync(id, command, Duration::from_secs(10)).await?;
    let text = String::from_utf8(output.stdout)?;
    let words: Vec<_> = text.split_whitespace().take(2).collect();
    assert_eq!(words, ["50331648", "60000"], "{text}");
    assert_eq!(text.split_whitespace().last(), Some("755"), "for every user: {text}");
    let status = node.runtime.container_status(id).await?;
    assert_eq!(seen(&status.resources), (Some(48 << 20), Some(60_000)));

    // One that has ended does not stand in the way.
    node.runtime.stop_container(id, Duration::ZERO).await?;
    let less = limits(20_000, 16 << 20);
    node.runtime.update_pod_sandbox_resources(pod, less.clone()).await?;
    assert_eq!(seen(&node.runtime.pod_sandbox_resources(pod).await?), seen(&less));
    Ok(())
}

async fn docker_archive(node: &Node) -> Outcome {
    const LAYERS: usize = 70;
    let path = node.dir().join("docker.tar");
    support::docker_archive(&path, LAYERS)?;
    let images = node.runtime.import_image(&path).await?;
    assert_eq!(images[0].repo_tags, ["docker.io/library/deep:1"]);
    let pod = node.pod("deep").await?;
    let id = node.run(&pod, "c", "ls /layers | wc -l; cat /top; ls /gone", |config| {
        config.image = "deep:1".into();
        config.command = vec!["/bin/busybox".into(), "sh".into(), "-c".into()];
    });
    let id = id.await?;
    node.exited(&id).await?;
    let log = node.output(&id).await?;
    assert!(log.contains(&format!("{LAYERS}\n{}\n", LAYERS - 1)), "{log}");
    assert!(log.contains("/gone: No such file"), "{log}");
    Ok(())
}

async fn many(node: &Node) -> Outcome {
    let start = |number: usize| async move {
        let pod = node.pod(&format!("many-{number}")).await?;
        let id = node.run(&pod, "c", "hostname; exit 0", |_| {}).await?;
        let status = node.exited(&id).await?;
        let ip = node.runtime.pod_sandbox_status(&pod).await?.ips[0];
        node.runtime.remove_pod_sandbox(&pod).await?;
        Ok::<_, Error>((status.exit_code, ip))
    };
    let results = futures::future::try_join_all((0..30).map(start)).await?;
    assert!(results.iter().all(|(code, _)| *code == 0));
    let addresses: std::collections::HashSet<_> = results.iter().map(|(_, ip)| ip).collect();
    assert_eq!(addresses.len(), results.len());
    Ok(())
}

/// Splits at blanks, except within single quotes.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (position, part) in command.split('\'').enumerate() {
        if position % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}
