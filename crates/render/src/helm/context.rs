//! What templates see: `.Release`, `.Chart`, `.Values`, `.Capabilities`, `.Files`, `.Subcharts`, `.Template`.

use super::files;
use super::{Capabilities, ReleaseContext};
use crate::chart::{Chart, Dependency, Metadata};
use crate::gotemplate::{Class, Element, Function, List, Map, Object, STRING_MAP, Type, Value};
use crate::values::Values;
use crate::yaml;
use std::collections::BTreeMap;
use std::rc::Rc;

/// The Go type of `.Values` and of the context itself.
static VALUES: Class = Class {
    name: "common.Values",
    element: Element::Any,
    methods: &[
        (
            "AsMap",
            Function::new(&[], |_, a| {
                Ok(match a.first() {
                    Some(Value::Map(map)) => Value::Map(map.untyped()),
                    _ => Value::Nil,
                })
            }),
        ),
        (
            "YAML",
            Function::new(&[], |rt, a| Ok(yaml::encode(&mut rt.budget, &a[0])?.into())),
        ),
        (
            "Table",
            Function::new(&[Type::Str], |_, a| {
                let (Value::Map(map), Value::Str(path)) = (&a[0], &a[1]) else {
                    return Ok(Value::Nil);
                };
                let found = path
                    .split('.')
                    .try_fold(map.clone(), |map, key| match map.get(key) {
                        Some(Value::Map(map)) => Some(map),
                        _ => None,
                    });
                found
                    .map(|map| Value::Map(map.with_class(&VALUES)))
                    .ok_or_else(|| {
                        crate::gotemplate::Error::new(format!("{path:?} is not a table"))
                    })
            }),
        ),
    ],
};

/// The Go type of `.Capabilities.APIVersions`.
static VERSION_SET: Class = Class {
    name: "common.VersionSet",
    element: Element::Str,
    methods: &[(
        "Has",
        Function::new(&[Type::Str], |_, a| {
            let (Value::List(list), Value::Str(wanted)) = (&a[0], &a[1]) else {
                return Ok(Value::Bool(false));
            };
            Ok(list
                .items()
                .iter()
                .any(|v| matches!(v, Value::Str(s) if s == wanted))
                .into())
        }),
    )],
};

