//! The command line for clusters: from their making to their end, as an operator goes about it.

use std::process::Stdio;

use serde_json::Value;

use super::world::{Output, Server, apiary, finish, kubectl};

/// A server, and `apiary` for it.
struct Operator {
    server: Server,
    _data: tempfile::TempDir,
}

impl Operator {
    /// `None` if there is no kubectl, with which trouble is made.
    fn new() -> Option<Self> {
        kubectl()?;
        let folder = tempfile::tempdir().unwrap();
        let server = Server::ready(&folder.path().join("data"), &[]);
        server.wait_for("fleet", "ready");
        Some(Self {
            server,
            _data: folder,
        })
    }

    fn run(&self, line: &str) -> Output {
        let mut command = apiary();
        command
            .args(line.split_whitespace())
            .arg("--data-dir")
            .arg(&self.server.data)
            .stdin(Stdio::piped());
        finish(&mut command, "hello\n")
    }

    fn ok(&self, line: &str) -> String {
        let output = self.run(line);
        assert_eq!(output.code, Some(0), "apiary {line}: {output:?}");
        output.stdout
    }

    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.ok(&format!("{line} -o json"))).unwrap()
    }

    /// What is said of what fails.
    fn refused(&self, line: &str, code: i32) -> String {
        let output = self.run(line);
        assert_eq!(output.code, Some(code), "apiary {line}: {output:?}");
        output.stdout + &output.stderr
    }

    fn check_refused(&self, line: &str, code: i32, says: &str) {
        let said = self.refused(line, code);
        assert!(
            said.contains(says),
            "apiary {line}: {says:?} is missing of\n{said}"
        );
    }
}

fn check_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing of\n{text}");
    }
}

#[test]
fn a_cluster_is_made_changed_and_deleted() {
    let Some(operator) = Operator::new() else {
        return;
    };
    let printed =
        operator.ok("cluster create second --organization acme --workers 1 --dry-run=client");
    let words = "template cluster second --organization acme --workers 1";
    let template = finish(apiary().args(words.split(' ')), "");
    assert_eq!(printed, template.stdout);
    make(&operator);
    scale(&operator);
    upgrade(&operator);
    let kubeconfig = operator.ok("cluster kubeconfig second");
    check_has(&kubeconfig, &["apiVersion", "second"]);

    let would = operator.ok("cluster delete second --dry-run");
    check_has(&would, &["node pool second-workers: 2 machines"]);
    operator.check_refused("cluster delete second", 1, "say --yes");
    let deleted = operator.ok("cluster delete second --yes --wait");
    check_has(&deleted, &["is being deleted", "gone after"]);
    operator.check_refused("get clusters second", 1, "there are: hello");
}

/// The only organization need not be named.
fn make(operator: &Operator) {
    let made = operator.ok("cluster create second --control-plane 1 --workers 1 --wait");
    check_has(&made, &["cluster second created in organization acme"]);
    let rows = operator.json("get clusters second");
    assert_eq!(rows[0]["organization"], "acme", "{rows}");
    assert_eq!(rows[0]["available"], "True", "{rows}");
    assert_eq!(rows[0]["workers"]["ready"], 1, "{rows}");
    check_has(
        &operator.ok("get clusters --organization acme"),
        &["NAME", "hello", "second", "v1.36.0", "1/1", "Provisioned"],
    );
    check_has(
        &operator.ok("describe cluster second --show all"),
        &[
            "infrastructure: LocalCluster/second",
            "control plane: KubeadmControlPlane/second",
            "MachineDeployment/second-workers",
            "bootstrap: KubeadmConfig/second-workers-",
        ],
    );
}

fn scale(operator: &Operator) {
    let scaled = operator.ok("cluster scale second --node-pool workers=2 --wait");
    let step = "node pool second-workers: 1 → 2: 1 machine is made";
    check_has(&scaled, &[step]);
    let pools = operator.json("get nodepools --cluster second");
    assert_eq!(pools[0]["replicas"]["available"], 2, "{pools}");
    // Both are in the same state.
    check_has(&operator.ok("describe cluster second"), &["2 Machines"]);
}

/// Every machine is replaced.
fn upgrade(operator: &Operator) {
    let dry = operator.ok("cluster upgrade second --version v1.36.1 --dry-run");
    check_has(
        &dry,
        &[
            "control plane second: v1.36.0 → v1.36.1: 1 machine is replaced",
            "node pool second-workers: v1.36.0 → v1.36.1: 2 machines are replaced",
        ],
    );
    let machines = operator.json("get machines --cluster second");
    operator.ok("cluster upgrade second --version v1.36.1 --wait");
    let replaced = operator.json("get machines --cluster second");
    let replaced = replaced.as_array().unwrap();
    assert_eq!(replaced.len(), 3, "{replaced:?}");
    for machine in replaced {
        assert_eq!(machine["version"], "v1.36.1", "{machine}");
        let mut old = machines.as_array().unwrap().iter();
        assert!(!old.any(|old| old["name"] == machine["name"]));
    }
    let why = operator.ok("why cluster second");
    check_has(&why, &["Cluster second is fine: available"]);
}

