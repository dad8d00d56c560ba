package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/outage"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// definitionsDocument is the name of the document that keeps which definitions tables had at which positions.
const definitionsDocument = "replicate/definitions"

// definitionsVersion is the version of the document's form; docs/FORMATS.md specifies it.
const definitionsVersion = 1

// definitionsDoc is what is known of the tables' definitions.
type definitionsDoc struct {
	Version     int               `json:"version"`
	Task        string            `json:"task"`
	Positions   []source.Position `json:"positions"` // that definitions begin at; many begin at the same one
	Definitions []definitionDoc   `json:"definitions"`
	Saved       time.Time         `json:"saved"`
}

// definitionDoc is the definition of one table from a position on.
type definitionDoc struct {
	Schema    string      `json:"schema"`
	Table     string      `json:"table"`
	Since     int         `json:"since"` // index into positions
	Columns   []columnDoc `json:"columns,omitempty"`
	Key       []int       `json:"key,omitempty"`
	KeyKind   string      `json:"key_kind,omitempty"`
	Collation string      `json:"collation,omitempty"`
	Versioned bool        `json:"versioned,omitempty"`
}

type columnDoc struct {
	Name      string `json:"name"`
	Type      string `json:"type"`
	Nullable  bool   `json:"nullable,omitempty"`
	Generated bool   `json:"generated,omitempty"`
	Unlogged  bool   `json:"unlogged,omitempty"`
	Invisible bool   `json:"invisible,omitempty"`
	Charset   string `json:"charset,omitempty"`
	Collation string `json:"collation,omitempty"`
}

var keyKinds = map[schema.KeyKind]string{schema.NoKey: "", schema.PrimaryKey: "primary", schema.UniqueKey: "unique"}

// definitions implements binlog.History over a checkpoint store.
type definitions struct {
	store  checkpoint.Store
	rev    checkpoint.Revision
	task   string
	loaded []binlog.Version
	oldest func() source.Position
	health *outage.Watch // of the store
}

// openDefinitions reads the document and takes it over, so that a former process that is still alive cannot save it any
// more. continues says that reading goes on from the saved checkpoint: what is known holds on that line of positions only,
// and is forgotten otherwise. oldest is the position of the newest checkpoint.
func openDefinitions(ctx context.Context, store checkpoint.Store, task string, continues bool, oldest func() source.Position, health *outage.Watch) (*definitions, error) {
	d := &definitions{store: store, task: task, oldest: oldest, health: health}
	raw, rev, err := store.Load(ctx, definitionsDocument)
	if err != nil && !errors.Is(err, checkpoint.ErrNotFound) {
		return nil, fmt.Errorf("load the known table definitions: %w", err)
	}
	d.rev = rev
	if err == nil && continues {
		if d.loaded, err = readDefinitions(raw, task); err != nil {
			return nil, err
		}
	}
	return d, d.save(ctx, d.loaded)
}

// Load implements binlog.History.
func (d *definitions) Load(context.Context) ([]binlog.Version, error) { return d.loaded, nil }

// Oldest implements binlog.History.
func (d *definitions) Oldest() source.Position { return d.oldest() }

// Save implements binlog.History. A store that is away is tried again, which holds the stream back.
func (d *definitions) Save(ctx context.Context, all []binlog.Version) error {
	for {
		err := d.save(ctx, all)
		switch {
		case err == nil:
			d.health.PartWorking(partDefinitions)
			return nil
		case errors.Is(err, checkpoint.ErrConflict):
			return fmt.Errorf("%w: another replicate process has taken over; stop one of the two", err)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		d.health.PartFailing(partDefinitions, err)
		if err := backoff.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

func (d *definitions) save(ctx context.Context, all []binlog.Version) error {
	raw, err := json.Marshal(definitionsOf(all, d.task, time.Now().UTC()))
	if err != nil {
		return fmt.Errorf("write the known table definitions: %w", err)
	}
	rev, err := d.store.Save(ctx, definitionsDocument, raw, d.rev)
	if err != nil {
		return fmt.Errorf("save the known table definitions: %w", err)
	}
	d.rev = rev
	return nil
}

func definitionsOf(all []binlog.Version, task string, now time.Time) *definitionsDoc {
	doc := &definitionsDoc{Version: definitionsVersion, Task: task, Positions: []source.Position{}, Definitions: []definitionDoc{}, Saved: now}
	index := map[source.Position]int{}
	for _, v := range all {
		at, known := index[v.Since]
		if !known {
			at = len(doc.Positions)
			index[v.Since] = at
			doc.Positions = append(doc.Positions, v.Since)
		}
		def := definitionDoc{Schema: v.Schema, Table: v.Name, Since: at}
		if t := v.Table; t != nil {
			def.Key, def.KeyKind, def.Collation, def.Versioned = t.Key, keyKinds[t.KeyKind], t.Collation, t.Versioned
			for _, c := range t.Columns {
				def.Columns = append(def.Columns, columnDoc{
					Name: c.Name, Type: c.ColumnType, Nullable: c.Nullable, Generated: c.Generated, Unlogged: c.Unlogged, Invisible: c.Invisible,
					Charset: c.Charset, Collation: c.Collation,
				})
			}
		}
		doc.Definitions = append(doc.Definitions, def)
	}
	return doc
}

// readDefinitions turns the document back into versions.
func readDefinitions(raw []byte, task string) ([]binlog.Version, error) {
	var doc definitionsDoc
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("read the known table definitions: %w", err)
	}
	if doc.Version != definitionsVersion {
		return nil, fmt.Errorf("the document of known table definitions has version %d, this program knows version %d: use the program version that wrote it",
			doc.Version, definitionsVersion)
	}
	if doc.Task != task {
		return nil, fmt.Errorf("the checkpoint store belongs to task %q, this is task %q: give each task a checkpoint.store of its own", doc.Task, task)
	}
	var all []binlog.Version
	for _, def := range doc.Definitions {
		v := binlog.Version{Schema: def.Schema, Name: def.Table}
		bad := func(err error) error {
			return fmt.Errorf("the known definition of table %s.%s cannot be read: %w", def.Schema, def.Table, err)
		}
		if def.Since < 0 || def.Since >= len(doc.Positions) {
			return nil, bad(fmt.Errorf("it begins at position %d of %d", def.Since, len(doc.Positions)))
		}
		v.Since = doc.Positions[def.Since]
		if len(def.Columns) > 0 {
			t, err := def.table()
			if err != nil {
				return nil, bad(err)
			}
			v.Table = t
		}
		all = append(all, v)
	}
	return all, nil
}

func (def *definitionDoc) table() (*schema.Table, error) {
	t := &schema.Table{Schema: def.Schema, Name: def.Table, Key: def.Key, Collation: def.Collation, Versioned: def.Versioned}
	for _, c := range def.Columns {
		column, err := schema.ParseColumnType(c.Type)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
		column.Name, column.Nullable, column.Invisible, column.Charset, column.Collation = c.Name, c.Nullable, c.Invisible, c.Charset, c.Collation
		column.Generated, column.Unlogged = c.Generated, c.Unlogged
		t.Columns = append(t.Columns, column)
	}
	for kind, name := range keyKinds {
		if name == def.KeyKind {
			t.KeyKind = kind
		}
	}
	if keyKinds[t.KeyKind] != def.KeyKind || (t.KeyKind == schema.NoKey) != (len(t.Key) == 0) ||
		slices.ContainsFunc(t.Key, func(i int) bool { return i < 0 || i >= len(t.Columns) }) {
		return nil, fmt.Errorf("its key is %v of kind %q", def.Key, def.KeyKind)
	}
	return t, nil
}
