//! The Common Expression Language as Kubernetes has it.
//!
//! [`Env`] says which variables there are; [`Env::compile`] parses an expression, checks its types, estimates its cost
//! and gives a [`Program`]; [`Program::eval`] runs it with the variables of an [`Activation`] and takes what it cost
//! from a [`Budget`]. Functions, macros, their types, errors and costs are those of Kubernetes 1.36.
//!
//! Without types, as webhooks and policies use it:
//!
//! ```
//! use cel::{Activation, Budget, Env, Type, Value};
//!
//! let env = Env::builder()
//!     .declare("object", Type::Dyn)
//!     .declare("oldObject", Type::Dyn)
//!     .build();
//! let program = env.compile("object.spec.replicas <= 3 && !has(oldObject.spec)")?;
//! assert!(program.uses("oldObject"));
//!
//! let object = serde_json::json!({ "spec": { "replicas": 2 } });
//! let old = serde_json::json!({});
//! let activation = Activation::new()
//!     .with("object", Value::json(&object))
//!     .with("oldObject", Value::json(&old));
//! let mut budget = Budget::default();
//! assert!(program.eval_bool(&activation, &mut budget)?);
//! assert!(budget.remaining < Budget::PER_OBJECT);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! With types, as rules of custom resources use it. What does not fit the schema is refused at once:
//!
//! ```
//! use cel::{Activation, Budget, Env, Type, Value};
//!
//! let spec = Type::object("spec", [
//!     ("replicas".to_owned(), Type::Int),
//!     ("names".to_owned(), Type::list(Type::String)),
//! ]);
//! let env = Env::builder().declare("self", spec.clone()).build();
//! let wrong = env.compile("self.replica > 0").unwrap_err();
//! assert_eq!(wrong.to_string(), "ERROR: <input>:1:5: undefined field 'replica'\n | self.replica > 0\n | ....^");
//!
//! let program = env.compile("self.names.size() == self.replicas")?;
//! let json = serde_json::json!({ "replicas": 1, "names": ["a"] });
//! let activation = Activation::new().with("self", Value::typed(&json, &spec)?);
//! assert!(program.eval_bool(&activation, &mut Budget::default())?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Variables of a policy are programs of their own, evaluated when they are first used:
//!
//! ```
//! use std::sync::Arc;
//! use cel::{Activation, Budget, Env, Type, Value};
//!
//! let env = Env::builder().declare("object", Type::Dyn).build();
//! let replicas = Arc::new(env.compile("object.spec.replicas")?);
//! // What is known of `variables` grows with each of them.
//! let variables = Type::object("kubernetes.variables", [("replicas".to_owned(), replicas.output().clone())]);
//! let env = env.extend().declare("variables", variables).build();
//! let program = env.compile("variables.replicas > 1 ? variables.replicas : 1")?;
//!
//! let object = serde_json::json!({ "spec": { "replicas": 5 } });
//! let activation = Activation::new()
//!     .with("object", Value::json(&object))
//!     .with_lazy("variables", [("replicas".to_owned(), replicas)]);
//! assert!(matches!(program.eval(&activation, &mut Budget::default())?, Value::Int(5)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Mutating policies make objects and patches:
//!
//! ```
//! use cel::{Activation, Budget, Env, Type};
//!
//! let env = Env::builder().mutation().build();
//! let program = env.compile("Object{spec: Object.spec{replicas: 3}}")?;
//! let value = program.eval(&Activation::new(), &mut Budget::default())?;
//! assert_eq!(value.to_json()?, serde_json::json!({ "spec": { "replicas": 3 } }));
//!
//! let program = env.compile("[JSONPatch{op: 'add', path: '/spec/' + jsonpatch.escapeKey('a/b'), value: 1}]")?;
//! assert_eq!(program.output().to_string(), "list(JSONPatch)");
//! let value = program.eval(&Activation::new(), &mut Budget::default())?;
//! assert_eq!(value.to_json()?, serde_json::json!([{ "op": "add", "path": "/spec/a~1b", "value": 1 }]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `authorizer` asks an [`Authorizer`]; `authorizer.requestResource` is a [`ResourceCheck`] under that name:
//!
//! ```
//! use cel::{Activation, Authorizer, Budget, Check, Decision, Env, Subject, Type, Value};
//!
//! struct OnlyGet;
//! impl Authorizer for OnlyGet {
//!     fn check(&self, check: &Check<'_>) -> Decision {
//!         Decision { is_allowed: check.verb == "get", ..Decision::default() }
//!     }
//! }
//!
//! let env = Env::builder().declare("authorizer", Type::AUTHORIZER).build();
//! let program = env.compile("authorizer.group('').resource('pods').check('get').allowed()")?;
//! let activation = Activation::new().with("authorizer", Value::Authorizer(Subject::requester(&OnlyGet)));
//! assert!(program.eval_bool(&activation, &mut Budget::default())?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Expressions are not trusted. Length, depth and number of nodes are limited, every step of an evaluation costs, and
//! the cost has a limit; what Kubernetes' costs do not see, such as the size of text that `replace` makes, has limits
//! of its own.

mod activation;
mod ast;
mod authorizer;
mod budget;
mod check;
mod compare;
mod cost;
mod env;
mod error;
mod escape;
mod estimate;
mod eval;
mod lex;
mod library;
mod macros;
mod parse;
mod plan;
pub mod quantity;
pub mod regexp;
mod types;
mod unify;
mod value;
mod zone;

#[cfg(test)]
mod tests;

pub use activation::Activation;
pub use authorizer::{Authorizer, Check, CheckOf, Decision, PathCheck, ResourceCheck, Subject};
pub use budget::Budget;
pub use env::{Env, EnvBuilder, Program};
pub use error::{CompileError, ErrorKind, EvalError, Issue};
pub use escape::{escape, unescape};
pub use estimate::{NoSizes, Range, Sizes};
pub use library::formats::Format;
pub use library::time::Time;
pub use library::url::Url;
pub use quantity::Quantity;
pub use types::{ListKind, ListType, ObjectType, Type};
pub use value::{Key, List, Map, Struct, Text, Value};
pub use zone::zone;
