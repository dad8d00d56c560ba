package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/binlogstreamer/binlogstreamer/internal/dedupe"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// table is one table that is verified.
type table struct {
	id        uint32
	schema    string
	name      string
	def       *schema.Table // when the verification began
	keyNames  []string      // of the columns that tell rows apart; none: the table has no key
	seed      uint64
	threshold uint64 // of the hashes of keys that are looked at; 0: all

	stray  bool     // it is not compared: see stray.go
	cutter *encoder // of a table without a key whose LOBs may be cut; the replay's mutex covers it

	// The replay's mutex covers these.
	drops   map[uint32]drop // by shard: rows of it that were applied before are gone
	created bool            // the record that announces the table was replayed: all that followed it is there
	changed bool            // the table was emptied or loaded anew since its comparison began
	unknown string          // why rows cannot be replayed
}

func (t *table) full() string { return t.schema + "." + t.name }

// drop is what has emptied a table as far as a shard held it.
type drop struct {
	Order uint64 `json:"order"`
	Own   string `json:"own,omitempty"` // when the newest drop-table was made of which the shard has a copy of its own
}

type tableName struct{ schema, name string }

// shard is how far a shard is replayed.
type shard struct {
	Number  uint32   `json:"number"`
	ID      string   `json:"id"`
	Created int64    `json:"created"` // when the stream was made
	Parents []string `json:"parents,omitempty"`
	First   string   `json:"first,omitempty"`  // sequence number of its first object
	Last    string   `json:"last,omitempty"`   // everything up to this sequence number is replayed
	Listed  bool     `json:"listed,omitempty"` // the stream knew it, and told its parents
	Tail    bool     `json:"tail,omitempty"`   // records of the stream are replayed, behind those of objects
	Ended   bool     `json:"ended,omitempty"`  // it gets no more records
	filter  *dedupe.Filter
}

type shardName struct {
	created int64
	id      string
}

// general is what belongs to the replay as a whole.
type general struct {
	Order   uint64   `json:"order"`
	Records int64    `json:"records"`
	Objects int64    `json:"objects"`
	Tail    int64    `json:"tail"`
	Faults  []string `json:"faults,omitempty"`
	Count   int64    `json:"fault_count"`
	Foreign int64    `json:"foreign"`
	Created []uint32 `json:"created,omitempty"` // tables of which the beginning was seen
	Unknown []string `json:"unknown,omitempty"` // "number reason"
}

const maxFaults = 20

// replay is the state that records lead to.
type replay struct {
	db     *db
	bodies s3sink.Bodies
	tables map[tableName]*table

	mu     sync.RWMutex         // covers everything below, and that a batch and what is known of it change together
	strays map[tableName]*table // that are not compared; nil: nobody asks for them
	shards map[shardName]*shard
	byID   map[uint32]*shard
	total  general
	watch  *watch // nil: nobody waits for versions
}

// damaged notes an object that is not what it says it is, ahead of what its records make of that.
func (r *replay) damaged(err error) {
	r.total.Count++
	r.total.Faults = slices.Insert(r.total.Faults, 0, err.Error())
	r.total.Faults = r.total.Faults[:min(len(r.total.Faults), maxFaults)]
}

// applier applies the records of one shard, a batch at a time.
type applier struct {
	r       *replay
	s       *shard
	strict  bool // every record is to be there once
	batch   *pebble.Batch
	counts  map[string]held // of tables without a key, as they are in the batch
	key     []byte
	pending string // up to where the batch goes, if it is to be committed
	value   []byte
}

func (r *replay) applier(s *shard) *applier {
	return &applier{r: r, s: s, batch: r.db.NewBatch(), counts: map[string]held{}}
}

func (r *replay) fault(format string, args ...any) {
	if r.total.Count++; len(r.total.Faults) < maxFaults {
		r.total.Faults = append(r.total.Faults, fmt.Sprintf(format, args...))
	}
}

