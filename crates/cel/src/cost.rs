//! What calls cost when they are evaluated.

use crate::budget::Meter;
use crate::error::EvalError;
use crate::estimate::{Range, compares_sizes, scale, selector};
use crate::value::{Key, Value};

const STRING: f64 = 0.1;
const REGEX: f64 = 0.25;
const LIST: u64 = 10;

/// How the cost of a call follows from its arguments and its result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum CallCost {
    Fixed(u64),
    /// Everything inside the first argument.
    Traverse,
    /// The first argument's size times this.
    First(f64),
    /// The size of the result times this.
    Result(f64),
    /// Text times pattern.
    Pattern,
    /// Text times text.
    Contains,
    /// The shorter of two.
    Shorter,
    /// Two of which a third is made.
    Sum,
    /// The size of the second argument.
    InList,
    Selector,
    ContainsIp {
        is_text: bool,
    },
    ContainsCidr {
        is_text: bool,
    },
    Validate,
    /// A list as long as the result.
    MadeList,
    /// `lists.range`: known before it is made.
    MadeRange,
    Flatten,
    /// Everything in the list with everything in it.
    SelfCompare(usize),
    Sets(u64),
    Equal,
}

impl CallCost {
    /// The cost of a function with one signature; `overload` is empty when it shows only when evaluated.
    pub(crate) fn of(function: &str, overload: &str) -> Self {
        Self::of_list(overload)
            .or_else(|| Self::of_kubernetes(function, overload))
            .or_else(|| Self::of_standard(overload))
            .unwrap_or(Self::Fixed(1))
    }

    fn of_list(overload: &str) -> Option<Self> {
        Some(match overload {
            "list_slice" | "list_reverse" => Self::MadeList,
            "lists_range" => Self::MadeRange,
            "list_flatten" | "list_flatten_int" => Self::Flatten,
            "list_distinct" => Self::SelfCompare(0),
            "list_sets_contains_list" | "list_sets_intersects_list" => Self::Sets(1),
            "list_sets_equivalent_list" => Self::Sets(2),
            id if id.starts_with("list_") && id.ends_with("_sort") => Self::SelfCompare(0),
            id if id.ends_with("_sortByAssociatedKeys") => Self::SelfCompare(1),
            _ => return None,
        })
    }

    fn of_kubernetes(function: &str, overload: &str) -> Option<Self> {
        Some(match function {
            "check" => Self::Fixed(350_000),
            "fieldSelector" | "labelSelector" => Self::Selector,
            "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => Self::Traverse,
            "ip" if overload == "cidr_ip" => Self::Fixed(1),
            "url"
            | "lowerAscii"
            | "upperAscii"
            | "substring"
            | "trim"
            | "jsonpatch.escapeKey"
            | "cidr"
            | "isIP"
            | "isCIDR"
            | "ip"
            | "quantity"
            | "isQuantity"
            | "semver"
            | "isSemver" => Self::First(STRING),
            "replace" | "split" | "ip.isCanonical" => Self::First(2.0 * STRING),
            "join" => Self::Result(2.0 * STRING),
            "find" | "findAll" => Self::Pattern,
            "containsIP" => Self::ContainsIp {
                is_text: overload == "cidr_contains_ip_string",
            },
            "containsCIDR" => Self::ContainsCidr {
                is_text: overload == "cidr_contains_cidr_string",
            },
            "validate" => Self::Validate,
            "_==_" => Self::Equal,
            _ => return None,
        })
    }

    fn of_standard(overload: &str) -> Option<Self> {
        Some(match overload {
            "starts_with_string" | "ends_with_string" | "string_to_bytes" | "bytes_to_string"
            | "strings_quote" | "string_format" => Self::First(STRING),
            "in_list" => Self::InList,
            "add_string" | "add_bytes" => Self::Sum,
            "matches_string" => Self::Pattern,
            "contains_string" => Self::Contains,
            id if compares_sizes(id) => Self::Shorter,
            _ => return None,
        })
    }

