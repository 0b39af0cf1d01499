//! Expressions that want to do harm.

use std::time::Instant;

use proptest::prelude::*;

use super::{evaluate, untyped};
use crate::{Activation, Budget, Value};

/// Threads of servers have small stacks.
const STACK: usize = 1 << 20;

/// Compiles and evaluates on a small stack; both must end, with or without an error.
fn survives(source: String) -> String {
    let thread = std::thread::Builder::new().stack_size(STACK);
    let work = move || evaluate(&source).0;
    thread.spawn(work).unwrap().join().unwrap()
}

#[test]
fn depth_is_limited() {
    let repeat = |text: &str, n: usize| text.repeat(n);
    for source in [
        repeat("(", 60) + "1" + &repeat(")", 60),
        repeat("(", 5000) + "1" + &repeat(")", 5000),
        repeat("[", 60) + &repeat("]", 60),
        repeat("[", 5000) + &repeat("]", 5000),
        repeat("!", 5000) + "true",
        repeat("-", 5000) + "1",
        "1".to_owned() + &repeat(" + 1", 150),
        "1".to_owned() + &repeat(" + 1", 5000),
        "true".to_owned() + &repeat(" && true", 5000),
        "self".to_owned() + &repeat(".a", 150),
        "self".to_owned() + &repeat(".a", 5000),
        "[1]".to_owned() + &repeat(".map(x, x)", 60),
        repeat("[1].map(x, ", 60) + "1" + &repeat(")", 60),
        repeat("{'a': ", 60) + "1" + &repeat("}", 60),
        repeat("true ? ", 60) + "1" + &repeat(" : 2", 60),
        "optional.of(1)".to_owned() + &repeat(".optMap(x, x)", 14),
        "optional.of(1)".to_owned() + &repeat(".optMap(x, x)", 60),
        repeat("a.b.", 20_000) + "c",
        repeat("'", 20_000),
    ] {
        survives(source);
    }
    assert!(survives("(".repeat(5000)).contains("recursion limit exceeded"));
    assert!(survives("1".repeat(200_000)).contains("code point size exceeds limit"));
}

#[test]
fn types_do_not_explode() {
    let mut source = String::from("1");
    for index in 0..60 {
        source = format!("[{{a{index}: a{index}}}].map(a{}, {source})", index + 1);
    }
    let source = format!("[1].map(a0, {source})");
    let start = Instant::now();
    survives(source);
    assert!(start.elapsed().as_secs() < 20);
}

#[test]
fn work_is_limited_for_all_evaluations_of_a_budget() {
    let text = "x".repeat(50_000);
    let source = format!("lists.range(1000).all(i, '{text}'.size() > 0)");
    let program = untyped().compile(&source).unwrap();
    let mut budget = Budget::default();
    let evaluations = std::iter::repeat_with(|| program.eval(&Activation::new(), &mut budget));
    let ended = evaluations.take(1000).position(|result| result.is_err());
    assert!(ended.is_some_and(|count| count < 20), "{ended:?}");
}

#[test]
fn what_costs_do_not_see_has_limits() {
    let start = Instant::now();
    for source in [
        "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'.replace('a', lists.range(30000).map(i, 'x').join()).replace('x', lists.range(30000).map(i, 'x').join())",
        "lists.range(60000).map(i, lists.range(60000)).flatten()",
        "['a'].map(a, lists.range(8000).map(i, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa').join()).all(s, lists.range(100000).all(i, s.size() > 0))",
        "['a'].map(a, lists.range(60000)).all(l, lists.range(100000).all(i, l == l))",
        "lists.range(100000).distinct()",
        "lists.range(1000).all(i, 'a'.matches(string(i) + '(a{100}){10}'))",
        "'%s'.format([lists.range(80000).map(i, lists.range(1))])",
    ] {
        let (found, _) = evaluate(source);
        assert!(found.len() < 20 << 20, "{source}");
    }
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

fn leaf() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("1".to_owned()),
        Just("'ab'".to_owned()),
        Just("true".to_owned()),
        Just("null".to_owned()),
        Just("2.5".to_owned()),
        Just("self".to_owned()),
        Just("self.list".to_owned()),
        Just("self.map".to_owned()),
        Just("self.text".to_owned()),
        Just("v".to_owned()),
    ]
}

/// Expressions that parse; some have wrong types.
fn expression() -> impl Strategy<Value = String> {
    leaf().prop_recursive(5, 40, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone(), "[-+*/%<]|==|&&|\\|\\||in")
                .prop_map(|(a, b, op)| format!("(dyn({a}) {op} dyn({b}))")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("(dyn({a}) ? dyn({b}) : dyn({c}))")),
            (
                inner.clone(),
                inner.clone(),
                "all|exists|map|filter|exists_one"
            )
                .prop_map(|(a, b, name)| format!("dyn({a}).{name}(v, dyn({b}))")),
            (
                inner.clone(),
                inner.clone(),
                "contains|startsWith|split|matches|indexOf|join|format"
            )
                .prop_map(|(a, b, name)| format!("dyn({a}).{name}(dyn({b}))")),
            (inner.clone(), "size|string|int|type|optional.of|quantity")
                .prop_map(|(a, name)| format!("{name}(dyn({a}))")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[dyn({a}), dyn({b})]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("dyn({a})[?dyn({b})]")),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| format!("optional.of(dyn({a})).optMap(v, dyn({b}))")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("dyn({a}).sortBy(v, dyn({b}))")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_parsed_without_panic(text in "\\PC{0,80}") {
        let _ = untyped().compile(&text);
    }

    #[test]
    fn any_tokens_are_parsed_without_panic(
        tokens in prop::collection::vec("[a-z]|[0-9]|'|\\.|\\(|\\)|\\[|\\]|\\{|\\}|\\?|:|,|&&|\\|\\||!|-|<|in|has|all|map|\\\\|r'|u", 0..40)
    ) {
        let _ = untyped().compile(&tokens.concat());
        let _ = untyped().compile(&tokens.join(" "));
    }

    #[test]
    fn evaluations_stay_within_budget(source in expression()) {
        let source = format!("[1].map(v, dyn({source}))");
        let json = serde_json::json!({"list": [3, 1, 2], "map": {"a": 1}, "text": "hello"});
        if let Ok(program) = untyped().compile(&source) {
            let activation = Activation::new().with("self", Value::json(&json));
            let mut budget = Budget::new(2000).with_per_call(500);
            let result = program.eval(&activation, &mut budget);
            let spent = 2000 - budget.remaining;
            let is_cost = matches!(&result, Err(error) if error.is_cost());
            prop_assert!(spent <= 500 || is_cost, "{source}: {spent} {result:?}");

        }
    }
}
