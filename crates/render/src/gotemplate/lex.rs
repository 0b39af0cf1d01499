//! The lexer of text/template: text and actions to tokens.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Error,
    Eof,
    Text,
    LeftDelim,
    RightDelim,
    Space,
    Assign,
    Declare,
    Pipe,
    Char,
    CharConstant,
    Number,
    Str,
    RawStr,
    Variable,
    Field,
    Identifier,
    Bool,
    LeftParen,
    RightParen,
    Dot,
    Nil,
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

/// A token; `text` of an error is its message.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) pos: usize,
    pub(crate) line: usize,
    pub(crate) text: String,
}

impl Token {
    /// As Go's parser shows it in messages.
    pub(crate) fn shown(&self) -> String {
        match self.kind {
            Kind::Eof => "EOF".into(),
            Kind::Error => self.text.clone(),
            Kind::Dot
            | Kind::Nil
            | Kind::Block
            | Kind::Break
            | Kind::Continue
            | Kind::Define
            | Kind::Else
            | Kind::End
            | Kind::If
            | Kind::Range
            | Kind::Template
            | Kind::With => format!("<{}>", self.text),
            _ if self.text.len() > 10 => {
                let head: String = self.text.chars().take(10).collect();
                format!("{}...", super::quote::quote(&head))
            }
            _ => super::quote::quote(&self.text),
        }
    }
}

const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

struct Lexer<'a> {
    input: &'a str,
    pos: usize,
    start: usize,
    line: usize,
    start_line: usize,
    parens: usize,
    tokens: Vec<Token>,
}

