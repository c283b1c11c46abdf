//! Content negotiation: which encoding, and which form of the object.

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

impl Encoding {
    /// The media type of an ordinary answer.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Yaml => YAML,
            Self::Protobuf => PROTOBUF,
        }
    }

    fn of(media_type: &str) -> Option<Self> {
        match media_type {
            JSON | "*/*" | "application/*" => Some(Self::Json),
            YAML => Some(Self::Yaml),
            PROTOBUF => Some(Self::Protobuf),
            _ => None,
        }
    }
}

/// Which form of the object is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Object,
    Table,
    Partial,
}

/// An acceptable answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) encoding: Encoding,
    pub(crate) form: Form,
}

impl Accepted {
    pub(crate) const JSON: Self = Self { encoding: Encoding::Json, form: Form::Object };

    /// Picks the first clause of an Accept header that can be met.
    pub(crate) fn negotiate(header: Option<&str>) -> Result<Self, Status> {
        Self::pick(header, |_| true)
    }

    /// As [`negotiate`](Self::negotiate), where there is nothing but the object itself.
    pub(crate) fn negotiate_object(header: Option<&str>) -> Result<Self, Status> {
        Self::pick(header, |accepted| accepted.form == Form::Object)
    }

    fn pick(header: Option<&str>, can: fn(&Self) -> bool) -> Result<Self, Status> {
        let Some(header) = header.filter(|h| !h.trim().is_empty()) else { return Ok(Self::JSON) };
        header.split(',').filter_map(clause).find(can).ok_or_else(|| {
            Status::not_acceptable(format!(
                "only the following media types are accepted: {JSON}, {YAML}, {PROTOBUF}"
            ))
        })
    }
}

fn clause(clause: &str) -> Option<Accepted> {
    let mut parts = clause.split(';').map(str::trim);
    let encoding = Encoding::of(&parts.next()?.to_ascii_lowercase())?;
    let mut form = Form::Object;
    let mut meta = true;
    for part in parts {
        match part.split_once('=')? {
            ("as", "Table") => form = Form::Table,
            ("as", "PartialObjectMetadata" | "PartialObjectMetadataList") => form = Form::Partial,
            ("as", _) => return None,
            ("g", group) => meta &= group == "meta.k8s.io",
            ("v", version) => meta &= version == "v1",
            _ => {}
        }
    }
    (form == Form::Object || meta).then_some(Accepted { encoding, form })
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
    fn the_first_clause_that_can_be_met_wins() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
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
            (
                Some(
                    "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
                ),
                Some((Encoding::Protobuf, Form::Partial)),
            ),
            (Some("application/json;stream=watch"), Some((Encoding::Json, Form::Object))),
            (Some("text/html"), None),
        ] {
            let got = Accepted::negotiate(header).ok().map(|a| (a.encoding, a.form));
            assert_eq!(got, want, "{header:?}");
        }
        let plain = |header| Accepted::negotiate_object(Some(header)).map_err(|e| e.code);
        assert_eq!(plain(kubectl), Ok(Accepted::JSON));
        assert_eq!(plain("application/json;as=Table;v=v1;g=meta.k8s.io"), Err(406));
    }

    #[test]
    fn bodies_of_unknown_type_are_refused() {
        assert_eq!(content_type(None), Ok(Encoding::Json));
        assert_eq!(content_type(Some("application/yaml; charset=utf-8")), Ok(Encoding::Yaml));
        assert_eq!(content_type(Some("text/plain")).unwrap_err().code, 415);
    }
}
