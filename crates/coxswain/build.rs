//! How the binary is linked; and says so when the allocator is built without the setting by which it
//! gives memory back.

const SETTING: &str = "MI_DEFAULT_ARENA_RESERVE";

fn main() {
    let is = |name: &str, value: &str| {
        std::env::var(name).is_ok_and(|all| all.split(',').any(|one| one == value))
    };
    // At a fixed address, as upstream's binaries are. One that can be loaded anywhere relocates a hundred
    // thousand pointers in each process that executes it: 5 ms of processor time and 2.5 MB.
    if is("CARGO_CFG_TARGET_ENV", "gnu") && is("CARGO_CFG_TARGET_FEATURE", "crt-static") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
        println!("cargo::rustc-link-arg-bins=-static");
    }
    // `strip` of a profile is lost on a package for which the profile overrides anything.
    if is("DEBUG", "false") {
        println!("cargo::rustc-link-arg-bins=-Wl,--strip-all");
    }
    // In the order in which the flags of a C compiler are looked for.
    let target = std::env::var("TARGET").unwrap_or_default();
    let names = [
        format!("CFLAGS_{target}"),
        format!("CFLAGS_{}", target.replace('-', "_")),
        "TARGET_CFLAGS".to_owned(),
        "CFLAGS".to_owned(),
    ];
    for name in &names {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let flags = names.iter().find_map(|name| std::env::var(name).ok()).unwrap_or_default();
    if !flags.contains(SETTING) {
        println!(
            "cargo::warning=CFLAGS lack -D{SETTING}=0 (see .cargo/config.toml): the process will \
             not give memory back"
        );
    }
}
