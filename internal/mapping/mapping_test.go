package mapping

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
)

// rule is a selection rule as text.
func rule(id, action, schema, table, more string) string {
	return fmt.Sprintf(`{"rule-type": "selection", "rule-id": %s, "rule-name": "r", "rule-action": %q,
		"object-locator": {"schema-name": %q, "table-name": %q}%s}`, id, action, schema, table, more)
}

func document(rules ...string) string {
	return `{"rules": [` + strings.Join(rules, ", ") + `]}`
}

func parse(t *testing.T, doc string) *Rules {
	t.Helper()
	r, err := Parse([]byte(doc))
	if err != nil {
		t.Fatalf("Parse(%s): %v", doc, err)
	}
	return r
}

func TestTicketDocument(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("testdata", "tickets.json"))
	if err != nil {
		t.Fatal(err)
	}
	r := parse(t, string(doc))
	for _, c := range []struct {
		schema, table string
		want          bool
	}{
		{"dms_sample", "ticket_purchase_hist", true},
		{"dms_sample", "ticket_purchase_history", false},
		{"dms_sample", "sporting_event", false},
		{"other", "ticket_purchase_hist", false},
		{"DMS_SAMPLE", "ticket_purchase_hist", false},
	} {
		if got := r.Selected(c.schema, c.table); got != c.want {
			t.Errorf("Selected(%s, %s) = %t, want %t", c.schema, c.table, got, c.want)
		}
	}
	if r.SelectedView("dms_sample", "ticket_purchase_hist") {
		t.Error("a rule without table-type selects a view")
	}
	if !r.CaseInsensitive().Selected("DMS_Sample", "Ticket_Purchase_Hist") {
		t.Error("a server that folds names is not followed")
	}
}

func TestSelected(t *testing.T) {
	for _, c := range []struct {
		name      string
		doc       string
		yes, no   []string // schema.table
		wantViews []string
	}{
		{
			name: "exclude wins, after or before the include",
			doc: document(rule(`"1"`, "exclude", "shop", "a%", ""), rule(`"2"`, "include", "shop", "%", ""),
				rule(`"3"`, "exclude", "shop", "b", "")),
			yes: []string{"shop.c", "shop.bb"}, no: []string{"shop.a", "shop.abc", "shop.b", "else.c"},
		}, {
			name: "system schemas are never selected",
			doc:  document(rule("1", "include", "%", "%", "")),
			yes:  []string{"shop.t", "mysql2.t"},
			no:   []string{"mysql.user", "sys.config", "information_schema.TABLES", "INFORMATION_SCHEMA.TABLES", "performance_schema.threads"},
		}, {
			name: "explicit takes its names as they are",
			doc:  document(rule("1", "explicit", "my_shop", "a_b", "")),
			yes:  []string{"my_shop.a_b"}, no: []string{"my_shop.axb", "myxshop.a_b"},
		}, {
			name: "one character, a literal underscore, sets and ranges",
			doc: document(rule("1", "include", "s", "a_c", ""), rule("2", "include", "s", "d[_]f", ""),
				rule("3", "include", "s", "g[xy]", ""), rule("4", "include", "s", "h[a-d0-3]", "")),
			yes: []string{"s.abc", "s.a_c", "s.aéc", "s.d_f", "s.gx", "s.gy", "s.ha", "s.hd", "s.h2"},
			no:  []string{"s.ac", "s.abbc", "s.dxf", "s.gz", "s.gxy", "s.he", "s.h4", "s.h-"},
		}, {
			name: "the include of views",
			doc: document(`{"rule-type":"selection","rule-id":1,"rule-action":"include","object-locator":{"schema-name":"s","table-name":"v%","table-type":"view"}}`,
				`{"rule-type":"selection","rule-id":2,"rule-action":"include","object-locator":{"schema-name":"s","table-name":"b%","table-type":"all"}}`),
			yes: []string{"s.b1"}, no: []string{"s.v1"}, wantViews: []string{"s.v1", "s.b1"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := parse(t, c.doc)
			check := func(names []string, want bool) {
				for _, n := range names {
					schema, table, _ := strings.Cut(n, ".")
					if got := r.Selected(schema, table); got != want {
						t.Errorf("Selected(%s) = %t, want %t", n, got, want)
					}
				}
			}
			check(c.yes, true)
			check(c.no, false)
			for _, n := range c.wantViews {
				schema, view, _ := strings.Cut(n, ".")
				if !r.SelectedView(schema, view) {
					t.Errorf("SelectedView(%s) = false", n)
				}
			}
		})
	}
}

