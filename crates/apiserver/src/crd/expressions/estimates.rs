//! Estimates for schemas: numbers that decide which definitions are accepted, thus may not change.

use serde_json::Value;

use crate::crd::declare::Declared;

/// What expressions over a schema are estimated to cost.
fn check(schema: &str, table: &[(&str, u64)]) {
    let raw: Value = serde_saphyr::from_str(schema).unwrap();
    let (schema, causes) = crate::crd::structural::compile(&raw, "schema");
    assert_eq!(causes, vec![]);
    let declared = Declared::of(&schema, true, "selfType").unwrap();
    let env = cel::Env::builder()
        .declare("self", declared.of.clone())
        .build();
    let mut wrong = vec![];
    for (source, expected) in table {
        let found = match env.compile_with_sizes(source, &declared) {
            Ok(program) => program.estimated_cost().max,
            Err(error) => panic!("{error}"),
        };
        if found != *expected {
            wrong.push(format!("{source}: {found}, expected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn with(properties: &str) -> String {
    format!("{{type: object, properties: {{{properties}}}}}")
}

#[test]
fn scalars() {
    check(
        &with("a: {type: integer}, b: {type: number}, c: {type: boolean}, d: {type: boolean}"),
        &[
            ("self.a == self.a", 4),
            ("type(self.a) == int", 4),
            ("self.a + 1 == 2147483647 + 1", 5),
            ("double(self.a) < self.b", 6),
            ("double(5) < 10.0", 2),
            ("int(self.b) == self.a", 5),
            ("self.c != self.d", 4),
        ],
    );
    check(
        &with(
            "a: {type: string, format: duration}, b: {type: string, format: date-time}, s: {type: string}",
        ),
        &[
            ("self.a == duration('1h2m') + duration('3s4ms')", 6),
            ("self.a.getHours() == 1", 4),
            ("self.b.getDate() == 18", 4),
            ("duration(self.s) == self.a", 6),
            ("string(self.b) == self.s", 314_578),
        ],
    );
}

#[test]
fn text() {
    check(
        &with(
            "a: {type: string}, b: {type: string, enum: [Pending, Available]}, c: {type: string, format: byte}, d: {type: string, format: byte}, e: {type: integer}",
        ),
        &[
            ("self.a.startsWith('Rook')", 3),
            ("self.a.substring(5) == 'takes x'", 314_576),
            ("self.a.substring(4, 10).trim() == 'takes'", 629_149),
            ("self.a.lowerAscii() == self.a.lowerAscii()", 943_723),
            ("self.b == 'Pending'", 3),
            ("self.b in ['Pending', 'Available']", 14),
            ("self.c == self.d", 314_577),
            ("self.c == b'AB'", 3),
            ("size(self.c) == 2", 4),
            ("bytes(self.a) == self.c", 629_150),
            ("string(self.c) == self.a", 629_150),
            ("string(self.e) == self.a", 314_578),
        ],
    );
}

#[test]
fn lists() {
    check(
        &with("a: {type: array, items: {type: integer}}, b: {type: array, items: {type: integer}}"),
        &[
            ("1 in self.a", 1_572_865),
            ("self.b[0] in self.a", 1_572_868),
            ("self.a + self.b == [1, 2, 3, 1, 2, 3]", 16),
            ("self.a + [4, 5] == [1, 2, 3, 4, 5]", 24),
            ("has(self.a) && has(self.b)", 2),
            ("self.a.all(k, size(self.a) > 0)", 11_010_044),
            ("self.a.exists_one(k, self.a == [2])", 23_592_949),
            ("size(self.a.filter(k, size(self.a) > 1)) == 1", 26_738_686),
            ("self.a.exists(e, e > 2)", 9_437_181),
            ("size(self.a.filter(e, e%2 == 0)) == 3", 25_165_823),
            (
                "self.a.map(e, e * 20).filter(e, e > 50).exists(e, e == 60)",
                53_477_367,
            ),
        ],
    );
    check(
        &with(
            "l: {type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [k], items: {type: object, required: [k], properties: {k: {type: string}, v: {type: string}, v2: {type: string}}}}, o: {type: array, items: {type: object, properties: {f1: {type: string}}}}",
        ),
        &[("has(self.l[0].v)", 3), ("self.o[0] == self.o[1]", 6)],
    );
    check(
        &with(
            "l: {type: array, items: {type: object, properties: {k: {type: string}, v: {type: string}, v2: {type: string}}}}",
        ),
        &[
            ("self.l.all(m, m.k.startsWith('a'))", 6_291_453),
            ("self.l.all(m, !has(m.v2) || m.v2 == 'z')", 8_388_603),
            ("self.l.exists_one(m, m.k == 'a3')", 5_242_879),
            ("self.l.exists(m, m.k == 'a1' && m.v == 'b1')", 10_485_753),
            ("self.l.map(m, m.v).exists(v, v == 'b1')", 19_922_939),
            (
                "self.l.map(m, has(m.v2) && m.v2 == 'z', m.v2).size() == 1",
                18_874_365,
            ),
            (
                "self.l.filter(m, has(m.v2) && m.v2 == 'z').map(m, m.v2).size() == 1",
                32_505_851,
            ),
        ],
    );
}

#[test]
fn maps_and_objects() {
    check(
        &with(
            "m: {type: object, additionalProperties: {type: string}}, n: {type: object, additionalProperties: {type: string}}, i: {type: object, additionalProperties: {type: integer}}, a: {type: object, properties: {b: {type: integer}}}",
        ),
        &[
            ("self.m == self.n", 39_326),
            ("'k1' in self.m", 3),
            ("self.m == {'k1': 'a', 'k2': 'b'}", 33),
            ("self.m.all(k, size(self.m) > 0)", 2_752_508),
            ("self.m.exists_one(k, size(self.m) > 0)", 2_359_294),
            ("size(self.m.filter(k, size(self.m) > 1)) == 1", 6_684_670),
            ("self.i.all(k, self.i[k] > 0)", 3_595_115),
            ("size(self.i.filter(k, self.i[k] > 1)) == 1", 8_089_017),
            ("has(self.a.b)", 2),
            ("has(self.i.b)", 2),
            ("!(has(self.a) && has(self.a.b))", 4),
        ],
    );
}
