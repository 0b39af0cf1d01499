//! Tokens to expressions: recursive descent with a limit on depth.

use crate::ast::{Expr, Field, Id, Kind, MapEntry};
use crate::error::Issue;
use crate::lex::{Token, lex};
use crate::value::Value;

/// Longest expression, in code points.
pub(crate) const MAX_LENGTH: usize = 100_000;
/// Deepest nesting of brackets, calls and operators.
const MAX_DEPTH: usize = 64;
/// Highest tree once macros are expanded.
const MAX_HEIGHT: usize = 160;
/// Most nodes of a tree once macros are expanded.
const MAX_NODES: usize = 100_000;

/// Words that are no identifiers, so that languages that embed CEL may have them.
pub(crate) const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Operators between two operands.
const OPERATORS: &[&str] = &[
    "||", "&&", "<", "<=", ">=", ">", "==", "!=", "in", "+", "-", "*", "/", "%",
];

/// How strong an operator binds.
fn strength(symbol: &str) -> u8 {
    match symbol {
        "||" => 1,
        "&&" => 2,
        "+" | "-" => 4,
        "*" | "/" | "%" => 5,
        _ => 3,
    }
}

/// Parses an expression. Ids of its nodes are below the returned number.
pub(crate) fn parse(source: &str) -> Result<(Expr, Id), Issue> {
    let length = source.chars().take(MAX_LENGTH + 1).count();
    if length > MAX_LENGTH {
        return Err(Issue {
            offset: 0,
            message: format!(
                "expression code point size exceeds limit: size: {}, limit {MAX_LENGTH}",
                source.chars().count()
            ),
        });
    }
    let mut parser = Parser {
        tokens: lex(source)?,
        at: 0,
        depth: 0,
        next_id: 0,
    };
    let expr = parser.expr()?;
    match parser.peek() {
        Token::End => Ok((expr, parser.next_id)),
        token => Err(parser.unexpected(&token.text(), "<EOF>")),
    }
}

pub(crate) struct Parser {
    tokens: Vec<(Token, usize)>,
    at: usize,
    depth: usize,
    next_id: Id,
}

pub(crate) type Parsed = Result<Expr, Issue>;

impl Parser {
    /// A node; refused when the tree becomes too high or too large.
    pub(crate) fn node(&mut self, offset: usize, kind: Kind) -> Parsed {
        let id = self.next_id;
        self.next_id += 1;
        let mut expr = Expr {
            id,
            offset,
            height: 0,
            kind,
        };
        let below = expr.children_mut().iter().map(|child| child.height).max();
        expr.height = 1 + below.unwrap_or(0);
        if expr.height > MAX_HEIGHT {
            return Err(Issue {
                offset,
                message: format!("expression recursion limit exceeded: {MAX_HEIGHT}"),
            });
        }
        if self.next_id > MAX_NODES {
            return Err(Issue {
                offset,
                message: format!("expression has more than {MAX_NODES} nodes"),
            });
        }
        Ok(expr)
    }

    /// A copy with ids of its own.
    pub(crate) fn copy(&mut self, expr: &Expr) -> Parsed {
        let mut copy = expr.clone();
        self.renumber(&mut copy)?;
        Ok(copy)
    }

    fn renumber(&mut self, expr: &mut Expr) -> Result<(), Issue> {
        expr.id = self.next_id;
        self.next_id += 1;
        if self.next_id > MAX_NODES {
            return Err(Issue {
                offset: expr.offset,
                message: format!("expression has more than {MAX_NODES} nodes"),
            });
        }
        for child in expr.children_mut() {
            self.renumber(child)?;
        }
        Ok(())
    }

