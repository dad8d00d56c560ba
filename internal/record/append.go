package record

import (
	"errors"
	"fmt"
)

var errNoTransaction = errors.New("the stamp names no transaction")

// Append appends the record of one change and returns the extended buffer; after an error dst is as it was. row is
// the row that the record shows under data: after an insert, update or load, and before a delete. before is the old
// row of an update; it is only looked at when before-images are on.
func (p *Plan) Append(dst []byte, op Operation, row, before [][]byte, s *Stamp) ([]byte, error) {
	var parts keyParts
	out, err := p.append(dst, op, row, before, s, &parts)
	if err != nil {
		return dst, p.failed(op, err)
	}
	return out, nil
}

// AppendBoth is Append for dst and AppendPartitionKey for key, and needs less than the two: the columns of the key are
// rendered once.
func (p *Plan) AppendBoth(dst, key []byte, op Operation, row, before [][]byte, s *Stamp) (data, partitionKey []byte, err error) {
	var parts keyParts
	data, err = p.append(dst, op, row, before, s, &parts)
	if err != nil {
		return dst, key, p.failed(op, err)
	}
	partitionKey, err = p.appendPartitionKey(key, p.keyKind(op), row, s, parts.of(data))
	if err != nil {
		return dst, key, err
	}
	return data, partitionKey, nil
}

func (p *Plan) failed(op Operation, err error) error {
	return fmt.Errorf("build %s record of %s: %w", op, p.fullName, err)
}

func (p *Plan) append(dst []byte, op Operation, row, before [][]byte, s *Stamp, parts *keyParts) ([]byte, error) {
	switch {
	case !op.valid():
		return dst, errors.New("there is no such operation")
	case op != Load && s.Tx == nil:
		return dst, errNoTransaction
	case len(row) != len(p.table.Columns):
		return dst, p.rowLengthError(row)
	}
	dst = append(dst, p.dataOpen...)
	dst, err := p.appendColumns(dst, p.columns, row, parts)
	if err != nil {
		return dst, err
	}
	dst = append(dst, p.objectEnd...)

	if op == Update && p.opts.BeforeImage.Enabled {
		if len(before) != len(p.table.Columns) {
			return dst, fmt.Errorf("before-image: %w", p.rowLengthError(before))
		}
		dst = append(dst, p.beforeOpen...)
		if dst, err = p.appendColumns(dst, p.before, before, nil); err != nil {
			return dst, fmt.Errorf("before-image: %w", err)
		}
		dst = append(dst, p.objectEnd...)
	}
	return p.appendMetadata(dst, op, row, s, parts)
}

// appendColumns appends the members of an object. A column whose value is NULL, or rendered as null as a zero date
// is, is left out unless the options want it. It notes in parts, if that is not nil, where the columns of the key stand.
func (p *Plan) appendColumns(dst []byte, members []member, row [][]byte, parts *keyParts) ([]byte, error) {
	skip := 1 // the comma before the first member
	for i := range members {
		m := &members[i]
		v := row[m.col]
		if v == nil && !p.opts.IncludeNullAndEmpty {
			continue
		}
		mark := len(dst)
		dst = append(dst, m.name[skip:]...)
		if v == nil {
			dst = append(dst, "null"...)
			skip = 0
			continue
		}
		if p.lobBytes > 0 {
			v = p.shorten(m.col, v)
		}
		value := len(dst)
		var err error
		if dst, err = p.codec.AppendJSON(dst, m.col, v); err != nil {
			return dst, err
		}
		if len(dst)-value == len("null") && dst[value] == 'n' && !p.opts.IncludeNullAndEmpty {
			dst = dst[:mark]
			continue
		}
		if p.lobBytes > 0 {
			dst = p.cutValue(dst, value, m.col)
		}
		if m.part >= 0 && parts != nil {
			parts.note(m.part, value, len(dst))
		}
		skip = 0
	}
	return dst, nil
}

func (p *Plan) appendMetadata(dst []byte, op Operation, row [][]byte, s *Stamp, parts *keyParts) ([]byte, error) {
	m := &p.meta[op]
	dst = append(dst, m.toTime...)
	dst = appendStampTime(dst, s)
	dst = append(dst, m.toKey...)
	if m.keyed {
		mark := len(dst)
		var err error
		if dst, err = p.appendPartitionKey(dst, m.kind, row, s, parts.of(dst)); err != nil {
			return dst, err
		}
		// The key is built where it will stand, quoted behind itself, and moved into its place.
		end := len(dst)
		dst = appendString(dst, dst[mark:end])
		dst = append(dst[:mark], dst[end:]...)
	}
	dst = append(dst, m.toID...)
	if op == Load {
		return p.form.appendLoad(dst, s), nil
	}
	return p.form.appendChange(dst, s), nil
}
