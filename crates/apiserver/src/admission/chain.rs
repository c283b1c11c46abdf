//! The plugins that run, as the administrator chose and configured them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use apimachinery::text::{aggregate, quote};

use super::configuration::{Document, Documents, Invalid};
use super::{Entry, Operation, PLUGINS, Plugin, Source};
use crate::metrics::Phase;

/// The choice of admission plugins: upstream's flags.
#[derive(Clone, Debug, Default)]
pub struct AdmissionOptions {
    /// Plugins that run besides those that run by default (`--enable-admission-plugins`).
    pub enable: Vec<String>,
    /// Plugins that do not run although they do by default (`--disable-admission-plugins`).
    pub disable: Vec<String>,
    /// File with an `AdmissionConfiguration` (`--admission-control-config-file`).
    pub config_file: Option<PathBuf>,
}

/// The reason why the admission plugins cannot run as they are configured.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// The names of plugins are wrong.
    #[error("{0}")]
    Names(String),
    /// The file could not be read.
    #[error("unable to read admission control configuration from {} [{why}]", quote(&path.to_string_lossy()))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: std::io::Error,
    },
    /// The file is no configuration.
    #[error("failed to read plugin config: {0}")]
    Malformed(String),
    /// A plugin refuses its configuration.
    #[error("couldn't init admission plugin {}: {why}", quote(plugin))]
    Refused {
        /// The plugin.
        plugin: &'static str,
        /// The mistake.
        why: String,
    },
    /// A plugin lacks what it needs, or its values are wrong.
    #[error("failed to initialize admission plugin {}: {why}", quote(plugin))]
    Uninitialized {
        /// The plugin.
        plugin: &'static str,
        /// The mistake.
        why: String,
    },
}

/// Plugins whose configuration upstream reads and this server does not: without its credentials or
/// its files they would not do what was asked for.
const UNREAD: &[&str] = &[
    "MutatingAdmissionPolicy",
    "MutatingAdmissionWebhook",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
];

enum Link {
    Fixed(&'static dyn Plugin),
    Made(Box<dyn Plugin>),
}

/// The plugins that run, in order.
pub(crate) struct Chain(Vec<(usize, Link)>);

impl Chain {
    /// Chooses and configures the plugins.
    pub(crate) fn new(options: &AdmissionOptions) -> Result<Self, AdmissionError> {
        check(options)?;
        let runs = |entry: &&Entry| runs(entry, options);
        let names: Vec<&str> = PLUGINS.iter().filter(runs).map(|entry| entry.name).collect();
        let documents = match &options.config_file {
            Some(path) => Documents::read(path, &names)?,
            None => Documents::default(),
        };
        let known: Vec<&str> = PLUGINS.iter().map(|entry| entry.name).collect();
        documents.complain(&known);
        let mut links = Vec::new();
        for (at, entry) in PLUGINS.iter().enumerate().filter(|(_, entry)| runs(entry)) {
            let link = match entry.plugin {
                Source::Fixed(_) if UNREAD.contains(&entry.name) && documents.has(entry.name) => {
                    let why = "this server does not read its configuration yet".to_owned();
                    return Err(AdmissionError::Refused { plugin: entry.name, why });
                }
                Source::Fixed(plugin) => {
                    documents.complain_of(entry.name);
                    Link::Fixed(plugin)
                }
                Source::Configured(make) => {
                    let document = documents.of(entry.name)?;
                    Link::Made(make_one(entry.name, make, document.as_ref())?)
                }
            };
            links.push((at, link));
        }
        tracing::debug!(plugins = names.join(","), "admission plugins");
        Ok(Self(links))
    }

    /// The plugins that take part in a phase of an operation, with their places in the table.
    pub(super) fn plugins(
        &self,
        phase: Phase,
        operation: Operation,
    ) -> impl Iterator<Item = (usize, &dyn Plugin)> {
        let taking = move |(at, _): &&(usize, Link)| PLUGINS[*at].takes_part(phase, operation);
        self.0.iter().filter(taking).map(|(at, link)| match link {
            Link::Fixed(plugin) => (*at, *plugin),
            Link::Made(plugin) => (*at, &**plugin),
        })
    }
}

fn make_one(
    plugin: &'static str,
    make: super::Make,
    document: Option<&Document>,
) -> Result<Box<dyn Plugin>, AdmissionError> {
    make(document).map_err(|invalid| match invalid {
        Invalid::Document(why) => AdmissionError::Refused { plugin, why },
        Invalid::Values(why) => AdmissionError::Uninitialized { plugin, why },
    })
}

/// A plugin that is enabled runs, even if it is disabled too by default.
fn runs(entry: &Entry, options: &AdmissionOptions) -> bool {
    let names = |list: &[String]| list.iter().any(|name| name == entry.name);
    entry.is_own() || names(&options.enable) || (entry.by_default && !names(&options.disable))
}

fn check(options: &AdmissionOptions) -> Result<(), AdmissionError> {
    let known = |name: &str| PLUGINS.iter().any(|entry| entry.name == name && !entry.is_own());
    let mut faults = Vec::new();
    for (flag, names) in [("enable", &options.enable), ("disable", &options.disable)] {
        let unknown = names.iter().filter(|name| !known(name));
        faults.extend(
            unknown
                .map(|name| format!("{flag}-admission-plugins plugin {} is unknown", quote(name))),
        );
    }
    let both: BTreeSet<&str> = options.enable.iter().map(String::as_str).collect();
    let both: Vec<&str> =
        both.into_iter().filter(|name| options.disable.iter().any(|other| other == name)).collect();
    if !both.is_empty() {
        faults.push(format!(
            "[{}] in enable-admission-plugins and disable-admission-plugins overlapped",
            both.join(" ")
        ));
    }
    if faults.is_empty() { Ok(()) } else { Err(AdmissionError::Names(aggregate(&faults))) }
}

#[cfg(test)]
mod tests;
