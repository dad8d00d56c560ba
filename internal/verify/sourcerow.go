package verify

import (
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
	buf, key []byte
	stamp    record.Stamp
}

func (v *verification) encoder(t *schema.Table, layout *schema.TextLayout) (*encoder, error) {
	options := v.cfg.Records
	options.PartitionKeyType, options.PartitionKeyConstant, options.PartitionKeyName = record.KeyPrimaryKey, "", ""
	plan, err := record.NewPlan(t, layout, options)
	if err != nil {
		return nil, err
	}
	return &encoder{plan: plan, lobBytes: v.cfg.LOBBytes, double: options.BeforeImage.Enabled}, nil
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
	s.cut = parts.Data
	return s, err
}

// cuts says whether a record of a row may have been too large for the stream: the least that streams take is 1 MiB.
func (e *encoder) cuts(size int) bool {
	const metadata = 4 << 10
	if e.double {
		size *= 2
	}
	return e.lobBytes > 0 && size > 1<<20-metadata
}

// rowKey gives the row's key, valid until the next call.
func (e *encoder) rowKey(row [][]byte) ([]byte, error) {
	var err error
	e.key, err = e.plan.AppendRowKey(e.key[:0], row)
	return e.key, err
}
