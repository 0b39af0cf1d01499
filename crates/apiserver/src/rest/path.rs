//! What a URL path names: a resource (with namespace, name and subresource) or something else.

use http::Method;

/// A parsed path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path {
    /// False for discovery, health and the like; then nothing but `segments` is set.
    pub is_resource: bool,
    pub segments: Vec<String>,
    pub group: String,
    pub version: String,
    pub namespace: String,
    pub resource: String,
    pub name: String,
    pub subresource: String,
    /// What follows a subresource (`proxy/<rest>`).
    pub rest: Vec<String>,
    /// The old `/api/v1/watch/…` form.
    pub is_watch_prefix: bool,
}

/// Splits and decodes a path; `None` if it is not valid UTF-8 when decoded.
pub(crate) fn parse(path: &str) -> Option<Path> {
    let segments: Option<Vec<String>> = path
        .split('/')
        .filter(|s| !s.is_empty())
        .map(decode)
        .collect();
    let segments = segments?;
    let mut parsed = Path {
        segments,
        ..Path::default()
    };
    let parts: Vec<&str> = parsed.segments.iter().map(String::as_str).collect();
    let (group, version, mut rest) = match parts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Some(parsed),
    };
    let mut is_watch_prefix = false;
    if let ["watch", tail @ ..] = rest
        && !tail.is_empty()
    {
        is_watch_prefix = true;
        rest = tail;
    }
    let (mut namespace, mut tail) = ("", rest);
    if let ["namespaces", name, inner @ ..] = rest {
        match inner {
            // The namespace object itself, or one of its subresources.
            [] | ["status" | "finalize"] => namespace = name,
            inner => (namespace, tail) = (name, inner),
        }
    }
    let field = |at: usize| tail.get(at).map(|s| (*s).to_owned()).unwrap_or_default();
    let (resource, name, subresource) = (field(0), field(1), field(2));
    let rest_owned = tail.iter().skip(3).map(|s| (*s).to_owned()).collect();
    let (group, version, namespace) = (group.to_owned(), version.to_owned(), namespace.to_owned());
    parsed = Path {
        is_resource: true,
        group,
        version,
        namespace,
        resource,
        name,
        subresource,
        rest: rest_owned,
        is_watch_prefix,
        segments: parsed.segments,
    };
    Some(parsed)
}

/// What authorizers see of methods that the API does not have; no resource supports it.
const UNKNOWN_VERB: &str = "unknown";

/// The verb that authorizers see.
pub(crate) fn verb(method: &Method, path: &Path, is_watch: bool) -> &'static str {
    if !path.is_resource {
        return match *method {
            Method::POST => "post",
            Method::PUT => "put",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            Method::HEAD => "head",
            Method::OPTIONS => "options",
            Method::GET => "get",
            _ => UNKNOWN_VERB,
        };
    }
    if path.is_watch_prefix {
        return "watch";
    }
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if path.name.is_empty() => "deletecollection",
        Method::DELETE => "delete",
        Method::GET | Method::HEAD if !path.name.is_empty() => "get",
        Method::GET | Method::HEAD if is_watch => "watch",
        Method::GET | Method::HEAD => "list",
        _ => UNKNOWN_VERB,
    }
}

fn decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut input = segment.bytes();
    while let Some(byte) = input.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| {
            char::from(b?)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        };
        bytes.push(digit(input.next())? << 4 | digit(input.next())?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(path: &str, expected: Expect) {
        let text = parse(path).map_or_else(
            || "unreadable\n".to_owned(),
            |p| {
                if !p.is_resource {
                    return format!("no resource {:?}\n", p.segments);
                }
                format!(
                    "{}/{} ns={} {}/{}/{} {:?}\n",
                    p.group, p.version, p.namespace, p.resource, p.name, p.subresource, p.rest
                )
            },
        );
        expected.assert_eq(&text);
    }

    #[test]
    fn paths_name_resources_as_kubernetes_reads_them() {
        check(
            "/api/v1/pods",
            expect![[r#"
            /v1 ns= pods// []
        "#]],
        );
        check(
            "/api/v1/namespaces/default/pods/a/log",
            expect![[r#"
            /v1 ns=default pods/a/log []
        "#]],
        );
        check(
            "/api/v1/namespaces/default",
            expect![[r#"
            /v1 ns=default namespaces/default/ []
        "#]],
        );
        check(
            "/api/v1/namespaces/default/finalize",
            expect![[r#"
            /v1 ns=default namespaces/default/finalize []
        "#]],
        );
        check(
            "/apis/apps/v1/namespaces/x/deployments/y/scale",
            expect![[r#"
            apps/v1 ns=x deployments/y/scale []
        "#]],
        );
        check(
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
            expect![[r#"
            rbac.authorization.k8s.io/v1 ns= clusterroles/system:node/ []
        "#]],
        );
        check(
            "/api/v1/namespaces/x/services/y/proxy/a/b",
            expect![[r#"
            /v1 ns=x services/y/proxy ["a", "b"]
        "#]],
        );
        check(
            "/apis/apps/v1",
            expect![[r#"
            no resource ["apis", "apps", "v1"]
        "#]],
        );
        check(
            "/api/v1/pods/%ff",
            expect![[r#"
            unreadable
        "#]],
        );
        check(
            "/api/v1/pods/%4",
            expect![[r#"
            unreadable
        "#]],
        );
    }
}
