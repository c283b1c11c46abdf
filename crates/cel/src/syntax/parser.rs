//! The grammar, by recursive descent.

use std::sync::Arc;

use super::RESERVED;
use super::lexer::{Token, TokenKind, tokens};
use super::literal::{BadLiteral, literal};
use super::macros;
use crate::ast::{Element, Entry, Expr, Kind, Literal, StructField};
use crate::error::{CompileError, Issue, Location};

/// Longer sources are refused.
const MAX_CODE_POINTS: usize = 100_000;
/// Deeper nesting is refused, as cel-go does.
const MAX_DEPTH: usize = 250;
/// The same after macros were expanded, each of which adds a few levels.
pub const MAX_HEIGHT: usize = 600;

/// No macro copies what it is applied to beyond this many nodes.
const MAX_NODES: usize = 200_000;

/// An expression with the places of its nodes by their id.
pub(crate) fn parse(source: &str) -> Result<(Expr, Vec<Location>), CompileError> {
    let length = source.chars().count();
    if length > MAX_CODE_POINTS {
        let message = format!(
            "expression code point size exceeds limit: size: {length}, limit {MAX_CODE_POINTS}"
        );
        return Err(CompileError::new("", vec![Issue { location: Location::NONE, message }]));
    }
    let fail = |issues| Err(CompileError::new(source, issues));
    let (tokens, issues) = tokens(source);
    let mut parser = Parser { tokens, at: 0, depth: 0, issues, locations: vec![Location::NONE] };
    match parser.whole() {
        Ok(expr) if parser.issues.is_empty() => Ok((expr, parser.locations)),
        Ok(_) => fail(parser.issues),
        Err(Stop) => fail(parser.issues),
    }
}

/// Operators, their functions, and how closely they bind.
const OPERATORS: [(&str, &str, usize); 12] = [
    ("<", "_<_", 0),
    ("<=", "_<=_", 0),
    (">=", "_>=_", 0),
    (">", "_>_", 0),
    ("==", "_==_", 0),
    ("!=", "_!=_", 0),
    ("in", "@in", 0),
    ("+", "_+_", 1),
    ("-", "_-_", 1),
    ("*", "_*_", 2),
    ("/", "_/_", 2),
    ("%", "_%_", 2),
];

/// A syntax error, which was noted, ends the parsing.
pub(super) struct Stop;

type Parsed<T = Expr> = Result<T, Stop>;

pub(super) struct Parser<'s> {
    tokens: Vec<Token<'s>>,
    at: usize,
    depth: usize,
    issues: Vec<Issue>,
    locations: Vec<Location>,
}

impl<'s> Parser<'s> {
    fn whole(&mut self) -> Parsed {
        let expr = self.expr()?;
        let token = self.peek();
        if token.kind == TokenKind::End {
            return Ok(expr);
        }
        if self.tokens[self.at + 1].kind == TokenKind::End {
            self.note(token, format!("extraneous input '{}' expecting <EOF>", token.text));
            return Err(Stop);
        }
        self.unexpected("<EOF>")
    }