func TestTolerance(t *testing.T) {
	doc := "\uFEFF" + `{"comment": "kept by hand", "rules": [
		{"rule-type": "selection", "rule-id": 2, "rule-name": "` + strings.Repeat("long", 100) + `", "rule-action": "include", "filters": [],
		 "object-locator": {"schema-name": "s", "table-name": "%", "colour": "red"}, "load-order": "7", "weight": null},
		{"rule-type": "selection", "rule-id": "3", "rule-action": "include", "load-order": 9,
		 "object-locator": {"schema-name": "s", "table-name": "first"}, "filters": null}]}`
	r := parse(t, doc)
	for table, want := range map[string]int{"first": 9, "other": 7} {
		if got := r.LoadOrder("s", table); got != want {
			t.Errorf("LoadOrder(%s) = %d, want %d", table, got, want)
		}
	}
	if got := r.LoadOrder("elsewhere", "t"); got != 0 {
		t.Errorf("LoadOrder without a rule = %d", got)
	}
}

func TestPartitionKey(t *testing.T) {
	om := func(id, table, params string) string {
		return fmt.Sprintf(`{"rule-type":"object-mapping","rule-id":%s,"rule-name":"k","rule-action":"map-record-to-record",
			"target-table-name":%q,"object-locator":{"schema-name":"s","table-name":%q},"mapping-parameters":%s}`, id, table, table, params)
	}
	r := parse(t, document(rule("1", "include", "s", "%", ""),
		om("2", "a", `{"partition-key-type":"constant","partition-key":{"value":"K"}}`),
		om("3", "b", `{"partition-key-type":"attribute-name","partition-key-name":"customer"}`),
		om("4", "c", `{"partition-key-type":"schema-table"}`),
		om("5", "%", `{"partition-key-type":"primary-key","exclude-columns":[],"attribute-mappings":[]}`)))
	for table, want := range map[string]PartitionKey{
		"a": {Type: record.KeyConstant, Constant: "K"},
		"b": {Type: record.KeyAttributeName, Name: "customer"},
		"c": {Type: record.KeySchemaTable},
		"d": {Type: record.KeyPrimaryKey},
	} {
		if got, ok := r.PartitionKey("s", table); !ok || got != want {
			t.Errorf("PartitionKey(%s) = %+v, %t, want %+v", table, got, ok, want)
		}
	}
	if got, ok := r.PartitionKey("t", "a"); ok {
		t.Errorf("PartitionKey of a table without a rule = %+v", got)
	}
}

