//! Metrics under upstream's names, in the form that upstream serves.
//!
//! A component describes its metrics in its own `metrics.rs` and adds them to the [`Registry`] that
//! it is given; the process decides which endpoint serves which registry. Values are those of the
//! `prometheus-client` crate. Added here are stability levels, exact help texts, sorted output,
//! samples with timestamps, and a bound on how many series a family may have.

pub mod buckets;
mod desc;
mod encode;
mod exposition;
mod family;
mod process;
mod registry;
mod service_levels;
pub mod stable;
mod timer;
mod value;

pub use desc::{Desc, Stability};
pub use exposition::{Exposition, Format};
pub use family::{Family, MAX_SERIES};
pub use process::{build_info, process};
pub use registry::{Kind, Registry, Samples};
pub use service_levels::ServiceLevels;
pub use timer::Timer;

pub use prometheus_client::metrics::histogram::Histogram;
pub use value::{Counter, Gauge, Held};

#[cfg(test)]
mod tests;
