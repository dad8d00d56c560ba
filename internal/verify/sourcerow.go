package verify

import (
	"bytes"
	"slices"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// sourceRow is a row of the source as a record would have it.
type sourceRow struct {
	data []byte // what stands under data
	cut  []byte // the same with its LOBs cut; nil if such a record is not cut
}

// same says whether the replay's row is the source's; nil is that there is none.
func (s *sourceRow) same(data []byte) bool {
	if s == nil || data == nil {
		return s == nil && data == nil
	}
	return sameRow(s.data, data) || s.cut != nil && sameRow(s.cut, data)
}

// encoder makes records of rows. One goroutine has it.
type encoder struct {
	plan     *record.Plan
	lobBytes int
	double   bool // records hold a before-image, too
	before   bool // and it has LOBs, of any size
	buf, key []byte
	short    []byte
	stamp    record.Stamp
}

func (v *verification) encoder(t *schema.Table, layout *schema.TextLayout) (*encoder, error) {
	options := v.cfg.Records
	options.PartitionKeyType, options.PartitionKeyConstant, options.PartitionKeyName = record.KeyPrimaryKey, "", ""
	plan, err := record.NewPlan(t, layout, options)
	if err != nil {
		return nil, err
	}
	return &encoder{plan: plan, lobBytes: v.cfg.LOBBytes, double: options.BeforeImage.Enabled,
		before: options.BeforeImage.Enabled && options.BeforeImage.ColumnFilter == record.FilterAll}, nil
}

// row gives the row's data, valid until the next call.
func (e *encoder) row(row [][]byte) ([]byte, error) {
	var err error
	if e.buf, err = e.plan.Append(e.buf[:0], record.Load, row, nil, &e.stamp); err != nil {
		return nil, err
	}
	parts, err := record.Split(e.buf)
	return parts.Data, err
}

// kept gives the row to be kept.
func (e *encoder) kept(row [][]byte) (*sourceRow, error) {
	data, err := e.row(row)
	if err != nil {
		return nil, err
	}
	s := &sourceRow{data: slices.Clone(data)}
	if !e.cuts(len(data)) {
		return s, nil
	}
	record1, err := e.plan.AppendCut(nil, record.Load, row, nil, &e.stamp, e.lobBytes)
	if err != nil {
		return nil, err
	}
	parts, err := record.Split(record1)
	if !bytes.Equal(parts.Data, s.data) {
		s.cut = parts.Data
	}
	return s, err
}

// canonical gives the data of a row of a table without a key as it is counted: with its LOBs cut, if those of its record
// may have been. It is valid until the next call.
func (e *encoder) canonical(data []byte) ([]byte, error) {
	if !e.cuts(len(data)) {
		return data, nil
	}
	var err error
	e.short, err = e.plan.CutData(e.short[:0], data, e.lobBytes)
	return e.short, err
}

// cuts says whether a record of a row may have been too large for the stream, which takes 1 MiB at the least. An update's
// record has the row as it was before as well, which may have been any size.
func (e *encoder) cuts(size int) bool {
	const metadata = 4 << 10
	switch {
	case e.lobBytes == 0:
		return false
	case e.before:
		return size > e.lobBytes
	case e.double:
		size *= 2
	}
	return size > 1<<20-metadata
}

// rowKey gives the row's key, valid until the next call.
func (e *encoder) rowKey(row [][]byte) ([]byte, error) {
	var err error
	e.key, err = e.plan.AppendRowKey(e.key[:0], row)
	return e.key, err
}
