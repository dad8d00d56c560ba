package verify

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"
	"github.com/go-mysql-org/go-mysql/client"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// verification is one verification on its way.
type verification struct {
	cfg    Config
	db     *db
	in     *kinesisin.Stream
	stream kinesisin.Description
	listed map[string]kinesisin.Shard // shards of the stream, by id; one goroutine has it
	began  time.Time                  // the listing
	limits map[string]string          // up to where shards were stored then, by id
	server source.Server
	replay *replay
	tables []*table
	rows   int64           // of the tables, as the source estimates it
	passed source.Position // the replay is behind it
	bytes  struct{ done, total int64 }

	showing sync.Mutex // covers calls of cfg.Progress
	compare comparison
}

// Run verifies. Its error says why there is no report; what was done until then is kept, and gone on with by the next
// verification of the same things.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	v := &verification{cfg: cfg.withDefaults(), listed: map[string]kinesisin.Shard{}}
	stream := v.cfg.Stream
	stream.Health, stream.Gate, stream.Metrics = health{v}, gate{}, kinesisin.NewMetrics(nil)
	v.in = kinesisin.New(stream)
	report, err := v.run(ctx)
	if v.db != nil {
		err = errors.Join(err, v.db.close())
	}
	if err != nil {
		return nil, err
	}
	return report, v.clean()
}

// clean removes what a verification that is through has no use for.
func (v *verification) clean() error {
	return os.RemoveAll(filepath.Join(v.cfg.WorkDir, "store"))
}

func (v *verification) run(ctx context.Context) (*Report, error) {
	if err := v.prepare(ctx); err != nil {
		return nil, err
	}
	resumed, err := v.open()
	if err != nil {
		return nil, err
	}
	if err := v.replayAll(ctx); err != nil {
		return nil, err
	}
	if err := v.compareAll(ctx); err != nil {
		return nil, err
	}
	return v.report(ctx, resumed)
}

// prepare looks at the stream, the source and its tables.
func (v *verification) prepare(ctx context.Context) (err error) {
	if v.stream, err = v.in.Describe(ctx); err != nil {
		return err
	}
	shards, err := v.in.Shards(ctx)
	if err != nil {
		return err
	}
	for _, s := range shards {
		v.listed[s.ID] = s
	}
	return v.onSource(ctx, func(conn *client.Conn) error {
		if v.server, err = source.Describe(ctx, conn); err != nil {
			return err
		}
		return v.findTables(ctx, conn)
	})
}

// onSource calls fn with a connection.
func (v *verification) onSource(ctx context.Context, fn func(*client.Conn) error) error {
	conn, err := source.Connect(ctx, v.cfg.Source)
	if err != nil {
		return err
	}
	defer source.Close(conn)
	return fn(conn)
}

// UnknownTableError is returned for a table that was asked for and is not selected, or not there.
type UnknownTableError struct{ Name string }

// Error names it.
func (e *UnknownTableError) Error() string {
	return fmt.Sprintf("table %s is not in the source, or the table mappings do not select it: write it as schema.table, as the source does", e.Name)
}

// findTables lists the tables that are to be compared.
func (v *verification) findTables(ctx context.Context, conn *client.Conn) error {
	names, err := source.Tables(ctx, conn)
	if err != nil {
		return err
	}
	selected := v.cfg.Selected(v.server.LowerCaseTables)
	asked := map[string]bool{}
	for _, name := range v.cfg.Tables {
		asked[name] = true
	}
	v.replay = &replay{bodies: v.cfg.Bodies, tables: map[tableName]*table{}, shards: map[shardName]*shard{}, byID: map[uint32]*shard{}}
	if len(v.cfg.Tables) == 0 {
		v.replay.strays = map[tableName]*table{}
	}
	for _, n := range names {
		full := n.Schema + "." + n.Name
		if n.View || !selected(n.Schema, n.Name) || len(v.cfg.Tables) > 0 && !asked[full] {
			continue
		}
		delete(asked, full)
		t, err := v.define(ctx, conn, n)
		if source.IsNoTable(err) {
			continue // dropped just now
		}
		if err != nil {
			return err
		}
		v.tables = append(v.tables, t)
		v.replay.tables[tableName{t.schema, t.name}] = t
	}
	for name := range asked {
		return &UnknownTableError{name}
	}
	if len(v.tables) == 0 {
		return errors.New("the table mappings select no table that is there: there is nothing to verify")
	}
	return v.estimate(ctx, conn)
}

