package pipeline

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisout"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// A row that no record can hold is refused with its table, key and size before any memory goes into its record.
func TestRowBeyondAnyRecord(t *testing.T) {
	table := &schema.Table{
		Schema: "shop", Name: "letter", Key: []int{0}, KeyKind: schema.PrimaryKey, Columns: []schema.Column{
			{Name: "id", Type: schema.Int, ColumnType: "int"},
			{Name: "body", Type: schema.Text, ColumnType: "longtext", Charset: "utf8mb4", Collation: "utf8mb4_bin", Length: 1<<32 - 1},
		},
	}
	codec, err := schema.NewTextLayout(table, schema.Options{})
	must(t, err)
	e := &emitter{
		out: refusing{t}, records: record.DefaultOptions("task"), progress: newProgress(nil), metrics: newReplicateMetrics(nil),
		log: slog.New(slog.DiscardHandler), started: time.Now(), streams: true, reached: func() {}, rules: inSchema(t, "shop"), term: 1, epoch: 1,
		tracker: checkpoint.NewTracker[boundary, changeAt](1<<10, boundary{}, foldBoundary(source.MySQL)),
		plans:   make(map[schema.Codec]*record.Plan), windows: make(map[tableID]*window),
	}
	plan, err := e.plan(table, codec)
	must(t, err)
	const size = kinesisout.MaxRequestBytes + 1
	row := [][]byte{[]byte("4711"), bytes.Repeat([]byte("x"), size)}
	c := change{plan: plan, table: table, stamp: record.Stamp{Time: time.Now(), Tx: &record.Transaction{}}}
	for _, op := range []record.Operation{record.Insert, record.Update, record.Delete} {
		err = e.emit(t.Context(), &c, op, row, row)
		big, ok := errors.AsType[*kinesisout.OversizedError](err)
		if !ok || big.Size < size || big.Limit != kinesisout.MaxRequestBytes || !strings.Contains(err.Error(), "shop.letter") || !strings.Contains(err.Error(), `"4711"`) {
			t.Errorf("%v: got %v", op, err)
		}
	}
	if cap(e.buf) > 1<<20 {
		t.Errorf("a buffer of %d bytes was made", cap(e.buf))
	}
}

// refusing is a stream that nothing may be put into.
type refusing struct{ t *testing.T }

func (r refusing) Put(context.Context, kinesisout.Record) error {
	r.t.Error("it was put into the stream")
	return nil
}
