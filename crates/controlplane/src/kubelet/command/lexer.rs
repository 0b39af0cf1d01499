//! Reads scripts: words, quotes, variables and arithmetic.

use std::collections::HashMap;

use super::{Stop, Token};

/// `a + b` and the like.
fn arithmetic(text: &str) -> Result<String, Stop> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = |word: &str| word.parse::<i64>().map_err(|_| Stop::Unknown);
    let result = match words.as_slice() {
        [only] => Some(number(only)?),
        [left, operator, right] => {
            let (left, right) = (number(left)?, number(right)?);
            match *operator {
                "+" => left.checked_add(right),
                "-" => left.checked_sub(right),
                "*" | "\\*" => left.checked_mul(right),
                "/" => left.checked_div(right),
                "%" => left.checked_rem(right),
                _ => None,
            }
        }
        _ => None,
    };
    result.map(|n| n.to_string()).ok_or(Stop::Unknown)
}

/// Reads the tokens of a script, with the values of its variables.
pub(super) struct Lexer<'a> {
    rest: &'a str,
    environment: &'a HashMap<String, String>,
    tokens: Vec<Token>,
    word: Option<(String, bool)>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(script: &'a str, environment: &'a HashMap<String, String>) -> Self {
        Self {
            rest: script,
            environment,
            tokens: vec![],
            word: None,
        }
    }

    pub(super) fn tokens(mut self) -> Result<Vec<Token>, Stop> {
        while let Some(c) = self.rest.chars().next() {
            match c {
                ' ' | '\t' => self.end_word(),
                '\n' | ';' => self.operator(Token::Next),
                '#' if self.word.is_none() => {
                    let end = self.rest.find('\n').unwrap_or(self.rest.len());
                    self.rest = &self.rest[end..];
                    continue;
                }
                '&' if self.rest.starts_with("&&") => self.operator(Token::And),
                '|' if self.rest.starts_with("||") => self.operator(Token::Or),
                '>' => {
                    self.redirection()?;
                    continue;
                }
                '\'' => {
                    let end = self.rest[1..].find('\'').ok_or(Stop::Unknown)?;
                    let text = self.rest[1..=end].to_owned();
                    self.push(&text, true);
                    self.rest = &self.rest[end + 1..];
                }
                '"' => {
                    self.quoted()?;
                    continue;
                }
                '$' => {
                    let value = self.expansion()?;
                    if !value.is_empty() {
                        self.push(&value, false);
                    }
                    continue;
                }
                '&' | '|' | '<' | '`' | '(' | ')' | '{' | '}' | '*' | '?' | '\\' | '~' => {
                    return Err(Stop::Unknown);
                }
                '=' if self.word.as_ref().is_some_and(|(text, _)| text != "=") => {
                    return Err(Stop::Unknown);
                }
                _ => self.push(c.encode_utf8(&mut [0; 4]), false),
            }
            let length = self.rest.chars().next().map_or(0, char::len_utf8);
            self.rest = &self.rest[length..];
        }
        self.end_word();
        Ok(self.tokens)
    }

    fn push(&mut self, text: &str, is_quoted: bool) {
        let word = self.word.get_or_insert_default();
        word.0.push_str(text);
        word.1 |= is_quoted;
    }

    fn end_word(&mut self) {
        if let Some((text, is_quoted)) = self.word.take() {
            self.tokens.push(Token::Word { text, is_quoted });
        }
    }

    fn operator(&mut self, token: Token) {
        self.end_word();
        if token != Token::Next {
            // The second of its two letters goes with the next step.
            self.rest = &self.rest[1..];
        }
        self.tokens.push(token);
    }

    /// Where output goes changes no exit code.
    fn redirection(&mut self) -> Result<(), Stop> {
        if self
            .word
            .as_ref()
            .is_some_and(|(text, is_quoted)| matches!(text.as_str(), "1" | "2") && !is_quoted)
        {
            self.word = None;
        }
        self.end_word();
        let rest = self.rest.trim_start_matches('>').trim_start_matches('&');
        let rest = rest.trim_start_matches([' ', '\t']);
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c)))
            .unwrap_or(rest.len());
        if end == 0 {
            return Err(Stop::Unknown);
        }
        self.rest = &rest[end..];
        Ok(())
    }

    /// What is between double quotes.
    fn quoted(&mut self) -> Result<(), Stop> {
        self.rest = &self.rest[1..];
        self.push("", true);
        loop {
            match self.rest.chars().next() {
                None | Some('\\' | '`') => return Err(Stop::Unknown),
                Some('"') => {
                    self.rest = &self.rest[1..];
                    return Ok(());
                }
                Some('$') => {
                    let value = self.expansion()?;
                    self.push(&value, true);
                }
                Some(c) => {
                    self.push(c.encode_utf8(&mut [0; 4]), true);
                    self.rest = &self.rest[c.len_utf8()..];
                }
            }
        }
    }

    /// The value of a `$…`; what is not known has none.
    fn expansion(&mut self) -> Result<String, Stop> {
        let rest = &self.rest[1..];
        if let Some(inner) = rest.strip_prefix("((") {
            let (text, rest) = inner.split_once("))").ok_or(Stop::Unknown)?;
            self.rest = rest;
            return arithmetic(&self.variables(text)?);
        }
        if let Some(inner) = rest.strip_prefix('(') {
            let (text, rest) = inner.split_once(')').ok_or(Stop::Unknown)?;
            self.rest = rest;
            let text = text.trim().strip_prefix("expr ").ok_or(Stop::Unknown)?;
            return arithmetic(&self.variables(text)?);
        }
        let (name, rest) = name(rest).ok_or(Stop::Unknown)?;
        self.rest = rest;
        self.environment.get(name).cloned().ok_or(Stop::Unknown)
    }

    /// The text with its variables replaced.
    fn variables(&self, text: &str) -> Result<String, Stop> {
        let (mut result, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once('$') {
            result.push_str(before);
            let (name, after) = name(after).ok_or(Stop::Unknown)?;
            result.push_str(self.environment.get(name).ok_or(Stop::Unknown)?);
            rest = after;
        }
        result.push_str(rest);
        Ok(result)
    }
}

/// The name that `NAME` or `{NAME}` begins with, and what comes after it.
fn name(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = match text.strip_prefix('{') {
        Some(inner) => inner.split_once('}')?,
        None => {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            text.split_at(text.find(|c| !is_name(c)).unwrap_or(text.len()))
        }
    };
    let is_valid = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.chars().next().is_some_and(|c| !c.is_ascii_digit());
    is_valid.then_some((name, rest))
}
