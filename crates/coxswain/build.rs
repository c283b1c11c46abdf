//! Folds functions with equal code: much of what is generated per kind is the same.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The linker that rustc brings for this target can; others may not.
    let is = |key: &str, value: &str| std::env::var(key).is_ok_and(|is| is == value);
    if is("CARGO_CFG_TARGET_ARCH", "x86_64") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
    }
}
