//! The parser of text/template.

use super::ast::{Branch, Node, NodeKind, Number, Pipe, Template, is_empty};
use super::error::{Error, Result};
use super::lex::{Kind, Token, lex};
use super::{number, quote};
use std::collections::HashMap;
use std::rc::Rc;

/// Nesting of parentheses and control structures that the parser takes.
const MAX_NESTING: u32 = 1_000;

struct Parser<'a> {
    file: Rc<str>,
    text: Rc<str>,
    tokens: Vec<Token>,
    at: usize,
    /// The furthest token that was read; messages name its line.
    read: usize,
    has_function: &'a dyn Fn(&str) -> bool,
    vars: Vec<String>,
    range_depth: u32,
    nesting: u32,
    action_line: usize,
    found: Vec<Template>,
}

/// Parses a file and returns its own template, last, after the templates that it defines.
///
/// # Errors
/// In Go's words: `template: file:line: message`.
pub(crate) fn parse(
    name: &str,
    text: &str,
    has_function: &dyn Fn(&str) -> bool,
) -> Result<Vec<Template>> {
    let mut parser = Parser {
        file: Rc::from(name),
        text: Rc::from(text),
        tokens: lex(text),
        at: 0,
        read: 0,
        has_function,
        vars: vec!["$".into()],
        range_depth: 0,
        nesting: 0,
        action_line: 0,
        found: Vec::new(),
    };
    let root = parser.file()?;
    let name = parser.file.clone();
    parser.add(name, root)?;
    Ok(merged(parser.found))
}

/// Several definitions of a name in one file: all but one are empty, and that one counts.
fn merged(found: Vec<Template>) -> Vec<Template> {
    let mut by_name: HashMap<Rc<str>, usize> = HashMap::new();
    let mut out: Vec<Template> = Vec::new();
    for template in found {
        match by_name.get(&template.name) {
            Some(at) if is_empty(&out[*at].root) => out[*at] = template,
            Some(_) => {}
            None => {
                by_name.insert(template.name.clone(), out.len());
                out.push(template);
            }
        }
    }
    out
}