func (v *verification) define(ctx context.Context, conn *client.Conn, n source.TableName) (*table, error) {
	def, err := source.LoadTable(ctx, conn, n.Schema, n.Name)
	if err != nil {
		return nil, err
	}
	t := &table{id: uint32(len(v.tables) + 1), schema: n.Schema, name: n.Name, def: def, drops: map[uint32]drop{}}
	for _, c := range def.Key {
		t.keyNames = append(t.keyNames, def.Columns[c].Name)
	}
	if len(t.keyNames) == 0 && v.cfg.LOBBytes > 0 {
		layout, err := schema.NewTextLayout(def, v.cfg.Rendered)
		if err != nil {
			return nil, err
		}
		if t.cutter, err = v.encoder(def, layout); err != nil {
			return nil, err
		}
	}
	t.seed = xxhash.Sum64String(t.full())
	if v.cfg.Sample < 1 {
		t.threshold = max(1, uint64(v.cfg.Sample*(1<<63)*2))
	}
	return t, nil
}

// estimate asks how many rows there are, for the progress.
func (v *verification) estimate(ctx context.Context, conn *client.Conn) error {
	v.rows = 0
	return source.StreamText(ctx, conn, "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_ROWS FROM information_schema.TABLES", func(row [][]byte) error {
		var n int64
		if v.replay.tables[tableName{string(row[0]), string(row[1])}] != nil {
			_, _ = fmt.Sscan(string(row[2]), &n) // an estimate is not worth an error
		}
		v.rows += int64(float64(n) * v.cfg.Sample)
		return nil
	})
}

// identity is what the entries of the store depend on.
type identity struct {
	Version int                 `json:"version"`
	Name    string              `json:"name"`
	Objects string              `json:"objects"`
	Stream  string              `json:"stream"`
	Created int64               `json:"created"`
	Server  string              `json:"server"`
	Keys    map[string][]string `json:"keys"`
	Order   []string            `json:"order"`
	Sample  float64             `json:"sample"`
	Since   time.Time           `json:"since"`
	Dedupe  bool                `json:"deduplicate"`
}

func (v *verification) identity() identity {
	id := identity{
		Version: 1, Name: v.cfg.Name, Objects: v.cfg.Objects.String(), Stream: v.stream.Name, Created: v.stream.Created.Unix(),
		Server: v.server.UUID, Keys: map[string][]string{}, Sample: v.cfg.Sample, Since: v.cfg.Since, Dedupe: v.cfg.Deduplicate,
	}
	for _, t := range v.tables {
		id.Keys[t.full()] = t.keyNames
		id.Order = append(id.Order, t.full())
	}
	return id
}

// open opens the work folder. It says whether an interrupted verification of the same things is gone on with.
func (v *verification) open() (resumed bool, err error) {
	if v.cfg.Restart {
		if err := v.clean(); err != nil {
			return false, err
		}
	}
	if v.db, err = openDB(v.cfg.WorkDir, v.cfg.Memory); err != nil {
		return false, err
	}
	want, err := json.Marshal(v.identity())
	if err != nil {
		return false, err
	}
	is, err := v.db.get([]byte{identityEntry})
	if err != nil {
		return false, err
	}
	switch {
	case is != nil && string(is) == string(want):
		resumed = true
		err = v.restore()
		v.cfg.Log.Info("going on with an interrupted verification", "work_dir", v.cfg.WorkDir, "records", v.replay.total.Records)
	case is != nil:
		v.cfg.Log.Info("an interrupted verification was of other things: beginning anew", "work_dir", v.cfg.WorkDir)
		err = v.db.DeleteRange([]byte{0}, []byte{0xff}, pebble.NoSync)
	}
	v.replay.db = v.db
	return resumed, errors.Join(err, v.db.Set([]byte{identityEntry}, want, pebble.NoSync))
}

