//! What is refused, and how it is said.

use expect_test::{Expect, expect};

use crate::{Env, Type};

fn check(source: &str, expected: &Expect) {
    let spec = Type::object(
        "selfType.spec",
        [
            ("replicas".to_owned(), Type::Int),
            ("name".to_owned(), Type::String),
            (
                "a-b".to_owned(),
                Type::map(Type::String, Type::list(Type::Int)),
            ),
        ],
    );
    let of = Type::object("selfType", [("spec".to_owned(), spec)]);
    let env = Env::builder().declare("self", of).build();
    let error = env.compile(source).map(|_| ()).unwrap_err();
    expected.assert_eq(&error.to_string());
}

#[test]
fn names_that_are_unknown() {
    check(
        "self.spec.replicas == size(unknown) && foo(1)",
        &expect![[r#"
            ERROR: <input>:1:28: undeclared reference to 'unknown' (in container '')
             | self.spec.replicas == size(unknown) && foo(1)
             | ...........................^
            ERROR: <input>:1:43: undeclared reference to 'foo' (in container '')
             | self.spec.replicas == size(unknown) && foo(1)
             | ..........................................^"#]],
    );
    check(
        "self.spec.nope",
        &expect![[r#"
        ERROR: <input>:1:10: undefined field 'nope'
         | self.spec.nope
         | .........^"#]],
    );
    check(
        "self.spec.name.x",
        &expect![[r#"
        ERROR: <input>:1:15: type 'string' does not support field selection
         | self.spec.name.x
         | ..............^"#]],
    );
    check(
        "self.spec.name.foo()",
        &expect![[r#"
        ERROR: <input>:1:19: undeclared reference to 'foo' (in container '')
         | self.spec.name.foo()
         | ..................^"#]],
    );
    check(
        "cel.bind(x, 1, x)",
        &expect![[r#"
        ERROR: <input>:1:1: undeclared reference to 'cel' (in container '')
         | cel.bind(x, 1, x)
         | ^
        ERROR: <input>:1:9: undeclared reference to 'bind' (in container '')
         | cel.bind(x, 1, x)
         | ........^
        ERROR: <input>:1:10: undeclared reference to 'x' (in container '')
         | cel.bind(x, 1, x)
         | .........^
        ERROR: <input>:1:16: undeclared reference to 'x' (in container '')
         | cel.bind(x, 1, x)
         | ...............^"#]],
    );
    check(
        "math.greatest(1, 2)",
        &expect![[r#"
        ERROR: <input>:1:1: undeclared reference to 'math' (in container '')
         | math.greatest(1, 2)
         | ^
        ERROR: <input>:1:14: undeclared reference to 'greatest' (in container '')
         | math.greatest(1, 2)
         | .............^"#]],
    );
    check(
        "jsonpatch.escapeKey('a')",
        &expect![[r#"
        ERROR: <input>:1:1: undeclared reference to 'jsonpatch' (in container '')
         | jsonpatch.escapeKey('a')
         | ^
        ERROR: <input>:1:20: undeclared reference to 'escapeKey' (in container '')
         | jsonpatch.escapeKey('a')
         | ...................^"#]],
    );
}

#[test]
fn types_that_do_not_fit() {
    check(
        "self.spec.replicas == 'a'",
        &expect![[r#"
        ERROR: <input>:1:20: found no matching overload for '_==_' applied to '(int, string)'
         | self.spec.replicas == 'a'
         | ...................^"#]],
    );
    check(
        "self.spec == 1",
        &expect![[r#"
        ERROR: <input>:1:11: found no matching overload for '_==_' applied to '(selfType.spec, int)'
         | self.spec == 1
         | ..........^"#]],
    );
    check(
        "self.spec.name + 1",
        &expect![[r#"
        ERROR: <input>:1:16: found no matching overload for '_+_' applied to '(string, int)'
         | self.spec.name + 1
         | ...............^"#]],
    );
    check(
        "self.spec.name.startsWith(1)",
        &expect![[r#"
        ERROR: <input>:1:26: found no matching overload for 'startsWith' applied to 'string.(int)'
         | self.spec.name.startsWith(1)
         | .........................^"#]],
    );
    check(
        "self.spec.a__dash__b['x'][0] == 'y'",
        &expect![[r#"
        ERROR: <input>:1:30: found no matching overload for '_==_' applied to '(int, string)'
         | self.spec.a__dash__b['x'][0] == 'y'
         | .............................^"#]],
    );
    check(
        "[1, 'a']",
        &expect![[r#"
        ERROR: <input>:1:5: expected type 'int' but found 'string'
         | [1, 'a']
         | ....^"#]],
    );
    check(
        "{'a': 1, 2: 3}",
        &expect![[r#"
        ERROR: <input>:1:10: expected type 'string' but found 'int'
         | {'a': 1, 2: 3}
         | .........^"#]],
    );
}

#[test]
fn logic_and_loops_that_do_not_fit() {
    check(
        "self.spec.replicas && true",
        &expect![[r#"
        ERROR: <input>:1:10: expected type 'bool' but found 'int'
         | self.spec.replicas && true
         | .........^"#]],
    );
    check(
        "self.spec.replicas.all(x, true)",
        &expect![[r#"
        ERROR: <input>:1:10: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)
         | self.spec.replicas.all(x, true)
         | .........^"#]],
    );
    check(
        "[1].all(x, x + 1)",
        &expect![[r#"
        ERROR: <input>:1:14: expected type 'bool' but found 'int'
         | [1].all(x, x + 1)
         | .............^"#]],
    );
    check(
        "true ? 1 : 'a'",
        &expect![[r#"
        ERROR: <input>:1:6: found no matching overload for '_?_:_' applied to '(bool, int, string)'
         | true ? 1 : 'a'
         | .....^"#]],
    );
    check(
        "[1, [2, [3, [4]]]]",
        &expect![[r#"
            ERROR: <input>:1:5: expected type 'int' but found 'list(dyn)'
             | [1, [2, [3, [4]]]]
             | ....^
            ERROR: <input>:1:9: expected type 'int' but found 'list(dyn)'
             | [1, [2, [3, [4]]]]
             | ........^
            ERROR: <input>:1:13: expected type 'int' but found 'list(int)'
             | [1, [2, [3, [4]]]]
             | ............^"#]],
    );
}

#[test]
fn text_that_is_no_expression() {
    check(
        "",
        &expect![[r#"
        ERROR: <input>:1:1: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
         | 
         | ^"#]],
    );
    check(
        "1 +",
        &expect![[r#"
        ERROR: <input>:1:4: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
         | 1 +
         | ...^"#]],
    );
    check(
        "self.spec)",
        &expect![[r#"
        ERROR: <input>:1:10: Syntax error: mismatched input ')' expecting <EOF>
         | self.spec)
         | .........^"#]],
    );
    check(
        "'abc",
        &expect![[r#"
        ERROR: <input>:1:1: Syntax error: token recognition error at: '''
         | 'abc
         | ^"#]],
    );
    check(
        "1 + \n\t$",
        &expect![[r#"
        ERROR: <input>:2:2: Syntax error: token recognition error at: '$'
         |  $
         | .^"#]],
    );
    check(
        "for",
        &expect![[r#"
        ERROR: <input>:1:1: reserved identifier: for
         | for
         | ^"#]],
    );
    check(
        "99999999999999999999",
        &expect![[r#"
        ERROR: <input>:1:1: invalid int literal
         | 99999999999999999999
         | ^"#]],
    );
    check(
        "has(self)",
        &expect![[r#"
        ERROR: <input>:1:5: invalid argument to has() macro
         | has(self)
         | ....^"#]],
    );
    check(
        "[1].all(x.y, true)",
        &expect![[r#"
        ERROR: <input>:1:10: argument must be a simple name
         | [1].all(x.y, true)
         | .........^"#]],
    );
    check(
        "'é' + ü",
        &expect![[r#"
        ERROR: <input>:1:7: Syntax error: token recognition error at: 'ü'
         | 'é' + ü
         | .．....＾"#]],
    );
    check(
        "Foo{a: 1}",
        &expect![[r#"
        ERROR: <input>:1:4: undeclared reference to 'Foo' (in container '')
         | Foo{a: 1}
         | ...^"#]],
    );
}
