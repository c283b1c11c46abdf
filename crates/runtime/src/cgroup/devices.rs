//! Which devices a cgroup may use: files with v1, a BPF program with v2.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::named;
use crate::api::Device;

/// One allowance. `None` matches every number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// `a`, `b` or `c`.
    kind: char,
    major: Option<u64>,
    minor: Option<u64>,
    permissions: String,
}

impl Rule {
    fn new(kind: char, major: Option<u64>, minor: Option<u64>, permissions: &str) -> Self {
        Self { kind, major, minor, permissions: permissions.to_owned() }
    }

    fn line(&self) -> String {
        let number = |n: Option<u64>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
        format!("{} {}:{} {}", self.kind, number(self.major), number(self.minor), self.permissions)
    }
}

/// The allowances of a container: nodes may be made but not used, except the standard ones.
pub(super) fn rules(all: bool, given: &[Device]) -> io::Result<Vec<Rule>> {
    if all {
        return Ok(vec![Rule::new('a', None, None, "rwm")]);
    }
    let mut rules = vec![Rule::new('c', None, None, "m"), Rule::new('b', None, None, "m")];
    // null, zero, full, random, urandom, tty, console, ptmx
    for (major, minor) in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)] {
        rules.push(Rule::new('c', Some(major), Some(minor), "rwm"));
    }
    rules.push(Rule::new('c', Some(136), None, "rwm"));
    for device in given {
        let metadata = std::fs::metadata(&device.host_path)
            .map_err(|error| named(&device.host_path, error))?;
        let kind = if metadata.file_type().is_block_device() { 'b' } else { 'c' };
        let (major, minor) = (libc::major(metadata.rdev()), libc::minor(metadata.rdev()));
        let permissions = if device.permissions.is_empty() { "rwm" } else { &device.permissions };
        rules.push(Rule::new(kind, Some(major.into()), Some(minor.into()), permissions));
    }
    Ok(rules)
}

pub(super) fn set_v1(directory: &Path, rules: &[Rule]) -> io::Result<()> {
    if rules.first().is_some_and(|rule| rule.kind != 'a') {
        std::fs::write(directory.join("devices.deny"), "a")
            .map_err(|error| named(directory, error))?;
    }
    rules.iter().try_for_each(|rule| {
        std::fs::write(directory.join("devices.allow"), rule.line())
            .map_err(|error| named(directory, error))
    })
}

/// Attaches a program; it goes with the cgroup.
pub(super) fn set_v2(directory: &Path, rules: &[Rule]) -> io::Result<()> {
    const BPF_PROG_LOAD: i32 = 5;
    const BPF_PROG_ATTACH: i32 = 8;
    const BPF_PROG_TYPE_CGROUP_DEVICE: u64 = 15;
    const BPF_CGROUP_DEVICE: u64 = 6;
    if rules.first().is_some_and(|rule| rule.kind == 'a') {
        return Ok(());
    }
    let code = program(rules);
    let license = c"Apache-2.0";
    let load = [
        BPF_PROG_TYPE_CGROUP_DEVICE | (code.len() as u64) << 32,
        code.as_ptr() as u64,
        license.as_ptr() as u64,
        0,
        0,
        0,
    ];
    let context = |error: io::Error| {
        io::Error::new(error.kind(), format!("device rules of {}: {error}", directory.display()))
    };
    // SAFETY: the attribute, program and license live through the call, which makes a descriptor.
    let program = unsafe {
        let raw = libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, load.as_ptr(), size_of_val(&load));
        if raw < 0 {
            return Err(context(io::Error::last_os_error()));
        }
        OwnedFd::from_raw_fd(raw as i32)
    };
    let target = std::fs::File::open(directory)?;
    let attach =
        [target.as_raw_fd() as u64 | (program.as_raw_fd() as u64) << 32, BPF_CGROUP_DEVICE];
    // SAFETY: the attribute lives through the call.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, attach.as_ptr(), size_of_val(&attach))
    };
    if result < 0 { Err(context(io::Error::last_os_error())) } else { Ok(()) }
}

/// eBPF for: access allowed by any rule → 1, else 0. The context is
/// `{ u32 access_type; u32 major; u32 minor; }` with the kind in the lower half of the access.
fn program(rules: &[Rule]) -> Vec<u64> {
    let instruction = |code: u8, dst: u8, src: u8, offset: i16, immediate: i32| {
        u64::from(code)
            | u64::from(dst | src << 4) << 8
            | u64::from(offset as u16) << 16
            | u64::from(immediate as u32) << 32
    };
    const LOAD_WORD: u8 = 0x61;
    const MOVE32_REGISTER: u8 = 0xbc;
    const MOVE64: u8 = 0xb7;
    const AND32: u8 = 0x54;
    const SHIFT32: u8 = 0x74;
    const NOT_EQUAL: u8 = 0x55;
    const EXIT: u8 = 0x95;
    let mut code = vec![
        instruction(LOAD_WORD, 2, 1, 0, 0),
        instruction(MOVE32_REGISTER, 3, 2, 0, 0),
        instruction(AND32, 2, 0, 0, 0xffff),
        instruction(SHIFT32, 3, 0, 0, 16),
        instruction(LOAD_WORD, 4, 1, 4, 0),
        instruction(LOAD_WORD, 5, 1, 8, 0),
    ];
    for rule in rules {
        let bit = |letter: char, bit: i32| if rule.permissions.contains(letter) { bit } else { 0 };
        let refused = 7 & !(bit('m', 1) | bit('r', 2) | bit('w', 4));
        let mut tests = vec![(2, if rule.kind == 'b' { 1 } else { 2 })];
        tests.extend(rule.major.map(|major| (4, major as i32)));
        tests.extend(rule.minor.map(|minor| (5, minor as i32)));
        // Each test jumps over what is left of the rule: the tests after it, three instructions
        // for the permissions and two for the answer.
        for (position, (register, value)) in tests.iter().enumerate() {
            let skip = (tests.len() - position - 1 + 5) as i16;
            code.push(instruction(NOT_EQUAL, *register, 0, skip, *value));
        }
        code.extend([
            instruction(MOVE32_REGISTER, 6, 3, 0, 0),
            instruction(AND32, 6, 0, 0, refused),
            instruction(NOT_EQUAL, 6, 0, 2, 0),
            instruction(MOVE64, 0, 0, 0, 1),
            instruction(EXIT, 0, 0, 0, 0),
        ]);
    }
    code.extend([instruction(MOVE64, 0, 0, 0, 0), instruction(EXIT, 0, 0, 0, 0)]);
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_read_as_the_kernel_wants_them() {
        let rules = rules(false, &[]).unwrap();
        let lines: Vec<_> = rules.iter().map(Rule::line).collect();
        assert_eq!(lines[..3], ["c *:* m", "b *:* m", "c 1:3 rwm"]);
        assert_eq!(lines.last().unwrap(), "c 136:* rwm");
    }

    #[test]
    fn jumps_stay_inside_the_program() {
        let code = program(&rules(false, &[]).unwrap());
        for (at, word) in code.iter().enumerate() {
            if *word as u8 == 0x55 {
                let offset = (*word >> 16) as u16 as usize;
                assert!(at + 1 + offset < code.len());
            }
        }
    }
}
