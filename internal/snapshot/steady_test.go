package snapshot

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// TestRowsBecomeRecordsWithoutAllocations reads chunks from a server and makes records of them: however many rows there
// are, the allocations are those of one statement.
func TestRowsBecomeRecordsWithoutAllocations(t *testing.T) {
	db := testservers.SharedMySQL(t)
	name := db.Database(t)
	db.MustExec(t, "USE "+name, "CREATE TABLE t (a BIGINT PRIMARY KEY, d DATETIME, p DECIMAL(8,2), n INT, v VARCHAR(300))",
		"INSERT INTO t SELECT n, '2026-01-01' + INTERVAL n SECOND, n / 100, IF(n % 4, n, NULL), REPEAT('v', n % 300) FROM "+thousands())
	conn := connect(t, db)
	table, err := source.LoadTable(t.Context(), conn, name, "t")
	must(t, err)
	layout, err := schema.NewTextLayout(table, schema.Options{})
	must(t, err)
	plan, err := record.NewPlan(table, layout, record.DefaultOptions("task"))
	must(t, err)
	s := define(t, conn, name, "t").estimated(described(t, conn))
	spare := &arenas{most: 64 << 20}
	var data, key []byte
	stamp := record.Stamp{Time: time.Now(), Term: 1, Epoch: 1, Memo: &record.Memo{}}
	chunk := func(rows int) func() {
		page := s.page(nil, nil, rows)
		return func() {
			c := &Chunk{Table: table, Layout: layout, spare: spare, rows: spare.take()}
			must(t, source.StreamRows(t.Context(), conn, page, nil, func(columns int, row []byte) error { c.add(columns, row); return nil }))
			n := 0
			for row := range c.Rows() {
				n++
				stamp.Sequence = uint64(n)
				data, key, err = plan.AppendBoth(data[:0], key[:0], record.Load, row, nil, &stamp)
				must(t, err)
			}
			if n != rows {
				t.Fatalf("%d rows of %d", n, rows)
			}
			c.Release()
		}
	}
	few, many := testing.AllocsPerRun(5, chunk(10)), testing.AllocsPerRun(5, chunk(8000))
	if many > few+200 { // the collector may take what is spare; an allocation for each row would be 8,000
		t.Errorf("10 rows take %v allocations, 8000 rows take %v", few, many)
	}
}

// TestArenasAreUsedAgain keeps the memory of a chunk that is through for the next one, unless it is too large, and what the
// next one holds is its own.
func TestArenasAreUsedAgain(t *testing.T) {
	spare := &arenas{most: 1 << 10}
	c := &Chunk{Table: table([]schema.Column{{Name: "a"}}), spare: spare, rows: spare.take()}
	c.Add([][]byte{[]byte("first")})
	c.Release()
	if c.Len() != 0 || c.Bytes() != 0 {
		t.Errorf("a chunk that was released has %d rows in %d bytes", c.Len(), c.Bytes())
	}
	c = &Chunk{Table: c.Table, spare: spare, rows: spare.take()}
	c.Add([][]byte{nil})
	for row := range c.Rows() {
		if row[0] != nil {
			t.Errorf("the new chunk has %q of the former one", row[0])
		}
	}
	c.Add([][]byte{make([]byte, 2<<10)})
	c.Release()
	if a := spare.take(); cap(a.data) > 1<<10 {
		t.Errorf("%d bytes were kept, more than the limit", cap(a.data))
	}
}

// TestValuesOfAnyLengthStandInARow holds what a chunk is given against what it gives back, at every length's border.
func TestValuesOfAnyLengthStandInARow(t *testing.T) {
	var a rowArena
	a.cols = 3
	lengths := []int{0, 1, 250, 251, 252, 65535, 65536, 1 << 24}
	value := func(n int) []byte { return bytes.Repeat([]byte{byte(n)}, n) }
	for _, n := range lengths {
		a.add([][]byte{value(n), nil, []byte(fmt.Sprint(n))})
	}
	i := 0
	for row := range a.from(0, 3) {
		if n := lengths[i]; !bytes.Equal(row[0], value(n)) || row[0] == nil || row[1] != nil || string(row[2]) != fmt.Sprint(n) {
			t.Errorf("a value of %d bytes comes back as one of %d, and %q", n, len(row[0]), row[1:])
		}
		i++
	}
}
