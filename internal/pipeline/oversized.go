package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/heap"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisout"
	"github.com/binlogstreamer/binlogstreamer/internal/outage"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// OversizedPolicy says what becomes of a record that is larger than the stream takes.
type OversizedPolicy string

// The policies.
const (
	OversizedFail     OversizedPolicy = "fail"         // the task stops
	OversizedSpill    OversizedPolicy = "spill"        // it is stored elsewhere, and a reference goes into the stream
	OversizedTruncate OversizedPolicy = "truncate-lob" // its LOBs are cut, as DMS's limited LOB mode does
)

// OversizedConfig is what becomes of records that are larger than the stream takes.
type OversizedConfig struct {
	Policy   OversizedPolicy // default OversizedFail
	LOBBytes int             // OversizedTruncate: how much is left of a LOB

	// OversizedSpill: a record is in memory while it is stored, so larger ones than MaxBytes stop the task.
	MaxBytes    int
	Destination s3sink.Destination
	Location    string // of the destination, with its last slash: s3://bucket/prefix/ or file:///folder/
}

// oversizer makes smaller what the stream does not take.
type oversizer struct {
	OversizedConfig
	task    string
	metrics *replicateMetrics
	log     *slog.Logger
	store   *outage.Watch
	told    map[tableID]bool // tables whose first cut or spilled record was announced; under the emitter's mutex
}

func newOversizer(cfg OversizedConfig, task string, metrics *replicateMetrics, store *outage.Watch, log *slog.Logger) *oversizer {
	if cfg.Policy == "" {
		cfg.Policy = OversizedFail
	}
	return &oversizer{
		OversizedConfig: cfg, task: task, metrics: metrics, log: log,
		store: store, told: make(map[tableID]bool),
	}
}

// largest is how many bytes a record may have that is built whole.
func (o *oversizer) largest() int {
	if o.Policy == OversizedSpill {
		return max(o.MaxBytes, kinesisout.MaxRequestBytes)
	}
	return kinesisout.MaxRequestBytes
}

// build makes the record and its partition key in e.buf and e.key, as the stream takes them. Called with mu held.
func (e *emitter) build(ctx context.Context, plan *record.Plan, t *schema.Table, op record.Operation, row, before [][]byte, stamp *record.Stamp) error {
	var err error
	least, likely := plan.Bounds(op, row, before)
	if least > e.oversized.largest() {
		if e.key, err = plan.AppendPartitionKey(e.key[:0], row, stamp); err != nil {
			return err
		}
		if e.oversized.Policy == OversizedTruncate {
			return e.cut(ctx, plan, t, op, row, before, stamp, least)
		}
		return e.tooLarge(t, &kinesisout.OversizedError{Size: least, Limit: e.oversized.largest()})
	}
	e.reserve(likely)
	if e.buf, e.key, err = plan.AppendBoth(e.buf[:0], e.key[:0], op, row, before, stamp); err != nil {
		return err
	}
	err = e.out.Takes(ctx, len(e.key)+len(e.buf))
	if _, big := errors.AsType[*kinesisout.OversizedError](err); !big {
		return err
	}
	switch e.oversized.Policy {
	case OversizedTruncate:
		return e.cut(ctx, plan, t, op, row, before, stamp, len(e.key)+len(e.buf))
	case OversizedSpill:
		return e.spill(ctx, plan, t, op, row, stamp)
	default:
		return e.tooLarge(t, err)
	}
}

// reserve makes room for a record at once, and not by doubling.
func (e *emitter) reserve(size int) {
	if size <= cap(e.buf) {
		return
	}
	e.buf = nil
	heap.Room(size)
	e.buf = make([]byte, 0, size)
}

// tooLarge is the end of a record that the stream does not take. It names table and key.
func (e *emitter) tooLarge(t *schema.Table, err error) error {
	e.metrics.oversized(t, OversizedFail)
	return oversized(err, t, e.key)
}

