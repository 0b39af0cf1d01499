//! Macros: calls that the parser replaces by loops and tests.

use crate::ast::{Expr, Fold, Kind};
use crate::error::Issue;
use crate::parse::{Parsed, Parser};
use crate::value::Value;

/// The accumulator of loops; no expression can name it.
pub(crate) const ACCU: &str = "@result";
const OLD_ACCU: &str = "__result__";
const UNUSED: &str = "#unused";
const SORT_INPUT: &str = "@__sortBy_input__";

impl Parser {
    /// `function(args)`, or what a macro of that name makes of it.
    pub(crate) fn global_call(&mut self, offset: usize, name: &str, args: Vec<Expr>) -> Parsed {
        if name == "has" && args.len() == 1 {
            return self.has(args);
        }
        self.call(offset, name, args)
    }

    /// `target.function(args)`, or what a macro of that name makes of it.
    pub(crate) fn member_call(
        &mut self,
        offset: usize,
        name: &str,
        target: Expr,
        args: Vec<Expr>,
    ) -> Parsed {
        match (name, args.len()) {
            ("all" | "exists" | "exists_one" | "existsOne", 2 | 3) => {
                self.quantifier(offset, name, target, args)
            }
            ("map", 2 | 3) => self.map(offset, target, args),
            ("filter", 2) => self.filter(offset, target, args),
            ("transformList" | "transformMap" | "transformMapEntry", 3 | 4) => {
                self.transform(offset, name, target, args)
            }
            ("optMap" | "optFlatMap", 2) => self.opt_map(offset, name, target, args),
            ("sortBy", 2) => self.sort_by(offset, target, args),
            _ => self.node(
                offset,
                Kind::Call {
                    function: name.into(),
                    target: Some(Box::new(target)),
                    args,
                },
            ),
        }
    }

    fn has(&mut self, mut args: Vec<Expr>) -> Parsed {
        let Some(arg) = args.pop() else {
            return self.literal(0, Value::Null);
        };
        match arg.kind {
            Kind::Select {
                operand,
                field,
                test: false,
            } => self.node(
                arg.offset,
                Kind::Select {
                    operand,
                    field,
                    test: true,
                },
            ),
            _ => Err(Issue {
                offset: arg.offset,
                message: "invalid argument to has() macro".into(),
            }),
        }
    }

    fn literal(&mut self, offset: usize, value: Value<'static>) -> Parsed {
        self.node(offset, Kind::Literal(value))
    }

    fn ident(&mut self, offset: usize, name: &str) -> Parsed {
        self.node(offset, Kind::Ident(name.into()))
    }

    fn accu(&mut self, offset: usize) -> Parsed {
        self.ident(offset, ACCU)
    }

    fn list_of(&mut self, offset: usize, elements: Vec<Expr>) -> Parsed {
        let elements = elements.into_iter().map(|e| (e, false)).collect();
        self.node(offset, Kind::List(elements))
    }

    /// `filter ? step : @result`, or only `step`.
    fn guarded(&mut self, offset: usize, filter: Option<Expr>, step: Expr) -> Parsed {
        match filter {
            None => Ok(step),
            Some(filter) => {
                let keep = self.accu(offset)?;
                self.call(offset, "_?_:_", vec![filter, step, keep])
            }
        }
    }

    /// `@result + [element]`
    fn append(&mut self, offset: usize, element: Expr) -> Parsed {
        let accu = self.accu(offset)?;
        let list = self.list_of(offset, vec![element])?;
        self.call(offset, "_+_", vec![accu, list])
    }

