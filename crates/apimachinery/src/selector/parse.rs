//! The text form of label selectors.

use super::labels::{Operator, Requirement};
use super::lexer::{Token, scan};
use crate::field::{ErrorList, FieldError};
use std::collections::BTreeSet;

/// The reason why text is not a selector, in upstream's words.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("unable to parse requirement: {0}")]
    Requirement(#[source] Box<Error>),
    #[error("found '{found}', expected: {wanted}")]
    Found { found: String, wanted: &'static str },
    // Upstream forgot the comma here.
    #[error("found '{0}' expected: '('")]
    NotOpen(String),
    #[error(transparent)]
    Key(#[from] Box<FieldError>),
    #[error(transparent)]
    Invalid(#[from] ErrorList),
}

fn found<T>(found: &str, wanted: &'static str) -> Result<T> {
    Err(Error::Found { found: found.to_owned(), wanted })
}

type Result<T> = std::result::Result<T, Error>;

/// Parses into requirements sorted by key.
pub(super) fn parse(text: &str) -> Result<Vec<Requirement>> {
    let mut parser = Parser { tokens: scan(text), position: 0 };
    let mut requirements = parser.selector()?;
    requirements.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(requirements)
}

struct Parser<'a> {
    tokens: Vec<(Token, &'a str)>,
    position: usize,
}

impl<'a> Parser<'a> {
    /// The next token; the last one, `End`, repeats.
    fn operator_token(&self) -> (Token, &'a str) {
        self.tokens[self.position.min(self.tokens.len() - 1)]
    }

    /// The next token, with `in` and `notin` taken as plain words.
    fn peek(&self) -> (Token, &'a str) {
        match self.operator_token() {
            (Token::In | Token::NotIn, text) => (Token::Identifier, text),
            token => token,
        }
    }

    fn next(&mut self) -> (Token, &'a str) {
        let token = self.peek();
        self.position += 1;
        token
    }

    fn selector(&mut self) -> Result<Vec<Requirement>> {
        let mut requirements = Vec::new();
        loop {
            match self.peek() {
                (Token::Identifier | Token::Not, _) => {
                    let requirement = self.requirement();
                    requirements.push(requirement.map_err(|e| Error::Requirement(Box::new(e)))?);
                    match self.next() {
                        (Token::End, _) => return Ok(requirements),
                        (Token::Comma, _) => match self.peek() {
                            (Token::Identifier | Token::Not, _) => {}
                            (_, text) => {
                                return found(text, "identifier after ','");
                            }
                        },
                        (_, text) => {
                            return found(text, "',' or 'end of string'");
                        }
                    }
                }
                (Token::End, _) => return Ok(requirements),
                (_, text) => {
                    return found(text, "!, identifier, or 'end of string'");
                }
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement> {
        let (mut token, mut key) = self.next();
        let negated = token == Token::Not;
        if negated {
            (token, key) = self.next();
        }
        if token != Token::Identifier {
            return found(key, "identifier");
        }
        super::labels::check_key(key, "<nil>").map_err(Box::new)?;
        if negated {
            return Ok(Requirement::new(key, Operator::DoesNotExist, Vec::new())?);
        }
        if let (Token::End | Token::Comma, _) = self.peek() {
            return Ok(Requirement::new(key, Operator::Exists, Vec::new())?);
        }
        let (token, text) = self.operator_token();
        self.position += 1;
        let operator = match token {
            Token::In | Token::Equals | Token::DoubleEquals => Operator::In,
            Token::NotIn | Token::NotEquals => Operator::NotIn,
            Token::Greater => Operator::GreaterThan,
            Token::Less => Operator::LessThan,
            _ => {
                return found(text, "in, notin, =, ==, !=, gt, lt");
            }
        };
        let values = match token {
            Token::In | Token::NotIn => self.set()?,
            _ => vec![self.exact()?],
        };
        Ok(Requirement::new(key, operator, values)?)
    }

    fn exact(&mut self) -> Result<String> {
        if let (Token::End | Token::Comma, _) = self.peek() {
            return Ok(String::new());
        }
        match self.next() {
            (Token::Identifier, text) => Ok(text.to_owned()),
            (_, text) => found(text, "identifier"),
        }
    }

    /// `(x,y)`; omitted values are empty.
    fn set(&mut self) -> Result<Vec<String>> {
        match self.next() {
            (Token::Open, _) => {}
            (_, text) => return Err(Error::NotOpen(text.to_owned())),
        }
        let mut values = BTreeSet::new();
        let mut after_comma = true;
        match self.peek() {
            (Token::Identifier | Token::Comma | Token::Close, _) => {}
            (_, text) => {
                return found(text, "',', ')' or identifier");
            }
        }
        loop {
            match self.next() {
                (Token::Identifier, text) => {
                    values.insert(text.to_owned());
                    after_comma = false;
                    match self.peek() {
                        (Token::Comma | Token::Close, _) => {}
                        (_, text) => {
                            return found(text, "',' or ')'");
                        }
                    }
                }
                (token @ (Token::Comma | Token::Close), _) => {
                    if after_comma {
                        values.insert(String::new());
                    }
                    if token == Token::Close {
                        return Ok(values.into_iter().collect());
                    }
                    after_comma = true;
                }
                (_, text) => return found(text, "',', or identifier"),
            }
        }
    }
}
