package record

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

func TestPartitionKeys(t *testing.T) {
	keyless := players()
	keyless.Key, keyless.KeyKind = nil, schema.NoKey
	text := &schema.Table{Schema: "s", Name: "t", Key: []int{0}, KeyKind: schema.PrimaryKey, Columns: []schema.Column{{Name: "k"}, {Name: "v"}}}
	kind := func(k KeyType) func(*Options) { return func(o *Options) { o.PartitionKeyType = k } }
	prefix := func(o *Options) { o.PartitionIncludeSchemaTable = true }
	player := row(`"Ann"`, "7", `"a\u0001\n\"\\\/é\ud83d\ude00"`, "", "")
	for _, c := range []struct {
		name     string
		table    *schema.Table
		change   func(*Options)
		row      [][]byte
		load     bool
		want     string
		wantKind string
	}{
		{name: "composite, unescaped, in index order", table: players(), row: player, want: "a\x01\n\"\\/é😀.7", wantKind: "primary-key"},
		{name: "prefixed", table: players(), change: prefix, row: player, want: "dms_sample.player.a\x01\n\"\\/é😀.7", wantKind: "primary-key"},
		{name: "number", table: text, row: row("-12.50", ""), want: "-12.50", wantKind: "primary-key"},
		{name: "empty text", table: text, row: row(`""`, ""), want: "s.t", wantKind: "primary-key"},
		{name: "empty text, prefixed", table: text, change: prefix, row: row(`""`, ""), want: "s.t", wantKind: "primary-key"},
		{name: "empty texts of a composite key", table: players(), row: row("", `""`, `""`, "", ""), want: ".", wantKind: "primary-key"},
		{name: "no key", table: keyless, row: player, want: "dms_sample.player", wantKind: "schema-table"},
		{name: "no key, prefixed", table: keyless, change: prefix, row: player, want: "dms_sample.player", wantKind: "schema-table"},
		{name: "schema-table", table: players(), change: kind(KeySchemaTable), row: player, want: "dms_sample.player", wantKind: "schema-table"},
		{name: "transaction", table: players(), change: kind(KeyTransactionID), row: player, want: "9324410911751", wantKind: "transaction-id"},
		{name: "transaction of a load", table: text, change: kind(KeyTransactionID), row: row("5", ""), load: true, want: "5", wantKind: "primary-key"},
		{name: "constant", table: players(), change: func(o *Options) { o.PartitionKeyType, o.PartitionKeyConstant = KeyConstant, "K\"" }, row: player, want: "K\"", wantKind: "constant"},
		{name: "attribute", table: text, change: func(o *Options) { o.PartitionKeyType, o.PartitionKeyName = KeyAttributeName, "v" }, row: row("5", `"x"`), want: "x", wantKind: "attribute-name"},
		{name: "attribute that is NULL", table: text, change: func(o *Options) { o.PartitionKeyType, o.PartitionKeyName = KeyAttributeName, "v" }, row: row("5", ""), want: "s.t", wantKind: "attribute-name"},
		{name: "not UTF-8", table: text, row: row("\"a\xff\"", ""), want: "a\uFFFD", wantKind: "primary-key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.change == nil {
				c.change = func(*Options) {}
			}
			p := plan(t, c.table, c.change, func(o *Options) { o.IncludePartitionValue, o.IncludeTransactionDetails = true, true })
			op, s := Insert, stamp()
			if c.load {
				op, s.Tx = Load, nil
			}
			key, err := p.AppendPartitionKey([]byte("kept"), c.row, s)
			if err != nil || string(key) != "kept"+c.want {
				t.Errorf("key = %q, %v; want %q", key, err, c.want)
			}
			if c.load {
				if key, err := p.AppendPartitionKey(nil, c.row, nil); err != nil || string(key) != c.want {
					t.Errorf("key without a stamp = %q, %v", key, err)
				}
			}
			h, err := Parse(appendRecord(t, p, op, c.row, nil, s))
			if err != nil {
				t.Fatal(err)
			}
			wantValue := c.want
			if c.wantKind == "schema-table" {
				wantValue = ""
			}
			if h.PartitionKeyType != c.wantKind || h.PartitionKeyValue != wantValue {
				t.Errorf("record says %q of type %q, want %q of type %q", h.PartitionKeyValue, h.PartitionKeyType, wantValue, c.wantKind)
			}
		})
	}
}

