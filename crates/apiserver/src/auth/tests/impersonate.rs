use expect_test::{Expect, expect};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::request;
use crate::auth::{Decision, Impersonated, User, impersonate};

const LEGACY: &str = "impersonate";

/// Whom `user` becomes for `list pods dev/`, and what was asked for that. `may` is everything with one of the verbs that
/// does not mention `forbidden`.
fn ask(user: &User, verbs: &[&str], headers: &[(&str, &str)]) -> String {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    let asked = std::cell::RefCell::new(Vec::new());
    let got = impersonate(user, &map, &request("list pods dev/"), |request| {
        asked.borrow_mut().push(format!(
            "{} {}.{}/{} {}/{}",
            request.verb,
            request.resource,
            request.group,
            request.subresource,
            request.namespace,
            request.name
        ));
        Decision {
            allowed: request.name != "forbidden" && verbs.contains(&&*request.verb),
            reason: String::new(),
        }
    });
    let got = match got {
        Ok(None) => "nobody else".to_owned(),
        Ok(Some(Impersonated { user, constraint })) => format!(
            "{} {:?} {:?} {:?} {constraint:?}",
            user.name, user.uid, user.groups, user.extra
        ),
        Err(status) => format!("{} {}", status.code, status.message),
    };
    format!("{}\n{got}", asked.borrow().join("\n"))
}

fn check_for(user: &User, verbs: &[&str], headers: &[(&str, &str)], want: Expect) {
    want.assert_eq(&ask(user, verbs, headers));
}

/// By an admin who has the plain verb alone.
fn check(headers: &[(&str, &str)], want: Expect) {
    let user = User::authenticated("admin", ["ops".to_owned()]);
    check_for(&user, &[LEGACY], headers, want);
}

