//! The apimachinery crate.
