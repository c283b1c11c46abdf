//! One provider of a list: the first seals, and all of them open.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Notify;

use super::cipher::{Form, Sealer};
use super::kms::Kms;
use super::{SEALED, Seal, config, fingerprint};
use crate::metrics::Encryption as Metrics;

/// Why a value cannot be sealed, in upstream's words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SealError(String);

/// Why a value cannot be opened, in upstream's words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct OpenError(pub(crate) String);

/// A key of a list, and the beginning of values that it has sealed.
struct Named {
    prefix: String,
    sealer: Sealer,
    seal: Seal,
}

enum How {
    Identity,
    Keys { keys: Vec<Named>, none: &'static str },
    Kms(Arc<Kms>),
}

/// A provider and the beginning of its values.
pub(super) struct Provider {
    prefix: String,
    how: How,
}

impl Provider {
    pub(super) fn new(
        given: config::Provider,
        metrics: &Arc<Metrics>,
        ready: &Arc<Notify>,
    ) -> Self {
        match given {
            config::Provider::Identity => Self { prefix: String::new(), how: How::Identity },
            config::Provider::Keys(form, keys) => {
                let (word, none) = match form {
                    Form::Cbc => ("aescbc", "AES"),
                    Form::Secretbox => ("secretbox", "Secretbox"),
                    Form::Gcm | Form::Derived => ("aesgcm", "AES"),
                };
                let none = match none {
                    "AES" => "no matching key was found for the provided AES transformer",
                    _ => "no matching key was found for the provided Secretbox transformer",
                };
                let prefix = format!("k8s:enc:{word}:v1:");
                let keys = keys.into_iter().map(|(name, sealer)| {
                    let seal = fingerprint(&[prefix.as_bytes(), name.as_bytes(), sealer.key()]);
                    Named { prefix: format!("{name}:"), sealer, seal }
                });
                Self { how: How::Keys { keys: keys.collect(), none }, prefix }
            }
            config::Provider::Kms(plugin) => {
                let prefix = format!("k8s:enc:kms:v2:{}:", plugin.name);
                let kms = Kms::new(&plugin, prefix.clone(), metrics.clone(), ready.clone());
                Self { prefix, how: How::Kms(kms) }
            }
        }
    }

    /// The plugin that it asks.
    pub(super) fn plugin(&self) -> Option<&Arc<Kms>> {
        match &self.how {
            How::Kms(kms) => Some(kms),
            _ => None,
        }
    }

    /// Returns true unless values are stored as they are.
    pub(super) fn seals(&self) -> bool {
        !matches!(self.how, How::Identity)
    }

    /// The mark of values that it seals now.
    pub(super) fn seal_now(&self) -> Option<Seal> {
        match &self.how {
            How::Identity => None,
            How::Keys { keys, .. } => keys.first().map(|key| key.seal),
            How::Kms(kms) => kms.seal_now(),
        }
    }

    /// Seals a value for a place; `None` if it is stored as it is.
    pub(super) fn seal(
        &self,
        of: (&str, &str),
        value: &[u8],
        place: &[u8],
        metrics: &Metrics,
    ) -> Result<Option<(Vec<u8>, Seal)>, SealError> {
        let begun = Instant::now();
        let told = |prefix: &str, status: &str| {
            metrics.transformed(&label(of), "to_storage", prefix, begun.elapsed(), status);
        };
        let sealed = match &self.how {
            How::Identity => {
                told("", "OK");
                return Ok(None);
            }
            How::Keys { keys, .. } => {
                let Some(key) = keys.first() else { return Ok(None) };
                let sealed = key.sealer.seal(value, place);
                told(&key.prefix, status(&sealed));
                sealed.map_err(|why| SealError(why.to_string())).map(|sealed| {
                    ([self.prefix.as_bytes(), key.prefix.as_bytes(), &sealed].concat(), key.seal)
                })
            }
            How::Kms(kms) => match kms.seal(value, place) {
                Ok((sealed, seal)) => Ok(([self.prefix.as_bytes(), &sealed].concat(), seal)),
                Err(why) => Err(SealError(why.to_string())),
            },
        };
        told(&self.prefix, status(&sealed));
        sealed.map(Some)
    }

