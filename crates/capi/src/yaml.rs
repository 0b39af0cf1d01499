//! JSON values to YAML and back.

use serde_json::Value;

/// The value as YAML.
#[must_use]
pub(crate) fn render(value: &Value) -> String {
    // Values of JSON have no form that YAML lacks; if the emitter disagrees, JSON is YAML too.
    serde_saphyr::to_string(value).unwrap_or_else(|_| value.to_string())
}

/// Reads one document. The error names the line and no more: what is in the document may be secret.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map_or(0, |l| l.line());
        format!("not YAML, see line {line}")
    })
}

/// Reads several documents as clients of Kubernetes mean them, within the bounds of what fits into one object. The error names the line
/// and no more, as that of [`parse`] does.
pub(crate) fn documents(text: &str) -> Result<Vec<Value>, String> {
    let budget = serde_saphyr::budget! {
        max_reader_input_bytes: Some(4 << 20),
        max_depth: 100,
        max_documents: 10_000,
        max_aliases: 1_000,
        max_anchors: 1_000,
        max_merge_keys: 1_000,
    };
    let options = serde_saphyr::options! {
        budget: budget,
        legacy_octal_numbers: true,
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        let line = error.location().map_or(0, |l| l.line());
        format!("not YAML, see line {line}")
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn errors_quote_nothing() {
        let error = super::parse("a: 1\nsecret: {").unwrap_err();
        assert_eq!(error, "not YAML, see line 2");
    }
}
