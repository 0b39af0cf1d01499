//! What expressions cost: numbers that Kubernetes promises to keep.

use super::evaluate;
use crate::{Activation, Budget, Env, Sizes, Type, Value};

const COSTS: &[(&str, u64)] = &[
    ("self.obj.field == 'a'", 4),
    ("self.mapOfMap['x']['y'] == 'b'", 5),
    (
        "self.mapOfListMap['o'].exists(e, e.k == '1' && e.v == 'd')",
        14,
    ),
    (
        "self.listMapOfObj.exists(e, e.k2 == '2' && e.v2 == 'f')",
        13,
    ),
    ("self.listOfMap[0]['z'] == 'g'", 5),
    ("self.mapOfMap.map(k, k).map(k, k).size() == 1", 32),
    (
        "self.mapOfMap.map(k, self.mapOfMap[k].map(m, m)).size() == 1",
        34,
    ),
    ("self.listOfMap.map(e, e.map(m, m)).size() == 1", 32),
    ("optional.of('a') != optional.of('b')", 3),
    ("optional.of('a').hasValue()", 2),
    ("optional.of('a').or(optional.of('a')).hasValue()", 2),
    ("optional.none().or(optional.of('a')).hasValue()", 3),
    ("optional.of('a').optMap(v, v == 'value').hasValue()", 8),
    ("self.obj.?field == optional.of('a')", 5),
    ("self.obj.?absentField == optional.none()", 4),
    ("self.obj.?field.orValue('v') == 'a'", 4),
    ("self.m[?'k'] == optional.of('v')", 5),
    ("self.l[?0] == optional.of('a')", 5),
    ("optional.ofNonZeroValue(1).hasValue()", 2),
    ("isQuantity(self.val1)", 3),
    ("isQuantity(\"200M\")", 1),
    (
        "quantity(\"200M\") == quantity(\"0.2G\") && quantity(\"0.2G\") == quantity(\"200M\")",
        6,
    ),
    ("quantity(self.val1).isLessThan(quantity(self.val2))", 7),
    ("quantity(\"200M\").compareTo(quantity(\"0.2G\")) == 0", 4),
    (
        "quantity(\"50k\").add(quantity(\"20\")) == quantity(\"50.02k\")",
        5,
    ),
    ("quantity(\"50k\").sub(20) == quantity(\"49980\")", 4),
    ("quantity(self.val1).isInteger()", 4),
    ("lists.range(4) == [0,1,2,3]", 16),
    ("lists.range(0) == []", 11),
    ("[5,1,2,3].reverse() == [3,2,1,5]", 16),
    ("[1].reverse() == [1]", 13),
    (
        "[false, true, true].reverse().reverse() == [false, true, true]",
        29,
    ),
    ("[1,2,3,4].slice(0, 4) == [1,2,3,4]", 16),
    ("dyn([1,2,3,4]).flatten() == [1,2,3,4]", 16),
    ("[].sort() == []", 11),
    ("[4, 3, 2, 1].sort() == [1, 2, 3, 4]", 44),
    (
        "[\"d\", \"a\", \"b\", \"c\"].sort() == [\"a\", \"b\", \"c\", \"d\"]",
        45,
    ),
    ("[].sortBy(e, e) == []", 14),
    ("[\"a\"].sortBy(e, e) == [\"a\"]", 30),
    (
        "[-3, 1, -5, -2, 4].sortBy(e, -(e * e)) == [-5, 4, -3, -2, 1]",
        145,
    ),
    (
        "[-3, 1, -5, -2, 4].map(e, e * 2).sortBy(e, -(e * e)) == [-10, 8, -6, -4, 2]",
        216,
    ),
    ("lists.range(3).sortBy(e, -e) == [2, 1, 0]", 89),
    (
        "[\"a\", \"c\", \"b\", \"first\"].sortBy(e, e == \"first\" ? \"\" : e) == [\"first\", \"a\", \"b\", \"c\"]",
        104,
    ),
    (
        "[{'name': 'foo'}, {'name': 'bar'}, {'name': 'baz'}].sortBy(e, e.name) == [{'name': 'bar'}, {'name': 'baz'}, {'name': 'foo'}]",
        75,
    ),
    ("[-2, 5, -2, 1, 1, 5, -2, 1].distinct() == [-2, 5, 1]", 140),
    ("[[1], [1], [2]].distinct() == [[1], [2]]", 30),
];

