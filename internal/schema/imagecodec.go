package schema

import (
	"encoding/binary"
	"encoding/hex"
	"math"
)

// The codecs of the row image, one function per type. Split hands them values of the right size; they check it all
// the same, for a codec must not panic on any bytes.

// wrongSize is the error for a value whose size is not its type's.
func (c *column) wrongSize(v []byte) error {
	return corrupt("%d bytes are no %s", len(v), c.def.Type)
}

func imageInt8(c *column, dst, v []byte) ([]byte, error) {
	if len(v) != 1 {
		return dst, c.wrongSize(v)
	}
	return AppendInt(dst, int64(int8(v[0]))), nil
}

func imageUint8(c *column, dst, v []byte) ([]byte, error) {
	if len(v) != 1 {
		return dst, c.wrongSize(v)
	}
	return AppendUint(dst, uint64(v[0])), nil
}

func imageInt16(c *column, dst, v []byte) ([]byte, error) {
	if len(v) != 2 {
		return dst, c.wrongSize(v)
	}
	return AppendInt(dst, int64(int16(binary.LittleEndian.Uint16(v)))), nil
}

func imageUint16(c *column, dst, v []byte) ([]byte, error) {
	if len(v) != 2 {
		return dst, c.wrongSize(v)
	}
	return AppendUint(dst, uint64(binary.LittleEndian.Uint16(v))), nil
}

func imageInt24(c *column, dst, v []byte) ([]byte, error) {
	if len(v) != 3 {
		return dst, c.wrongSize(v)
	}
	return AppendInt(dst, int64(int32(littleEndian(v)<<8)>>8)), nil
}

func imageUint24(c *column, dst, v []byte) ([]byte, error) {
	if len(v) != 3 {
		return dst, c.wrongSize(v)
	}
	return AppendUint(dst, littleEndian(v)), nil
}

func imageInt32(c *column, dst, v []byte) ([]byte, error) {
	if len(v) != 4 {
		return dst, c.wrongSize(v)
	}
	return AppendInt(dst, int64(int32(binary.LittleEndian.Uint32(v)))), nil
}

func imageUint32(c *column, dst, v []byte) ([]byte, error) {
	if len(v) != 4 {
		return dst, c.wrongSize(v)
	}
	return AppendUint(dst, uint64(binary.LittleEndian.Uint32(v))), nil
}

func imageInt64(c *column, dst, v []byte) ([]byte, error) {
	if len(v) != 8 {
		return dst, c.wrongSize(v)
	}
	return AppendInt(dst, int64(binary.LittleEndian.Uint64(v))), nil
}

func imageUint64(c *column, dst, v []byte) ([]byte, error) {
	if len(v) != 8 {
		return dst, c.wrongSize(v)
	}
	return AppendUint(dst, binary.LittleEndian.Uint64(v)), nil
}

func imageFloat(c *column, dst, v []byte) ([]byte, error) {
	if len(v) != 4 {
		return dst, c.wrongSize(v)
	}
	return appendDouble(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(v))))
}

func imageDouble(c *column, dst, v []byte) ([]byte, error) {
	if len(v) != 8 {
		return dst, c.wrongSize(v)
	}
	return appendDouble(dst, math.Float64frombits(binary.LittleEndian.Uint64(v)))
}

func imageDecimal(c *column, dst, v []byte) ([]byte, error) {
	if len(v) != c.size {
		return dst, c.wrongSize(v)
	}
	return unpackDecimal(dst, v, c.precision, c.scale, true)
}

// imageYear writes the four digits of a year, or the two that YEAR(2) of old servers has.
func imageYear(c *column, dst, v []byte) ([]byte, error) {
	switch {
	case len(v) != 1:
		return dst, c.wrongSize(v)
	case c.def.Length == 2:
		return AppendUint(dst, uint64(v[0]%100)), nil
	case v[0] == 0:
		return append(dst, '0'), nil
	}
	return AppendUint(dst, 1900+uint64(v[0])), nil
}

func imageDateJSON(c *column, dst, v []byte) ([]byte, error) {
	if len(v) != 3 {
		return dst, c.wrongSize(v)
	}
	d := imageDate(v)
	switch {
	case d.isZero():
		return append(dst, "null"...), nil
	case !d.fits():
		return dst, corrupt("%x is no date", v)
	}
	dst = append(dst, '"')
	dst = appendDate(dst, &d)
	return append(dst, '"'), nil
}

func imageDateTimeJSON(c *column, dst, v []byte) ([]byte, error) {
	t, ok := imageDateTime(v, c.fsp)
	if !ok {
		return dst, corrupt("%x is no date and time", v)
	}
	return appendJSONDateTime(dst, &t, c.fsp), nil
}

func imageTimestampJSON(c *column, dst, v []byte) ([]byte, error) {
	t, ok := imageTimestamp(v, c.fsp)
	if !ok {
		return dst, corrupt("%x is no timestamp", v)
	}
	return appendJSONDateTime(dst, &t, c.fsp), nil
}