impl Parser<'_> {
    fn next(&mut self) -> Token {
        let token = self.tokens[self.at].clone();
        self.read = self.read.max(self.at);
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        } else {
            // The end repeats; backing up from it is backing up to it.
            self.at = self.tokens.len();
            self.tokens.push(token.clone());
        }
        token
    }

    fn backup(&mut self) {
        self.at -= 1;
    }

    fn peek(&mut self) -> Token {
        let token = self.next();
        self.backup();
        token
    }

    fn next_non_space(&mut self) -> Token {
        loop {
            let token = self.next();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    fn peek_non_space(&mut self) -> Token {
        let token = self.next_non_space();
        self.backup();
        token
    }

    fn error<T>(&self, message: impl AsRef<str>) -> Result<T> {
        let line = self.tokens[self.read.min(self.tokens.len() - 1)].line;
        Err(Error::new(format!(
            "template: {}:{line}: {}",
            self.file,
            message.as_ref()
        )))
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Result<T> {
        if token.kind != Kind::Error {
            return self.error(format!("unexpected {} in {context}", token.shown()));
        }
        let mut extra = String::new();
        if self.action_line != 0 && self.action_line != token.line {
            let action = if token.text.ends_with(" action") {
                ""
            } else {
                " in action"
            };
            extra = format!("{action} started at {}:{}", self.file, self.action_line);
        }
        self.error(format!("{}{extra}", token.text))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<Token> {
        let token = self.next_non_space();
        if token.kind == kind {
            Ok(token)
        } else {
            self.unexpected(&token, context)
        }
    }

    fn deeper(&mut self) -> Result<()> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            self.error("max expression depth exceeded")
        } else {
            Ok(())
        }
    }

    fn add(&mut self, name: Rc<str>, root: Node) -> Result<()> {
        let double = !is_empty(&root)
            && self
                .found
                .iter()
                .any(|t| t.name == name && !is_empty(&t.root));
        if double {
            return self.error(format!(
                "template: multiple definition of template {}",
                quote::quote(&name)
            ));
        }
        self.found.push(Template {
            name,
            file: self.file.clone(),
            text: self.text.clone(),
            root,
        });
        Ok(())
    }

    fn file(&mut self) -> Result<Node> {
        let pos = self.peek().pos;
        let mut nodes = Vec::new();
        while self.peek().kind != Kind::Eof {
            if self.peek().kind == Kind::LeftDelim {
                let start = self.at;
                self.next();
                if self.next_non_space().kind == Kind::Define {
                    self.definition()?;
                    continue;
                }
                self.at = start;
            }
            let node = self.text_or_action()?;
            if matches!(node.kind, NodeKind::End | NodeKind::Else) {
                return self.error(format!("unexpected {node}"));
            }
            nodes.push(node);
        }
        Ok(Node {
            pos,
            kind: NodeKind::List(nodes),
        })
    }

    /// What is inside `define` and `block`: a template with variables of its own.
    fn own_scope(&mut self, context: &str) -> Result<Node> {
        let vars = std::mem::replace(&mut self.vars, vec!["$".into()]);
        let ranges = std::mem::take(&mut self.range_depth);
        let (root, end) = self.item_list()?;
        if !matches!(end.kind, NodeKind::End) {
            return self.error(format!("unexpected {end} in {context}"));
        }
        self.vars = vars;
        self.range_depth = ranges;
        Ok(root)
    }

    fn definition(&mut self) -> Result<()> {
        let context = "define clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, context)?;
        self.expect(Kind::RightDelim, context)?;
        let root = self.own_scope(context)?;
        self.add(name, root)
    }

    fn template_name(&mut self, token: &Token, context: &str) -> Result<Rc<str>> {
        if !matches!(token.kind, Kind::Str | Kind::RawStr) {
            return self.unexpected(token, context);
        }
        match quote::unquote(&token.text) {
            Some(name) => Ok(Rc::from(name)),
            None => self.error("invalid syntax"),
        }
    }

    /// Nodes up to `{{end}}` or `{{else}}`, which is returned too.
    fn item_list(&mut self) -> Result<(Node, Node)> {
        self.deeper()?;
        let pos = self.peek_non_space().pos;
        let mut nodes = Vec::new();
        while self.peek_non_space().kind != Kind::Eof {
            let node = self.text_or_action()?;
            if matches!(node.kind, NodeKind::End | NodeKind::Else) {
                self.nesting -= 1;
                return Ok((
                    Node {
                        pos,
                        kind: NodeKind::List(nodes),
                    },
                    node,
                ));
            }
            nodes.push(node);
        }
        self.error("unexpected EOF")
    }

    fn text_or_action(&mut self) -> Result<Node> {
        let token = self.next_non_space();
        match token.kind {
            Kind::Text => Ok(Node {
                pos: token.pos,
                kind: NodeKind::Text(token.text),
            }),
            Kind::LeftDelim => {
                self.action_line = token.line;
                let node = self.action();
                if node.is_ok() {
                    self.action_line = 0;
                }
                node
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Result<Node> {
        let token = self.next_non_space();
        let pos = token.pos;
        match token.kind {
            Kind::Block => self.block(),
            Kind::Break => self.jump(pos, NodeKind::Break, "{{break}}"),
            Kind::Continue => self.jump(pos, NodeKind::Continue, "{{continue}}"),
            Kind::Else => {
                let next = self.peek_non_space();
                if !matches!(next.kind, Kind::If | Kind::With) {
                    self.expect(Kind::RightDelim, "else")?;
                }
                Ok(Node {
                    pos: next.pos,
                    kind: NodeKind::Else,
                })
            }
            Kind::End => {
                let pos = self.expect(Kind::RightDelim, "end")?.pos;
                Ok(Node {
                    pos,
                    kind: NodeKind::End,
                })
            }
            Kind::If => self.control("if", NodeKind::If),
            Kind::Range => self.control("range", NodeKind::Range),
            Kind::With => self.control("with", NodeKind::With),
            Kind::Template => {
                let context = "template clause";
                let token = self.next_non_space();
                let name = self.template_name(&token, context)?;
                let mut pipe = None;
                if self.next_non_space().kind != Kind::RightDelim {
                    self.backup();
                    pipe = Some(Box::new(self.pipeline(context, Kind::RightDelim)?));
                }
                Ok(Node {
                    pos: token.pos,
                    kind: NodeKind::Template { name, pipe },
                })
            }
            _ => {
                self.backup();
                let pos = self.peek().pos;
                let pipe = self.pipeline("command", Kind::RightDelim)?;
                Ok(Node {
                    pos,
                    kind: NodeKind::Action(Box::new(pipe)),
                })
            }
        }
    }

    fn block(&mut self) -> Result<Node> {
        let context = "block clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, context)?;
        let pipe = self.pipeline(context, Kind::RightDelim)?;
        let root = self.own_scope(context)?;
        self.add(name.clone(), root)?;
        Ok(Node {
            pos: token.pos,
            kind: NodeKind::Template {
                name,
                pipe: Some(Box::new(pipe)),
            },
        })
    }

    fn jump(&mut self, pos: usize, kind: NodeKind, shown: &str) -> Result<Node> {
        let token = self.next_non_space();
        if token.kind != Kind::RightDelim {
            return self.unexpected(&token, shown);
        }
        if self.range_depth == 0 {
            return self.error(format!("{shown} outside {{{{range}}}}"));
        }
        Ok(Node { pos, kind })
    }

    fn control(&mut self, word: &str, make: fn(Box<Branch>) -> NodeKind) -> Result<Node> {
        let vars = self.vars.len();
        let pipe = self.pipeline(word, Kind::RightDelim)?;
        let ranges = u32::from(word == "range");
        self.range_depth += ranges;
        let (list, next) = self.item_list()?;
        self.range_depth -= ranges;
        let mut otherwise = None;
        if matches!(next.kind, NodeKind::Else) {
            let chained = match (word, self.peek().kind) {
                ("if", Kind::If) => Some(NodeKind::If as fn(Box<Branch>) -> NodeKind),
                ("with", Kind::With) => Some(NodeKind::With as fn(Box<Branch>) -> NodeKind),
                _ => None,
            };
            otherwise = Some(if let Some(make) = chained {
                // "{{else if x}}…{{end}}" is "{{else}}{{if x}}…{{end}}{{end}}", with one end for both.
                self.next();
                self.deeper()?;
                let node = self.control(word, make)?;
                self.nesting -= 1;
                Node {
                    pos: next.pos,
                    kind: NodeKind::List(vec![node]),
                }
            } else {
                let (list, end) = self.item_list()?;
                if !matches!(end.kind, NodeKind::End) {
                    return self.error(format!("expected end; found {end}"));
                }
                list
            });
        }
        self.vars.truncate(vars);
        let pos = pipe.pos;
        Ok(Node {
            pos,
            kind: make(Box::new(Branch {
                pipe,
                list,
                otherwise,
            })),
        })
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Result<Node> {
        let pos = self.peek_non_space().pos;
        let (decl, assign) = self.declarations(context)?;
        let mut commands = Vec::new();
        loop {
            let token = self.next_non_space();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::CharConstant
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawStr
                | Kind::Str
                | Kind::Variable
                | Kind::LeftParen => {
                    self.backup();
                    commands.push(self.command()?);
                }
                _ => return self.unexpected(&token, context),
            }
        }
        if commands.is_empty() {
            return self.error(format!("missing value for {context}"));
        }
        for (i, command) in commands.iter().enumerate().skip(1) {
            let NodeKind::Command(args) = &command.kind else {
                continue;
            };
            let literal = args.first().is_some_and(|first| {
                matches!(
                    first.kind,
                    NodeKind::Bool(_)
                        | NodeKind::Dot
                        | NodeKind::Nil
                        | NodeKind::Number(_)
                        | NodeKind::Str { .. }
                )
            });
            if literal {
                return self.error(format!(
                    "non executable command in pipeline stage {}",
                    i + 1
                ));
            }
        }
        Ok(Node {
            pos,
            kind: NodeKind::Pipe(Pipe {
                decl,
                assign,
                commands,
            }),
        })
    }

    fn declarations(&mut self, context: &str) -> Result<(Vec<Rc<str>>, bool)> {
        let mut decl: Vec<Rc<str>> = Vec::new();
        loop {
            let variable = self.peek_non_space();
            if variable.kind != Kind::Variable {
                return Ok((decl, false));
            }
            let start = self.at;
            self.next();
            let next = self.peek_non_space();
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    self.next_non_space();
                    decl.push(Rc::from(variable.text.as_str()));
                    self.vars.push(variable.text);
                    return Ok((decl, next.kind == Kind::Assign));
                }
                Kind::Char if next.text == "," => {
                    self.next_non_space();
                    decl.push(Rc::from(variable.text.as_str()));
                    self.vars.push(variable.text);
                    if context != "range" || decl.len() >= 2 {
                        return self.error(format!("too many declarations in {context}"));
                    }
                    let after = self.peek_non_space().kind;
                    if !matches!(after, Kind::Variable | Kind::RightDelim | Kind::RightParen) {
                        return self.error("range can only initialize variables");
                    }
                }
                _ => {
                    // An argument, not a declaration.
                    self.at = start;
                    return Ok((decl, false));
                }
            }
        }
    }

    fn command(&mut self) -> Result<Node> {
        let pos = self.peek_non_space().pos;
        let mut args = Vec::new();
        loop {
            self.peek_non_space();
            if let Some(operand) = self.operand()? {
                args.push(operand);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => {}
                Kind::RightDelim | Kind::RightParen => {
                    self.backup();
                    break;
                }
                Kind::Pipe => break,
                _ => return self.unexpected(&token, "operand"),
            }
        }
        if args.is_empty() {
            return self.error("empty command");
        }
        Ok(Node {
            pos,
            kind: NodeKind::Command(args),
        })
    }

    fn operand(&mut self) -> Result<Option<Node>> {
        let Some(node) = self.term()? else {
            return Ok(None);
        };
        let pos = self.peek().pos;
        let mut fields: Vec<Rc<str>> = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.push(Rc::from(&self.next().text[1..]));
        }
        if fields.is_empty() {
            return Ok(Some(node));
        }
        let kind = match node.kind {
            NodeKind::Field(first) => NodeKind::Field([first, fields].concat()),
            NodeKind::Variable(first) => NodeKind::Variable([first, fields].concat()),
            NodeKind::Bool(_)
            | NodeKind::Str { .. }
            | NodeKind::Number(_)
            | NodeKind::Nil
            | NodeKind::Dot => {
                return self.error(format!(
                    "unexpected . after term {}",
                    quote::quote(&node.to_string())
                ));
            }
            _ => NodeKind::Chain(Box::new(node), fields),
        };
        Ok(Some(Node { pos, kind }))
    }

    fn term(&mut self) -> Result<Option<Node>> {
        let token = self.next_non_space();
        let pos = token.pos;
        let kind = match token.kind {
            Kind::Identifier => {
                if !(self.has_function)(&token.text) {
                    return self.error(format!(
                        "function {} not defined",
                        quote::quote(&token.text)
                    ));
                }
                NodeKind::Identifier(Rc::from(token.text))
            }
            Kind::Dot => NodeKind::Dot,
            Kind::Nil => NodeKind::Nil,
            Kind::Variable => {
                if !self.vars.contains(&token.text) {
                    return self.error(format!("undefined variable {}", quote::quote(&token.text)));
                }
                NodeKind::Variable(vec![Rc::from(token.text)])
            }
            Kind::Field => NodeKind::Field(vec![Rc::from(&token.text[1..])]),
            Kind::Bool => NodeKind::Bool(token.text == "true"),
            Kind::CharConstant | Kind::Number => match number_literal(&token) {
                Ok(number) => NodeKind::Number(number),
                Err(message) => return self.error(message),
            },
            Kind::LeftParen => {
                self.deeper()?;
                let node = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                self.nesting -= 1;
                return Ok(Some(node));
            }
            Kind::Str | Kind::RawStr => match quote::unquote(&token.text) {
                Some(text) => NodeKind::Str {
                    quoted: token.text,
                    text: Rc::from(text),
                },
                None => return self.error("invalid syntax"),
            },
            _ => {
                self.backup();
                return Ok(None);
            }
        };
        Ok(Some(Node { pos, kind }))
    }
}

fn number_literal(token: &Token) -> Result<Number, String> {
    let text = token.text.clone();
    if token.kind == Kind::CharConstant {
        let c = quote::unquote_rune(&text)
            .ok_or_else(|| format!("malformed character constant: {text}"))?;
        let code = u32::from(c);
        let (int, uint, float) = (Some(code.into()), Some(code.into()), Some(code.into()));
        return Ok(Number {
            text,
            int,
            uint,
            float,
        });
    }
    let mut number = Number {
        int: number::parse_int(&text, 0),
        uint: number::parse_uint(&text, 0),
        float: None,
        text,
    };
    if number.int == Some(0) {
        number.uint = Some(0);
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "Go converts integer constants to float the same way"
    )]
    if let Some(int) = number.int {
        number.float = Some(int as f64);
    } else if let Some(uint) = number.uint {
        number.float = Some(uint as f64);
    } else if let Some(float) = number::parse_float(&number.text) {
        if !number.text.contains(['.', 'e', 'E', 'p', 'P']) {
            return Err(format!("integer overflow: {}", quote::quote(&number.text)));
        }
        number.float = Some(float);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the comparison undoes what doesn't fit"
        )]
        let int = float as i64;
        if int as f64 == float {
            number.int = Some(int);
            number.uint = u64::try_from(int).ok();
        }
    }
    if number.float.is_none() {
        return Err(format!(
            "illegal number syntax: {}",
            quote::quote(&number.text)
        ));
    }
    Ok(number)
}