    /// Opens what stands after the prefix.
    async fn open(
        &self,
        of: (&str, &str),
        sealed: &[u8],
        place: &[u8],
        metrics: &Metrics,
    ) -> Result<(Vec<u8>, Seal), OpenError> {
        match &self.how {
            How::Identity => Err(OpenError(READ_SEALED.to_owned())),
            How::Keys { keys, none } => {
                let mut wrong = Wrong::default();
                for key in keys {
                    let begun = Instant::now();
                    let Some(rest) = sealed.strip_prefix(key.prefix.as_bytes()) else { continue };
                    let opened = key.sealer.open(rest, place);
                    let status = status(&opened);
                    let (of, took) = (label(of), begun.elapsed());
                    metrics.transformed(&of, "from_storage", &key.prefix, took, status);
                    match opened {
                        Ok(value) => return Ok((value, key.seal)),
                        Err(why) => wrong.add(why.to_string()),
                    }
                }
                Err(wrong.or(none))
            }
            How::Kms(kms) => {
                kms.open(sealed, place).await.map_err(|why| OpenError(why.to_string()))
            }
        }
    }
}

/// The error of reading what is sealed as if it were not.
const READ_SEALED: &str = "identity transformer tried to read encrypted data";
const NO_MATCH: &str = "no matching prefix found";

/// The word of metrics for an outcome.
fn status<T, E>(outcome: &Result<T, E>) -> &'static str {
    if outcome.is_ok() { "OK" } else { "unknown-non-grpc" }
}

fn label((group, resource): (&str, &str)) -> String {
    match group {
        "" => resource.to_owned(),
        group => format!("{resource}.{group}"),
    }
}

/// Errors of several keys, each once.
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn add(&mut self, why: String) {
        if !self.0.contains(&why) {
            self.0.push(why);
        }
    }

    fn or(&self, none: &str) -> OpenError {
        OpenError(match self.0.as_slice() {
            [] => none.to_owned(),
            [one] => one.clone(),
            all => format!("[{}]", all.join(", ")),
        })
    }
}

/// Opens a value by whichever provider of a list has sealed it; `None` if it is stored as it is, and
/// that is one of the list, or there is no list.
pub(super) async fn open(
    providers: &[Arc<Provider>],
    of: (&str, &str),
    stored: &[u8],
    place: &[u8],
    metrics: &Metrics,
) -> Result<Option<(Vec<u8>, Seal)>, OpenError> {
    let is_sealed = stored.starts_with(SEALED);
    if providers.is_empty() {
        return match is_sealed {
            true => Err(OpenError(READ_SEALED.to_owned())),
            false => Ok(None),
        };
    }
    let begun = Instant::now();
    let told = |prefix: &str, status: &str| {
        metrics.transformed(&label(of), "from_storage", prefix, begun.elapsed(), status);
    };
    let mut wrong = Wrong::default();
    for provider in providers {
        if !provider.seals() {
            if !is_sealed {
                told("identity", "OK");
                return Ok(None);
            }
            continue;
        }
        let Some(rest) = stored.strip_prefix(provider.prefix.as_bytes()) else { continue };
        let opened = provider.open(of, rest, place, metrics).await;
        told(&provider.prefix, status(&opened));
        match opened {
            Ok(opened) => return Ok(Some(opened)),
            // Another provider may have the same prefix, and another key of the same name.
            Err(why) => wrong.add(why.0),
        }
    }
    if wrong.0.is_empty() {
        told("unknown", "unknown-non-grpc");
    }
    Err(wrong.or(NO_MATCH))
}
