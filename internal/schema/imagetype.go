package schema

import "fmt"

// The column types of a table map event.
const (
	typeTiny       = 1
	typeShort      = 2
	typeLong       = 3
	typeFloat      = 4
	typeDouble     = 5
	typeTimestamp  = 7 // before MySQL 5.6
	typeLongLong   = 8
	typeInt24      = 9
	typeDate       = 10
	typeTime       = 11 // before MySQL 5.6
	typeDateTime   = 12 // before MySQL 5.6
	typeYear       = 13
	typeNewDate    = 14
	typeVarChar    = 15
	typeBit        = 16
	typeTimestamp2 = 17
	typeDateTime2  = 18
	typeTime2      = 19
	typeVector     = 242
	typeJSON       = 245
	typeNewDecimal = 246
	typeEnum       = 247
	typeSet        = 248
	typeBlob       = 252
	typeVarString  = 253
	typeString     = 254
	typeGeometry   = 255

	typeBlobCompressed    = 140 // MariaDB
	typeVarCharCompressed = 141 // MariaDB
)

// fromImage chooses width and codec for the type and metadata that a table map event has for the column. A
// *MismatchError says that they are not the column's.
func (c *column) fromImage(typ byte, meta uint16) error {
	if c.def.Compressed {
		return c.compressedImage(typ, meta)
	}
	switch c.def.Type {
	case TinyInt:
		return c.fixed(typ == typeTiny, typ, 1, signed(c, imageInt8, imageUint8))
	case SmallInt:
		return c.fixed(typ == typeShort, typ, 2, signed(c, imageInt16, imageUint16))
	case MediumInt:
		return c.fixed(typ == typeInt24, typ, 3, signed(c, imageInt24, imageUint24))
	case Int:
		return c.fixed(typ == typeLong, typ, 4, signed(c, imageInt32, imageUint32))
	case BigInt:
		return c.fixed(typ == typeLongLong, typ, 8, signed(c, imageInt64, imageUint64))
	case Float:
		return c.fixed(typ == typeFloat, typ, 4, imageFloat)
	case Double:
		return c.fixed(typ == typeDouble, typ, 8, imageDouble)
	case Year:
		return c.fixed(typ == typeYear, typ, 1, imageYear)
	case Date:
		return c.fixed(typ == typeDate || typ == typeNewDate, typ, 3, imageDateJSON)
	case Decimal:
		return c.decimalImage(typ, meta)
	case Bit:
		return c.bitImage(typ, meta)
	case DateTime, Timestamp, Time:
		return c.temporalImage(typ, meta)
	case Char, Binary:
		return c.charImage(typ, meta)
	case VarChar, VarBinary:
		return c.varcharImage(typ, meta)
	case Enum, Set:
		return c.labelImage(typ, meta)
	case Text, Blob, JSON, Geometry:
		return c.blobImage(typ, meta)
	case Vector:
		return c.vectorImage(typ, meta)
	case UUID:
		return c.addressImage(typ, meta, 16, imageUUID)
	case Inet4:
		return c.addressImage(typ, meta, 4, imageInet4)
	case Inet6:
		return c.addressImage(typ, meta, 16, imageInet6)
	}
	return unsupported(c.def.ColumnType)
}

func (c *column) fixed(same bool, typ byte, size int, f appendFunc) error {
	if !same {
		return c.mismatch("the binlog has type %d", typ)
	}
	c.width = width{size: uint32(size)}
	c.size, c.append = size, f
	return nil
}

func (c *column) mismatch(format string, args ...any) error {
	return &MismatchError{Reason: fmt.Sprintf("%s, the definition %q", fmt.Sprintf(format, args...), c.def.ColumnType)}
}

func signed(c *column, with, without appendFunc) appendFunc {
	if c.def.Unsigned {
		return without
	}
	return with
}

func (c *column) decimalImage(typ byte, meta uint16) error {
	c.precision, c.scale = int(meta>>8), int(meta&0xff)
	if typ != typeNewDecimal || c.precision != int(c.def.Precision) || c.scale != int(c.def.Scale) {
		return c.mismatch("the binlog has type %d with precision %d and scale %d", typ, c.precision, c.scale)
	}
	if c.precision < 1 || c.precision > maxPrecision || c.scale > c.precision {
		return fmt.Errorf("DECIMAL(%d,%d) does not exist", c.precision, c.scale)
	}
	return c.fixed(true, typ, decimalSize(c.precision, c.scale), imageDecimal)
}

func (c *column) bitImage(typ byte, meta uint16) error {
	if bits := uint32(meta>>8)*8 + uint32(meta&0xff); typ != typeBit || bits != c.def.Length {
		return c.mismatch("the binlog has type %d with %d bits", typ, bits)
	}
	return c.fixed(true, typ, c.size, bitCodec(c.def))
}