func TestLongPartitionKeys(t *testing.T) {
	table := &schema.Table{Schema: "s", Name: "t", Key: []int{0}, KeyKind: schema.PrimaryKey, Columns: []schema.Column{{Name: "k"}}}
	p := plan(t, table)
	key := func(text string) string {
		k, err := p.AppendPartitionKey([]byte("before"), row(`"`+text+`"`), nil)
		if err != nil {
			t.Fatal(err)
		}
		got := string(k[len("before"):])
		if units := len(utf16.Encode([]rune(got))); units == 0 || units > 256 || !utf8.ValidString(got) {
			t.Errorf("key %q has %d characters", got, units)
		}
		return got
	}
	for _, text := range []string{strings.Repeat("x", 256), strings.Repeat("é", 256), strings.Repeat("😀", 128)} {
		if got := key(text); got != text {
			t.Errorf("a key that fits became %q", got)
		}
	}
	for text, kept := range map[string]int{
		strings.Repeat("x", 257):                                 191,
		strings.Repeat("é", 257):                                 191,
		strings.Repeat("😀", 129):                                 95, // the 96th would be the units 191 and 192
		strings.Repeat("x", 190) + "😀" + strings.Repeat("y", 99): 190,
	} {
		sum := sha256.Sum256([]byte(text))
		want := string([]rune(text)[:kept]) + "~" + hex.EncodeToString(sum[:])
		if got := key(text); got != want {
			t.Errorf("key of %.20s… = %q, want %q", text, got, want)
		}
	}
	same := strings.Repeat("x", 300)
	if key(same+"a") == key(same+"b") {
		t.Error("keys that differ only behind the cut are the same")
	}
}

func TestRowKey(t *testing.T) {
	p := plan(t, players())
	key := func(r [][]byte) string {
		k, err := p.AppendRowKey([]byte("-"), r)
		if err != nil {
			t.Fatal(err)
		}
		return string(k)
	}
	if got := key(row(`"x"`, "7", `"a"`, "1", "")); got != `-"a",7` {
		t.Errorf("row key = %s", got)
	}
	if key(row("", `"b\",\"c"`, `"a"`, "", "")) == key(row("", `"c"`, `"a\",\"b"`, "", "")) {
		t.Error("two rows have the same key")
	}
	keyless := players()
	keyless.Key, keyless.KeyKind = nil, schema.NoKey
	p = plan(t, keyless)
	if got := key(row(`"x"`, "7", "", "1", "")); got != `-"x",7,null,1,null` || p.HasKey() {
		t.Errorf("row key of a table without a key = %s, HasKey = %t", got, p.HasKey())
	}
	if _, err := p.AppendRowKey(nil, row("1")); err == nil {
		t.Error("a row of another version has a key")
	}
}

func TestKeyErrors(t *testing.T) {
	p := plan(t, players())
	for name, r := range map[string][][]byte{"NULL key": row("1", "", `"a"`, "", ""), "short": row("1"), "codec": row("1", "broken", "2", "", "")} {
		if got, err := p.AppendPartitionKey([]byte("kept"), r, stamp()); err == nil || string(got) != "kept" {
			t.Errorf("%s: key = %q, %v", name, got, err)
		}
	}
	if got, err := p.AppendRowKey([]byte("kept"), row("1", "broken", "2", "", "")); err == nil || string(got) != "kept" {
		t.Errorf("row key = %q, %v", got, err)
	}
}
