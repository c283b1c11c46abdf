//! The form that a scrape is answered in.

/// A form that metrics are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

/// The answer to a scrape.
#[derive(Debug)]
pub struct Exposition {
    /// For the header of this name.
    pub content_type: String,
    /// All metrics.
    pub body: String,
}

/// One clause of an `Accept` header.
struct Clause<'a> {
    media: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    quality: f32,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let parameters: Vec<_> = parts
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
            .collect();
        let quality = parameters.iter().find(|(name, _)| *name == "q");
        let quality = quality.map_or(1.0, |(_, value)| value.parse().unwrap_or(1.0));
        Self { media, parameters, quality }
    }

    fn get(&self, name: &str) -> &'a str {
        let found = self.parameters.iter().find(|(n, _)| *n == name);
        found.map_or("", |(_, value)| value)
    }

    fn format(&self) -> Option<Format> {
        match (self.media, self.get("version")) {
            ("text/plain", "" | "0.0.4") => Some(Format::Text),
            ("application/openmetrics-text", "" | "0.0.1" | "1.0.0") => Some(Format::OpenMetrics),
            _ => None,
        }
    }
}

/// Clauses with the most wanted first.
fn clauses(accept: Option<&str>) -> Vec<Clause<'_>> {
    let mut clauses: Vec<_> = accept
        .unwrap_or_default()
        .split(',')
        .map(Clause::parse)
        .filter(|c| c.quality > 0.0)
        .collect();
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    clauses
}

/// How names outside the old alphabet would be written. There are none here, so that every way is
/// right; the answer names the one that was asked for.
fn escaping<'a>(clauses: impl Iterator<Item = &'a Clause<'a>>) -> &'static str {
    const KNOWN: [&str; 4] = ["allow-utf-8", "underscores", "dots", "values"];
    clauses
        .filter_map(|clause| KNOWN.into_iter().find(|known| *known == clause.get("escaping")))
        .last()
        .unwrap_or("underscores")
}

/// The format for an `Accept` header, and the content type that says so: the text format unless
/// OpenMetrics is wanted more.
pub(super) fn negotiate(accept: Option<&str>) -> (Format, String) {
    let clauses = clauses(accept);
    let found = clauses.iter().position(|clause| clause.format().is_some());
    let asked = found.map_or(clauses.len(), |at| at + 1);
    let format = found.and_then(|at| clauses[at].format()).unwrap_or(Format::Text);
    let media = match format {
        Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
    };
    (format, format!("{media}; escaping={}", escaping(clauses[..asked].iter())))
}

/// The content type of the text format for an `Accept` header.
pub(super) fn text_type(accept: Option<&str>) -> String {
    let clauses = clauses(accept);
    let found = clauses.iter().position(|clause| clause.format() == Some(Format::Text));
    let asked = found.map_or(clauses.len(), |at| at + 1);
    let escaping = escaping(clauses[..asked].iter());
    format!("text/plain; version=0.0.4; charset=utf-8; escaping={escaping}")
}
