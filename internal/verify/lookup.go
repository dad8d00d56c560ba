package verify

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// lookup reads rows by their keys.
type lookup struct {
	v       *verification
	conn    *client.Conn
	t       *table
	columns []*schema.Column // of the key
	from    string
	encoder *encoder
}

func (v *verification) newLookup(ctx context.Context, conn *client.Conn, t *table) (*lookup, error) {
	def, err := source.LoadTable(ctx, conn, t.schema, t.name)
	if err != nil {
		return nil, err
	}
	layout, err := schema.NewTextLayout(def, v.cfg.Rendered)
	if err != nil {
		return nil, err
	}
	l := &lookup{v: v, conn: conn, t: t}
	for _, c := range def.Key {
		l.columns = append(l.columns, &def.Columns[c])
	}
	if len(l.columns) != len(t.keyNames) {
		return nil, fmt.Errorf("table %s: %w", t.full(), errKeyChanged)
	}
	l.from = "SELECT " + strings.Join(layout.SelectList(), ", ") + " FROM " + schema.QuoteIdent(t.schema) + "." + schema.QuoteIdent(t.name)
	if def.Versioned {
		l.from += " FOR SYSTEM_TIME ALL"
	}
	l.encoder, err = v.encoder(def, layout)
	return l, err
}

// awaitVisible waits until a SELECT sees everything that was replayed, where the server can tell.
func (l *lookup) awaitVisible(ctx context.Context, replayed source.Position) error {
	switch {
	case l.v.server.Flavor == source.MariaDB && replayed.File != "":
		return l.awaitSnapshot(ctx, replayed)
	case l.v.server.Flavor == source.MySQL && l.v.server.GTIDMode && replayed.GTIDSet != "":
		res, err := source.Query(ctx, l.conn, "SELECT WAIT_FOR_EXECUTED_GTID_SET("+schema.QuoteString(replayed.GTIDSet)+", 60)")
		if err == nil {
			res.Close()
		}
		return err
	}
	return nil
}

// awaitSnapshot begins a transaction that sees everything that was replayed: MariaDB says at which position a consistent
// snapshot is. It ends with the connection.
func (l *lookup) awaitSnapshot(ctx context.Context, replayed source.Position) error {
	for range 200 {
		if err := source.Exec(ctx, l.conn, "START TRANSACTION WITH CONSISTENT SNAPSHOT"); err != nil {
			return err
		}
		var at source.Position
		err := source.StreamText(ctx, l.conn, "SHOW STATUS LIKE 'binlog_snapshot_%'", func(row [][]byte) error {
			switch string(row[0]) {
			case "Binlog_snapshot_file":
				at.File = string(row[1])
			case "Binlog_snapshot_position":
				_, _ = fmt.Sscan(string(row[1]), &at.Offset) // one that is not a number is before everything
			}
			return nil
		})
		if err != nil || at.Compare(replayed) >= 0 {
			return err
		}
		if err := backoff.Sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return nil // it is looked at again
}

// perStatement is how many rows one SELECT asks for.
const perStatement = 100

// rows reads the rows of suspects, as many as memory allows, and says of how many it knows now.
func (l *lookup) rows(ctx context.Context, group []*suspect) (n int, err error) {
	bytes := 0
	for n < len(group) && bytes < groupBytes {
		some := group[n:min(n+perStatement, len(group))]
		size, err := l.some(ctx, some)
		if err != nil {
			return n, err
		}
		n += len(some)
		bytes += size
	}
	return n, nil
}

func (l *lookup) some(ctx context.Context, group []*suspect) (size int, err error) {
	by := map[string]*suspect{}
	var where []string
	for _, s := range group {
		s.source = nil
		by[string(s.key)] = s
		condition, err := l.condition(s.key)
		if err != nil {
			return 0, fmt.Errorf("table %s, row %s: %w", l.t.full(), s.key, err)
		}
		where = append(where, condition)
	}
	err = source.StreamText(ctx, l.conn, l.from+" WHERE "+strings.Join(where, " OR "), func(row [][]byte) error {
		key, err := l.encoder.rowKey(row)
		if err != nil {
			return err
		}
		s := by[string(key)]
		if s == nil {
			return nil // a key that only the collation holds equal
		}
		s.source, err = l.encoder.kept(row)
		if err == nil {
			size += len(s.source.data) + len(s.source.cut)
		}
		return err
	})
	return size, err
}

// condition is true for the row that has a key.
func (l *lookup) condition(key []byte) (string, error) {
	var parts []string
	rest := key
	for i, c := range l.columns {
		if i > 0 {
			if len(rest) == 0 || rest[0] != ',' {
				return "", errEntry
			}
			rest = rest[1:]
		}
		var value []byte
		if value, rest = record.NextValue(rest); value == nil {
			return "", errEntry
		}
		part, err := equals(c, value)
		if err != nil {
			return "", err
		}
		parts = append(parts, part)
	}
	return "(" + strings.Join(parts, " AND ") + ")", nil
}

// equals is a condition that is true for a column that has a value, which stands in a record as it is given. It may be
// true for others.
func equals(c *schema.Column, value []byte) (string, error) {
	name := schema.QuoteIdent(c.Name)
	text := string(value)
	if value[0] == '"' {
		if err := json.Unmarshal(value, &text); err != nil {
			return "", err
		}
	}
	switch c.Type {
	case schema.TinyInt, schema.SmallInt, schema.MediumInt, schema.Int, schema.BigInt, schema.Decimal, schema.Double:
		return name + " = " + onlyOf(text, "0123456789+-.eE"), nil
	case schema.Float:
		n := onlyOf(text, "0123456789+-.eE")
		return "ABS(" + name + " - " + n + ") <= ABS(" + n + ") * 1e-5", nil
	case schema.Date, schema.DateTime, schema.Timestamp, schema.Time, schema.Year:
		if text == "null" {
			return name + " = 0", nil
		}
		return name + " = '" + onlyOf(strings.TrimSuffix(strings.Replace(text, "T", " ", 1), "Z"), "0123456789-: .") + "'", nil
	case schema.Bit:
		n, ok := bits(text)
		if !ok {
			return "", fmt.Errorf("%s is no value of %s", value, c.ColumnType)
		}
		return name + " = " + n, nil
	case schema.Binary, schema.VarBinary, schema.Blob:
		raw, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
		if err != nil {
			return "", fmt.Errorf("%s is no value of %s", value, c.ColumnType)
		}
		return name + " = x'" + hex.EncodeToString(raw) + "'", nil
	case schema.UUID, schema.Inet4, schema.Inet6:
		return name + " = '" + onlyOf(text, "0123456789abcdefABCDEF-:.") + "'", nil
	}
	return name + " = _utf8mb4 x'" + hex.EncodeToString([]byte(text)) + "'", nil
}

// onlyOf lets only some characters into a statement; anything else makes a value that no row has.
func onlyOf(text, characters string) string {
	if text == "" || strings.Trim(text, characters) != "" {
		return "NULL"
	}
	return text
}

// bits is a BIT as a number: true, false, or hexadecimal digits in a record.
func bits(text string) (string, bool) {
	if i := slices.Index([]string{"false", "true"}, text); i >= 0 {
		return fmt.Sprint(i), true
	}
	n, ok := new(big.Int).SetString(strings.TrimPrefix(text, "0x"), 16)
	if !ok {
		return "", false
	}
	return n.String(), true
}