#[test]
fn evaluations_cost_as_in_kubernetes() {
    let json = serde_json::json!({
        "obj": {"field": "a"},
        "mapOfMap": {"x": {"y": "b"}},
        "mapOfListMap": {"o": [{"k": "1", "v": "d"}]},
        "listMapOfObj": [{"k2": "2", "v2": "f"}],
        "listOfMap": [{"z": "g"}],
        "m": {"k": "v"}, "l": ["a"], "val1": "20", "val2": "200M", "n": 5,
    });
    let env = Env::builder().declare("self", schema()).build();
    let mut wrong = vec![];
    for (source, expected) in COSTS {
        let program = env.compile(source).unwrap();
        let value = Value::typed(&json, &schema()).unwrap();
        let activation = Activation::new().with("self", value);
        let mut budget = Budget::default();
        let result = program.eval(&activation, &mut budget);
        let cost = Budget::PER_OBJECT - budget.remaining;
        if cost != *expected || result.is_err() {
            wrong.push(format!("{source}: {cost}, expected {expected}: {result:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn schema() -> Type {
    let object = |name: &str, fields: &[&str]| {
        let fields = fields
            .iter()
            .map(|field| ((*field).to_owned(), Type::String));
        Type::object(name.to_owned(), fields)
    };
    let map = |value| Type::map(Type::String, value);
    let fields = [
        ("obj", object("obj", &["field", "absentField"])),
        ("mapOfMap", map(map(Type::String))),
        ("mapOfListMap", map(Type::list(object("e", &["k", "v"])))),
        ("listMapOfObj", Type::list(object("f", &["k2", "v2"]))),
        ("listOfMap", Type::list(map(Type::String))),
        ("m", map(Type::String)),
        ("l", Type::list(Type::String)),
        ("val1", Type::String),
        ("val2", Type::String),
        ("n", Type::Int),
    ];
    Type::object("selfType", fields.map(|(name, of)| (name.to_owned(), of)))
}

/// Lists have at most ten elements, text at most a hundred characters.
struct Ten;

impl Sizes for Ten {
    fn max_size(&self, path: &[String]) -> Option<u64> {
        let last = path.last().map(String::as_str);
        Some(match last {
            Some("l" | "listOfMap" | "mapOfMap" | "m") => 10,
            Some("n" | "self" | "obj") => 0,
            _ => 100,
        })
    }
}

#[test]
fn estimates_bound_costs() {
    let env = Env::builder().declare("self", schema()).build();
    let mut found = vec![];
    for source in [
        "1 + 2 == 3",
        "self.n == 1",
        "self.val1 == self.val2",
        "self.val1.startsWith('abc')",
        "self.val1.matches('^[a-z]+$')",
        "self.l.all(e, e == 'a')",
        "self.l.exists(e, self.l.exists(f, e + f == 'x'))",
        "self.l.map(e, e).size() < 3",
        "has(self.obj) && self.obj.field == 'x'",
        "self.val1.replace('a', 'bb').size() > 1",
        "self.l.join(',') == ''",
        "[1,2,3].sum() == 6",
        "self.l.sort() == []",
        "true || self.l.all(e, true)",
        "self.n > 1 ? self.l : []",
    ] {
        let program = env.compile_with_sizes(source, &Ten).unwrap();
        let cost = program.estimated_cost();
        found.push(format!("{}..{} {source}", cost.min, cost.max));
    }
    expect_test::expect![[r#"
        2..2 1 + 2 == 3
        2..2 self.n == 1
        5..14 self.val1 == self.val2
        3..3 self.val1.startsWith('abc')
        4..24 self.val1.matches('^[a-z]+$')
        3..53 self.l.all(e, e == 'a')
        3..2773 self.l.exists(e, self.l.exists(f, e + f == 'x'))
        15..145 self.l.map(e, e).size() < 3
        1..5 has(self.obj) && self.obj.field == 'x'
        4..24 self.val1.replace('a', 'bb').size() > 1
        2..103 self.l.join(',') == ''
        14..14 [1,2,3].sum() == 6
        23..233 self.l.sort() == []
        0..33 true || self.l.all(e, true)
        5..13 self.n > 1 ? self.l : []
    "#]]
    .assert_eq(&(found.join("\n") + "\n"));
}

#[test]
fn limits_stop_evaluations() {
    let (found, cost) = evaluate("lists.range(1000).all(i, lists.range(1000).all(j, i + j >= 0))");
    assert_eq!(found, "! operation cancelled: actual cost limit exceeded");
    assert!(cost <= Budget::PER_CALL + 400, "{cost}");
    let (found, _) = evaluate("true || lists.range(100000000).all(i, true)");
    assert_eq!(found, "true");
    let (found, _) = evaluate("lists.range(100000000).all(i, true) || true");
    assert_eq!(found, "! operation cancelled: actual cost limit exceeded");
    // A budget that is nearly spent ends an evaluation, too.
    let program = Env::builder()
        .build()
        .compile("[1, 2, 3].all(i, i > 0)")
        .unwrap();
    let mut budget = Budget::new(5);
    let error = program.eval(&Activation::new(), &mut budget).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::BudgetSpent);
    assert_eq!(budget.remaining, 0);
}
