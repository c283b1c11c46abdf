//! Expressions that want to take the stack, the memory or the time of the server.

use std::time::{Duration, Instant};

use cel::{Budget, Env, EvalError, Type, Value};

fn run(expr: &str) -> Result<String, String> {
    let env = Env::new().variable("x", Type::Dyn).variable("s", Type::String);
    let program = env.compile(expr).map_err(|error| error.to_string())?;
    let text = Value::text("x".repeat(100_000));
    let variables = [("x", text.clone()), ("s", text)];
    let value = program.eval(&variables, &mut Budget::default()).map_err(|e| e.to_string())?;
    Ok(value.ty().to_string())
}

fn nested(open: &str, inner: &str, close: &str, depth: usize) -> String {
    format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
}

/// As much as a worker has.
const STACK: usize = 2 * 1024 * 1024;

/// Each of these nests as deeply as the parser allows, or deeper.
#[test]
fn depth_is_bounded_on_a_small_stack() {
    let thread = std::thread::Builder::new().stack_size(STACK);
    let cases = || {
        let mut cases = Vec::new();
        for depth in [100, 120, 200, 240, 249, 260, 1000, 20_000] {
            for (open, inner, close) in [
                ("(", "1", ")"),
                ("[", "1", "]"),
                ("{'a': ", "1", "}"),
                ("[[1]", "", "]"),
                ("1 + (", "1", ")"),
                ("true ? 1 : (", "1", ")"),
                ("[1].map(y, ", "1", ")"),
                ("[1].all(y, ", "true", ")"),
                ("{1: 1}.transformMap(k, v, ", "1", ")"),
                ("[", "1", "][0]"),
                ("size([", "1", "])"),
                ("!(", "true", ")"),
                ("optional.of(1).optMap(y, ", "1", ")"),
                ("x[?", "0", "]"),
            ] {
                cases.push(nested(open, inner, close, depth));
            }
            for (first, more) in [
                ("1", " + 1"),
                ("true", " || true"),
                ("true", " && false"),
                ("x", ".a"),
                ("x", "[0]"),
                ("x", ".?a"),
                ("x", ".f()"),
                ("1", " < 1"),
                ("-", "-"),
                ("[1]", ".map(y, y)"),
                ("true", " ? true : true"),
                ("optional.of(1)", ".optMap(y, y)"),
                ("[1]", ".sortBy(y, y)"),
            ] {
                cases.push(format!("{first}{}", more.repeat(depth)));
            }
        }
        cases
    };
    let worker = thread.spawn(move || {
        for case in cases() {
            let start = Instant::now();
            let _ = run(&case);
            let shown: String = case.chars().take(30).collect();
            assert!(start.elapsed() < Duration::from_secs(20), "{shown}: {:?}", start.elapsed());
        }
    });
    worker.unwrap().join().unwrap();
    let long = format!("'{}'", "a".repeat(100_001));
    assert!(run(&long).unwrap_err().contains("expression code point size exceeds limit"));
    let deep = nested("(", "1", ")", 251);
    assert_eq!(
        run(&deep).unwrap_err(),
        "ERROR: <input>:-1:0: expression recursion limit exceeded: 250"
    );
}

#[test]
fn memory_and_cost_are_bounded() {
    let cost = EvalError::COST.to_string();
    let memory = EvalError::MEMORY.to_string();
    for (expr, error) in [
        ("x.replace('', x).size()", &memory),
        ("lists.range(2000000000).size()", &cost),
        ("lists.range(-5).size() == 0 && lists.range(900000).map(i, [i]).size() > 0", &cost),
        (
            "[s].map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a)",
            &cost,
        ),
        ("lists.range(1000).map(i, x).join().size()", &cost),
        ("lists.range(10000).exists(i, s.matches('(a|b|c)*' + string(i)))", &cost),
        (
            "[x].map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a)\
          .map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a)",
            &memory,
        ),
        ("x.split('').map(c, x.split('').size()).size()", &cost),
        ("lists.range(200000).distinct().size()", &cost),
        ("sets.contains(lists.range(90000), lists.range(90000))", &cost),
    ] {
        assert_eq!(run(expr).as_ref(), Err(error), "{expr}");
    }
    let doubled = (0..60).fold("[1]".to_owned(), |list, _| format!("[{list}].map(l, l + l)[0]"));
    let error = run(&doubled).unwrap_err();
    assert!(error == memory || error.contains("limit"), "{error}");
}

#[test]
fn types_that_double_are_refused() {
    let expr = (0..40).fold("[1]".to_owned(), |e, _| format!("[{e}].map(a, {{a[0]: a[0]}})"));
    assert!(run(&expr).unwrap_err().contains("too large"));
}

#[test]
fn deadline_ends_long_folds() {
    let env = Env::new();
    let program = env.compile("lists.range(40000).all(i, i >= 0 || true)").unwrap();
    let none: [(&str, Value<'_>); 0] = [];
    let mut budget = Budget::new(u64::MAX).with_deadline(Instant::now());
    assert_eq!(program.eval(&none, &mut budget).unwrap_err(), EvalError::DEADLINE);
    let mut budget = Budget::new(u64::MAX);
    assert!(program.eval(&none, &mut budget).is_ok());
}
