//! The parse tree of a template, and how Go prints its nodes in messages.

use std::fmt;
use std::rc::Rc;

/// A node and the byte where it starts.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) pos: usize,
    pub(crate) kind: NodeKind,
}

/// A number literal under every type that can hold it.
#[derive(Debug)]
pub(crate) struct Number {
    pub(crate) text: String,
    pub(crate) int: Option<i64>,
    pub(crate) uint: Option<u64>,
    pub(crate) float: Option<f64>,
}

/// The parts of `if`, `with` and `range`.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) pipe: Node,
    pub(crate) list: Node,
    pub(crate) otherwise: Option<Node>,
}

/// A pipeline.
#[derive(Debug)]
pub(crate) struct Pipe {
    /// The variables it declares or assigns, with the dollar.
    pub(crate) decl: Vec<Rc<str>>,
    pub(crate) assign: bool,
    pub(crate) commands: Vec<Node>,
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum NodeKind {
    List(Vec<Node>),
    Text(String),
    Action(Box<Node>),
    If(Box<Branch>),
    With(Box<Branch>),
    Range(Box<Branch>),
    Template {
        name: Rc<str>,
        pipe: Option<Box<Node>>,
    },
    Break,
    Continue,
    Pipe(Pipe),
    /// The first is what is called, if it is a function or method.
    Command(Vec<Node>),
    Field(Vec<Rc<str>>),
    Chain(Box<Node>, Vec<Rc<str>>),
    Variable(Vec<Rc<str>>),
    Identifier(Rc<str>),
    Dot,
    Nil,
    Bool(bool),
    Number(Number),
    Str {
        quoted: String,
        text: Rc<str>,
    },
    /// `{{end}}` and `{{else}}` end lists and are in no finished tree.
    End,
    Else,
}

/// A parsed template.
#[derive(Debug)]
pub(crate) struct Template {
    /// What it is called by.
    pub(crate) name: Rc<str>,
    /// The file that it was read from.
    pub(crate) file: Rc<str>,
    /// The whole text of that file, for positions.
    pub(crate) text: Rc<str>,
    pub(crate) root: Node,
}

impl Template {
    /// "file:line:column" of a node.
    pub(crate) fn location(&self, node: &Node) -> String {
        let before = self.text.get(..node.pos).unwrap_or(&self.text);
        let column = before
            .rfind('\n')
            .map_or(before.len(), |at| before.len() - at - 1);
        let line = 1 + before.matches('\n').count();
        format!("{}:{line}:{column}", self.file)
    }
}

/// True for a tree of nothing but space: such a definition doesn't replace an earlier one.
pub(crate) fn is_empty(node: &Node) -> bool {
    match &node.kind {
        NodeKind::List(nodes) => nodes.iter().all(is_empty),
        NodeKind::Text(text) => text.trim().is_empty(),
        _ => false,
    }
}

fn dotted(f: &mut fmt::Formatter<'_>, fields: &[Rc<str>]) -> fmt::Result {
    fields.iter().try_for_each(|field| write!(f, ".{field}"))
}

fn parenthesized(f: &mut fmt::Formatter<'_>, node: &Node) -> fmt::Result {
    if matches!(node.kind, NodeKind::Pipe(_)) {
        write!(f, "({node})")
    } else {
        write!(f, "{node}")
    }
}

fn branch(f: &mut fmt::Formatter<'_>, word: &str, branch: &Branch) -> fmt::Result {
    write!(f, "{{{{{word} {}}}}}{}", branch.pipe, branch.list)?;
    if let Some(otherwise) = &branch.otherwise {
        write!(f, "{{{{else}}}}{otherwise}")?;
    }
    f.write_str("{{end}}")
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            NodeKind::List(nodes) => nodes.iter().try_for_each(|n| write!(f, "{n}")),
            NodeKind::Text(text) => f.write_str(text),
            NodeKind::Action(pipe) => write!(f, "{{{{{pipe}}}}}"),
            NodeKind::If(b) => branch(f, "if", b),
            NodeKind::With(b) => branch(f, "with", b),
            NodeKind::Range(b) => branch(f, "range", b),
            NodeKind::Template { name, pipe } => {
                write!(f, "{{{{template {}", super::quote::quote(name))?;
                if let Some(pipe) = pipe {
                    write!(f, " {pipe}")?;
                }
                f.write_str("}}")
            }
            NodeKind::Break => f.write_str("{{break}}"),
            NodeKind::Continue => f.write_str("{{continue}}"),
            NodeKind::Pipe(pipe) => {
                if !pipe.decl.is_empty() {
                    write!(
                        f,
                        "{} {} ",
                        pipe.decl.join(", "),
                        if pipe.assign { "=" } else { ":=" }
                    )?;
                }
                for (i, command) in pipe.commands.iter().enumerate() {
                    write!(f, "{}{command}", if i > 0 { " | " } else { "" })?;
                }
                Ok(())
            }
            NodeKind::Command(args) => {
                for (i, arg) in args.iter().enumerate() {
                    f.write_str(if i > 0 { " " } else { "" })?;
                    parenthesized(f, arg)?;
                }
                Ok(())
            }
            NodeKind::Field(fields) => dotted(f, fields),
            NodeKind::Chain(node, fields) => {
                parenthesized(f, node)?;
                dotted(f, fields)
            }
            NodeKind::Variable(fields) => f.write_str(&fields.join(".")),
            NodeKind::Identifier(name) => f.write_str(name),
            NodeKind::Dot => f.write_str("."),
            NodeKind::Nil => f.write_str("nil"),
            NodeKind::Bool(b) => write!(f, "{b}"),
            NodeKind::Number(n) => f.write_str(&n.text),
            NodeKind::Str { quoted, .. } => f.write_str(quoted),
            NodeKind::End => f.write_str("{{end}}"),
            NodeKind::Else => f.write_str("{{else}}"),
        }
    }
}