func imageTimeJSON(c *column, dst, v []byte) ([]byte, error) {
	t, ok := imageTime(v, c.fsp)
	if !ok {
		return dst, corrupt("%x is no time", v)
	}
	return appendJSONTime(dst, &t, c.fsp), nil
}

func oldDateTimeJSON(c *column, dst, v []byte) ([]byte, error) {
	if len(v) != 8 {
		return dst, c.wrongSize(v)
	}
	t, ok := oldDateTime(v)
	if !ok {
		return dst, corrupt("%x is no date and time", v)
	}
	return appendJSONDateTime(dst, &t, 0), nil
}

func oldTimestampJSON(c *column, dst, v []byte) ([]byte, error) {
	if len(v) != 4 {
		return dst, c.wrongSize(v)
	}
	t, ok := unixClock(littleEndian(v), 0)
	if !ok {
		return dst, corrupt("%x is no timestamp", v)
	}
	return appendJSONDateTime(dst, &t, 0), nil
}

func oldTimeJSON(c *column, dst, v []byte) ([]byte, error) {
	if len(v) != 3 {
		return dst, c.wrongSize(v)
	}
	t, ok := oldTime(v)
	if !ok {
		return dst, corrupt("%x is no time", v)
	}
	return appendJSONTime(dst, &t, 0), nil
}

// imageBinary pads BINARY(n) with the NULs that the binlog leaves out.
func imageBinary(c *column, dst, v []byte) ([]byte, error) {
	if len(v) > c.size {
		return dst, corrupt("%d bytes do not fit into %s", len(v), c.def.ColumnType)
	}
	dst = append(dst, c.hexOpen...)
	dst = hex.AppendEncode(dst, v)
	for range c.size - len(v) {
		dst = append(dst, '0', '0')
	}
	return append(dst, '"'), nil
}

func imageEnum(c *column, dst, v []byte) ([]byte, error) {
	if len(v) != c.size {
		return dst, c.wrongSize(v)
	}
	index := littleEndian(v)
	if index > uint64(len(c.labels)) {
		return dst, corrupt("%s has no label %d", c.def.ColumnType, index)
	}
	dst = append(dst, '"')
	if index > 0 { // 0 is the empty string that stands for a value the server refused
		dst = append(dst, c.labels[index-1]...)
	}
	return append(dst, '"'), nil
}

func imageSet(c *column, dst, v []byte) ([]byte, error) {
	if len(v) != c.size {
		return dst, c.wrongSize(v)
	}
	members := littleEndian(v)
	if len(c.labels) < 64 && members>>len(c.labels) != 0 {
		return dst, corrupt("%s has no members %b", c.def.ColumnType, members)
	}
	dst = append(dst, '"')
	start := len(dst)
	for i := 0; members != 0; i++ {
		if members&1 != 0 {
			if len(dst) > start {
				dst = append(dst, ',')
			}
			dst = append(dst, c.labels[i]...)
		}
		members >>= 1
	}
	return append(dst, '"'), nil
}

func imageJSON(_ *column, dst, v []byte) ([]byte, error) { return appendDocument(dst, v) }

// The codecs that both forms share.

// bitCodec is the codec of BIT(1), which is a truth value, or of wider ones, which are bytes.
func bitCodec(def *Column) appendFunc {
	if def.Length == 1 {
		return oneBit
	}
	return bitString
}

func oneBit(c *column, dst, v []byte) ([]byte, error) {
	switch {
	case len(v) != 1 || v[0] > 1:
		return dst, corrupt("%x is no BIT(1)", v)
	case v[0] == 1:
		return append(dst, "true"...), nil
	}
	return append(dst, "false"...), nil
}

func bitString(c *column, dst, v []byte) ([]byte, error) {
	if len(v) != c.size {
		return dst, c.wrongSize(v)
	}
	return hexCodec(c, dst, v)
}

func hexCodec(c *column, dst, v []byte) ([]byte, error) {
	dst = append(dst, c.hexOpen...)
	dst = hex.AppendEncode(dst, v)
	return append(dst, '"'), nil
}

// textCodec is the codec of a character column: straight for UTF-8, decoding for all else.
func textCodec(def *Column) appendFunc {
	if isUTF8(def.Charset) {
		return utf8Text
	}
	return decodedText
}

func utf8Text(c *column, dst, v []byte) ([]byte, error) {
	out, bad := appendString(dst, v)
	if bad >= 0 {
		return dst, &CharsetError{Charset: c.def.Charset, Value: badBytes(v[bad:])}
	}
	return out, nil
}

func decodedText(c *column, dst, v []byte) ([]byte, error) {
	dst = append(dst, '"')
	out, bad := c.decode(dst, v)
	if bad >= 0 {
		return dst, &CharsetError{Charset: c.def.Charset, Value: badBytes(v[bad:])}
	}
	return append(out, '"'), nil
}

// badBytes copies the start of what could not be decoded, for a message.
func badBytes(v []byte) []byte {
	return append(make([]byte, 0, 4), v[:min(len(v), 4)]...)
}
