//! Who may do what, and that no cluster accepts another's credentials.

use serde_json::{Value, json};

use super::world::{Fleet, Kubectl};

#[test]
fn roles_decide_what_an_account_may_do() {
    let Some(fleet) = Fleet::shared() else { return };
    for cluster in fleet.both("access-roles") {
        assert_eq!(
            cluster.ok(&["auth", "can-i", "create", "deployments"]),
            "yes\n"
        );
        cluster.ok(&["create", "serviceaccount", "robot"]);
        let account = "--as=system:serviceaccount:access-roles:robot";
        let denied = cluster.run(&["auth", "can-i", "list", "configmaps", account]);
        assert_eq!((denied.code, denied.stdout.as_str()), (Some(1), "no\n"));
        let refusal = cluster.refused(&["get", "configmaps", account]);
        assert_eq!(
            refusal,
            "Error from server (Forbidden): configmaps is forbidden: User \"system:serviceaccount:access-roles:robot\" \
             cannot list resource \"configmaps\" in API group \"\" in the namespace \"access-roles\"\n"
        );
        cluster.ok(&[
            "create",
            "role",
            "reader",
            "--verb=get,list",
            "--resource=configmaps",
        ]);
        cluster.ok(&[
            "create",
            "rolebinding",
            "reader",
            "--role=reader",
            "--serviceaccount=access-roles:robot",
        ]);
        assert_eq!(
            cluster.ok(&["auth", "can-i", "list", "configmaps", account]),
            "yes\n"
        );
        cluster.ok(&["get", "configmaps", account]);
        let elsewhere =
            cluster
                .within("default")
                .run(&["auth", "can-i", "list", "configmaps", account]);
        assert_eq!(elsewhere.stdout, "no\n");
        let list = cluster.ok(&["auth", "can-i", "--list", account]);
        assert!(
            list.lines()
                .any(|line| line.starts_with("configmaps ") && line.ends_with("[get list]")),
            "{list}"
        );
    }
}

/// kubectl with a token and nothing else.
fn with_token(cluster: &Kubectl, token: &str, name: &str) -> Kubectl {
    let mut config = config(cluster);
    config["users"][0]["user"] = json!({"token": token});
    save(cluster, &config, name)
}

fn config(cluster: &Kubectl) -> Value {
    serde_json::from_str(&cluster.ok(&["config", "view", "--raw", "-o", "json"])).unwrap()
}

fn save(cluster: &Kubectl, config: &Value, name: &str) -> Kubectl {
    let kubeconfig = cluster.kubeconfig.with_extension(name);
    std::fs::write(&kubeconfig, config.to_string()).unwrap();
    cluster.with_kubeconfig(kubeconfig)
}

#[test]
fn a_token_is_its_accounts_and_its_clusters() {
    let Some(fleet) = Fleet::shared() else { return };
    let [management, hello] = fleet.both("access-token");
    for (cluster, other) in [(&management, &hello), (&hello, &management)] {
        cluster.ok(&["create", "serviceaccount", "robot"]);
        let token = cluster.ok(&["create", "token", "robot"]);
        let robot = with_token(cluster, token.trim(), "robot");
        let who: Value =
            serde_json::from_str(&robot.ok(&["auth", "whoami", "-o", "json"])).unwrap();
        assert_eq!(
            who["status"]["userInfo"]["username"],
            "system:serviceaccount:access-token:robot"
        );
        // The other cluster has never heard of it.
        let stranger = with_token(other, token.trim(), "stranger");
        let refusal = stranger.refused(&["get", "namespaces"]);
        assert!(
            refusal.contains("Unauthorized") || refusal.contains("must be logged in"),
            "{refusal}"
        );
        // Nor does a token outlive its account.
        cluster.ok(&["delete", "serviceaccount", "robot"]);
        let refusal = robot.refused(&["get", "namespaces"]);
        assert!(
            refusal.contains("Unauthorized") || refusal.contains("must be logged in"),
            "{refusal}"
        );
    }
}

#[test]
fn a_certificate_of_one_cluster_is_worth_nothing_in_another() {
    let Some(fleet) = Fleet::shared() else { return };
    let [management, hello] = fleet.both("access-certificate");
    for (cluster, other) in [(&management, &hello), (&hello, &management)] {
        let mut mixed = config(cluster);
        mixed["users"][0]["user"] = config(other)["users"][0]["user"].clone();
        let stranger = save(cluster, &mixed, "mixed");
        let refusal = stranger.refused(&["get", "namespaces"]);
        let is_refused = ["Unauthorized", "must be logged in", "certificate"]
            .iter()
            .any(|word| refusal.contains(word));
        assert!(is_refused, "{refusal}");
        // And a cluster proves who it is: by the other's authority it cannot be reached at all.
        let mut astray = config(cluster);
        let authority = &config(other)["clusters"][0]["cluster"]["certificate-authority-data"];
        astray["clusters"][0]["cluster"]["certificate-authority-data"] = authority.clone();
        let refusal = save(cluster, &astray, "astray").refused(&["get", "namespaces"]);
        assert!(
            refusal.contains("certificate signed by unknown authority"),
            "{refusal}"
        );
    }
}

#[test]
fn keys_of_tokens_are_rotated_and_old_ones_forgotten() {
    if super::world::kubectl().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let rotate = |data: &std::path::Path, args: &[&str]| {
        let mut apiary = super::world::apiary();
        apiary.args(["rotate", "token-key"]).args(args);
        super::world::finish(apiary.arg("--data-dir").arg(data), "")
    };
    let none = rotate(&data, &[]);
    assert_eq!(none.code, Some(1));
    assert!(none.stderr.contains("no `apiary up` runs on"), "{none:?}");
    let server = super::world::Server::ready(&data, &[]);
    let cluster = server.kubectl();
    cluster.does("create serviceaccount robot");
    let fresh = |name: &str| {
        let token = cluster.does("create token robot");
        with_token(&cluster, token.trim(), name)
    };
    let works = |robot: &Kubectl| robot.run(&["auth", "whoami"]).code == Some(0);
    let old = fresh("old");
    let done = rotate(&data, &[]);
    assert_eq!(
        done.stdout, "management signs tokens with a new key\n",
        "{done:?}"
    );
    let new = fresh("fresh");
    assert!(works(&old) && works(&new), "both keys are good");
    let done = rotate(&data, &["--forget-old", "-o", "json"]);
    assert_eq!(
        done.stdout, "{\"cluster\":\"management\",\"forgotOld\":true}\n",
        "{done:?}"
    );
    assert!(!works(&old) && works(&new), "only the new one is good");
    // Which a restart does not change.
    let port = server.port;
    assert!(server.down());
    let server = super::world::Server::start_again(port, &data, &[]);
    server.wait_for("management", "ready");
    let told = new.run(&["auth", "whoami"]);
    assert_eq!(told.code, Some(0), "after a restart: {told:?}");
    assert!(!works(&old), "a restart brings no old key back");
    let wrong = rotate(&data, &["nobody"]);
    assert!(
        wrong.stderr.contains("no cluster is called \"nobody\""),
        "{wrong:?}"
    );
}
