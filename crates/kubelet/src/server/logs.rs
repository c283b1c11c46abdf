//! Container logs.

pub(crate) mod line;