// restore reads the state that an interrupted verification has left.
func (v *verification) restore() error {
	r := v.replay
	if _, err := v.db.load(entry(stateEntry, 0), &r.total); err != nil {
		return err
	}
	if err := v.each([]byte{shardEntry}, func(_, value []byte) error {
		s := &shard{}
		r.shards[shardName{}] = s
		if err := json.Unmarshal(value, s); err != nil {
			return err
		}
		delete(r.shards, shardName{})
		r.shards[shardName{s.Created, s.ID}] = s
		return nil
	}); err != nil {
		return err
	}
	if err := v.restoreStrays(); err != nil {
		return err
	}
	for _, t := range slices.Concat(v.tables, slices.Collect(maps.Values(r.strays))) {
		t.created = slices.Contains(r.total.Created, t.id)
		for _, u := range r.total.Unknown {
			if reason, ok := strings.CutPrefix(u, t.full()+" "); ok {
				t.unknown = reason
			}
		}
		if err := v.each(entry(dropEntry, t.id), func(key, value []byte) error {
			n := key[entrySize:]
			var d drop
			err := json.Unmarshal(value, &d)
			t.drops[binary.BigEndian.Uint32(n)] = d
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// each calls fn with the entries whose keys begin with prefix.
func (v *verification) each(prefix []byte, fn func(key, value []byte) error) error {
	end := slices.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			break
		}
	}
	it, err := v.db.NewIter(iterBetween(prefix, end))
	if err != nil {
		return err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		if err := fn(it.Key(), it.Value()); err != nil {
			return err
		}
	}
	return it.Error()
}

func iterBetween(from, to []byte) *pebble.IterOptions {
	return &pebble.IterOptions{LowerBound: from, UpperBound: to}
}

func decode(text []byte, into any) error {
	if err := json.Unmarshal(text, into); err != nil {
		return errEntry
	}
	return nil
}

// replayAll replays the objects, unless an earlier attempt was in the stream behind them already, and then the stream.
func (v *verification) replayAll(ctx context.Context) error {
	if !v.inTail() {
		v.replay.total.Foreign = 0
		sum, err := v.index(ctx)
		if err != nil {
			return err
		}
		if err := v.leaveNew(ctx); err != nil {
			return err
		}
		// A row's data is about half of its record, and the store compresses it.
		if err := v.db.room(minimumFree + int64(float64(sum.bytes)*v.cfg.Sample/4)); err != nil {
			return err
		}
		if err := v.replayObjects(ctx, sum); err != nil {
			return err
		}
	}
	end, err := v.end(ctx)
	if err != nil {
		return err
	}
	v.progress(Progress{Phase: "replaying the stream's tail"})
	return v.advance(ctx, end)
}

func (v *verification) inTail() bool {
	for _, s := range v.replay.shards {
		if s.Tail {
			return true
		}
	}
	return false
}

// end is where the source's binlog ends now.
func (v *verification) end(ctx context.Context) (at source.Position, err error) {
	if !v.cfg.Changes {
		return at, nil
	}
	err = v.onSource(ctx, func(conn *client.Conn) (err error) {
		at, err = source.CurrentPosition(ctx, conn, v.server)
		return err
	})
	return at, err
}

func (v *verification) progress(p Progress) {
	v.showing.Lock()
	defer v.showing.Unlock()
	v.cfg.Progress(p)
}

// loaded waits for the loads of the tables to end, for as long as is allowed. What cannot be compared gets a reason: of a
// table that is suspended nothing is sent, so its rows differ as they should.
func (v *verification) loaded(ctx context.Context) error {
	began := time.Now()
	for {
		saved, err := v.cfg.Saved(ctx)
		if err != nil {
			return err
		}
		waiting := ""
		for _, t := range v.tables {
			p := v.compare.of(t)
			if p.waits {
				p.NotCompared, p.Passing, p.waits = "", false, false
			}
			state := saved.States[t.full()]
			there := true
			if v.cfg.Loads && state != StateCompleted {
				if there, err = v.exists(ctx, t); err != nil {
					return err
				}
			}
			switch {
			case !there:
				p.NotCompared = errGone.Error()
			case saved.Suspended[t.full()] != "":
				p.waits = true
				p.NotCompared = "it is suspended: " + saved.Suspended[t.full()] + "; cure that, then binlogstreamer reload-table " + t.full()
			case v.cfg.Loads && state != StateCompleted:
				p.waits = true
				p.NotCompared, p.Passing = fmt.Sprintf("its load is not through (%s); verify it when it is", orUnknown(state)), true
				waiting = t.full()
			}
		}
		if waiting == "" || time.Since(began) > v.cfg.Wait {
			return nil
		}
		v.progress(Progress{Phase: "waiting for the load of " + waiting})
		if err := backoff.Sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// exists says whether the source has a table.
func (v *verification) exists(ctx context.Context, t *table) (there bool, err error) {
	err = v.onSource(ctx, func(conn *client.Conn) error {
		engine, err := source.TableEngine(ctx, conn, t.schema, t.name)
		there = engine != ""
		return err
	})
	return there, err
}

func orUnknown(state string) string {
	if state == "" {
		return "replicate does not know it yet"
	}
	return strings.ToLower(state)
}

// report sums up.
func (v *verification) report(ctx context.Context, resumed bool) (*Report, error) {
	total := &v.replay.total
	r := &Report{
		Position: v.passed, Objects: total.Objects, Records: total.Records, Tail: total.Tail, Sample: v.cfg.Sample, Resumed: resumed,
		Faults: total.Faults, FaultCount: total.Count, Foreign: total.Foreign,
		StandsStill: !v.cfg.Changes,
	}
	if !v.cfg.Since.IsZero() {
		r.Since = &v.cfg.Since
	}
	for _, t := range v.tables {
		r.Tables = append(r.Tables, v.compare.of(t).TableReport)
	}
	if err := v.vanished(ctx, r); err != nil {
		return nil, err
	}
	r.Position = v.passed
	return r, nil
}
