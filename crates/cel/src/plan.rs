//! Checked expressions to programs: names become slots, functions become pointers, constants are computed.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use regex::Regex;

use crate::ast::{Expr, Fold, Kind};
use crate::budget::{Budget, Meter};
use crate::check::Checked;
use crate::cost::CallCost;
use crate::error::Issue;
use crate::library::{self, Function};
use crate::macros::ACCU;
use crate::types::{ObjectType, Type};
use crate::value::{Key, List, Map, Value};

/// An expression ready to be evaluated.
#[derive(Debug)]
pub(crate) enum Node {
    Const(Value<'static>),
    Attribute(Box<Attribute>),
    And(Box<(Node, Node)>),
    Or(Box<(Node, Node)>),
    NotStrictlyFalse(Box<Node>),
    Call(Box<Call>),
    /// `a.or(b)`
    OptionalOr(Box<(Node, Node)>),
    /// `a.orValue(b)`
    OptionalOrValue(Box<(Node, Node)>),
    /// `a in [constants]`
    InConst(Box<Node>, BTreeSet<Key<'static>>),
    List(Vec<(Node, bool)>),
    Map(Vec<(Node, Node, bool)>),
    Struct(Arc<ObjectType>, Vec<(String, Node, bool)>),
    Fold(Box<FoldNode>),
    /// `@result + [element]`
    Append(Box<Append>),
    /// `cel.@mapInsert(@result, key, value)`
    Insert(Box<(usize, Node, Node)>),
}

/// A variable or a value, and what is taken from it.
#[derive(Debug)]
pub(crate) struct Attribute {
    pub(crate) base: Base,
    pub(crate) steps: Vec<Step>,
    /// Whether only the presence of the last step is asked for.
    pub(crate) is_test: bool,
}

#[derive(Debug)]
pub(crate) enum Base {
    /// A variable of the environment.
    Global(usize),
    /// A variable of a loop.
    Local(usize),
    Value(Node),
    /// `condition ? a : b`
    Conditional(Node, Node, Node),
}

/// A field or an index.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) by: By,
    pub(crate) is_optional: bool,
}

#[derive(Debug)]
pub(crate) enum By {
    Const(Value<'static>),
    Node(Node),
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) function: Function,
    pub(crate) cost: CallCost,
    pub(crate) args: Vec<Node>,
}

#[derive(Debug)]
pub(crate) struct FoldNode {
    pub(crate) range: Node,
    /// Slot of the accumulator; those of the variables follow.
    pub(crate) slot: usize,
    pub(crate) has_two: bool,
    pub(crate) init: Node,
    /// `None` when all elements are visited.
    pub(crate) condition: Option<Node>,
    pub(crate) step: Node,
    pub(crate) result: Node,
    /// Whether this is no loop at all.
    pub(crate) is_bind: bool,
}

#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) slot: usize,
    pub(crate) element: Node,
    pub(crate) cost: u64,
}

pub(crate) struct Plan {
    pub(crate) node: Node,
    pub(crate) globals: Vec<String>,
    pub(crate) regexes: BTreeMap<String, Regex>,
}

/// Plans a checked expression.
pub(crate) fn plan(checked: &Checked, expr: &Expr) -> Result<Plan, Vec<Issue>> {
    let mut planner = Planner {
        checked,
        globals: checked.used.clone(),
        locals: vec![],
        regexes: BTreeMap::new(),
        issues: vec![],
    };
    let node = planner.plan(expr);
    if planner.issues.is_empty() {
        Ok(Plan {
            node,
            globals: planner.globals,
            regexes: planner.regexes,
        })
    } else {
        Err(planner.issues)
    }
}

struct Planner<'c> {
    checked: &'c Checked,
    globals: Vec<String>,
    locals: Vec<String>,
    regexes: BTreeMap<String, Regex>,
    issues: Vec<Issue>,
}