#[test]
fn a_machine_that_cannot_boot_is_found() {
    let Some(operator) = Operator::new() else {
        return;
    };
    let kubectl = operator.server.kubectl().within("org-acme");
    let line = "cluster create second --organization acme --control-plane 1 --node-pool broken=2";
    let manifests = operator.ok(&format!("{line} --dry-run=client"));
    let broken = manifests.replace(
        "memoryMiB: 8192",
        "memoryMiB: 8192\n      faults: {boot: the disk is full}",
    );
    assert_ne!(manifests, broken);
    kubectl.ok_with(&["apply", "-f", "-"], &broken);
    // Until the control plane is there, that is what all else waits for.
    for settled in [
        "Available",
        "Initialized",
        "MachinesReady",
        "MachinesUpToDate",
    ] {
        let condition = format!("--for=condition={settled}");
        let control_plane = "kubeadmcontrolplane/second";
        kubectl.ok(&["wait", control_plane, &condition, "--timeout=50s"]);
    }
    kubectl.does(
        "wait machinedeployment/second-broken --for=jsonpath={.status.replicas}=2 --timeout=50s",
    );
    let failed = r#"--for=jsonpath={.status.conditions[?(@.type=="BootstrapExecSucceeded")].reason}=BootFailed"#;
    let of_pool = "cluster.x-k8s.io/deployment-name=second-broken";
    kubectl.ok(&[
        "wait",
        "localmachines",
        "-l",
        of_pool,
        failed,
        "--timeout=50s",
    ]);
    let unready =
        r#"--for=jsonpath={.status.conditions[?(@.type=="InfrastructureReady")].status}=False"#;
    kubectl.ok(&["wait", "machines", "-l", of_pool, unready, "--timeout=50s"]);

    let said = operator.refused("why nodepool/second-broken", 1);
    check_has(
        &said,
        &[
            "MachineDeployment second-broken is not available",
            "it waits for machine second-broken-",
            ", whose LocalMachine says: BootFailed: injected fault: the disk is full",
            "The same is true of second-broken-",
            "What to do: the fault is there on purpose (spec.faults.boot)",
        ],
    );
    let said = operator.refused("why cluster second", 1);
    check_has(
        &said,
        &["MachineDeployment second-broken", "the disk is full"],
    );
    let answer = operator.run("why nodepool second-broken -o json");
    let answer: Value = serde_json::from_str(&answer.stdout).unwrap();
    let chain = answer["cause"]["chain"].as_array().unwrap();
    let kinds: Vec<&Value> = chain.iter().map(|link| &link["kind"]).collect();
    assert_eq!(kinds, ["MachineDeployment", "Machine", "LocalMachine"]);
    check_has(
        &operator.ok("get machines"),
        &["second-broken-", "the disk is full"],
    );
    check_has(
        &operator.ok("describe cluster second"),
        &["MachineDeployment/second-broken", "the disk is full"],
    );
    // The rest of the cluster is as it was.
    operator.ok("why controlplane/second");
    operator.ok("why app hello-world");
}

/// A tenant's kubeconfig, and what `apiary` says to who has it.
fn as_tenant(operator: &Operator, line: &str) -> Output {
    let kubeconfig = operator.server.data.join("tenant.kubeconfig");
    let mut command = apiary();
    command
        .args(line.split_whitespace())
        .arg("--kubeconfig")
        .arg(kubeconfig);
    finish(&mut command, "")
}

