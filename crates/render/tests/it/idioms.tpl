# Values and printing

{{ .Values.name }} {{ .Values.int }} {{ .Values.big }} {{ .Values.huge }} {{ .Values.float }} {{ .Values.neg }} {{ .Values.zero }}

{{ .Values.yes }} {{ .Values.no }} "{{ .Values.empty }}" "{{ .Values.nothing }}" "{{ .Values.missing }}"

{{ .Values.list }} {{ .Values.mixed }} {{ .Values.map }} {{ .Values.emptyList }} {{ .Values.emptyMap }}

{{ .Values.missing.deeper }}

{{ .Values.nothing.deeper }}

{{ (.Values.missing).deeper }}

{{ ((.Values.missing).deeper).more | default "d" }}

{{ .Values.name.deeper }}

{{ .Values.int.deeper }}

{{ $x := .Values.missing }}{{ $x.y }}

{{ with .Values.missing }}x{{ else }}none{{ end }}

{{ .nope }} {{ .nope.x }}

{{ 1 }} {{ 1.0 }} {{ 1e3 }} {{ 0x10 }} {{ 0755 }} {{ 1_000 }} {{ 'a' }} {{ -5 }} {{ 1.5e10 }} {{ "s" }} {{ `raw` }} {{ true }} {{ nil | default 3 }}

{{ nil }}

{{ 99999999999999999999 }}

{{ "a\tb\"c\\d\u00e9\x41" }}

{{ print 1 2 "a" "b" 3 }} {{ println "x" 1 }}{{ print nil }} {{ print .Values.missing }} {{ print }}

{{ printf "%s-%d-%v-%q" "a" 1 2.5 "q" }}

{{ printf "%d" .Values.int }} {{ printf "%v" .Values.big }} {{ printf "%.0f" .Values.big }} {{ printf "%s" .Values.int }}

{{ printf "%5d|%-5d|%05d|%x|%X|%o|%b|%c|%U" 42 42 42 255 255 8 5 65 65 }}

{{ printf "%t %v %T %T %T %T %T" true nil 1 1.5 "s" .Values.list .Values.map }}

{{ printf "%8.3f|%-8.2f|%e|%g|%G" 3.14159 2.5 1234567.0 1e21 1e-7 }}

{{ printf "%s" }} {{ printf "%s" 1 2 }} {{ printf "%d" "x" }} {{ printf "%z" 1 }} {{ printf "%!" }} {{ printf "%" }} {{ printf "100%%" }}

{{ printf "%v %v" .Values.list .Values.map }} {{ printf "%q" .Values.list }} {{ printf "%d" .Values.list }}

{{ printf "%s" nil }} {{ printf "%[2]s %[1]s" "a" "b" }} {{ printf "%*d" 5 7 }} {{ printf "%+d % d" 5 5 }} {{ printf "%x" "hi" }} {{ printf "% x" "hi" }}

{{ printf "%6.2f%%" 12.345 }} {{ printf "%#v" "s" }} {{ printf "%#x" 255 }} {{ printf "%+q" "é" }} {{ printf "%.2s" "abc" }} {{ printf "%10s|%-10s|" "a" "b" }}

# Control structures

{{ if .Values.yes }}a{{ else }}b{{ end }}{{ if .Values.zero }}a{{ else if .Values.int }}c{{ else }}d{{ end }}

{{ if and .Values.yes .Values.no }}a{{ else }}b{{ end }}{{ if or .Values.no .Values.name }}{{ or .Values.no .Values.name }}{{ end }}

{{ if not .Values.empty }}e{{ end }}{{ not 1 }} {{ and 1 0 "x" }} {{ or 0 "" "z" }} {{ and }}

{{ and true (fail "no") }}

{{ and false (fail "no") }} {{ or true (fail "no") }}

{{ with .Values.map }}{{ .a }}{{ $.Values.name }}{{ end }}{{ with $v := .Values.int }}{{ $v }}{{ end }}{{ with .Values.empty }}{{ else with .Values.name }}{{ . }}{{ end }}

{{ range .Values.list }}{{ . }},{{ end }}{{ range $i, $e := .Values.list }}{{ $i }}={{ $e }};{{ end }}

{{ range $k, $v := .Values.env }}{{ $k }}={{ $v }};{{ end }}{{ range .Values.emptyList }}x{{ else }}none{{ end }}{{ range .Values.missing }}x{{ else }}missing{{ end }}

{{ range 3 }}{{ . }}{{ end }} {{ range $i := 2 }}{{ $i }}{{ end }} {{ range until 3 }}{{ . }}{{ end }}

{{ range .Values.int }}x{{ end }}

{{ range .Values.name }}x{{ end }}

{{ range $i, $e := 3 }}{{ end }}

{{ range .Values.list }}{{ if eq . "b" }}{{ continue }}{{ end }}{{ . }}{{ end }} {{ range .Values.list }}{{ if eq . "b" }}{{ break }}{{ end }}{{ . }}{{ end }}

{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}{{ if true }}{{ $x := 3 }}{{ end }}{{ $x }}

{{ range $i, $_ := list 1 2 3 }}{{ $x := $i }}{{ end }}{{ $sum := 0 }}{{ range list 1 2 3 }}{{ $sum = add $sum . }}{{ end }}{{ $sum }}

{{ $i := 0 }}{{ range $i = list "a" "b" }}{{ end }}{{ $i }}

a  {{- " b " -}}  c {{/* comment */}} d {{- /* trimmed */ -}} e

{{- /* only */ -}}

x{{ "y" -}}
  z
{{- "w" }}

{{ template "dot" "x" }}{{ template "dot" }}{{ block "blk" .Values.name }}<{{ . }}>{{ end }}

{{ define "local" }}L{{ . }}{{ end }}{{ template "local" 1 }}{{ include "local" "q" }}

{{ include "fullname" . }} {{ include "labels" . | nindent 2 }}

{{ template "missing" }}

{{ include "missing" . }}

{{ include "fails" . }}

{{ include "warns" . }}

{{ tpl .Values.tpl . }} {{ tpl "{{ define \"in\" }}IN{{ end }}{{ include \"in\" . }}" . }} {{ tpl "" . }} {{ tpl "{{ include \"name\" . }}" . }}

{{ tpl "{{ .Values.nope.x }}" . }}

{{ tpl "{{ nofunc }}" . }}

{{ tpl "{{ tpl .Values.tpl . }}{{ .Values.missing }}" . }}

{{ required "need it" .Values.missing }}

{{ required "need it" .Values.empty }}

{{ required "need it" .Values.zero }} {{ required "x" .Values.name }}

{{ fail "stop here" }}

{{ fail (printf "stop %s" .Values.name) }}

