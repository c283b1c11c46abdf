//! Checks of expressions in webhooks and admission policies.

use cel::admission::Compiled;
use cel::{Env, Type};

use crate::registry::check::Field;

/// Checks that the expression in a field compiles, and is of one of these types if there are any.
pub(super) fn check_expression(field: &Field<'_>, env: &Env, wanted: &[Type]) {
    let text = field.text().trim();
    if !text.is_empty() {
        check_compiled(field, &env.compile(text), wanted);
    }
}

/// The same for one that was compiled already.
pub(super) fn check_compiled(field: &Field<'_>, compiled: &Compiled, wanted: &[Type]) {
    let text = field.text().trim();
    let found = match compiled {
        Ok(program) => program.result_type(),
        Err(why) => return field.invalid_value(text, why.in_full()),
    };
    match wanted {
        [] => {}
        wanted if wanted.contains(found) => {}
        wanted => {
            let names: Vec<String> = wanted.iter().map(name).collect();
            let names = match names.as_slice() {
                [one] => one.clone(),
                several => format!("one of [{}]", several.join(" ")),
            };
            let why = format!("must evaluate to {names} but got {}", name(found));
            field.invalid_value(text, why);
        }
    }
}

/// A type as cel-go names it outside of its own messages.
fn name(ty: &Type) -> String {
    match ty {
        Type::Null => "null_type".to_owned(),
        other => other.to_string(),
    }
}
