package record

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// purchases is a table with a key of three columns, and a row image of it.
func purchases(t testing.TB) (p *Plan, layout *schema.ImageLayout, image []byte) {
	t.Helper()
	table := &schema.Table{Schema: "dms_sample", Name: "ticket_purchase_hist", Key: []int{0, 1, 2}, KeyKind: schema.PrimaryKey}
	for _, c := range [][2]string{
		{"sporting_event_ticket_id", "bigint"}, {"purchased_by_id", "int"}, {"transaction_date_time", "datetime"},
		{"transferred_from_id", "int"}, {"purchase_price", "decimal(8,2)"},
	} {
		column, err := schema.ParseColumnType(c[1])
		if err != nil {
			t.Fatal(err)
		}
		column.Name = c[0]
		table.Columns = append(table.Columns, column)
	}
	layout, err := schema.NewImageLayout(table, []byte{8, 3, 18, 3, 246}, []uint16{0, 0, 0, 0, 8<<8 | 2}, schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := DefaultOptions("bench")
	o.Format = JSONUnformatted
	o.IncludeTransactionDetails, o.IncludeGTID = true, true
	if p, err = NewPlan(table, layout, o); err != nil {
		t.Fatal(err)
	}
	image = append(image, 0)
	image = binary.LittleEndian.AppendUint64(image, 1234567)
	image = binary.LittleEndian.AppendUint32(image, 471123)
	image = append(image, 0x99, 0x9f, 0xd0, 0xc8, 0xb8)
	image = binary.LittleEndian.AppendUint32(image, 81234)
	return p, layout, append(image, 0x80, 0x01, 0x2e, 0x32)
}

// rowPath is what a row goes through from the bytes of its image to those of its record and key.
type rowPath struct {
	plan   *Plan
	layout *schema.ImageLayout
	stamp  *Stamp
	row    [][]byte
	data   []byte
	key    []byte
}

func newRowPath(t testing.TB) (*rowPath, []byte) {
	p, layout, image := purchases(t)
	return &rowPath{plan: p, layout: layout, stamp: &Stamp{
		Time: time.Now(), PrevTxID: 1 << 34, PrevTxRecordID: 7, Term: 3, Epoch: 2, Memo: &Memo{},
		Tx:    &Transaction{ID: 1<<34 | 4711, GTID: "3e11fa47-71ca-11e1-9e33-c80aa9429562:23", CommitTime: time.Now()},
		Place: Place{File: "mysql-bin.000004", TableMapStart: 1000, EventStart: 1100, EventEnd: 9000},
	}}, image
}

func (r *rowPath) take(t testing.TB, image []byte) {
	var err error
	if r.row, _, err = r.layout.Split(r.row, image, []byte{0x1f}); err != nil {
		t.Fatal(err)
	}
	r.stamp.RecordID++
	r.stamp.Place.Row++
	if r.data, r.key, err = r.plan.AppendBoth(r.data[:0], r.key[:0], Insert, r.row, nil, r.stamp); err != nil {
		t.Fatal(err)
	}
}

// TestImageToRecordAllocatesNothing holds for a whole row, from its image to record and key, in steady state.
func TestImageToRecordAllocatesNothing(t *testing.T) {
	path, image := newRowPath(t)
	path.take(t, image)
	if n := testing.AllocsPerRun(100, func() { path.take(t, image) }); n != 0 {
		t.Errorf("%v allocations per row", n)
	}
}

func BenchmarkImageToRecord(b *testing.B) {
	path, image := newRowPath(b)
	path.take(b, image)
	b.SetBytes(int64(len(path.data) + len(path.key)))
	b.ReportAllocs()
	for b.Loop() {
		path.take(b, image)
	}
}
