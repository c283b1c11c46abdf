//! Facts about the machine, read once from the kernel.

use std::fs::read_to_string;

/// Facts of the machine that do not change while it is up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    pub(crate) cpus: u32,
    pub(crate) memory_bytes: i64,
    pub(crate) machine_id: String,
    pub(crate) system_uuid: String,
    pub(crate) boot_id: String,
    pub(crate) kernel_version: String,
    pub(crate) os_image: String,
    /// As Go names it.
    pub(crate) architecture: &'static str,
}

impl Machine {
    /// Reads them; what cannot be read stays empty.
    pub(crate) fn read() -> Self {
        let line = |path: &str| read_to_string(path).unwrap_or_default().trim().to_owned();
        let machine_id = line("/etc/machine-id");
        let uuid = line("/sys/class/dmi/id/product_uuid");
        let meminfo = read_to_string("/proc/meminfo").unwrap_or_default();
        Self {
            cpus: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
            memory_bytes: field(&meminfo, "MemTotal"),
            system_uuid: if uuid.is_empty() { machine_id.clone() } else { uuid },
            machine_id,
            boot_id: line("/proc/sys/kernel/random/boot_id"),
            kernel_version: line("/proc/sys/kernel/osrelease"),
            os_image: os_image(&read_to_string("/etc/os-release").unwrap_or_default()),
            architecture: match std::env::consts::ARCH {
                "x86_64" => "amd64",
                "aarch64" => "arm64",
                "x86" => "386",
                other => other,
            },
        }
    }
}

/// Memory that could be given out at once, in bytes.
pub(crate) fn available_memory() -> i64 {
    field(&read_to_string("/proc/meminfo").unwrap_or_default(), "MemAvailable")
}

/// A field of `/proc/meminfo` in bytes.
fn field(meminfo: &str, name: &str) -> i64 {
    let value = meminfo.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?.strip_prefix(':')?;
        rest.split_whitespace().next()?.parse::<i64>().ok()
    });
    value.unwrap_or(0) * 1024
}

fn os_image(os_release: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_files() {
        let meminfo = "MemTotal:       16 kB\nMemAvailable:    3 kB\n";
        assert_eq!(field(meminfo, "MemTotal"), 16384);
        assert_eq!(field(meminfo, "SwapTotal"), 0);
        assert_eq!(os_image("ID=x\nPRETTY_NAME=\"Some Linux 1\"\n"), "Some Linux 1");
    }
}
