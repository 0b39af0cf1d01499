//! The CEL rules of a definition's schema: compiled with the types that the schema declares, and refused when they do
//! not fit or could cost too much. Texts are Kubernetes'.

use std::sync::Arc;

use cel::{Env, Program};
use serde_json::Value;

use super::declare::Declared;
use crate::schema::rules::{Reason, Rule, RuleNode};
use crate::schema::{ListType, Schema, Type};
use crate::status::Cause;

/// Most that one expression may be estimated to cost, times how often it may be evaluated.
const MAX_COST: u64 = 10_000_000;
/// Most that all expressions of a schema may be estimated to cost.
const MAX_TOTAL_COST: u64 = 100_000_000;
/// Expressions that are told when the total is too high.
const MAX_EXPENSIVE: usize = 4;

/// Compiles the rules of a schema without other faults; `path` is where it stands in the definition. Rules that
/// cannot be compiled are left out and come as causes.
pub(super) fn compile(schema: &Schema, path: &str) -> (Option<Arc<RuleNode>>, Vec<Cause>) {
    let mut compiler = Compiler {
        causes: vec![],
        total: 0,
        expensive: vec![],
    };
    let declared = Declared::of(schema, true, "selfType");
    let place = Place {
        path: path.to_owned(),
        cardinality: Some(1),
        uncorrelatable: None,
        type_name: "selfType".to_owned(),
    };
    let node = compiler.node(schema, schema, declared.as_ref(), &place);
    compiler.check_total(path);
    let node = (!node.is_empty()).then(|| Arc::new(node));
    (node, compiler.causes)
}

/// Where a node stands.
struct Place {
    path: String,
    /// How many values of this node one object can have; `None` when only its size bounds that.
    cardinality: Option<u64>,
    /// The list around it whose items cannot be told apart.
    uncorrelatable: Option<String>,
    type_name: String,
}

struct Compiler {
    causes: Vec<Cause>,
    total: u64,
    expensive: Vec<(u64, String)>,
}

impl Compiler {
    /// The rules of `rules` and below, for values whose structure is `schema`: they differ inside `allOf`.
    fn node(
        &mut self,
        rules: &Schema,
        schema: &Schema,
        declared: Option<&Declared>,
        place: &Place,
    ) -> RuleNode {
        let mut node = RuleNode {
            rules: vec![],
            of: declared.map_or(cel::Type::Dyn, |declared| declared.of.clone()),
            type_name: type_name(&schema.ty),
            list_type: schema.list_type.clone(),
            fields: std::collections::BTreeMap::new(),
            items: None,
            additional: None,
            all_of: vec![],
        };
        self.members(&mut node, rules, schema, declared, place);
        let Some(all) = &rules.rules else {
            return node;
        };
        for (index, rule) in all.validations.iter().enumerate() {
            let at = format!("{}.x-kubernetes-validations[{index}]", place.path);
            let Some(declared) = declared else {
                self.causes.push(Cause::internal(
                    format!("{}.x-kubernetes-validations", place.path),
                    "internal error: failed to construct type information for x-kubernetes-validations rules: unable to convert structural schema to CEL declarations",
                ));
                break;
            };
            node.rules
                .extend(self.rule(rule, &at, schema, declared, place));
        }
        for (index, branch) in all.all_of.iter().enumerate() {
            let place = Place {
                path: format!("{}.allOf[{index}]", place.path),
                cardinality: place.cardinality,
                uncorrelatable: place.uncorrelatable.clone(),
                type_name: place.type_name.clone(),
            };
            let branch = self.node(branch, schema, declared, &place);
            if !branch.is_empty() {
                node.all_of.push(branch);
            }
        }
        node
    }

