//! `authorizer`: expressions that ask whether a request would be allowed. Who answers is up to the caller.

use crate::value::Text;

/// Answers the checks of expressions.
pub trait Authorizer: Send + Sync {
    /// Whether the request would be allowed.
    fn check(&self, check: &Check<'_>) -> Decision;
}

/// Whom a check is about.
#[derive(Clone)]
pub struct Subject<'a> {
    pub(crate) authorizer: &'a dyn Authorizer,
    pub(crate) service_account: Option<(Text<'a>, Text<'a>)>,
}

impl<'a> Subject<'a> {
    /// Whoever made the request, answered by `authorizer`.
    #[must_use]
    pub fn requester(authorizer: &'a dyn Authorizer) -> Self {
        Self {
            authorizer,
            service_account: None,
        }
    }
}

impl std::fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject")
            .field("service_account", &self.service_account)
            .finish_non_exhaustive()
    }
}

/// A request that an expression asks about.
#[derive(Clone, Copy, Debug)]
pub struct Check<'c> {
    /// Namespace and name of a service account; `None` is whoever made the request.
    pub service_account: Option<(&'c str, &'c str)>,
    /// `get`, `list`, …; of paths the HTTP method in lower case, as written.
    pub verb: &'c str,
    /// What would be done it to.
    pub of: CheckOf<'c>,
}

/// What a check is about.
#[derive(Clone, Copy, Debug)]
pub enum CheckOf<'c> {
    /// A path that is no resource: `/healthz`.
    Path(&'c str),
    /// A resource.
    Resource {
        /// API group, `""` for the core.
        group: &'c str,
        /// Plural.
        resource: &'c str,
        /// `""` for none.
        subresource: &'c str,
        /// `""` for all or none.
        namespace: &'c str,
        /// `""` for all.
        name: &'c str,
        /// As written; `""` for none.
        field_selector: &'c str,
        /// As written; `""` for none.
        label_selector: &'c str,
    },
}

/// What an [`Authorizer`] answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether the request is allowed.
    pub is_allowed: bool,
    /// Why.
    pub reason: String,
    /// What went wrong when asking.
    pub error: Option<String>,
}

/// `authorizer.path('…')`
#[derive(Clone, Debug)]
pub struct PathCheck<'a> {
    pub(crate) subject: Subject<'a>,
    pub(crate) path: Text<'a>,
}

/// `authorizer.group('…').resource('…')`
#[derive(Clone, Debug)]
pub struct ResourceCheck<'a> {
    pub(crate) subject: Subject<'a>,
    pub(crate) group: Text<'a>,
    pub(crate) resource: Text<'a>,
    pub(crate) subresource: Text<'a>,
    pub(crate) namespace: Text<'a>,
    pub(crate) name: Text<'a>,
    pub(crate) field_selector: Text<'a>,
    pub(crate) label_selector: Text<'a>,
}

impl<'a> ResourceCheck<'a> {
    /// `authorizer.requestResource`: the resource that the request is about.
    #[must_use]
    pub fn new(subject: Subject<'a>, group: &'a str, resource: &'a str) -> Self {
        let none = Text::Borrowed("");
        Self {
            subject,
            group: group.into(),
            resource: resource.into(),
            subresource: none.clone(),
            namespace: none.clone(),
            name: none.clone(),
            field_selector: none.clone(),
            label_selector: none,
        }
    }

    /// The same with a subresource, a namespace and a name.
    #[must_use]
    pub fn with(mut self, subresource: &'a str, namespace: &'a str, name: &'a str) -> Self {
        self.subresource = subresource.into();
        self.namespace = namespace.into();
        self.name = name.into();
        self
    }
}
