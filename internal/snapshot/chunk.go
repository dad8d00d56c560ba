package snapshot

import (
	"iter"
	"sync"

	"github.com/binlogstreamer/binlogstreamer/internal/heap"
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
	spare  *arenas // where the memory of the rows goes that was used; nil: to the garbage collector
}

// Add appends a copy of a row: one value a column, nil for NULL, in the form that Layout reads.
func (c *Chunk) Add(row [][]byte) {
	c.rows.cols = len(row)
	c.rows.add(row)
}

// add appends a copy of a row as the server sent it.
func (c *Chunk) add(columns int, row []byte) {
	c.rows.cols = columns
	c.rows.data = append(heap.Grow(c.rows.data, len(row)), row...)
	c.rows.end()
}

// Len is the number of rows.
func (c *Chunk) Len() int { return c.rows.len() }

// Bytes is the memory that the rows take.
func (c *Chunk) Bytes() int { return cap(c.rows.data) + 4*cap(c.rows.ends) }

// filled is how much of that memory is in use.
func (c *Chunk) filled() int { return len(c.rows.data) + 4*len(c.rows.ends) }

// Rows iterates over the rows in key order. Row and values are valid until the next step only; nil is SQL NULL.
func (c *Chunk) Rows() iter.Seq[[][]byte] { return c.RowsFrom(0) }

// RowsFrom is Rows without the first rows.
func (c *Chunk) RowsFrom(first int) iter.Seq[[][]byte] {
	return c.rows.from(first, len(c.Table.Columns))
}

// Release gives the memory of the rows back to the budget. The window calls it as soon as the rows are not needed any
// more, whatever became of them; the chunk is empty from then on.
func (c *Chunk) Release() {
	c.spare.give(c.rows)
	c.rows = rowArena{}
	c.memory.release()
}

// arenas keeps the memory of chunks that are through for those to come, so that reading makes no garbage. What lies spare is
// not part of the budget: there is no more of it than chunks had at one time, and the garbage collector takes it where it is
// not used.
type arenas struct {
	most int // a larger arena is not kept: what a chunk reserves before it is read must be enough for it
	pool sync.Pool
}

func (a *arenas) take() rowArena {
	if r, ok := a.pool.Get().(*rowArena); ok {
		return *r
	}
	return rowArena{}
}

func (a *arenas) give(r rowArena) {
	if a == nil || cap(r.data) == 0 || cap(r.data)+4*cap(r.ends) > a.most {
		return
	}
	r.empty()
	a.pool.Put(&r)
}

// rowArena keeps rows, as the server sent them, in one buffer, so that a chunk of any number of rows is two allocations
// without a pointer for the garbage collector to look at. It holds less than 4 GiB: a row is 1 GiB at most, and Loader
// bounds what comes before it.
type rowArena struct {
	data []byte
	ends []uint32 // of the rows in data
	cols int
}

func (a *rowArena) add(row [][]byte) {
	for _, v := range row {
		a.data = source.AppendValue(a.data, v)
	}
	a.end()
}

// end says that what was appended to data is a row.
func (a *rowArena) end() { a.ends = append(a.ends, uint32(len(a.data))) }

func (a *rowArena) empty() { a.data, a.ends = a.data[:0], a.ends[:0] }

func (a *rowArena) len() int { return len(a.ends) }

func (a *rowArena) row(i int, dst [][]byte) {
	start := uint32(0)
	if i > 0 {
		start = a.ends[i-1]
	}
	source.SplitRow(dst, a.data[start:a.ends[i]])
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
