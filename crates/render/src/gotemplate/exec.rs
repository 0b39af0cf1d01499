//! The executor of text/template. It follows Go's step by step, for the error texts depend on where each step stands.

use super::ast::{Branch, Node, NodeKind, Number, Pipe, Template};
use super::error::{Error, Result};
use super::runtime::Runtime;
use super::value::{Element, Value};
use super::{format, quote};
use std::rc::Rc;

/// A value and whether Go would hold it in an interface, as elements of maps and lists are. Nil outside an interface is
/// no value at all.
#[derive(Clone)]
pub(super) struct Val {
    pub(super) v: Value,
    pub(super) iface: bool,
}

impl Val {
    pub(super) fn plain(v: Value) -> Self {
        Self { v, iface: false }
    }

    fn element(v: Value, of: Element) -> Self {
        Self {
            v,
            iface: of == Element::Any,
        }
    }

    pub(super) fn none() -> Self {
        Self::plain(Value::Nil)
    }

    /// True without any value (Go's zero `reflect.Value`).
    pub(super) fn is_none(&self) -> bool {
        !self.iface && matches!(self.v, Value::Nil)
    }

    /// The static type, as messages name it.
    pub(super) fn static_type(&self) -> &'static str {
        if self.iface {
            "interface {}"
        } else {
            self.v.type_name()
        }
    }
}

enum Flow {
    Next,
    Break,
    Continue,
}

pub(super) struct State<'r, 'a, 't> {
    pub(super) rt: &'r mut Runtime<'a>,
    pub(super) template: &'t Template,
    node: &'t Node,
    vars: Vec<(Rc<str>, Val)>,
    out: String,
}

/// Executes a template on its data.
pub(super) fn execute(
    rt: &mut Runtime<'_>,
    template: &Rc<Template>,
    data: Value,
) -> Result<String> {
    let dot = Val::plain(data);
    run(rt, template, &dot, String::new())
}

fn run(rt: &mut Runtime<'_>, template: &Template, dot: &Val, out: String) -> Result<String> {
    let vars = vec![(Rc::from("$"), dot.clone())];
    let mut state = State {
        rt,
        template,
        node: &template.root,
        vars,
        out,
    };
    state.walk(dot, &template.root)?;
    Ok(state.out)
}

impl<'t> State<'_, '_, 't> {
    pub(super) fn at(&mut self, node: &'t Node) {
        self.node = node;
    }

    /// An error at the current node.
    pub(super) fn error<T>(&self, message: impl AsRef<str>) -> Result<T> {
        Err(self.located(message.as_ref(), None))
    }

    pub(super) fn located(&self, message: &str, source: Option<Error>) -> Error {
        let place = self.template.location(self.node);
        let name = quote::quote(&self.template.name);
        Error::exec(
            format!(
                "template: {place}: executing {name} at <{}>: {message}",
                self.node
            ),
            source,
        )
    }

