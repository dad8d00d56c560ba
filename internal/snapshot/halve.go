package snapshot

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// A range is halved between the key that was read last and its last one, by the value of the first key column in which
// they differ. That is not the middle row where keys are spread unevenly, but it costs the server three looks into the
// index instead of one at each key, and whoever gets the smaller half comes back for a part of another one.

// halves says whether ranges of the table can be halved: the server estimates how many rows there are, the key's first
// column has values that something is half-way between, and the index can be read from its end (MySQL sorts where a part
// of it is descending).
func (s *statement) halves() bool {
	descends := slices.ContainsFunc(s.keys, func(k keyPart) bool { return k.Desc })
	return s.estimates && s.integer(0) && !descends
}

func (s *statement) integer(key int) bool {
	switch s.table.Columns[s.keys[key].Column].Type {
	case schema.TinyInt, schema.SmallInt, schema.MediumInt, schema.Int, schema.BigInt:
		return true
	default:
		return false
	}
}

// size is the statement whose plan has the number of rows of a range.
func (s *statement) size(after, to Bound) string {
	return "EXPLAIN FORMAT=TRADITIONAL " + s.all() + s.where(after, to)
}

// last is the statement that finds the last key of a range.
func (s *statement) last(after, to Bound) string {
	return s.key() + s.where(after, to) + s.reversed() + " LIMIT 1"
}

// lastBelow is the statement that finds the last key of a range in front of the middle between its start and its end; ""
// if there is none that could be told.
func (s *statement) lastBelow(after, end Bound) string {
	conditions := []string{s.beyond(after, true)}
	for i, k := range s.keys {
		if after[i] == end[i] {
			conditions = append(conditions, k.expr+" = "+end[i])
			continue
		}
		if !s.integer(i) {
			return ""
		}
		middle, ok := halfway(after[i], end[i])
		if !ok {
			return ""
		}
		conditions = append(conditions, k.compare(false, false, middle))
		return s.key() + " WHERE " + strings.Join(conditions, " AND ") + s.reversed() + " LIMIT 1"
	}
	return ""
}

// reversed is the order of the key's index from its end.
func (s *statement) reversed() string {
	var by []string
	for _, k := range s.keys {
		by = append(by, k.expr+" DESC")
	}
	return " ORDER BY " + strings.Join(by, ", ")
}

// halfway is the number half-way between two others, rounded towards the larger second one.
func halfway(from, to string) (string, bool) {
	a, ok1 := new(big.Int).SetString(from, 10)
	b, ok2 := new(big.Int).SetString(to, 10)
	if !ok1 || !ok2 || a.Cmp(b) >= 0 {
		return "", false
	}
	step := new(big.Int).Sub(b, a)
	step.Add(step, big.NewInt(1)).Rsh(step, 1)
	return a.Add(a, step).String(), true
}

// leastHalf is how many chunks half of a range must have to be worth a reader of its own.
const leastHalf = 1

// halve finds the key that ends the part of the range which its reader keeps; nil if it keeps all of it for now.
func (r *rangeLoad) halve(ctx context.Context, rd *reader) (Bound, error) {
	stmt := r.def.stmt
	rows, err := estimate(ctx, rd, stmt.size(r.after, r.to))
	if err != nil {
		return nil, err
	}
	if rows < 2*leastHalf*uint64(r.limit) {
		r.small = true
		return nil, nil
	}
	end := r.to
	if len(end) == 0 {
		if end, err = r.find(ctx, rd, stmt.last(r.after, r.to)); err != nil || end == nil {
			return nil, err
		}
	}
	query := stmt.lastBelow(r.after, end)
	if query == "" {
		return nil, nil
	}
	at, err := r.find(ctx, rd, query)
	if slices.Equal(at, end) {
		return nil, err
	}
	return at, err
}

// find runs a statement that finds one key, or none.
func (r *rangeLoad) find(ctx context.Context, rd *reader, query string) (at Bound, err error) {
	err = source.StreamText(ctx, rd.conn, query, func(key [][]byte) (err error) {
		at, err = r.def.stmt.bound(key)
		return err
	})
	return at, err
}

// estimate asks for the number of rows in a statement's plan.
func estimate(ctx context.Context, rd *reader, explain string) (uint64, error) {
	res, err := source.Query(ctx, rd.conn, explain)
	if err != nil {
		return 0, err
	}
	defer res.Close()
	most := uint64(0) // other lines are about tables of one row
	for i := range res.RowNumber() {
		rows, err := res.GetUintByName(i, "rows")
		if err != nil {
			return 0, fmt.Errorf("read the estimate of a range's rows: %w", err)
		}
		most = max(most, rows)
	}
	return most, nil
}
