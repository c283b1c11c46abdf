//! Commands and arguments: the image's defaults and the pod's overrides.

use anyhow::Result;
use serde_json::{Value, json};

use crate::case::{Case, pod_case};
use crate::image;
use crate::test::{Test, expect_eq, expect_in};

pub(super) fn cases() -> Vec<Case> {
    let container =
        |rest: &str| format!("[sig-node] Containers should {rest} [NodeConformance] [Conformance]");
    let expansion = |rest: &str| {
        format!("[sig-node] Variable Expansion should allow {rest} [NodeConformance] [Conformance]")
    };
    vec![
        pod_case(&container("use the image defaults if command and args are blank"), |test| {
            runs(test, json!({}), "arguments: image defaults\n")
        }),
        pod_case(
            &container("be able to override the image's default arguments (container cmd)"),
            |test| {
                runs(
                    test,
                    json!({"args": ["args", "override", "arguments"]}),
                    "arguments: override arguments\n",
                )
            },
        ),
        pod_case(
            &container("be able to override the image's default command (container entrypoint)"),
            |test| {
                // Without arguments of its own it gets none of the image's.
                let command = with(&["args", "from", "command"]);
                runs(test, json!({"command": command}), "arguments: from command\n")
            },
        ),
        pod_case(
            &container("be able to override the image's default command and arguments"),
            |test| {
                let command = with(&["args", "command"]);
                let object = json!({"command": command, "args": ["and", "arguments"]});
                runs(test, object, "arguments: command and arguments\n")
            },
        ),
        pod_case(&expansion("composing env vars into new env vars"), |test| {
            let env = json!([
                {"name": "FOO", "value": "foo-value"},
                {"name": "BAR", "value": "bar-value"},
                {"name": "FOOBAR", "value": "$(FOO);;$(BAR);;$$(FOO);;$(NOBODY)"},
            ]);
            let expected = "FOOBAR=foo-value;;bar-value;;$(FOO);;$(NOBODY)\n";
            runs(test, json!({"env": env, "args": ["do", "env"]}), expected)
        }),
        pod_case(&expansion("substituting values in a container's command"), |test| {
            let env = json!([{"name": "TEST_VAR", "value": "test-value"}]);
            let command = with(&["args", "$(TEST_VAR)", "$$(TEST_VAR)"]);
            runs(
                test,
                json!({"env": env, "command": command}),
                "arguments: test-value $(TEST_VAR)\n",
            )
        }),
        pod_case(&expansion("substituting values in a container's args"), |test| {
            let env = json!([{"name": "TEST_VAR", "value": "test-value"}]);
            let args = json!(["args", "$(TEST_VAR)", "$(ABSENT)"]);
            runs(test, json!({"env": env, "args": args}), "arguments: test-value $(ABSENT)\n")
        }),
        pod_case(
            "[sig-node] Containers should start in the working directory that they name",
            working_directory,
        ),
    ]
}

fn with(arguments: &[&str]) -> Value {
    json!([image::COMMAND, arguments].concat())
}

async fn runs(test: Test, container: Value, expected: &str) -> Result<()> {
    test.pods().create(test.pod("p", json!({"containers": [container]}))).await?;
    let pod = test.finished("p").await?;
    let log = test.log("p", "").await?;
    expect_in("the log", &log, expected)?;
    expect_eq("the phase", &pod["status"]["phase"], &json!("Succeeded"))
}

async fn working_directory(test: Test) -> Result<()> {
    let spec = json!({"containers": [{"workingDir": "/some/dir"}]});
    let log = test.output(spec, &["write here yes", "cat /some/dir/here"]).await?;
    expect_in("the file in the working directory", &log, "yes")
}
