//! The little language of containers: each argument is a step, done in order until one fails.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::{TcpStream, UdpSocket};

use super::{dns, http_get};

/// How long files are left alone between looks: what publishes into a volume sends no event.
const LOOK: Duration = Duration::from_millis(200);
/// How long a network peer is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// Does the steps; the exit code.
pub(super) async fn run(steps: &[String]) -> Result<u8> {
    for step in steps {
        if let Some(code) = one(step).await.with_context(|| step.clone())? {
            return Ok(code);
        }
    }
    Ok(0)
}

/// Does one step; an exit code ends the process.
async fn one(step: &str) -> Result<Option<u8>> {
    let (word, rest) = step.split_once(' ').unwrap_or((step, ""));
    let (first, text) = rest.split_once(' ').unwrap_or((rest, ""));
    match word {
        "print" => println!("{rest}"),
        "err" => eprintln!("{rest}"),
        "env" => std::env::vars().for_each(|(name, value)| println!("{name}={value}")),
        "id" => print!("{}", identity()?),
        "hostname" => println!("{}", nix::unistd::gethostname()?.to_string_lossy()),
        "cat" => copy_out(first)?,
        "hex" => {
            let bytes = fs::read(first)?;
            println!("{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        }
        // Holds so many mebibytes of memory.
        "fill" => {
            let mut held: Vec<Vec<u8>> = Vec::new();
            for _ in 0..rest.parse::<usize>()? {
                held.push(vec![1; 1 << 20]);
            }
            println!("holding {} MiB", held.len());
        }
        "write" => fs::write(first, text)?,
        "append" => fs::OpenOptions::new().append(true).open(first)?.write_all(text.as_bytes())?,
        // TEXT is the mode in octal, whatever the umask is.
        "create" => {
            let mode = u32::from_str_radix(text, 8)?;
            fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(mode)
                .open(first)?;
            fs::set_permissions(first, fs::Permissions::from_mode(mode))?;
        }
        "mkdir" => fs::create_dir_all(first)?,
        "rm" => fs::remove_file(first)?,
        "ls" => list(first)?,
        "stat" => println!("{first}: {}", describe(first)?),
        "fstype" => println!("{first}: {}", filesystem(first)?),
        "missing" if Path::new(first).symlink_metadata().is_ok() => bail!("{first} exists"),
        "missing" => {}
        "refused" if fs::write(first, "x").is_ok() => bail!("{first} can be written"),
        "refused" => println!("{first}: not writable"),
        "await" => wait_for(first, text).await?,
        // Fails the first time that it is done with a file that outlives the process.
        "once" if !Path::new(first).exists() => {
            fs::write(first, "")?;
            return Ok(Some(text.parse()?));
        }
        "once" => {}
        "sleep" => tokio::time::sleep(Duration::from_secs_f64(rest.parse()?)).await,
        "hold" => std::future::pending().await,
        "ignore-term" => {}
        "exit" => return Ok(Some(rest.parse()?)),
        "get" => {
            let (code, body) = http_get::get(first).await?;
            println!("{body}");
            if !(200..300).contains(&code) {
                bail!("{first} answered {code}");
            }
        }
        "udp" => println!("{}", udp(first, text).await?),
        "connect" => {
            drop(tokio::time::timeout(PATIENCE, TcpStream::connect(address(first).await?)).await??)
        }
        "dig" => {
            let kind = if text.is_empty() { "A" } else { text };
            dns::dig(first, kind).await?.iter().for_each(|line| println!("{line}"));
        }
        "odd-fails" if is_odd()? => return Ok(Some(1)),
        "odd-holds" if is_odd()? => std::future::pending().await,
        "odd-fails" | "odd-holds" => {}
        "limits" => println!("{}", limits()?),
        "api" => println!("{}", api(first).await?),
        "pid" => println!("{}", std::process::id()),
        _ => bail!("no such step"),
    }
    Ok(None)
}

/// True if the pod's index in its job is odd.
fn is_odd() -> Result<bool> {
    let index: u32 =
        std::env::var("JOB_COMPLETION_INDEX").context("JOB_COMPLETION_INDEX")?.parse()?;
    Ok(index % 2 == 1)
}

/// CPU time per period and bytes of memory as the kernel limits them, by either version of cgroups.
fn limits() -> Result<String> {
    let read = |path: &str| fs::read_to_string(format!("/sys/fs/cgroup/{path}"));
    let (cpu, memory) = match (read("cpu.max"), read("memory.max")) {
        (Ok(cpu), Ok(memory)) => (cpu, memory),
        _ => {
            let quota = read("cpu/cpu.cfs_quota_us")?;
            let period = read("cpu/cpu.cfs_period_us")?;
            (format!("{} {}", quota.trim(), period.trim()), read("memory/memory.limit_in_bytes")?)
        }
    };
    Ok(format!("cpu={} memory={}", cpu.trim(), memory.trim()))
}

/// The process's identity from `/proc`.
fn identity() -> Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let wanted = ["Uid:", "Gid:", "Groups:", "NoNewPrivs:", "CapEff:", "Seccomp:"];
    let lines = status.lines().filter(|line| wanted.iter().any(|name| line.starts_with(name)));
    let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n";
    Ok(lines.map(line).collect())
}

fn copy_out(path: &str) -> Result<()> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(1 << 20).read_to_end(&mut bytes)?;
    let mut out = std::io::stdout();
    out.write_all(&bytes)?;
    if bytes.last() != Some(&b'\n') {
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

fn list(path: &str) -> Result<()> {
    let names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name()));
    let mut names = names.collect::<std::io::Result<Vec<_>>>()?;
    names.sort();
    names.iter().for_each(|name| println!("{}", name.to_string_lossy()));
    Ok(())
}

fn describe(path: &str) -> Result<String> {
    let data = fs::metadata(path)?;
    Ok(format!(
        "mode={:04o} uid={} gid={} size={}",
        data.mode() & 0o7777,
        data.uid(),
        data.gid(),
        data.len()
    ))
}

/// The type of the file system that a path is on.
fn filesystem(path: &str) -> Result<String> {
    let path = fs::canonicalize(path)?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let mut best = (0, "unknown");
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let Some(point) = left.split(' ').nth(4) else { continue };
        if path.starts_with(point) && point.len() >= best.0 {
            best = (point.len(), right.split(' ').next().unwrap_or("unknown"));
        }
    }
    Ok(best.1.to_owned())
}

/// Waits until a file exists and is just `text`; until it is absent for the text `-`.
async fn wait_for(path: &str, text: &str) -> Result<()> {
    loop {
        let now = fs::read_to_string(path);
        let met = match (&now, text) {
            (Err(_), "-") => true,
            (Ok(_), "") => true,
            (Ok(now), text) => now.trim_end() == text || now.lines().any(|line| line == text),
            _ => false,
        };
        if met {
            println!("{path}: {text}");
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn address(peer: &str) -> Result<SocketAddr> {
    let (host, port) = peer.rsplit_once(':').context("not HOST:PORT")?;
    Ok(SocketAddr::new(dns::resolve(host).await?, port.parse()?))
}

async fn udp(peer: &str, text: &str) -> Result<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").await?;
    socket.connect(address(peer).await?).await?;
    socket.send(text.as_bytes()).await?;
    let mut buffer = [0; 2048];
    let length = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer)).await??;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// Reads a path of the API as the pod's service account.
async fn api(path: &str) -> Result<String> {
    let client = kube::Client::try_from(kube::Config::incluster_env()?)?;
    let request = http::Request::get(path).body(Vec::new())?;
    Ok(client.request_text(request).await?)
}
