//! From the claims of a token to a user, by claims and by expressions over them.

use std::sync::LazyLock;

use cel::{Activation, Budget, Env, Program, Type, Value as CelValue};
use serde_json::{Value, json};

use super::super::User;

/// The variable that expressions about tokens have.
static CLAIMS: LazyLock<Env> = LazyLock::new(|| {
    let claims = Type::map(Type::String, Type::Dyn);
    Env::builder().declare("claims", claims).build()
});

/// The user in expressions.
static USER_INFO: LazyLock<Type> = LazyLock::new(|| {
    Type::object(
        "kubernetes.UserInfo",
        [
            ("username".to_owned(), Type::String),
            ("uid".to_owned(), Type::String),
            ("groups".to_owned(), Type::list(Type::String)),
            (
                "extra".to_owned(),
                Type::map(Type::String, Type::list(Type::String)),
            ),
        ],
    )
});

/// The variable that expressions about users have.
static USER: LazyLock<Env> =
    LazyLock::new(|| Env::builder().declare("user", USER_INFO.clone()).build());

/// An expression with its source, for messages.
#[derive(Debug)]
pub(super) struct Expression {
    pub(super) source: String,
    program: Program,
}

/// What has to hold for a token.
#[derive(Debug)]
pub(super) enum Validation {
    /// The claim is this text.
    Required { claim: String, value: String },
    /// The expression is true.
    Expression {
        source: String,
        program: Program,
        message: String,
    },
}

/// Where something comes from.
#[derive(Debug)]
pub(super) enum Mapping {
    Claim(String),
    Expression(Expression),
}

/// Where something comes from, and what is put before it.
#[derive(Debug)]
pub(super) struct Prefixed {
    pub(super) from: Mapping,
    pub(super) prefix: String,
}

/// One key of the user's `extra`.
#[derive(Debug)]
pub(super) struct Extra {
    pub(super) key: String,
    pub(super) value: Expression,
}

/// How claims become a user.
#[derive(Debug)]
pub(super) struct Mappings {
    pub(super) username: Prefixed,
    pub(super) groups: Option<Prefixed>,
    pub(super) uid: Option<Mapping>,
    pub(super) extra: Vec<Extra>,
}

/// Compiles an expression; the message names `field`.
fn compile(env: &Env, source: &str, field: &str) -> Result<Program, String> {
    // What it may cost is limited when it runs: nothing is known of the size of claims.
    env.compile(source)
        .map_err(|error| format!("{field}: Invalid value: {source:?}: {error}"))
}

fn compile_bool(env: &Env, source: &str, field: &str) -> Result<Program, String> {
    let program = compile(env, source, field)?;
    if !matches!(program.output(), Type::Bool | Type::Dyn) {
        return Err(format!(
            "{field}: Invalid value: {source:?}: must evaluate to bool"
        ));
    }
    Ok(program)
}

impl Expression {
    fn new(source: String, field: &str) -> Result<Self, String> {
        let program = compile(&CLAIMS, &source, field)?;
        Ok(Self { source, program })
    }

    fn eval(&self, claims: &Value, what: &str) -> Result<Value, String> {
        let activation = Activation::new().with("claims", CelValue::json(claims));
        let value = self
            .program
            .eval(&activation, &mut Budget::default())
            .and_then(|value| value.to_json());
        value.map_err(|error| format!("error evaluating {what} expression: {error}"))
    }
}

impl Mapping {
    pub(super) fn expression(source: String, field: &str) -> Result<Self, String> {
        Expression::new(source, field).map(Self::Expression)
    }
}

impl Extra {
    pub(super) fn new(key: String, source: String, field: &str) -> Result<Self, String> {
        let value = Expression::new(source, field)?;
        Ok(Self { key, value })
    }
}

impl Validation {
    pub(super) fn about_claims(
        source: String,
        message: String,
        field: &str,
    ) -> Result<Self, String> {
        let program = compile_bool(&CLAIMS, &source, field)?;
        Ok(Self::Expression {
            source,
            program,
            message,
        })
    }

    pub(super) fn about_user(source: String, message: String, field: &str) -> Result<Self, String> {
        let program = compile_bool(&USER, &source, field)?;
        Ok(Self::Expression {
            source,
            program,
            message,
        })
    }

