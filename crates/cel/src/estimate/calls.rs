//! What single calls may cost.

use super::{CallEstimate, Entry, Estimator, LIST, REGEX, Range, STRING, STRUCT};
use crate::ast::{Expr, Kind};
use crate::library::formats::MAX_REGEX_SIZE;
use crate::types::Type;
use crate::value::Value;

impl Estimator<'_> {
    /// The cost of one call with one signature.
    pub(super) fn function(
        &mut self,
        expr: &Expr,
        function: &str,
        overload: &str,
        target: Option<&Expr>,
        args: &[Expr],
    ) -> CallEstimate {
        self.list_function(overload, target, args)
            .or_else(|| self.kubernetes(function, overload, target, args))
            .or_else(|| self.text_function(function, overload, target, args))
            .or_else(|| self.standard(expr, overload, target, args))
            .unwrap_or(CallEstimate {
                cost: Range::of(1),
                size: None,
            })
    }

    /// Lists and sets, which cost by their lengths.
    fn list_function(
        &mut self,
        overload: &str,
        target: Option<&Expr>,
        args: &[Expr],
    ) -> Option<CallEstimate> {
        let allocating = |factor: f64, size: Range| {
            CallEstimate::sized(size.factor(factor).plus(Range::of(1 + LIST)), size)
        };
        let square = |size: Range| size.times(size);
        match (overload, target, args) {
            ("list_slice", Some(list), [start, end]) => {
                let size = self.size(list);
                let start = whole(start, 0);
                let end = whole(end, size.max);
                allocating(1.0, Range::of(end.saturating_sub(start)))
            }
            ("lists_range", None, [count]) => allocating(1.0, Range::of(whole(count, u64::MAX))),
            ("list_reverse", Some(list), []) => allocating(1.0, self.size(list)),
            ("list_flatten" | "list_flatten_int", Some(list), _) => {
                let depth = args.first().map_or(1, |depth| whole(depth, u64::MAX));
                #[allow(clippy::cast_precision_loss, reason = "as costs are counted")]
                allocating(depth as f64, self.size(list))
            }
            ("list_distinct", Some(list), []) => allocating(2.0, square(self.size(list))),
            (id, Some(list), _) if id.ends_with("_sort") => {
                let factor = if is_text_list(self.type_of(list)) {
                    2.0 + STRING
                } else {
                    2.0
                };
                allocating(factor, square(self.size(list)))
            }
            (id, Some(_), [keys]) if id.ends_with("_sortByAssociatedKeys") => {
                let is_text = id.starts_with("list_string_") || id.starts_with("list_bytes_");
                let factor = if is_text { 2.0 + STRING } else { 2.0 };
                allocating(factor, square(self.size(keys)))
            }
            (id, _, [a, b]) if id.starts_with("list_sets_") => {
                let factor = if id == "list_sets_equivalent_list" {
                    2.0
                } else {
                    1.0
                };
                let both = self.size(a).times(self.size(b));
                CallEstimate::cost(both.factor(factor).plus(Range::of(1)))
            }
            _ => None,
        }
    }

    /// Authorizer, addresses, quantities, versions, formats and URLs.
    fn kubernetes(
        &mut self,
        function: &str,
        overload: &str,
        target: Option<&Expr>,
        args: &[Expr],
    ) -> Option<CallEstimate> {
        match (function, args) {
            ("check", _) => CallEstimate::cost(Range::of(350_000)),
            (
                "serviceAccount"
                | "path"
                | "group"
                | "resource"
                | "subresource"
                | "namespace"
                | "name"
                | "allowed"
                | "reason"
                | "error"
                | "errored"
                | "masked"
                | "prefixLength"
                | "family"
                | "isUnspecified"
                | "isLoopback"
                | "isLinkLocalMulticast"
                | "isLinkLocalUnicast"
                | "isGlobalUnicast"
                | "format.named"
                | "sign"
                | "asInteger"
                | "isInteger"
                | "asApproximateFloat"
                | "isGreaterThan"
                | "isLessThan"
                | "compareTo"
                | "add"
                | "sub"
                | "major"
                | "minor"
                | "patch"
                | "getScheme"
                | "getHostname"
                | "getHost"
                | "getPort"
                | "getEscapedPath"
                | "getQuery",
                _,
            ) => CallEstimate::cost(Range::of(1)),
            ("ip", _) if overload == "cidr_ip" => CallEstimate::cost(Range::of(1)),
            ("fieldSelector" | "labelSelector", [text]) => {
                CallEstimate::cost(selector(self.size(text)))
            }
            ("url" | "jsonpatch.escapeKey", [text]) => {
                let size = self.size(text);
                CallEstimate::sized(size.factor(STRING), size)
            }
            (
                "cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity" | "semver"
                | "isSemver",
                [text, ..],
            ) => CallEstimate::cost(self.size(text).factor(STRING)),
            ("ip.isCanonical", [text]) => CallEstimate::cost(self.size(text).factor(2.0 * STRING)),
            ("containsIP" | "containsCIDR", [other]) => {
                let size = Range { min: 4, max: 16 };
                let mut cost = size.plus(size).factor(STRING);
                if function == "containsCIDR" {
                    cost = cost.plus(size.factor(STRING)).plus(Range::of(1));
                }
                if overload.ends_with("_string") {
                    cost = cost.plus(self.size(other).factor(STRING));
                }
                CallEstimate::cost(cost)
            }
            ("validate", [text]) => {
                #[allow(clippy::cast_precision_loss, reason = "a small constant")]
                let regex = MAX_REGEX_SIZE as f64 * REGEX;
                CallEstimate::cost(self.size(text).factor(STRING).factor(regex))
            }
            ("_==_", [a, b]) if target.is_none() => self.opaque_equality(a, b),
            _ => None,
        }
    }

    fn opaque_equality(&self, a: &Expr, b: &Expr) -> Option<CallEstimate> {
        let (Type::Opaque(a), Type::Opaque(b)) = (self.type_of(a), self.type_of(b)) else {
            return None;
        };
        if a != b {
            return None;
        }
        let max = match *a {
            "kubernetes.NamedFormat" => super::scale(64, STRING),
            _ => 1,
        };
        CallEstimate::cost(Range { min: 1, max })
    }

    /// Text, and lists that cost like text.
    fn text_function(
        &mut self,
        function: &str,
        overload: &str,
        target: Option<&Expr>,
        args: &[Expr],
    ) -> Option<CallEstimate> {
        let target = target?;
        let size = self.size(target);
        match function {
            "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => {
                let Type::List(list) = self.type_of(target) else {
                    return CallEstimate::cost(size.factor(STRING));
                };
                let is_text = matches!(list.element, Type::String | Type::Bytes);
                let mut each = Range::of(1);
                if is_text {
                    each = each.plus(self.element_size(target).factor(STRING));
                }
                CallEstimate::cost(size.times(each))
            }
            "lowerAscii" | "upperAscii" | "substring" | "trim" => {
                CallEstimate::sized(size.factor(STRING), size)
            }
            "replace" if args.len() >= 2 => {
                let (from, to) = (self.size(&args[0]), self.size(&args[1]));
                CallEstimate::sized(size.factor(2.0 * STRING), replaced(size, from, to))
            }
            "split" => {
                let limit = args.get(1).and_then(|n| match n.kind {
                    Kind::Literal(Value::Int(n)) => u64::try_from(n).ok(),
                    _ => None,
                });
                let max = limit.unwrap_or(size.max);
                CallEstimate::sized(size.factor(2.0 * STRING), Range { min: 0, max })
            }
            "join" => {
                let mut total = size.times(self.element_size(target));
                if let Some(separator) = args.first() {
                    let count = Range {
                        min: size.min.saturating_sub(1),
                        max: size.max.saturating_sub(1),
                    };
                    total = total.plus(self.size(separator).times(count));
                }
                CallEstimate::sized(total.factor(STRING), total)
            }
            "find" | "findAll" if !args.is_empty() => {
                let cost = self.pattern(size, &args[0]);
                CallEstimate::sized(
                    cost,
                    Range {
                        min: 0,
                        max: size.max,
                    },
                )
            }
            "matches" if overload == "matches_string" => {
                CallEstimate::cost(self.pattern(size, &args[0]))
            }
            "contains" => {
                let other = self.size(&args[0]).factor(STRING);
                CallEstimate::cost(size.factor(STRING).times(other))
            }
            "startsWith" | "endsWith" => CallEstimate::cost(self.size(&args[0]).factor(STRING)),
            "format" => CallEstimate::cost(size.factor(STRING)),
            _ => None,
        }
    }

    fn pattern(&mut self, text: Range, pattern: &Expr) -> Range {
        let text = text.plus(Range::of(1)).factor(STRING);
        text.times(self.size(pattern).factor(REGEX))
    }

    /// Largest element of a list, by its path.
    fn element_size(&mut self, list: &Expr) -> Range {
        let mut path = self.path(list);
        if path.is_empty() {
            return Range::UNKNOWN;
        }
        path.push("@items".into());
        self.size_at(&path).unwrap_or(Range::UNKNOWN)
    }

    fn standard(
        &mut self,
        expr: &Expr,
        overload: &str,
        target: Option<&Expr>,
        args: &[Expr],
    ) -> Option<CallEstimate> {
        match (overload, args) {
            ("string_to_bytes", [text]) => {
                let size = self.size(text);
                let bytes = Range {
                    min: size.min,
                    max: size.max.saturating_mul(4),
                };
                CallEstimate::sized(size.factor(STRING), bytes)
            }
            ("bytes_to_string", [bytes]) => {
                let size = self.size(bytes);
                let text = Range {
                    min: size.min / 4,
                    max: size.max,
                };
                CallEstimate::sized(size.factor(STRING), text)
            }
            ("strings_quote", [text]) => {
                let size = self.size(text);
                let quoted = Range {
                    min: size.min.saturating_add(2),
                    max: size.max.saturating_mul(2).saturating_add(2),
                };
                CallEstimate::sized(size.factor(STRING), quoted)
            }
            ("in_list", [_, list]) => CallEstimate::cost(self.size(list)),
            ("add_string" | "add_bytes" | "add_list", [a, b]) => {
                let size = self.size(a).plus(self.size(b));
                if let (Some(a), Some(b)) = (self.entry(a), self.entry(b)) {
                    let entry = Entry {
                        is_list: a.is_list,
                        key: a.key.or(b.key),
                        value: a.value.or(b.value),
                    };
                    self.entries.insert(expr.id, entry);
                }
                let cost = if overload == "add_list" {
                    Range::of(1)
                } else {
                    size.factor(STRING)
                };
                CallEstimate::sized(cost, size)
            }
            (id, [a, b]) if target.is_none() && compares_sizes(id) => {
                let max = self.size(a).max.min(self.size(b).max);
                let min = u64::from(max > 0);
                CallEstimate::cost(Range { min, max }.factor(STRING))
            }
            _ => None,
        }
    }
}

