package source

import (
	"context"
	"fmt"
	"strconv"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// Key is the index behind a table's key: what it takes to read the table in its order.
type Key struct {
	Name  string // of the index; "" where it has no order
	Parts []KeyPart
}

// KeyPart is one column of a Key.
type KeyPart struct {
	Column int // index into the table's Columns
	Desc   bool
	Prefix int // the index knows only so many characters, or bytes of binary columns; 0: all
}

// Columns of SHOW KEYS, the same on every server.
const (
	keyNonUnique = 1
	keyName      = 2
	keyColumn    = 4
	keyCollation = 5
	keySubPart   = 7
	keyNull      = 9
	keyType      = 10
	keyFields    = 11
)

// LoadKey reads the index that tells the rows of t apart, the one that LoadTable chose. Its Parts are empty where there
// is none.
func LoadKey(ctx context.Context, conn *client.Conn, t *schema.Table) (Key, error) {
	lines, err := showKeys(ctx, conn, t.Schema, t.Name)
	if err != nil {
		return Key{}, err
	}
	k, _, err := chooseKey(t.Columns, lines)
	if err != nil {
		return Key{}, &Error{Step: "load the key of " + t.FullName(), Err: err}
	}
	if len(k.Parts) > 0 {
		for _, c := range t.Key[min(len(k.Parts), len(t.Key)):] { // what the server adds to the key and does not show
			k.Parts = append(k.Parts, KeyPart{Column: c})
		}
	}
	return k, nil
}

func showKeys(ctx context.Context, conn *client.Conn, schemaName, table string) ([][]string, error) {
	return texts(ctx, conn, "SHOW KEYS FROM "+schema.QuoteIdent(schemaName)+"."+schema.QuoteIdent(table))
}

// chooseKey picks the key from the lines of SHOW KEYS, which come in the server's order of keys and of columns in a key.
func chooseKey(columns []schema.Column, lines [][]string) (Key, schema.KeyKind, error) {
	index := make(map[string]int, len(columns))
	for i, c := range columns {
		index[c.Name] = i
	}
	for at := 0; at < len(lines); {
		if len(lines[at]) < keyFields {
			return Key{}, schema.NoKey, fmt.Errorf("SHOW KEYS has %d columns", len(lines[at]))
		}
		name, fits := lines[at][keyName], true
		key := Key{Name: indexName(lines[at])}
		for ; at < len(lines) && lines[at][keyName] == name; at++ {
			l := lines[at]
			i, known := index[l[keyColumn]] // the key of an expression names no column
			fits = fits && known && l[keyNonUnique] == "0" && l[keyNull] != "YES" && !columns[i].Unlogged
			prefix, _ := strconv.Atoi(l[keySubPart]) // NULL: none
			key.Parts = append(key.Parts, KeyPart{Column: i, Desc: l[keyCollation] == "D", Prefix: prefix})
		}
		switch {
		case fits && name == "PRIMARY":
			return key, schema.PrimaryKey, nil
		case fits:
			return key, schema.UniqueKey, nil
		}
	}
	return Key{}, schema.NoKey, nil
}

// indexName is the name by which the server can be told to use an index; hash indexes know no order. The server does
// not let the key that is chosen here be hidden from its optimizer.
func indexName(line []string) string {
	if line[keyType] != "BTREE" {
		return ""
	}
	return line[keyName]
}

// columns are the key's columns, without what else the index knows of them.
func (k Key) columns() []int {
	var out []int
	for _, p := range k.Parts {
		out = append(out, p.Column)
	}
	return out
}
