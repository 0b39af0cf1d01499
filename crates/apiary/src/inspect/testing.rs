//! Worlds as text, for tests.

use serde_json::Value;

use super::read;
use super::world::{Key, Missing, World, references};
use crate::object::kind;
use crate::ui::{Format, Ui};

/// The time of all tests.
pub(crate) const NOW: &str = "2026-01-02T03:04:05Z";

/// A terminal without colours.
pub(crate) fn ui() -> Ui {
    Ui::new(Format::Text, true)
}

/// Objects of several documents.
pub(crate) fn objects(yaml: &str) -> Vec<Value> {
    render::yaml::from_str_multi(yaml).unwrap()
}

/// A world of these objects; what they refer to and is not among them is missing, its kind as well if it is one of `unserved`.
pub(crate) fn world(yaml: &str, unserved: &[&str]) -> World {
    let mut world = World::default();
    for object in objects(yaml) {
        if kind(&object) == "Cluster" {
            world.cluster = object;
        } else {
            world.objects.insert(Key::of(&object), object);
        }
    }
    let all = world.objects.values().chain([&world.cluster]);
    let wanted: Vec<Key> = all.flat_map(references).map(|r| r.to).collect();
    for key in wanted {
        if world.get(&key).is_none() {
            let is_unserved = unserved.contains(&&*key.kind);
            let missing = if is_unserved {
                Missing::Kind
            } else {
                Missing::Object
            };
            world.missing.insert(key, missing);
        }
    }
    world
}

#[test]
fn the_newest_time_of_an_event_counts() {
    let event = serde_json::json!({
        "metadata": {"creationTimestamp": "2026-01-02T03:00:00Z"}, "eventTime": null,
        "series": {"lastObservedTime": "2026-01-02T03:04:00Z"},
    });
    assert_eq!(read::when(&event), "2026-01-02T03:04:00Z".parse().ok());
}
