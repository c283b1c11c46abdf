//! The options.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use regex::Regex;

/// Tests a cluster; see `conformance/README.md`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Writes the test image as an archive for `coxswain image import`, `ctr` or `docker load`.
    Image {
        /// The file to write.
        #[arg(long, default_value = "conformance.tar")]
        out: PathBuf,
    },
    /// Removes what an earlier run that was killed left in the cluster.
    Clean,
    /// Breaks one feature after another by a proxy and shows that the cases for it fail.
    Prove {
        /// Names of the mutations; all if left out.
        mutations: Vec<String>,
    },
    /// Is the program of the test image.
    #[command(hide = true, disable_help_flag = true)]
    Testimage {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

/// Options shared by the suite and its subcommands.
#[derive(clap::Args, Clone)]
pub(crate) struct Options {
    /// How the cluster is reached; as kubectl finds it if left out.
    #[arg(long, global = true)]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Runs only cases whose title matches this regular expression.
    #[arg(long, global = true)]
    pub(crate) focus: Option<Regex>,
    /// Leaves out cases whose title matches this regular expression.
    #[arg(long, global = true)]
    pub(crate) skip: Option<Regex>,
    /// Prints the titles of the selected cases and runs none.
    #[arg(long)]
    pub(crate) list: bool,
    /// How many cases run at the same time.
    #[arg(long, global = true, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) parallel: u16,
    /// How long a case may take, in seconds.
    #[arg(long, global = true, default_value = "300", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// Form of the report on standard output.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// Writes a JUnit report to this file besides.
    #[arg(long)]
    pub(crate) junit: Option<PathBuf>,
    /// Name of the test image where nodes find it.
    #[arg(long, global = true, default_value = crate::image::IMAGE)]
    pub(crate) image: String,
    /// File of lines `NAME NAME`: an image and where it is instead, for clusters without internet.
    #[arg(long, global = true)]
    pub(crate) image_map: Option<PathBuf>,
    /// The kubectl of the cases of sig-cli; found on PATH if left out.
    #[arg(long, global = true)]
    pub(crate) kubectl: Option<PathBuf>,
    /// Runs an upstream e2e.test binary with the same selection as well; one table shows both.
    #[arg(long)]
    pub(crate) e2e_binary: Option<PathBuf>,
}

/// Form of the report.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Output {
    /// A line for each case and a summary.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

fn seconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_secs)
}
