//! Questions about types.

use super::args::string;
use crate::gotemplate::{Function, Type};

use Type::{Any, Str};

pub(super) static FUNCTIONS: &[(&str, Function)] = &[
    (
        "typeOf",
        Function::new(&[Any], |_, a| Ok(a[0].type_name().into())),
    ),
    (
        "typeIs",
        Function::new(&[Str, Any], |_, a| {
            Ok((*string(a, 0) == *a[1].type_name()).into())
        }),
    ),
    (
        "typeIsLike",
        Function::new(&[Str, Any], |_, a| {
            let (want, got) = (string(a, 0), a[1].type_name());
            Ok((&*want == got || got.strip_prefix('*') == Some(&want)).into())
        }),
    ),
    (
        "kindOf",
        Function::new(&[Any], |_, a| Ok(a[0].kind().into())),
    ),
    (
        "kindIs",
        Function::new(&[Str, Any], |_, a| {
            Ok((*string(a, 0) == *a[1].kind()).into())
        }),
    ),
];