    pub(crate) fn call(&mut self, offset: usize, function: &str, args: Vec<Expr>) -> Parsed {
        self.node(
            offset,
            Kind::Call {
                function: function.into(),
                target: None,
                args,
            },
        )
    }

    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(t, _)| t)
    }

    fn offset(&self) -> usize {
        let last = self.tokens.last();
        self.tokens.get(self.at).or(last).map_or(0, |(_, at)| *at)
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.peek(), Token::Symbol(found) if *found == symbol)
    }

    /// Takes the symbol and says where it was.
    fn take(&mut self, symbol: &str) -> Option<usize> {
        let offset = self.offset();
        self.is(symbol).then(|| {
            self.at += 1;
            offset
        })
    }

    fn take_one_of(&mut self, symbols: &[&'static str]) -> Option<(&'static str, usize)> {
        let found = symbols.iter().find(|symbol| self.is(symbol))?;
        self.take(found).map(|offset| (*found, offset))
    }

    fn expect(&mut self, symbol: &str) -> Result<usize, Issue> {
        let found = self.peek().text();
        self.take(symbol)
            .ok_or_else(|| self.unexpected(&found, &format!("'{symbol}'")))
    }

    fn unexpected(&self, found: &str, expected: &str) -> Issue {
        Issue {
            offset: self.offset(),
            message: format!("Syntax error: mismatched input '{found}' expecting {expected}"),
        }
    }

    fn expr(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Issue {
                offset: self.offset(),
                message: format!("expression recursion limit exceeded: {MAX_DEPTH}"),
            });
        }
        let condition = self.operators()?;
        let expr = match self.take("?") {
            None => condition,
            Some(offset) => {
                let then = self.operators()?;
                self.expect(":")?;
                let otherwise = self.expr()?;
                self.call(offset, "_?_:_", vec![condition, then, otherwise])?
            }
        };
        self.depth -= 1;
        Ok(expr)
    }

    /// Operands and the operators between them. Operators that bind weaker wait on a stack, so that precedence takes
    /// no depth of calls.
    fn operators(&mut self) -> Parsed {
        let mut operands = vec![self.unary()?];
        let mut waiting: Vec<(&'static str, usize)> = vec![];
        while let Some((symbol, offset)) = self.take_one_of(OPERATORS) {
            self.reduce(&mut operands, &mut waiting, strength(symbol))?;
            waiting.push((symbol, offset));
            operands.push(self.unary()?);
        }
        self.reduce(&mut operands, &mut waiting, 0)?;
        operands
            .pop()
            .ok_or_else(|| self.unexpected("<EOF>", "an expression"))
    }

    /// Applies waiting operators that bind stronger than `than`, or as strong and from the left.
    fn reduce(
        &mut self,
        operands: &mut Vec<Expr>,
        waiting: &mut Vec<(&'static str, usize)>,
        than: u8,
    ) -> Result<(), Issue> {
        while let Some((symbol, _)) = waiting.last().copied() {
            let strength = strength(symbol);
            let is_logic = matches!(symbol, "&&" | "||");
            if strength < than || (is_logic && strength == than) {
                return Ok(());
            }
            // A chain of `&&` or `||` becomes a balanced tree, so that long chains are not deep.
            let same = waiting.iter().rev().take_while(|(s, _)| *s == symbol);
            let count = if is_logic { same.count() } else { 1 };
            let offsets: Vec<usize> = waiting
                .split_off(waiting.len() - count)
                .into_iter()
                .map(|(_, offset)| offset)
                .collect();
            let terms = operands.split_off(operands.len().saturating_sub(count + 1));
            let function = if symbol == "in" {
                "@in".to_owned()
            } else {
                format!("_{symbol}_")
            };
            let reduced = self.balance(&function, &mut terms.into_iter(), &offsets)?;
            operands.push(reduced);
        }
        Ok(())
    }

    fn balance(
        &mut self,
        function: &str,
        terms: &mut std::vec::IntoIter<Expr>,
        offsets: &[usize],
    ) -> Parsed {
        if offsets.is_empty() {
            return terms
                .next()
                .ok_or_else(|| self.unexpected("<EOF>", "an expression"));
        }
        let middle = offsets.len() / 2;
        let left = self.balance(function, terms, &offsets[..middle])?;
        let right = self.balance(function, terms, &offsets[middle + 1..])?;
        self.call(offsets[middle], function, vec![left, right])
    }

    fn unary(&mut self) -> Parsed {
        let start = self.offset();
        for (symbol, function) in [("!", "!_"), ("-", "-_")] {
            let mut count = 0;
            while self.is(symbol) {
                // A minus before a number belongs to the number.
                if symbol == "-" && count == 0 {
                    let next = self.tokens.get(self.at + 1).map(|(token, _)| token);
                    if matches!(next, Some(Token::Int(_) | Token::Double(_))) {
                        break;
                    }
                }
                self.at += 1;
                count += 1;
            }
            if count > 0 {
                let operand = self.member()?;
                if count % 2 == 0 {
                    return Ok(operand);
                }
                return self.call(start, function, vec![operand]);
            }
        }
        self.member()
    }

    fn member(&mut self) -> Parsed {
        let mut expr = self.primary()?;
        loop {
            expr = if let Some(dot) = self.take(".") {
                self.after_dot(dot, expr)?
            } else if let Some(open) = self.take("[") {
                let is_optional = self.take("?").is_some();
                let index = self.expr()?;
                self.expect("]")?;
                let function = if is_optional { "_[?_]" } else { "_[_]" };
                self.call(open, function, vec![expr, index])?
            } else if self.is("{")
                && let Some(name) = expr.qualified_name()
            {
                let open = self.expect("{")?;
                let fields = self.fields()?;
                self.node(open, Kind::Struct { name, fields })?
            } else {
                return Ok(expr);
            };
        }
    }

    /// A field or a call of a member.
    fn after_dot(&mut self, dot: usize, expr: Expr) -> Parsed {
        let is_optional = self.take("?").is_some();
        let name_at = self.offset();
        let name = self.identifier()?;
        let open = self.offset();
        if is_optional {
            let field = self.node(name_at, Kind::Literal(Value::text(name)))?;
            return self.call(dot, "_?._", vec![expr, field]);
        }
        if self.take("(").is_some() {
            let args = self.list(")")?;
            return self.member_call(open, &name, expr, args);
        }
        self.node(
            dot,
            Kind::Select {
                operand: Box::new(expr),
                field: name,
                test: false,
            },
        )
    }

    fn identifier(&mut self) -> Result<String, Issue> {
        match self.peek().clone() {
            Token::Ident(name) => {
                self.at += 1;
                Ok(name)
            }
            token => Err(self.unexpected(&token.text(), "IDENTIFIER")),
        }
    }

    /// A name that may stand alone, thus is no reserved word.
    fn free_name(&mut self, dot: &str) -> Result<String, Issue> {
        let offset = self.offset();
        let name = self.identifier()?;
        if RESERVED.contains(&name.as_str()) {
            return Err(Issue {
                offset,
                message: format!("reserved identifier: {name}"),
            });
        }
        Ok(format!("{dot}{name}"))
    }

    fn primary(&mut self) -> Parsed {
        if self.take("(").is_some() {
            let expr = self.expr()?;
            self.expect(")")?;
            return Ok(expr);
        }
        let offset = self.offset();
        if self.take("[").is_some() {
            let elements = self.elements()?;
            return self.node(offset, Kind::List(elements));
        }
        if self.take("{").is_some() {
            let entries = self.entries()?;
            return self.node(offset, Kind::Map(entries));
        }
        match self.literal_token()? {
            Some(literal) => self.node(offset, Kind::Literal(literal)),
            None => self.name(offset),
        }
    }

    fn literal_token(&mut self) -> Result<Option<Value<'static>>, Issue> {
        let offset = self.offset();
        let is_negative = self.take("-").is_some();
        let literal = match self.peek().clone() {
            Token::Int(digits) => int(is_negative, &digits),
            Token::Double(text) => double(is_negative, &text),
            Token::Uint(digits) if !is_negative => uint(&digits),
            Token::String(text) => Ok(Value::text(text)),
            Token::Bytes(bytes) => Ok(Value::Bytes(bytes.into())),
            Token::Symbol("true") => Ok(Value::Bool(true)),
            Token::Symbol("false") => Ok(Value::Bool(false)),
            Token::Symbol("null") => Ok(Value::Null),
            _ => return Ok(None),
        };
        self.at += 1;
        literal.map(Some).map_err(|message| Issue {
            offset,
            message: message.to_owned(),
        })
    }

    /// A name, or a call of a function.
    fn name(&mut self, offset: usize) -> Parsed {
        let dot = if self.take(".").is_some() { "." } else { "" };
        if !matches!(self.peek(), Token::Ident(_)) {
            let found = self.peek().text();
            return Err(self.unexpected(
                &found,
                "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
            ));
        }
        let name = self.free_name(dot)?;
        let open = self.offset();
        if self.take("(").is_some() {
            let args = self.list(")")?;
            return self.global_call(open, &name, args);
        }
        self.node(offset, Kind::Ident(name))
    }

    /// Expressions up to the closing bracket.
    fn list(&mut self, close: &str) -> Result<Vec<Expr>, Issue> {
        let mut list = vec![];
        if self.take(close).is_some() {
            return Ok(list);
        }
        loop {
            list.push(self.expr()?);
            if self.take(",").is_none() {
                self.expect(close)?;
                return Ok(list);
            }
        }
    }

    fn elements(&mut self) -> Result<Vec<(Expr, bool)>, Issue> {
        let mut list = vec![];
        while self.take("]").is_none() {
            let is_optional = self.take("?").is_some();
            list.push((self.expr()?, is_optional));
            if self.take(",").is_none() {
                self.expect("]")?;
                break;
            }
        }
        Ok(list)
    }

    fn entries(&mut self) -> Result<Vec<MapEntry>, Issue> {
        let mut entries = vec![];
        while self.take("}").is_none() {
            let optional = self.take("?").is_some();
            let key = self.expr()?;
            self.expect(":")?;
            let value = self.expr()?;
            entries.push(MapEntry {
                key,
                value,
                optional,
            });
            if self.take(",").is_none() {
                self.expect("}")?;
                break;
            }
        }
        Ok(entries)
    }

    fn fields(&mut self) -> Result<Vec<Field>, Issue> {
        let mut fields = vec![];
        while self.take("}").is_none() {
            let optional = self.take("?").is_some();
            let name = self.identifier()?;
            let offset = self.expect(":")?;
            let value = self.expr()?;
            fields.push(Field {
                offset,
                name,
                value,
                optional,
            });
            if self.take(",").is_none() {
                self.expect("}")?;
                break;
            }
        }
        Ok(fields)
    }
}

fn int(is_negative: bool, digits: &str) -> Result<Value<'static>, &'static str> {
    let (digits, radix) = digits.strip_prefix("0x").map_or((digits, 10), |d| (d, 16));
    let sign = if is_negative { "-" } else { "" };
    i64::from_str_radix(&format!("{sign}{digits}"), radix)
        .map(Value::Int)
        .map_err(|_| "invalid int literal")
}

fn uint(digits: &str) -> Result<Value<'static>, &'static str> {
    let (digits, radix) = digits.strip_prefix("0x").map_or((digits, 10), |d| (d, 16));
    u64::from_str_radix(digits, radix)
        .map(Value::Uint)
        .map_err(|_| "invalid uint literal")
}

fn double(is_negative: bool, text: &str) -> Result<Value<'static>, &'static str> {
    let value: f64 = text.parse().map_err(|_| "invalid double literal")?;
    if value.is_infinite() {
        return Err("invalid double literal");
    }
    Ok(Value::Double(if is_negative { -value } else { value }))
}
