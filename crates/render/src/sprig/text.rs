//! Text functions about letters: case, words, and random text.

use super::args::{int, string};
use super::cases;
use crate::gotemplate::{Function, Result, Runtime, Type, Value, fail};
use rand::seq::SliceRandom;
use rand::{Rng, RngCore};

use Type::{Int, Str};

const S: &[Type] = &[Str];

pub(super) static FUNCTIONS: &[(&str, Function)] = &[
    (
        "title",
        Function::new(S, |_, a| Ok(title(&string(a, 0)).into())),
    ),
    (
        "untitle",
        Function::new(S, |_, a| Ok(untitle(&string(a, 0)).into())),
    ),
    (
        "swapcase",
        Function::new(S, |_, a| Ok(swapcase(&string(a, 0)).into())),
    ),
    (
        "nospace",
        Function::new(S, |_, a| {
            Ok(string(a, 0)
                .chars()
                .filter(|c| !c.is_whitespace())
                .collect::<String>()
                .into())
        }),
    ),
    (
        "initials",
        Function::new(S, |_, a| {
            let words = string(a, 0);
            Ok(words
                .split_whitespace()
                .filter_map(|w| w.chars().next())
                .collect::<String>()
                .into())
        }),
    ),
    (
        "snakecase",
        Function::new(S, |_, a| Ok(cases::separated(&string(a, 0), '_').into())),
    ),
    (
        "kebabcase",
        Function::new(S, |_, a| Ok(cases::separated(&string(a, 0), '-').into())),
    ),
    (
        "camelcase",
        Function::new(S, |_, a| Ok(cases::pascal(&string(a, 0)).into())),
    ),
    (
        "shuffle",
        Function::new(S, |rt, a| {
            let mut chars: Vec<char> = string(a, 0).chars().collect();
            chars.shuffle(&mut rt.rng);
            Ok(String::from_iter(chars).into())
        }),
    ),
    (
        "randAlphaNum",
        Function::new(&[Int], |rt, a| {
            random(rt, int(a, 0), |c| c.is_ascii_alphanumeric())
        }),
    ),
    (
        "randAlpha",
        Function::new(&[Int], |rt, a| {
            random(rt, int(a, 0), |c| c.is_ascii_alphabetic())
        }),
    ),
    (
        "randNumeric",
        Function::new(&[Int], |rt, a| {
            random(rt, int(a, 0), |c| c.is_ascii_digit())
        }),
    ),
    (
        "randAscii",
        Function::new(&[Int], |rt, a| {
            random(rt, int(a, 0), |c| c.is_ascii_graphic() || *c == b' ')
        }),
    ),
    (
        "randBytes",
        Function::new(&[Int], |rt, a| {
            let Ok(count) = usize::try_from(int(a, 0)) else {
                fail!("runtime error: makeslice: len out of range")
            };
            rt.budget.bytes(count.saturating_mul(3))?;
            let mut bytes = vec![0; count];
            rt.rng.fill_bytes(&mut bytes);
            Ok(super::data::base64(&bytes).into())
        }),
    ),
    (
        "randInt",
        Function::new(&[Int, Int], |rt, a| {
            let (min, max) = (int(a, 0), int(a, 1));
            if max <= min {
                fail!("invalid argument to Intn");
            }
            Ok(Value::Int(rt.rng.random_range(min..max)))
        }),
    ),
    (
        "uuidv4",
        Function::new(&[], |rt, _| {
            let mut bytes = [0; 16];
            rt.rng.fill_bytes(&mut bytes);
            Ok(uuid::Builder::from_random_bytes(bytes)
                .into_uuid()
                .to_string()
                .into())
        }),
    ),
];

fn random(rt: &mut Runtime<'_>, count: i64, of: fn(&u8) -> bool) -> Result<Value> {
    let count = usize::try_from(count).unwrap_or(0);
    rt.budget.bytes(count)?;
    let set: Vec<u8> = (b' '..=b'~').filter(of).collect();
    let text: String = (0..count)
        .map(|_| char::from(set[rt.rng.random_range(0..set.len())]))
        .collect();
    Ok(text.into())
}

/// `strings.Title`: an upper case letter at the start of each word.
fn title(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    let mut start = true;
    for c in s.chars() {
        if start {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        start = !(c.is_alphanumeric() || c == '_') && (c.is_ascii() || c.is_whitespace());
    }
    out
}

fn untitle(s: &str) -> String {
    let mut start = true;
    let mut out = String::with_capacity(s.len());
    for c in s.chars() {
        if c.is_whitespace() {
            start = true;
            out.push(c);
        } else if std::mem::take(&mut start) {
            out.extend(c.to_lowercase());
        } else {
            out.push(c);
        }
    }
    out
}

fn swapcase(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    for c in s.chars() {
        if c.is_uppercase() {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
    }
    out
}
