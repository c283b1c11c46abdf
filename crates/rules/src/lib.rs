//! Domain rules that more than one component applies: each is written here once.
//!
//! A rule reads typed objects and answers; it does no I/O and keeps no state.
