//! The name, help and stability of a metric.

/// Upstream's stability level of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stability {
    /// May change or go at any time.
    Alpha,
    /// Keeps its name and labels, or is deprecated first.
    Beta,
    /// Keeps its name, type and labels.
    Stable,
    /// Not one of Kubernetes' own, as those of the process and of cadvisor.
    Foreign,
}

impl Stability {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Alpha => "ALPHA",
            Self::Beta => "BETA",
            Self::Stable => "STABLE",
            Self::Foreign => "",
        }
    }
}

/// A metric's name and help text.
#[derive(Clone, Copy, Debug)]
pub struct Desc {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) stability: Stability,
    pub(super) deprecated: &'static str,
}

impl Desc {
    const fn new(name: &'static str, help: &'static str, stability: Stability) -> Self {
        Self { name, help, stability, deprecated: "" }
    }

    /// An ALPHA metric.
    pub const fn alpha(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, Stability::Alpha)
    }

    /// A BETA metric.
    pub const fn beta(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, Stability::Beta)
    }

    /// A STABLE metric.
    pub const fn stable(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, Stability::Stable)
    }

    /// A metric without a stability level.
    pub const fn foreign(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, Stability::Foreign)
    }

    /// The same metric, deprecated since a version and not yet hidden.
    pub const fn deprecated(self, since: &'static str) -> Self {
        Self { deprecated: since, ..self }
    }

    /// The help text as it is served.
    pub(super) fn help(&self) -> String {
        let since = match self.deprecated {
            "" => String::new(),
            version => format!("(Deprecated since {version}) "),
        };
        match self.stability {
            Stability::Foreign => format!("{since}{}", self.help),
            level => format!("[{}] {since}{}", level.name(), self.help),
        }
    }
}