    fn peek(&self) -> Token<'s> {
        self.tokens[self.at]
    }

    fn next(&mut self) -> Token<'s> {
        let token = self.peek();
        if token.kind != TokenKind::End {
            self.at += 1;
        }
        token
    }

    fn is(&self, symbol: &str) -> bool {
        let token = self.peek();
        token.kind == TokenKind::Symbol && token.text == symbol
    }

    fn take(&mut self, symbol: &str) -> Option<Token<'s>> {
        self.is(symbol).then(|| self.next())
    }

    /// The token that must come. One that is missing or one too many is noted and forgiven, to
    /// find what else is wrong.
    fn expect(&mut self, symbol: &str) -> Parsed<Token<'s>> {
        if let Some(token) = self.take(symbol) {
            return Ok(token);
        }
        let token = self.peek();
        let quoted = format!("'{symbol}'");
        if self.tokens.get(self.at + 1).is_some_and(|next| next.text == symbol) {
            self.note(token, format!("extraneous input '{}' expecting {quoted}", token.text));
            self.at += 1;
            return Ok(self.next());
        }
        let goes_on = begins_operand(token) == (symbol == ":");
        if goes_on && matches!(symbol, ")" | "]" | ":") {
            self.note(token, format!("missing {quoted} at '{}'", token.text));
            return Ok(Token { kind: TokenKind::Symbol, text: ":", location: token.location });
        }
        self.unexpected(&quoted)
    }

    /// The end of a list or a map, where a comma could have come too.
    fn close(&mut self, symbol: &str) -> Parsed<()> {
        if self.take(symbol).is_some() {
            return Ok(());
        }
        let after_comma = self.at > 0 && self.tokens[self.at - 1].text == ",";
        let expected =
            if after_comma { format!("'{symbol}'") } else { format!("{{'{symbol}', ','}}") };
        let token = self.peek();
        let one_too_many = self.tokens.get(self.at + 1).is_some_and(|next| next.text == symbol);
        if one_too_many && !after_comma {
            self.note(token, format!("extraneous input '{}' expecting {expected}", token.text));
            self.at += 2;
            return Ok(());
        }
        self.unexpected(&expected)
    }

    fn note(&mut self, token: Token<'_>, message: String) {
        let message = format!("Syntax error: {message}");
        self.issues.push(Issue { location: token.location, message });
    }

    fn unexpected<T>(&mut self, expected: &str) -> Parsed<T> {
        let token = self.peek();
        self.note(token, format!("mismatched input '{}' expecting {expected}", token.text));
        Err(Stop)
    }

    /// No identifier after a dot.
    fn no_name<T>(&mut self) -> Parsed<T> {
        let token = self.peek();
        if matches!(token.text, "true" | "false" | "null") {
            return self.unexpected("IDENTIFIER");
        }
        let text = if token.kind == TokenKind::End { "" } else { token.text };
        self.note(token, format!("no viable alternative at input '.{text}'"));
        Err(Stop)
    }

    pub(super) fn id(&mut self, location: Location) -> usize {
        self.locations.push(location);
        self.locations.len() - 1
    }

    pub(super) fn location(&self, id: usize) -> Location {
        self.locations[id]
    }

    pub(super) fn is_large(&self) -> bool {
        self.locations.len() > MAX_NODES
    }

    /// Notes an error and goes on.
    pub(super) fn wrong(&mut self, location: Location, message: impl Into<String>) -> Expr {
        self.issues.push(Issue { location, message: message.into() });
        Expr::new(self.id(location), Kind::Error)
    }

    fn too_deep<T>(&mut self) -> Parsed<T> {
        let message = format!("expression recursion limit exceeded: {MAX_DEPTH}");
        self.issues.push(Issue { location: Location::NONE, message });
        Err(Stop)
    }

    fn bounded(&mut self, expr: Expr) -> Parsed {
        if expr.height > MAX_HEIGHT { self.too_deep() } else { Ok(expr) }
    }

    fn call(&mut self, location: Location, function: &str, args: Vec<Expr>) -> Parsed {
        let id = self.id(location);
        self.bounded(Expr::new(id, Kind::Call { function: function.into(), target: None, args }))
    }

    fn expr(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.too_deep();
        }
        let condition = self.alternatives()?;
        let expr = match self.take("?") {
            Some(op) => {
                let then = self.alternatives()?;
                self.expect(":")?;
                let otherwise = self.expr()?;
                self.call(op.location, "_?_:_", vec![condition, then, otherwise])?
            }
            None => condition,
        };
        self.depth -= 1;
        Ok(expr)
    }

    /// Terms with `||` between them, each of terms with `&&`. One function for both, and one for
    /// all other operators: a parenthesis takes few frames of the stack.
    fn alternatives(&mut self) -> Parsed {
        let (mut any, mut any_ops) = (Vec::new(), Vec::new());
        let (mut all, mut all_ops) = (Vec::new(), Vec::new());
        loop {
            all.push(self.binary(0)?);
            if let Some(op) = self.take("&&") {
                all_ops.push(op.location);
                continue;
            }
            let (terms, ops) = (std::mem::take(&mut all), std::mem::take(&mut all_ops));
            any.push(self.balanced("_&&_", terms, &ops)?);
            match self.take("||") {
                Some(op) => any_ops.push(op.location),
                None => return self.balanced("_||_", any, &any_ops),
            }
        }
    }

    /// A chain as a tree of little depth.
    fn balanced(&mut self, function: &str, mut terms: Vec<Expr>, ops: &[Location]) -> Parsed {
        if ops.is_empty() {
            return match terms.pop() {
                Some(term) => Ok(term),
                None => Err(Stop),
            };
        }
        let middle = ops.len() / 2;
        let right = terms.split_off(middle + 1);
        let left = self.balanced(function, terms, &ops[..middle])?;
        let right = self.balanced(function, right, &ops[middle + 1..])?;
        self.call(ops[middle], function, vec![left, right])
    }

    /// Operands with operators between them that bind at least so closely.
    fn binary(&mut self, least: usize) -> Parsed {
        let mut left = self.unary()?;
        let mut count = 0;
        loop {
            let token = self.peek();
            let found = match token.kind {
                TokenKind::Symbol => OPERATORS.iter().find(|(symbol, ..)| *symbol == token.text),
                _ => None,
            };
            let Some((_, function, level)) = found.filter(|(.., level)| *level >= least) else {
                return Ok(left);
            };
            count += 1;
            if self.depth + count > MAX_DEPTH {
                return self.too_deep();
            }
            self.next();
            let right = self.binary(level + 1)?;
            left = self.call(token.location, function, vec![left, right])?;
        }
    }

    fn unary(&mut self) -> Parsed {
        for (symbol, function) in [("!", "!_"), ("-", "-_")] {
            let first = self.at;
            let mut count = 0;
            while self.is(symbol) {
                self.next();
                count += 1;
            }
            if count == 0 {
                continue;
            }
            let location = self.tokens[first].location;
            let number = matches!(self.peek().kind, TokenKind::Int | TokenKind::Double);
            if symbol == "-" && count == 1 && number {
                self.at = first;
                return self.member();
            }
            let operand = self.member()?;
            return if count % 2 == 0 {
                Ok(operand)
            } else {
                self.call(location, function, vec![operand])
            };
        }
        self.member()
    }

    fn member(&mut self) -> Parsed {
        let mut expr = self.primary()?;
        let mut count = 0;
        loop {
            let before = self.at;
            if let Some(dot) = self.take(".") {
                expr = self.selection(expr, dot.location)?;
            } else if let Some(bracket) = self.take("[") {
                let function = if self.take("?").is_some() { "_[?_]" } else { "_[_]" };
                let index = self.expr()?;
                self.expect("]")?;
                expr = self.call(bracket.location, function, vec![expr, index])?;
            }
            if self.at == before {
                return Ok(expr);
            }
            count += 1;
            if self.depth + count > MAX_DEPTH {
                return self.too_deep();
            }
        }
    }

    fn selection(&mut self, operand: Expr, dot: Location) -> Parsed {
        let optional = self.take("?").is_some();
        let token = self.peek();
        let field: Arc<str> = match token.kind {
            TokenKind::Ident => token.text.into(),
            TokenKind::Escaped => {
                self.next();
                return Ok(self.wrong(token.location, "unsupported syntax: '`'"));
            }
            _ if optional => return self.unexpected("{IDENTIFIER, ESC_IDENTIFIER}"),
            _ => return self.no_name(),
        };
        self.next();
        if optional {
            let id = self.id(token.location);
            let name = Expr::new(id, Kind::Literal(Literal::String(field)));
            return self.call(dot, "_?._", vec![operand, name]);
        }
        if let Some(open) = self.take("(") {
            let args = self.arguments()?;
            let id = self.id(open.location);
            let expr = match macros::expand(self, id, &field, Some(operand), args) {
                Ok(expr) => expr,
                Err((target, args)) => {
                    let target = target.map(Box::new);
                    Expr::new(id, Kind::Call { function: field, target, args })
                }
            };
            return self.bounded(expr);
        }
        let id = self.id(dot);
        let operand = Box::new(operand);
        self.bounded(Expr::new(id, Kind::Select { operand, field, test: false }))
    }

    /// The arguments after an opening parenthesis, and the closing one.
    fn arguments(&mut self) -> Parsed<Vec<Expr>> {
        let mut args = Vec::new();
        if self.take(")").is_some() {
            return Ok(args);
        }
        loop {
            args.push(self.expr()?);
            if self.take(",").is_none() {
                break;
            }
        }
        self.expect(")")?;
        Ok(args)
    }

    fn primary(&mut self) -> Parsed {
        let token = self.peek();
        match token.kind {
            TokenKind::Ident => self.named(false),
            TokenKind::Symbol => match token.text {
                "." => {
                    self.next();
                    if self.peek().kind != TokenKind::Ident {
                        return self.no_name();
                    }
                    self.named(true)
                }
                "(" => {
                    self.next();
                    let expr = self.expr()?;
                    self.expect(")")?;
                    Ok(expr)
                }
                "[" => self.list(),
                "{" => self.map(),
                "true" | "false" | "null" => self.constant(token, false, token.location),
                "-" => {
                    self.next();
                    let number = self.peek();
                    self.constant(number, true, token.location)
                }
                _ => self.no_operand(),
            },
            TokenKind::Int
            | TokenKind::Uint
            | TokenKind::Double
            | TokenKind::String
            | TokenKind::Bytes => self.constant(token, false, token.location),
            TokenKind::Escaped | TokenKind::End => self.no_operand(),
        }
    }

    /// Something else where an operand must come. One token too many is forgiven.
    fn no_operand(&mut self) -> Parsed {
        let token = self.peek();
        let before = self.at.checked_sub(1).map_or("", |before| self.tokens[before].text);
        // A bracket or parenthesis right after an operand is an index or a call.
        let after = self.at > 1 && ends_operand(self.tokens[self.at - 2]);
        let (list, map, call) = match before {
            "[" => (!after, false, false),
            "{" => (false, true, false),
            "(" => (false, false, after),
            _ => (false, false, false),
        };
        let when = |there: bool, text: &'static str| if there { text } else { "" };
        let expected = format!(
            "{{'[', {}'{{', {}'(', {}'.', {}'-', '!', {}'true', 'false', 'null', NUM_FLOAT, \
             NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}}",
            when(list, "']', "),
            when(map, "'}', "),
            when(call, "')', "),
            when(list || map, "',', "),
            when(map || before == "[", "'?', "),
        );
        match self.tokens.get(self.at + 1) {
            Some(next) if begins_operand(*next) => {
                self.note(token, format!("extraneous input '{}' expecting {expected}", token.text));
                self.at += 1;
                self.unary()
            }
            _ => self.unexpected(&expected),
        }
    }

    fn constant(&mut self, token: Token<'_>, negative: bool, location: Location) -> Parsed {
        self.next();
        match literal(token, negative) {
            Ok(value) => Ok(Expr::new(self.id(location), Kind::Literal(value))),
            Err(BadLiteral(message)) => Ok(self.wrong(location, message)),
        }
    }

    /// An identifier, a call, or an object.
    fn named(&mut self, leading: bool) -> Parsed {
        let start = self.at;
        let token = self.next();
        if let Some(name) = self.object_name(start) {
            return self.object(if leading { format!(".{name}") } else { name });
        }
        if RESERVED.contains(&token.text) {
            let message = format!("reserved identifier: {}", token.text);
            if self.take("(").is_some() {
                self.arguments()?;
            }
            return Ok(self.wrong(token.location, message));
        }
        let dot = if leading { "." } else { "" };
        let name: Arc<str> = format!("{dot}{}", token.text).into();
        let Some(open) = self.take("(") else {
            return Ok(Expr::new(self.id(token.location), Kind::Ident(name)));
        };
        let args = self.arguments()?;
        let id = self.id(open.location);
        let expr = match macros::expand(self, id, &name, None, args) {
            Ok(expr) => expr,
            Err((_, args)) => Expr::new(id, Kind::Call { function: name, target: None, args }),
        };
        self.bounded(expr)
    }

    /// The dotted name from here to an opening brace, if that is what follows.
    fn object_name(&mut self, start: usize) -> Option<String> {
        let mut at = start;
        let mut name = String::new();
        loop {
            if self.tokens.get(at)?.kind != TokenKind::Ident {
                return None;
            }
            name.push_str(self.tokens[at].text);
            match self.tokens.get(at + 1)?.text {
                "." => name.push('.'),
                "{" => break,
                _ => return None,
            }
            at += 2;
        }
        self.at = at + 1;
        Some(name)
    }

    fn object(&mut self, name: String) -> Parsed {
        let open = self.expect("{")?;
        let id = self.id(open.location);
        let mut fields = Vec::new();
        while !self.is("}") && !self.is(",") {
            let optional = self.take("?").is_some();
            let token = self.peek();
            if token.kind != TokenKind::Ident {
                return self.unexpected("IDENTIFIER");
            }
            self.next();
            let colon = self.expect(":")?;
            let id = self.id(colon.location);
            let value = self.expr()?;
            fields.push(StructField { id, name: token.text.into(), value, optional });
            if self.take(",").is_none() {
                break;
            }
        }
        if fields.is_empty() {
            self.take(",");
        }
        self.close("}")?;
        self.bounded(Expr::new(id, Kind::Struct { name: name.into(), fields }))
    }

    fn list(&mut self) -> Parsed {
        let open = self.next();
        let id = self.id(open.location);
        let mut elements = Vec::new();
        while !self.is("]") && !self.is(",") {
            let optional = self.take("?").is_some();
            elements.push(Element { value: self.expr()?, optional });
            if self.take(",").is_none() {
                break;
            }
        }
        if elements.is_empty() {
            self.take(",");
        }
        self.close("]")?;
        self.bounded(Expr::new(id, Kind::List { elements }))
    }

    fn map(&mut self) -> Parsed {
        let open = self.next();
        let id = self.id(open.location);
        let mut entries = Vec::new();
        while !self.is("}") && !self.is(",") {
            let optional = self.take("?").is_some();
            let key = self.expr()?;
            self.expect(":")?;
            let value = self.expr()?;
            entries.push(Entry { key, value, optional });
            if self.take(",").is_none() {
                break;
            }
        }
        if entries.is_empty() {
            self.take(",");
        }
        self.close("}")?;
        self.bounded(Expr::new(id, Kind::Map { entries }))
    }
}

fn ends_operand(token: Token<'_>) -> bool {
    match token.kind {
        TokenKind::Symbol => matches!(token.text, ")" | "]" | "}" | "true" | "false" | "null"),
        kind => kind != TokenKind::End,
    }
}

fn begins_operand(token: Token<'_>) -> bool {
    match token.kind {
        TokenKind::Symbol => {
            matches!(token.text, "(" | "[" | "{" | "." | "-" | "!" | "true" | "false" | "null")
        }
        TokenKind::Escaped | TokenKind::End => false,
        _ => true,
    }
}
