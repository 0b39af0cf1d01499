//! What the members say that every object has.

use serde_json::{Map, Value};

pub(super) const API_VERSION: &str = "APIVersion defines the schema that the object follows: an API group and a version of it, or the version alone in the core group.";
pub(super) const KIND: &str =
    "Kind is the name of the object's type, in upper camel case. It cannot be changed.";
pub(super) const METADATA: &str = "Standard object's metadata: its name, its labels, who owns it, and what the server knows of it.";

/// The members of the metadata. A few begin with words that tests of clients look for.
const MEMBERS: &[(&str, &str)] = &[
    (
        "annotations",
        "Annotations are texts that tools keep with the object. They cannot be selected by.",
    ),
    (
        "creationTimestamp",
        "CreationTimestamp is a timestamp: when the server made the object. It cannot be set.",
    ),
    (
        "deletionGracePeriodSeconds",
        "How many seconds the object has to end by itself once its deletion was asked for. It cannot be set.",
    ),
    (
        "deletionTimestamp",
        "DeletionTimestamp is the time at which the object is to be gone. It is there once the deletion was asked for, and cannot be set.",
    ),
    (
        "finalizers",
        "Who has to let go of the object before it is removed. While there are any, a deletion only marks the object.",
    ),
    (
        "generateName",
        "What a name begins with that the server makes, if none is given. Five characters are added.",
    ),
    (
        "generation",
        "Counts the changes of what is wanted. It cannot be set.",
    ),
    (
        "labels",
        "Labels are short texts by which objects are grouped and selected.",
    ),
    (
        "managedFields",
        "Who last set which fields, and how. For server-side apply.",
    ),
    (
        "name",
        "The name, which is unique among the objects of a kind in a namespace. It cannot be changed.",
    ),
    (
        "namespace",
        "The namespace in which the name is unique; empty for kinds of the whole cluster. It cannot be changed.",
    ),
    (
        "ownerReferences",
        "The objects without which this one has no use: when all of them are gone, it is deleted.",
    ),
    (
        "resourceVersion",
        "The state of the object, as a number that grows with every change. Updates that give it fail if the object has changed since.",
    ),
    ("selfLink", "Is not set any more."),
    (
        "uid",
        "Tells the object from all others that ever had its name. It cannot be set.",
    ),
];

/// Adds what the members are to the schema of the metadata.
pub(super) fn describe(node: &mut Value) {
    let Some(properties) = node["properties"].as_object_mut() else {
        return;
    };
    for (name, description) in MEMBERS {
        if let Some(member) = properties.get_mut(*name) {
            describe_one(member, description);
        }
    }
}

fn describe_one(member: &mut Value, description: &str) {
    let Some(fields) = member.as_object_mut() else {
        return;
    };
    // Nothing may stand beside a reference in version 3, and version 2 does not mind.
    if let (1, Some(reference)) = (fields.len(), fields.get("$ref").cloned())
        && reference
            .as_str()
            .is_some_and(|name| name.starts_with("#/components/"))
    {
        let mut alone = Map::new();
        alone.insert("$ref".into(), reference);
        fields.clear();
        fields.insert("allOf".into(), Value::Array(vec![Value::Object(alone)]));
    }
    fields.insert("description".into(), description.into());
}
