//! Code that several controllers share.

pub(crate) mod batch;
pub(crate) mod claim;
pub(crate) mod discovery;
pub(crate) mod expectations;
pub(crate) mod hash;
pub(crate) mod history;
pub(crate) mod meta;
pub(crate) mod namespaced;
pub(crate) mod pod;
pub(crate) mod pod_control;
pub(crate) mod protection;
pub(crate) mod ranking;
pub(crate) mod service;
pub(crate) mod slices;
pub(crate) mod trigger_time;
pub(crate) mod written;