    fn quantifier(&mut self, offset: usize, name: &str, target: Expr, args: Vec<Expr>) -> Parsed {
        let (vars, mut rest) = iteration(args, "argument must be a simple name")?;
        let Some(predicate) = rest.pop() else {
            return self.literal(offset, Value::Null);
        };
        let accu = self.accu(offset)?;
        let (init, condition, step) = match name {
            "all" => {
                let check = self.accu(offset)?;
                let condition = self.call(offset, "@not_strictly_false", vec![check])?;
                let step = self.call(offset, "_&&_", vec![accu, predicate])?;
                (Value::Bool(true), condition, step)
            }
            "exists" => {
                let check = self.accu(offset)?;
                let not = self.call(offset, "!_", vec![check])?;
                let condition = self.call(offset, "@not_strictly_false", vec![not])?;
                let step = self.call(offset, "_||_", vec![accu, predicate])?;
                (Value::Bool(false), condition, step)
            }
            _ => {
                let condition = self.literal(offset, Value::Bool(true))?;
                let one = self.literal(offset, Value::Int(1))?;
                let sum = self.call(offset, "_+_", vec![accu, one])?;
                let step = self.guarded(offset, Some(predicate), sum)?;
                (Value::Int(0), condition, step)
            }
        };
        let init = self.literal(offset, init)?;
        let mut result = self.accu(offset)?;
        if !matches!(name, "all" | "exists") {
            let one = self.literal(offset, Value::Int(1))?;
            result = self.call(offset, "_==_", vec![result, one])?;
        }
        self.fold(offset, target, vars, init, condition, step, result)
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of a loop")]
    fn fold(
        &mut self,
        offset: usize,
        range: Expr,
        (var, var2): (String, Option<String>),
        init: Expr,
        condition: Expr,
        step: Expr,
        result: Expr,
    ) -> Parsed {
        let fold = Fold {
            range,
            var,
            var2,
            accu: ACCU.into(),
            init,
            condition,
            step,
            result,
        };
        self.node(offset, Kind::Fold(Box::new(fold)))
    }

    /// A loop over everything that collects into `init`.
    fn collect(
        &mut self,
        offset: usize,
        range: Expr,
        vars: (String, Option<String>),
        init: Kind,
        step: Expr,
    ) -> Parsed {
        let init = self.node(offset, init)?;
        let condition = self.literal(offset, Value::Bool(true))?;
        let result = self.accu(offset)?;
        self.fold(offset, range, vars, init, condition, step, result)
    }

    fn map(&mut self, offset: usize, target: Expr, mut args: Vec<Expr>) -> Parsed {
        let function = args.pop();
        let filter = if args.len() == 2 { args.pop() } else { None };
        let var = variable(&args[0], "argument is not an identifier")?;
        let Some(function) = function else {
            return self.literal(offset, Value::Null);
        };
        let step = self.append(offset, function)?;
        let step = self.guarded(offset, filter, step)?;
        self.collect(offset, target, (var, None), Kind::List(vec![]), step)
    }

    fn filter(&mut self, offset: usize, target: Expr, mut args: Vec<Expr>) -> Parsed {
        let predicate = args.pop();
        let Some(element) = args.pop() else {
            return self.literal(offset, Value::Null);
        };
        let var = variable(&element, "argument is not an identifier")?;
        let step = self.append(offset, element)?;
        let step = self.guarded(offset, predicate, step)?;
        self.collect(offset, target, (var, None), Kind::List(vec![]), step)
    }

    fn transform(&mut self, offset: usize, name: &str, target: Expr, args: Vec<Expr>) -> Parsed {
        let (vars, mut rest) = iteration_of_two(args)?;
        let Some(transform) = rest.pop() else {
            return self.literal(offset, Value::Null);
        };
        let filter = rest.pop();
        let init = if name == "transformList" {
            Kind::List(vec![])
        } else {
            Kind::Map(vec![])
        };
        let step = match name {
            "transformList" => self.append(offset, transform)?,
            "transformMap" => {
                let accu = self.accu(offset)?;
                let key = self.ident(offset, &vars.0)?;
                self.call(offset, "cel.@mapInsert", vec![accu, key, transform])?
            }
            _ => {
                let accu = self.accu(offset)?;
                self.call(offset, "cel.@mapInsert", vec![accu, transform])?
            }
        };
        let step = self.guarded(offset, filter, step)?;
        self.collect(offset, target, vars, init, step)
    }

    /// A name for a value: a loop over nothing whose accumulator is the value.
    fn bind(&mut self, offset: usize, name: &str, value: Expr, result: Expr) -> Parsed {
        let range = self.list_of(offset, vec![])?;
        let condition = self.literal(offset, Value::Bool(false))?;
        let step = self.ident(offset, name)?;
        let fold = Fold {
            range,
            var: UNUSED.into(),
            var2: None,
            accu: name.into(),
            init: value,
            condition,
            step,
            result,
        };
        self.node(offset, Kind::Fold(Box::new(fold)))
    }

    fn opt_map(&mut self, offset: usize, name: &str, target: Expr, mut args: Vec<Expr>) -> Parsed {
        let Some(transform) = args.pop() else {
            return self.literal(offset, Value::Null);
        };
        let Kind::Ident(var) = &args[0].kind else {
            return Err(Issue {
                offset: args[0].offset,
                message: format!("{name}() variable name must be a simple identifier"),
            });
        };
        let copy = self.copy(&target)?;
        let value = self.receiver(offset, "value", copy, vec![])?;
        let mut mapped = self.bind(offset, var, value, transform)?;
        if name == "optMap" {
            mapped = self.call(offset, "optional.of", vec![mapped])?;
        }
        let has_value = self.receiver(offset, "hasValue", target, vec![])?;
        let none = self.call(offset, "optional.none", vec![])?;
        self.call(offset, "_?_:_", vec![has_value, mapped, none])
    }

    fn receiver(&mut self, offset: usize, function: &str, target: Expr, args: Vec<Expr>) -> Parsed {
        self.node(
            offset,
            Kind::Call {
                function: function.into(),
                target: Some(Box::new(target)),
                args,
            },
        )
    }

    fn sort_by(&mut self, offset: usize, target: Expr, args: Vec<Expr>) -> Parsed {
        if matches!(
            target.kind,
            Kind::Literal(_) | Kind::Map(_) | Kind::Struct { .. }
        ) {
            return Err(Issue {
                offset: target.offset,
                message: "sortBy can only be applied to a list, identifier, comprehension, call or select expression".into(),
            });
        }
        let input = self.ident(offset, SORT_INPUT)?;
        let keys = self.map(offset, input, args)?;
        let input = self.ident(offset, SORT_INPUT)?;
        let sorted = self.receiver(offset, "@sortByAssociatedKeys", input, vec![keys])?;
        self.bind(offset, SORT_INPUT, target, sorted)
    }
}

/// The variable that an argument names.
fn variable(arg: &Expr, otherwise: &str) -> Result<String, Issue> {
    let issue = |message: &str| Issue {
        offset: arg.offset,
        message: message.into(),
    };
    let Kind::Ident(name) = &arg.kind else {
        return Err(issue(otherwise));
    };
    if name == ACCU || name == OLD_ACCU {
        return Err(issue("iteration variable overwrites accumulator variable"));
    }
    Ok(name.clone())
}

type Iteration = ((String, Option<String>), Vec<Expr>);

/// One variable of two arguments, two of three; and the other arguments.
fn iteration(mut args: Vec<Expr>, otherwise: &str) -> Result<Iteration, Issue> {
    if args.len() == 3 {
        return iteration_of_two(args);
    }
    let rest = args.split_off(1);
    Ok(((variable(&args[0], otherwise)?, None), rest))
}

fn iteration_of_two(mut args: Vec<Expr>) -> Result<Iteration, Issue> {
    let rest = args.split_off(2);
    let first = variable(&args[0], "argument must be a simple name")?;
    let second = variable(&args[1], "argument must be a simple name")?;
    if first == second {
        return Err(Issue {
            offset: args[1].offset,
            message: format!("duplicate variable name: {first}"),
        });
    }
    Ok(((first, Some(second)), rest))
}