    fn members(
        &mut self,
        node: &mut RuleNode,
        rules: &Schema,
        schema: &Schema,
        declared: Option<&Declared>,
        place: &Place,
    ) {
        let count = max_elements(schema);
        let cardinality = match (place.cardinality, count) {
            (Some(outer), Some(count)) => Some(outer.saturating_mul(count)),
            _ => None,
        };
        let inner = |path: String, step: &str| Place {
            path,
            cardinality,
            uncorrelatable: place.uncorrelatable.clone(),
            type_name: format!("{}.{step}", place.type_name),
        };
        match (&rules.ty, &schema.ty) {
            (Type::Object(rules), Type::Object(object)) => {
                for (name, field) in &rules.fields {
                    let Some(whole) = object.fields.get(name) else {
                        continue;
                    };
                    // What the server says of metadata are no rules of the definition.
                    if matches!(whole.schema.ty, Type::Ref(_)) {
                        continue;
                    }
                    let place = inner(format!("{}.properties[{name}]", place.path), name);
                    let fresh;
                    let of = match cel::escape(name) {
                        Some(_) => declared.and_then(|declared| declared.field(name)),
                        None => {
                            let is_root = whole.schema.embedded;
                            fresh = Declared::of(&whole.schema, is_root, &place.type_name);
                            fresh.as_ref()
                        }
                    };
                    let below = self.node(&field.schema, &whole.schema, of, &place);
                    if !below.is_empty() {
                        node.fields.insert(name.clone(), below);
                    }
                }
                if let (Some(rules), Some(whole)) = (&rules.additional, &object.additional) {
                    let place = inner(format!("{}.additionalProperties", place.path), "@elem");
                    let of = declared.and_then(Declared::element);
                    let below = self.node(rules, whole, of, &place);
                    node.additional = (!below.is_empty()).then(|| Box::new(below));
                }
            }
            (Type::Array(rules), Type::Array(whole)) => {
                let mut below = inner(format!("{}.items", place.path), "@idx");
                if !matches!(schema.list_type, ListType::Map(_)) && below.uncorrelatable.is_none() {
                    below.uncorrelatable = Some(place.path.clone());
                }
                let of = declared.and_then(Declared::element);
                let items = self.node(rules, whole, of, &below);
                node.items = (!items.is_empty()).then(|| Box::new(items));
            }
            _ => {}
        }
    }

    fn rule(
        &mut self,
        raw: &Value,
        at: &str,
        schema: &Schema,
        declared: &Declared,
        place: &Place,
    ) -> Option<Rule> {
        let text = |name: &str| raw[name].as_str().unwrap_or_default();
        if text("rule").trim().is_empty() {
            return None;
        }
        let is_old_optional = raw["optionalOldSelf"] == true;
        let old = if is_old_optional {
            cel::Type::optional(declared.of.clone())
        } else {
            declared.of.clone()
        };
        let env = Env::builder()
            .declare("self", declared.of.clone())
            .declare("oldSelf", old)
            .build();
        let program = self.program(&env, raw, at, "rule", declared, &cel::Type::Bool)?;
        let cost = program.estimated_cost().max;
        let times = place
            .cardinality
            .unwrap_or_else(|| declared.max_cardinality());
        self.observe(
            &format!("{at}.rule"),
            "estimated rule cost",
            cost.saturating_mul(times),
        );
        if program.uses("oldSelf") {
            if let Some(list) = &place.uncorrelatable {
                let what = format!(
                    "oldSelf cannot be used on the uncorrelatable portion of the schema within {list}"
                );
                self.causes
                    .push(Cause::invalid(format!("{at}.rule"), &raw["rule"], &what));
            }
        } else if !raw["optionalOldSelf"].is_null() {
            self.causes.push(Cause::invalid(
                format!("{at}.optionalOldSelf"),
                &raw["optionalOldSelf"],
                "may not be set if oldSelf is not used in rule",
            ));
        }
        let mut message_expression = None;
        if !text("messageExpression").is_empty() {
            let name = "messageExpression";
            let program = self.program(&env, raw, at, name, declared, &cel::Type::String)?;
            let cost = program.estimated_cost().max;
            let name = "estimated messageExpression cost";
            self.observe(&format!("{at}.messageExpression"), name, cost);
            message_expression = Some(program);
        }
        Some(Rule {
            program,
            text: text("rule").to_owned(),
            message: text("message").to_owned(),
            message_expression,
            reason: match text("reason") {
                "FieldValueForbidden" => Reason::Forbidden,
                "FieldValueRequired" => Reason::Required,
                "FieldValueDuplicate" => Reason::Duplicate,
                _ => Reason::Invalid,
            },
            field_path: field_path(text("fieldPath"), schema).unwrap_or_default(),
            is_old_optional,
        })
    }

