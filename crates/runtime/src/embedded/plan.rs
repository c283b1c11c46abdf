//! From a container's configuration and its image to the spec its shim obeys.

use std::path::{Path, PathBuf};

use super::state::{Container, SandboxRecord};
use super::{Inner, mount_points};
use crate::api::*;
use crate::image::ImageRecord;
use crate::shim::{ALL_CAPABILITIES, default_seccomp, localhost_seccomp, parse_capability};
use crate::spec::{ImageMount, Namespaces, PidNamespace, Process, Spec, UserSpec, Users};
use crate::{Error, Result};

/// Capabilities that containers have by default, as with containerd.
const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// The command line: the image's entrypoint and arguments unless replaced.
pub(super) fn arguments(config: &ContainerConfig, image: &ImageConfig) -> Result<Vec<String>> {
    let (entrypoint, cmd) = match (config.command.is_empty(), config.args.is_empty()) {
        (true, true) => (&image.entrypoint, &image.cmd),
        (true, false) => (&image.entrypoint, &config.args),
        (false, _) => (&config.command, &config.args),
    };
    let arguments: Vec<_> = entrypoint.iter().chain(cmd).cloned().collect();
    if arguments.is_empty() {
        return Err(Error::InvalidArgument("no command specified".to_owned()));
    }
    Ok(arguments)
}

/// The image's variables, then the container's; a later one replaces an earlier.
pub(super) fn environment(
    hostname: &str,
    image: &ImageConfig,
    config: &ContainerConfig,
) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = vec![("HOSTNAME".to_owned(), hostname.to_owned())];
    let image = image.env.iter().filter_map(|entry| entry.split_once('='));
    let image = image.map(|(name, value)| (name.to_owned(), value.to_owned()));
    for (name, value) in image.chain(config.envs.iter().cloned()) {
        match env.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = value,
            None => env.push((name, value)),
        }
    }
    env
}

/// The capability set: `ALL` counts first, single additions and drops after it.
pub(super) fn capabilities(security: &SecurityContext) -> Result<u64> {
    if security.privileged {
        return Ok(ALL_CAPABILITIES);
    }
    let is_all = |name: &String| name.eq_ignore_ascii_case("ALL");
    let bit = |name: &str| {
        parse_capability(name)
            .ok_or_else(|| Error::InvalidArgument(format!("unknown capability {name:?}")))
    };
    let mut set = 0;
    for name in DEFAULT_CAPABILITIES {
        set |= bit(name)?;
    }
    if security.add_capabilities.iter().any(is_all) {
        set = ALL_CAPABILITIES;
    }
    if security.drop_capabilities.iter().any(is_all) {
        set = 0;
    }
    for name in security.add_capabilities.iter().filter(|name| !is_all(name)) {
        set |= bit(name)?;
    }
    for name in security.drop_capabilities.iter().filter(|name| !is_all(name)) {
        set &= !bit(name)?;
    }
    Ok(set)
}

fn user(security: &SecurityContext, image: &ImageConfig) -> Result<UserSpec> {
    let id = |value: i64| {
        u32::try_from(value)
            .map_err(|_| Error::InvalidArgument(format!("id {value} is out of range")))
    };
    let user = match security.run_as_user {
        Some(uid) => id(uid)?.to_string(),
        None if !security.run_as_username.is_empty() => security.run_as_username.clone(),
        None => image.user.clone(),
    };
    Ok(UserSpec {
        user,
        gid: security.run_as_group.map(id).transpose()?,
        supplemental_groups: security
            .supplemental_groups
            .iter()
            .map(|group| id(*group))
            .collect::<Result<_>>()?,
        policy: security.supplemental_groups_policy,
    })
}

impl Inner {
    /// Everything the shim needs. `target` is the container whose pid namespace is shared.
    pub(super) fn plan(
        &self,
        container: &Container,
        sandbox: &SandboxRecord,
        image: &ImageRecord,
        target: Option<&Container>,
    ) -> Result<Spec> {
        let record = container.record.read().clone();
        let (config, security) = (&record.config, &record.config.security);
        let directory = self.sandbox_dir(&sandbox.id);
        let files = self.sandbox_files(&sandbox.id);
        let hostname = std::fs::read_to_string(files.join("hostname"))?;
        let capabilities = capabilities(security)?;
        let seccomp = match &security.seccomp {
            _ if security.privileged => None,
            Seccomp::Unconfined => None,
            Seccomp::RuntimeDefault => Some(default_seccomp(capabilities)),
            Seccomp::Localhost(path) => Some(
                localhost_seccomp(path, capabilities)
                    .map_err(|error| Error::InvalidArgument(error.to_string()))?,
            ),
        };
        let masks = |paths: &[PathBuf]| if security.privileged { vec![] } else { paths.to_vec() };
        let mut spec = Spec {
            data_dir: self.config.data_dir.clone(),
            container_dir: Path::new("containers").join(&record.id),
            layers: layer_paths(&image.layers),
            process: Process {
                args: arguments(config, &image.image.config)?,
                env: environment(hostname.trim(), &image.image.config, config),
                cwd: if config.working_dir.is_empty() {
                    image.image.config.working_dir.clone()
                } else {
                    config.working_dir.clone()
                },
                user: user(security, &image.image.config)?,
                terminal: config.tty,
                privileged: security.privileged,
                capabilities,
                no_new_privs: security.no_new_privs,
                seccomp,
            },
            namespaces: self.namespaces(sandbox, security, target)?,
            mounts: mounts(config, &files),
            images: self.image_mounts(config)?,
            shm: if sandbox.config.linux.namespaces.ipc == NamespaceMode::Node {
                PathBuf::from("/dev/shm")
            } else {
                directory.join("shm")
            },
            devices: config.devices.clone(),
            readonly_rootfs: security.readonly_rootfs,
            masked_paths: masks(&security.masked_paths),
            readonly_paths: masks(&security.readonly_paths),
            cgroups: self.hierarchies.directories(&record.cgroup),
            oom_score_adj: config.resources.oom_score_adj.unwrap_or(0),
            stdin: config.stdin,
            stdin_once: config.stdin_once,
            log: (!record.log_path.as_os_str().is_empty()).then(|| record.log_path.clone()),
        };
        spec.layers.push(mount_points::layer(&self.config.data_dir, &spec)?);
        Ok(spec)
    }