# Parse errors

{{ if }}x{{ end }}

{{ if true }}x

{{ end }}

{{ else }}

{{ nofunc 1 }}

{{ $undefined }}

{{ .Values.name

{{ "unterminated }}

{{ (1 }}

{{ 1) }}

{{ break }}

{{ range .x }}{{ end }}{{ continue }}

{{ 1 | 2 }}

{{ .a.b. }}

{{ 1a }}

{{ define "x" }}

{{ "a".b }}

{{ @ }}

{{ /* unclosed }}

{{ $x, $y := 1 }}

{{ template 1 }}

{{ if true }}a{{ else }}b{{ else }}c{{ end }}

{{ .Values.name | }}

{{ "\q" }}

{{ 'ab' }}

{{}}

{{ end if }}

# Arguments

{{ upper 1 }}

{{ upper .Values.int }}

{{ upper .Values.missing }}

{{ upper }}

{{ upper "a" "b" }}

{{ "a" | upper "b" }}

{{ replace "a" "b" }}

{{ until "x" }}

{{ until .Values.int }}

{{ until (int .Values.int) }} {{ until 0 }} {{ until -3 }} {{ untilStep 0 10 3 }} {{ untilStep 5 0 -2 }}

{{ set 1 "a" 2 }}

{{ hasKey .Values.list "a" }}

{{ ternary "a" "b" 1 }}

{{ .Values.name "x" }}

{{ .Values.list 1 }}

{{ "x" | .Values.name }}

{{ 1 2 }}

{{ (1) 2 }}

{{ call .Values.name }}

{{ call nil }}

{{ dict "a" 1 "b" }} {{ (dict "a" 1).a }} {{ (list 1 2) }}

{{ nindent "x" "y" }}

{{ lookup "v1" "Pod" "ns" "" }} {{ (lookup "v1" "Pod" "ns" "x").metadata }} {{ lookup "v1" "Pod" }}

# Comparison

{{ eq 1 1 }} {{ eq 1 2 3 1 }} {{ eq "a" "a" }} {{ ne 1 2 }} {{ lt 1 2 }} {{ le 2 2 }} {{ gt "b" "a" }} {{ ge 1.5 1.5 }} {{ eq true true }}

{{ eq 1 1.0 }}

{{ eq .Values.int 3 }}

{{ eq .Values.int 3.0 }} {{ eq (int .Values.int) 3 }} {{ gt (int .Values.int) 2 }}

{{ gt .Values.int 2 }}

{{ eq .Values.missing nil }} {{ eq .Values.nothing nil }} {{ eq nil nil }} {{ ne .Values.name nil }} {{ eq .Values.missing "a" }}

{{ eq .Values.list .Values.list }}

{{ eq .Values.map .Values.map }}

{{ eq .Values.list nil }} {{ eq .Values.emptyList nil }}

{{ lt true false }}

{{ lt .Values.missing 1 }}

{{ lt "a" 1 }}

{{ eq }}

{{ eq 1 }}

{{ eq (int64 1) 1 }} {{ lt (int64 1) 2 }} {{ eq "1" 1 }}

# index, len, slice

{{ index .Values.list 1 }} {{ index .Values.map "a" }} {{ index .Values "map" "nested" "deep" "x" }} {{ index .Values.map "zzz" }}

{{ index .Values.list 3 }}

{{ index .Values.list 5 }}

{{ index .Values.list -1 }}

{{ index .Values.list "a" }}

{{ index .Values.map 1 }}

{{ index .Values.missing "a" }}

{{ index .Values "missing" "a" }}

{{ index .Values.name 0 }} {{ index .Values.people 0 "name" }} {{ (index .Values.people 1).age }}

{{ index nil }}

{{ index .Values.int 0 }}

{{ len .Values.list }} {{ len .Values.map }} {{ len .Values.name }} {{ len "é" }} {{ len .Values.emptyMap }}

{{ len .Values.int }}

{{ len .Values.missing }}

{{ slice .Values.list 1 }} {{ slice .Values.list 0 2 }} {{ slice .Values.list }} {{ slice (list) }}

{{ slice .Values.list 1 9 }}

{{ slice .Values.name 1 }}

{{ html "<a href='x'>&\"" }} {{ js "it's \"<x>\"" }} {{ urlquery "a b&c=d/é" }} {{ html 1 .Values.missing }}

# Strings

{{ trim "  a b " }}|{{ trimAll "-" "--a-b--" }}|{{ trimSuffix "-" "a--" }}|{{ trimPrefix "-" "--a" }}|{{ trimall "$" "$5.00$" }}

{{ upper "aé" }} {{ lower "AÉ" }} {{ title "hello wORLD foo-bar it's" }} {{ untitle "Hello World" }} {{ swapcase "aBcD eF" }} {{ nospace " a b\tc " }} {{ initials "First Try here" }}

{{ repeat 3 "ab" }} {{ substr 0 3 "hello" }} {{ substr 1 -1 "hello" }} {{ substr -1 2 "hello" }} {{ trunc 3 "hello" }} {{ trunc -3 "hello" }} {{ trunc 99 "hello" }} {{ trunc 0 "x" }} {{ trunc -9 "abc" }}

{{ substr 3 1 "hello" }}

{{ substr 9 2 "hello" }}

{{ substr -1 9 "hello" }}

{{ repeat -1 "x" }}

{{ abbrev 5 "hello world" }} {{ abbrev 3 "hello" }} {{ abbrevboth 5 10 "1234 5678 9123" }} {{ abbrevboth 5 7 "abcdefghijklmno" }}

{{ contains "cat" "catch" }} {{ hasPrefix "ca" "catch" }} {{ hasSuffix "x" "catch" }} {{ cat "a" 1 nil true .Values.missing "b" }} {{ wrap 10 "the quick brown fox jumps" }} {{ wrapWith 5 "|" "hello world foobarbaz" }}

{{ wrap 5 "averylongword and short" }} {{ plural "one" "many" 1 }} {{ plural "one" "many" 2 }} {{ replace " " "-" "a b c" }} {{ replace "" "-" "ab" }}

{{ snakecase "FirstName HTTPServer http2xx" }} {{ camelcase "http_server-name x" }} {{ kebabcase "FirstName" }} {{ snakecase "a.B_c" }}

{{ quote "a" 1 nil "b\"c" true 1.5 }} {{ squote "a" 1 nil "b'c" }} {{ quote .Values.list }} {{ quote .Values.big .Values.text .Values.missing }} {{ squote .Values.map }}

{{ indent 2 "a\nb\n" }}|{{ nindent 2 "a\nb" }}|{{ indent 0 "a" }}|{{ "" | indent 2 }}|

{{ indent -1 "a" }}

{{ toString 1 }} {{ toString 1.0 }} {{ toString true }} {{ toString .Values.list }} {{ toString nil }} {{ toStrings (list 1 nil "b" 2.5) }} {{ toStrings "a" }} {{ toString .Values.big }}

{{ join "," .Values.list }} {{ join "-" .Values.mixed }} {{ join "," "abc" }} {{ join "," nil }} {{ join "," (list) }} {{ join "" .Values.ints }}

{{ sortAlpha .Values.dup }} {{ sortAlpha (list "b" 3 "a" 10) }} {{ sortAlpha "x" }} {{ splitList "," "a,b,c" }} {{ (split "." "a.b.c")._1 }} {{ split "," "" }} {{ (splitn "." 2 "a.b.c")._1 }} {{ splitList "" "abc" }} {{ (split "." "a.b")._7 }}x

{{ b64enc "hello" }} {{ b64dec "aGVsbG8=" }} {{ b64dec "!!" }} {{ b64dec "aGVsbG8" }} {{ b32enc "hello" }} {{ b32dec "NBSWY3DP" }} {{ b32dec "x" }} {{ b64enc "" }}

{{ sha1sum "a" }} {{ sha256sum "a" }} {{ adler32sum "a" }}

{{ sha512sum "a" }}

{{ "é" | trunc 1 | b64enc }} {{ "aéb" | substr 0 2 | quote }} {{ len ("é" | trunc 1) }} {{ "\xff" | toJson }} {{ "\xff" | quote }}

{{ shuffle "" }} {{ randAlphaNum 0 }} {{ len (randAlphaNum 5) }} {{ len (randNumeric 3) }} {{ len uuidv4 }} {{ len (randBytes 3) }} {{ randAlpha -1 }} {{ hello }}

{{ "foo" | printf "%s-%s" "a" }} {{ "x" | default "y" }} {{ "" | default "y" }} {{ default "d" .Values.zero }} {{ default "d" .Values.no }} {{ default "d" .Values.emptyList }} {{ default 1 }} {{ default "x" nil }}

{{ empty 0 }} {{ empty "" }} {{ empty .Values.list }} {{ empty nil }} {{ empty (dict) }} {{ coalesce 0 "" nil "z" "y" }} {{ coalesce }} {{ all 1 "a" }} {{ any 0 "" }} {{ all }} {{ any }} {{ compact (list 0 1 "" "a" nil) }} {{ ternary "a" "b" true }} {{ false | ternary "a" "b" }}

{{ atoi "12" }} {{ atoi "x" }} {{ atoi "012" }} {{ int "12" }} {{ int "0x1f" }} {{ int "08" }} {{ int "12.0" }} {{ int "1.5" }} {{ int 3.9 }} {{ int -3.9 }} {{ int true }} {{ int nil }} {{ int64 .Values.big }} {{ int .Values.list }} {{ float64 "1.5" }} {{ float64 3 }} {{ float64 "x" }} {{ toDecimal "0777" }} {{ toDecimal 777 }}

{{ int "" }} {{ int " 3" }} {{ int "1e3" }} {{ float64 "1e3" }} {{ int "-5" }} {{ int "+5" }} {{ int64 "9999999999" }} {{ int .Values.version }} {{ float64 .Values.version }}

# Math

{{ add 1 2 3 }} {{ add }} {{ sub 5 3 }} {{ mul 2 3 4 }} {{ div 7 2 }} {{ mod 7 3 }} {{ add1 5 }} {{ max 1 5 3 }} {{ min 4 2 8 }} {{ biggest 1 2 }} {{ add "3" 4.7 }} {{ div -7 2 }} {{ mod -7 3 }} {{ mul .Values.int 2 }}

{{ div 1 0 }}

{{ mod 1 0 }}

{{ floor 1.7 }} {{ ceil 1.2 }} {{ round 1.2345 2 }} {{ round 1.5 0 }} {{ round 123.555555 3 0.1 }} {{ floor "1.9" }} {{ ceil -1.5 }} {{ floor 1e10 }} {{ maxf 1.5 2 }} {{ minf 1.5 2 0.5 }} {{ round -1.5 0 }}

{{ addf 0.1 0.2 }} {{ subf 1 0.9 }} {{ mulf 1.1 1.1 }} {{ divf 1 3 }} {{ add1f 1.5 }} {{ addf 1 2 3.5 }} {{ divf 10 4 }} {{ mulf 1e10 1e10 }} {{ subf 7.5 2 3 }}

{{ divf 1 0 }}

{{ seq 5 }} {{ seq -3 }} {{ seq 0 }} {{ seq 2 5 }} {{ seq 5 2 }} {{ seq 0 2 5 }} {{ seq 0 -2 -5 }} {{ seq 5 1 2 }} {{ seq }} {{ seq 0 3 10 }}

# Lists

{{ list }} {{ list 1 "a" nil }} {{ first .Values.list }} {{ last .Values.list }} {{ rest .Values.list }} {{ initial .Values.list }} {{ first (list) }} {{ rest (list) }} {{ initial (list) }} {{ last (list) }} {{ tuple 1 2 }}

{{ append .Values.list "d" }} {{ prepend .Values.list "z" }} {{ push .Values.list 1 }} {{ concat .Values.list .Values.ints }} {{ concat }} {{ reverse .Values.list }} {{ uniq .Values.dup }} {{ without .Values.list "a" "c" }} {{ has "b" .Values.list }} {{ has 3 .Values.ints }} {{ has 3.0 .Values.ints }} {{ has 1 nil }} {{ chunk 2 .Values.list }}

{{ append "x" 1 }}

{{ first "abc" }}

{{ first nil }}

{{ concat "a" }}

{{ reverse .Values.map }}

{{ has "a" "abc" }}

{{ until 3 | first }} {{ chunk 0 (list 1) }}

{{ toJson (rest (list)) }} {{ toYaml (list) }} {{ toJson (list) }} {{ toJson (until 2) }} {{ toJson (splitList "," "a,b") }} {{ toJson (concat) }} {{ toJson (chunk 2 (list 1 2 3)) }}

# Dicts

{{ $d := dict "a" 1 "b" (list 1 2) }}{{ $_ := set $d "c" 3 }}{{ $d }} {{ unset $d "a" }} {{ hasKey $d "b" }} {{ get $d "c" }} "{{ get $d "x" }}" {{ pluck "c" $d (dict "c" 9) (dict) }} {{ keys $d | sortAlpha }} {{ values (dict "a" 1) }}

{{ pick .Values.map "a" "zzz" }} {{ omit .Values.map "nested" }} {{ dict 1 2 }} {{ dict }} {{ dict "k" }}

{{ set .Values "added" "x" | hasKey "added" }}

{{ $_ := set .Values "added" "x" }}{{ .Values.added }} {{ $_ := set .Values.map "a" "changed" }}{{ .Values.map.a }}

{{ merge (dict "a" 1) (dict "a" 2 "b" 3) }} {{ mergeOverwrite (dict "a" 1 "c" 0) (dict "a" 2 "b" 3) }} {{ merge (dict "a" (dict "x" 1)) (dict "a" (dict "x" 2 "y" 3)) }} {{ mergeOverwrite (dict "a" (dict "x" 1)) (dict "a" (dict "x" 2 "y" 3)) }}

{{ merge (dict "a" 0 "b" "" "c" false "d" nil "e" (list)) (dict "a" 1 "b" "x" "c" true "d" 2 "e" (list 1)) }} {{ mergeOverwrite (dict "a" 1 "b" "x" "c" (list 1) "d" (dict "x" 1)) (dict "a" 0 "b" "" "c" (list) "d" (dict)) }} {{ mergeOverwrite (dict "a" 1) (dict "a" nil) }} {{ merge (dict "a" 1) (dict "a" nil "b" nil) }}

{{ merge (dict "a" 1) (dict "a" (dict "x" 1)) }} {{ mergeOverwrite (dict "a" 1) (dict "a" (dict "x" 1)) }} {{ mergeOverwrite (dict "a" (dict "x" 1)) (dict "a" 5) }} {{ merge (dict "a" (list 1)) (dict "a" (list 2 3)) }} {{ merge (dict) (dict "a" 1) (dict "a" 2 "b" 2) }} {{ mustMerge (dict) (dict) }}

{{ $a := dict "x" (dict "y" 1) }}{{ $b := merge (dict) $a }}{{ $_ := set $b.x "z" 2 }}{{ $a }} {{ $c := deepCopy $a }}{{ $_ := set $c.x "w" 3 }}{{ $a }}

{{ dig "nested" "deep" "x" "none" .Values.map }} {{ dig "nested" "no" "x" "none" .Values.map }} {{ dig "a" "d" (dict "a" nil) }}

{{ dig "a" "b" "none" .Values.map }}

{{ dig "map" "a" "none" .Values }}

{{ dig "a" .Values.map }}

{{ deepEqual (list 1 2) (list 1 2) }} {{ deepEqual 1 1.0 }} {{ deepEqual (dict "a" 1) (dict "a" 1) }} {{ deepEqual (list 1) (until 2) }} {{ deepEqual nil nil }}

{{ typeOf 1 }} {{ typeOf 1.5 }} {{ typeOf "s" }} {{ typeOf true }} {{ typeOf nil }} {{ typeOf .Values.list }} {{ typeOf .Values.map }} {{ typeOf (until 2) }} {{ typeOf (keys .Values.map) }} {{ typeOf (add 1 2) }} {{ typeOf (split "," "a") }} {{ typeOf now }} {{ typeOf .Values.int }} {{ typeOf (semver "1.2.3") }} {{ typeOf .Chart.Keywords }} {{ typeOf .Chart.Annotations }} {{ typeOf .Release.Revision }}

{{ kindOf 1 }} {{ kindOf .Values.list }} {{ kindOf .Values.map }} {{ kindOf nil }} {{ kindOf "s" }} {{ kindIs "map" .Values.map }} {{ kindIs "slice" .Values.list }} {{ typeIs "string" "a" }} {{ typeIsLike "float64" .Values.int }} {{ kindOf .Values.int }} {{ kindOf .Files }} {{ kindOf .Capabilities }} {{ kindOf .Capabilities.KubeVersion }} {{ kindOf now }}

# Encodings

{{ toYaml .Values.map }}

{{ toYaml .Values.mixed }}

{{ toYaml .Values }}

{{ toYaml "str" }} {{ toYaml 1 }} {{ toYaml 1.5 }} {{ toYaml true }} {{ toYaml nil }} {{ toYaml .Values.big }} {{ toYaml "1" }} {{ toYaml "a: b" }} {{ toYaml (dict) }} {{ toYaml "" }} {{ toYaml "x\ny" }}

{{ toYaml (dict "true" 1 "null" 2 "1" 3 "1.5" 4 "a b" 5 "" 6 "y" 7 "~" 8 "0x1" 9 "1e3" 10 "-" 11 "a:" 12 "#a" 13 "- x" 14 "2020-01-01" 15) }}

{{ toYaml (list "true" "null" "1" "1.5" "a b" "" "y" "~" "0x1" "1e3" "-" "a:" "#a" "- x" "2020-01-01" "12:30" "12:30:45" "1_000" "0o17" "017" "089" ".5" "." ".." "..." "---" "--- a" "<<" "=" "!x" "&x" "*x" "%x" "@x" "`x" "'x'" "\"x\"" "x'y" "x\"y" "{x}" "[x]" "x, y" "x: y" "x:y" "x #y" "x#y" "?" "? x" "|" ">" " x" "x " "x\ty" "\tx" "x\\y" "é" "🎉" "\u00a0" "\u200b" "+1" "-1" "+.inf" ".nan" "0b1" "1." "1e" "e1" "NaN" "no" "NO" "nO" "on" "Off" "TRUE" "tRUE" "Null" "nULL" "null " "2020-1-1" "2020-01-01T00:00:00Z" "2020-01-01 00:00:00" "2020-13-01" "1:2" "a:b:c" "190:20:30" "190:70:30" "0x" "0xg" "1__0" "_1" "1_" "0" "00" "-0" "1,000" "~x" "yes!" "\u2028") }}

{{ toYaml (list "a\nb" "a\nb\n" "a\nb\n\n" "\na" " a\nb" "a\n b" "a \nb" "a\n\nb\n" "\n" "\n\n" "a\r\nb" "a\tb\nc" "#a\nb" "a\nb " "é\nx" "🎉\nx") }}

{{ toYaml (dict "k" "a\nb\n" "l" (list "a\nb") "m" (dict "n" "x\n  y\n")) }}

{{ toYaml (dict "long" "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen" "nospace" "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" "quoted" "yes: this is a long text that must be quoted because it has a colon in it and it goes on and on: for more than a line" "double" "tab\tone two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen" "spaces" "one  two  three  four  five  six  seven  eight  nine  ten  eleven  twelve  thirteen  fourteen  fifteen  sixteen") }}

{{ toYaml (list (list 1 2) (list) (dict "a" (list (dict "b" 1 "c" (list)))) (dict)) }}

{{ toYaml (dict "a10" 1 "a9" 2 "A" 4 "a" 5 "_" 6 "b" 7 "a-b" 8 "a.b" 9 "a/b" 10 "é" 11 "a1" 13 "10" 14 "9" 15 "a100" 16) }}

{{ toYaml (dict "f" 0.1 "g" 1e21 "h" 1e-7 "i" 123456789.5 "j" 1e20 "k" 100000000000000000 "l" -0.5 "m" 1.0) }}

{{ toYaml (dict "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" (dict "x" 1) "b\nc" 2) }}

{{ toYamlPretty .Values.map }} {{ toYamlPretty (dict "l" (list 1 "a" (dict "b" (list 2)))) }} {{ toYamlPretty .Values.big }}

{{ .Values.text | toYaml }} {{ .Values.text | quote }} {{ .Values.list | toYaml | nindent 4 }} {{ toYaml .Values.list | indent 2 }}

{{ toJson .Values.map }} {{ toJson .Values.mixed }} {{ toJson "<a&b>" }} {{ toRawJson "<a&b>" }} {{ toPrettyJson .Values.map }} {{ toJson nil }} {{ toJson .Values.big }} {{ toJson 1e21 }} {{ toJson 1e-7 }} {{ toJson 0.1 }} {{ toJson "\u2028\t\n\u0001\"" }} {{ toPrettyJson (list) }} {{ toPrettyJson (dict) }} {{ toPrettyJson (list 1 (dict "a" 1)) }}

{{ fromJson "{\"a\": [1, 2.5, null]}" }} {{ (fromJson "{\"a\": 1}").a }} {{ fromJsonArray "[1, \"a\"]" }} {{ fromJson "[1]" }} {{ mustFromJson "[1]" }} {{ fromJson "null" }} {{ fromJson "{" }} {{ fromJson "" }}

{{ fromYaml "a: 1\nb: [x, yes, 0755, 1.5, ~]" }} {{ (fromYaml "a: {b: c}").a.b }} {{ fromYamlArray "- 1\n- a" }} {{ fromYaml "" }} {{ fromYamlArray "" }} {{ fromYaml "- 1" | keys }} {{ hasKey (fromYaml "a: : b") "Error" }}

{{ fromYaml "a: &x {b: 1}\nc: *x\nd:\n  <<: *x\n  e: 2" }} {{ fromYaml "1: a\ntrue: b\n1.5: c\nyes: d" }} {{ fromYaml "a: 1\na: 2" | toJson }} {{ fromYaml "a: |\n  x\n  y\nb: >\n  p\n  q\n" | toJson }} {{ fromYaml "a: 0x1f\nb: 0b11\nc: 1_000\nd: 2020-01-01\ne: 12:30:45\nf: '1'\ng: !!str 1\nh: 1e3\ni: .5\nj: +1\nk: 0o17" | toJson }}

{{ fromYaml "x: 1\n---\ny: 2" | toJson }} {{ fromYaml "a: on\nb: Off\nc: y\nd: N\ne: TRUE\ng: ~\nh: null\ni: Null\nj: ''\nk:" | toJson }}

{{ toToml (dict "a" 1 "b" "x\"y" "c" (dict "d" true "e" (list 1 2) "f" (dict "g" 1.5)) "h" (list (dict "i" 1) (dict "i" 2))) }}

{{ toToml (dict "f" 1.0 "g" 1e21 "s" "a\nb" "l" (list "x" "y") "m" (list) "n" (dict)) }} {{ fromToml "a = 1\n[b]\nc = [1, \"x\"]\nd = 1.5\n" | toJson }} {{ toToml 1 }}

# Regular expressions, versions, paths, URLs

{{ regexMatch "^[a-z]+$" "abc" }} {{ regexFind "[0-9]+" "a12b3" }} {{ regexFindAll "[0-9]+" "a12b3" -1 }} {{ regexFindAll "[0-9]" "a12b3" 2 }} {{ regexReplaceAll "a(x*)b" "-ab-axxb-" "${1}W" }} {{ regexReplaceAllLiteral "a(x*)b" "-ab-axxb-" "${1}" }} {{ regexSplit "z+" "pizza" -1 }} {{ regexQuoteMeta "1.2+3" }} {{ regexSplit "," "a,b,c" 2 }} {{ regexFind "x" "abc" }}|{{ regexReplaceAll "a(x*)b" "-ab-axxb-" "$1W" }} {{ regexReplaceAll "(?P<n>a)" "banana" "<${n}>" }} {{ toJson (regexFindAll "x" "abc" -1) }}

{{ regexMatch "(" "a" }}

{{ mustRegexMatch "(" "a" }}

{{ regexReplaceAll "[^a-zA-Z0-9-]" "my name_is.x" "-" }} {{ regexReplaceAll "(.*)@(.*)" "a@b" "$2 at ${1}" }} {{ regexMatch "^\\d+$" "123" }} {{ regexSplit "" "abc" -1 }} {{ regexReplaceAll "\\W+" "a b--c" "_" }} {{ regexFind "[[:alpha:]]+" "12ab" }} {{ regexMatch "[a[]" "[" }} {{ regexReplaceAll "x*" "abc" "-" }}

{{ semverCompare ">=1.19-0" .Capabilities.KubeVersion.Version }} {{ semverCompare "^1.2" "1.3.0" }} {{ semverCompare "~1.2.3" "1.2.9" }} {{ semverCompare "1.x" "2.0.0" }} {{ semverCompare ">=1.0 <2.0 || 3.x" "3.1" }} {{ semverCompare ">= 1.2.3, < 2" "1.5.0-rc1" }} {{ semverCompare "*" "1.0.0" }} {{ semverCompare "1.2 - 1.4" "1.4.5" }} {{ semverCompare "!=1.2.3" "1.2.4" }} {{ semverCompare ">1.20-0" "1.20.0" }} {{ semverCompare "=v1.2" "1.2.7" }} {{ semverCompare "^0.0.3" "0.0.4" }} {{ semverCompare "~0" "0.9.9" }}

{{ semverCompare "bad" "1.0.0" }}

{{ semverCompare ">1" "bad" }}

{{ (semver "v1.2.3-rc.1+b5").Major }} {{ (semver "1.2").Patch }} {{ semver "v1.2" }} {{ (semver "1.2.3-rc1").Prerelease }} {{ (semver "1.2.3").Original }} {{ (semver "1.2.3") | toString }} {{ (semver "1.2.3").IncMinor }} {{ eq (semver "1.2.3").Minor 2 }} {{ toJson (semver "1.2.3") }}

{{ semver "x" }}

{{ base "a/b/c.txt" }} {{ dir "a/b/c.txt" }} {{ clean "a/../b//c" }} {{ ext "x.tar.gz" }} {{ isAbs "/a" }} {{ base "" }} {{ base "/" }} {{ dir "" }} {{ dir "/a" }} {{ clean "" }} {{ clean "../../a/.." }} {{ osBase "a/b" }} {{ ext "noext" }}

{{ urlParse "http://admin:secret@server.com:8080/api?list=false#anchor" }} {{ (urlParse "https://h/p%20q?x=1").path }} {{ urlJoin (dict "scheme" "http" "host" "h:1" "path" "/p q" "query" "a=b" "fragment" "f") }} {{ (urlParse "mailto:x@y").opaque }} {{ urlParse "/rel/path" }} {{ (urlParse "http://[::1]:80/").hostname }} {{ urlJoin (dict "host" "h" "path" "p") }} {{ urlJoin (dict "scheme" "s" "opaque" "o") }} {{ urlJoin (dict) }} {{ urlJoin (dict "scheme" "http" "host" "h" "userinfo" "u:p") }}

{{ urlParse "http://a b/" }}

{{ urlParse ":x" }}

# Dates

{{ date "2006-01-02" 0 }} {{ dateInZone "2006-01-02T15:04:05Z07:00" 86400 "Europe/Berlin" }} {{ htmlDate 0 }} {{ duration 95 }} {{ duration "3661" }} {{ durationRound "2h10m5s" }} {{ durationRound "2400h" }} {{ toDate "2006-01-02" "2017-12-31" | date "02/01/2006" }} {{ unixEpoch (toDate "2006-01-02" "2017-12-31") }} {{ toDate "2006-01-02" "2017-12-31" }} {{ dateModify "-1.5h" (toDate "2006-01-02" "2017-12-31") }} {{ (toDate "2006-01-02 15:04" "2017-12-31 13:14").Hour }} {{ date "Mon Jan _2 15:04:05.000 MST 2006 PM 3 .999" 1500000000 }}

{{ duration (int64 95) }} {{ durationRound (int64 95000000000) }} {{ (toDate "2006-01-02" "2017-12-31").Weekday }} {{ (toDate "2006-01-02" "2017-12-31").Month }} {{ (toDate "2006-01-02" "x").IsZero }} {{ toDate "2006-01-02" "x" }} {{ toJson (toDate "2006-01-02" "2017-12-31") }} {{ htmlDateInZone 0 "America/New_York" }} {{ dateInZone "15:04 MST -0700" 1500000000 "America/New_York" }}

{{ mustToDate "2006-01-02" "x" }}

{{ mustDateModify "x" (toDate "2006-01-02" "2017-12-31") }}

{{ unixEpoch "x" }}

# Built-in objects

{{ .Release.Name }} {{ .Release.Namespace }} {{ .Release.IsInstall }} {{ .Release.IsUpgrade }} {{ .Release.Revision }} {{ .Release.Service }} {{ .Release.Nope }} {{ .Template.Name }} {{ .Template.BasePath }}

{{ .Chart.Name }} {{ .Chart.Version }} {{ .Chart.AppVersion }} {{ .Chart.Description }} {{ .Chart.IsRoot }} {{ .Chart.Keywords }} {{ .Chart.Annotations }} {{ (index .Chart.Maintainers 0).Name }} {{ .Chart.Type }} {{ .Chart.Nope }} {{ .Chart.KubeVersion }} {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }} {{ .Chart }}

{{ .Capabilities.KubeVersion }} {{ .Capabilities.KubeVersion.Version }} {{ .Capabilities.KubeVersion.Major }} {{ .Capabilities.KubeVersion.Minor }} {{ .Capabilities.KubeVersion.GitVersion }} {{ .Capabilities.APIVersions.Has "apps/v1" }} {{ .Capabilities.APIVersions.Has "x/v1" }} {{ .Capabilities.HelmVersion.Version }} {{ len .Capabilities.APIVersions }} {{ has "batch/v1" .Capabilities.APIVersions }} {{ .Capabilities.APIVersions }} {{ toYaml .Capabilities.KubeVersion }}

{{ .Capabilities.Nope }}

{{ .Capabilities.KubeVersion.Nope }}

{{ .Capabilities.APIVersions.Nope }}

{{ .Files.Get "files/a.txt" }}|{{ .Files.Get "none" }}|{{ .Files.Lines "files/a.txt" }} {{ (.Files.Glob "files/*").AsConfig }} {{ (.Files.Glob "files/*.txt").AsSecrets }} {{ range $p, $_ := .Files.Glob "files/**" }}{{ $p }};{{ end }} {{ .Files.GetBytes "files/sub/c.json" }} {{ (.Files.Get "files/sub/c.json" | fromJson).x }} {{ (.Files.Glob "files/**.json").AsConfig }}

{{ range $p, $b := .Files.Glob "**.yaml" }}{{ $p }}={{ $b | toString }}{{ end }} {{ len .Files }} {{ index .Files "files/a.txt" }} {{ .Files.Get "files/raw.bin" | b64enc }} {{ .Files.Get "files/raw.bin" | sha256sum }} {{ range .Files.Lines "files/a.txt" }}{{ . | upper }}{{ end }} {{ tpl (.Files.Get "files/a.txt") . }} {{ (.Files.Glob "files/{a,b}.*").AsConfig | indent 2 }} {{ kindOf (.Files.Glob "x") }} {{ .Files.nope }}

{{ .Files.Get }}

{{ .Files.Get 1 }}

{{ .Values.AsMap.name }} {{ (.Values.Table "map").a }} {{ .Subcharts }} {{ $.Release.Name }} {{ $ | typeOf }} {{ . | kindOf }}

# Idioms of charts

{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}{{ end }}

image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"

{{- with .Values.env }}
env:
{{- range $k, $v := . }}
- name: {{ $k }}
  value: {{ $v | quote }}
{{- end }}
{{- end }}

{{- range $i, $p := .Values.people }}
{{ $i }}: {{ $p.name }} {{ $p.age }} {{ .name | upper | repeat 2 }} {{ $.Values.name }}
{{- end }}

{{ $root := . }}{{ range $k, $v := .Values.map }}{{ $k }}{{ $root.Release.Name }}{{ kindOf $v }}{{ end }}

{{ if and .Values.image (not .Values.image.tag) }}no tag{{ end }} {{ if (and .Values.yes (eq .Values.name "web")) }}both{{ end }} {{ if or (eq .Values.name "x") (hasKey .Values "name") }}has{{ end }}

{{ (printf "%s" .Values.name) | quote | nindent 2 }} {{ .Values.list | join "," | quote }} {{ .Values.list | first | upper }} {{ .Values.map.nested.deep.x | int | add 1 }}

checksum: {{ include "labels" . | sha256sum }} {{ toYaml .Values.map | b64enc }} {{ .Values.people | toJson | quote }}

{{ $ctx := dict "root" . "extra" 1 }}{{ with $ctx }}{{ .root.Release.Name }}{{ .extra }}{{ end }} {{ include "dot" (dict "a" 1) }} {{ include "dot" (list 1 "x") }}

{{ $l := list }}{{ range .Values.people }}{{ $l = append $l .name }}{{ end }}{{ $l | toJson }} {{ $d := dict }}{{ range .Values.people }}{{ $_ := set $d .name .age }}{{ end }}{{ $d | toJson }}

{{ ternary "HTTP" "HTTPS" (eq .Values.name "web") }} {{ .Values.int | toString | quote }} {{ .Values.big | int64 }} {{ .Values.huge | int64 | toString }} {{ .Values.float | quote }} {{ mul (int .Values.int) 1024 }} {{ .Values.int | mul 2 }} {{ .Values.version | quote }}

{{ .Values.people | len }} {{ len (keys .Values.map) }} {{ (first .Values.people).name }} {{ (last .Values.people).name | lower }} {{ pluck "name" (first .Values.people) | first }} {{ get (first .Values.people) "age" }}

{{ printf "%s" (.Values.missing | default (printf "%s-x" .Release.Name)) }} {{ .Values.a | default .Values.b | default "c" }} {{ coalesce .Values.a .Values.name }} {{ if .Values.missing | default true }}t{{ end }} {{ not (empty .Values.list) }}

{{ if kindIs "string" .Values.name }}s{{ end }}{{ if kindIs "float64" .Values.int }}f{{ end }}{{ if typeIs "[]interface {}" .Values.list }}l{{ end }}{{ if eq (typeOf .Values.yes) "bool" }}b{{ end }}{{ if (kindIs "invalid" .Values.nothing) }}i{{ end }}

{{- define "rec" }}{{ if gt (int .) 0 }}{{ . }}{{ include "rec" (sub (int .) 1) }}{{ end }}{{ end }}{{ include "rec" 5 }}

{{ $_ := set $ "mine" 5 }}{{ $.mine }} {{ .mine }} {{ with .Values.map }}{{ $.mine }}{{ end }}

{{ tpl (toYaml .Values.map) . }} {{ tpl "{{ range .Values.list }}{{ . }}{{ end }}" $ }} {{ tpl "{{ $x := 1 }}{{ $x }}" . }} {{ tpl "a {{- /* c */ -}} b" . }} {{ tpl "{{ .a }}" (dict "a" "<no value>") }} {{ tpl .Values.name . }}

{{ tpl 1 . }}

{{ tpl .Values.missing . }}

{{ "<no value>" }}|{{ "a<no value>b" }}

{{ (dict "a" nil).a }}|{{ list nil }}|{{ dict "a" nil }}|{{ printf "%v" (list nil) }}

# Keys, passwords, encryption: what is random is only measured

{{ decryptAES "k" (encryptAES "k" "some text é") }} {{ encryptAES "k" "" }} {{ decryptAES "secretkey" "30tEfhuJSVRhpG97XCuWgz2okj7L8vQ1s6V9zVUPeDQ=" }} {{ htpasswd "a:b" "p" }} {{ bcrypt "x" | len }} {{ bcrypt "x" | trunc 7 }} {{ htpasswd "u" "p" | trunc 9 }}

{{ derivePassword 1 "long" "password" "user" "example.com" }}

{{ derivePassword 1 "nope" "password" "user" "example.com" }} {{ genPrivateKey "nope" }} {{ genPrivateKey "ecdsa" | trunc 30 }} {{ genPrivateKey "ed25519" | trunc 27 }} {{ genPrivateKey "ed25519" | len }}

{{ $ca := genCA "my-ca" 365 }}{{ $cert := genSignedCert "x" (list "10.0.0.1") (list "x.example" "y.example") 30 $ca }}{{ kindOf $cert }} {{ typeOf $cert }} {{ trunc 27 $ca.Cert }} {{ trunc 27 $cert.Cert }} {{ (genSelfSignedCert "s" nil nil 1).Cert | trunc 27 }} {{ $c2 := buildCustomCert (b64enc $ca.Cert) (b64enc $ca.Key) }}{{ eq $c2.Cert $ca.Cert }} {{ (genSignedCert "z" nil (list) 1 $c2).Cert | trunc 27 }} {{ keys (fromJson (toJson $ca)) | sortAlpha }}

{{ genSignedCert "x" (list "nope") nil 1 (genCA "c" 1) }}

{{ genSignedCert "x" (list 1) nil 1 (genCA "c" 1) }}

{{ genSignedCert "x" nil nil 1 "ca" }}

{{ buildCustomCert "!" "!" }}

{{ genCAWithKey "x" 1 "nope" }}

{{ genCA "x" }}

{{ (genCA "x" 1).Nope }}

# More shapes of failure

{{ range .Values.list }}{{ .deeper }}{{ end }}

{{ range .Values.people }}{{ .name.first }}{{ end }}

{{ with .Values.map }}{{ .a.b }}{{ end }}

{{ (index .Values.people 0).name.x }}

{{ index .Values.people 0 | upper }}

{{ .Values.people.name }}

{{ .Values.map.nested.deep.x.y }}

{{ include "dot" }}

{{ include 1 . }}

{{ include .Values.missing . }}

{{ include "fails" . | upper }}

{{ with include "fails" . }}{{ end }}

{{ tpl "{{ include \"fails\" . }}" . }}

{{ tpl "{{ include \"warns\" . }}" . }}

{{ tpl "{{ if }}" . }}

{{ toYaml .Values.list | nindent "4" }}

{{ printf .Values.int }}

{{ default }}

{{ list | first | upper }}

{{ splitList 1 "a" }}

{{ trunc "3" "abc" }}

{{ trunc 3 .Values.int }}

{{ .Values.int | trunc 3 }}

{{ join .Values.list "," }}

{{ merge .Values.name (dict) }}

{{ merge .Values.missing (dict "a" 1) }}

{{ set .Values.missing "a" 1 }}

{{ hasKey .Values.missing "a" }} {{ keys .Values.missing }} {{ pick .Values.missing "a" }} {{ omit .Values.missing "a" }}

{{ get .Values.missing "a" }}x{{ values .Values.missing }}

{{ b64enc .Values.int }}

{{ b64enc .Values.missing }}

{{ .Values.missing | b64enc }}

{{ .Values.missing | quote }} {{ .Values.missing | toYaml }} {{ .Values.missing | toJson }} {{ .Values.missing | default "x" }} {{ .Values.missing | empty }}

{{ .Values.missing | upper }}

{{ .Values.missing | trunc 3 }}

{{ .Values.missing | int }} {{ .Values.missing | toString }} {{ .Values.missing | kindOf }} {{ .Values.missing | typeOf }} {{ .Values.missing | ternary "a" "b" }}

{{ if eq .Values.missing "x" }}a{{ else }}b{{ end }} {{ if eq "x" .Values.missing }}a{{ end }} {{ if ne .Values.missing "x" }}c{{ end }}

{{ if gt .Values.missing 1 }}x{{ end }}

{{ if gt 1.5 1 }}x{{ end }}

{{ if and }}x{{ end }}

{{ if (not) }}x{{ end }}

{{ $x }}

{{ $x = 1 }}

{{ range $k, $v, $z := .Values.map }}{{ end }}

{{ with $a, $b := 1 }}{{ end }}

{{ template "name" . | upper }}

{{ template .Values.name }}

{{ block "x" }}{{ end }}

{{ define x }}{{ end }}

{{ define "in" }}{{ define "nested" }}{{ end }}{{ end }}

{{ if true }}{{ define "in" }}{{ end }}{{ end }}

{{ .Values.list[0] }}

{{ .Values.a-b }}

{{ .Values.1a }}

{{ index .Values "a-b" }} {{ .Values.true }} {{ index .Values "true" }}

{{ "a" "b" }}

{{ .Values.name | "x" }}

{{ .Values.name || "x" }}

{{ .Values.name && "x" }}

{{ !true }}

{{ 1 + 2 }}

{{ a.b }}

{{ {{ . }} }}

{{- if true -}}
{{ .Values.nope.x -}}
{{- end -}}

line one
{{ "two" }}
   {{ .Values.nope.three }}

{{/* a comment */}}{{- /* and another */ -}}
text {{ .Values.name }} {{/* inside */}} more

{{/* bad comment */ }}

{{ (.Values.name) }} {{ ((.Values.name)) | upper }} {{ (list 1 2 3) | len }} {{ (dict "a" (dict "b" 5)).a.b }} {{ (index .Values.list 0) }}

{{ with (dict "Values" (dict "x" 1)) }}{{ .Values.x }}{{ $.Values.name }}{{ end }} {{ $v := .Values }}{{ $v.name }} {{ $v.map.nested.deep.x }} {{ $n := $v.map.nested }}{{ $n.deep }}

{{ range $i, $v := .Values.ints }}{{ if $i }},{{ end }}{{ $v }}{{ end }} {{ range $i, $v := until 3 }}{{ if gt $i 0 }},{{ end }}{{ $v }}{{ end }} {{ range tuple 1 2 }}{{ . }}{{ end }}

{{ range $k := keys .Values.env | sortAlpha }}{{ $k }}:{{ index $.Values.env $k }} {{ end }}{{ range $k, $v := dict "z" 1 "a" 2 }}{{ $k }}{{ end }}

{{ $s := "" }}{{ range .Values.list }}{{ $s = printf "%s%s" $s . }}{{ end }}{{ $s }} {{ $m := dict }}{{ range $i, $e := .Values.list }}{{ $_ := set $m $e $i }}{{ end }}{{ $m }} {{ $m | toYaml | nindent 2 }}

{{ range $p := .Values.people }}{{ with $p }}{{ .name }}{{ end }}{{ end }}{{ range .Values.people }}{{ range $k, $v := . }}{{ $k }}{{ $v }}{{ end }}{{ end }}

{{ $f := .Values.float }}{{ $f }} {{ mulf $f 2 }} {{ $f | floor | int }} {{ round $f 0 }} {{ printf "%.2f" $f }} {{ $f | toString }} {{ div $f 1 }}

{{ 3 | add 1 | mul 2 | printf "%d" }} {{ 10 | sub 3 }} {{ 10 | div 3 }} {{ "3" | int | add 2 }} {{ .Values.int | add 1 | toString | quote }} {{ add .Values.float 1 }} {{ .Values.big | add 1 }}

{{ "5Gi" | trimSuffix "Gi" | int | mul 1024 }} {{ regexFind "^[0-9]+" "512Mi" | int }} {{ printf "%dMi" (div (mul (int "4096") 75) 100) }} {{ .Values.big | int64 | toString | b64enc }}

{{ "a,b;c" | replace ";" "," | splitList "," | join "|" }} {{ "  x " | trim | upper | quote }} {{ list "b" "a" | sortAlpha | join "," }} {{ .Values.list | reverse | join "" }} {{ .Values.list | toStrings | join "-" }} {{ "x" | repeat 3 | len }} {{ "abc" | substr 1 2 }}

{{ list 1 "a" true nil 1.5 | toJson }} {{ list (dict "a" 1) | toYaml }} {{ dict "a" (list) "b" (dict) "c" nil "d" "" | toYaml }} {{ dict "x" (until 3) | toJson }} {{ tuple "a" 1 | toJson }} {{ "{\"a\":1}" | fromJson | toYaml }} {{ "- 1\n- b: 2" | fromYamlArray | toJson }}

{{ toYaml (fromYaml "a: 1.0\nb: 1e3\nc: 0.10\nd: 1_000\ne: 0x10\nf: 010\ng: 08\nh: 1.5e-7\ni: 123456789012345678901234567890\n") }}

{{ toYaml (fromYaml "a: 'single ''quoted'''\nb: \"double \\\"quoted\\\" \\u00e9 \\n\"\nc: plain text # comment\nd: |-\n  block\n   indented\ne: >-\n  folded\n  text\n\n  para\nf: [a, 'b', {c: d}]\ng: {x: 1, y: [2]}\n? complex\n: value\n") }}

{{ toYaml (fromYaml "a: !!str 123\nb: !!int '5'\nc: !!float 1\nd: !custom x\ne: &anchor\n  k: v\nf: *anchor\n") }}

{{ toYaml (fromYaml "a:\n- 1\n- - 2\n  - 3\n-   x: 1\n    y: 2\n") }}{{ toYaml (fromYaml "a:\n  - 1\n  - - 2\n    - 3\nb:\n- x: 1\n  y: 2\n") }}

{{ fromYaml "a: b: c" | keys }} {{ fromYaml "a: [1" | keys }} {{ fromYaml "a: 'x" | keys }} {{ fromYaml "- a" | keys }} {{ fromYaml "x" | keys }} {{ fromYaml "a: *b" | keys }}

{{ typeOf (fromYaml "a: 1").a }} {{ typeOf (fromJson "{\"a\": 1}").a }} {{ typeOf (fromYamlArray "[1]") }} {{ typeOf (fromJsonArray "[1]" | first) }} {{ typeOf (index (fromYaml "a: [x]").a 0) }}
