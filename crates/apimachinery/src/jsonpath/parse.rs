//! The reader of paths. What is in brackets is read by a reader of its own; that is not nested
//! further than a name or filter in a union, because the first closing bracket ends them all.

use super::{Comparison, Error, Filter, Operand, Slice, Step};
use serde_json::Value;

/// Reads the steps of a path.
pub(super) fn steps(path: &str) -> Result<Vec<Step>, Error> {
    let parts = Reader { rest: path }.parts()?;
    Ok(parts.into_iter().map(Part::into_step).collect())
}

/// Reads one side of a filter.
fn operand(text: &str) -> Result<Operand, Error> {
    let parts = Reader { rest: text }.parts()?;
    Ok(match <[Part; 1]>::try_from(parts) {
        Ok([Part::Constant(value)]) => Operand::Constant(value),
        Ok([Part::Step(step)]) => Operand::Path(vec![step]),
        Err(parts) => Operand::Path(parts.into_iter().map(Part::into_step).collect()),
    })
}

enum Part {
    Step(Step),
    Constant(Value),
}

impl Part {
    fn into_step(self) -> Step {
        match self {
            Self::Step(step) => step,
            Self::Constant(_) => Step::Unknown,
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

fn ends_word(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}')
}

impl<'a> Reader<'a> {
    fn parts(mut self) -> Result<Vec<Part>, Error> {
        let mut parts = Vec::new();
        while let Some(c) = self.rest.chars().next() {
            if let Some(rest) = self.rest.strip_prefix("[?(") {
                parts.push(Part::Step(self.filter(rest)?));
            } else if let Some(rest) = self.rest.strip_prefix("..") {
                if matches!(parts.last(), Some(Part::Step(Step::Recursive))) {
                    return Err(Error::Recursion);
                }
                parts.push(Part::Step(Step::Recursive));
                self.rest = rest;
                if rest.starts_with(|c: char| c == '_' || c.is_alphanumeric()) {
                    parts.push(Part::Step(self.field()?));
                }
            } else {
                let after = &self.rest[c.len_utf8()..];
                match c {
                    ' ' | '@' | '$' => self.rest = after,
                    '[' => {
                        let index = self.brackets(after)?;
                        Self::index(index, &mut parts)?;
                    }
                    '"' | '\'' => parts.push(Part::Constant(self.quoted(c)?)),
                    '.' => {
                        self.rest = after;
                        parts.push(Part::Step(self.field()?));
                    }
                    '+' | '-' | '0'..='9' => parts.push(Part::Constant(self.number(c)?)),
                    c if c == '_' || c.is_alphanumeric() => parts.push(self.word()),
                    c => return Err(Error::Character(c)),
                }
            }
        }
        Ok(parts)
    }

    /// Takes the text before `end`.
    fn take(&mut self, end: usize) -> &'a str {
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        text
    }

    fn word(&mut self) -> Part {
        let end = self.rest.find(ends_word).unwrap_or(self.rest.len());
        match self.take(end) {
            "true" => Part::Constant(true.into()),
            "false" => Part::Constant(false.into()),
            _ => Part::Step(Step::Unknown),
        }
    }

    /// A name, in which a backslash takes the meaning from the next character.
    fn field(&mut self) -> Result<Step, Error> {
        let mut is_escaped = false;
        let end = self.rest.find(|c| {
            let ends = !is_escaped && ends_word(c);
            is_escaped = !is_escaped && c == '\\';
            ends
        });
        if is_escaped && end.is_none() {
            return Err(Error::Escape);
        }
        Ok(match self.take(end.unwrap_or(self.rest.len())) {
            "*" => Step::Wildcard,
            name => Step::Field(name.replace('\\', "")),
        })
    }

    fn number(&mut self, first: char) -> Result<Value, Error> {
        let sign = usize::from(!first.is_ascii_digit());
        let digits = self.rest[sign..].find(|c: char| c != '.' && !c.is_ascii_digit());
        let text = self.take(digits.map_or(self.rest.len(), |digits| sign + digits));
        let integer = text.parse::<i64>().map(Value::from);
        integer
            .or_else(|_| text.parse::<f64>().map(Value::from))
            .map_err(|_| Error::Number(text.to_owned()))
    }

    fn quoted(&mut self, quote: char) -> Result<Value, Error> {
        let inner = &self.rest[1..];
        // As upstream: a quote after any backslash does not end the text.
        let is_end = |at: &usize| *at == 0 || inner.as_bytes()[at - 1] != b'\\';
        let end = inner.match_indices(quote).map(|(at, _)| at).find(is_end).ok_or(Error::Quote)?;
        if inner[..end].contains('\n') {
            return Err(Error::Quote);
        }
        self.rest = &inner[end + 1..];
        unquote(&inner[..end], quote).map(Value::from).ok_or(Error::Quote)
    }

    /// Takes what is in brackets, the first of which has been read.
    fn brackets(&mut self, after: &'a str) -> Result<&'a str, Error> {
        let (inner, rest) = after.split_once(']').ok_or(Error::Array)?;
        if inner.contains('\n') {
            return Err(Error::Array);
        }
        self.rest = rest;
        Ok(inner)
    }

    fn index(text: &str, parts: &mut Vec<Part>) -> Result<(), Error> {
        if text == "*" {
            parts.push(Part::Step(Step::Slice(Slice::default())));
        } else if text.contains(',') {
            let each = |text: &str| steps(&format!("[{}]", text.trim_matches(' ')));
            let paths = text.split(',').map(each).collect::<Result<_, _>>()?;
            parts.push(Part::Step(Step::Union(paths)));
        } else if let Some(name) = name_in_quotes(text) {
            // A name in quotes is read like one after a dot, dots included.
            let path = steps(&format!(".{name}"))?;
            parts.extend(path.into_iter().map(Part::Step));
        } else {
            let slice = slice(text).ok_or_else(|| Error::Index(text.to_owned()))?;
            parts.push(Part::Step(Step::Slice(slice)));
        }
        Ok(())
    }

    /// A filter, whose beginning has been read.
    fn filter(&mut self, inner: &'a str) -> Result<Step, Error> {
        let end = filter_end(inner)?;
        self.rest = inner[end + 1..].strip_prefix(']').ok_or(Error::Array)?;
        let text = &inner[..end];
        let Some((left, operator, right)) = comparison(text) else {
            return Ok(Step::Filter(Filter { left: operand(text)?, test: None }));
        };
        let comparison = match operator {
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            "==" => Comparison::Equal,
            "!=" => Comparison::NotEqual,
            ">=" => Comparison::GreaterOrEqual,
            ">" => Comparison::Greater,
            _ => Comparison::Unknown,
        };
        let left = operand(left)?;
        let right = operand(right)?;
        Ok(Step::Filter(Filter { left, test: Some((comparison, right)) }))
    }
}

/// The place of the parenthesis that ends a filter: not one in quotes.
fn filter_end(inner: &str) -> Result<usize, Error> {
    let mut quote = None;
    let mut is_closed = false;
    let mut before = '(';
    for (at, c) in inner.char_indices() {
        match c {
            '\n' => break,
            '"' | '\'' if quote.is_none() => quote = Some(c),
            c if quote == Some(c) && before != '\\' => is_closed = true,
            ')' if quote.is_some() == is_closed => return Ok(at),
            _ => {}
        }
        before = c;
    }
    Err(Error::Filter)
}

/// Both sides of a comparison and what is between them.
fn comparison(text: &str) -> Option<(&str, &str, &str)> {
    let is_operator = |c| matches!(c, '!' | '<' | '>' | '=');
    let start = text.find(is_operator).filter(|start| *start > 0)?;
    let (left, rest) = text.split_at(start);
    let length = rest.find(|c| !is_operator(c)).unwrap_or(rest.len() - 1);
    let (operator, right) = rest.split_at(length);
    (!operator.is_empty()).then_some((left, operator, right))
}

fn name_in_quotes(text: &str) -> Option<&str> {
    text.strip_prefix('\'')?.strip_suffix('\'').filter(|name| !name.contains('\''))
}

/// Up to three numbers between colons, each of which may be absent.
fn slice(text: &str) -> Option<Slice> {
    let number = |text: &str| match text {
        "" => Some(None),
        text if text.starts_with('+') => None,
        text => text.parse::<i64>().ok().map(Some),
    };
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [index] => Some(Slice { from: number(index)?, is_index: true, ..Slice::default() }),
        [from, to] => Some(Slice { from: number(from)?, to: number(to)?, ..Slice::default() }),
        [from, to, step] => Some(Slice {
            from: number(from)?,
            to: number(to)?,
            is_index: false,
            step: number(step)?,
        }),
        _ => None,
    }
}

/// A text without the backslashes of Go's escapes.
fn unquote(text: &str, quote: char) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c == quote {
            return None;
        }
        if c != '\\' {
            out.push(c);
            continue;
        }
        let code = |rest: &mut std::str::Chars<'_>, length: usize| {
            let (digits, after) = rest.as_str().split_at_checked(length)?;
            *rest = after.chars();
            char::from_u32(u32::from_str_radix(digits, 16).ok()?)
        };
        out.push(match rest.next()? {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' => '\\',
            'x' => code(&mut rest, 2)?,
            'u' => code(&mut rest, 4)?,
            'U' => code(&mut rest, 8)?,
            c if c == quote => c,
            _ => return None,
        });
    }
    Some(out)
}