fn map(entries: impl IntoIterator<Item = (&'static str, Value)>) -> Map {
    entries.into_iter().map(|(k, v)| (Rc::from(k), v)).collect()
}

/// A template to render, and what it sees.
pub(super) struct Renderable {
    /// Path in the chart tree.
    pub(super) name: String,
    /// The `templates` directory of its chart.
    pub(super) base_path: String,
    pub(super) source: String,
    pub(super) context: Map,
}

/// Every template of a chart and its dependencies.
pub(super) fn renderables(
    chart: &Chart,
    release: &ReleaseContext,
    values: Values,
    capabilities: &Capabilities,
) -> Vec<Renderable> {
    let Value::Map(values) = Value::from_json(&serde_json::Value::Object(values)) else {
        return Vec::new();
    };
    let shared = Shared {
        release: Value::Map(map([
            ("Name", release.name.as_str().into()),
            ("Namespace", release.namespace.as_str().into()),
            ("IsUpgrade", release.is_upgrade.into()),
            ("IsInstall", release.is_install.into()),
            ("Revision", Value::Int(i64::from(release.revision))),
            ("Service", "Helm".into()),
        ])),
        capabilities: Value::Object(Rc::new(Seen::capabilities(capabilities))),
    };
    let mut found = Vec::new();
    scope(
        chart,
        chart.name(),
        true,
        values.with_class(&VALUES),
        &shared,
        &mut found,
    );
    found
}

struct Shared {
    release: Value,
    capabilities: Value,
}

fn scope(
    chart: &Chart,
    path: &str,
    root: bool,
    values: Map,
    shared: &Shared,
    found: &mut Vec<Renderable>,
) -> Map {
    let subcharts = Map::any();
    let context = map([
        ("Chart", Value::Map(metadata(&chart.metadata, root))),
        ("Files", files::value(&chart.files)),
        ("Release", shared.release.clone()),
        ("Capabilities", shared.capabilities.clone()),
        ("Values", Value::Map(values.clone())),
        ("Subcharts", Value::Map(subcharts.clone())),
    ])
    .with_class(&VALUES);
    for dependency in &chart.dependencies {
        let name = dependency.name();
        let theirs = match values.get(name) {
            // The very map that the parent sees: what one of them sets, both see.
            Some(Value::Map(map)) => map.with_class(&VALUES),
            _ => Map::any().with_class(&VALUES),
        };
        let inner = scope(
            dependency,
            &format!("{path}/charts/{name}"),
            false,
            theirs,
            shared,
            found,
        );
        // A new map that is not nil takes every key.
        let _ = subcharts.set(name, Value::Map(inner.untyped()));
    }
    for template in &chart.templates {
        let file = template.name.rsplit('/').next().unwrap_or_default();
        if chart.is_library() && !file.starts_with('_') {
            continue;
        }
        found.push(Renderable {
            name: format!("{path}/{}", template.name),
            base_path: format!("{path}/templates"),
            source: crate::gotemplate::text::decode(&template.data),
            context: context.clone(),
        });
    }
    context
}

/// `.Template` of one template.
pub(super) fn template(name: &str, base_path: &str) -> Value {
    Value::Map(map([("Name", name.into()), ("BasePath", base_path.into())]).with_class(&VALUES))
}

fn texts(texts: &[String]) -> Value {
    Value::list(texts.iter().map(|s| s.as_str().into()).collect())
}

/// `.Chart`, under the names of the Go struct's fields.
fn metadata(metadata: &Metadata, root: bool) -> Map {
    let m = metadata;
    let people = m.maintainers.iter().map(|p| {
        let fields = [("Name", &p.name), ("Email", &p.email), ("URL", &p.url)];
        Value::Map(map(fields.map(|(k, v)| (k, v.as_str().into()))))
    });
    let annotations: BTreeMap<Rc<str>, Value> = m
        .annotations
        .iter()
        .map(|(k, v)| (Rc::from(k.as_str()), v.as_str().into()))
        .collect();
    let annotations = if annotations.is_empty() {
        Map::nil(&STRING_MAP)
    } else {
        Map::new(&STRING_MAP, annotations)
    };
    map([
        ("Name", m.name.as_str().into()),
        ("Home", m.home.as_str().into()),
        ("Sources", texts(&m.sources)),
        ("Version", m.version.as_str().into()),
        ("Description", m.description.as_str().into()),
        ("Keywords", texts(&m.keywords)),
        ("Maintainers", Value::list(people.collect())),
        ("Icon", m.icon.as_str().into()),
        ("APIVersion", m.api_version.as_str().into()),
        ("Condition", m.condition.as_str().into()),
        ("Tags", m.tags.as_str().into()),
        ("AppVersion", m.app_version.as_str().into()),
        ("Deprecated", m.deprecated.into()),
        ("Annotations", Value::Map(annotations)),
        ("KubeVersion", m.kube_version.as_str().into()),
        (
            "Dependencies",
            Value::list(
                m.dependencies
                    .iter()
                    .map(|d| Value::Map(dependency(d)))
                    .collect(),
            ),
        ),
        ("Type", m.kind.as_str().into()),
        ("IsRoot", root.into()),
    ])
}

fn dependency(d: &Dependency) -> Map {
    map([
        ("Name", d.name.as_str().into()),
        ("Version", d.version.as_str().into()),
        ("Repository", d.repository.as_str().into()),
        ("Condition", d.condition.as_str().into()),
        ("Tags", texts(&d.tags)),
        ("Enabled", d.enabled.into()),
        (
            "ImportValues",
            Value::list(d.import_values.iter().map(Value::from_json).collect()),
        ),
        ("Alias", d.alias.as_str().into()),
    ])
}

/// A Go struct of `.Capabilities`.
struct Seen {
    type_name: &'static str,
    kind: &'static str,
    fields: Vec<(&'static str, Value)>,
    /// What it prints as, if not as its fields.
    text: Option<String>,
}

impl Seen {
    fn capabilities(capabilities: &Capabilities) -> Self {
        let kube = &capabilities.kube_version;
        let helm = &capabilities.helm_version;
        let kube_version = Self {
            type_name: "common.KubeVersion",
            kind: "struct",
            fields: vec![
                ("Version", kube.version.as_str().into()),
                ("Major", kube.major.as_str().into()),
                ("Minor", kube.minor.as_str().into()),
            ],
            text: Some(kube.normalized()),
        };
        let helm_version = Self {
            type_name: "version.BuildInfo",
            kind: "struct",
            fields: vec![
                ("Version", helm.version.as_str().into()),
                ("GitCommit", helm.git_commit.as_str().into()),
                ("GitTreeState", helm.git_tree_state.as_str().into()),
                ("GoVersion", helm.go_version.as_str().into()),
                (
                    "KubeClientVersion",
                    helm.kube_client_version.as_str().into(),
                ),
            ],
            text: None,
        };
        let versions = capabilities
            .api_versions
            .iter()
            .map(|v| v.as_str().into())
            .collect();
        Self {
            type_name: "*common.Capabilities",
            kind: "ptr",
            fields: vec![
                ("KubeVersion", Value::Object(Rc::new(kube_version))),
                (
                    "APIVersions",
                    Value::List(List::new(&VERSION_SET, versions)),
                ),
                ("HelmVersion", Value::Object(Rc::new(helm_version))),
            ],
            text: None,
        }
    }
}

static SEEN_METHODS: [(&str, Function); 2] = [
    ("String", Function::new(&[], |_, a| Ok(seen_text(a)))),
    (
        "GitVersion",
        Function::new(&[], |_, a| {
            Ok(match a.first() {
                Some(Value::Object(object)) => object.field("Version").unwrap_or_default(),
                _ => Value::Nil,
            })
        }),
    ),
];

fn seen_text(args: &[Value]) -> Value {
    match args.first() {
        Some(Value::Object(object)) => object.text().into(),
        _ => Value::Nil,
    }
}

impl Object for Seen {
    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn kind(&self) -> &'static str {
        self.kind
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.fields
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v.clone())
    }

    fn method(&self, name: &str) -> Option<&'static Function> {
        self.text.as_ref()?;
        SEEN_METHODS
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, f)| f)
    }

    fn text(&self) -> String {
        if let Some(text) = &self.text {
            return text.clone();
        }
        let shown: Vec<String> = self
            .fields
            .iter()
            .map(|(_, v)| match v {
                Value::Str(s) => s.to_string(),
                Value::Object(object) => object.text(),
                Value::List(list) => {
                    let items: Vec<String> = list
                        .items()
                        .iter()
                        .map(crate::gotemplate::format::plain)
                        .collect();
                    format!("[{}]", items.join(" "))
                }
                other => other.type_name().to_string(),
            })
            .collect();
        let pointer = if self.kind == "ptr" { "&" } else { "" };
        format!("{pointer}{{{}}}", shown.join(" "))
    }

    fn data(&self) -> Value {
        Value::Map(map(self.fields.iter().cloned()))
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
