//! Why a value does not fit its type.

use super::scalar::Content;

/// Why a value does not fit its type, in the words of Go's decoder, or of upstream's converter.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// It is of another type, where no field has a name.
    #[error("json: cannot unmarshal {found} into Go value of type {wanted}")]
    Value {
        /// What is there.
        found: String,
        /// Go's name of what should be.
        wanted: String,
    },
    /// A field is of another type.
    #[error(
        "json: cannot unmarshal {found} into Go struct field {owner}.{fields} of type {wanted}"
    )]
    Field {
        /// What is there.
        found: String,
        /// The struct.
        owner: String,
        /// The fields that lead there.
        fields: String,
        /// Go's name of what should be.
        wanted: String,
    },
    /// Neither of what a schema's field may be.
    #[error("boolean or JSON schema expected")]
    NoSchema,
    /// The text of a scalar says nothing.
    #[error(transparent)]
    Content(#[from] Content),
    /// The same of bytes, of the converter.
    #[error("error decoding from json: {0}")]
    Bytes(#[source] Content),
    /// No struct, of the converter.
    #[error("cannot restore struct from: {0}")]
    Struct(&'static str),
    /// No map or slice, of the converter.
    #[error("cannot restore {wanted} from {found}")]
    Restore {
        /// What should be there.
        wanted: &'static str,
        /// What Go calls the kind of what is.
        found: &'static str,
    },
    /// A scalar of another kind, of the converter.
    #[error("cannot convert {found} to {wanted}")]
    Convert {
        /// What Go calls the kind of what is there.
        found: &'static str,
        /// Go's name of what should be.
        wanted: String,
    },
    /// Nothing that the converter can make the type of.
    #[error("unrecognized type: {0}")]
    Unrecognized(&'static str),
}