// TestFaults names what each error line must say.
func TestFaults(t *testing.T) {
	keys := func(id, params string) string {
		return fmt.Sprintf(`{"rule-type":"object-mapping","rule-id":%s,"rule-action":"map-record-to-record","object-locator":{"schema-name":"s","table-name":"t"},"mapping-parameters":%s}`, id, params)
	}
	ok := rule("1", "include", "s", "%", "")
	for _, c := range []struct {
		name, doc string
		want      []string // one per fault, each a part of its line
	}{
		{"no JSON", "{\n  \"rules\": [,]}", []string{"line 2 column 13"}},
		{"cut off", `{"rules": [`, []string{"not a JSON object"}},
		{"empty", "", []string{"not a JSON object"}},
		{"something behind", document(ok) + "x", []string{"not a JSON object"}},
		{"null", "null", []string{"rules: is missing"}},
		{"no rules", `{"rule": []}`, []string{"rules: is missing"}},
		{"rules is no array", `{"rules": {}}`, []string{"rules {}: must be an array"}},
		{"rules is null", `{"rules": null}`, []string{"rules"}},
		{"no rule", document(), []string{"no selection rule includes a table"}},
		{"only excludes", document(rule("1", "exclude", "s", "%", "")), []string{"no selection rule includes"}},
		{"rule is no object", document("7", ok), []string{"rule 1 7: must be an object"}},
		{"duplicate id, written in two ways", document(ok, rule(`"1"`, "include", "s", "x", "")),
			[]string{"rule-id 1 rule-id 1: is used twice, by rules 1 and 2"}},
		{"ids", document(ok, rule("null", "include", "s", "x", ""), rule("true", "include", "s", "x", ""), rule(`""`, "include", "s", "x", "")),
			[]string{"rule 2 rule-id: is missing", "rule 3 rule-id true: must be", `rule 4 rule-id ""`}},
		{"types and actions", document(ok, rule("2", "inclde", "s", "x", ""), `{"rule-type":"selektion","rule-id":3}`, `{"rule-id":4}`,
			`{"rule-type":7,"rule-id":5}`),
			[]string{"rule-id 2 rule-action inclde: is no action", "rule-id 3 rule-type selektion: there is no such", "rule-id 4 rule-type: is missing", "rule-id 5 rule-type 7: must be"}},
		{"locators", document(ok, `{"rule-type":"selection","rule-id":2,"rule-action":"include"}`,
			`{"rule-type":"selection","rule-id":3,"rule-action":"include","object-locator":{"schema-name":"s"}}`,
			`{"rule-type":"selection","rule-id":4,"rule-action":"include","object-locator":[]}`,
			`{"rule-type":"selection","rule-id":5,"rule-action":"include","object-locator":{"schema-name":"s","table-name":"","table-type":"vue"}}`),
			[]string{"rule-id 2 object-locator: cannot be null", "rule-id 3 object-locator.table-name: is missing", "rule-id 4 object-locator []: must be an object",
				`rule-id 5 object-locator.table-name ""`, "rule-id 5 object-locator.table-type vue: use table, view or all"}},
		{"patterns", document(ok, rule("2", "include", "s", "a[b", ""), rule("3", "include", "s[]", "a", ""), rule("4", "include", "s", "[z-a]", ""),
			rule("5", "explicit", "s%", "a", "")),
			[]string{"rule-id 2 object-locator.table-name a[b: is not a pattern: a [ has no ]", "rule-id 3 object-locator.schema-name s[]", "rule-id 4 object-locator.table-name [z-a]: is not a pattern: the range z-a",
				"rule-id 5 object-locator.schema-name s%: explicit rules"}},
		{"load order", document(rule("1", "include", "s", "a", `, "load-order": 0`), rule("2", "include", "s", "b", `, "load-order": "x"`),
			rule("3", "include", "s", "c", `, "load-order": 2147483648`), rule("4", "include", "s", "d", `, "load-order": 1.5`)),
			[]string{"rule-id 1 load-order 0", `rule-id 2 load-order "x"`, "rule-id 3 load-order 2147483648", "rule-id 4 load-order 1.5"}},
		{"system schema by name", document(ok, rule("2", "include", "mysql", "%", ""), rule("3", "exclude", "mysql", "%", "")),
			[]string{"rule-id 2 object-locator.schema-name mysql"}},
		{"what is not supported yet", document(ok, rule("2", "include", "s", "a", `, "filters": [{"filter-type":"source"}]`),
			`{"rule-type":"transformation","rule-id":3}`, `{"rule-type":"table-settings","rule-id":"4"}`,
			`{"rule-type":"object-mapping","rule-id":5,"rule-action":"map-record-to-document","object-locator":{"schema-name":"s","table-name":"t"}}`,
			keys("6", `{"exclude-columns":["a"],"partition-key-type":"primary-key"}`),
			keys("7", `{"attribute-mappings":[{}],"partition-key-type":"primary-key","x":1}`)),
			[]string{"rule-id 2 filters [{", "rule-id 3 rule-type transformation: transformation rules are not supported yet", "rule-id 4 rule-type table-settings",
				"rule-id 5 rule-action map-record-to-document", `rule-id 6 mapping-parameters.exclude-columns ["a"]`, "rule-id 7 mapping-parameters.x 1", "rule-id 7 mapping-parameters.attribute-mappings [{}]"}},
		{"keys", document(ok, keys("2", `{"partition-key-type":"random"}`), keys("3", `{"partition-key-type":"constant"}`), keys("4", `{"partition-key-type":"attribute-name"}`),
			keys("5", `{"partition-key-type":"constant","partition-key":{"value":"`+strings.Repeat("k", 257)+`"}}`),
			keys("6", `{"partition-key-type":"attribute-name","partition-key-name":"${a}"}`), keys("7", `{"partition-key":{"value":"K"}}`), keys("8", `[]`),
			`{"rule-type":"object-mapping","rule-id":9,"rule-action":"map-record-to-record","target-table-name":"u","kafka-target-topic":"k","object-locator":{"schema-name":"s","table-name":"t"}}`),
			[]string{"rule-id 2 mapping-parameters.partition-key-type random", "rule-id 3 mapping-parameters.partition-key", "rule-id 4 mapping-parameters.partition-key-name: is missing",
				"rule-id 5 mapping-parameters.partition-key.value kkk", "rule-id 6 mapping-parameters.partition-key-name ${a}", "rule-id 7 mapping-parameters.partition-key-type: is missing",
				"rule-id 8 mapping-parameters []", "rule-id 9 kafka-target-topic", `rule-id 9 target-table-name "u"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Parse([]byte(c.doc))
			var e *Error
			if !errors.As(err, &e) || r != nil {
				t.Fatalf("Parse = %v, %v; want faults", r, err)
			}
			if len(e.Faults) != len(c.want) {
				t.Fatalf("%d faults, want %d:\n%v", len(e.Faults), len(c.want), err)
			}
			for i, want := range c.want {
				if got := e.Faults[i].String(); !strings.Contains(got, want) {
					t.Errorf("fault %d = %q, want it to contain %q", i, got, want)
				}
			}
		})
	}
}

func TestErrorListsEveryFault(t *testing.T) {
	_, err := Parse([]byte(document(rule("1", "inclde", "s", "x", ""), rule("1", "include", "s", "[", ""))))
	const want = `table mappings: 3 faults
  rule-id 1 rule-action inclde: is no action of selection rules; use include, exclude or explicit
  rule-id 1 rule-id 1: is used twice, by rules 1 and 2 of the document; ids must be unique
  rule-id 1 object-locator.table-name [: is not a pattern: a [ has no ]`
	if err == nil || err.Error() != want {
		t.Errorf("error = %v\nwant %s", err, want)
	}
}

func TestFingerprint(t *testing.T) {
	a, b := rule("1", "include", "s", "%", ""), rule("2", "exclude", "s", "x", "")
	first := parse(t, document(a, b)).Fingerprint()
	if got := parse(t, document(rule("7", "exclude", "s", "x", `, "extra": 1`), a)).Fingerprint(); got != first {
		t.Error("ids, unknown keys or the order of selection rules change the fingerprint")
	}
	for _, doc := range []string{document(a), document(a, rule("2", "exclude", "s", "y", "")), document(a, rule("2", "include", "s", "x", "")),
		document(rule("1", "include", "s", "%", `, "load-order": 3`), b),
		document(a, b, `{"rule-type":"object-mapping","rule-id":3,"rule-action":"map-record-to-record","object-locator":{"schema-name":"s","table-name":"t"},"mapping-parameters":{"partition-key-type":"schema-table"}}`)} {
		if parse(t, doc).Fingerprint() == first {
			t.Errorf("%s has the fingerprint of another document", doc)
		}
	}
	explicit := parse(t, document(rule("1", "explicit", "s", "a_b", ""))).Fingerprint()
	if explicit == parse(t, document(rule("1", "include", "s", "a_b", ""))).Fingerprint() {
		t.Error("explicit and include of a name with an underscore are not the same")
	}
}
