//! Text to tokens.

use crate::error::Issue;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Ident(String),
    /// Digits as written, with `0x`.
    Int(String),
    /// Digits as written, without the `u`.
    Uint(String),
    Double(String),
    String(String),
    Bytes(Vec<u8>),
    /// Operators, brackets and the words `in`, `true`, `false`, `null`.
    Symbol(&'static str),
    End,
}

impl Token {
    /// The token as an error names it.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Ident(text) | Self::Int(text) | Self::Double(text) => text.clone(),
            Self::Uint(text) => format!("{text}u"),
            Self::String(text) => format!("\"{text}\""),
            Self::Bytes(_) => "b\"…\"".into(),
            Self::Symbol(text) => (*text).into(),
            Self::End => "<EOF>".into(),
        }
    }
}

const SYMBOLS: &[&str] = &[
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "+", "-", "*", "/", "%", "(", ")", "[", "]",
    "{", "}", ".", ",", "?", ":",
];
const WORDS: &[&str] = &["in", "true", "false", "null"];

/// All tokens with their byte offsets; the last is [`Token::End`].
pub(crate) fn lex(source: &str) -> Result<Vec<(Token, usize)>, Issue> {
    let mut lexer = Lexer { source, at: 0 };
    let mut tokens = vec![];
    loop {
        lexer.skip_space();
        let start = lexer.at;
        let token = lexer.next()?;
        let is_end = token == Token::End;
        tokens.push((token, start));
        if is_end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip_space(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
            let skipped = rest.len() - trimmed.len();
            let comment = if trimmed.starts_with("//") {
                trimmed.find('\n').unwrap_or(trimmed.len())
            } else {
                0
            };
            self.at += skipped + comment;
            if skipped + comment == 0 {
                return;
            }
        }
    }

    fn take_while(&mut self, is_part: impl Fn(char) -> bool) -> String {
        let rest = self.rest();
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let text = rest[..end].to_owned();
        self.at += end;
        text
    }

    fn next(&mut self) -> Result<Token, Issue> {
        let Some(first) = self.peek() else {
            return Ok(Token::End);
        };
        if first.is_ascii_digit() || (first == '.' && self.is_digit_at(1)) {
            return Ok(self.number());
        }
        if let Some(token) = self.string()? {
            return Ok(token);
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let name = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
            let word = WORDS.iter().find(|word| **word == name);
            return Ok(word.map_or(Token::Ident(name), |word| Token::Symbol(word)));
        }
        let symbol = SYMBOLS
            .iter()
            .find(|symbol| self.rest().starts_with(**symbol));
        if let Some(symbol) = symbol {
            self.at += symbol.len();
            return Ok(Token::Symbol(symbol));
        }
        Err(Issue {
            offset: self.at,
            message: format!("Syntax error: token recognition error at: '{first}'"),
        })
    }

    fn is_digit_at(&self, distance: usize) -> bool {
        let byte = self.source.as_bytes().get(self.at + distance);
        byte.is_some_and(u8::is_ascii_digit)
    }

    fn number(&mut self) -> Token {
        let rest = self.rest();
        if rest.starts_with("0x") && rest[2..].starts_with(|c: char| c.is_ascii_hexdigit()) {
            self.at += 2;
            let digits = self.take_while(|c| c.is_ascii_hexdigit());
            return self.unsigned(format!("0x{digits}"));
        }
        let mut text = self.take_while(|c| c.is_ascii_digit());
        let mut is_double = false;
        if self.peek() == Some('.') && self.is_digit_at(1) {
            is_double = true;
            self.at += 1;
            text.push('.');
            text.push_str(&self.take_while(|c| c.is_ascii_digit()));
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            let sign = usize::from(matches!(
                self.source.as_bytes().get(self.at + 1),
                Some(b'+' | b'-')
            ));
            if self.is_digit_at(1 + sign) {
                is_double = true;
                text.push_str(&self.source[self.at..=self.at + sign]);
                self.at += 1 + sign;
                text.push_str(&self.take_while(|c| c.is_ascii_digit()));
            }
        }
        if is_double {
            Token::Double(text)
        } else {
            self.unsigned(text)
        }
    }

    fn unsigned(&mut self, text: String) -> Token {
        if matches!(self.peek(), Some('u' | 'U')) {
            self.at += 1;
            Token::Uint(text)
        } else {
            Token::Int(text)
        }
    }

    /// A string or bytes literal, if one begins here: `[rR]`, `[bB]`, then one or three quotes.
    fn string(&mut self) -> Result<Option<Token>, Issue> {
        let start = self.at;
        let (mut is_raw, mut is_bytes) = (false, false);
        let mut length = 0;
        for byte in self.rest().bytes().take(2) {
            match byte {
                b'r' | b'R' if !is_raw => is_raw = true,
                b'b' | b'B' if !is_bytes && !is_raw => is_bytes = true,
                _ => break,
            }
            length += 1;
        }
        let opened = self.rest().get(length..).unwrap_or_default();
        let Some(quote @ ('"' | '\'')) = opened.chars().next() else {
            return Ok(None);
        };
        let triple = quote.to_string().repeat(3);
        let close = if opened.starts_with(&triple) {
            triple
        } else {
            quote.to_string()
        };
        let body_start = start + length + close.len();
        let Some(end) = find_close(&self.source[body_start..], &close, is_raw) else {
            return Err(Issue {
                offset: start,
                message: format!("Syntax error: token recognition error at: '{close}'"),
            });
        };
        let body = &self.source[body_start..body_start + end];
        self.at = body_start + end + close.len();
        let body = body.replace("\r\n", "\n").replace('\r', "\n");
        let bytes = unescape(&body, is_raw, is_bytes).map_err(|message| Issue {
            offset: start,
            message: message.to_owned(),
        })?;
        if is_bytes {
            return Ok(Some(Token::Bytes(bytes)));
        }
        String::from_utf8(bytes)
            .map(|text| Some(Token::String(text)))
            .map_err(|_| Issue {
                offset: start,
                message: "invalid unicode code point".into(),
            })
    }
}

