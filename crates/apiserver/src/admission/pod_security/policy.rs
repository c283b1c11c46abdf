//! Levels, versions, and the policy that the labels of a namespace ask for.

use std::fmt;

use apimachinery::field::{ErrorList, FieldError, Path};

/// Prefix of the labels, and of what is told to the audit.
pub(super) const PREFIX: &str = "pod-security.kubernetes.io/";

/// Text that says nothing of a standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("must be one of privileged, baseline, restricted")]
    Level,
    #[error("must be \"latest\" or \"v1.x\"")]
    Version,
}

/// How strict a policy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Privileged,
    Baseline,
    Restricted,
}

impl Level {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }

    /// # Errors
    /// The text is none of the three names.
    pub(super) fn parse(text: &str) -> Result<Self, Unreadable> {
        [Self::Privileged, Self::Baseline, Self::Restricted]
            .into_iter()
            .find(|level| level.name() == text)
            .ok_or(Unreadable::Level)
    }
}

/// The release whose checks a policy is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    /// The release 1.x.
    Minor(i64),
    /// The newest one; newer than all others.
    Latest,
}

impl Version {
    /// # Errors
    /// The text is neither `latest` nor `v1.` and a number without leading zeros.
    pub(super) fn parse(text: &str) -> Result<Self, Unreadable> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        let digits = text.strip_prefix("v1.").filter(|digits| {
            digits.bytes().all(|b| b.is_ascii_digit())
                && (*digits == "0" || !digits.starts_with('0'))
        });
        let minor = digits.and_then(|digits| digits.parse().ok());
        minor.map(Self::Minor).ok_or(Unreadable::Version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Minor(minor) => write!(f, "v1.{minor}"),
        }
    }
}

/// One mode's part of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standard {
    pub(super) level: Level,
    pub(super) version: Version,
}

impl Standard {
    pub(super) const PRIVILEGED: Self = Self { level: Level::Privileged, version: Version::Latest };

    /// Returns true if both permit the same, whatever their versions.
    fn permits_as(self, other: Self) -> bool {
        self == other || (self.level == Level::Privileged && other.level == Level::Privileged)
    }
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.level.name(), self.version)
    }
}

/// A policy that applies to a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) enforce: Standard,
    pub(super) audit: Standard,
    pub(super) warn: Standard,
}

impl Policy {
    #[cfg(test)]
    pub(super) const PRIVILEGED: Self = Self {
        enforce: Standard::PRIVILEGED,
        audit: Standard::PRIVILEGED,
        warn: Standard::PRIVILEGED,
    };

    pub(super) fn is_privileged(&self) -> bool {
        [self.enforce, self.audit, self.warn].iter().all(|s| s.level == Level::Privileged)
    }

    pub(super) fn permits_as(&self, other: &Self) -> bool {
        self.enforce.permits_as(other.enforce)
            && self.audit.permits_as(other.audit)
            && self.warn.permits_as(other.warn)
    }

