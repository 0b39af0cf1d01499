//! The file that says whose tokens are believed: `apiserver.config.k8s.io/v1` `AuthenticationConfiguration`.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustls::RootCertStore;
use serde::Deserialize;
use url::Url;

use super::super::pki;
use super::claims::{Extra, Mapping, Mappings, Prefixed, Validation};

/// Larger files are refused unread.
const BYTES_MAX: usize = 1 << 20;
/// Issuers in one file.
const ISSUERS_MAX: usize = 64;
/// Rules and mappings of one issuer.
const RULES_MAX: usize = 256;

/// Why a file cannot be used: the field, what is wrong, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("authentication configuration: {0}")]
pub struct ConfigError(pub(super) String);

/// A file that was read and checked.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) issuers: Vec<IssuerConfig>,
    pub(super) anonymous: Anonymous,
}

/// What becomes of requests without any credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Anonymous {
    /// They are those of `system:anonymous`.
    Allowed,
    /// They are, for these paths; otherwise they are refused.
    OnlyFor(Vec<String>),
    Refused,
}

/// One issuer.
#[derive(Debug)]
pub(super) struct IssuerConfig {
    /// What the claim `iss` says, to the letter.
    pub(super) url: String,
    pub(super) discovery: Url,
    /// Whom the issuer's server is vouched for by; the machine's own authorities if none are named.
    pub(super) roots: Option<Arc<RootCertStore>>,
    pub(super) audiences: Vec<String>,
    pub(super) validations: Vec<Validation>,
    pub(super) mappings: Mappings,
    /// Expressions about the user who results.
    pub(super) user_validations: Vec<Validation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    kind: String,
    #[serde(default)]
    jwt: Vec<Jwt>,
    anonymous: Option<AnonymousFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnonymousFile {
    enabled: bool,
    #[serde(default)]
    conditions: Vec<AnonymousCondition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnonymousCondition {
    path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Jwt {
    issuer: IssuerFile,
    #[serde(default)]
    claim_validation_rules: Vec<RuleFile>,
    claim_mappings: MappingsFile,
    #[serde(default)]
    user_validation_rules: Vec<UserRuleFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct IssuerFile {
    #[serde(default)]
    url: String,
    #[serde(default, rename = "discoveryURL")]
    discovery_url: String,
    #[serde(default)]
    certificate_authority: String,
    #[serde(default)]
    audiences: Vec<String>,
    #[serde(default)]
    audience_match_policy: String,
    #[serde(default)]
    egress_selector_type: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct RuleFile {
    claim: String,
    required_value: String,
    expression: String,
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct UserRuleFile {
    expression: String,
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MappingsFile {
    username: MappingFile,
    groups: MappingFile,
    uid: UidFile,
    extra: Vec<ExtraFile>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MappingFile {
    claim: String,
    prefix: Option<String>,
    expression: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct UidFile {
    claim: String,
    expression: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ExtraFile {
    key: String,
    value_expression: String,
}

impl Config {
    /// Reads a file in YAML or JSON. Tokens of `own_issuers` are authenticated otherwise, so none of them may be named.
    pub(super) fn parse(text: &str, own_issuers: &[&str]) -> Result<Self, ConfigError> {
        if text.len() > BYTES_MAX {
            return Err(ConfigError(format!("larger than {BYTES_MAX} bytes")));
        }
        let file: File =
            serde_saphyr::from_str(text).map_err(|error| ConfigError(error.to_string()))?;
        file.check(own_issuers).map_err(ConfigError)
    }
}

impl File {
    fn check(self, own_issuers: &[&str]) -> Result<Config, String> {
        if self.api_version != "apiserver.config.k8s.io/v1"
            || self.kind != "AuthenticationConfiguration"
        {
            return Err(format!(
                "apiVersion, kind: want apiserver.config.k8s.io/v1 and AuthenticationConfiguration, not {:?} and {:?}",
                self.api_version, self.kind
            ));
        }
        if self.jwt.len() > ISSUERS_MAX {
            return Err(format!(
                "jwt: Too many: must have at most {ISSUERS_MAX} items"
            ));
        }
        let mut issuers = vec![];
        let (mut urls, mut discoveries) = (BTreeSet::new(), BTreeSet::new());
        for (at, jwt) in self.jwt.into_iter().enumerate() {
            let at = format!("jwt[{at}]");
            let discovery = jwt.issuer.discovery_url.clone();
            let issuer = jwt
                .check(own_issuers)
                .map_err(|why| format!("{at}.{why}"))?;
            if !urls.insert(issuer.url.clone()) {
                return Err(format!(
                    "{at}.issuer.url: Duplicate value: {:?}",
                    issuer.url
                ));
            }
            if !discovery.is_empty() && !discoveries.insert(discovery.clone()) {
                return Err(format!(
                    "{at}.issuer.discoveryURL: Duplicate value: {discovery:?}"
                ));
            }
            issuers.push(issuer);
        }
        let anonymous = match self.anonymous {
            None => Anonymous::Allowed,
            Some(file) if file.enabled && file.conditions.is_empty() => Anonymous::Allowed,
            Some(file) if file.enabled => {
                let paths = file.conditions.into_iter();
                Anonymous::OnlyFor(paths.map(|condition| condition.path).collect())
            }
            Some(file) if file.conditions.is_empty() => Anonymous::Refused,
            Some(_) => {
                return Err(
                    "anonymous.conditions: enabled should be true when there are conditions".into(),
                );
            }
        };
        Ok(Config { issuers, anonymous })
    }
}

impl Jwt {
    fn check(self, own_issuers: &[&str]) -> Result<IssuerConfig, String> {
        let issuer = self.issuer;
        let (discovery, roots) = issuer
            .check(own_issuers)
            .map_err(|why| format!("issuer.{why}"))?;
        let count = self.claim_validation_rules.len()
            + self.user_validation_rules.len()
            + self.claim_mappings.extra.len();
        if count > RULES_MAX {
            return Err(format!(
                "claimValidationRules, userValidationRules, claimMappings.extra: more than {RULES_MAX}"
            ));
        }
        let mut seen = BTreeSet::new();
        let mut validations = vec![];
        for (at, rule) in self.claim_validation_rules.into_iter().enumerate() {
            let field = format!("claimValidationRules[{at}]");
            validations.push(rule.check(&field, &mut seen)?);
        }
        let mut user_validations = vec![];
        for (at, rule) in self.user_validation_rules.into_iter().enumerate() {
            let field = format!("userValidationRules[{at}].expression");
            if rule.expression.is_empty() {
                return Err(format!("{field}: Required value"));
            }
            if user_validations.iter().any(|known| matches!(known, Validation::Expression { source, .. } if *source == rule.expression)) {
                return Err(format!("{field}: Duplicate value: {:?}", rule.expression));
            }
            user_validations.push(Validation::about_user(
                rule.expression,
                rule.message,
                &field,
            )?);
        }
        let mappings = self
            .claim_mappings
            .check()
            .map_err(|why| format!("claimMappings.{why}"))?;
        check_email(&mappings, &validations)?;
        Ok(IssuerConfig {
            url: issuer.url,
            discovery,
            roots,
            audiences: issuer.audiences,
            validations,
            mappings,
            user_validations,
        })
    }
}

/// Who is called by an unverified address could call himself anything.
fn check_email(mappings: &Mappings, validations: &[Validation]) -> Result<(), String> {
    let Mapping::Expression(username) = &mappings.username.from else {
        return Ok(());
    };
    let is_verified = |source: &str| selects(source, "email_verified");
    let checked = validations.iter().any(|validation| match validation {
        Validation::Expression { source, .. } => is_verified(source),
        Validation::Required { .. } => false,
    });
    let extra = mappings.extra.iter().any(|e| is_verified(&e.value.source));
    if selects(&username.source, "email") && !(checked || extra || is_verified(&username.source)) {
        return Err(
            "claimMappings.username.expression: claims.email_verified must be used in \
             claimMappings.username.expression, claimMappings.extra[*].valueExpression or \
             claimValidationRules[*].expression when claims.email is used here"
                .into(),
        );
    }
    Ok(())
}

/// Whether an expression selects this claim.
fn selects(source: &str, claim: &str) -> bool {
    let text: String = source.chars().filter(|c| !c.is_whitespace()).collect();
    let is_whole = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    [
        format!("claims.{claim}"),
        format!("claims.?{claim}"),
        format!("claims[\"{claim}\"]"),
        format!("claims['{claim}']"),
        format!("claims[?\"{claim}\"]"),
        format!("claims[?'{claim}']"),
    ]
    .iter()
    .any(|pattern| {
        text.match_indices(pattern.as_str())
            .any(|(at, _)| pattern.ends_with(']') || is_whole(&text[at + pattern.len()..]))
    })
}

type Place = (Url, Option<Arc<RootCertStore>>);

impl IssuerFile {
    fn check(&self, own_issuers: &[&str]) -> Result<Place, String> {
        if self.url.is_empty() {
            return Err("url: Required value".into());
        }
        if own_issuers.contains(&self.url.as_str()) {
            return Err(format!(
                "url: Invalid value: {:?}: that is the issuer of this cluster's service-account tokens",
                self.url
            ));
        }
        check_url("url", &self.url)?;
        let discovery = if self.discovery_url.is_empty() {
            format!(
                "{}/.well-known/openid-configuration",
                self.url.trim_end_matches('/')
            )
        } else if self.discovery_url.trim_end_matches('/') == self.url.trim_end_matches('/') {
            return Err(format!(
                "discoveryURL: Invalid value: {:?}: must be different from url",
                self.discovery_url
            ));
        } else {
            self.discovery_url.clone()
        };
        let discovery = check_url("discoveryURL", &discovery)?;
        if self.audiences.is_empty() {
            return Err("audiences: Required value: at least one is required".into());
        }
        for (at, audience) in self.audiences.iter().enumerate() {
            if audience.is_empty() {
                return Err(format!("audiences[{at}]: Required value"));
            }
            if self.audiences[..at].contains(audience) {
                return Err(format!("audiences[{at}]: Duplicate value: {audience:?}"));
            }
        }
        let policy = self.audience_match_policy.as_str();
        if policy != "MatchAny" && !(policy.is_empty() && self.audiences.len() == 1) {
            return Err(format!(
                "audienceMatchPolicy: Invalid value: {policy:?}: must be MatchAny, or empty with one audience"
            ));
        }
        if !self.egress_selector_type.is_empty() {
            return Err(
                "egressSelectorType: Forbidden: this server has no egress selectors".into(),
            );
        }
        Ok((discovery, self.roots()?))
    }

    fn roots(&self) -> Result<Option<Arc<RootCertStore>>, String> {
        if self.certificate_authority.is_empty() {
            return Ok(None);
        }
        let wrong = |why: String| format!("certificateAuthority: Invalid value: <omitted>: {why}");
        let certificates = pki::read_certificates(&self.certificate_authority)
            .map_err(|error| wrong(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots
                .add(certificate)
                .map_err(|error| wrong(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(wrong("it holds no certificate in PEM".into()));
        }
        Ok(Some(Arc::new(roots)))
    }
}

fn check_url(field: &str, text: &str) -> Result<Url, String> {
    let wrong = |why: &str| format!("{field}: Invalid value: {text:?}: {why}");
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if url.scheme() != "https" {
        return Err(wrong("URL scheme must be https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!(
            "{field}: Invalid value: <omitted>: URL must not contain a username or password"
        ));
    }
    if url.query().is_some() {
        return Err(wrong("URL must not contain a query"));
    }
    if url.fragment().is_some() {
        return Err(wrong("URL must not contain a fragment"));
    }
    if url.host_str().is_none() {
        return Err(wrong("URL must name a host"));
    }
    Ok(url)
}

impl RuleFile {
    fn check(self, field: &str, seen: &mut BTreeSet<(bool, String)>) -> Result<Validation, String> {
        match (self.claim.is_empty(), self.expression.is_empty()) {
            (false, false) => Err(format!(
                "{field}: Invalid value: {:?}: claim and expression can't both be set",
                self.claim
            )),
            (true, true) => Err(format!(
                "{field}: Required value: claim or expression is required"
            )),
            (false, true) => {
                if !self.message.is_empty() {
                    return Err(format!(
                        "{field}.message: may not be specified when claim is set"
                    ));
                }
                if !seen.insert((true, self.claim.clone())) {
                    return Err(format!("{field}.claim: Duplicate value: {:?}", self.claim));
                }
                Ok(Validation::Required {
                    claim: self.claim,
                    value: self.required_value,
                })
            }
            (true, false) => {
                if !self.required_value.is_empty() {
                    return Err(format!(
                        "{field}.requiredValue: may not be specified when expression is set"
                    ));
                }
                if !seen.insert((false, self.expression.clone())) {
                    return Err(format!(
                        "{field}.expression: Duplicate value: {:?}",
                        self.expression
                    ));
                }
                let field = format!("{field}.expression");
                Validation::about_claims(self.expression, self.message, &field)
            }
        }
    }
}

impl MappingsFile {
    fn check(self) -> Result<Mappings, String> {
        let username = self.username.check("username")?;
        let username =
            username.ok_or("username: Required value: claim or expression is required")?;
        let groups = self.groups.check("groups")?;
        let uid = match (self.uid.claim.is_empty(), self.uid.expression.is_empty()) {
            (true, true) => None,
            (false, true) => Some(Mapping::Claim(self.uid.claim)),
            (true, false) => Some(Mapping::expression(self.uid.expression, "uid.expression")?),
            (false, false) => return Err("uid: claim and expression can't both be set".into()),
        };
        let mut extra: Vec<Extra> = vec![];
        for (at, file) in self.extra.into_iter().enumerate() {
            let field = format!("extra[{at}]");
            check_key(&file.key)
                .map_err(|why| format!("{field}.key: Invalid value: {:?}: {why}", file.key))?;
            if extra.iter().any(|known| known.key == file.key) {
                return Err(format!("{field}.key: Duplicate value: {:?}", file.key));
            }
            if file.value_expression.is_empty() {
                return Err(format!("{field}.valueExpression: Required value"));
            }
            let field = format!("{field}.valueExpression");
            extra.push(Extra::new(file.key, file.value_expression, &field)?);
        }
        Ok(Mappings {
            username,
            groups,
            uid,
            extra,
        })
    }
}

impl MappingFile {
    fn check(self, field: &str) -> Result<Option<Prefixed>, String> {
        match (self.claim.is_empty(), self.expression.is_empty()) {
            (true, true) if self.prefix.is_some() => Err(format!(
                "{field}.prefix: may only be set together with claim"
            )),
            (true, true) => Ok(None),
            (false, false) => Err(format!("{field}: claim and expression can't both be set")),
            (false, true) => {
                // Without one, a claim could be the name of anybody: no prefix has to be said.
                let prefix = self.prefix.ok_or(format!(
                    "{field}.prefix: Required value: prefix is required when claim is set, and may be an empty string"
                ))?;
                Ok(Some(Prefixed {
                    from: Mapping::Claim(self.claim),
                    prefix,
                }))
            }
            (true, false) => {
                if self.prefix.is_some() {
                    return Err(format!(
                        "{field}.prefix: may not be set together with expression"
                    ));
                }
                let field = format!("{field}.expression");
                Ok(Some(Prefixed {
                    from: Mapping::expression(self.expression, &field)?,
                    prefix: String::new(),
                }))
            }
        }
    }
}

/// `example.org/foo`: a domain and a path, in lower case, not of Kubernetes.
fn check_key(key: &str) -> Result<(), &'static str> {
    let Some((domain, path)) = key.split_once('/').filter(|(_, path)| !path.is_empty()) else {
        return Err("must be a domain-prefixed path (such as \"acme.io/foo\")");
    };
    let is_label = |label: &str| {
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| is_word(c) || c == '-')
            && label.starts_with(is_word)
            && label.ends_with(is_word)
    };
    if key.chars().any(|c| c.is_ascii_uppercase()) {
        return Err("must be lowercase");
    }
    if domain.len() > 253 || !domain.split('.').all(is_label) {
        return Err("its domain must be a DNS subdomain in lower case");
    }
    if !path
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:/@%".contains(c))
    {
        return Err("its path must be one of a URL");
    }
    let is_of = |of: &str| {
        domain == of
            || domain
                .strip_suffix(of)
                .is_some_and(|rest| rest.ends_with('.'))
    };
    if is_of("kubernetes.io") || is_of("k8s.io") {
        return Err("k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    const GOOD: &str = "
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer:
    url: https://issuer.example.com
    audiences: [apiary]
  claimValidationRules: []
  claimMappings:
    username: {claim: sub, prefix: ''}
  userValidationRules: []
";

    /// What is said when each `from` is replaced by its `to` in a good file.
    fn check(changes: &[(&str, &str)], expected: Expect) {
        let mut text = String::new();
        for (from, to) in changes {
            assert!(GOOD.contains(from), "{from}");
            let file = GOOD.replace(from, to);
            let refused = Config::parse(&file, &["https://own.example.com"]);
            let refused = refused.map_or_else(|error| error.to_string(), |_| "good".to_owned());
            let refused = refused.lines().next().unwrap_or_default();
            text += refused.trim_start_matches("authentication configuration: ");
            text += "\n";
        }
        expected.assert_eq(&text);
    }

    #[test]
    fn issuers_are_checked() {
        let url = "url: https://issuer.example.com";
        check(
            &[
                ("v1\n", "v1\n"),
                ("config.k8s.io/v1", "config.k8s.io/v1alpha1"),
                (url, "url: ''"),
                (url, "url: http://issuer.example.com"),
                (url, "url: https://user:secret@issuer.example.com"),
                (url, "url: https://issuer.example.com/?a=b"),
                (url, "url: https://own.example.com"),
                (
                    url,
                    "url: https://a.example.com\n    discoveryURL: https://a.example.com/",
                ),
                (
                    url,
                    "url: https://a.example.com\n    certificateAuthority: nonsense",
                ),
                (
                    url,
                    "url: https://a.example.com\n    egressSelectorType: cluster",
                ),
                ("[apiary]", "[]"),
                ("[apiary]", "[a, a]"),
                ("[apiary]", "[a, b]"),
                ("[apiary]", "[a, b]\n    audienceMatchPolicy: MatchAny"),
            ],
            expect![[r#"
                good
                apiVersion, kind: want apiserver.config.k8s.io/v1 and AuthenticationConfiguration, not "apiserver.config.k8s.io/v1alpha1" and "AuthenticationConfiguration"
                jwt[0].issuer.url: Required value
                jwt[0].issuer.url: Invalid value: "http://issuer.example.com": URL scheme must be https
                jwt[0].issuer.url: Invalid value: <omitted>: URL must not contain a username or password
                jwt[0].issuer.url: Invalid value: "https://issuer.example.com/?a=b": URL must not contain a query
                jwt[0].issuer.url: Invalid value: "https://own.example.com": that is the issuer of this cluster's service-account tokens
                jwt[0].issuer.discoveryURL: Invalid value: "https://a.example.com/": must be different from url
                jwt[0].issuer.certificateAuthority: Invalid value: <omitted>: certificate is not PEM: want a block BEGIN CERTIFICATE
                jwt[0].issuer.egressSelectorType: Forbidden: this server has no egress selectors
                jwt[0].issuer.audiences: Required value: at least one is required
                jwt[0].issuer.audiences[1]: Duplicate value: "a"
                jwt[0].issuer.audienceMatchPolicy: Invalid value: "": must be MatchAny, or empty with one audience
                good
            "#]],
        );
    }

    #[test]
    fn rules_and_mappings_are_checked() {
        let rules = "claimValidationRules: []";
        let name = "{claim: sub, prefix: ''}";
        let users = "userValidationRules: []";
        check(
            &[
                (rules, "claimValidationRules: [{}]"),
                (
                    rules,
                    "claimValidationRules: [{claim: a, expression: 'true'}]",
                ),
                (rules, "claimValidationRules: [{claim: a, message: b}]"),
                (rules, "claimValidationRules: [{claim: a}, {claim: a}]"),
                (
                    rules,
                    "claimValidationRules: [{expression: 'true', requiredValue: a}]",
                ),
                (rules, "claimValidationRules: [{expression: '1'}]"),
                (rules, "claimValidationRules: [{expression: 'user.name'}]"),
                (name, "{}"),
                (name, "{claim: sub}"),
                (name, "{claim: sub, expression: claims.sub}"),
                (name, "{expression: claims.email}"),
                (
                    name,
                    "{expression: 'claims.email_verified ? claims.email : claims.sub'}",
                ),
                (
                    name,
                    "{expression: claims.sub}\n    extra: [{key: a, valueExpression: '1'}]",
                ),
                (
                    name,
                    "{expression: claims.sub}\n    extra: [{key: a.kubernetes.io/b, valueExpression: '1'}]",
                ),
                (
                    name,
                    "{expression: claims.sub}\n    extra: [{key: a.io/B, valueExpression: '1'}]",
                ),
                (name, "{expression: claims.sub}\n    extra: [{key: a.io/b}]"),
                (
                    name,
                    "{expression: claims.sub}\n    uid: {claim: a, expression: b}",
                ),
                (
                    users,
                    "userValidationRules: [{expression: user.nickname == 'a'}]",
                ),
                (
                    users,
                    "userValidationRules: [{expression: user.username == 'a'}, {expression: user.username == 'a'}]",
                ),
                (
                    users,
                    "userValidationRules: []\nanonymous: {enabled: false, conditions: [{path: /a}]}",
                ),
            ],
            expect![[r#"
                jwt[0].claimValidationRules[0]: Required value: claim or expression is required
                jwt[0].claimValidationRules[0]: Invalid value: "a": claim and expression can't both be set
                jwt[0].claimValidationRules[0].message: may not be specified when claim is set
                jwt[0].claimValidationRules[1].claim: Duplicate value: "a"
                jwt[0].claimValidationRules[0].requiredValue: may not be specified when expression is set
                jwt[0].claimValidationRules[0].expression: Invalid value: "1": must evaluate to bool
                jwt[0].claimValidationRules[0].expression: Invalid value: "user.name": ERROR: <input>:1:1: undeclared reference to 'user' (in container '')
                jwt[0].claimMappings.username: Required value: claim or expression is required
                jwt[0].claimMappings.username.prefix: Required value: prefix is required when claim is set, and may be an empty string
                jwt[0].claimMappings.username: claim and expression can't both be set
                jwt[0].claimMappings.username.expression: claims.email_verified must be used in claimMappings.username.expression, claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used here
                good
                jwt[0].claimMappings.extra[0].key: Invalid value: "a": must be a domain-prefixed path (such as "acme.io/foo")
                jwt[0].claimMappings.extra[0].key: Invalid value: "a.kubernetes.io/b": k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use
                jwt[0].claimMappings.extra[0].key: Invalid value: "a.io/B": must be lowercase
                jwt[0].claimMappings.extra[0].valueExpression: Required value
                jwt[0].claimMappings.uid: claim and expression can't both be set
                jwt[0].userValidationRules[0].expression: Invalid value: "user.nickname == 'a'": ERROR: <input>:1:5: undefined field 'nickname'
                jwt[0].userValidationRules[1].expression: Duplicate value: "user.username == 'a'"
                anonymous.conditions: enabled should be true when there are conditions
            "#]],
        );
    }
}
