//! Layers of values: which there are in which order, and what they come to. Pure.
//!
//! ConfigMaps are merged with each other and Secrets with each other; the Secrets' result lies over the ConfigMaps'. So any
//! value of a Secret beats any value of a ConfigMap.

use std::collections::BTreeMap;
use std::fmt;

use api::application::app::{
    CLUSTER_PRIORITY, DEFAULT_PRIORITY, ExtraConfig, MAX_PRIORITY, USER_PRIORITY,
};
use api::application::{AppSpec, Configs, ObjectKey};
use serde_json::{Map, Value};

/// Where values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    ConfigMap,
    Secret,
}

/// One layer.
#[derive(Clone)]
pub struct Layer {
    pub kind: Kind,
    pub key: ObjectKey,
    /// What the object holds; `None` if it is missing.
    pub data: Option<BTreeMap<String, Vec<u8>>>,
}

/// Why layers could not be merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The object does not exist, rather than being wrong.
    pub is_missing: bool,
    pub message: String,
}

/// What the layers come to; `None` where no object is named.
#[derive(Clone, Default, PartialEq)]
pub struct Merged {
    pub config_map: Option<Value>,
    pub secret: Option<Value>,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConfigMap => "configmap",
            Self::Secret => "secret",
        })
    }
}

/// Without the data, which may be secret.
impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.key.namespace, self.key.name)
    }
}

/// All layers of an App, lowest first, as kinds and names.
#[must_use]
pub fn layers(catalog: Option<&Configs>, app: &AppSpec) -> Vec<(Kind, ObjectKey)> {
    let mut layers = vec![];
    for kind in [Kind::ConfigMap, Kind::Secret] {
        let of = |configs: Option<&Configs>| {
            let configs = configs?;
            let key = match kind {
                Kind::ConfigMap => configs.config_map.as_ref(),
                Kind::Secret => configs.secret.as_ref(),
            };
            ObjectKey::named(key).cloned()
        };
        let extras = |above: i32, to: i32| between(app.extra_configs.as_deref(), kind, above, to);
        let mut keys: Vec<ObjectKey> = of(catalog).into_iter().collect();
        keys.extend(extras(0, CLUSTER_PRIORITY));
        keys.extend(of(app.config.as_ref()));
        keys.extend(extras(CLUSTER_PRIORITY, USER_PRIORITY));
        keys.extend(of(app.user_config.as_ref()));
        keys.extend(extras(USER_PRIORITY, MAX_PRIORITY));
        layers.extend(keys.into_iter().map(|key| (kind, key)));
    }
    layers
}

/// Extra layers with `above < priority ≤ to`, by priority, equal ones as listed.
fn between(extras: Option<&[ExtraConfig]>, kind: Kind, above: i32, to: i32) -> Vec<ObjectKey> {
    let priority = |extra: &ExtraConfig| match extra.priority {
        0 => DEFAULT_PRIORITY,
        priority => priority,
    };
    let is_kind = |extra: &ExtraConfig| (extra.kind == "secret") == (kind == Kind::Secret);
    let all = extras.unwrap_or_default().iter();
    let mut chosen: Vec<&ExtraConfig> = all
        .filter(|extra| is_kind(extra) && (above + 1..=to).contains(&priority(extra)))
        .collect();
    chosen.sort_by_key(|extra| priority(extra));
    chosen
        .into_iter()
        .map(|e| ObjectKey {
            name: e.name.clone(),
            namespace: e.namespace.clone(),
        })
        .collect()
}

/// Merges the layers of each kind.
///
/// # Errors
/// The first layer that is missing or not readable.
pub fn merge(layers: &[Layer]) -> Result<Merged, Problem> {
    let mut merged = Merged::default();
    for layer in layers {
        let values = read(layer)?;
        let result = match layer.kind {
            Kind::ConfigMap => &mut merged.config_map,
            Kind::Secret => &mut merged.secret,
        };
        let below = result.take().unwrap_or_else(|| Value::Object(Map::new()));
        *result = Some(render::values::merge(&below, &values));
    }
    Ok(merged)
}

impl Merged {
    /// What the chart gets.
    #[must_use]
    pub fn all(&self) -> Map<String, Value> {
        let map = |value: &Option<Value>| {
            value
                .as_ref()
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default()
        };
        render::values::overlay(map(&self.config_map), map(&self.secret))
    }
}

fn read(layer: &Layer) -> Result<Value, Problem> {
    let Layer {
        kind,
        key: ObjectKey { name, namespace },
        data,
    } = layer;
    let problem = |is_missing, message| Problem {
        is_missing,
        message,
    };
    let invalid = |why: &str| {
        problem(
            false,
            format!("{kind} `{name}` in namespace `{namespace}`: {why}"),
        )
    };
    let Some(data) = data else {
        return Err(problem(
            true,
            format!("{kind} `{name}` in namespace `{namespace}` not found"),
        ));
    };
    let mut texts = data.values();
    let (Some(text), None) = (texts.next(), texts.next()) else {
        let count = data.len();
        return Err(problem(
            false,
            format!("expected {kind} `{name}` to have only one key but got {count}"),
        ));
    };
    let text = std::str::from_utf8(text).map_err(|_| invalid("values are not UTF-8"))?;
    let values = render::yaml::from_str(text).map_err(|error| match kind {
        // What the parser says could quote the secret.
        Kind::Secret => invalid("values are not YAML"),
        Kind::ConfigMap => invalid(&format!("values are not YAML: {error}")),
    })?;
    match values {
        Value::Null => Ok(Value::Object(Map::new())),
        Value::Object(_) => Ok(values),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(invalid("values must be a map, from names to values"))
        }
    }
}
