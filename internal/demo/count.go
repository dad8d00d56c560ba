package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// count replays the objects, compares the result with every row of every table, and prints what it found.
func (d *demo) count(ctx context.Context) error {
	d.view.phase("counting: replaying the objects and reading the tables")
	conn, err := source.Connect(ctx, source.Config{Host: "127.0.0.1", Port: uint16(d.server.Port), User: "root", TLS: source.TLSDisabled})
	if err != nil {
		return err
	}
	defer source.Close(conn)

	definitions, keys := map[string]*schema.Table{}, map[string][]string{}
	for _, t := range tables {
		def, err := source.LoadTable(ctx, conn, schemaName, t.name)
		if err != nil {
			return err
		}
		definitions[t.name] = def
		for _, k := range def.Key {
			keys[t.name] = append(keys[t.name], def.Columns[k].Name)
		}
	}
	objects, err := replay(d.path("objects"), keys)
	if err != nil {
		return err
	}
	d.view.settle()
	d.summary(objects)
	differ := 0
	for _, t := range tables {
		c, err := compare(ctx, conn, definitions[t.name], objects.tables[t.name], keys[t.name])
		if err != nil {
			return err
		}
		d.result(t.name, c)
		differ += len(c.differ)
	}
	if differ > 0 {
		d.Keep = true
		return fmt.Errorf("%w in %d rows; everything is kept in %s", ErrDiffer, differ, d.Dir)
	}
	fmt.Fprintf(d.Out, "\n  %s\n", d.view.paint(green, "Objects and source agree, row by row and byte by byte."))
	return nil
}

func (d *demo) summary(r *replayed) {
	out := d.Out
	fmt.Fprintf(out, "\n  objects    %s\n             %s, %s, %s records\n", d.path("objects"), plural(r.objects, "object"), byteSize(r.bytes), thousands(int64(r.records)))
	fmt.Fprintf(out, "  pipeline   %s\n", d.configFile())
	if r.sample != nil {
		fmt.Fprintf(out, "\n  one record of them:\n\n%s\n", indent(r.sample))
	}
	fmt.Fprintf(out, "\n  %-22s %12s %12s\n", "table", "source", "objects")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return thousands(int64(n)) + " " + what + "s"
}

// comparison is how one table came out.
type comparison struct {
	source, objects int
	differ          []string // keys, sorted, with what is wrong with them
}

func (d *demo) result(table string, c comparison) {
	verdict := d.view.paint(green, "equal")
	if len(c.differ) > 0 {
		verdict = d.view.paint(red, plural(len(c.differ), "row")+" differ")
	}
	fmt.Fprintf(d.Out, "  %-22s %12s %12s  %s\n", table, thousands(int64(c.source)), thousands(int64(c.objects)), verdict)
	for i, key := range c.differ {
		if i == 10 {
			fmt.Fprintf(d.Out, "      … and %d more\n", len(c.differ)-i)
			break
		}
		fmt.Fprintf(d.Out, "      %s\n", key)
	}
}

// compare reads a table and strikes each row off the replayed ones. Both sides are compared as JSON bytes: the
// table's rows are rendered as a full load would.
func compare(ctx context.Context, conn *client.Conn, t *schema.Table, rows map[string]digest, key []string) (c comparison, err error) {
	layout, err := schema.NewTextLayout(t, schema.Options{})
	if err != nil {
		return c, err
	}
	plan, err := record.NewPlan(t, layout, record.DefaultOptions("tickets"))
	if err != nil {
		return c, err
	}
	c.objects = len(rows)
	var line []byte
	query := fmt.Sprintf("SELECT %s FROM %s.%s", strings.Join(layout.SelectList(), ", "), schema.QuoteIdent(t.Schema), schema.QuoteIdent(t.Name))
	err = source.StreamText(ctx, conn, query, func(row [][]byte) error {
		c.source++
		var err error
		if line, err = plan.Append(line[:0], record.Load, row, nil, &record.Stamp{}); err != nil {
			return err
		}
		var e envelope
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		k, err := rowKey(e.Data, key)
		if err != nil {
			return err
		}
		delivered, found := rows[k]
		switch {
		case !found:
			c.differ = append(c.differ, k+": in the table, not in the objects")
		case delivered != digestOf(e.Data):
			c.differ = append(c.differ, k+": the objects hold other values")
		}
		delete(rows, k)
		return nil
	})
	for k := range rows {
		c.differ = append(c.differ, k+": in the objects, not in the table")
	}
	slices.Sort(c.differ)
	return c, err
}

// indent prints a record for people.
func indent(line []byte) string {
	var v strings.Builder
	pretty, err := json.MarshalIndent(json.RawMessage(line), "    ", "  ")
	if err != nil {
		return string(line)
	}
	v.WriteString("    ")
	v.Write(pretty)
	return v.String()
}
