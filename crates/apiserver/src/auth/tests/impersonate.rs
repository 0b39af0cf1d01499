use expect_test::{Expect, expect};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::auth::{User, impersonate};

/// `may` is everything that does not mention `forbidden`.
fn check(headers: &[(&str, &str)], want: Expect) {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    let asked = std::cell::RefCell::new(Vec::new());
    let user = User::authenticated("admin", ["ops".to_owned()]);
    let got = impersonate(user, &map, |request| {
        asked.borrow_mut().push(format!(
            "{} {}.{}/{} {}/{}",
            request.verb,
            request.resource,
            request.group,
            request.subresource,
            request.namespace,
            request.name
        ));
        request.name != "forbidden"
    });
    let got = match got {
        Ok(user) => format!(
            "{} {:?} {:?} {:?}",
            user.name, user.uid, user.groups, user.extra
        ),
        Err(status) => format!("{} {}", status.code, status.message),
    };
    want.assert_eq(&format!("{}\n{got}", asked.borrow().join("\n")));
}

#[test]
fn every_part_is_asked_for() {
    check(
        &[],
        expect![[r#"

        admin "" ["ops", "system:authenticated"] {}"#]],
    );
    check(
        &[("Impersonate-User", "jane")],
        expect![[r#"
        impersonate users./ /jane
        jane "" ["system:authenticated"] {}"#]],
    );
    check(
        &[
            ("Impersonate-User", "jane"),
            ("Impersonate-Group", "a"),
            ("Impersonate-Group", "system:authenticated"),
            ("Impersonate-Uid", "42"),
            ("Impersonate-Extra-example.com%2fScopes", "x"),
            ("Impersonate-Extra-example.com%2fScopes", "y"),
        ],
        expect![[r#"
            impersonate users./ /jane
            impersonate groups./ /a
            impersonate groups./ /system:authenticated
            impersonate userextras.authentication.k8s.io/example.com/scopes /x
            impersonate userextras.authentication.k8s.io/example.com/scopes /y
            impersonate uids.authentication.k8s.io/ /42
            jane "42" ["a", "system:authenticated"] {"example.com/scopes": ["x", "y"]}"#]],
    );
    check(
        &[("Impersonate-User", "system:serviceaccount:ns:robot")],
        expect![[r#"
            impersonate serviceaccounts./ ns/robot
            system:serviceaccount:ns:robot "" ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"] {}"#]],
    );
    check(
        &[("Impersonate-User", "system:anonymous")],
        expect![[r#"
        impersonate users./ /system:anonymous
        system:anonymous "" ["system:unauthenticated"] {}"#]],
    );
}

#[test]
fn what_is_not_allowed_or_makes_no_sense() {
    check(
        &[("Impersonate-User", "forbidden")],
        expect![[r#"
        impersonate users./ /forbidden
        403 users "forbidden" is forbidden: User "admin" cannot impersonate resource "users" in API group "" at the cluster scope"#]],
    );
    check(
        &[
            ("Impersonate-User", "jane"),
            ("Impersonate-Group", "forbidden"),
        ],
        expect![[r#"
            impersonate users./ /jane
            impersonate groups./ /forbidden
            403 groups "forbidden" is forbidden: User "admin" cannot impersonate resource "groups" in API group "" at the cluster scope"#]],
    );
    check(
        &[("Impersonate-Group", "a")],
        expect![[r#"

        400 requested groups, uid or extra without impersonating a user: set the header Impersonate-User"#]],
    );
    check(
        &[("Impersonate-Extra-%zz", "a")],
        expect![[r#"

        400 requested groups, uid or extra without impersonating a user: set the header Impersonate-User"#]],
    );
}
