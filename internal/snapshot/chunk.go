package snapshot

import (
	"iter"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// Bound is the key of a row, one SQL literal for each key column, in index order. Empty: before the first row.
// Literals are plain ASCII, so that a bound can be stored as JSON and put into a statement as it is.
type Bound []string

// Chunk is one key range of one table as one SELECT returned it.
type Chunk struct {
	Table  *schema.Table
	Layout *schema.TextLayout
	High   source.Position // the rows equal the table at or before this position
	From   Bound           // the range starts behind this key
	To     Bound           // the range ends with this key, or with the table where Last is set
	Last   bool

	rows rowArena
}

// Add appends a copy of a row: one value a column, nil for NULL, in the form that Layout reads.
func (c *Chunk) Add(row [][]byte) {
	c.rows.cols = len(row)
	c.rows.add(row)
}

// Len is the number of rows.
func (c *Chunk) Len() int { return c.rows.len() }

// Bytes is the memory that the rows take.
func (c *Chunk) Bytes() int { return len(c.rows.data) + 4*len(c.rows.ends) }

// Rows iterates over the rows in key order. Row and values are valid until the next step only; nil is SQL NULL.
func (c *Chunk) Rows() iter.Seq[[][]byte] { return c.rows.all(len(c.Table.Columns)) }

// rowArena keeps rows in one buffer, so that a chunk of any number of rows is two allocations for the garbage
// collector to look at.
type rowArena struct {
	data []byte
	ends []uint32 // one entry a value: its end in data << 1, plus 1 if it is NULL
	cols int
}

func (a *rowArena) add(row [][]byte) {
	for _, v := range row {
		a.data = append(a.data, v...)
		end := uint32(len(a.data)) << 1
		if v == nil {
			end |= 1
		}
		a.ends = append(a.ends, end)
	}
}

func (a *rowArena) len() int {
	if a.cols == 0 {
		return 0
	}
	return len(a.ends) / a.cols
}

func (a *rowArena) row(i int, dst [][]byte) {
	start := uint32(0)
	if i > 0 {
		start = a.ends[i*a.cols-1] >> 1
	}
	for j := range a.cols {
		e := a.ends[i*a.cols+j]
		end := e >> 1
		if e&1 == 1 {
			dst[j] = nil
		} else {
			dst[j] = a.data[start:end:end]
		}
		start = end
	}
}

func (a *rowArena) all(cols int) iter.Seq[[][]byte] {
	return func(yield func([][]byte) bool) {
		row := make([][]byte, cols)
		for i := range a.len() {
			a.row(i, row)
			if !yield(row) {
				return
			}
		}
	}
}
