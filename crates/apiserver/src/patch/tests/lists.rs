//! Server-side apply of lists: sets, maps, atomic ones, their order.

use expect_test::expect;

use super::check;

#[test]
fn set_items_are_owned_one_by_one() {
    check(
        "apply alice: {spec: {zones: [a, b]}}
         apply bob: {spec: {zones: [b, c]}}
         apply alice: {spec: {zones: [a]}}
         apply alice: {spec: {}}",
        &expect![[r#"
            {"spec":{"zones":["b","c"]}}
            bob applied v1 at 2: .spec.zones[="b"] .spec.zones[="c"]
            alice applied v1 at 4: .spec
        "#]],
    );
}

#[test]
fn map_items_are_owned_member_by_member() {
    check(
        "apply alice: {spec: {containers: [{name: c, image: i}]}}
         apply bob: {spec: {containers: [{name: c, args: [x]}, {name: d}]}}
         apply alice: {spec: {containers: []}}",
        &expect![[r#"
            {"spec":{"containers":[{"args":["x"],"name":"c"},{"name":"d"}]}}
            bob applied v1 at 2: .spec.containers[name="c"] .spec.containers[name="d"] .spec.containers[name="c"].args .spec.containers[name="c"].name .spec.containers[name="d"].name
        "#]],
    );
}

#[test]
fn the_last_owner_of_an_item_removes_it_whole() {
    check(
        "apply alice: {spec: {containers: [{name: c, image: i, env: [{name: A, value: '1'}]}, {name: d, image: j}]}}
         apply alice: {spec: {containers: [{name: d, image: j}]}}",
        &expect![[r#"
            {"spec":{"containers":[{"image":"j","name":"d"}]}}
            alice applied v1 at 2: .spec.containers[name="d"] .spec.containers[name="d"].image .spec.containers[name="d"].name
        "#]],
    );
}

#[test]
fn an_item_goes_with_what_an_updater_added_to_it() {
    check(
        "apply alice: {spec: {containers: [{name: c, image: i}, {name: d, image: j}]}}
         put bob: {spec: {containers: [{name: c, image: i, args: [x]}, {name: d, image: j}]}}
         apply alice: {spec: {containers: [{name: d, image: j}]}}",
        &expect![[r#"
            {"spec":{"containers":[{"image":"j","name":"d"}]}}
            alice applied v1 at 3: .spec.containers[name="d"] .spec.containers[name="d"].image .spec.containers[name="d"].name
        "#]],
    );
}

#[test]
fn absent_keys_have_their_defaults() {
    check(
        "apply alice: {spec: {containers: [{name: c, ports: [{containerPort: 53}, {containerPort: 53, protocol: UDP}]}]}}
         apply alice: {spec: {containers: [{name: c, ports: [{containerPort: 53, protocol: TCP, name: dns}]}]}}",
        &expect![[r#"
            {"spec":{"containers":[{"name":"c","ports":[{"containerPort":53,"name":"dns","protocol":"TCP"}]}]}}
            alice applied v1 at 2: .spec.containers[name="c"] .spec.containers[name="c"].name .spec.containers[name="c"].ports[containerPort=53,protocol="TCP"] .spec.containers[name="c"].ports[containerPort=53,protocol="TCP"].containerPort .spec.containers[name="c"].ports[containerPort=53,protocol="TCP"].name .spec.containers[name="c"].ports[containerPort=53,protocol="TCP"].protocol
        "#]],
    );
    check(
        "apply alice: {spec: {containers: [{name: c, ports: [{containerPort: 53}, {containerPort: 53, protocol: TCP}]}]}}",
        &expect![[r#"
            1: 500 failed to create typed patch object (/x; /v1, Kind=Thing): .spec.containers[name="c"].ports: duplicate entries for key [containerPort=53,protocol="TCP"]
            {}
        "#]],
    );
}

#[test]
fn defaults_written_into_the_live_object_stay() {
    check(
        "apply alice: {spec: {containers: [{name: c, ports: [{containerPort: 53}]}]}}
         put server: {spec: {containers: [{name: c, ports: [{containerPort: 53, protocol: TCP}], image: default}]}}
         apply alice: {spec: {containers: [{name: c, ports: [{containerPort: 53}]}]}}",
        &expect![[r#"
            3: nothing changed
            {"spec":{"containers":[{"image":"default","name":"c","ports":[{"containerPort":53,"protocol":"TCP"}]}]}}
            alice applied v1 at 1: .spec.containers[name="c"] .spec.containers[name="c"].name .spec.containers[name="c"].ports[containerPort=53,protocol="TCP"] .spec.containers[name="c"].ports[containerPort=53,protocol="TCP"].containerPort
            server updated v1 at 2: .spec.containers[name="c"].image .spec.containers[name="c"].ports[containerPort=53,protocol="TCP"].protocol
        "#]],
    );
}

#[test]
fn atomic_lists_are_replaced_and_owned_whole() {
    check(
        "apply alice: {spec: {args: [a, b]}}
         apply bob: {spec: {args: [a, b]}}
         apply bob: {spec: {args: [c]}}",
        &expect![[r#"
            3: 409 Apply failed with 1 conflict: conflict with "alice": .spec.args
            {"spec":{"args":["a","b"]}}
            alice applied v1 at 1: .spec.args
            bob applied v1 at 2: .spec.args
        "#]],
    );
}

#[test]
fn the_live_order_stays_when_the_configuration_agrees() {
    check(
        "put server: {spec: {zones: [a, b, c, d]}}
         apply alice: {spec: {zones: [d, b]}}",
        &expect![[r#"
            {"spec":{"zones":["a","c","d","b"]}}
            alice applied v1 at 2: .spec.zones[="b"] .spec.zones[="d"]
            server updated v1 at 1: .spec .spec.zones .spec.zones[="a"] .spec.zones[="b"] .spec.zones[="c"] .spec.zones[="d"]
        "#]],
    );
    check(
        "put server: {spec: {zones: [a, b, c, d]}}
         apply alice: {spec: {zones: [b, d, e]}}",
        &expect![[r#"
            {"spec":{"zones":["a","b","c","d","e"]}}
            alice applied v1 at 2: .spec.zones[="b"] .spec.zones[="d"] .spec.zones[="e"]
            server updated v1 at 1: .spec .spec.zones .spec.zones[="a"] .spec.zones[="b"] .spec.zones[="c"] .spec.zones[="d"]
        "#]],
    );
    check(
        "put server: {spec: {zones: [a, b, c, d]}}
         apply alice: {spec: {zones: [u, a, v, c, w]}}",
        &expect![[r#"
            {"spec":{"zones":["u","a","b","v","c","d","w"]}}
            alice applied v1 at 2: .spec.zones[="a"] .spec.zones[="c"] .spec.zones[="u"] .spec.zones[="v"] .spec.zones[="w"]
            server updated v1 at 1: .spec .spec.zones .spec.zones[="a"] .spec.zones[="b"] .spec.zones[="c"] .spec.zones[="d"]
        "#]],
    );
}

#[test]
fn duplicates_in_the_live_object_are_one_leaf() {
    check(
        "put server: {spec: {zones: [a, a, b], containers: [{name: c, image: i}, {name: c, image: j}, {name: d}]}}
         apply alice: {spec: {zones: [b], containers: [{name: d, image: k}]}}
         force alice: {spec: {zones: [b, a], containers: [{name: d, image: k}, {name: c, image: z}]}}",
        &expect![[r#"
            {"spec":{"containers":[{"image":"k","name":"d"},{"image":"z","name":"c"}],"zones":["b","a"]}}
            alice applied v1 at 3: .spec.containers[name="c"] .spec.containers[name="d"] .spec.containers[name="c"].image .spec.containers[name="c"].name .spec.containers[name="d"].image .spec.containers[name="d"].name .spec.zones[="a"] .spec.zones[="b"]
            server updated v1 at 1: .spec .spec.containers .spec.zones .spec.containers[name="d"] .spec.containers[name="d"].name .spec.zones[="b"]
        "#]],
    );
}

#[test]
fn items_of_items_are_granular() {
    check(
        "apply alice: {spec: {containers: [{name: c, env: [{name: A, value: '1'}, {name: B, value: '2'}]}]}}
         apply bob: {spec: {containers: [{name: c, env: [{name: C, value: '3'}]}]}}
         apply alice: {spec: {containers: [{name: c, env: [{name: B, value: '2'}]}]}}",
        &expect![[r#"
            {"spec":{"containers":[{"env":[{"name":"B","value":"2"},{"name":"C","value":"3"}],"name":"c"}]}}
            bob applied v1 at 2: .spec.containers[name="c"] .spec.containers[name="c"].name .spec.containers[name="c"].env[name="C"] .spec.containers[name="c"].env[name="C"].name .spec.containers[name="c"].env[name="C"].value
            alice applied v1 at 3: .spec.containers[name="c"] .spec.containers[name="c"].name .spec.containers[name="c"].env[name="B"] .spec.containers[name="c"].env[name="B"].name .spec.containers[name="c"].env[name="B"].value
        "#]],
    );
}

#[test]
fn an_empty_list_of_nobody_does_not_take_its_owned_parent_away() {
    check(
        "apply alice: {spec: {}}
         apply bob: {spec: {containers: [], nested: {}}}
         apply bob: {}",
        &expect![[r#"
            {"spec":{"containers":[]}}
            alice applied v1 at 1: .spec
        "#]],
    );
}
