//! Names of objects that controllers make: unique, and without randomness, so that plans stay pure.

use jiff::Timestamp;

/// Letters and digits of suffixes: no vowels and no look-alikes, as Kubernetes' own generated names.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LEN: usize = 5;
/// Names of machines become host names and label values.
const NAME_MAX: usize = 63;

/// FNV-1a with 64 bits: stable over versions and machines, which the hashes of the standard library are not.
#[must_use]
pub(crate) fn hash(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|p| p.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Five characters that depend on all `parts`.
#[must_use]
pub(crate) fn suffix(parts: &[&str]) -> String {
    let mut rest = hash(parts);
    // The low bits of FNV hardly differ between similar inputs.
    rest ^= rest >> 29;
    (0..SUFFIX_LEN)
        .map(|_| {
            let digit = usize::try_from(rest % 27).unwrap_or_default();
            rest /= 27;
            char::from(ALPHABET[digit])
        })
        .collect()
}

/// Names that a template may give in vain, until it is taken for one that has no random part.
const TEMPLATE_TRIES_MAX: u32 = 16;

/// A name that isn't in `taken`: `template` with `{{ .random }}` replaced, or `<base>-<suffix>`. The suffix depends on the owner's uid
/// and the time, so that a successor never gets the name of a machine that is gone.
#[must_use]
pub(crate) fn fresh(namer: &Namer<'_>, taken: &[&str], now: Timestamp) -> String {
    let second = now.as_second().to_string();
    let mut count: u32 = 0;
    loop {
        let suffix = suffix(&[namer.owner_uid, &second, &count.to_string()]);
        let name = if count < TEMPLATE_TRIES_MAX {
            namer.name(&suffix)
        } else {
            let template = None;
            Namer { template, ..*namer }.name(&suffix)
        };
        if !taken.contains(&name.as_str()) {
            return name;
        }
        count += 1;
    }
}

/// What names are made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Namer<'a> {
    /// A Go template, restricted to variables; see [`Namer::name`].
    pub template: Option<&'a str>,
    /// The variable that names the owner, e.g. `machineSet`.
    pub owner_variable: &'a str,
    pub owner: &'a str,
    pub owner_uid: &'a str,
    pub cluster: &'a str,
}

impl Namer<'_> {
    /// The name with this suffix. Templates know `.cluster.name`, `.<owner>.name` and `.random`; a name that gets too long is cut before
    /// the suffix.
    #[must_use]
    pub(crate) fn name(&self, suffix: &str) -> String {
        let expanded = match self.template {
            Some(template) => {
                let owner = format!(".{}.name", self.owner_variable);
                let variables = [
                    (".random", suffix),
                    (".cluster.name", self.cluster),
                    (owner.as_str(), self.owner),
                ];
                expand(template, &variables)
            }
            None => format!("{}-{suffix}", self.owner),
        };
        cut(expanded, suffix)
    }
}

/// A name that is too long, cut before its suffix.
#[must_use]
pub(crate) fn cut(name: String, suffix: &str) -> String {
    if name.len() <= NAME_MAX {
        return name;
    }
    let mut base = name;
    base.truncate(
        (0..=NAME_MAX - SUFFIX_LEN)
            .rev()
            .find(|i| base.is_char_boundary(*i))
            .unwrap_or(0),
    );
    base + suffix
}

/// A template with its variables replaced; those that are not known are empty.
#[must_use]
pub(crate) fn expand(template: &str, variables: &[(&str, &str)]) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((variable, after)) = after.split_once("}}") else {
            rest = "";
            break;
        };
        let known = variables.iter().find(|(name, _)| *name == variable.trim());
        out.push_str(known.map_or("", |(_, value)| value));
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn namer(template: Option<&'static str>) -> Namer<'static> {
        Namer {
            template,
            owner_variable: "machineSet",
            owner: "md-0-abcde",
            owner_uid: "u1",
            cluster: "hello",
        }
    }

    #[test]
    fn names_are_fresh() {
        let now = Timestamp::UNIX_EPOCH;
        let first = fresh(&namer(None), &[], now);
        let second = fresh(&namer(None), &[&first], now);
        let later = fresh(&namer(None), &[], now + jiff::SignedDuration::from_secs(1));
        expect!["md-0-abcde-6s2f4 md-0-abcde-fdp52 md-0-abcde-9m9mj"]
            .assert_eq(&format!("{first} {second} {later}"));
    }

    #[test]
    fn a_template_that_always_gives_one_name_is_left() {
        let namer = namer(Some("w{{ {{ .random }}"));
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(fresh(&namer, &[], now), "w");
        assert!(fresh(&namer, &["w"], now).starts_with("md-0-abcde-"));
    }

    #[test]
    fn templates_know_three_variables() {
        let name = |template| namer(Some(template)).name("x2z4w");
        expect!["hello-md-0-abcde-x2z4w"].assert_eq(&name(
            "{{ .cluster.name }}-{{.machineSet.name}}-{{ .random }}",
        ));
        expect!["a-x2z4w"].assert_eq(&name("a{{ .other }}-{{ .random }}"));
    }

    #[test]
    fn long_names_are_cut_before_the_suffix() {
        let long = "n".repeat(70);
        let namer = Namer {
            owner: &long,
            ..namer(None)
        };
        let name = namer.name("x2z4w");
        assert_eq!(name.len(), 63);
        assert!(name.ends_with("nx2z4w"), "{name}");
    }
}
