package snapshot

import (
	"iter"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// Bound is the key of a row, one SQL literal for each key column, in index order. Empty: before the first row, or behind
// the last. Literals are plain ASCII, so that a bound can be stored as JSON and put into a statement as it is.
type Bound []string

// Range is a part of a table: the rows behind After, up to and with To, in the order of the key's index.
type Range struct{ After, To Bound }

// Chunk is some rows of one range, as one SELECT returned them.
type Chunk struct {
	Table  *schema.Table
	Layout *schema.TextLayout
	Form   []string        // what order the bounds are in; see Job
	High   source.Position // the rows equal the table at or before this position
	Range  int             // the number of the range
	From   Bound           // the chunk starts behind this key
	To     Bound           // the chunk ends with this key, or with its range where Last is set
	Last   bool            // of its range

	rows   rowArena
	memory *reservation
}

// Add appends a copy of a row: one value a column, nil for NULL, in the form that Layout reads.
func (c *Chunk) Add(row [][]byte) {
	c.rows.cols = len(row)
	c.rows.add(row)
}

// Len is the number of rows.
func (c *Chunk) Len() int { return c.rows.len() }

// Bytes is the memory that the rows take.
func (c *Chunk) Bytes() int { return cap(c.rows.data) + 4*cap(c.rows.ends) }

// Rows iterates over the rows in key order. Row and values are valid until the next step only; nil is SQL NULL.
func (c *Chunk) Rows() iter.Seq[[][]byte] { return c.RowsFrom(0) }

// RowsFrom is Rows without the first rows.
func (c *Chunk) RowsFrom(first int) iter.Seq[[][]byte] {
	return c.rows.from(first, len(c.Table.Columns))
}

// Release gives the memory of the rows back to the budget. The window calls it as soon as the rows are not needed any
// more, whatever became of them; the chunk is empty from then on.
func (c *Chunk) Release() {
	c.rows = rowArena{}
	c.memory.release()
}

// rowArena keeps rows in one buffer, so that a chunk of any number of rows is two allocations for the garbage
// collector to look at. It holds less than 2 GiB: a row is 1 GiB at most, and Loader bounds what comes before it.
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

func (a *rowArena) from(first, cols int) iter.Seq[[][]byte] {
	return func(yield func([][]byte) bool) {
		row := make([][]byte, cols)
		for i := first; i < a.len(); i++ {
			a.row(i, row)
			if !yield(row) {
				return
			}
		}
	}
}