#[test]
fn every_part_is_asked_for() {
    check(
        &[],
        expect![[r#"

            nobody else"#]],
    );
    check(
        &[("Impersonate-User", "jane")],
        expect![[r#"
            impersonate-on:user-info:list pods./ dev/
            impersonate users./ /jane
            jane "" ["system:authenticated"] {} None"#]],
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
            impersonate-on:user-info:list pods./ dev/
            impersonate users./ /jane
            impersonate uids.authentication.k8s.io/ /42
            impersonate groups./ /a
            impersonate groups./ /system:authenticated
            impersonate userextras.authentication.k8s.io/example.com/scopes /x
            impersonate userextras.authentication.k8s.io/example.com/scopes /y
            jane "42" ["a", "system:authenticated"] {"example.com/scopes": ["x", "y"]} None"#]],
    );
    check(
        &[("Impersonate-User", "system:serviceaccount:ns:robot")],
        expect![[r#"
            impersonate-on:serviceaccount:list pods./ dev/
            impersonate serviceaccounts./ ns/robot
            system:serviceaccount:ns:robot "" ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"] {} None"#]],
    );
    check(
        &[("Impersonate-User", "system:anonymous")],
        expect![[r#"
            impersonate-on:user-info:list pods./ dev/
            impersonate users./ /system:anonymous
            system:anonymous "" ["system:unauthenticated"] {} None"#]],
    );
}

#[test]
fn what_is_not_allowed_or_makes_no_sense() {
    check(
        &[("Impersonate-User", "forbidden")],
        expect![[r#"
            impersonate-on:user-info:list pods./ dev/
            impersonate users./ /forbidden
            403 pods is forbidden: User "admin" cannot impersonate-on:user-info:list resource "pods" in API group "" in the namespace "dev""#]],
    );
    check(
        &[
            ("Impersonate-User", "jane"),
            ("Impersonate-Group", "forbidden"),
        ],
        expect![[r#"
            impersonate-on:user-info:list pods./ dev/
            impersonate users./ /jane
            impersonate groups./ /forbidden
            403 pods is forbidden: User "admin" cannot impersonate-on:user-info:list resource "pods" in API group "" in the namespace "dev""#]],
    );
    check(
        &[("Impersonate-Group", "a")],
        expect![[r#"

            400 requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"a"}, Extra:map[string][]string(nil)} without impersonating a user name"#]],
    );
    check(
        &[("Impersonate-Extra-%zz", "a")],
        expect![[r#"

            400 requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string(nil), Extra:map[string][]string{"%zz":[]string{"a"}}} without impersonating a user name"#]],
    );
}

/// What one needs to act as somebody who is neither a node nor an account.
const USER: &[&str] = &["impersonate-on:user-info:list", "impersonate:user-info"];

#[test]
fn finer_verbs_do_not_reach_everybody() {
    let admin = User::authenticated("admin", []);
    let jane = ("Impersonate-User", "jane");
    let rows = [
        ("Impersonate-Group", "system:masters"),
        ("Impersonate-Group", ""),
        ("Impersonate-Extra-scopes", "x"),
        ("Impersonate-Extra-example.com%2fscopes", ""),
        ("Impersonate-Extra-UPPER.example.com%2fa^b", "y"),
        ("Impersonate-Extra-example.com%2f%41b", "y"),
    ]
    .map(|header| ask(&admin, USER, &[jane, header]));
    expect![[r#"
        impersonate-on:user-info:list pods./ dev/
        impersonate:user-info users.authentication.k8s.io/ /jane
        impersonate users./ /jane
        403 groups.authentication.k8s.io "system:masters" is forbidden: User "admin" cannot impersonate:user-info resource "groups" in API group "authentication.k8s.io" at the cluster scope: impersonating the system:masters group is not allowed
        impersonate-on:user-info:list pods./ dev/
        impersonate:user-info users.authentication.k8s.io/ /jane
        impersonate users./ /jane
        403 groups.authentication.k8s.io is forbidden: User "admin" cannot impersonate:user-info resource "groups" in API group "authentication.k8s.io" at the cluster scope: impersonating the empty string group is not allowed
        impersonate-on:user-info:list pods./ dev/
        impersonate:user-info users.authentication.k8s.io/ /jane
        impersonate users./ /jane
        403 userextras.authentication.k8s.io is forbidden: User "admin" cannot impersonate:user-info resource "userextras" in API group "authentication.k8s.io" at the cluster scope: impersonating an invalid key in extra is not allowed: extra.key: Invalid value: "scopes": must be a domain-prefixed path (such as "acme.io/foo")
        impersonate-on:user-info:list pods./ dev/
        impersonate:user-info users.authentication.k8s.io/ /jane
        impersonate users./ /jane
        403 userextras.authentication.k8s.io is forbidden: User "admin" cannot impersonate:user-info resource "userextras" in API group "authentication.k8s.io" at the cluster scope: impersonating the empty string value in extra is not allowed
        impersonate-on:user-info:list pods./ dev/
        impersonate:user-info users.authentication.k8s.io/ /jane
        impersonate users./ /jane
        403 userextras.authentication.k8s.io is forbidden: User "admin" cannot impersonate:user-info resource "userextras" in API group "authentication.k8s.io" at the cluster scope: impersonating an invalid key in extra is not allowed: extra.key: Invalid value: "a^b": Invalid path (regex used for validation is '[A-Za-z0-9/\-._~%!$&'()*+,;=:]+')
        impersonate-on:user-info:list pods./ dev/
        impersonate:user-info users.authentication.k8s.io/ /jane
        impersonate users./ /jane
        403 userextras.authentication.k8s.io is forbidden: User "admin" cannot impersonate:user-info resource "userextras" in API group "authentication.k8s.io" at the cluster scope: impersonating a non-lowercase key in extra is not allowed: "example.com/Ab""#]].assert_eq(&rows.join("\n"));
}

#[test]
fn finer_verbs_are_bound_to_a_request() {
    let admin = User::authenticated("admin", []);
    let jane = [("Impersonate-User", "jane")];
    check_for(
        &admin,
        USER,
        &jane,
        expect![[r#"
        impersonate-on:user-info:list pods./ dev/
        impersonate:user-info users.authentication.k8s.io/ /jane
        jane "" ["system:authenticated"] {} Some("impersonate:user-info")"#]],
    );
    check_for(
        &admin,
        &USER[..1],
        &jane,
        expect![[r#"
        impersonate-on:user-info:list pods./ dev/
        impersonate:user-info users.authentication.k8s.io/ /jane
        impersonate users./ /jane
        403 users.authentication.k8s.io "jane" is forbidden: User "admin" cannot impersonate:user-info resource "users" in API group "authentication.k8s.io" at the cluster scope"#]],
    );
    check_for(
        &admin,
        &USER[1..],
        &jane,
        expect![[r#"
        impersonate-on:user-info:list pods./ dev/
        impersonate users./ /jane
        403 pods is forbidden: User "admin" cannot impersonate-on:user-info:list resource "pods" in API group "" in the namespace "dev""#]],
    );
    let full = [
        ("Impersonate-User", "jane"),
        ("Impersonate-Uid", "42"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Extra-example.com%2fscopes", "x"),
    ];
    check_for(
        &admin,
        USER,
        &full,
        expect![[r#"
        impersonate-on:user-info:list pods./ dev/
        impersonate:user-info users.authentication.k8s.io/ /jane
        impersonate:user-info uids.authentication.k8s.io/ /42
        impersonate:user-info groups.authentication.k8s.io/ /a
        impersonate:user-info userextras.authentication.k8s.io/example.com/scopes /x
        jane "42" ["a", "system:authenticated"] {"example.com/scopes": ["x"]} Some("impersonate:user-info")"#]],
    );
    // What covers all groups is asked for first when there are many.
    let groups = ["a", "b", "c", "d"].map(|group| ("Impersonate-Group", group));
    let many: Vec<_> = jane.into_iter().chain(groups).collect();
    check_for(
        &admin,
        USER,
        &many,
        expect![[r#"
        impersonate-on:user-info:list pods./ dev/
        impersonate:user-info users.authentication.k8s.io/ /jane
        impersonate:user-info groups.authentication.k8s.io/ /*
        jane "" ["a", "b", "c", "d", "system:authenticated"] {} Some("impersonate:user-info")"#]],
    );
    // Nobody becomes a node or an account as a mere user.
    check_for(
        &admin,
        USER,
        &[("Impersonate-User", "system:node:w1")],
        expect![[r#"
            impersonate-on:arbitrary-node:list pods./ dev/
            impersonate users./ /system:node:w1
            403 pods is forbidden: User "admin" cannot impersonate-on:arbitrary-node:list resource "pods" in API group "" in the namespace "dev""#]],
    );
}

#[test]
fn nodes_and_accounts_have_verbs_of_their_own() {
    let admin = User::authenticated("admin", []);
    let node = [("Impersonate-User", "system:node:w1")];
    let arbitrary = [
        "impersonate-on:arbitrary-node:list",
        "impersonate:arbitrary-node",
    ];
    check_for(
        &admin,
        &arbitrary,
        &node,
        expect![[r#"
        impersonate-on:arbitrary-node:list pods./ dev/
        impersonate:arbitrary-node nodes.authentication.k8s.io/ /w1
        system:node:w1 "" ["system:nodes", "system:authenticated"] {} Some("impersonate:arbitrary-node")"#]],
    );
    let mut agent = User::service_account("ops", "agent", "1");
    let own = [
        "impersonate-on:associated-node:list",
        "impersonate:associated-node",
    ];
    check_for(
        &agent,
        &own,
        &node,
        expect![[r#"
        impersonate-on:arbitrary-node:list pods./ dev/
        impersonate users./ /system:node:w1
        403 pods is forbidden: User "system:serviceaccount:ops:agent" cannot impersonate-on:arbitrary-node:list resource "pods" in API group "" in the namespace "dev""#]],
    );
    let key = "authentication.kubernetes.io/node-name";
    agent.extra.insert(key.into(), vec!["w1".into()]);
    check_for(
        &agent,
        &own,
        &node,
        expect![[r#"
        impersonate-on:associated-node:list pods./ dev/
        impersonate:associated-node nodes.authentication.k8s.io/ /*
        system:node:w1 "" ["system:nodes", "system:authenticated"] {} Some("impersonate:associated-node")"#]],
    );
    agent.extra.insert(key.into(), vec!["w2".into()]);
    check_for(
        &agent,
        &own,
        &node,
        expect![[r#"
        impersonate-on:arbitrary-node:list pods./ dev/
        impersonate users./ /system:node:w1
        403 pods is forbidden: User "system:serviceaccount:ops:agent" cannot impersonate-on:arbitrary-node:list resource "pods" in API group "" in the namespace "dev""#]],
    );
    let account = [
        "impersonate-on:serviceaccount:list",
        "impersonate:serviceaccount",
    ];
    let robot = [("Impersonate-User", "system:serviceaccount:dev:robot")];
    check_for(
        &admin,
        &account,
        &robot,
        expect![[r#"
        impersonate-on:serviceaccount:list pods./ dev/
        impersonate:serviceaccount serviceaccounts.authentication.k8s.io/ dev/robot
        system:serviceaccount:dev:robot "" ["system:serviceaccounts", "system:serviceaccounts:dev", "system:authenticated"] {} Some("impersonate:serviceaccount")"#]],
    );
    let in_group = [robot[0], ("Impersonate-Group", "a")];
    check_for(
        &admin,
        &account,
        &in_group,
        expect![[r#"
        impersonate serviceaccounts./ dev/robot
        403 serviceaccounts "robot" is forbidden: User "admin" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "dev""#]],
    );
}
