package verify

import (
	"cmp"
	"context"
	"slices"
	"unicode/utf8"

	"github.com/cockroachdb/pebble/v2"
	"github.com/go-mysql-org/go-mysql/client"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// A stray is a table that records were replayed of and that is none of those that are compared: the source does not have
// it, or the mappings do not select it. What empties it is followed as for any other. Which columns were its key is not known
// any more: its rows are told apart by the key that records carry with include_partition_value, and else by their content,
// so that every version of a row counts which no delete or before-image takes away.

// strayName is a stray's entry in the store.
type strayName struct {
	Schema string `json:"schema"`
	Table  string `json:"table"`
}

// stray gives the state of a table that is not compared; nil where only some tables were asked for. The caller holds mu.
func (r *replay) stray(h *record.Header) (*table, error) {
	name := tableName{h.Schema, h.Table}
	if r.strays == nil || h.Schema == "" || h.Table == "" {
		return nil, nil
	}
	t := r.strays[name]
	if t == nil {
		t = &table{id: uint32(len(r.tables) + len(r.strays) + 1), schema: h.Schema, name: h.Table, stray: true, drops: map[uint32]drop{}}
		r.strays[name] = t
		if err := setJSON(r.db.DB, entry(strayEntry, t.id), strayName{t.schema, t.name}); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// restoreStrays reads those that an interrupted verification met.
func (v *verification) restoreStrays() error {
	return v.each([]byte{strayEntry}, func(key, value []byte) error {
		var n strayName
		if err := decode(value, &n); err != nil {
			return err
		}
		t := &table{id: entryTable(key), schema: n.Schema, name: n.Table, stray: true, drops: map[uint32]drop{}}
		if v.replay.strays != nil {
			v.replay.strays[tableName{n.Schema, n.Table}] = t
		}
		return nil
	})
}

// strayRow notes that a row of a stray is there, or is not any more.
func (a *applier) strayRow(t *table, h *record.Header, raw []byte) error {
	if h.PartitionKeyType == "primary-key" && h.PartitionKeyValue != "" {
		return a.strayKey(t, h.PartitionKeyValue, h.Op() != record.Delete, nil)
	}
	parts, err := record.Split(raw)
	if err != nil || parts.Data == nil {
		return nil // nothing of the table is compared
	}
	for _, side := range []struct {
		data []byte
		live bool
	}{{parts.Before, false}, {parts.Data, h.Op() != record.Delete}} {
		if side.data == nil {
			continue
		}
		sum, err := content(side.data)
		if err != nil {
			return nil
		}
		if err := a.strayKey(t, string(sum), side.live, side.data); err != nil {
			return err
		}
	}
	return nil
}

// shown is how long a row may be that is kept only to be shown.
const shown = 1 << 10

// strayKey keeps data where there is no key to show.
func (a *applier) strayKey(t *table, key string, live bool, data []byte) error {
	row := held{order: a.r.total.Order, shard: a.s.Number, live: live}
	if live && len(data) <= shown {
		row.data = data
	}
	return a.batch.Set(entry(rowEntry, t.id, []byte(key)...), row.append(nil), nil)
}

// gone is what a report says of a table that was dropped and whose readers were not told.
const gone = "the source does not have it any more, and its drop-table was never delivered, so readers still have its rows (of which every version counts, where records do not carry their key); while replicate runs, " +
	"make an empty table of this name in the source and drop it again: that sends its drop-table"

// names are the tables that the source has now, and a position behind that which the replay has passed.
func (v *verification) names(ctx context.Context) (map[tableName]bool, error) {
	there := map[tableName]bool{}
	if err := v.onSource(ctx, func(conn *client.Conn) error {
		names, err := source.Tables(ctx, conn)
		for _, n := range names {
			there[tableName{n.Schema, n.Name}] = true
		}
		return err
	}); err != nil {
		return nil, err
	}
	return there, v.toEnd(ctx)
}

// vanished adds what the report says of tables that the source does not have, and of those that are not compared.
func (v *verification) vanished(ctx context.Context, r *Report) error {
	there, err := v.names(ctx)
	if err != nil {
		return err
	}
	selected := v.cfg.Selected(v.server.LowerCaseTables)
	for _, t := range v.tables {
		if there[tableName{t.schema, t.name}] {
			continue
		}
		report := TableReport{Schema: t.schema, Table: t.name}
		if err := v.stale(t, &report); err != nil {
			return err
		}
		if report.Extra == 0 {
			report.Note = "it was dropped while it was compared, and so were its delivered rows"
		}
		r.Tables = append(r.Tables, report)
	}
	r.Tables = slices.DeleteFunc(r.Tables, func(p TableReport) bool {
		return p.Note == "" && !there[tableName{p.Schema, p.Table}]
	})
	for name, t := range v.replay.strays {
		report := TableReport{Schema: t.schema, Table: t.name}
		if err := v.stale(t, &report); err != nil {
			return err
		}
		switch {
		case report.Extra == 0:
		case !selected(t.schema, t.name):
			r.Unselected = append(r.Unselected, t.full())
		case there[name]:
			report = TableReport{Schema: t.schema, Table: t.name, NotCompared: "it was made while the others were compared; verify again", Passing: true}
			r.Tables = append(r.Tables, report)
		default:
			r.Tables = append(r.Tables, report)
		}
	}
	slices.Sort(r.Unselected)
	slices.SortStableFunc(r.Tables, func(a, b TableReport) int {
		return cmp.Or(cmp.Compare(a.Schema, b.Schema), cmp.Compare(a.Table, b.Table))
	})
	return nil
}

// stale reports the live rows of a table that the source does not have.
func (v *verification) stale(t *table, report *TableReport) error {
	v.replay.mu.RLock()
	defer v.replay.mu.RUnlock()
	it, err := v.db.scan(rowEntry, t.id)
	if err != nil {
		return err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		h, err := parseHeld(it.Value())
		if err != nil {
			return err
		}
		if !t.alive(&h) {
			continue
		}
		n := int64(1)
		if !t.stray && len(t.keyNames) == 0 {
			n = h.count
		}
		report.Extra += n
		report.Note = gone
		if len(report.Differences) < v.cfg.MaxDifferences {
			report.Differences = append(report.Differences, staleRow(t, it, &h))
		}
	}
	return it.Error()
}

func staleRow(t *table, it *pebble.Iterator, h *held) Difference {
	d := Difference{Kind: Extra, Key: string(it.Key()[entrySize:])}
	if len(h.data) > 0 {
		d.Delivered = valid(h.data)
	}
	switch {
	case t.stray && len(h.data) > 0 || !utf8.ValidString(d.Key):
		d.Key = "(key not known)"
	case !t.stray && len(t.keyNames) == 0:
		d.Key = "(no key)"
	}
	return d
}
