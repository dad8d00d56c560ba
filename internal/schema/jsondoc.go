package schema

import (
	"encoding/base64"
	"encoding/binary"
	"math"
)

// The kinds of value in MySQL's binary JSON.
const (
	docSmallObject = 0x00
	docLargeObject = 0x01
	docSmallArray  = 0x02
	docLargeArray  = 0x03
	docLiteral     = 0x04
	docInt16       = 0x05
	docUint16      = 0x06
	docInt32       = 0x07
	docUint32      = 0x08
	docInt64       = 0x09
	docUint64      = 0x0a
	docDouble      = 0x0b
	docString      = 0x0c
	docOpaque      = 0x0f
)

// maxDocDepth is the deepest nesting the server allows.
const maxDocDepth = 100

// appendDocument writes the binary JSON document v as a JSON string that holds the document's text exactly as MySQL
// prints it: its own key order, ", " and ": " between elements, ".0" behind whole doubles.
func appendDocument(dst, v []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, '"')
	if len(v) == 0 { // what INSERT IGNORE leaves in a NOT NULL column
		return append(dst, `null"`...), nil
	}
	d := docWriter{dst: dst, budget: len(v)}
	if !d.value(v[0], v[1:], 0) {
		return dst[:start], corrupt("%d bytes are no binary JSON document", len(v))
	}
	return append(d.dst, '"'), nil
}

// docWriter renders one document. Every step takes from budget what it read, and a well-formed document is read
// just once, so hostile offsets that point to the same bytes again and again soon end the work.
type docWriter struct {
	dst    []byte
	budget int
}

func (d *docWriter) spend(n int) bool {
	d.budget -= n
	return d.budget >= 0
}

// value writes the value of the given kind whose bytes start v, and says whether it was well formed.
func (d *docWriter) value(kind byte, v []byte, depth int) bool {
	if !d.spend(1) || depth > maxDocDepth {
		return false
	}
	switch kind {
	case docSmallObject, docLargeObject, docSmallArray, docLargeArray:
		return d.container(kind, v, depth)
	case docString:
		s, ok := d.varBytes(v)
		return ok && d.quoted(s)
	case docOpaque:
		return d.opaque(v)
	case docLiteral:
		return len(v) >= 1 && d.literal(v[0])
	case docDouble:
		if len(v) < 8 {
			return false
		}
		var err error
		d.dst, err = appendMySQLDouble(d.dst, math.Float64frombits(binary.LittleEndian.Uint64(v)))
		return err == nil
	}
	return d.integer(kind, v)
}

func (d *docWriter) integer(kind byte, v []byte) bool {
	switch {
	case kind == docInt16 && len(v) >= 2:
		d.dst = AppendInt(d.dst, int64(int16(binary.LittleEndian.Uint16(v))))
	case kind == docUint16 && len(v) >= 2:
		d.dst = AppendUint(d.dst, uint64(binary.LittleEndian.Uint16(v)))
	case kind == docInt32 && len(v) >= 4:
		d.dst = AppendInt(d.dst, int64(int32(binary.LittleEndian.Uint32(v))))
	case kind == docUint32 && len(v) >= 4:
		d.dst = AppendUint(d.dst, uint64(binary.LittleEndian.Uint32(v)))
	case kind == docInt64 && len(v) >= 8:
		d.dst = AppendInt(d.dst, int64(binary.LittleEndian.Uint64(v)))
	case kind == docUint64 && len(v) >= 8:
		d.dst = AppendUint(d.dst, binary.LittleEndian.Uint64(v))
	default:
		return false
	}
	return true
}

func (d *docWriter) literal(b byte) bool {
	switch b {
	case 0:
		d.dst = append(d.dst, "null"...)
	case 1:
		d.dst = append(d.dst, "true"...)
	case 2:
		d.dst = append(d.dst, "false"...)
	default:
		return false
	}
	return true
}

// container writes an object or array: its element count and size, then the places of the keys (objects), then
// kind and place of each value, then keys and values. Numbers are two bytes in the small forms and four in the large
// ones; values that fit into their place entry stand there.
func (d *docWriter) container(kind byte, v []byte, depth int) bool {
	width, object := 2, kind == docSmallObject || kind == docLargeObject
	if kind == docLargeObject || kind == docLargeArray {
		width = 4
	}
	number := func(at int) int { return int(littleEndian(v[at : at+width])) }
	if len(v) < 2*width {
		return false
	}
	count, size := number(0), number(width)
	if size > len(v) {
		return false
	}
	v = v[:size]
	keyEntry, valueEntry := width+2, width+1
	if !object {
		keyEntry = 0
	}
	keys := 2 * width
	values := keys + count*keyEntry
	header := values + count*valueEntry
	if count > len(v) || header > len(v) {
		return false
	}

	open, shut := byte('['), byte(']')
	if object {
		open, shut = '{', '}'
	}
	d.dst = append(d.dst, open)
	for i := range count {
		if i > 0 {
			d.dst = append(d.dst, ',', ' ')
		}
		if object {
			at := number(keys + i*keyEntry)
			length := int(binary.LittleEndian.Uint16(v[keys+i*keyEntry+width:]))
			if at < header || at+length > len(v) || !d.spend(length) || !d.quoted(v[at:at+length]) {
				return false
			}
			d.dst = append(d.dst, ':', ' ')
		}
		entry := values + i*valueEntry
		element := v[entry+1 : entry+valueEntry]
		if !standsInEntry(v[entry], width) {
			at := number(entry + 1)
			if at < header || at > len(v) {
				return false
			}
			element = v[at:]
		}
		if !d.value(v[entry], element, depth+1) {
			return false
		}
	}
	d.dst = append(d.dst, shut)
	return true
}

