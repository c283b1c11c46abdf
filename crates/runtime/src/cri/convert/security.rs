//! Privileges, identity and namespaces.

use super::text;
use crate::cri::proto::security_profile::ProfileType;
use crate::cri::proto::{self, NamespaceMode as Mode};
use crate::{
    IdMapping, NamespaceMode, NamespaceOptions, ProcessUser, Seccomp, SecurityContext,
    SupplementalGroupsPolicy, UserNamespace,
};

fn mode(mode: &NamespaceMode) -> i32 {
    let mode = match mode {
        NamespaceMode::Pod => Mode::Pod,
        NamespaceMode::Container => Mode::Container,
        NamespaceMode::Node => Mode::Node,
        NamespaceMode::Target(_) => Mode::Target,
    };
    mode.into()
}

pub(super) fn namespaces(options: &NamespaceOptions) -> proto::NamespaceOption {
    let target_id = match &options.pid {
        NamespaceMode::Target(id) => id.clone(),
        _ => String::new(),
    };
    proto::NamespaceOption {
        network: mode(&options.network),
        pid: mode(&options.pid),
        ipc: mode(&options.ipc),
        target_id,
        userns_options: options.user.as_ref().map(|user| proto::UserNamespace {
            mode: Mode::Pod.into(),
            uids: id_mappings(&user.uids),
            gids: id_mappings(&user.gids),
        }),
    }
}

pub(super) fn id_mappings(list: &[IdMapping]) -> Vec<proto::IdMapping> {
    let each = list.iter().map(|mapping| proto::IdMapping {
        host_id: mapping.host_id,
        container_id: mapping.container_id,
        length: mapping.length,
    });
    each.collect()
}

fn user_back(user: proto::UserNamespace) -> Option<UserNamespace> {
    let back = |list: Vec<proto::IdMapping>| {
        let each = list.into_iter().map(|mapping| IdMapping {
            host_id: mapping.host_id,
            container_id: mapping.container_id,
            length: mapping.length,
        });
        each.collect()
    };
    (user.mode() == Mode::Pod && !user.uids.is_empty())
        .then(|| UserNamespace { uids: back(user.uids), gids: back(user.gids) })
}

pub(super) fn namespaces_back(options: proto::NamespaceOption) -> NamespaceOptions {
    let back = |mode| match mode {
        Mode::Container => NamespaceMode::Container,
        Mode::Node => NamespaceMode::Node,
        Mode::Target => NamespaceMode::Target(options.target_id.clone()),
        Mode::Pod => NamespaceMode::Pod,
    };
    NamespaceOptions {
        network: back(options.network()),
        pid: back(options.pid()),
        ipc: back(options.ipc()),
        user: options.userns_options.and_then(user_back),
    }
}

pub(super) fn seccomp(profile: &Seccomp) -> proto::SecurityProfile {
    let (profile_type, localhost_ref) = match profile {
        Seccomp::RuntimeDefault => (ProfileType::RuntimeDefault, String::new()),
        Seccomp::Unconfined => (ProfileType::Unconfined, String::new()),
        Seccomp::Localhost(path) => (ProfileType::Localhost, text(path)),
    };
    proto::SecurityProfile { profile_type: profile_type.into(), localhost_ref }
}

pub(super) fn context(security: &SecurityContext) -> proto::LinuxContainerSecurityContext {
    let id = |id: Option<i64>| id.map(|value| proto::Int64Value { value });
    proto::LinuxContainerSecurityContext {
        capabilities: Some(proto::Capability {
            add_capabilities: security.add_capabilities.clone(),
            drop_capabilities: security.drop_capabilities.clone(),
            add_ambient_capabilities: Vec::new(),
        }),
        privileged: security.privileged,
        namespace_options: Some(namespaces(&security.namespaces)),
        run_as_user: id(security.run_as_user),
        run_as_group: id(security.run_as_group),
        run_as_username: security.run_as_username.clone(),
        readonly_rootfs: security.readonly_rootfs,
        supplemental_groups: security.supplemental_groups.clone(),
        supplemental_groups_policy: match security.supplemental_groups_policy {
            SupplementalGroupsPolicy::Merge => proto::SupplementalGroupsPolicy::Merge,
            SupplementalGroupsPolicy::Strict => proto::SupplementalGroupsPolicy::Strict,
        }
        .into(),
        no_new_privs: security.no_new_privs,
        masked_paths: security.masked_paths.iter().map(|path| text(path)).collect(),
        readonly_paths: security.readonly_paths.iter().map(|path| text(path)).collect(),
        seccomp: Some(seccomp(&security.seccomp)),
        ..Default::default()
    }
}

pub(super) fn user(user: proto::ContainerUser) -> Option<ProcessUser> {
    let linux = user.linux?;
    Some(ProcessUser {
        uid: linux.uid.try_into().ok()?,
        gid: linux.gid.try_into().ok()?,
        supplemental_groups: linux
            .supplemental_groups
            .into_iter()
            .filter_map(|group| group.try_into().ok())
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_survive_both_ways() {
        let options = NamespaceOptions {
            network: NamespaceMode::Node,
            pid: NamespaceMode::Target("abc".to_owned()),
            ipc: NamespaceMode::Pod,
            user: Some(UserNamespace {
                uids: vec![IdMapping { host_id: 65536, container_id: 0, length: 65536 }],
                gids: vec![IdMapping { host_id: 131_072, container_id: 0, length: 65536 }],
            }),
        };
        assert_eq!(namespaces_back(namespaces(&options)), options);
        assert_eq!(
            namespaces_back(namespaces(&NamespaceOptions::default())),
            NamespaceOptions::default()
        );
    }
}
