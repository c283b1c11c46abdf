//! Commands in the documents, as a reader would type them.

/// A command after a `$`, and the output that stands below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The command.
    pub command: String,
    /// Lines of output.
    pub output: Vec<String>,
}

/// Indented blocks outside of fences, without their indentation.
fn blocks(markdown: &str) -> Vec<Vec<&str>> {
    let (mut blocks, mut block, mut fenced) = (Vec::new(), Vec::new(), false);
    for line in markdown.lines().chain(["end"]) {
        if line.starts_with("```") {
            fenced = !fenced;
        }
        match line.strip_prefix("    ").filter(|_| !fenced) {
            Some(line) => block.push(line),
            // A blank line may be within a block.
            None if line.is_empty() && !block.is_empty() => block.push(line),
            None if !block.is_empty() => blocks.push(std::mem::take(&mut block)),
            None => {}
        }
    }
    blocks
}

fn is_dialogue(block: &[&str]) -> bool {
    block.iter().any(|line| line.starts_with("$ "))
}

/// The steps of all dialogues, in their order.
#[must_use]
pub fn steps(markdown: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in blocks(markdown).iter().filter(|block| is_dialogue(block)).flatten() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), output: Vec::new() });
        } else if let Some(step) = steps.last_mut().filter(|_| !line.is_empty()) {
            step.output.push((*line).to_owned());
        }
    }
    steps
}

/// The commands that stand alone, without the comments behind them.
#[must_use]
pub fn commands(markdown: &str) -> Vec<String> {
    let lists = blocks(markdown).into_iter().filter(|block| !is_dialogue(block));
    let lines = lists.flatten().map(|line| line.split("  #").next().unwrap_or(line).trim());
    lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::{Step, commands, steps};

    const TEXT: &str = "\
# Title

    up      # a cluster
    test

text

    $ get
    a  b

    c
    $ delete

```text
    drawn
```
";

    #[test]
    fn commands_are_told_from_output_and_drawings() {
        assert_eq!(commands(TEXT), ["up", "test"]);
        let step = |command: &str, output: &[&str]| Step {
            command: command.to_owned(),
            output: output.iter().map(|line| (*line).to_owned()).collect(),
        };
        assert_eq!(steps(TEXT), [step("get", &["a  b", "c"]), step("delete", &[])]);
    }
}
