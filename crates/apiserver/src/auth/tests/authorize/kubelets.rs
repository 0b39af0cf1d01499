//! What kubelets may.

use super::*;

#[test]
fn kubelets_have_their_powers_without_a_binding() {
    let world = with_pods();
    let node = user("system:node:w1", &["system:nodes"]);
    let requests = &[
        "get pods dev/mine",
        "list pods dev/mine",
        "list pods / spec.nodeName=w1",
        "watch pods dev/ spec.nodeName=w1,status.phase!=Failed",
        "create pods dev/x",
        "delete pods dev/x",
        "patch pods/status dev/x",
        "create pods/eviction dev/x",
        "get pods dev/other",
        "list pods /",
        "list pods / spec.nodeName=w2",
        "list pods / spec.nodeName!=w1",
        "deletecollection pods dev/ spec.nodeName=w1",
        "get pods/status dev/mine",
        "create pods/exec dev/x",
        "create nodes /",
        "get nodes /w1",
        "watch nodes /w1",
        "update nodes/status /w1",
        // Left to admission.
        "update nodes/status /w2",
        "get nodes /w2",
        "list nodes /",
        "delete nodes /w1",
    ];
    expect![[r#"
        allow get pods dev/mine   
        allow list pods dev/mine   
        allow list pods / spec.nodeName=w1   
        allow watch pods dev/ spec.nodeName=w1,status.phase!=Failed   
        allow create pods dev/x   
        allow delete pods dev/x   
        allow patch pods/status dev/x   
        allow create pods/eviction dev/x   
        deny  get pods dev/other   no relationship found between node 'w1' and this object
        deny  list pods /   can only list/watch pods with spec.nodeName field selector
        deny  list pods / spec.nodeName=w2   can only list/watch pods with spec.nodeName field selector
        deny  list pods / spec.nodeName!=w1   can only list/watch pods with spec.nodeName field selector
        deny  deletecollection pods dev/ spec.nodeName=w1   
        deny  get pods/status dev/mine   
        deny  create pods/exec dev/x   
        allow create nodes /   
        allow get nodes /w1   
        allow watch nodes /w1   
        allow update nodes/status /w1   
        allow update nodes/status /w2   
        deny  get nodes /w2   node 'w1' cannot read 'w2', only its own Node object
        deny  list nodes /   node 'w1' cannot read all nodes, only its own Node object
        deny  delete nodes /w1   "#]].assert_eq(&table(&world, &node, requests));
    let nobody = user("system:node:", &["system:nodes"]);
    expect![[r#"
        deny  get nodes /w1   unknown node for user "system:node:"
        allow get /version   RBAC: allowed by ClusterRoleBinding "system:discovery" of ClusterRole "system:discovery" to Group "system:authenticated""#]].assert_eq(&table(&world, &nobody, &["get nodes /w1", "get /version"]));
    // The name alone is not enough.
    let pretender = user("system:node:w1", &[]);
    assert!(
        !Authorizer::new()
            .authorize(&world, &pretender, &request("get pods dev/x"))
            .allowed
    );
}

#[test]
fn kubelets_reach_what_is_of_their_node() {
    let world = with_pods();
    let node = user("system:node:w1", &["system:nodes"]);
    let requests = &[
        "update leases.coordination.k8s.io kube-node-lease/w1",
        "create leases.coordination.k8s.io kube-node-lease/",
        "update leases.coordination.k8s.io kube-node-lease/w2",
        "update leases.coordination.k8s.io dev/w1",
        "list leases.coordination.k8s.io kube-node-lease/",
        "patch csinodes.storage.k8s.io /w1",
        "patch csinodes.storage.k8s.io /w2",
        "patch csinodes/status.storage.k8s.io /w1",
        "list csinodes.storage.k8s.io /",
        "create resourceslices.resource.k8s.io /",
        "list resourceslices.resource.k8s.io / spec.nodeName=w1",
        "deletecollection resourceslices.resource.k8s.io / spec.nodeName=w1",
        "delete resourceslices.resource.k8s.io /s1",
        "list resourceslices.resource.k8s.io /",
        "delete resourceslices.resource.k8s.io /s2",
        "get resourceslices/status.resource.k8s.io /s1",
        "approve resourceslices.resource.k8s.io /s1",
        "get resourceclaims.resource.k8s.io dev/mine-device",
        "get resourceclaims.resource.k8s.io dev/mine-made",
        "get resourceclaims.resource.k8s.io dev/mine-extended",
        "get resourceclaims.resource.k8s.io dev/other-device",
        "list resourceclaims.resource.k8s.io dev/",
        "get serviceaccounts dev/mine-account",
        "list serviceaccounts dev/",
        "create serviceaccounts dev/mine-account",
        "patch persistentvolumeclaims/status dev/mine-claim",
        "get persistentvolumeclaims/status dev/mine-claim",
        "list persistentvolumeclaims dev/",
        "create podcertificaterequests.certificates.k8s.io dev/",
        "list services /",
        "create services dev/",
    ];
    expect![[r#"
        allow update leases.coordination.k8s.io kube-node-lease/w1   
        allow create leases.coordination.k8s.io kube-node-lease/   
        deny  update leases.coordination.k8s.io kube-node-lease/w2   can only access node lease with the same name as the requesting node
        deny  update leases.coordination.k8s.io dev/w1   can only access leases in the "kube-node-lease" system namespace
        deny  list leases.coordination.k8s.io kube-node-lease/   can only get, create, update, patch, or delete a node lease
        allow patch csinodes.storage.k8s.io /w1   
        deny  patch csinodes.storage.k8s.io /w2   can only access CSINode with the same name as the requesting node
        deny  patch csinodes/status.storage.k8s.io /w1   cannot authorize CSINode subresources
        deny  list csinodes.storage.k8s.io /   can only get, create, update, patch, or delete a CSINode
        allow create resourceslices.resource.k8s.io /   
        allow list resourceslices.resource.k8s.io / spec.nodeName=w1   
        allow deletecollection resourceslices.resource.k8s.io / spec.nodeName=w1   
        allow delete resourceslices.resource.k8s.io /s1   
        deny  list resourceslices.resource.k8s.io /   can only list/watch/deletecollection resourceslices with nodeName field selector
        deny  delete resourceslices.resource.k8s.io /s2   no relationship found between node 'w1' and this object
        deny  get resourceslices/status.resource.k8s.io /s1   cannot authorize ResourceSlice subresources
        deny  approve resourceslices.resource.k8s.io /s1   only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection
        allow get resourceclaims.resource.k8s.io dev/mine-device   
        allow get resourceclaims.resource.k8s.io dev/mine-made   
        allow get resourceclaims.resource.k8s.io dev/mine-extended   
        deny  get resourceclaims.resource.k8s.io dev/other-device   no relationship found between node 'w1' and this object
        deny  list resourceclaims.resource.k8s.io dev/   can only get individual resources of this type
        allow get serviceaccounts dev/mine-account   
        deny  list serviceaccounts dev/   can only create tokens for individual service accounts
        deny  create serviceaccounts dev/mine-account   can only create token subresource of serviceaccount
        allow patch persistentvolumeclaims/status dev/mine-claim   
        deny  get persistentvolumeclaims/status dev/mine-claim   can only get/update/patch this type
        deny  list persistentvolumeclaims dev/   can only get individual resources of this type
        deny  create podcertificaterequests.certificates.k8s.io dev/   
        allow list services /   
        deny  create services dev/   "#]].assert_eq(&table(&world, &node, requests));
}
