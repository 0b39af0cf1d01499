//! What expressions of policies and webhooks may use, and what they must be.

use std::sync::{Arc, LazyLock};

use cel::{Env, Program, Type};

/// What an expression must evaluate to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A condition.
    Bool,
    /// A message.
    Text,
    /// The value of an annotation.
    TextOrNull,
    /// A variable.
    Anything,
    /// An apply configuration.
    Configuration,
    /// A JSON Patch.
    Patch,
}

/// Which variables an expression has beside `object`, `oldObject`, `request` and `namespaceObject`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) has_params: bool,
    pub(crate) has_authorizer: bool,
    /// `Object{…}` and `JSONPatch{…}`.
    pub(crate) is_mutation: bool,
}

/// An environment that grows with every variable.
pub(crate) struct Compiler {
    env: Env,
    variables: Vec<(String, Type)>,
}

impl Compiler {
    pub(crate) fn new(scope: Scope) -> Self {
        Self::with_object(scope, Type::Dyn)
    }

    /// With the type of `object` and `oldObject`, as far as it is known.
    pub(crate) fn with_object(scope: Scope, object: Type) -> Self {
        let mut env = Env::builder()
            .declare("object", object.clone())
            .declare("oldObject", object)
            .declare("request", REQUEST.clone())
            .declare("namespaceObject", NAMESPACE.clone());
        if scope.has_params {
            env = env.declare("params", Type::Dyn);
        }
        if scope.has_authorizer {
            env = env
                .declare("authorizer", Type::AUTHORIZER)
                .declare("authorizer.requestResource", Type::RESOURCE_CHECK);
        }
        if scope.is_mutation {
            env = env.mutation();
        }
        Self {
            env: env.build(),
            variables: vec![],
        }
    }

    /// Compiles an expression.
    ///
    /// # Errors
    /// In Kubernetes' words.
    pub(crate) fn compile(&self, source: &str, wanted: Wanted) -> Result<Arc<Program>, String> {
        let program = self
            .env
            .compile(source)
            .map_err(|error| format!("compilation failed: {error}"))?;
        let output = program.output();
        let is = |ty: &Type| output.is(ty);
        let (is_right, what) = match wanted {
            Wanted::Bool => (is(&Type::Bool), "bool"),
            Wanted::Text => (is(&Type::String), "string"),
            Wanted::TextOrNull => (
                is(&Type::String) || is(&Type::Null),
                "one of [string null_type]",
            ),
            Wanted::Anything => (true, ""),
            Wanted::Configuration => (output.to_string() == "Object", "Object"),
            Wanted::Patch => (output.to_string() == "list(JSONPatch)", "list(JSONPatch)"),
        };
        if !is_right {
            return Err(format!("must evaluate to {what} but got {output}"));
        }
        Ok(Arc::new(program))
    }

    /// Compiles `variables.<name>`, which expressions after it may use.
    ///
    /// # Errors
    /// As [`Compiler::compile`].
    pub(crate) fn variable(&mut self, name: &str, source: &str) -> Result<Arc<Program>, String> {
        let program = self.compile(source, Wanted::Anything)?;
        self.variables
            .push((name.to_owned(), program.output().clone()));
        let all = Type::object("kubernetes.variables", self.variables.iter().cloned());
        self.env = self.env.extend().declare("variables", all).build();
        Ok(program)
    }
}

fn object(name: &str, fields: &[(&str, Type)]) -> Type {
    let fields = fields
        .iter()
        .map(|(name, ty)| ((*name).to_owned(), ty.clone()));
    Type::object(name, fields)
}

/// The type of `request`.
pub(super) static REQUEST: LazyLock<Type> = LazyLock::new(|| {
    let text = Type::String;
    let kind = object(
        "kubernetes.GroupVersionKind",
        &[
            ("group", text.clone()),
            ("version", text.clone()),
            ("kind", text.clone()),
        ],
    );
    let resource = object(
        "kubernetes.GroupVersionResource",
        &[
            ("group", text.clone()),
            ("version", text.clone()),
            ("resource", text.clone()),
        ],
    );
    let texts = Type::list(text.clone());
    let user = object(
        "kubernetes.UserInfo",
        &[
            ("username", text.clone()),
            ("uid", text.clone()),
            ("groups", texts.clone()),
            ("extra", Type::map(text.clone(), texts)),
        ],
    );
    object(
        "kubernetes.AdmissionRequest",
        &[
            ("kind", kind.clone()),
            ("resource", resource.clone()),
            ("subResource", text.clone()),
            ("requestKind", kind),
            ("requestResource", resource),
            ("requestSubResource", text.clone()),
            ("name", text.clone()),
            ("namespace", text.clone()),
            ("operation", text),
            ("userInfo", user),
            ("dryRun", Type::Bool),
            ("options", Type::Dyn),
        ],
    )
});

/// The type of `namespaceObject`.
pub(super) static NAMESPACE: LazyLock<Type> = LazyLock::new(|| {
    let text = Type::String;
    let map = Type::map(text.clone(), text.clone());
    let metadata = object(
        "kubernetes.NamespaceMetadata",
        &[
            ("name", text.clone()),
            ("generateName", text.clone()),
            ("namespace", text.clone()),
            ("labels", map.clone()),
            ("annotations", map),
            ("uid", text.clone()),
            ("creationTimestamp", Type::Timestamp),
            ("deletionGracePeriodSeconds", Type::Int),
            ("deletionTimestamp", Type::Timestamp),
            ("generation", Type::Int),
            ("resourceVersion", text.clone()),
        ],
    );
    let finalizers = Type::list(text.clone());
    let spec = object("kubernetes.NamespaceSpec", &[("finalizers", finalizers)]);
    let status = object("kubernetes.NamespaceStatus", &[("phase", text)]);
    object(
        "kubernetes.Namespace",
        &[("metadata", metadata), ("spec", spec), ("status", status)],
    )
});