    fn image_mounts(&self, config: &ContainerConfig) -> Result<Vec<ImageMount>> {
        let mounts = config.mounts.iter().filter(|mount| !mount.image.is_empty());
        let each = mounts.map(|mount| {
            let image = self
                .images
                .find(&mount.image)
                .ok_or_else(|| Error::NotFound(format!("image {:?}", mount.image)))?;
            Ok(ImageMount {
                container_path: mount.container_path.clone(),
                layers: layer_paths(&image.layers),
                sub_path: mount.image_sub_path.clone(),
            })
        });
        each.collect()
    }

    fn namespaces(
        &self,
        sandbox: &SandboxRecord,
        security: &SecurityContext,
        target: Option<&Container>,
    ) -> Result<Namespaces> {
        let directory = self.sandbox_dir(&sandbox.id);
        let pod = &sandbox.config.linux.namespaces;
        let on_node = pod.network == NamespaceMode::Node;
        let of = |pid: i32| PidNamespace::Of(PathBuf::from(format!("/proc/{pid}/ns/pid")));
        let pid = match &security.namespaces.pid {
            NamespaceMode::Container => PidNamespace::New,
            NamespaceMode::Node => PidNamespace::Node,
            NamespaceMode::Pod => {
                sandbox.pause.as_ref().map(|pause| of(pause.pid)).ok_or_else(|| {
                    Error::InvalidArgument("the sandbox shares no pid namespace".to_owned())
                })?
            }
            NamespaceMode::Target(id) => target
                .and_then(Container::running)
                .map(|running| of(running.process.pid))
                .ok_or_else(|| {
                    Error::InvalidArgument(format!("target container {id:?} is not running"))
                })?,
        };
        Ok(Namespaces {
            network: if on_node {
                self.config.node_netns.clone()
            } else {
                Some(directory.join("net"))
            },
            ipc: (pod.ipc != NamespaceMode::Node).then(|| directory.join("ipc")),
            uts: (!on_node).then(|| directory.join("uts")),
            pid,
            user: pod.user.as_ref().and_then(UserNamespace::root).map(|(root_uid, root_gid)| {
                Users { path: directory.join("user"), root_uid, root_gid }
            }),
        })
    }
}

/// Where layers are in the data directory, the topmost first.
fn layer_paths(layers: &[String]) -> Vec<PathBuf> {
    layers.iter().rev().map(|layer| Path::new("layers").join(layer)).collect()
}

/// The container's mounts, and the pod's files in `/etc` where it brings none of its own.
fn mounts(config: &ContainerConfig, sandbox: &Path) -> Vec<Mount> {
    let mut mounts = config.mounts.clone();
    mounts.retain(|mount| mount.image.is_empty());
    for (path, file) in [("/etc/hostname", "hostname"), ("/etc/resolv.conf", "resolv.conf")] {
        if !config.mounts.iter().any(|mount| mount.container_path == Path::new(path)) {
            mounts.push(Mount {
                container_path: path.into(),
                host_path: sandbox.join(file),
                readonly: config.security.readonly_rootfs,
                ..Mount::default()
            });
        }
    }
    mounts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn command_and_args_replace_the_images() {
        let image = ImageConfig {
            entrypoint: strings(&["e"]),
            cmd: strings(&["c"]),
            ..ImageConfig::default()
        };
        for (command, args, expected) in [
            (&[][..], &[][..], &["e", "c"][..]),
            (&[], &["a"], &["e", "a"]),
            (&["x"], &[], &["x"]),
            (&["x"], &["a"], &["x", "a"]),
        ] {
            let config = ContainerConfig {
                command: strings(command),
                args: strings(args),
                ..ContainerConfig::default()
            };
            assert_eq!(arguments(&config, &image).unwrap(), expected);
        }
        let nothing = arguments(&ContainerConfig::default(), &ImageConfig::default());
        assert_eq!(nothing.unwrap_err().to_string(), "no command specified");
    }

    #[test]
    fn later_variables_win() {
        let image = ImageConfig { env: strings(&["A=1", "B=2=3"]), ..ImageConfig::default() };
        let config = ContainerConfig {
            envs: vec![("A".into(), "9".into()), ("C".into(), String::new())],
            ..ContainerConfig::default()
        };
        let env = environment("h", &image, &config);
        let text: Vec<_> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(text, ["HOSTNAME=h", "A=9", "B=2=3", "C="]);
    }

    #[test]
    fn capability_lists_combine() {
        let set = |add: &[&str], drop: &[&str]| {
            capabilities(&SecurityContext {
                add_capabilities: strings(add),
                drop_capabilities: strings(drop),
                ..SecurityContext::default()
            })
        };
        let net_admin = 1 << 12;
        assert_eq!(set(&["NET_ADMIN"], &["ALL"]).unwrap(), net_admin);
        assert_eq!(set(&["ALL"], &["CAP_NET_ADMIN"]).unwrap(), ALL_CAPABILITIES & !net_admin);
        assert_eq!(set(&[], &[]).unwrap().count_ones(), 14);
        assert!(set(&["NONSENSE"], &[]).is_err());
    }
}
