//! Functions: one file per library, each a table of overloads.

mod address;
mod authz;
mod convert;
mod format;
pub(crate) mod formats;
mod lists;
mod lists_kubernetes;
pub(crate) mod net;
mod optional;
pub(crate) mod quantity;
mod quoted;
mod regex;
pub(crate) mod semver;
mod sets;
mod signature;
mod standard;
mod strings;
mod time;
pub(crate) mod url;

use std::collections::HashMap;
use std::sync::OnceLock;

pub(crate) use self::format::check as check_format;
pub(crate) use self::regex::compile as compile_regex;
pub(crate) use self::regex::run as match_regex;
pub(crate) use self::standard::insert_into;

use crate::budget::Budget;
use crate::error::EvalError;
use crate::types::Type;
use crate::value::Value;

/// The value of a function.
pub(crate) type Outcome<'a> = Result<Value<'a>, EvalError>;
/// A function.
pub(crate) type Function = for<'a> fn(&[Value<'a>], &mut Budget) -> Outcome<'a>;

/// A line of a table: the name, cel-go's id, the signature and the function. A signature that
/// begins with a dot is called on its first argument; one that begins with `!` is not compared
/// with what arguments come, because the function itself does that.
pub(crate) type Row = (&'static str, &'static str, &'static str, Function);

/// One way to call a function.
pub(crate) struct Overload {
    pub(crate) name: &'static str,
    pub(crate) id: &'static str,
    pub(crate) member: bool,
    pub(crate) params: Vec<Type>,
    pub(crate) result: Type,
    pub(crate) function: Function,
    /// True if the function looks itself at what it is given.
    pub(crate) any: bool,
}

/// All functions of Kubernetes 1.37.
pub(crate) struct Functions {
    pub(crate) overloads: Vec<Overload>,
    by_name: HashMap<&'static str, Vec<usize>>,
}

impl Functions {
    pub(crate) fn get() -> &'static Functions {
        static ALL: OnceLock<Functions> = OnceLock::new();
        ALL.get_or_init(|| {
            // In upstream's order: where nothing else decides, the first that fits is meant.
            let tables = [
                standard::ROWS,
                convert::ROWS,
                time::ROWS,
                url::ROWS,
                regex::ROWS,
                lists_kubernetes::ROWS,
                authz::ROWS,
                optional::ROWS,
                quantity::ROWS,
                strings::ROWS,
                format::ROWS,
                sets::ROWS,
                net::ROWS,
                formats::ROWS,
                semver::ROWS,
                lists::ROWS,
            ];
            let overloads: Vec<Overload> =
                tables.into_iter().flatten().copied().flat_map(signature::overloads).collect();
            let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
            for (index, overload) in overloads.iter().enumerate() {
                by_name.entry(overload.name).or_default().push(index);
            }
            Functions { overloads, by_name }
        })
    }

    /// The overloads of a function, in the order in which they were declared.
    pub(crate) fn named(&self, name: &str) -> Option<&[usize]> {
        self.by_name.get(name).map(Vec::as_slice)
    }
}

impl Overload {
    /// True if these arguments can be given, as far as the values know their types.
    pub(crate) fn takes(&self, args: &[Value<'_>]) -> bool {
        self.any
            || self.params.len() == args.len()
                && self.params.iter().zip(args).all(|(ty, value)| is_kind(ty, value))
    }
}

/// As cel-go does, of a list or a map only the first part is looked at.
fn is_kind(ty: &Type, value: &Value<'_>) -> bool {
    match (ty, value) {
        (Type::Dyn | Type::Letter(_), _)
        | (Type::Optional(_), Value::Optional(_))
        | (Type::Type(_), Value::Type(_)) => true,
        (Type::List(of), Value::List(list)) => match list.get(0) {
            Some(Ok(first)) => is_kind(of, &first),
            Some(Err(_)) | None => true,
        },
        (Type::Map(of, _), Value::Map(map)) => {
            matches!(**of, Type::Dyn | Type::Letter(_))
                || map.keys().first().is_none_or(|first| is_kind(of, first))
        }
        (Type::Opaque(name), Value::Opaque(value)) => *name == value.type_name(),
        (ty, value) => ty.is_exactly(&value.ty()),
    }
}

/// The error for arguments that no overload takes.
pub(crate) fn no_overload(name: &str, args: &[Value<'_>]) -> EvalError {
    let types: Vec<String> = args.iter().map(|arg| arg.ty().name().to_owned()).collect();
    EvalError::new(format!("no such overload: {name}({})", types.join(", ")))
}
