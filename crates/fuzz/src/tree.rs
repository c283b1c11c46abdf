//! Mutations of JSON values.

use serde_json::{Map, Value, json};

use crate::random::Random;

/// A value with more parts is not mutated further.
const MAX_PARTS: usize = 2000;

/// Values that readers of most kinds stumble over.
fn odd(random: &mut Random) -> Value {
    match random.below(16) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(0),
        3 => json!(-1),
        4 => json!(i64::MAX),
        5 => json!(u64::MAX),
        6 => json!(1.5),
        7 => json!(1e300),
        8 => json!(""),
        9 => json!("x"),
        10 => json!("a/b~1c.d[0]\"\\\n\u{2028}é"),
        11 => json!([]),
        12 => json!({}),
        13 => json!([null]),
        14 => json!({"": null}),
        _ => json!([[{}], [[]]]),
    }
}

fn parts(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(parts).sum::<usize>(),
        Value::Object(fields) => fields.values().map(parts).sum(),
        _ => 0,
    }
}

/// The part of that number.
fn part(value: &mut Value, mut number: usize) -> &mut Value {
    if number == 0 {
        return value;
    }
    number -= 1;
    let below: Vec<&mut Value> = match value {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(fields) => fields.values_mut().collect(),
        _ => Vec::new(),
    };
    for one in below {
        let size = parts(one);
        if number < size {
            return part(one, number);
        }
        number -= size;
    }
    unreachable!("fewer parts than were counted")
}

fn some_part(random: &mut Random, value: &Value) -> Value {
    let mut value = value.clone();
    let number = random.below(parts(&value));
    part(&mut value, number).take()
}

/// Another value, made of those in `pool`.
pub(crate) fn mutated(random: &mut Random, pool: &[Value]) -> Value {
    let mut value = random.pick(pool).clone();
    for _ in 0..=random.below(4) {
        let size = parts(&value);
        if size > MAX_PARTS {
            break;
        }
        let other = match random.below(3) {
            0 => odd(random),
            1 => some_part(random, &value),
            _ => {
                let other = random.pick(pool);
                some_part(random, other)
            }
        };
        let key = key(random, pool);
        let number = random.below(size);
        change(random, part(&mut value, number), other, key);
    }
    value
}

/// A name of some field, or an odd one.
fn key(random: &mut Random, pool: &[Value]) -> String {
    let mut names = Vec::new();
    collect(random.pick(pool), &mut names);
    if names.is_empty() || random.once_in(10) {
        return random.pick(&["", "$patch", "$retainKeys", "~1/", "é", "."]).to_string();
    }
    random.pick(&names).clone()
}

fn collect(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
        Value::Object(fields) => {
            for (name, value) in fields {
                names.push(name.clone());
                collect(value, names);
            }
        }
        _ => {}
    }
}

fn change(random: &mut Random, place: &mut Value, other: Value, key: String) {
    match place {
        Value::Array(items) if !random.once_in(4) => {
            let at = random.below(items.len() + 1);
            match random.below(3) {
                0 if at < items.len() => drop(items.remove(at)),
                1 if at < items.len() => items.push(items[at].clone()),
                _ => items.insert(at, other),
            }
        }
        Value::Object(fields) if !random.once_in(4) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            match random.below(3) {
                0 if !names.is_empty() => {
                    fields.remove(random.pick(&names));
                }
                1 if !names.is_empty() => {
                    let moved = fields.remove(random.pick(&names)).unwrap_or_default();
                    fields.insert(key, moved);
                }
                _ => {
                    fields.insert(key, other);
                }
            }
        }
        place => {
            *place = if random.once_in(6) {
                Value::Object(Map::from_iter([(key, other)]))
            } else {
                other
            };
        }
    }
}