    /// Runs out of a limit: the same for every limit, with the place.
    pub(super) fn limited<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|e| {
            if e.is_exec() {
                e
            } else {
                self.located(e.text(), Some(e.clone()))
            }
        })
    }

    fn walk(&mut self, dot: &Val, node: &'t Node) -> Result<Flow> {
        self.at(node);
        let spent = self.rt.budget.step(1);
        self.limited(spent)?;
        match &node.kind {
            NodeKind::List(nodes) => {
                for node in nodes {
                    match self.walk(dot, node)? {
                        Flow::Next => {}
                        jump => return Ok(jump),
                    }
                }
            }
            NodeKind::Text(text) => self.write(text)?,
            NodeKind::Action(pipe) => {
                let value = self.pipeline(dot, pipe)?;
                if matches!(&pipe.kind, NodeKind::Pipe(p) if p.decl.is_empty()) {
                    self.at(node);
                    self.print(&value)?;
                }
            }
            NodeKind::If(branch) => return self.deeper(|s| s.branch(dot, branch, false)),
            NodeKind::With(branch) => return self.deeper(|s| s.branch(dot, branch, true)),
            NodeKind::Range(branch) => return self.deeper(|s| s.range(dot, node, branch)),
            NodeKind::Template { name, pipe } => self.template(dot, name, pipe.as_deref())?,
            NodeKind::Break => return Ok(Flow::Break),
            NodeKind::Continue => return Ok(Flow::Continue),
            _ => return self.error(format!("unknown node: {node}")),
        }
        Ok(Flow::Next)
    }

    fn write(&mut self, text: &str) -> Result<()> {
        let spent = self.rt.budget.bytes(text.len());
        self.limited(spent)?;
        self.out.push_str(text);
        Ok(())
    }

    fn print(&mut self, value: &Val) -> Result<()> {
        if value.is_none() {
            return self.write("<no value>");
        }
        match &value.v {
            Value::Str(s) => {
                let s = s.clone();
                self.write(&s)
            }
            v => {
                let text = format::print(&mut self.rt.budget, v);
                let text = self.limited(text)?;
                self.write(&text)
            }
        }
    }

    /// One level deeper in the stack.
    pub(super) fn deeper<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let limit = self.rt.budget.limits().depth;
        if self.rt.depth >= limit {
            let cause = Error::limit(format!("exceeded maximum template depth ({limit})"));
            return self.limited(Err(cause));
        }
        self.rt.depth += 1;
        let result = f(self);
        self.rt.depth -= 1;
        result
    }

    fn branch(&mut self, dot: &Val, branch: &'t Branch, with: bool) -> Result<Flow> {
        let mark = self.vars.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let flow = if value.v.truth() {
            self.walk(if with { &value } else { dot }, &branch.list)
        } else if let Some(otherwise) = &branch.otherwise {
            self.walk(dot, otherwise)
        } else {
            Ok(Flow::Next)
        };
        self.vars.truncate(mark);
        flow
    }

    fn range(&mut self, dot: &Val, node: &'t Node, branch: &'t Branch) -> Result<Flow> {
        self.at(node);
        let mark = self.vars.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let NodeKind::Pipe(pipe) = &branch.pipe.kind else {
            return self.error("range without a pipeline");
        };
        let body = self.vars.len();
        let mut ran = false;
        macro_rules! each {
            ($index:expr, $element:expr) => {{
                ran = true;
                if let Flow::Break = self.iteration(branch, pipe, body, $index, $element)? {
                    self.vars.truncate(mark);
                    return Ok(Flow::Next);
                }
            }};
        }
        match &value.v {
            Value::Nil => {}
            Value::Int(_) | Value::Int64(_) | Value::Uint64(_) => {
                if pipe.decl.len() > 1 {
                    let shown = format::plain(&value.v);
                    return self.error(format!(
                        "can't use {shown} to iterate over more than one variable"
                    ));
                }
                let (count, make) = counted(&value.v);
                for i in 0..count {
                    each!(Val::none(), Val::plain(make(i)));
                }
            }
            Value::List(list) => {
                for (i, item) in (0..).zip(list.items()) {
                    each!(
                        Val::plain(Value::Int(i)),
                        Val::element(item.clone(), list.class().element)
                    );
                }
            }
            Value::Bytes(bytes) => {
                for (i, byte) in (0..).zip(bytes.iter()) {
                    each!(
                        Val::plain(Value::Int(i)),
                        Val::plain(Value::Uint64(u64::from(*byte)))
                    );
                }
            }
            Value::Map(map) => {
                let element = map.class().element;
                for (key, item) in map.entries() {
                    each!(Val::plain(Value::Str(key)), Val::element(item, element));
                }
            }
            other => {
                let shown = format::print(&mut self.rt.budget, other);
                let shown = self.limited(shown)?;
                return self.error(format!("range can't iterate over {shown}"));
            }
        }
        let mut flow = Ok(Flow::Next);
        if !ran && let Some(otherwise) = &branch.otherwise {
            flow = self.walk(dot, otherwise);
            // A break in the else list leaves this range in Go, too.
            if let Ok(Flow::Break) = flow {
                flow = Ok(Flow::Next);
            }
        }
        self.vars.truncate(mark);
        flow
    }

    fn iteration(
        &mut self,
        branch: &'t Branch,
        pipe: &Pipe,
        body: usize,
        index: Val,
        element: Val,
    ) -> Result<Flow> {
        let spent = self.rt.budget.step(1);
        self.limited(spent)?;
        match (pipe.decl.as_slice(), pipe.assign) {
            ([], _) => {}
            ([one], true) => self.set_var(one, element.clone())?,
            ([first, second, ..], true) => {
                self.set_var(first, index)?;
                self.set_var(second, element.clone())?;
            }
            ([_], false) => self.vars[body - 1].1 = element.clone(),
            ([_, _, ..], false) => {
                self.vars[body - 1].1 = element.clone();
                self.vars[body - 2].1 = index;
            }
        }
        let flow = self.walk(&element, &branch.list)?;
        self.vars.truncate(body);
        Ok(flow)
    }

    fn template(&mut self, dot: &Val, name: &Rc<str>, pipe: Option<&'t Node>) -> Result<()> {
        let Some(template) = self.rt.set.get(name) else {
            return self.error(format!("template {} not defined", quote::quote(name)));
        };
        let data = match pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Val::none(),
        };
        self.deeper(|s| {
            let out = std::mem::take(&mut s.out);
            s.out = run(s.rt, &template, &data, out)?;
            Ok(())
        })
    }

    fn set_var(&mut self, name: &str, value: Val) -> Result<()> {
        match self.vars.iter_mut().rev().find(|(n, _)| &**n == name) {
            Some((_, slot)) => {
                *slot = value;
                Ok(())
            }
            None => self.error(format!("undefined variable: {name}")),
        }
    }

    pub(super) fn pipeline(&mut self, dot: &Val, node: &'t Node) -> Result<Val> {
        let NodeKind::Pipe(pipe) = &node.kind else {
            return self.error("not a pipeline");
        };
        self.at(node);
        self.deeper(|s| {
            let mut value: Option<Val> = None;
            for command in &pipe.commands {
                let mut result = s.command(dot, command, value)?;
                // What is in an interface is taken out of it; nil is then no value.
                result.iface = false;
                value = Some(result);
            }
            let value = value.unwrap_or_else(Val::none);
            for name in &pipe.decl {
                if pipe.assign {
                    s.set_var(name, value.clone())?;
                } else {
                    let spent = s.rt.budget.bytes(size_of::<(Rc<str>, Val)>());
                    s.limited(spent)?;
                    s.vars.push((name.clone(), value.clone()));
                }
            }
            Ok(value)
        })
    }

    fn not_a_function(&self, args: &[Node], last: Option<&Val>) -> Result<()> {
        if args.len() > 1 || last.is_some() {
            return self.error(format!("can't give argument to non-function {}", args[0]));
        }
        Ok(())
    }

    fn command(&mut self, dot: &Val, command: &'t Node, last: Option<Val>) -> Result<Val> {
        let spent = self.rt.budget.step(1);
        self.limited(spent)?;
        let NodeKind::Command(args) = &command.kind else {
            return self.error("not a command");
        };
        let first = &args[0];
        match &first.kind {
            NodeKind::Field(fields) => {
                self.at(first);
                return self.field_chain(dot, dot.clone(), first, fields, args, last);
            }
            NodeKind::Chain(..) => return self.chain(dot, first, args, last),
            NodeKind::Identifier(name) => {
                self.at(first);
                return self.function(dot, name, command, args, last);
            }
            NodeKind::Pipe(_) => {
                self.not_a_function(args, last.as_ref())?;
                return self.pipeline(dot, first);
            }
            NodeKind::Variable(fields) => return self.variable(dot, first, fields, args, last),
            _ => {}
        }
        self.at(first);
        self.not_a_function(args, last.as_ref())?;
        match &first.kind {
            NodeKind::Bool(b) => Ok(Val::plain(Value::Bool(*b))),
            NodeKind::Dot => Ok(dot.clone()),
            NodeKind::Nil => self.error("nil is not a command"),
            NodeKind::Number(n) => self.constant(first, n),
            NodeKind::Str { text, .. } => Ok(Val::plain(Value::Str(text.clone()))),
            _ => self.error(format!(
                "can't evaluate command {}",
                quote::quote(&first.to_string())
            )),
        }
    }

    pub(super) fn constant(&mut self, node: &'t Node, number: &Number) -> Result<Val> {
        self.at(node);
        let text = &number.text;
        let hex = text.len() > 2
            && (text.starts_with("0x") || text.starts_with("0X"))
            && !text.contains(['p', 'P']);
        let floating = !hex && !text.starts_with('\'') && text.contains(['.', 'e', 'E', 'p', 'P']);
        match number {
            Number {
                float: Some(float), ..
            } if floating => Ok(Val::plain(Value::Float(*float))),
            Number { int: Some(int), .. } => Ok(Val::plain(Value::Int(*int))),
            Number { uint: Some(_), .. } => self.error(format!("{text} overflows int")),
            _ => Ok(Val::none()),
        }
    }

    pub(super) fn chain(
        &mut self,
        dot: &Val,
        node: &'t Node,
        args: &'t [Node],
        last: Option<Val>,
    ) -> Result<Val> {
        let NodeKind::Chain(inner, fields) = &node.kind else {
            return self.error("not a chain");
        };
        self.at(node);
        if matches!(inner.kind, NodeKind::Nil) {
            return self.error(format!("indirection through explicit nil in {node}"));
        }
        let receiver = self.arg(dot, None, inner)?;
        self.field_chain(dot, receiver, node, fields, args, last)
    }

    pub(super) fn variable(
        &mut self,
        dot: &Val,
        node: &'t Node,
        fields: &'t [Rc<str>],
        args: &'t [Node],
        last: Option<Val>,
    ) -> Result<Val> {
        self.at(node);
        let Some(value) = self
            .vars
            .iter()
            .rev()
            .find(|(n, _)| *n == fields[0])
            .map(|(_, v)| v.clone())
        else {
            return self.error(format!("undefined variable: {}", fields[0]));
        };
        if fields.len() == 1 {
            if !args.is_empty() {
                self.not_a_function(args, last.as_ref())?;
            }
            return Ok(value);
        }
        self.field_chain(dot, value, node, &fields[1..], args, last)
    }

    /// `.X.Y.Z`, where the last may be a method with arguments.
    pub(super) fn field_chain(
        &mut self,
        dot: &Val,
        mut receiver: Val,
        node: &'t Node,
        fields: &'t [Rc<str>],
        args: &'t [Node],
        last: Option<Val>,
    ) -> Result<Val> {
        let Some((end, path)) = fields.split_last() else {
            return Ok(receiver);
        };
        for field in path {
            receiver = self.field(dot, field, node, &[], None, receiver)?;
        }
        self.field(dot, end, node, args, last, receiver)
    }

    fn field(
        &mut self,
        dot: &Val,
        name: &Rc<str>,
        node: &'t Node,
        args: &'t [Node],
        last: Option<Val>,
        receiver: Val,
    ) -> Result<Val> {
        if receiver.is_none() {
            return Ok(Val::none());
        }
        let static_type = receiver.static_type();
        let method = match &receiver.v {
            Value::Nil => {
                return self.error(format!("nil pointer evaluating {static_type}.{name}"));
            }
            Value::List(list) => find(list.class().methods, name),
            Value::Map(map) => find(map.class().methods, name),
            Value::Object(object) => object.method(name),
            _ => None,
        };
        if let Some(method) = method {
            return self.call(dot, method, Some(receiver.v), node, name, args, last);
        }
        let has_args = args.len() > 1 || last.is_some();
        match &receiver.v {
            Value::Object(object) => {
                if let Some(value) = object.field(name) {
                    if has_args {
                        return self.error(format!(
                            "{name} has arguments but cannot be invoked as function"
                        ));
                    }
                    return Ok(Val::plain(value));
                }
            }
            Value::Map(map) => {
                if has_args {
                    return self.error(format!("{name} is not a method but has arguments"));
                }
                let element = map.class().element;
                return Ok(Val::element(
                    map.get(name).unwrap_or_else(|| Value::zero(element)),
                    element,
                ));
            }
            _ => {}
        }
        self.error(format!("can't evaluate field {name} in type {static_type}"))
    }
}

fn find(
    methods: &'static [(&'static str, super::runtime::Function)],
    name: &str,
) -> Option<&'static super::runtime::Function> {
    methods.iter().find(|(n, _)| *n == name).map(|(_, f)| f)
}

/// The number of rounds of a range over an integer, and what makes its elements.
fn counted(value: &Value) -> (i64, fn(i64) -> Value) {
    match value {
        Value::Int(n) => (*n, Value::Int),
        Value::Int64(n) => (*n, Value::Int64),
        Value::Uint64(n) => (i64::try_from(*n).unwrap_or(i64::MAX), |i| {
            Value::Uint64(i.unsigned_abs())
        }),
        _ => (0, Value::Int),
    }
}
