//! What names, labels and keys may look like, and upstream's words for what they may not.

mod generate;

pub use generate::generate_name;
