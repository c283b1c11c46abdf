//! JUnit reports: ours are written, those of ginkgo are read.

use std::time::Duration;

use anyhow::Result;
use quick_xml::events::{BytesText, Event};
use quick_xml::{Reader, Writer};

use super::report::Report;
use super::{Outcome, Record};

/// A report as JUnit XML, one suite for each special interest group's cases and upstream's.
pub(crate) fn write(report: &Report) -> Result<Vec<u8>> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.create_element("testsuites").write_inner_content(|writer| {
        suite(writer, "coxswain conformance", &report.records)?;
        if !report.upstream.is_empty() {
            suite(writer, "e2e.test", &report.upstream)?;
        }
        Ok(())
    })?;
    Ok(writer.into_inner())
}

fn suite(writer: &mut Writer<Vec<u8>>, name: &str, records: &[Record]) -> std::io::Result<()> {
    let count = |word| records.iter().filter(|r| r.outcome.word() == word).count().to_string();
    let time: Duration = records.iter().map(|record| record.time).sum();
    writer
        .create_element("testsuite")
        .with_attributes([
            ("name", name),
            ("tests", &records.len().to_string()),
            ("failures", &count("failed")),
            ("skipped", &count("skipped")),
            ("time", &seconds(time)),
        ])
        .write_inner_content(|writer| records.iter().try_for_each(|record| case(writer, record)))?;
    Ok(())
}

fn case(writer: &mut Writer<Vec<u8>>, record: &Record) -> std::io::Result<()> {
    let class = record.title.split(['[', ']']).nth(1).unwrap_or_default();
    let time = seconds(record.time);
    let element = writer.create_element("testcase").with_attributes([
        ("name", record.title.as_str()),
        ("classname", class),
        ("time", &time),
    ]);
    match &record.outcome {
        Outcome::Passed => element.write_empty()?,
        Outcome::Failed(message) => element.write_inner_content(|writer| {
            let text = BytesText::new(message);
            writer.create_element("failure").write_text_content(text).map(drop)
        })?,
        Outcome::Skipped(message) => element.write_inner_content(|writer| {
            let skipped = writer.create_element("skipped");
            skipped.with_attribute(("message", message.as_str())).write_empty().map(drop)
        })?,
    };
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

/// The cases of a report that ginkgo wrote, without those that its selection left out.
pub(crate) fn read(xml: &str) -> Result<Vec<Record>> {
    let mut reader = Reader::from_str(xml);
    let mut records: Vec<Record> = Vec::new();
    let mut inside = false;
    loop {
        let event = reader.read_event()?;
        let empty = matches!(event, Event::Empty(_));
        match event {
            Event::Start(tag) | Event::Empty(tag) => {
                let attribute = |name: &str| -> Result<String> {
                    Ok(match tag.try_get_attribute(name)? {
                        Some(value) => value.decode_and_unescape_value(reader.decoder())?.into(),
                        None => String::new(),
                    })
                };
                match tag.name().as_ref() {
                    b"testcase" => {
                        // Ginkgo writes "[It] " before a title, and setup steps as cases as well.
                        let name = attribute("name")?;
                        inside = name.starts_with("[It] ");
                        let title = name.trim_start_matches("[It] ").to_owned();
                        let time = attribute("time")?.parse().unwrap_or_default();
                        if inside {
                            let time = Duration::try_from_secs_f64(time).unwrap_or_default();
                            records.push(Record { title, outcome: Outcome::Passed, time });
                        }
                        inside &= !empty;
                    }
                    b"failure" | b"error" if inside => {
                        let message = attribute("message")?;
                        if let Some(record) = records.last_mut() {
                            record.outcome = Outcome::Failed(message);
                        }
                    }
                    b"skipped" if inside => {
                        let message = attribute("message")?;
                        if let Some(record) = records.last_mut() {
                            record.outcome = Outcome::Skipped(message);
                        }
                    }
                    _ => {}
                }
            }
            Event::End(tag) if tag.name().as_ref() == b"testcase" => inside = false,
            Event::Eof => break,
            _ => {}
        }
    }
    // Ginkgo reports what was not selected as skipped, without a reason.
    let chosen = |record: &Record| match &record.outcome {
        Outcome::Skipped(message) => !message.is_empty() && message != "skipped",
        _ => true,
    };
    Ok(records.into_iter().filter(chosen).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_ginkgo_are_read() {
        let xml = r#"<?xml version="1.0"?><testsuites><testsuite name="Kubernetes e2e suite">
            <testcase name="[SynchronizedBeforeSuite]" status="passed" time="1"></testcase>
            <testcase name="[It] [sig-a] one &amp; two [Conformance]" status="passed" time="0.5"/>
            <testcase name="[It] [sig-b] three" status="failed" time="2">
              <failure message="timed out" type="failed">at x.go</failure></testcase>
            <testcase name="[It] [sig-c] not chosen" status="skipped" time="0">
              <skipped message="skipped"></skipped></testcase>
            <testcase name="[It] [sig-c] cannot" status="skipped" time="0">
              <skipped message="skipped - needs GPUs"></skipped></testcase>
            </testsuite></testsuites>"#;
        let records = read(xml).unwrap();
        let seen: Vec<_> = records.iter().map(|r| (r.title.as_str(), r.outcome.word())).collect();
        assert_eq!(
            seen,
            [
                ("[sig-a] one & two [Conformance]", "passed"),
                ("[sig-b] three", "failed"),
                ("[sig-c] cannot", "skipped"),
            ]
        );
        assert_eq!(records[0].time, Duration::from_millis(500));
    }

    #[test]
    fn messages_are_escaped() {
        let record = Record {
            title: "[sig-a] a \"b\" <c>".to_owned(),
            outcome: Outcome::Failed("1 < 2 & 3".to_owned()),
            time: Duration::from_secs(1),
        };
        let report =
            Report { records: vec![record], upstream: Vec::new(), time: Duration::from_secs(1) };
        let xml = String::from_utf8(write(&report).unwrap()).unwrap();
        assert!(xml.contains("1 &lt; 2 &amp; 3"), "{xml}");
        assert!(xml.contains(r#"classname="sig-a""#), "{xml}");
        assert!(!xml.contains("<c>"), "{xml}");
    }
}
