//! Events in both of their groups.

use serde_json::json;

use crate::api::{CORE_EVENT, EVENT, Kind};
use crate::case::Case;
use crate::cases::lifecycle::{Life, live};
use crate::test::Test;

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| format!("[sig-instrumentation] {rest} [Conformance]");
    [
        (
            "Events API should ensure that an event can be fetched, patched, deleted, and listed",
            EVENT,
        ),
        ("Events API should delete a collection of events", EVENT),
        ("Events should manage the lifecycle of an event", CORE_EVENT),
        ("Events should delete a collection of events", CORE_EVENT),
    ]
    .map(|(rest, kind)| crate::case::case(&title(rest), move |test| event(test, kind.clone())))
    .into()
}

async fn event(test: Test, kind: Kind) -> anyhow::Result<()> {
    let about = json!({"kind": "Pod", "name": "p", "namespace": test.namespace.as_ref()});
    let series = json!({"count": 2, "lastObservedTime": "2020-01-01T00:00:00.000000Z"});
    let (object, change) = if kind == EVENT {
        (
            json!({"regarding": about, "reason": "Test", "note": "by a test", "type": "Normal",
                "action": "Do", "reportingController": "test-controller",
                "reportingInstance": "test-node", "eventTime": "2020-01-01T00:00:00.000000Z"}),
            json!({"series": series}),
        )
    } else {
        (
            json!({"involvedObject": about, "reason": "Test", "message": "by a test", "type": "Normal",
                "source": {"component": "test"}, "count": 1}),
            json!({"message": "changed"}),
        )
    };
    live(test, Life { kind, object, change, status: None }).await
}
