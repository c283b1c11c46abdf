//! Reasons why a value does not fit its type.

use super::scalar::Content;

/// The reason why a value does not fit, in the words of Go's decoder or upstream's converter.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// A value of another type, outside of any named field.
    #[error("json: cannot unmarshal {found} into Go value of type {wanted}")]
    Value {
        /// Type found.
        found: String,
        /// Go's name of the expected type.
        wanted: String,
    },
    /// A field is of another type.
    #[error(
        "json: cannot unmarshal {found} into Go struct field {owner}.{fields} of type {wanted}"
    )]
    Field {
        /// Type found.
        found: String,
        /// The struct.
        owner: String,
        /// Path of fields to the value.
        fields: String,
        /// Go's name of the expected type.
        wanted: String,
    },
    /// Neither alternative of a schema's field.
    #[error("boolean or JSON schema expected")]
    NoSchema,
    /// The content of a scalar is invalid.
    #[error(transparent)]
    Content(#[from] Content),
    /// Invalid bytes, reported by the converter.
    #[error("error decoding from json: {0}")]
    Bytes(#[source] Content),
    /// Not a struct, reported by the converter.
    #[error("cannot restore struct from: {0}")]
    Struct(&'static str),
    /// Not a map or slice, reported by the converter.
    #[error("cannot restore {wanted} from {found}")]
    Restore {
        /// Expected kind.
        wanted: &'static str,
        /// Go's name of the kind found.
        found: &'static str,
    },
    /// A scalar of another kind, reported by the converter.
    #[error("cannot convert {found} to {wanted}")]
    Convert {
        /// Go's name of the kind found.
        found: &'static str,
        /// Go's name of the expected type.
        wanted: String,
    },
    /// A type that the converter cannot produce.
    #[error("unrecognized type: {0}")]
    Unrecognized(&'static str),
}