// cut builds the record with its LOBs cut.
func (e *emitter) cut(ctx context.Context, plan *record.Plan, t *schema.Table, op record.Operation, row, before [][]byte, stamp *record.Stamp, size int) error {
	least, likely := plan.CutBounds(op, row, before, e.oversized.LOBBytes)
	if least > kinesisout.MaxRequestBytes {
		return e.tooLarge(t, &kinesisout.OversizedError{Size: least, Limit: kinesisout.MaxRequestBytes})
	}
	e.reserve(likely)
	var err error
	if e.buf, err = plan.AppendCut(e.buf[:0], op, row, before, stamp, e.oversized.LOBBytes); err != nil {
		return err
	}
	if err := e.fits(ctx, t); err != nil {
		return err
	}
	e.metrics.oversized(t, OversizedTruncate)
	if e.oversized.first(t) {
		e.log.Warn("LOBs of records that are larger than the stream takes are cut off", "severity", "DATALOSS",
			"schema", t.Schema, "table", t.Name, "partition_key", string(e.key), "bytes", size, "lob_max_size_bytes", e.oversized.LOBBytes)
	}
	return nil
}

// spill stores the record that stands in e.buf, and builds the one that refers to it.
func (e *emitter) spill(ctx context.Context, plan *record.Plan, t *schema.Table, op record.Operation, row [][]byte, stamp *record.Stamp) error {
	at, err := e.oversized.spill(ctx, t, e.buf)
	if err != nil {
		return err
	}
	if e.buf, err = plan.AppendSpilled(e.buf[:0], op, row, stamp, at); err != nil {
		return err
	}
	if err := e.fits(ctx, t); err != nil {
		return err
	}
	e.metrics.oversized(t, OversizedSpill)
	if e.oversized.first(t) {
		e.log.Info("records that are larger than the stream takes are stored elsewhere; the stream has references to them",
			"schema", t.Schema, "table", t.Name, "partition_key", string(e.key), "bytes", at.Bytes, "location", at.Location)
	}
	return nil
}

// fits refuses the record in e.buf if even that is too large.
func (e *emitter) fits(ctx context.Context, t *schema.Table) error {
	err := e.out.Takes(ctx, len(e.key)+len(e.buf))
	if _, big := errors.AsType[*kinesisout.OversizedError](err); big {
		return e.tooLarge(t, err)
	}
	return err
}

// oversized names table and key of a record that the stream does not take.
func oversized(err error, t *schema.Table, key []byte) error {
	var big *kinesisout.OversizedError
	if errors.As(err, &big) {
		return fmt.Errorf("table %s, partition key %q: %w; raise the stream's maximum record size, choose another stream.oversized_records, or exclude the table",
			t.FullName(), key, err)
	}
	return err
}

// first says whether this is the first record of the table that was made smaller.
func (o *oversizer) first(t *schema.Table) bool {
	id := tableID{t.Schema, t.Name}
	told := o.told[id]
	o.told[id] = true
	return !told
}

// spill stores a record and returns when it is there. It goes on trying until ctx is done. The name follows from the
// content, so what exists already is the same.
func (o *oversizer) spill(ctx context.Context, t *schema.Table, body []byte) (record.Spilled, error) {
	sum := sha256.Sum256(body)
	digits := hex.EncodeToString(sum[:])
	key := strings.Join([]string{segment(o.task), segment(t.Schema), segment(t.Name), digits + ".json"}, "/")
	for attempt := 0; ; attempt++ {
		err := o.put(ctx, &s3sink.Object{Key: key, Body: body})
		if err == nil || errors.Is(err, s3sink.ErrExists) {
			o.store.Working()
			return record.Spilled{Location: o.Location + key, Bytes: int64(len(body)), SHA256: digits}, nil
		}
		if ctx.Err() != nil {
			return record.Spilled{}, context.Cause(ctx)
		}
		o.store.Failing(err)
		if err := pauses.Sleep(ctx, attempt); err != nil {
			return record.Spilled{}, err
		}
	}
}

// put makes one attempt. It is given up when the body moves slower than a quarter of a MiB a second.
func (o *oversizer) put(ctx context.Context, obj *s3sink.Object) error {
	patience := 30*time.Second + time.Duration(len(obj.Body)>>18)*time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return o.Destination.Put(ctx, obj)
}

// segment is a name as one segment of an object's key: in the characters of a URL, and neither . nor a hidden file.
func segment(name string) string {
	s := url.PathEscape(name)
	if strings.HasPrefix(s, ".") {
		s = "%2E" + s[1:]
	}
	return s
}
