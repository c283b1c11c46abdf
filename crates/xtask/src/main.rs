//! Development tasks: `cargo xtask COMMAND`. One file per command.

mod bench;
mod cri;
#[cfg(test)]
mod dependencies;
mod differential;
mod fuzz;
mod schema;
mod test;
#[cfg(test)]
mod tidy;
mod tools;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("bench") => bench::run(&args[1..]),
        Some("cri") => cri::run(&args[1..]),
        Some("differential") => differential::run(&args[1..]),
        Some("fuzz") => fuzz::run(&args[1..]),
        Some("schema") => schema::run(&args[1..]),
        Some("test") => test::run(),
        Some("tools") => tools::Tools::find().map(|tools| println!("{tools:#?}")),
        other => bail!(
            "unknown command {:?}; there are: bench [NAME…], cri [--check], differential [MODULE…], fuzz [SECONDS], schema [--check], test, tools",
            other.unwrap_or("")
        ),
    }
}