// commit makes what was applied one state with how far the shard is. The caller holds mu.
func (a *applier) commit(last string) error {
	a.s.Last = last
	err := a.flushCounts()
	if a.s.filter != nil {
		var state []byte
		if state, err = a.s.filter.AppendBinary(nil); err == nil {
			err = a.batch.Set(entry(filterEntry, a.s.Number), state, nil)
		}
	}
	err = errors.Join(err, setJSON(a.batch, entry(shardEntry, a.s.Number), a.s), setJSON(a.batch, entry(stateEntry, 0), &a.r.total))
	if err != nil {
		return err
	}
	if err := commit(a.batch); err != nil {
		return err
	}
	a.batch = a.r.db.NewBatch()
	return nil
}

func (a *applier) size() int { return a.batch.Len() }

// apply takes one record into account, in the order of its shard. The caller holds mu.
func (a *applier) apply(ctx context.Context, raw []byte) error {
	h, err := record.Parse(raw)
	if err != nil {
		a.r.fault("shard %s holds what is not a record: %.200q", a.s.ID, raw)
		return nil
	}
	t := a.r.tables[tableName{h.Schema, h.Table}]
	if t == nil {
		if t, err = a.r.stray(&h); t == nil || err != nil {
			return err
		}
	}
	if h.RecordType == "control" {
		return a.control(t, &h)
	}
	if t.stray {
		a.r.total.Order++
		return a.strayRow(t, &h, raw)
	}
	if at, ok := record.ParseSpilled(raw); ok {
		if raw, err = a.r.body(ctx, at); err != nil {
			return err
		}
	}
	parts, err := record.Split(raw)
	if err != nil || parts.Data == nil {
		a.r.fault("a record of %s in shard %s has no data: %.200q", t.full(), a.s.ID, raw)
		return nil
	}
	a.r.total.Order++
	if len(t.keyNames) == 0 {
		return a.multiset(t, &h, parts)
	}
	return a.row(t, &h, parts.Data)
}

// row replaces what is held of a row.
func (a *applier) row(t *table, h *record.Header, data []byte) (err error) {
	a.key = appendEntry(a.key[:0], rowEntry, t.id, nil)
	if a.key, err = rowKey(a.key, data, t.keyNames); err != nil {
		a.r.fault("a record of %s in shard %s: %v", t.full(), a.s.ID, err)
		return nil
	}
	if !t.sampled(a.key[entrySize:]) {
		return nil
	}
	row := held{order: a.r.total.Order, shard: a.s.Number, live: h.Op() != record.Delete}
	if row.live {
		row.data = data
	}
	a.value = row.append(a.value[:0])
	if err := a.batch.Set(a.key, a.value, nil); err != nil {
		return err
	}
	a.r.watch.see(a.key[1:], h.TxID, row.data)
	return nil
}

// multiset counts rows of a table without a key.
func (a *applier) multiset(t *table, h *record.Header, parts record.Parts) error {
	switch op := h.Op(); {
	case op == record.Delete:
		return a.count(t, h, parts.Data, -1)
	case op == record.Update && parts.Before == nil:
		if t.unknown == "" {
			t.unknown = "it has no key, and its updates have no before-image, so nobody can tell which row they change; " +
				"give it a primary key, or set stream.before_image {enabled: true, column_filter: all} and reload the table"
			a.r.total.Unknown = append(a.r.total.Unknown, t.full()+" "+t.unknown)
		}
		return nil
	case op == record.Update:
		if err := a.count(t, h, parts.Before, -1); err != nil {
			return err
		}
	}
	return a.count(t, h, parts.Data, 1)
}

func (a *applier) count(t *table, h *record.Header, data []byte, n int64) error {
	if t.cutter != nil {
		cut, err := t.cutter.canonical(data)
		if err != nil {
			a.r.fault("a record of %s in shard %s: %v", t.full(), a.s.ID, err)
			return nil
		}
		data = cut
	}
	sum, err := content(data)
	if err != nil {
		a.r.fault("a record of %s in shard %s: %v", t.full(), a.s.ID, err)
		return nil
	}
	if !t.sampled(sum) {
		return nil
	}
	key := appendEntry(nil, rowEntry, t.id, sum)
	key = append(key, byte(a.s.Number>>24), byte(a.s.Number>>16), byte(a.s.Number>>8), byte(a.s.Number))
	row, ok := a.counts[string(key)]
	if !ok {
		value, err := a.r.db.get(key)
		if err != nil {
			return err
		}
		if value != nil {
			if row, err = parseHeld(value); err != nil {
				return err
			}
		}
	}
	if row.order <= t.drops[a.s.Number].Order {
		row.count = 0
	}
	row.order, row.shard, row.live, row.count = a.r.total.Order, a.s.Number, true, row.count+n
	row.data = slices.Clone(data)
	a.counts[string(key)] = row
	a.r.watch.count(t, sum, h.TxID, n)
	return nil
}