func (c *column) temporalImage(typ byte, meta uint16) error {
	type form struct {
		new, old         byte
		size, oldSize    int
		codec, oldCodecs appendFunc
	}
	f := map[Type]form{
		DateTime:  {typeDateTime2, typeDateTime, 5, 8, imageDateTimeJSON, oldDateTimeJSON},
		Timestamp: {typeTimestamp2, typeTimestamp, 4, 4, imageTimestampJSON, oldTimestampJSON},
		Time:      {typeTime2, typeTime, 3, 3, imageTimeJSON, oldTimeJSON},
	}[c.def.Type]
	switch {
	case typ == f.old && c.def.FSP > 0:
		return fmt.Errorf("%q keeps its fraction in MariaDB's format from before 10.1, which is not supported: "+
			"set mysql56_temporal_format=ON and run ALTER TABLE ... FORCE", c.def.ColumnType)
	case typ == f.old:
		return c.fixed(true, typ, f.oldSize, f.oldCodecs)
	case typ != f.new || meta != uint16(c.def.FSP):
		return c.mismatch("the binlog has type %d with %d fractional digits", typ, meta)
	}
	return c.fixed(true, typ, f.size+fractionBytes(c.fsp), f.codec)
}

// charImage reads the odd metadata of CHAR and BINARY: lengths over 255 borrow two bits of the real type, inverted.
func (c *column) charImage(typ byte, meta uint16) error {
	realType, bytes := byte(meta>>8), uint32(meta&0xff)
	if realType&0x30 != 0x30 {
		bytes |= uint32(realType&0x30^0x30) << 4
		realType |= 0x30
	}
	if typ != typeString || realType != typeString || bytes != c.maxBytes() {
		return c.mismatch("the binlog has type %d/%d of %d bytes", typ, realType, bytes)
	}
	c.prefixed(bytes)
	if c.def.Type == Binary {
		c.size, c.append = int(bytes), imageBinary
		return nil
	}
	c.append = textCodec(c.def)
	return nil
}

func (c *column) varcharImage(typ byte, meta uint16) error {
	if typ != typeVarChar && typ != typeVarString || uint32(meta) != c.maxBytes() {
		return c.mismatch("the binlog has type %d of %d bytes", typ, meta)
	}
	c.prefixed(uint32(meta))
	c.append = hexCodec
	if c.def.Type == VarChar {
		c.append = textCodec(c.def)
	}
	return nil
}

// maxBytes is how many bytes the longest value takes.
func (c *column) maxBytes() uint32 {
	if c.def.Type == Binary || c.def.Type == VarBinary {
		return c.def.Length
	}
	return c.def.Length * charsets[c.def.Charset].maxBytes
}

// prefixed sets the width of a value of at most so many bytes.
func (c *column) prefixed(bytes uint32) {
	c.width = width{prefix: 1}
	if bytes > 255 {
		c.width.prefix = 2
	}
}

func (c *column) labelImage(typ byte, meta uint16) error {
	realType, size := typ, int(meta&0xff)
	if typ == typeString {
		realType = byte(meta >> 8)
	}
	if c.def.Type == Enum {
		want := 1
		if len(c.labels) > 255 {
			want = 2
		}
		return c.fixed(realType == typeEnum && size == want, realType, size, imageEnum)
	}
	want := (len(c.labels) + 7) / 8
	if want > 4 {
		want = 8
	}
	return c.fixed(realType == typeSet && size == want, realType, size, imageSet)
}

func (c *column) blobImage(typ byte, meta uint16) error {
	var same bool
	switch c.def.Type {
	case JSON:
		same, c.append = typ == typeJSON, imageJSON
	case Geometry:
		same, c.append = typ == typeGeometry, hexCodec
	case Text:
		same, c.append = typ == typeBlob, textCodec(c.def)
	case Blob:
		same, c.append = typ == typeBlob, hexCodec
	}
	want := uint16(1)
	for max := c.def.Length; max > 255; max >>= 8 {
		want++
	}
	if !same || meta != want {
		return c.mismatch("the binlog has type %d with %d bytes of length", typ, meta)
	}
	c.width = width{prefix: uint8(meta)}
	return nil
}

// vectorImage takes MySQL's vectors, which are BLOBs of four bytes a number, and MariaDB's, which are VARBINARY.
func (c *column) vectorImage(typ byte, meta uint16) error {
	switch {
	case typ == typeVector && meta == 4:
		c.width = width{prefix: 4}
	case typ == typeVarChar && uint32(meta) == 4*c.def.Length:
		c.prefixed(uint32(meta))
	default:
		return c.mismatch("the binlog has type %d of %d bytes", typ, meta)
	}
	c.append = hexCodec
	return nil
}

// addressImage takes MariaDB's types of a fixed number of bytes, which its log describes as BINARY.
func (c *column) addressImage(typ byte, meta uint16, size int, f appendFunc) error {
	if typ != typeString || meta != typeString<<8|uint16(size) {
		return c.mismatch("the binlog has type %d with %#x", typ, meta)
	}
	c.prefixed(uint32(size))
	c.size, c.append = size, f
	return nil
}

// compressedImage takes MariaDB's compressed columns: a compressed VARCHAR has room for one byte more than its text has,
// and what is decompressed is rendered as a column of the type without COMPRESSED would be.
func (c *column) compressedImage(typ byte, meta uint16) error {
	var err error
	switch {
	case typ == typeVarCharCompressed && meta > 0:
		err = c.varcharImage(typeVarChar, meta-1)
		c.size = int(meta - 1)
		c.prefixed(uint32(meta))
	case typ == typeBlobCompressed:
		err = c.blobImage(typeBlob, meta)
		c.size = min(1<<(8*meta)-1, maxDecompressed)
	default:
		return c.mismatch("the binlog has type %d", typ)
	}
	c.plain, c.append = c.append, compressedValue
	return err
}