#[test]
fn tenants_see_their_own_clusters() {
    let Some(operator) = Operator::new() else {
        return;
    };
    let kubectl = operator.server.kubectl().within("org-acme");
    let other = r#"{"apiVersion": "security.giantswarm.io/v1alpha1", "kind": "Organization", "metadata": {"name": "other"}, "spec": {}}"#;
    kubectl.ok_with(&["apply", "-f", "-"], other);
    operator.ok("cluster create hidden --organization other --workers 0");
    kubectl.does("create serviceaccount tenant");
    let resources = [
        "clusters",
        "machines",
        "machinedeployments",
        "machinesets",
        "machinehealthchecks",
    ]
    .map(|plural| format!("{plural}.cluster.x-k8s.io"));
    let resources = format!("--resource={}", resources.join(","));
    kubectl.ok(&["create", "role", "tenant", "--verb=get,list", &resources]);
    kubectl.does("create rolebinding tenant --role=tenant --serviceaccount=org-acme:tenant");
    let token = kubectl.does("create token tenant");
    let mut config: Value =
        serde_json::from_str(&kubectl.does("config view --raw -o json")).unwrap();
    config["users"][0]["user"] = serde_json::json!({"token": token.trim()});
    let path = operator.server.data.join("tenant.kubeconfig");
    std::fs::write(path, config.to_string()).unwrap();

    // Their own organization they may name.
    let own = as_tenant(&operator, "get clusters --organization acme");
    assert_eq!(own.code, Some(0), "{own:?}");
    check_has(&own.stdout, &["hello"]);
    // All cannot be listed by who does not know what there is.
    let all = as_tenant(&operator, "get clusters");
    assert_eq!(all.code, Some(1), "{all:?}");
    check_has(
        &all.stderr,
        &["the management cluster refused: ", "cannot list resource"],
    );
    let resource = "--resource=organizations.security.giantswarm.io";
    kubectl.ok(&["create", "clusterrole", "tenant", "--verb=list", resource]);
    kubectl.does(
        "create clusterrolebinding tenant --clusterrole=tenant --serviceaccount=org-acme:tenant",
    );
    let all = as_tenant(&operator, "get clusters");
    assert_eq!(all.code, Some(0), "{all:?}");
    assert!(
        all.stdout.contains("hello") && !all.stdout.contains("hidden"),
        "{all:?}"
    );
    let refused = as_tenant(&operator, "get clusters --organization other");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    check_has(&refused.stderr, &["in the namespace \"org-other\""]);
    let machines = as_tenant(&operator, "get machines --cluster hello");
    check_has(&machines.stdout, &["hello-workers-"]);
    // Node pools of a kind that they may not list are not left out without a word.
    let pools = as_tenant(&operator, "get nodepools");
    assert_eq!(pools.code, Some(1), "{pools:?}");
    check_has(&pools.stderr, &["cannot list resource \"machinepools\""]);
    let resource = "--resource=machinepools.cluster.x-k8s.io";
    kubectl.ok(&["create", "role", "pools", "--verb=get,list", resource]);
    kubectl.does("create rolebinding pools --role=pools --serviceaccount=org-acme:tenant");
    let pools = as_tenant(&operator, "get nodepools");
    check_has(&pools.stdout, &["hello-workers"]);
    check_has(&operator.ok("get clusters"), &["hidden"]);
}

#[test]
fn what_is_wrong_is_said_with_what_would_be_right() {
    let Some(operator) = Operator::new() else {
        return;
    };
    let check = |line, code, says| operator.check_refused(line, code, says);
    check(
        "get clusters helo",
        1,
        "did you mean \"hello\"?; there are: hello",
    );
    check(
        "get machines --organization nobody x",
        1,
        "in organization nobody; there are no machines",
    );
    check(
        "get apps",
        2,
        "possible values: clusters, nodepools, machines",
    );
    check("get machines --cluster helo", 1, "did you mean \"hello\"?");
    check("describe cluster helo", 1, "did you mean \"hello\"?");
    check("why hello", 1, "`apiary why cluster hello`");
    check("why clustr/hello", 1, "did you mean \"cluster\"?");
    check("why machine/none", 1, "no machine is called \"none\"");
    check(
        "cluster create hello",
        1,
        "a cluster called \"hello\" already",
    );
    check(
        "cluster create x --organization acm",
        1,
        "did you mean \"acme\"?",
    );
    check(
        "cluster create X --organization acme",
        1,
        "must start with a letter",
    );
    check(
        "cluster create x --organization acme --control-plane 2",
        1,
        "must be odd",
    );
    check("cluster create x --node-pool a", 2, "want NAME=REPLICAS");
    check("cluster create x --timeout 5m", 2, "--wait");
    check("cluster scale hello", 2, "required");
    check("cluster scale hello --control-plane 2", 1, "must be odd");
    check(
        "cluster scale hello --node-pool worker=1",
        1,
        "there are: hello-workers",
    );
    check(
        "cluster upgrade hello --version v1.35.0",
        1,
        "does not go back",
    );
    check(
        "cluster upgrade hello --version v1.38.0",
        1,
        "the next is v1.37",
    );
    check(
        "cluster upgrade hello --version 1.36.1",
        1,
        "must look like v1.36.0",
    );
    check("cluster delete helo", 1, "did you mean \"hello\"?");
}
