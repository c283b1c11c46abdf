//! Content negotiation: selects the encoding and the form of the object.

use apimachinery::Status;

/// An encoding of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Yaml,
    Protobuf,
}

pub(crate) const JSON: &str = "application/json";
pub(crate) const YAML: &str = "application/yaml";
pub(crate) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// Group and version of tables and partial objects.
const META: &str = "meta.k8s.io/v1";
const META_BETA: &str = "meta.k8s.io/v1beta1";

impl Encoding {
    /// The media type of an ordinary answer.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Yaml => YAML,
            Self::Protobuf => PROTOBUF,
        }
    }

    /// The encoding of errors that occur before the forms of the path are known.
    pub(crate) fn wanted(accept: Option<&str>) -> Self {
        Accepted::negotiate(accept, Offer::List).map_or(Self::Json, |accepted| accepted.encoding)
    }

    fn of(media_type: &str) -> Option<Self> {
        match media_type {
            JSON | "*" | "*/*" | "application/*" => Some(Self::Json),
            YAML => Some(Self::Yaml),
            PROTOBUF => Some(Self::Protobuf),
            _ => None,
        }
    }
}

/// The requested form of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Object,
    Table,
    Partial,
    PartialList,
}

/// An acceptable answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) encoding: Encoding,
    pub(crate) form: Form,
    /// True if the form is requested in its older version.
    pub(crate) beta: bool,
}

/// The forms that a path can return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// An object, in other forms too.
    Object,
    /// A list, or a watch of one.
    List,
    /// Only the object itself.
    Plain,
    /// The text of a log.
    Log,
}

impl Offer {
    /// The media types that the path declares; a client must accept one before its parameters are
    /// checked.
    fn declared(self) -> &'static [&'static str] {
        match self {
            Self::Object | Self::Plain => &[JSON, YAML, PROTOBUF],
            Self::List => &[
                JSON,
                YAML,
                PROTOBUF,
                "application/json;stream=watch",
                "application/vnd.kubernetes.protobuf;stream=watch",
            ],
            Self::Log => &["text/plain", JSON, YAML, PROTOBUF],
        }
    }

    fn has(self, form: Form) -> bool {
        form == Form::Object || matches!(self, Self::Object | Self::List)
    }
}

impl Accepted {
    pub(crate) const JSON: Self =
        Self { encoding: Encoding::Json, form: Form::Object, beta: false };

    /// The best match of an Accept header and the forms of a path.
    pub(crate) fn negotiate(header: Option<&str>, offer: Offer) -> Result<Self, Status> {
        Self::best(header, offer, true)
    }

    /// The same; the objects themselves may have no protobuf form.
    pub(crate) fn best(header: Option<&str>, offer: Offer, protobuf: bool) -> Result<Self, Status> {
        let Some(header) = header.filter(|h| !h.is_empty()) else { return Ok(Self::JSON) };
        let mut media_types =
            header.split(',').map(|c| c.split(';').next().unwrap_or_default().trim_matches(' '));
        let declared = offer.declared();
        if !media_types.any(|own| own == "*/*" || declared.contains(&own)) {
            let all = declared.join(", ");
            let message = format!("406: Not Acceptable\n\nAvailable representations: {all}");
            let mut status = Status::not_acceptable(message);
            status.details = Some(Box::default());
            return Err(status);
        }
        clauses(header)
            .iter()
            .filter_map(Clause::accepted)
            .filter(|own| {
                protobuf || (own.encoding, own.form) != (Encoding::Protobuf, Form::Object)
            })
            .find(|accepted| offer.has(accepted.form))
            .ok_or_else(|| only(if protobuf { &[JSON, YAML, PROTOBUF] } else { &[JSON, YAML] }))
    }

    /// The version of forms other than the kind's own.
    pub(crate) fn meta_version(self) -> &'static str {
        if self.beta { META_BETA } else { META }
    }
}

/// 406 with the acceptable media types.
pub(crate) fn only(media_types: &[&str]) -> Status {
    let all = media_types.join(", ");
    Status::not_acceptable(format!("only the following media types are accepted: {all}"))
}