/// Where the closing quote of a literal is.
fn find_close(body: &str, close: &str, is_raw: bool) -> Option<usize> {
    let bytes = body.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(close.as_bytes()) {
            return Some(at);
        }
        match bytes[at] {
            b'\\' if !is_raw => at += 2,
            b'\n' | b'\r' if close.len() == 1 => return None,
            _ => at += 1,
        }
    }
    None
}

/// The bytes a literal stands for.
fn unescape(body: &str, is_raw: bool, is_bytes: bool) -> Result<Vec<u8>, &'static str> {
    let mut out = Vec::with_capacity(body.len());
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        if c != '\\' || is_raw {
            push(&mut out, c);
            continue;
        }
        let escaped = chars
            .next()
            .ok_or("unable to unescape string, found '\\' as last character")?;
        match escaped {
            'a' => out.push(7),
            'b' => out.push(8),
            'f' => out.push(12),
            'n' => out.push(10),
            'r' => out.push(13),
            't' => out.push(9),
            'v' => out.push(11),
            '\\' | '\'' | '"' | '`' | '?' => push(&mut out, escaped),
            'x' | 'X' => number(&mut chars, None, 2, 16, is_bytes, &mut out)?,
            'u' if !is_bytes => number(&mut chars, None, 4, 16, false, &mut out)?,
            'U' if !is_bytes => number(&mut chars, None, 8, 16, false, &mut out)?,
            '0'..='3' => number(&mut chars, Some(escaped), 2, 8, is_bytes, &mut out)?,
            _ => return Err("unable to unescape string"),
        }
    }
    Ok(out)
}

fn push(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Reads a code point of `count` more digits.
fn number(
    chars: &mut std::str::Chars<'_>,
    first: Option<char>,
    count: usize,
    radix: u32,
    is_bytes: bool,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    let mut value = first.and_then(|c| c.to_digit(radix)).unwrap_or_default();
    for _ in 0..count {
        let digit = chars.next().and_then(|c| c.to_digit(radix));
        value = value * radix + digit.ok_or("unable to unescape string")?;
    }
    if is_bytes {
        out.push(u8::try_from(value).map_err(|_| "unable to unescape string")?);
    } else {
        push(
            out,
            char::from_u32(value).ok_or("invalid unicode code point")?,
        );
    }
    Ok(())
}
