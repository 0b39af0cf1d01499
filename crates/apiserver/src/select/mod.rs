//! Selectors: which objects a list, a watch or a collection delete is about, by label and by field.
//!
//! Both are parsed once per request and then asked per object; label selectors need the header alone, field selectors
//! decode an object only when they name more than its name and namespace.

mod fields;
mod labels;
mod names;

pub use fields::{FieldRequirement, FieldSelector};
pub use labels::{LabelSelector, Operator, Requirement};
pub use names::{label_value_problems, qualified_name_problems, subdomain_problems};