    /// Charges what is known before the call: loops within functions must not run for nothing.
    pub(crate) fn charge(self, meter: &mut Meter, args: &[Value<'_>]) -> Result<(), EvalError> {
        let size = |index: usize| args.get(index).map_or(1, Value::size);
        let cost = match self {
            Self::Fixed(cost) => cost,
            Self::Traverse => match args.first() {
                Some(value) => traversal(meter, value)?,
                None => 0,
            },
            Self::First(factor) => scale(size(0), factor),
            Self::Result(_) | Self::MadeList => 0,
            Self::MadeRange => match args.first() {
                Some(Value::Int(count)) => {
                    u64::try_from(*count).unwrap_or(0).saturating_add(1 + LIST)
                }
                _ => 1,
            },
            Self::Pattern => {
                scale(size(0).saturating_add(1), STRING).saturating_mul(scale(size(1), REGEX))
            }
            Self::Contains => scale(size(0), STRING).saturating_mul(scale(size(1), STRING)),
            Self::Shorter => scale(size(0).min(size(1)), STRING),
            Self::Sum => scale(size(0).saturating_add(size(1)), STRING),
            Self::InList => size(1),
            Self::Selector => selector(Range::of(size(1))).max,
            Self::ContainsIp { is_text } => {
                scale(2 * size(0), STRING) + if is_text { scale(size(1), STRING) } else { 0 }
            }
            Self::ContainsCidr { is_text } => {
                let text = if is_text { scale(size(1), STRING) } else { 0 };
                scale(2 * size(0), STRING) + scale(size(0), STRING) + 1 + text
            }
            Self::Validate => match args.first() {
                Some(Value::Format(format)) => scale(size(1).saturating_add(1), STRING)
                    .saturating_mul(scale(format.regex_size, REGEX)),
                _ => 1,
            },
            Self::Flatten => {
                let depth = match args.get(1) {
                    Some(Value::Int(depth)) => u64::try_from(*depth).unwrap_or(0),
                    _ => 1,
                };
                depth.saturating_mul(size(0)).saturating_add(1 + LIST)
            }
            Self::SelfCompare(index) => self_compare(args.get(index)),
            Self::Sets(factor) => size(0)
                .saturating_mul(size(1))
                .saturating_mul(factor)
                .saturating_add(1),
            Self::Equal => match args.first() {
                Some(
                    Value::Quantity(_)
                    | Value::Ip(_)
                    | Value::Cidr(..)
                    | Value::Format(_)
                    | Value::Url(_)
                    | Value::Semver(_)
                    | Value::Authorizer(_)
                    | Value::GroupCheck(..)
                    | Value::PathCheck(_)
                    | Value::ResourceCheck(_)
                    | Value::Decision(_),
                ) => 1,
                _ => scale(size(0).min(size(1)), STRING),
            },
        };
        meter.charge(cost)
    }

    /// Charges what shows only in the result.
    pub(crate) fn charge_result(
        self,
        meter: &mut Meter,
        result: &Value<'_>,
    ) -> Result<(), EvalError> {
        match self {
            Self::Result(factor) => meter.charge(scale(result.size(), factor)),
            Self::MadeList => meter.charge(result.size().saturating_add(1 + LIST)),
            _ => Ok(()),
        }
    }
}

/// Rounded down.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "costs are rounded so, and casts saturate"
)]
fn floor(value: u64, factor: f64) -> u64 {
    (value as f64 * factor) as u64
}

fn self_compare(list: Option<&Value<'_>>) -> u64 {
    let Some(Value::List(list)) = list else {
        return 1;
    };
    let size = list.len() as u64;
    let is_text = matches!(list.get(0), Ok(Some(Value::String(_) | Value::Bytes(_))));
    let factor = if is_text { 2.0 + STRING } else { 2.0 };
    floor(size.saturating_mul(size), factor).saturating_add(1 + LIST)
}

/// The cost of going through all of a value.
fn traversal(meter: &mut Meter, value: &Value<'_>) -> Result<u64, EvalError> {
    meter.work(1)?;
    Ok(match value {
        Value::String(text) => floor(text.len() as u64, STRING),
        Value::Bytes(bytes) => floor(bytes.len() as u64, STRING),
        Value::List(list) => {
            let mut cost: u64 = 0;
            for element in list.iter() {
                cost = cost.saturating_add(traversal(meter, &element?)?);
            }
            cost
        }
        Value::Map(map) => {
            let mut cost: u64 = 0;
            for key in map.keys() {
                cost = cost.saturating_add(traversal(meter, &Key::value(&key))?);
                if let Some(value) = map.get(&key)? {
                    cost = cost.saturating_add(traversal(meter, &value)?);
                }
            }
            cost
        }
        _ => 1,
    })
}
