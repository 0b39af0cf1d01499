//! The functions of charts: sprig's, and those that Helm adds (`include`, `tpl`, `toYaml`, `lookup`, …). They are pure:
//! the time of day and all randomness come with the rendering. `env` and `expandenv` don't exist, as in Helm;
//! `getHostByName` is empty, as in Helm without `--enable-dns`.

mod args;
mod cases;
mod certs;
mod convert;
mod crypto;
mod data;
mod dates;
mod dicts;
mod layout;
mod lists;
mod math;
mod paths;
mod regexes;
mod scrypt;
mod semvers;
mod sha1;
mod strings;
mod templates;
mod text;
mod toml;
mod urls;

use crate::gotemplate::{Functions, builtins};
pub(crate) use data::to_yaml;
pub(crate) use paths::{base, clean};
use std::sync::LazyLock;
pub(crate) use templates::WARNING;

/// Every function that a chart may call.
pub(crate) static FUNCTIONS: LazyLock<Functions> = LazyLock::new(|| {
    let mut functions = Functions::new();
    for table in [
        builtins::FUNCTIONS,
        certs::FUNCTIONS,
        convert::FUNCTIONS,
        crypto::FUNCTIONS,
        data::FUNCTIONS,
        dates::FUNCTIONS,
        dicts::FUNCTIONS,
        lists::FUNCTIONS,
        math::FUNCTIONS,
        regexes::FUNCTIONS,
        semvers::FUNCTIONS,
        strings::FUNCTIONS,
        templates::FUNCTIONS,
        text::FUNCTIONS,
        urls::FUNCTIONS,
    ] {
        functions.extend(table.iter().copied());
    }
    for (name, other, function) in [lists::NAMED_TWICE, paths::NAMED_TWICE, regexes::NAMED_TWICE]
        .into_iter()
        .flatten()
    {
        functions.insert(name, *function);
        functions.insert(other, *function);
    }
    functions
});
