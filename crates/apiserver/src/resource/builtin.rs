//! The built-in resources, from the table beside this file.

use std::sync::{Arc, LazyLock};

use super::{Generation, NameRule, Resource, Strategy, Subresource};
use crate::schema;

/// What most resources allow, in the order of discovery.
const VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

/// The resources that every cluster serves, in the order of groups and names. Their printer columns are not here; schemas are
/// references that are read on first use.
#[must_use]
pub fn builtin() -> &'static [Arc<Resource>] {
    static TABLE: LazyLock<Vec<Arc<Resource>>> =
        LazyLock::new(|| parse(include_str!("builtin.txt")));
    &TABLE
}

/// Resources that Kubernetes advises against: API version, kind, since when, and what to use instead.
const DEPRECATED: [(&str, &str, &str, &str); 2] = [
    ("v1", "ComponentStatus", "v1.19", ""),
    (
        "v1",
        "Endpoints",
        "v1.33",
        "; use discovery.k8s.io/v1 EndpointSlice",
    ),
];

/// The warning for a deprecated resource.
pub(super) fn deprecation(resource: &Resource) -> Option<String> {
    let (api_version, kind) = (resource.api_version(), &*resource.kind);
    let (_, _, since, instead) = DEPRECATED
        .iter()
        .find(|known| (known.0, known.1) == (&*api_version, kind))?;
    Some(format!(
        "{api_version} {kind} is deprecated in {since}+{instead}"
    ))
}

fn parse(text: &str) -> Vec<Arc<Resource>> {
    let mut resources = Vec::new();
    let (mut group, mut version, mut package) = ("", "", "");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match *words {
            ["group", name, v, p] => {
                (group, version, package) = (if name == "-" { "" } else { name }, v, p);
            }
            [plural, kind, ref rest @ ..] => {
                resources.push(Arc::new(resource(
                    (group, version, package),
                    plural,
                    kind,
                    rest,
                )));
            }
            _ => {}
        }
    }
    resources
}

fn resource(
    (group, version, package): (&str, &str, &str),
    plural: &str,
    kind: &str,
    words: &[&str],
) -> Resource {
    let storage = if group.is_empty() {
        plural.to_owned()
    } else {
        format!("{plural}.{group}")
    };
    let mut resource = Resource {
        group: group.into(),
        version: version.into(),
        plural: plural.into(),
        singular: kind.to_lowercase().into(),
        kind: kind.into(),
        list_kind: format!("{kind}List").into(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced: false,
        verbs: VERBS.to_vec(),
        subresources: Vec::new(),
        storage: storage.into(),
        schema: schema::builtin::reference(&format!("{package}.{kind}")),
        strategy: Strategy {
            generation: Generation::Never,
            has_status: false,
            create_on_update: false,
            unconditional_update: true,
            graceful_delete: false,
            delete_returns_object: false,
            orphan_by_default: false,
            names: NameRule::Subdomain,
        },
        columns: Vec::new(),
        custom: None,
    };
    for word in words {
        mark(&mut resource, word);
    }
    resource.subresources.sort_by(|a, b| a.name.cmp(&b.name));
    resource
}

/// Applies one word of a resource's line.
fn mark(resource: &mut Resource, word: &str) {
    let strategy = &mut resource.strategy;
    match word {
        "cluster" => {}
        "ns" => resource.namespaced = true,
        "gen" => strategy.generation = Generation::Spec,
        "gen+ann" => strategy.generation = Generation::SpecAndAnnotations,
        "upsert" => strategy.create_on_update = true,
        "cas" => strategy.unconditional_update = false,
        "returns" => strategy.delete_returns_object = true,
        "graceful" => strategy.graceful_delete = true,
        "orphan" => strategy.orphan_by_default = true,
        "name=label" => strategy.names = NameRule::Label,
        "name=ip" => strategy.names = NameRule::Address,
        "name=1035" => strategy.names = NameRule::Label1035,
        "name=path" => strategy.names = NameRule::PathSegment,
        "status" => {
            strategy.has_status = true;
            let kind = resource.kind.to_string();
            resource
                .subresources
                .push(subresource("status", &kind, "get+patch+update"));
        }
        "scale" => {
            resource.subresources.push(subresource(
                "scale",
                "Scale@autoscaling/v1",
                "get+patch+update",
            ));
        }
        _ => {
            let list = |names: &str| names.split(',').map(Arc::from).collect();
            if let Some((name, rest)) = word.split_once(':') {
                let (kind, verbs) = rest.split_once(':').unwrap_or((rest, ""));
                resource.subresources.push(subresource(name, kind, verbs));
            } else if let Some(names) = word.strip_prefix("short=") {
                resource.short_names = list(names);
            } else if let Some(names) = word.strip_prefix("cat=") {
                resource.categories = list(names);
            } else if let Some(name) = word.strip_prefix("storage=") {
                resource.storage = name.into();
            } else if let Some(verbs) = word.strip_prefix("verbs=") {
                resource.verbs = known_verbs(verbs, ',');
            }
        }
    }
}

fn subresource(name: &str, kind: &str, verbs: &str) -> Subresource {
    let (kind, group_version) = match kind.split_once('@') {
        Some((kind, group_version)) => (kind, group_version.split_once('/')),
        None => (kind, None),
    };
    Subresource {
        name: name.into(),
        kind: kind.into(),
        group_version: group_version.map(|(group, version)| (group.into(), version.into())),
        verbs: known_verbs(verbs, '+'),
    }
}

fn known_verbs(text: &str, separator: char) -> Vec<&'static str> {
    let wanted: Vec<&str> = text.split(separator).collect();
    VERBS
        .iter()
        .copied()
        .filter(|verb| wanted.contains(verb))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Type;

    #[test]
    fn the_inventory_is_complete_and_typed() {
        let table = include_str!("builtin.txt");
        let lines = table
            .lines()
            .filter(|line| !line.starts_with('#') && !line.starts_with("group "))
            .count();
        assert_eq!(builtin().len(), lines);
        for resource in builtin() {
            let name = format!("{}/{}", resource.group, resource.plural);
            let schema = resource.schema.resolve();
            assert!(matches!(schema.ty, Type::Object(_)), "{name} has no schema");
            assert!(
                schema.member("metadata").is_some(),
                "{name} has no metadata"
            );
            if resource.strategy.has_status {
                assert!(schema.member("status").is_some(), "{name} has no status");
            }
            assert!(!resource.verbs.is_empty(), "{name} has no verbs");
            for subresource in &resource.subresources {
                assert!(
                    !subresource.verbs.is_empty(),
                    "{name}/{} has no verbs",
                    subresource.name
                );
            }
        }
    }

    #[test]
    fn words_of_the_table_mean_what_it_says() {
        let pods = builtin().iter().find(|r| &*r.plural == "pods").unwrap();
        let names: Vec<&str> = pods.subresources.iter().map(|s| &*s.name).collect();
        assert_eq!(
            names,
            [
                "attach",
                "binding",
                "ephemeralcontainers",
                "eviction",
                "exec",
                "log",
                "portforward",
                "proxy",
                "resize",
                "status"
            ]
        );
        let eviction = pods.subresource("eviction").unwrap();
        assert_eq!(eviction.group_version, Some(("policy".into(), "v1".into())));
        assert!(pods.strategy.graceful_delete && pods.namespaced);
        let events: Vec<&str> = builtin()
            .iter()
            .filter(|r| &*r.plural == "events")
            .map(|r| &*r.storage)
            .collect();
        assert_eq!(events, ["events", "events"]);
    }
}
