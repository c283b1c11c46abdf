//! Seccomp: the default profile, profiles from files, and their BPF programs.

mod profile;
mod syscalls;

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction as Action, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule as Rule, TargetArch,
};

pub(crate) use profile::{localhost, runtime_default};

use crate::spec::{SeccompAction, SeccompOp, SeccompProfile, SeccompRule};

/// Compiles a profile. A filter knows one action beside its default, so a profile becomes several
/// filters, of which the kernel takes the strictest answer.
pub(super) fn compile(profile: &SeccompProfile) -> io::Result<Vec<BpfProgram>> {
    let mut programs = Vec::new();
    if profile.default != SeccompAction::Allow {
        // The kernel takes the strictest verdict, so this filter must allow what the others decide.
        let named: Vec<_> =
            profile.rules.iter().filter(|rule| rule.action != profile.default).collect();
        programs.push(program(&named, SeccompAction::Allow, profile.default)?);
    }
    let mut actions: Vec<_> = profile.rules.iter().map(|rule| rule.action).collect();
    actions.sort_by_key(|action| format!("{action:?}"));
    actions.dedup();
    for action in actions {
        if action == SeccompAction::Allow || action == profile.default {
            continue;
        }
        let named: Vec<_> = profile.rules.iter().filter(|rule| rule.action == action).collect();
        programs.push(program(&named, action, SeccompAction::Allow)?);
    }
    Ok(programs)
}

fn program(
    rules: &[&SeccompRule],
    matched: SeccompAction,
    otherwise: SeccompAction,
) -> io::Result<BpfProgram> {
    let mut table: BTreeMap<i64, Vec<Rule>> = BTreeMap::new();
    let mut always = Vec::new();
    for rule in rules {
        for number in rule.names.iter().filter_map(|name| syscalls::number(name)) {
            let entry = table.entry(number).or_default();
            if rule.args.is_empty() {
                always.push(number);
                continue;
            }
            let conditions = rule.args.iter().map(condition).collect::<io::Result<_>>()?;
            entry.push(Rule::new(conditions).map_err(io::Error::other)?);
        }
    }
    // No rule at all means that the call alone decides.
    for number in always {
        table.insert(number, Vec::new());
    }
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    let filter = SeccompFilter::new(table, native(otherwise), native(matched), arch)
        .map_err(io::Error::other)?;
    filter.try_into().map_err(io::Error::other)
}

fn condition(arg: &crate::spec::SeccompArg) -> io::Result<SeccompCondition> {
    let op = match arg.op {
        SeccompOp::Ne => SeccompCmpOp::Ne,
        SeccompOp::Lt => SeccompCmpOp::Lt,
        SeccompOp::Le => SeccompCmpOp::Le,
        SeccompOp::Eq => SeccompCmpOp::Eq,
        SeccompOp::Ge => SeccompCmpOp::Ge,
        SeccompOp::Gt => SeccompCmpOp::Gt,
        SeccompOp::Masked(mask) => SeccompCmpOp::MaskedEq(mask),
    };
    SeccompCondition::new(arg.index, SeccompCmpArgLen::Qword, op, arg.value)
        .map_err(io::Error::other)
}

fn native(action: SeccompAction) -> Action {
    match action {
        SeccompAction::Allow => Action::Allow,
        SeccompAction::Errno(code) => Action::Errno(code),
        SeccompAction::KillProcess => Action::KillProcess,
        SeccompAction::KillThread => Action::KillThread,
        SeccompAction::Trap => Action::Trap,
        SeccompAction::Log => Action::Log,
    }
}

/// Installs the programs for this thread. Needs `no_new_privs` or `CAP_SYS_ADMIN`.
pub(super) fn install(programs: &[BpfProgram]) -> io::Result<()> {
    for program in programs {
        let fprog = libc::sock_fprog {
            len: program.len() as u16,
            filter: program.as_ptr().cast_mut().cast(),
        };
        // SAFETY: the program lives through the call; its elements have sock_filter's layout.
        super::sys::check(unsafe {
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const fprog)
        })?;
    }
    Ok(())
}
