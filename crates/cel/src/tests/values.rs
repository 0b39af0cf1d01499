//! What expressions are.

use std::sync::Arc;

use super::{check_all, show, untyped};
use crate::{Activation, Budget, Type};

#[test]
fn literals_and_operators() {
    check_all(&[
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("-5 / 2", "-2"),
        ("-5 % 2", "-1"),
        ("- -3", "3"),
        ("!!true", "true"),
        ("0x10 + 1", "17"),
        ("1u + 2u", "3u"),
        ("1.5e2", "150.0"),
        (".5", "0.5"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("'a' + \"b\" + '''c'd'''", r#""abc'd""#),
        (r"'\u00e9\x41\101\n'", r#""éAA\n""#),
        (r"r'\d'", r#""\\d""#),
        ("b'abc'", r#""YWJj""#),
        ("string(b'\\xc3\\xa9')", r#""é""#),
        ("[1, 2] + [3]", "[1,2,3]"),
        ("{'a': [1], 'b': [2, 3]}", r#"{"a":[1],"b":[2,3]}"#),
        ("{1: 'a', 2: 'b'}[2]", r#""b""#),
        ("{1: 'a'}[dyn(1.0)]", r#""a""#),
        ("[1, 2, 3][1]", "2"),
        ("1 < 2 && 2.0 >= 1 && 1u < 2", "true"),
        ("1 == dyn(1.0) && 1u == dyn(1) && dyn(1) != 'a'", "true"),
        ("'a' in ['a', 'b'] && !('c' in ['a', 'b'])", "true"),
        (
            "self.text in ['hello'] && self.int in [5, 6] && dyn(5.0) in [5]",
            "true",
        ),
        ("2 in [] || 'a' in {'a': 1}", "true"),
        ("true ? 1 : 2", "1"),
        ("false ? 1 : true ? 2 : 3", "2"),
        (
            "type(1) == int && type('') == string && type(type(1)) == type",
            "true",
        ),
        (
            "type(null) == null_type && type([]) == list && type({}) == map",
            "true",
        ),
        ("type(duration('1s')) == google.protobuf.Duration", "true"),
        ("// comment\n1", "1"),
        (
            "a.b.c // no\n",
            "! ERROR: <input>:1:1: undeclared reference to 'a' (in container '')\n | a.b.c // no\n | ^",
        ),
        (
            "size('héllo') + [1].size() + {'a': 1}.size() + size(b'ab')",
            "9",
        ),
        ("'abc' < 'abd' && b'a' < b'b' && false < true", "true"),
    ]);
}

#[test]
fn conversions() {
    check_all(&[
        ("int('12') + int(3.9) + int(4u)", "19"),
        (
            "int('x')",
            "! ERROR: <input>:1:5: strconv.ParseInt: parsing \"x\": invalid syntax\n | int('x')\n | ....^",
        ),
        (
            "int(self.text)",
            "! strconv.ParseInt: parsing \"hello\": invalid syntax",
        ),
        ("uint(5) + uint('6')", "11u"),
        ("double('1.5') + double(1)", "2.5"),
        (
            "string(1) + string(1.5) + string(true) + string(2u)",
            r#""11.5true2""#,
        ),
        ("string(1.0) + string(duration('90m')) ", r#""15400s""#),
        (
            "string(timestamp('2023-01-02T03:04:05.120Z'))",
            r#""2023-01-02T03:04:05.12Z""#,
        ),
        ("bool('true') && !bool('false')", "true"),
        ("bytes('é').size()", "2"),
        ("int(timestamp('1970-01-01T00:01:00Z'))", "60"),
        ("timestamp(60) == timestamp('1970-01-01T00:01:00Z')", "true"),
    ]);
}

#[test]
fn variables_and_fields() {
    check_all(&[
        ("self.int + self.list[0]", "6"),
        ("self['text']", r#""hello""#),
        ("self.map.a + self.map['b']", "3"),
        ("has(self.map.a) && !has(self.map.z)", "true"),
        ("has(self.map.z.y)", "! no such key: z"),
        ("self.none == null", "true"),
        ("self.missing", "! no such key: missing"),
        ("self.list[5]", "! index out of bounds: 5"),
        (
            "self.list['a']",
            "! unsupported index type 'string' in list",
        ),
        (
            "self.nested.list.filter(e, e.value > 1).map(e, e.name)",
            r#"["y"]"#,
        ),
        ("self.double == 1.5 && self.flag", "true"),
        ("x", "! no such attribute(s): x"),
    ]);
}

#[test]
fn macros() {
    check_all(&[
        (
            "[1, 2, 3].all(i, i > 0) && !self.list.all(i, i > 1)",
            "true",
        ),
        ("self.list.exists(i, i == 2)", "true"),
        (
            "self.list.exists_one(i, i > 2) && [1, 2].existsOne(i, i > 1)",
            "true",
        ),
        ("self.list.map(i, i * 2)", "[2,4,6]"),
        ("self.list.map(i, i > 1, i * 2)", "[4,6]"),
        ("self.map.map(k, k)", r#"["a","b"]"#),
        ("self.list.filter(i, i % 2 == 1)", "[1,3]"),
        ("self.list.all(i, v, i + 1 == v)", "true"),
        ("self.map.exists(k, v, k == 'b' && v == 2)", "true"),
        ("self.list.exists_one(i, v, v == 2)", "true"),
        ("self.list.transformList(i, v, v * i)", "[0,2,6]"),
        ("self.list.transformList(i, v, i > 0, v)", "[2,3]"),
        ("self.map.transformMap(k, v, v + 1)", r#"{"a":2,"b":3}"#),
        ("self.map.transformMap(k, v, v > 1, v)", r#"{"b":2}"#),
        (
            "self.map.transformMapEntry(k, v, {k + k: v})",
            r#"{"aa":1,"bb":2}"#,
        ),
        (
            "[1, 2].transformMapEntry(i, v, {'same': v})",
            "! insert failed: key same already exists",
        ),
        (
            "[[1, 2], [3]].map(l, l.map(i, [i].all(j, j == i)))",
            "[[true,true],[true]]",
        ),
        ("[3, 1, 2].sortBy(e, -e)", "[3,2,1]"),
        (
            "self.nested.list.sortBy(e, -e.value).map(e, e.name)",
            r#"["y","x"]"#,
        ),
        ("[0, 1].exists(i, 1 / i == 1)", "true"),
        ("[1, 0].all(i, 1 / i == 2)", "false"),
        ("[0].all(i, 1 / i == 2)", "! division by zero"),
        ("[1, 2].map(i, 1 / (i - 1))", "! division by zero"),
    ]);
}

#[test]
fn errors_are_absorbed() {
    check_all(&[
        ("true || 1 / 0 == 1", "true"),
        ("1 / 0 == 1 || true", "true"),
        ("1 / 0 == 1 && false", "false"),
        ("1 / 0 == 1 || false", "! division by zero"),
        ("false && self.missing", "false"),
        ("self.missing || false", "! no such key: missing"),
        ("self.int || false", "! no such overload"),
        ("true ? 1 : 1 / 0", "1"),
        ("9223372036854775807 + 1", "! integer overflow"),
        ("0u - 1u", "! unsigned integer overflow"),
        ("5 % 0", "! modulus by zero"),
        ("self.text + 1", "! no such overload"),
        ("{'a': 1, 'a': 2}", "! Failed with repeated key [a]"),
    ]);
}

#[test]
fn optionals() {
    check_all(&[
        ("self.?map.?a", "optional(1)"),
        ("self.?map.?z", "none"),
        ("self.?nope.deeper.?still", "none"),
        ("self.?int.orValue(7) + self.?nope.orValue(7)", "12"),
        ("self.list[?1].value() + self.list[?9].orValue(1)", "3"),
        (
            "self.map[?'a'].hasValue() && !self.map[?'z'].hasValue()",
            "true",
        ),
        ("optional.none().or(optional.of(3)).value()", "3"),
        ("optional.of(3).or(optional.of(1 / 0)).value()", "3"),
        ("optional.none().value()", "! optional.none() dereference"),
        ("optional.ofNonZeroValue('') == optional.none()", "true"),
        ("self.?int.optMap(v, v + 1)", "optional(6)"),
        ("self.?nope.optMap(v, v + 1)", "none"),
        (
            "self.?list.optMap(l, [1, 2].all(i, i in l))",
            "optional(true)",
        ),
        ("self.?list.optFlatMap(l, l[?0])", "optional(1)"),
        (
            "[1].optMap(v, v)",
            "! ERROR: <input>:1:11: found no matching overload for 'hasValue' applied to 'list(int).()'\n | [1].optMap(v, v)\n | ..........^\nERROR: <input>:1:11: found no matching overload for 'value' applied to 'list(int).()'\n | [1].optMap(v, v)\n | ..........^",
        ),
        ("[?self.?int, ?self.?nope, dyn(1)]", "[5,1]"),
        ("{?'a': self.?int, ?'b': self.?nope}", r#"{"a":5}"#),
        ("[1, 2].first().value() + [1, 2].last().value()", "3"),
        ("[].first()", "none"),
        ("optional.unwrap([optional.of(1), optional.none()])", "[1]"),
        ("[optional.of(1), optional.none()].unwrapOpt()", "[1]"),
    ]);
}

#[test]
fn text() {
    check_all(&[
        (
            "'hello'.contains('ell') && 'hello'.startsWith('he') && 'hello'.endsWith('lo')",
            "true",
        ),
        (
            "'hello'.matches('^h.*o$') && matches('a1', '[0-9]')",
            "true",
        ),
        ("'héllo'.charAt(1) + 'ab'.charAt(2)", r#""é""#),
        ("'ab'.charAt(3)", "! index out of range: 3"),
        ("'hello'.indexOf('l') * 10 + 'hello'.lastIndexOf('l')", "23"),
        (
            "'hello'.indexOf('l', 3) * 10 + 'hello'.lastIndexOf('l', 2)",
            "32",
        ),
        ("'hello'.indexOf('z') + 'hello'.lastIndexOf('')", "4"),
        ("'HeLLo'.lowerAscii() + 'x'.upperAscii()", r#""helloX""#),
        ("' a '.trim()", r#""a""#),
        (
            "'aaa'.replace('a', 'b') + 'aaa'.replace('a', 'b', 1)",
            r#""bbbbaa""#,
        ),
        ("'a,b,c'.split(',')", r#"["a","b","c"]"#),
        ("'a,b,c'.split(',', 2)", r#"["a","b,c"]"#),
        ("'abc'.split('')", r#"["a","b","c"]"#),
        ("'abc'.split('', 2)", r#"["a","bc"]"#),
        ("'abc'.split(',', 0)", "[]"),
        (
            "'tacocat'.substring(4) + 'tacocat'.substring(0, 4)",
            r#""cattaco""#,
        ),
        ("'abc'.substring(4)", "! index out of range: 4"),
        (
            "'abc'.substring(2, 1)",
            "! invalid substring range. start: 2, end: 1",
        ),
        ("['a', 'b'].join() + ['c', 'd'].join('-')", r#""abc-d""#),
        ("strings.quote('a\"b\\n')", r#""\"a\\\"b\\n\"""#),
        ("'abc123de4'.find('[0-9]+')", r#""123""#),
        ("'1a2b3'.findAll('[0-9]')", r#"["1","2","3"]"#),
        ("'1a2b3'.findAll('[0-9]', 2)", r#"["1","2"]"#),
        ("'x'.find('')", r#""""#),
        ("self.text.matches(self.text)", "true"),
        (
            "'a'.matches('(')",
            "! ERROR: <input>:1:13: invalid matches argument\n | 'a'.matches('(')\n | ............^",
        ),
    ]);
}

#[test]
fn formatted_text() {
    check_all(&[
        ("'%s is %d %%'.format(['x', 3])", r#""x is 3 %""#),
        ("'%.2f %f'.format([1.234, 2.0])", r#""1.23 2.000000""#),
        (
            "'%b %b %o %x %X'.format([5, true, 8, 255, 'hi'])",
            r#""101 1 10 ff 6869""#,
        ),
        (
            "'%s %s'.format([[1, 'a'], {'k': 2.5}])",
            r#""[1, \"a\"] {\"k\":2.500000}""#,
        ),
        ("'%s'.format([duration('1m')])", r#""60s""#),
        ("'%e'.format([1052.032911275])", r#""1.052033×10⁰³""#),
        (
            "'%d'.format(['x'])",
            "! error during formatting: decimal clause was given string",
        ),
        ("'%s'.format([])", "! index 0 out of range"),
    ]);
}

#[test]
fn lists_and_sets() {
    check_all(&[
        ("[1, 2, 3].isSorted() && !['b', 'a'].isSorted()", "true"),
        ("[1, 2, 3].sum() + [1, 5, 3].max() - [4, 2].min()", "9"),
        ("[1.5, 2.5].sum()", "4.0"),
        ("dyn([]).min()", "! min called on empty list"),
        ("[1, 2, 1].indexOf(1) * 10 + [1, 2, 1].lastIndexOf(1)", "2"),
        ("[1, 2, 3, 4].slice(1, 3)", "[2,3]"),
        ("[1].slice(0, 2)", "! cannot slice(0, 2), list is length 1"),
        ("[[1, 2], [3]].flatten()", "[1,2,3]"),
        ("[[[1], [2]], [[3]]].flatten(2)", "[1,2,3]"),
        ("lists.range(4)", "[0,1,2,3]"),
        ("[1, 2, 3].reverse()", "[3,2,1]"),
        ("[1, 2, 1, 3].distinct()", "[1,2,3]"),
        ("['c', 'a', 'b'].sort()", r#"["a","b","c"]"#),
        (
            "sets.contains([1, 2, 3], [2, 1]) && !sets.contains([1], [2])",
            "true",
        ),
        (
            "sets.equivalent([1, 2], [2, 1, 1]) && sets.intersects([1], [1, 2])",
            "true",
        ),
    ]);
}

#[test]
fn time() {
    check_all(&[
        (
            "timestamp('2023-05-06T07:08:09.123Z').getFullYear()",
            "2023",
        ),
        ("timestamp('2023-05-06T07:08:09.123Z').getMonth()", "4"),
        (
            "timestamp('2023-05-06T07:08:09.123Z').getDate() * 100 + timestamp('2023-05-06T07:08:09Z').getDayOfMonth()",
            "605",
        ),
        ("timestamp('2023-05-06T07:08:09.123Z').getDayOfWeek()", "6"),
        ("timestamp('2023-01-02T07:08:09.123Z').getDayOfYear()", "1"),
        (
            "timestamp('2023-05-06T07:08:09.123Z').getHours('+02:00')",
            "9",
        ),
        (
            "timestamp('2023-05-06T07:08:09.123Z').getHours('America/New_York')",
            "3",
        ),
        (
            "timestamp('2023-05-06T07:08:09.123Z').getMilliseconds()",
            "123",
        ),
        (
            "duration('1h30m').getMinutes() + duration('90s').getSeconds()",
            "180",
        ),
        (
            "timestamp('2023-05-06T00:00:00Z') + duration('24h') == timestamp('2023-05-07T00:00:00Z')",
            "true",
        ),
        (
            "timestamp('2023-05-06T00:00:01Z') - timestamp('2023-05-06T00:00:00Z')",
            r#""1s""#,
        ),
        ("duration('1.5s') + duration('500ms')", r#""2s""#),
        ("duration('-1h') < duration('0')", "true"),
        (
            "timestamp('9999-12-31T23:59:59Z') + duration('1h')",
            "! timestamp overflow",
        ),
        (
            "timestamp('nope')",
            "! ERROR: <input>:1:11: invalid timestamp argument\n | timestamp('nope')\n | ..........^",
        ),
        (
            "duration('nope')",
            "! ERROR: <input>:1:10: invalid duration argument\n | duration('nope')\n | .........^",
        ),
    ]);
}

#[test]
fn quantities_and_addresses() {
    check_all(&[
        (
            "quantity('1Gi').add(quantity('1Gi')) == quantity('2048Mi')",
            "true",
        ),
        ("quantity('50k').sub(20).asInteger()", "49980"),
        ("quantity('1500m').isInteger() || isQuantity('x')", "false"),
        ("quantity('1500m').asApproximateFloat()", "1.5"),
        (
            "quantity('1').compareTo(quantity('2')) + sign(quantity('-3'))",
            "-2",
        ),
        (
            "quantity('100M').isGreaterThan(quantity('50M')) && quantity('1').isLessThan(quantity('2'))",
            "true",
        ),
        ("ip('192.168.0.1').family() + ip('::1').family()", "10"),
        (
            "isIP('1.2.3.4') && !isIP('1.2.3') && !isIP('::ffff:1.2.3.4')",
            "true",
        ),
        ("ip.isCanonical('::1') && !ip.isCanonical('::0:1')", "true"),
        (
            "ip('127.0.0.1').isLoopback() && ip('0.0.0.0').isUnspecified() && ip('10.0.0.1').isGlobalUnicast()",
            "true",
        ),
        (
            "ip('224.0.0.1').isLinkLocalMulticast() && ip('fe80::1').isLinkLocalUnicast()",
            "true",
        ),
        ("string(ip('::0001'))", r#""::1""#),
        (
            "cidr('10.0.0.0/8').containsIP('10.1.1.1') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))",
            "true",
        ),
        (
            "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.0.0.0/8').containsCIDR(cidr('10.0.0.0/7'))",
            "true",
        ),
        (
            "string(cidr('10.1.2.3/8').masked()) + string(cidr('10.1.2.3/8').ip())",
            r#""10.0.0.0/810.1.2.3""#,
        ),
        ("cidr('::/64').prefixLength()", "64"),
        ("isCIDR('1.2.3.0/24') && !isCIDR('1.2.3.0/33')", "true"),
        ("type(ip('::1')) == net.IP", "true"),
    ]);
}

#[test]
fn urls_versions_and_formats() {
    check_all(&[
        (
            "url('https://user@example.com:80/path?k=a&k=b').getHost()",
            r#""example.com:80""#,
        ),
        (
            "url('https://example.com:80/').getHostname() + url('https://[::1]:80/').getHostname()",
            r#""example.com::1""#,
        ),
        (
            "url('https://example.com:80/a b').getEscapedPath() + url('/x').getScheme()",
            r#""/a%20b""#,
        ),
        (
            "url('https://e.com/?k=a&k=b').getQuery()",
            r#"{"k":["a","b"]}"#,
        ),
        ("url('https://e.com:81').getPort()", r#""81""#),
        (
            "isURL('https://x.y/z') && isURL('/abs') && !isURL('../rel') && !isURL('x y')",
            "true",
        ),
        (
            "semver('1.2.3').isLessThan(semver('1.10.0')) && !isSemver('1.2')",
            "true",
        ),
        (
            "semver('v1.02', true).minor() + semver('1.2.3').patch()",
            "5",
        ),
        ("format.dns1123Label().validate('ok')", "none"),
        (
            "format.dns1123Label().validate('a.b')",
            r#"optional(["must not contain dots"])"#,
        ),
        (
            "format.named('uuid').value().validate('x')",
            r#"optional(["does not match the UUID format"])"#,
        ),
        ("!format.named('nope').hasValue()", "true"),
    ]);
}

#[test]
fn lazy_variables_are_evaluated_once_and_when_needed() {
    let env = untyped();
    let one = Arc::new(env.compile("lists.range(50).map(i, i).size()").unwrap());
    let bad = Arc::new(env.compile("1 / 0").unwrap());
    let fields = [("one", Type::Int), ("bad", Type::Int)];
    let fields = fields.map(|(name, of)| (name.to_owned(), of));
    let of = Type::object("kubernetes.variables", fields);
    let env = env.extend().declare("variables", of).build();
    let variables = || {
        let programs = [
            ("one".to_owned(), one.clone()),
            ("bad".to_owned(), bad.clone()),
        ];
        Activation::new().with_lazy("variables", programs)
    };
    let run = |source: &str| {
        let mut budget = Budget::default();
        let result = env.compile(source).unwrap().eval(&variables(), &mut budget);
        let shown = result.map_or_else(|error| format!("! {error}"), |value| show(&value));
        (shown, Budget::PER_OBJECT - budget.remaining)
    };
    let (found, once) = run("variables.one");
    assert_eq!(found, "50");
    assert_eq!(
        run("variables.one + variables.one"),
        ("100".into(), once + 3)
    );
    assert_eq!(run("variables.?one"), ("optional(50)".into(), once));
    assert_eq!(run("has(variables.bad)").0, "true");
    assert_eq!(run("variables.bad").0, "! division by zero");
    assert_eq!(run("true || variables.bad == 1").0, "true");
}