    /// Checks claims, or a user as `UserInfo`.
    fn check(&self, variable: &str, value: &Value) -> Result<(), String> {
        match self {
            Self::Required { claim, value: want } => match &value[claim] {
                Value::Null => Err(format!("required claim {claim} not present in ID token")),
                Value::String(text) if text == want => Ok(()),
                _ => Err(format!("required claim {claim} value does not match")),
            },
            Self::Expression {
                source,
                program,
                message,
            } => {
                let value = if variable == "user" {
                    let user = CelValue::typed(value, &USER_INFO);
                    user.map_err(|error| error.to_string())?
                } else {
                    CelValue::json(value)
                };
                let activation = Activation::new().with(variable, value);
                match program.eval_bool(&activation, &mut Budget::default()) {
                    Ok(true) => Ok(()),
                    Ok(false) if message.is_empty() => {
                        Err(format!("validation expression '{source}' failed"))
                    }
                    Ok(false) => Err(format!(
                        "validation expression '{source}' failed: {message}"
                    )),
                    Err(error) => Err(format!("error evaluating '{source}': {error}")),
                }
            }
        }
    }
}

/// Checks a token's claims.
pub(super) fn check_claims(validations: &[Validation], claims: &Value) -> Result<(), String> {
    let mut validations = validations.iter();
    validations.try_for_each(|validation| validation.check("claims", claims))
}

/// Checks who results from a token.
pub(super) fn check_user(validations: &[Validation], user: &User) -> Result<(), String> {
    if validations.is_empty() {
        return Ok(());
    }
    let info = json!({
        "username": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra,
    });
    let mut validations = validations.iter();
    validations.try_for_each(|validation| validation.check("user", &info))
}

impl Mappings {
    /// The user of a token; without `system:authenticated`.
    pub(super) fn user(&self, claims: &Value) -> Result<User, String> {
        let mut user = User {
            name: self.username(claims)?,
            groups: self.groups(claims)?,
            ..User::default()
        };
        user.uid = match &self.uid {
            None => String::new(),
            Some(Mapping::Claim(claim)) => text(claims, claim, "uid")?,
            Some(Mapping::Expression(expression)) => match expression.eval(claims, "uid claim")? {
                Value::String(uid) => uid,
                _ => return Err("uid claim expression must return a string".into()),
            },
        };
        if let Some(id) = claims["jti"].as_str().filter(|id| !id.is_empty()) {
            let key = "authentication.kubernetes.io/credential-id";
            user.extra.insert(key.into(), vec![format!("JTI={id}")]);
        }
        for extra in &self.extra {
            let value = extra.value.eval(claims, "extra claim")?;
            let values = texts(value).map_err(|why| format!("extra claim expression: {why}"))?;
            if !values.is_empty() {
                user.extra.insert(extra.key.clone(), values);
            }
        }
        Ok(user)
    }

    fn username(&self, claims: &Value) -> Result<String, String> {
        let name = match &self.username.from {
            Mapping::Claim(claim) => {
                let name = text(claims, claim, "username")?;
                let verified = claims.get("email_verified");
                if claim == "email" && verified.is_some_and(|is| is != &Value::Bool(true)) {
                    return Err("email not verified".into());
                }
                name
            }
            Mapping::Expression(expression) => match expression.eval(claims, "username claim")? {
                Value::String(name) => name,
                _ => return Err("username claim expression must return a string".into()),
            },
        };
        if name.is_empty() {
            return Err("an empty username is not allowed".into());
        }
        Ok(format!("{}{name}", self.username.prefix))
    }

    fn groups(&self, claims: &Value) -> Result<Vec<String>, String> {
        let Some(groups) = &self.groups else {
            return Ok(vec![]);
        };
        let found = match &groups.from {
            Mapping::Claim(claim) => claims[claim].clone(),
            Mapping::Expression(expression) => expression.eval(claims, "group claim")?,
        };
        let found = texts(found).map_err(|why| format!("groups claim: {why}"))?;
        let prefix = &groups.prefix;
        Ok(found.into_iter().map(|g| format!("{prefix}{g}")).collect())
    }
}

fn text(claims: &Value, claim: &str, what: &str) -> Result<String, String> {
    match &claims[claim] {
        Value::String(text) => Ok(text.clone()),
        Value::Null => Err(format!("parse {what} claim {claim:?}: claim not present")),
        _ => Err(format!("parse {what} claim {claim:?}: it is not a string")),
    }
}

/// A text or a list of them, without empty ones.
fn texts(value: Value) -> Result<Vec<String>, String> {
    let wrong = || "it must be a string or a list of strings".to_owned();
    let all = match value {
        Value::Null => vec![],
        Value::String(text) => vec![text],
        Value::Array(items) => items
            .into_iter()
            .map(|item| match item {
                Value::String(text) => Ok(text),
                _ => Err(wrong()),
            })
            .collect::<Result<_, _>>()?,
        _ => return Err(wrong()),
    };
    Ok(all.into_iter().filter(|text| !text.is_empty()).collect())
}