func (a *applier) flushCounts() error {
	for key, row := range a.counts {
		if err := a.batch.Set([]byte(key), row.append(nil), nil); err != nil {
			return err
		}
	}
	clear(a.counts)
	return nil
}

// control follows what empties a table and what announces one. Every shard has its copy, and nothing of the table stands
// between the copies: so what this shard, and those that it goes on behind, held before is gone.
func (a *applier) control(t *table, h *record.Header) error {
	switch h.Operation {
	case record.DropTable.String():
		a.r.total.Order++
		t.drops[a.s.Number] = drop{Own: max(t.drops[a.s.Number].Own, h.Timestamp)}
		for _, n := range append(a.r.ancestors(a.s, t, h.Timestamp), a.s.Number) {
			d := t.drops[n]
			d.Order = a.r.total.Order
			t.drops[n] = d
			key := append(entry(dropEntry, t.id), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
			if err := setJSON(a.batch, key, d); err != nil {
				return err
			}
		}
	case record.CreateTable.String():
		if !t.created {
			t.created = true
			a.r.total.Created = append(a.r.total.Created, t.id)
		}
	}
	t.changed = true
	return nil
}

// ancestors are the numbers of the shards that a shard goes on behind. Where the stream no longer tells, they are those
// that it has forgotten as well, whose records have lower numbers, and that have no copy of the drop-table: they were at
// their end when it was sent. The one ahead of a table's first load stands in one shard only, and has nothing to empty.
func (r *replay) ancestors(s *shard, t *table, made string) (numbers []uint32) {
	for _, p := range r.shards {
		forgotten := !s.Listed && !p.Listed && t.created && t.drops[p.Number].Own < made && p.Last != "" &&
			s3sink.CompareSequence(p.Last, s.First) < 0
		if p != s && (forgotten || r.descends(s, p)) {
			numbers = append(numbers, p.Number)
		}
	}
	return numbers
}

func (r *replay) descends(s, p *shard) bool {
	if p.Created != s.Created {
		return p.Created < s.Created
	}
	for _, id := range s.Parents {
		if id == p.ID {
			return true
		}
		if parent := r.shards[shardName{s.Created, id}]; parent != nil && r.descends(parent, p) {
			return true
		}
	}
	return false
}

// alive says whether a row is there, after all that emptied its table. The caller holds mu.
func (t *table) alive(h *held) bool { return h.live && h.order > t.drops[h.shard].Order }

// at gives the row that the replay holds under a key, nil if there is none; known says whether there ever was a record
// of it. The caller holds mu.
func (r *replay) at(t *table, key []byte) (data []byte, known bool, err error) {
	value, err := r.db.get(entry(rowEntry, t.id, key...))
	if value == nil || err != nil {
		return nil, false, err
	}
	h, err := parseHeld(value)
	if err != nil || !t.alive(&h) {
		return nil, true, err
	}
	return h.data, true, nil
}

// maxBody is the most bytes that a record may have that was too large for the stream.
const maxBody = 1 << 30

// body reads the whole of a record that was too large for the stream.
func (r *replay) body(ctx context.Context, at record.Spilled) ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		return nil, &s3sink.BodyError{Location: at.Location, Err: err, Hint: "put it back, or let this program read it"}
	}
	if r.bodies == nil || !r.bodies.Owns(at.Location) {
		return fail(errors.New("it does not lie in stream.oversized_destination"))
	}
	in, err := r.bodies.Open(ctx, at.Location)
	if err != nil {
		return fail(err)
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, min(at.Bytes, maxBody)+1))
	if err != nil {
		return fail(err)
	}
	if sum := sha256.Sum256(data); int64(len(data)) != at.Bytes || !strings.EqualFold(hex.EncodeToString(sum[:]), at.SHA256) {
		return fail(errors.New("it is not what the stream says"))
	}
	return data, nil
}
