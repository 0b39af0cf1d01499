//! One Go template over plain data, for texts that are no charts. What it gives depends on the data alone.

use crate::gotemplate::{Budget, Functions, Limits, NoCluster, Runtime, Set, Value};
use crate::sprig::{FUNCTIONS, WARNING};
use jiff::Timestamp;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value as Json;
use std::rc::Rc;
use std::sync::LazyLock;

/// A small part of what a chart may use: such templates are expanded often, and give single values.
const LIMITS: Limits = Limits {
    steps: 100_000,
    bytes: 4 << 20,
    depth: 200,
    value_depth: 100,
};

/// The name that errors give to the template.
const NAME: &str = "tpl";

/// Functions that tell the time, draw lots or need a chart around them.
const IMPURE: &[&str] = &[
    "bcrypt",
    "date",
    "dateInZone",
    "dateModify",
    "date_in_zone",
    "date_modify",
    "decryptAES",
    "encryptAES",
    "env",
    "expandenv",
    "genCA",
    "genCAWithKey",
    "genPrivateKey",
    "genSelfSignedCert",
    "genSelfSignedCertWithKey",
    "genSignedCert",
    "genSignedCertWithKey",
    "getHostByName",
    "htmlDate",
    "htmlDateInZone",
    "htpasswd",
    "include",
    "lookup",
    "mustDateModify",
    "must_date_modify",
    "now",
    "ago",
    "randAlpha",
    "randAlphaNum",
    "randAscii",
    "randBytes",
    "randInt",
    "randNumeric",
    "shuffle",
    "tpl",
    "uuidv4",
];

static PURE: LazyLock<Functions> = LazyLock::new(|| {
    let mut functions = FUNCTIONS.clone();
    functions.retain(|name, _| !IMPURE.contains(name));
    functions
});

/// Expands a template over `data` with sprig's functions, without those whose answer changes from one time to the next.
///
/// ```
/// let data = serde_json::json!({"builtin": {"cluster": {"name": "hello"}}});
/// assert_eq!(render::expand("{{ .builtin.cluster.name | upper }}", &data)?, "HELLO");
/// assert!(render::expand("{{ now }}", &data).is_err());
/// # Ok::<(), String>(())
/// ```
///
/// # Errors
/// In Go's words, when the template cannot be parsed or executed, or reaches a limit.
pub fn expand(template: &str, data: &Json) -> Result<String, String> {
    let mut set = Set::default();
    set.parse(NAME, template, &PURE)
        .map_err(|error| error.to_string())?;
    let rng = StdRng::from_seed([0; 32]);
    let budget = Budget::new(LIMITS);
    let mut runtime = Runtime::new(&PURE, budget, Timestamp::UNIX_EPOCH, rng, &NoCluster);
    runtime.set = Rc::new(set);
    let expanded = runtime.execute(NAME, Value::from_json(data));
    // What a template says itself, with `fail`, is marked for Helm.
    expanded.map_err(|error| {
        error
            .to_string()
            .replace(WARNING.0, "")
            .replace(WARNING.1, "")
    })
}

/// Whether a template can be parsed, and uses only functions that [`expand`] has.
///
/// # Errors
/// In Go's words, what is wrong with it.
pub fn check(template: &str) -> Result<(), String> {
    Set::default()
        .parse(NAME, template, &PURE)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_come_from_the_data() {
        let data = json!({"n": 2, "list": ["a", "b"], "map": {"k": true}});
        let cases = [
            ("{{ .n }} {{ index .list 1 }} {{ .map.k }}", "2 b true"),
            ("{{ range .list }}{{ . }},{{ end }}", "a,b,"),
            (
                "{{ .list | toJson }} {{ default \"d\" .none }}",
                "[\"a\",\"b\"] d",
            ),
            (
                "{{ define \"t\" }}<{{ . }}>{{ end }}{{ template \"t\" .n }}",
                "<2>",
            ),
        ];
        for (template, wanted) in cases {
            assert_eq!(expand(template, &data).as_deref(), Ok(wanted), "{template}");
        }
    }

    #[test]
    fn what_changes_by_itself_is_not_there() {
        for name in IMPURE {
            assert!(!PURE.contains_key(name));
            let why = check(&format!("{{{{ {name} }}}}")).unwrap_err();
            assert!(why.contains("not defined"), "{why}");
        }
        assert!(check("{{ if }}").is_err());
    }

    #[test]
    fn templates_have_an_end() {
        let long = "{{ range until 100000 }}{{ range until 100000 }}x{{ end }}{{ end }}";
        let deep = "{{ define \"t\" }}{{ template \"t\" . }}{{ end }}{{ template \"t\" . }}";
        let large = "{{ repeat 100000000 \"x\" }}";
        for template in [long, deep, large] {
            expand(template, &json!({})).unwrap_err();
        }
    }
}
