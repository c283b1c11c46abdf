//! Says so when the allocator is built without the setting by which it gives memory back.

const SETTING: &str = "MI_DEFAULT_ARENA_RESERVE";

fn main() {
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