impl Planner<'_> {
    fn plan(&mut self, expr: &Expr) -> Node {
        match &expr.kind {
            Kind::Literal(value) => Node::Const(value.clone()),
            Kind::Ident(name) => self.ident(expr, name),
            Kind::Select {
                operand,
                field,
                test,
            } => {
                let operand = self.plan(operand);
                let mut attribute = attribute(operand);
                attribute.steps.push(Step {
                    by: By::Const(Value::text(field.clone())),
                    is_optional: false,
                });
                if *test {
                    attribute.is_test = true;
                }
                Node::Attribute(attribute)
            }
            Kind::Call {
                function,
                target,
                args,
            } => self.call(expr, function, target.as_deref(), args),
            Kind::List(list) => self.list(list),
            Kind::Map(entries) => {
                let entries: Vec<(Node, Node, bool)> = entries
                    .iter()
                    .map(|e| (self.plan(&e.key), self.plan(&e.value), e.optional))
                    .collect();
                const_map(&entries).unwrap_or(Node::Map(entries))
            }
            Kind::Struct { fields, .. } => {
                let of = match self.checked.types.get(expr.id) {
                    Some(Type::Object(of)) => of.clone(),
                    _ => Arc::default(),
                };
                let fields = fields
                    .iter()
                    .map(|f| (f.name.clone(), self.plan(&f.value), f.optional))
                    .collect();
                Node::Struct(of, fields)
            }
            Kind::Fold(fold) => self.fold(fold),
        }
    }

    fn ident(&mut self, expr: &Expr, name: &str) -> Node {
        if let Some(of) = self.checked.type_names.get(&expr.id) {
            return Node::Const(Value::Type(of.clone()));
        }
        let plain = name.strip_prefix('.');
        let local = self.locals.iter().rposition(|known| known == name);
        let base = match (plain, local) {
            (None, Some(slot)) => Base::Local(slot),
            _ => {
                let name = plain.unwrap_or(name);
                let known = self.globals.iter().position(|known| known == name);
                Base::Global(known.unwrap_or(usize::MAX))
            }
        };
        Node::Attribute(Box::new(Attribute {
            base,
            steps: vec![],
            is_test: false,
        }))
    }

    fn list(&mut self, list: &[(Expr, bool)]) -> Node {
        let list: Vec<(Node, bool)> = list
            .iter()
            .map(|(element, optional)| (self.plan(element), *optional))
            .collect();
        let constants: Option<Vec<Value<'static>>> = list
            .iter()
            .map(|(node, optional)| match node {
                Node::Const(value) if !optional => Some(value.clone()),
                _ => None,
            })
            .collect();
        match constants {
            Some(values) => Node::Const(Value::list(values)),
            None => Node::List(list),
        }
    }

    fn overload(&self, expr: &Expr) -> &'static str {
        match self.checked.overloads.get(expr.id).map(Vec::as_slice) {
            Some([only]) => only.id,
            _ => "",
        }
    }

    fn call(&mut self, expr: &Expr, function: &str, target: Option<&Expr>, args: &[Expr]) -> Node {
        if let Some(node) = self.append(expr, function, args) {
            return node;
        }
        let mut nodes: Vec<Node> = target.into_iter().map(|target| self.plan(target)).collect();
        nodes.extend(args.iter().map(|arg| self.plan(arg)));
        let nodes = match self.special(function, nodes) {
            Ok(node) => return node,
            Err(nodes) => nodes,
        };
        let overload = self.overload(expr);
        if overload == "in_list"
            && let [_, Node::Const(Value::List(list))] = nodes.as_slice()
            && let Some(keys) = const_keys(list)
        {
            if keys.is_empty() {
                return Node::Const(Value::Bool(false));
            }
            let needle = nodes.into_iter().next();
            let needle = needle.unwrap_or(Node::Const(Value::Null));
            return Node::InConst(Box::new(needle), keys);
        }
        self.check_pattern(function, args, &nodes);
        let Some(implementation) = library::function(function, target.is_some()) else {
            self.issue(expr, format!("function '{function}' has no implementation"));
            return Node::Const(Value::Null);
        };
        if target.is_none()
            && is_conversion(function)
            && let [Node::Const(value)] = nodes.as_slice()
        {
            let mut meter = Meter::new(&Budget::default());
            return match implementation(&mut meter, std::slice::from_ref(value)) {
                Ok(value) => Node::Const(value),
                Err(error) => {
                    let message = match function {
                        "duration" | "timestamp" => format!("invalid {function} argument"),
                        _ => error.to_string(),
                    };
                    self.issue(&args[0], message);
                    Node::Const(Value::Null)
                }
            };
        }
        Node::Call(Box::new(Call {
            function: implementation,
            cost: CallCost::of(function, overload),
            args: nodes,
        }))
    }

    fn issue(&mut self, expr: &Expr, message: String) {
        self.issues.push(Issue {
            offset: expr.offset,
            message,
        });
    }

    /// What is no call: its operands are evaluated when they are needed.
    fn special(&mut self, function: &str, mut nodes: Vec<Node>) -> Result<Node, Vec<Node>> {
        let lazy = matches!(
            function,
            "_&&_" | "_||_" | "or" | "orValue" | "_[_]" | "_[?_]" | "_?._"
        );
        if function == "@not_strictly_false" || function == "_?_:_" {
            if nodes.len() == 3 {
                let (Some(c), Some(b), Some(a)) = (nodes.pop(), nodes.pop(), nodes.pop()) else {
                    return Err(nodes);
                };
                return Ok(Node::Attribute(Box::new(Attribute {
                    base: Base::Conditional(a, b, c),
                    steps: vec![],
                    is_test: false,
                })));
            }
            return match nodes.pop() {
                Some(node) => Ok(Node::NotStrictlyFalse(Box::new(node))),
                None => Err(nodes),
            };
        }
        if !lazy || nodes.len() != 2 {
            return Err(nodes);
        }
        let (Some(right), Some(left)) = (nodes.pop(), nodes.pop()) else {
            return Err(nodes);
        };
        let pair = |left, right| Box::new((left, right));
        Ok(match function {
            "_&&_" => Node::And(pair(left, right)),
            "_||_" => Node::Or(pair(left, right)),
            "or" => Node::OptionalOr(pair(left, right)),
            "orValue" => Node::OptionalOrValue(pair(left, right)),
            _ => {
                let mut attribute = attribute(left);
                let by = match right {
                    Node::Const(value) => By::Const(value),
                    node => By::Node(node),
                };
                attribute.steps.push(Step {
                    by,
                    is_optional: function != "_[_]",
                });
                Node::Attribute(attribute)
            }
        })
    }

    /// Loops that collect need not copy what they have.
    fn append(&mut self, expr: &Expr, function: &str, args: &[Expr]) -> Option<Node> {
        let is_accu = matches!(args.first().map(|a| &a.kind), Some(Kind::Ident(n)) if n == ACCU);
        if !is_accu {
            return None;
        }
        let slot = self.locals.iter().rposition(|known| known == ACCU)?;
        match (function, args) {
            ("_+_", [_, list]) => {
                let Kind::List(elements) = &list.kind else {
                    return None;
                };
                let [(element, false)] = elements.as_slice() else {
                    return None;
                };
                let element = self.plan(element);
                let is_const = matches!(element, Node::Const(_));
                Some(Node::Append(Box::new(Append {
                    slot,
                    element,
                    // The accumulator, the sum, and the list unless it is constant.
                    cost: if is_const { 2 } else { 12 },
                })))
            }
            ("cel.@mapInsert", [_, key, value])
                if self.overload(expr) == "map_insert_key_value" =>
            {
                let (key, value) = (self.plan(key), self.plan(value));
                Some(Node::Insert(Box::new((slot, key, value))))
            }
            _ => None,
        }
    }

    /// Constant patterns are compiled once, and refused now.
    fn check_pattern(&mut self, function: &str, args: &[Expr], nodes: &[Node]) {
        if !matches!(function, "matches" | "find" | "findAll") {
            return;
        }
        let Some(Node::Const(Value::String(pattern))) = nodes.get(1) else {
            return;
        };
        match library::regex::compile(pattern) {
            Ok(regex) => {
                self.regexes.insert(pattern.to_string(), regex);
            }
            Err(_) => {
                if let Some(arg) = args.last() {
                    self.issue(arg, format!("invalid {function} argument"));
                }
            }
        }
    }

    fn fold(&mut self, fold: &Fold) -> Node {
        let range = self.plan(&fold.range);
        let init = self.plan(&fold.init);
        let slot = self.locals.len();
        self.locals.push(fold.accu.clone());
        self.locals.push(fold.var.clone());
        self.locals.extend(fold.var2.clone());
        let is_always = matches!(fold.condition.kind, Kind::Literal(Value::Bool(true)));
        let condition = (!is_always).then(|| self.plan(&fold.condition));
        let step = self.plan(&fold.step);
        self.locals.truncate(slot + 1);
        let result = self.plan(&fold.result);
        self.locals.truncate(slot);
        Node::Fold(Box::new(FoldNode {
            range,
            slot,
            has_two: fold.var2.is_some(),
            init,
            condition,
            step,
            result,
            is_bind: fold.is_bind(),
        }))
    }
}

/// The node as something that steps can be added to.
fn attribute(node: Node) -> Box<Attribute> {
    match node {
        Node::Attribute(attribute) if !attribute.is_test => attribute,
        other => Box::new(Attribute {
            base: Base::Value(other),
            steps: vec![],
            is_test: false,
        }),
    }
}

fn const_map(entries: &[(Node, Node, bool)]) -> Option<Node> {
    let mut map = BTreeMap::new();
    for (key, value, optional) in entries {
        let (Node::Const(key), Node::Const(value), false) = (key, value, optional) else {
            return None;
        };
        if map.insert(Key::of(key)?, value.clone()).is_some() {
            return None;
        }
    }
    Some(Node::Const(Value::Map(Map::Values(Arc::new(map)))))
}

/// The elements of a list of constants as a set; `None` when some are no keys.
fn const_keys(list: &List<'static>) -> Option<BTreeSet<Key<'static>>> {
    list.iter().map(|value| Key::of(&value.ok()?)).collect()
}

fn is_conversion(function: &str) -> bool {
    matches!(
        function,
        "bool"
            | "bytes"
            | "double"
            | "duration"
            | "dyn"
            | "int"
            | "string"
            | "timestamp"
            | "type"
            | "uint"
    )
}