// standsInEntry says whether a value of this kind is kept in its place entry instead of behind the header.
func standsInEntry(kind byte, width int) bool {
	switch kind {
	case docLiteral, docInt16, docUint16:
		return true
	case docInt32, docUint32:
		return width == 4
	}
	return false
}

// varBytes reads a length in groups of seven bits, low group first, and the bytes it counts.
func (d *docWriter) varBytes(v []byte) ([]byte, bool) {
	length := 0
	for i := 0; i < len(v) && i < 5; i++ {
		length |= int(v[i]&0x7f) << (7 * i)
		if v[i]&0x80 == 0 {
			v = v[i+1:]
			if length > len(v) || !d.spend(length) {
				return nil, false
			}
			return v[:length], true
		}
	}
	return nil, false
}

// opaque writes a value of an SQL type that JSON lacks: decimals as numbers, dates and times as strings, all other
// types as base64 with the type's number.
func (d *docWriter) opaque(v []byte) bool {
	if len(v) < 1 {
		return false
	}
	typ := v[0]
	data, ok := d.varBytes(v[1:])
	if !ok {
		return false
	}
	switch typ {
	case typeNewDecimal:
		if len(data) < 2 {
			return false
		}
		var err error
		d.dst, err = appendPackedDecimal(d.dst, data[2:], int(data[0]), int(data[1]), false)
		return err == nil
	case typeDate, typeDateTime, typeTimestamp, typeTime:
		return d.temporal(typ, data)
	}
	d.dst = append(d.dst, `\"base64:type`...)
	d.dst = AppendUint(d.dst, uint64(typ))
	d.dst = append(d.dst, ':')
	d.base64(data)
	d.dst = append(d.dst, `\"`...)
	return true
}

// base64Line is the number of bytes that the server encodes before it breaks the line.
const base64Line = 57

func (d *docWriter) base64(data []byte) {
	for first := true; len(data) > 0; first = false {
		if !first {
			d.twiceEscaped('\n')
		}
		n := min(len(data), base64Line)
		d.dst = base64.StdEncoding.AppendEncode(d.dst, data[:n])
		data = data[n:]
	}
}

// temporal writes a packed date or time: always with six fractional digits, as MySQL does in documents.
func (d *docWriter) temporal(typ byte, data []byte) bool {
	if len(data) != 8 {
		return false
	}
	packed := int64(binary.LittleEndian.Uint64(data))
	var c clock
	if packed < 0 {
		c.negative = true
		packed = -packed
	}
	c.micro = uint32(packed & (1<<microBits - 1))
	whole := uint64(packed) >> microBits
	if typ != typeTime {
		c.unpackDate(whole >> timeBits)
		whole &= 1<<timeBits - 1
	}
	c.unpackTime(whole)
	if typ == typeTime {
		if c.hour > 838 || c.minute > 59 || c.second > 59 || c.micro > 999_999 {
			return false
		}
	} else if !c.fits() {
		return false
	}

	d.dst = append(d.dst, '\\', '"')
	switch {
	case typ == typeDate:
		d.dst = appendDate(d.dst, &c)
	case typ == typeTime:
		if c.negative {
			d.dst = append(d.dst, '-')
		}
		d.dst = appendTimeOfDay(d.dst, &c, 6)
	default:
		d.dst = appendDate(d.dst, &c)
		d.dst = append(d.dst, ' ')
		d.dst = appendTimeOfDay(d.dst, &c, 6)
	}
	d.dst = append(d.dst, '\\', '"')
	return true
}

// quoted writes s as a string of the document, which is itself inside a JSON string: escaped twice.
func (d *docWriter) quoted(s []byte) bool {
	d.dst = append(d.dst, '\\', '"')
	for len(s) > 0 {
		n := PlainRun(s)
		for n < len(s) && byteKinds[s[n]] != escaped {
			n++
		}
		var bad int
		if d.dst, bad = appendEscaped(d.dst, s[:n]); bad >= 0 {
			return false
		}
		if n < len(s) {
			d.twiceEscaped(s[n])
			n++
		}
		s = s[n:]
	}
	d.dst = append(d.dst, '\\', '"')
	return true
}

// twiceEscaped writes a quote, a backslash or a control character. MySQL escapes like AppendEscape does, and
// escaping that once more doubles its backslashes and escapes its quote.
func (d *docWriter) twiceEscaped(c byte) {
	var buf [8]byte
	for _, b := range AppendEscape(buf[:0], c) {
		if byteKinds[b] == escaped {
			d.dst = append(d.dst, '\\')
		}
		d.dst = append(d.dst, b)
	}
}
