//! Go's text/template: lexer, parser, executor, its built-in functions and the `fmt` verbs, with the values, limits and
//! error texts that Helm charts meet. Functions beyond the built-in ones come from [`crate::sprig`].

pub(crate) mod ast;
mod budget;
pub(crate) mod builtins;
mod call;
mod error;
mod exec;
pub(crate) mod format;
mod lex;
pub(crate) mod number;
mod parse;
pub(crate) mod quote;
mod runtime;
pub(crate) mod text;
mod value;

pub use budget::{Budget, Limits};
pub(crate) use error::fail;
pub use error::{Error, Result};
pub(crate) use runtime::Set;
pub use runtime::{Body, Function, Functions, Lookup, NoCluster, Runtime, Type};
pub use value::{
    ANY_LIST, ANY_MAP, Class, Element, INT_LIST, LIST_LIST, List, Map, Object, STRING_LIST,
    STRING_MAP, Value,
};