/// Turns a template into tokens. The last one is `Eof` or `Error`.
pub(crate) fn lex(input: &str) -> Vec<Token> {
    let mut lexer = Lexer {
        input,
        pos: 0,
        start: 0,
        line: 1,
        start_line: 1,
        parens: 0,
        tokens: Vec::new(),
    };
    if let Err(message) = lexer.run() {
        let token = Token {
            kind: Kind::Error,
            pos: lexer.start,
            line: lexer.start_line,
            text: message,
        };
        lexer.tokens.push(token);
    }
    lexer.tokens
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn shown(c: Option<char>) -> String {
    match c {
        None => "U+FFFFFFFFFFFFFFFF".into(),
        Some(c) if super::quote::is_print(c) => format!("U+{:04X} '{c}'", u32::from(c)),
        Some(c) => format!("U+{:04X}", u32::from(c)),
    }
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.input[self.pos..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        if c == '\n' {
            self.line += 1;
        }
        Some(c)
    }

    fn accept(&mut self, set: &str) -> bool {
        let hit = self.peek().is_some_and(|c| set.contains(c));
        if hit {
            self.next();
        }
        hit
    }

    fn accept_run(&mut self, set: &str) {
        while self.accept(set) {}
    }

    fn emit(&mut self, kind: Kind) {
        let text = self.input[self.start..self.pos].to_string();
        self.tokens.push(Token {
            kind,
            pos: self.start,
            line: self.start_line,
            text,
        });
        self.start = self.pos;
        self.start_line = self.line;
    }

    /// Moves over text that becomes no token.
    fn skip(&mut self, count: usize) {
        self.line += self.input[self.pos..self.pos + count].matches('\n').count();
        self.pos += count;
        self.start = self.pos;
        self.start_line = self.line;
    }

    fn run(&mut self) -> Result<(), String> {
        while self.text() {
            self.skip_left_trim();
            if self.rest().starts_with("/*") {
                self.comment()?;
                continue;
            }
            self.parens = 0;
            while self.inside()? {}
        }
        self.emit(Kind::Eof);
        Ok(())
    }

    /// Text up to the next action, and that action's left delimiter. False at the end of input.
    fn text(&mut self) -> bool {
        let Some(at) = self.rest().find("{{") else {
            if !self.rest().is_empty() {
                self.line += self.rest().matches('\n').count();
                self.pos = self.input.len();
                self.emit(Kind::Text);
            }
            return false;
        };
        let (text, action) = self.rest().split_at(at);
        let trimmed = if left_trim_marker(&action[2..]) {
            text.trim_end_matches(SPACES)
        } else {
            text
        };
        if !trimmed.is_empty() {
            self.line += trimmed.matches('\n').count();
            self.pos += trimmed.len();
            self.emit(Kind::Text);
        }
        self.skip(text.len() - trimmed.len());
        true
    }

    fn skip_left_trim(&mut self) {
        let after = &self.rest()[2..];
        let marker = if left_trim_marker(after) { 2 } else { 0 };
        if after[marker..].starts_with("/*") {
            // A comment makes no token, nor do its delimiters. Line breaks in the marker's space count.
            self.skip(2 + marker);
        } else {
            self.pos += 2;
            self.emit(Kind::LeftDelim);
            self.skip(marker);
        }
    }

    fn comment(&mut self) -> Result<(), String> {
        let body = &self.rest()[2..];
        let end = body.find("*/").ok_or("unclosed comment")? + 4;
        let after = &self.rest()[end..];
        let (delim, trim) = right_delim(after);
        if !delim {
            return Err("comment ends before closing delimiter".into());
        }
        let mut length = end + if trim { 4 } else { 2 };
        if trim {
            let tail = &self.rest()[length..];
            length += tail.len() - tail.trim_start_matches(SPACES).len();
        }
        self.skip(length);
        Ok(())
    }

    /// One token inside an action. False after the right delimiter.
    fn inside(&mut self) -> Result<bool, String> {
        let (delim, trim) = right_delim(self.rest());
        if delim {
            if self.parens != 0 {
                return Err("unclosed left paren".into());
            }
            if trim {
                self.skip(2);
            }
            self.pos += 2;
            self.emit(Kind::RightDelim);
            if trim {
                let tail = self.rest();
                self.skip(tail.len() - tail.trim_start_matches(SPACES).len());
            }
            return Ok(false);
        }
        let Some(c) = self.peek() else {
            return Err("unclosed action".into());
        };
        match c {
            ' ' | '\t' | '\r' | '\n' => self.space(),
            '"' => self.quoted('"', "unterminated quoted string", Kind::Str)?,
            '\'' => self.quoted('\'', "unterminated character constant", Kind::CharConstant)?,
            '`' => self.raw()?,
            '$' => {
                self.next();
                self.name(Kind::Variable)?;
            }
            '.' if !self.rest()[1..].starts_with(|c: char| c.is_ascii_digit())
                && self.rest().len() > 1 =>
            {
                self.next();
                self.name(Kind::Field)?;
            }
            '.' | '+' | '-' | '0'..='9' => self.number()?,
            c if is_alphanumeric(c) => self.identifier()?,
            _ => self.punctuation(c)?,
        }
        Ok(true)
    }

    fn punctuation(&mut self, c: char) -> Result<(), String> {
        self.next();
        match c {
            '=' => self.emit(Kind::Assign),
            ':' => {
                if self.next() != Some('=') {
                    return Err("expected :=".into());
                }
                self.emit(Kind::Declare);
            }
            '|' => self.emit(Kind::Pipe),
            '(' => {
                self.parens += 1;
                self.emit(Kind::LeftParen);
            }
            ')' => {
                self.parens = self.parens.checked_sub(1).ok_or("unexpected right paren")?;
                self.emit(Kind::RightParen);
            }
            c if c.is_ascii_graphic() => self.emit(Kind::Char),
            c => {
                return Err(format!(
                    "unrecognized character in action: {}",
                    shown(Some(c))
                ));
            }
        }
        Ok(())
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|c| SPACES.contains(&c)) {
            // The last space before "-}}" belongs to the delimiter.
            if right_delim(self.rest()) == (true, true) {
                break;
            }
            self.next();
        }
        if self.pos > self.start {
            self.emit(Kind::Space);
        }
    }

    fn quoted(&mut self, mark: char, message: &str, kind: Kind) -> Result<(), String> {
        self.next();
        loop {
            match self.next() {
                Some('\\') if self.peek().is_some_and(|c| c != '\n') => {
                    self.next();
                }
                None | Some('\n' | '\\') => return Err(message.into()),
                Some(c) if c == mark => break,
                Some(_) => {}
            }
        }
        self.emit(kind);
        Ok(())
    }

    fn raw(&mut self) -> Result<(), String> {
        self.next();
        loop {
            match self.next() {
                None => return Err("unterminated raw quoted string".into()),
                Some('`') => break,
                Some(_) => {}
            }
        }
        self.emit(Kind::RawStr);
        Ok(())
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some(' ' | '\t' | '\r' | '\n' | '.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(_) => self.rest().starts_with("}}"),
        }
    }

    /// A field or variable; the dot or dollar has been read.
    fn name(&mut self, kind: Kind) -> Result<(), String> {
        if self.at_terminator() {
            self.emit(if kind == Kind::Variable {
                kind
            } else {
                Kind::Dot
            });
            return Ok(());
        }
        while self.peek().is_some_and(is_alphanumeric) {
            self.next();
        }
        if !self.at_terminator() {
            return Err(format!("bad character {}", shown(self.peek())));
        }
        self.emit(kind);
        Ok(())
    }

    fn identifier(&mut self) -> Result<(), String> {
        while self.peek().is_some_and(is_alphanumeric) {
            self.next();
        }
        if !self.at_terminator() {
            return Err(format!("bad character {}", shown(self.peek())));
        }
        let kind = match &self.input[self.start..self.pos] {
            "block" => Kind::Block,
            "break" => Kind::Break,
            "continue" => Kind::Continue,
            "define" => Kind::Define,
            "else" => Kind::Else,
            "end" => Kind::End,
            "if" => Kind::If,
            "range" => Kind::Range,
            "nil" => Kind::Nil,
            "template" => Kind::Template,
            "with" => Kind::With,
            "true" | "false" => Kind::Bool,
            _ => Kind::Identifier,
        };
        self.emit(kind);
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        self.accept("+-");
        let mut digits = "0123456789_";
        if self.accept("0") {
            if self.accept("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        if digits.len() == 11 && self.accept("eE") {
            self.accept("+-");
            self.accept_run("0123456789_");
        }
        if digits.len() == 23 && self.accept("pP") {
            self.accept("+-");
            self.accept_run("0123456789_");
        }
        if self.peek().is_some_and(is_alphanumeric) {
            self.next();
            let text = &self.input[self.start..self.pos];
            return Err(format!("bad number syntax: {}", super::quote::quote(text)));
        }
        self.emit(Kind::Number);
        Ok(())
    }
}

/// A dash and a space after "{{".
fn left_trim_marker(s: &str) -> bool {
    matches!(s.as_bytes(), [b'-', b' ' | b'\t' | b'\r' | b'\n', ..])
}

/// Whether a right delimiter is here, and whether it has a trim marker.
fn right_delim(s: &str) -> (bool, bool) {
    let b = s.as_bytes();
    if matches!(b, [b' ' | b'\t' | b'\r' | b'\n', b'-', b'}', b'}', ..]) {
        return (true, true);
    }
    (b.starts_with(b"}}"), false)
}