    fn program(
        &mut self,
        env: &Env,
        raw: &Value,
        at: &str,
        name: &str,
        declared: &Declared,
        wanted: &cel::Type,
    ) -> Option<Arc<Program>> {
        let is_rule = name == "rule";
        let source = raw[name].as_str().unwrap_or_default();
        let failure = match env.compile_with_sizes(source, declared) {
            Ok(program) if program.output().is(wanted) => return Some(Arc::new(program)),
            Ok(_) if is_rule => "cel expression must evaluate to a bool".to_owned(),
            Ok(_) => "messageExpression must evaluate to a string".to_owned(),
            Err(error) if is_rule => format!("compilation failed: {error}"),
            Err(error) => format!("messageExpression compilation failed: {error}"),
        };
        self.causes
            .push(Cause::invalid(format!("{at}.{name}"), raw, &failure));
        None
    }

    fn observe(&mut self, at: &str, name: &str, cost: u64) {
        if cost > MAX_COST {
            let what = exceeded(name, cost, MAX_COST);
            self.causes.push(Cause::forbidden(at, &what));
        }
        self.total = self.total.saturating_add(cost);
        if cost >= MAX_TOTAL_COST / 100 {
            self.expensive.push((cost, at.to_owned()));
        }
    }

    fn check_total(&mut self, path: &str) {
        if self.total <= MAX_TOTAL_COST {
            return;
        }
        self.expensive
            .sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
        for (_, at) in self.expensive.drain(..).take(MAX_EXPENSIVE) {
            self.causes.push(Cause::forbidden(
                at,
                "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema",
            ));
        }
        let name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        let what = exceeded(name, self.total, MAX_TOTAL_COST);
        self.causes.push(Cause::forbidden(path, &what));
    }
}

#[expect(clippy::cast_precision_loss, reason = "only shown")]
fn exceeded(name: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = if factor > 100.0 {
        "more than 100x".to_owned()
    } else if factor < 1.5 {
        format!("{factor:.6}x")
    } else {
        format!("{factor:.1}x")
    };
    format!(
        "{name} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
}

fn type_name(of: &Type) -> &'static str {
    match of {
        Type::Any | Type::IntOrString => "",
        Type::Object(_) | Type::Ref(_) => "object",
        Type::Array(_) => "array",
        Type::String => "string",
        Type::Integer => "integer",
        Type::Number => "number",
        Type::Boolean => "boolean",
    }
}

/// How many values may be below a value of this schema; `None` when nothing bounds it.
fn max_elements(schema: &Schema) -> Option<u64> {
    let rules = schema.rules.as_ref();
    match &schema.ty {
        Type::Object(object) if object.additional.is_some() => rules?.max_properties,
        Type::Array(_) => rules?.max_items,
        _ => Some(1),
    }
}

/// A rule's `fieldPath` as causes show it, when it leads to something that the schema has.
pub(super) fn field_path(path: &str, schema: &Schema) -> Option<String> {
    let mut rest = path.trim();
    let mut shown = String::new();
    let mut at = schema;
    while !rest.is_empty() {
        let name;
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[', ']']).unwrap_or(after.len());
            name = after.get(..end)?.to_owned();
            rest = after.get(end..)?;
        } else {
            let quoted = rest.strip_prefix("['")?;
            let (text, after) = unquote(quoted)?;
            name = text;
            rest = after.strip_prefix(']')?;
        }
        let Type::Object(object) = &at.resolve().ty else {
            return None;
        };
        if object.fields.is_empty() {
            at = object.additional.as_ref()?;
            shown.push_str(&format!("[{name}]"));
        } else {
            at = &object.fields.get(&*name)?.schema;
            if !shown.is_empty() {
                shown.push('.');
            }
            shown.push_str(&name);
        }
    }
    Some(shown)
}

/// The text up to the closing quote, and what follows the quote.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => return Some((out, text.get(at + 1..)?)),
            '\\' => out.push(match chars.next()?.1 {
                'a' => '\u{7}',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\u{b}',
                c @ ('\'' | '\\') => c,
                _ => return None,
            }),
            other => out.push(other),
        }
    }
    None
}

#[cfg(test)]
mod estimates;
#[cfg(test)]
mod tests;
