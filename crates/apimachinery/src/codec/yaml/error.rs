//! Reasons why YAML cannot be read, in upstream's words.

use libyaml_safer::{ErrorKind, Mark};

use crate::codec::MAX_DEPTH;
use crate::text::quote;

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{}", explain(.0))]
    Parser(#[source] libyaml_safer::Error),
    #[error("invalid Unicode character")]
    Encoding(#[source] std::char::DecodeUtf16Error),
    #[error("too many directives")]
    Directives,
    #[error("document is nested too deeply for its size")]
    Steps,
    #[error("document contains excessive aliasing")]
    Copies,
    #[error("exceeded max depth of {MAX_DEPTH}")]
    Depth,
    #[error("unknown problem parsing YAML content")]
    Event,
    #[error("anchor '{0}' value contains itself")]
    Circle(String),
    #[error("unknown anchor '{0}' referenced")]
    Anchor(String),
    #[error("map merge requires map or sequence of maps as the value")]
    Merge,
    #[error("unsupported map key of type: <nil>")]
    NullKey,
    #[error("invalid map key: {}", quote(.0))]
    Key(String),
    #[error("json: unsupported value: {0}")]
    NotFinite(&'static str),
    #[error("!!binary value contains invalid base64 data")]
    Binary(#[source] base64::DecodeError),
    #[error("cannot decode {found} `{text}` as a !!{wanted}")]
    Tag { found: &'static str, text: String, wanted: String },
}

/// Formats the parser's error in upstream's words.
fn explain(error: &libyaml_safer::Error) -> String {
    let scanner = matches!(error.kind(), ErrorKind::Scanner);
    let line = |mark: Option<Mark>| mark.map_or(0, |m| m.line);
    let line = match (line(error.context_mark()), line(error.problem_mark())) {
        (0, 0) => return error.problem().to_owned(),
        (0, problem) => problem,
        (context, _) => context,
    };
    format!("line {}: {}", line + u64::from(scanner), error.problem())
}
