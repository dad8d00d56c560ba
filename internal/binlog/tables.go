package binlog

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// table is what is known of one table by its name. It stays between transactions and connections.
type table struct {
	schema, name string
	selected     bool

	raw   []byte // the last table map, without the table id; kept for selected tables only
	stale bool   // its definition must be looked at again before its next rows

	failed bool // the Handler goes on without it, for as long as nothing changes

	base   *schema.Table // what the server said last, nil if it was not asked or has no such table
	def    *schema.Table // what the rows are written with
	layout *schema.ImageLayout
}

// mapped is a table id that the open transaction may use.
type mapped struct {
	id    uint64
	table *table
	start uint64 // offset of the table map
}

// tables keeps the tables by name and the ids of the open transaction.
type tables struct {
	selected func(schema, table string) bool
	byName   map[string]*table // by the schema and table fields as they stand in a table map
	ids      []mapped
}

func newTables(selected func(schema, table string) bool) *tables {
	return &tables{selected: selected, byName: map[string]*table{}}
}

// see takes note of a table map. Only what changed since the last one of the table costs anything.
func (t *tables) see(body []byte, start uint64) error {
	id, err := tableIDOf(body)
	if err != nil {
		return err
	}
	names, schemaName, tableName, ok := namesOf(body)
	if !ok {
		return fmt.Errorf("%w: it ends in the table's name", ErrCorrupt)
	}
	tab := t.byName[string(names)] // the lookup does not copy the key
	if tab == nil {
		tab = t.named(string(schemaName), string(tableName))
	}
	if tab.selected && !bytes.Equal(tab.raw, body[6:]) {
		tab.failed = tab.failed && tab.raw == nil // the first one changes nothing
		tab.raw = append(tab.raw[:0], body[6:]...)
		tab.stale = tab.stale || tab.layout != nil
		tab.layout = nil
	}
	for i := range t.ids {
		if t.ids[i].id == id {
			t.ids[i] = mapped{id, tab, start}
			return nil
		}
	}
	t.ids = append(t.ids, mapped{id, tab, start})
	return nil
}

// named is what is known of a table by its name, from now on if nothing was.
func (t *tables) named(schemaName, name string) *table {
	fields := append([]byte{byte(len(schemaName))}, schemaName...)
	fields = append(append(fields, 0, byte(len(name))), name...)
	fields = append(fields, 0)
	tab := t.byName[string(fields)]
	if tab == nil {
		tab = &table{schema: schemaName, name: name, selected: t.selected(schemaName, name)}
		t.byName[string(fields)] = tab
	}
	return tab
}

// namesOf cuts the schema and table fields out of a table map: id (6), flags (2), then twice length, name, zero byte.
func namesOf(body []byte) (fields, schemaName, tableName []byte, ok bool) {
	const at = 8
	if len(body) <= at {
		return nil, nil, nil, false
	}
	n := int(body[at])
	if len(body) < at+n+3 {
		return nil, nil, nil, false
	}
	m := int(body[at+n+2])
	if len(body) < at+n+m+4 {
		return nil, nil, nil, false
	}
	return body[at : at+n+m+4], body[at+1 : at+1+n], body[at+n+3 : at+n+3+m], true
}

// find is the table of an id, if the open transaction has mapped it.
func (t *tables) find(id uint64) (mapped, bool) {
	for _, m := range t.ids {
		if m.id == id {
			return m, true
		}
	}
	return mapped{}, false
}

// forget drops all ids: they are good for one transaction.
func (t *tables) forget() { t.ids = t.ids[:0] }

// changed makes every table of that name look at its definition again. Names are compared without case: at worst one
// definition too many is looked at.
func (t *tables) changed(schemaName, name string) {
	for _, tab := range t.byName {
		if strings.EqualFold(tab.schema, schemaName) && strings.EqualFold(tab.name, name) {
			tab.invalidate()
		}
	}
}

func (t *tables) allChanged() {
	for _, tab := range t.byName {
		tab.invalidate()
	}
}

func (tab *table) invalidate() {
	tab.stale, tab.layout, tab.base, tab.failed = true, nil, nil, false
}

// definition is what the last rows of a table were written with; nil if none have been seen.
func (t *tables) definition(schemaName, name string) *schema.Table {
	for _, tab := range t.byName {
		if tab.schema == schemaName && tab.name == name {
			return tab.def
		}
	}
	return nil
}