/// Comparisons that look at as much as the shorter side has.
pub(crate) fn compares_sizes(overload: &str) -> bool {
    matches!(
        overload,
        "equals"
            | "not_equals"
            | "less_string"
            | "less_bytes"
            | "less_equals_string"
            | "less_equals_bytes"
            | "greater_string"
            | "greater_bytes"
            | "greater_equals_string"
            | "greater_equals_bytes"
    )
}

/// The cost of reading a selector of that many characters.
pub(crate) fn selector(size: Range) -> Range {
    #[allow(clippy::cast_precision_loss, reason = "small constants")]
    let per_requirement = (LIST + STRUCT) as f64;
    Range::of(LIST)
        .plus(size.factor(STRING))
        .plus(size.factor(0.5).factor(per_requirement))
}

/// The size of a text in which `from` is replaced by `to`.
fn replaced(size: Range, from: Range, to: Range) -> Range {
    let (mut count, mut kept) = (Range::of(0), Range::of(0));
    if from.min == 0 {
        count.max = size.max.saturating_add(1);
        kept.max = size.max;
    } else if to.max <= from.min {
        kept.max = size.max;
    } else {
        count.max = size.max.div_ceil(from.min);
    }
    if from.max == 0 {
        count.min = size.min.saturating_add(1);
        kept.min = size.min;
    } else if from.max <= to.min {
        kept.min = size.min;
    } else {
        count.min = size.min.div_ceil(from.max);
    }
    count.times(to).plus(kept)
}

fn whole(expr: &Expr, otherwise: u64) -> u64 {
    match expr.kind {
        Kind::Literal(Value::Int(value)) => u64::try_from(value).unwrap_or(0),
        _ => otherwise,
    }
}

fn is_text_list(of: &Type) -> bool {
    matches!(of, Type::List(list) if matches!(list.element, Type::String | Type::Bytes))
}
