//! What Go's standard library says of texts and values. Kubernetes hands such words on to clients, so people know them, and
//! tools look for them.

mod json;

use std::num::IntErrorKind;

use serde_json::Value;

pub(crate) use json::json_error;

/// A number as `strconv.ParseInt` reads it.
///
/// # Errors
/// Its words: `strconv.ParseInt: parsing "x": invalid syntax`.
pub(crate) fn parse_int(text: &str) -> Result<i64, String> {
    text.parse()
        .map_err(|error: std::num::ParseIntError| wrong_number("ParseInt", text, error.kind()))
}

/// A number as `strconv.ParseUint` reads it.
///
/// # Errors
/// Its words.
pub(crate) fn parse_uint(text: &str) -> Result<u64, String> {
    let has_sign = text.starts_with('+');
    match text.parse() {
        Ok(number) if !has_sign => Ok(number),
        Ok(_) => Err(wrong_number("ParseUint", text, &IntErrorKind::InvalidDigit)),
        Err(error) => Err(wrong_number("ParseUint", text, error.kind())),
    }
}

fn wrong_number(function: &str, text: &str, kind: &IntErrorKind) -> String {
    let why = match kind {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
        _ => "invalid syntax",
    };
    format!("strconv.{function}: parsing {text:?}: {why}")
}

/// What Go's JSON decoder calls the type of a value.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A value as `%v` prints it: `map[a:1 b:[x y]]`.
pub(crate) fn printed(value: &Value) -> String {
    let mut text = String::new();
    print(value, &mut text);
    text
}

fn print(value: &Value, text: &mut String) {
    match value {
        Value::Null => text.push_str("<nil>"),
        Value::String(string) => text.push_str(string),
        Value::Bool(_) | Value::Number(_) => text.push_str(&value.to_string()),
        Value::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push(' ');
                }
                print(item, text);
            }
            text.push(']');
        }
        Value::Object(members) => {
            text.push_str("map[");
            for (at, (name, member)) in members.iter().enumerate() {
                if at > 0 {
                    text.push(' ');
                }
                text.push_str(name);
                text.push(':');
                print(member, text);
            }
            text.push(']');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use serde_json::json;

    #[test]
    fn numbers_are_read_and_refused_as_go_does() {
        assert_eq!(parse_int("-7"), Ok(-7));
        assert_eq!(parse_uint("7"), Ok(7));
        let shown = [
            parse_int("x"),
            parse_int("9223372036854775808"),
            parse_uint("-1").map(|_| 0),
            parse_uint("+1").map(|_| 0),
            parse_uint("99999999999999999999").map(|_| 0),
        ];
        let shown: Vec<String> = shown.into_iter().filter_map(Result::err).collect();
        expect![[r#"
            strconv.ParseInt: parsing "x": invalid syntax
            strconv.ParseInt: parsing "9223372036854775808": value out of range
            strconv.ParseUint: parsing "-1": invalid syntax
            strconv.ParseUint: parsing "+1": invalid syntax
            strconv.ParseUint: parsing "99999999999999999999": value out of range"#]]
        .assert_eq(&shown.join("\n"));
    }

    #[test]
    fn values_are_printed_as_go_does() {
        let value = json!({"b": [1, "x y", null], "a": {"c": true}});
        assert_eq!(printed(&value), "map[a:map[c:true] b:[1 x y <nil>]]");
    }
}