    /// The policy of a namespace with these labels, and what is wrong with them. An unreadable
    /// level is enforced as the strictest one, but neither warned nor audited.
    pub(super) fn of<'a>(
        label: impl Fn(&str) -> Option<&'a str>,
        defaults: &Self,
    ) -> (Self, ErrorList) {
        let labels = Path::new("metadata").child("labels");
        let mut errors = ErrorList::new();
        let mut policy = *defaults;
        let mut read = |mode: &str, standard: &mut Standard, otherwise: Level| {
            let mut given = [None, None];
            let mut readable = true;
            let key = format!("{PREFIX}{mode}");
            if let Some(text) = label(&key) {
                given[0] = Some(text);
                standard.level = Level::parse(text).unwrap_or_else(|why| {
                    errors.0.push(FieldError::invalid(&labels.key(&key), text, why.to_string()));
                    readable = false;
                    otherwise
                });
            }
            let key = format!("{PREFIX}{mode}-version");
            if let Some(text) = label(&key) {
                given[1] = Some(text);
                standard.version = Version::parse(text).unwrap_or_else(|why| {
                    errors.0.push(FieldError::invalid(&labels.key(&key), text, why.to_string()));
                    Version::Latest
                });
            }
            (given[0].is_some(), given[1].is_some(), readable)
        };
        let (enforces, _, readable) = read("enforce", &mut policy.enforce, Level::Restricted);
        read("audit", &mut policy.audit, Level::Privileged);
        let (warns, versioned, _) = read("warn", &mut policy.warn, Level::Privileged);
        // Nobody is refused a pod without having been warned about its workload.
        if !warns && enforces && readable && policy.enforce.level > policy.warn.level {
            policy.warn.level = policy.enforce.level;
            if !versioned {
                policy.warn.version = policy.enforce.version;
            }
        }
        (policy, errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(labels: &[(&str, &str)], defaults: &Policy) -> (String, String) {
        let find = |key: &str| {
            let key = key.strip_prefix(PREFIX).unwrap();
            labels.iter().find(|(own, _)| *own == key).map(|(_, value)| *value)
        };
        let (policy, errors) = Policy::of(find, defaults);
        let Policy { enforce, audit, warn } = policy;
        let errors: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
        (format!("{enforce} {audit} {warn}"), errors.join("; "))
    }

    #[test]
    fn versions_are_read_strictly() {
        for (text, version) in [
            ("latest", Some(Version::Latest)),
            ("v1.0", Some(Version::Minor(0))),
            ("v1.37", Some(Version::Minor(37))),
            ("v1.9223372036854775807", Some(Version::Minor(i64::MAX))),
            ("v1.9223372036854775808", None),
            ("v1.01", None),
            ("v1.", None),
            ("v1.-1", None),
            ("v1.+1", None),
            ("v2.0", None),
            ("1.22", None),
            ("Latest", None),
            ("v1.22 ", None),
            ("", None),
        ] {
            assert_eq!(Version::parse(text).ok(), version, "{text}");
        }
        assert!(Version::Minor(i64::MAX) < Version::Latest);
    }

    #[test]
    fn labels_override_the_defaults() {
        let p = "privileged:latest";
        let said = |text: &str| (text.to_owned(), String::new());
        let none = Policy::PRIVILEGED;
        assert_eq!(of(&[], &none), said(&format!("{p} {p} {p}")));
        assert_eq!(
            of(&[("enforce", "baseline")], &none),
            said(&format!("baseline:latest {p} baseline:latest"))
        );
        let both = [("enforce", "restricted"), ("enforce-version", "v1.22")];
        assert_eq!(of(&both, &none), said(&format!("restricted:v1.22 {p} restricted:v1.22")));
        // A version of the warnings stays; so do a weaker level and a stricter one by default.
        let both = [("enforce", "restricted"), ("warn-version", "v1.9")];
        assert_eq!(of(&both, &none), said(&format!("restricted:latest {p} restricted:v1.9")));
        let both = [("enforce", "restricted"), ("warn", "baseline")];
        assert_eq!(of(&both, &none), said(&format!("restricted:latest {p} baseline:latest")));
        let strict = Standard { level: Level::Restricted, version: Version::Minor(8) };
        let defaults = Policy { warn: strict, ..none };
        assert_eq!(
            of(&[("enforce", "baseline")], &defaults),
            said(&format!("baseline:latest {p} restricted:v1.8"))
        );
        assert_eq!(
            of(&[("audit", "baseline"), ("audit-version", "v1.5")], &none),
            said(&format!("{p} baseline:v1.5 {p}"))
        );
    }

    #[test]
    fn unreadable_labels_are_enforced_strictly_and_nothing_else() {
        let (policy, errors) = of(
            &[("enforce", "x"), ("enforce-version", "y"), ("audit", "z"), ("warn", "")],
            &Policy::PRIVILEGED,
        );
        assert_eq!(policy, "restricted:latest privileged:latest privileged:latest");
        let level = "must be one of privileged, baseline, restricted";
        assert_eq!(
            errors,
            format!(
                "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"x\": {level}; \
                 metadata.labels[pod-security.kubernetes.io/enforce-version]: Invalid value: \"y\": \
                 must be \"latest\" or \"v1.x\"; \
                 metadata.labels[pod-security.kubernetes.io/audit]: Invalid value: \"z\": {level}; \
                 metadata.labels[pod-security.kubernetes.io/warn]: Invalid value: \"\": {level}"
            )
        );
    }
}
