//! Development tasks: `cargo xtask COMMAND`. One file per command.

mod schema;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("schema") => schema::run(&args[1..]),
        other => bail!("unknown command {:?}; there is: schema [--check]", other.unwrap_or("")),
    }
}