/// One alternative of an Accept header.
struct Clause<'a> {
    media_type: &'a str,
    quality: f32,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.trim_matches(' ').split(';');
        let media_type = parts.next()?.trim_matches(' ');
        if media_type != "*" && media_type.split('/').count() != 2 {
            return None;
        }
        let mut clause = Self { media_type, quality: 1.0, parameters: Vec::new() };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim_matches(' ') {
                _ if value.is_empty() || value.contains('=') => {}
                "q" => clause.quality = value.parse().unwrap_or(0.0),
                name => clause.parameters.push((name, value.trim_matches(' '))),
            }
        }
        Some(clause)
    }

    /// Upstream's order, which cannot be expressed as a key.
    fn before(&self, other: &Self) -> bool {
        let any = |clause: &Self| clause.media_type.starts_with('*');
        let any_of = |clause: &Self| any(clause) || clause.media_type.ends_with("/*");
        self.quality > other.quality
            || (!any(self) && any(other))
            || (!any_of(self) && any_of(other))
    }

    fn accepted(&self) -> Option<Accepted> {
        let encoding = Encoding::of(self.media_type)?;
        let (mut kind, mut group, mut version) = ("", "", "");
        for &(name, value) in &self.parameters {
            match name {
                "as" => kind = value,
                "g" => group = value,
                "v" => version = value,
                "stream" if value != "watch" || encoding == Encoding::Yaml => return None,
                "sv" if value != "v1" => return None,
                _ => {}
            }
        }
        if [kind, group, version] == [""; 3] {
            return Some(Accepted { encoding, ..Accepted::JSON });
        }
        let beta = match (group, version) {
            ("meta.k8s.io", "v1") => false,
            ("meta.k8s.io", "v1beta1") => true,
            _ => return None,
        };
        let form = match kind {
            "Table" if encoding != Encoding::Protobuf => Form::Table,
            "PartialObjectMetadata" => Form::Partial,
            "PartialObjectMetadataList" => Form::PartialList,
            _ => return None,
        };
        Some(Accepted { encoding, form, beta })
    }
}

/// The alternatives in order of preference.
fn clauses(header: &str) -> Vec<Clause<'_>> {
    let mut sorted: Vec<Clause<'_>> = Vec::new();
    for clause in header.split(',').filter_map(Clause::parse) {
        let behind = sorted.iter().rposition(|other| !clause.before(other));
        sorted.insert(behind.map_or(0, |at| at + 1), clause);
    }
    sorted
}

/// The encoding of a request body.
pub(crate) fn content_type(header: Option<&str>) -> Result<Encoding, Status> {
    let Some(header) = header.filter(|h| !h.trim().is_empty()) else { return Ok(Encoding::Json) };
    let media_type = header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    Encoding::of(&media_type).filter(|_| !media_type.contains('*')).ok_or_else(|| {
        Status::unsupported_media_type(format!(
            "the body of the request was in an unknown format - accepted media types include: \
             {JSON}, {YAML}, {PROTOBUF}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_clause_that_can_be_met_wins() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        let partial =
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        for (header, want) in [
            (None, Some((Encoding::Json, Form::Object))),
            (Some("*/*"), Some((Encoding::Json, Form::Object))),
            (Some(kubectl), Some((Encoding::Json, Form::Table))),
            (
                Some("application/vnd.kubernetes.protobuf, */*"),
                Some((Encoding::Protobuf, Form::Object)),
            ),
            (
                Some("application/json;as=Table;v=v9;g=meta.k8s.io, application/yaml"),
                Some((Encoding::Yaml, Form::Object)),
            ),
            (Some(partial), Some((Encoding::Protobuf, Form::PartialList))),
            (Some("application/json;stream=watch"), Some((Encoding::Json, Form::Object))),
            (
                Some("application/json;q=0.1,application/yaml;q=0.9"),
                Some((Encoding::Yaml, Form::Object)),
            ),
            (Some("text/plain,*/*"), Some((Encoding::Json, Form::Object))),
            (Some("application/json;as=Table"), None),
            (Some("application/json;g=meta.k8s.io;v=v1"), None),
            (Some("application/json;stream=other"), None),
            (Some("application/yaml;stream=watch"), None),
            (Some("application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1"), None),
            (Some("application/*"), None),
            (Some("text/html"), None),
        ] {
            let got = Accepted::negotiate(header, Offer::List).ok().map(|a| (a.encoding, a.form));
            assert_eq!(got, want, "{header:?}");
        }
        let plain = |header| Accepted::negotiate(Some(header), Offer::Plain).map_err(|e| e.code);
        assert_eq!(plain(kubectl), Ok(Accepted::JSON));
        assert_eq!(plain("application/json;as=Table;g=meta.k8s.io;v=v1"), Err(406));
        let beta = "application/json;as=Table;g=meta.k8s.io;v=v1beta1";
        let beta = Accepted::negotiate(Some(beta), Offer::Object).unwrap();
        assert_eq!((beta.form, beta.meta_version()), (Form::Table, "meta.k8s.io/v1beta1"));
    }

    #[test]
    fn refusals_name_what_the_path_declares() {
        let said = |header, offer| Accepted::negotiate(Some(header), offer).unwrap_err().message;
        assert_eq!(
            said("text/html", Offer::Log),
            "406: Not Acceptable\n\nAvailable representations: text/plain, application/json, \
             application/yaml, application/vnd.kubernetes.protobuf"
        );
        assert_eq!(
            said("text/plain", Offer::Log),
            "only the following media types are accepted: application/json, application/yaml, \
             application/vnd.kubernetes.protobuf"
        );
    }

    #[test]
    fn bodies_of_unknown_type_are_refused() {
        assert_eq!(content_type(None), Ok(Encoding::Json));
        assert_eq!(content_type(Some("application/yaml; charset=utf-8")), Ok(Encoding::Yaml));
        assert_eq!(content_type(Some("text/plain")).unwrap_err().code, 415);
    }
}
