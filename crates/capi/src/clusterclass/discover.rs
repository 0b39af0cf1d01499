//! Variables that extensions define for a class.

use std::collections::BTreeMap;

use api::cluster::ClusterClass;
use api::cluster::cluster_class::{ClassVariable, INLINE, StatusVariable, VariableDefinition};
use api::cluster::variables;
use runtime::{Cx, GatherError};
use serde_json::{Value, json};

use super::World;
use crate::hook::{Caller, NamedHook, NamedQuestion, Unanswered};
use crate::topology::check_variables;
use crate::topology::external::named;

/// The variables that an extension defines.
pub type Discovered = Result<Vec<ClassVariable>, Unanswered>;

/// Variables of a class, as many as its status can have.
pub(super) const MAX: usize = 1000;

/// Asks all extensions that define variables for the class.
pub(super) async fn discover(
    caller: &Caller,
    cx: &Cx,
    class: &ClusterClass,
) -> Result<BTreeMap<String, Discovered>, GatherError> {
    let mut found = BTreeMap::new();
    for named in named(class, NamedHook::DiscoverVariables) {
        let question = NamedQuestion {
            hook: NamedHook::DiscoverVariables,
            patch: named.patch.to_owned(),
            handler: named.handler.to_owned(),
            settings: named.external.settings.clone().unwrap_or_default(),
            about: json!({}),
            beside: Value::Null,
        };
        let answer = caller.ask_named(cx, &class.metadata, &question).await?;
        let read = answer
            .and_then(|answer| read(&answer).map_err(|why| question.unanswered(&why, cx.now())));
        found.insert(named.patch.to_owned(), read);
    }
    Ok(found)
}

/// Reads the variables in an answer. Its errors name the field. Pure.
pub(super) fn read(answer: &Value) -> Result<Vec<ClassVariable>, String> {
    let found: Vec<ClassVariable> = match &answer["variables"] {
        Value::Null => return Ok(vec![]),
        list => serde_json::from_value(list.clone())
            .map_err(|error| format!("variables of the answer: {error}"))?,
    };
    if found.len() > MAX {
        let count = found.len();
        return Err(format!(
            "the answer has {count} variables; {MAX} are allowed"
        ));
    }
    let mut errors = vec![];
    variables::check_definitions("variables", &found, &mut errors);
    check_variables("variables", &found, &mut errors);
    match errors.first() {
        None => Ok(found),
        Some(first) => Err(format!("the answer cannot be used: {first}")),
    }
}

impl World {
    /// All variables, and who defines them. What an extension said before stays while it does not answer.
    pub(super) fn variables(&self) -> Vec<StatusVariable> {
        let mut found: Vec<StatusVariable> = vec![];
        let own = self.class.variables().to_vec();
        let mut sources = vec![(INLINE, own)];
        for (patch, discovered) in &self.discovered {
            let variables = match discovered {
                Ok(variables) => variables.clone(),
                Err(_) => self.before(patch),
            };
            sources.push((patch, variables));
        }
        for (from, variables) in sources {
            for variable in variables {
                add(&mut found, from, variable);
            }
        }
        found
    }

    /// What an extension said the last time.
    fn before(&self, patch: &str) -> Vec<ClassVariable> {
        let status = self.class.status.iter();
        let variables = status.flat_map(|s| s.variables.iter().flatten());
        let mut found = vec![];
        for variable in variables {
            let definition = variable.definitions.iter().find(|d| d.from == patch);
            found.extend(definition.map(|definition| ClassVariable {
                name: variable.name.clone(),
                required: definition.required,
                deprecated_v1beta1_metadata: definition.deprecated_v1beta1_metadata.clone(),
                schema: definition.schema.clone(),
            }));
        }
        found
    }
}

fn add(found: &mut Vec<StatusVariable>, from: &str, variable: ClassVariable) {
    let definition = VariableDefinition {
        from: from.to_owned(),
        required: variable.required,
        deprecated_v1beta1_metadata: variable.deprecated_v1beta1_metadata,
        schema: variable.schema,
    };
    let Some(known) = found.iter_mut().find(|known| known.name == variable.name) else {
        found.push(StatusVariable {
            name: variable.name,
            definitions_conflict: Some(false),
            definitions: vec![definition],
        });
        return;
    };
    let is_other =
        |d: &VariableDefinition| d.required != definition.required || d.schema != definition.schema;
    if known.definitions.iter().any(is_other) {
        known.definitions_conflict = Some(true);
    }
    known.definitions.push(definition);
}
