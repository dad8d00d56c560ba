package record

import (
	"cmp"
	"fmt"
)

// AppendStreamPosition appends a change's stream-position,
//
//	<file>:<rows event start>:<row index>:<rows event end>:<transaction id>:<file>:<table map start>
func AppendStreamPosition(dst []byte, p Place, txID uint64) []byte {
	dst = append(append(dst, p.File...), ':')
	dst = append(appendUint(dst, p.EventStart), ':')
	dst = append(appendUint(dst, uint64(p.Row)), ':')
	dst = append(appendUint(dst, p.EventEnd), ':')
	dst = append(appendUint(dst, txID), ':')
	dst = append(append(dst, p.File...), ':')
	return appendUint(dst, p.TableMapStart)
}

// ParseStreamPosition reads a stream-position. The file name may itself contain colons. It allocates nothing unless
// it fails.
func ParseStreamPosition(s string) (p Place, txID uint64, err error) {
	f, ok := splitPosition(s)
	if !ok {
		return Place{}, 0, fmt.Errorf("stream-position %q is not that of a binlog row: <file>:<start>:<row>:<end>:<transaction>:<file>:<table map>", s)
	}
	return Place{File: f.file, TableMapStart: f.tableMap, EventStart: f.eventStart, EventEnd: f.eventEnd, Row: f.row}, f.txID, nil
}

// positionFields is a stream-position taken apart.
type positionFields[T string | []byte] struct {
	file                                 T
	eventStart, eventEnd, txID, tableMap uint64
	row                                  uint32
}

// splitPosition takes a stream-position apart.
func splitPosition[T string | []byte](s T) (f positionFields[T], ok bool) {
	file, rest := cutColons(s, 0)
	if f, ok = splitBehind(file, rest); ok {
		return f, true
	}
	// The file's name holds colons: since it stands there twice, half of those that are too many.
	colons := 0
	for i := range len(s) {
		if s[i] == ':' {
			colons++
		}
	}
	if colons < 8 || colons%2 != 0 {
		return f, false
	}
	return splitBehind(cutColons(s, (colons-6)/2))
}

// splitBehind takes apart what follows the file's name.
func splitBehind[T string | []byte](file, rest T) (f positionFields[T], ok bool) {
	f.file = file
	i := 0
	var row uint64
	for _, to := range [...]*uint64{&f.eventStart, &row, &f.eventEnd, &f.txID} {
		if *to, i, ok = leadingUint(rest, i); !ok || i == len(rest) || rest[i] != ':' {
			return f, false
		}
		i++
	}
	behind := i + len(file)
	if len(file) == 0 || row > 1<<32-1 || behind >= len(rest) || string(rest[i:behind]) != string(file) || rest[behind] != ':' {
		return f, false
	}
	f.row = uint32(row)
	f.tableMap, ok = parseUint(rest[behind+1:])
	return f, ok
}

// cutColons cuts s around the colon that has the given number of others before it.
func cutColons[T string | []byte](s T, before int) (head, tail T) {
	for i := range len(s) {
		if s[i] != ':' {
			continue
		}
		if before == 0 {
			return s[:i], s[i+1:]
		}
		before--
	}
	return s, s[len(s):]
}

// FileNumber is the number in a binlog file's name: 42 for mysql-bin.000042.
func FileNumber(file string) (uint64, error) {
	n, ok := fileNumber(file)
	if !ok {
		return 0, fmt.Errorf("binlog file %q does not end in a number", file)
	}
	return n, nil
}

func fileNumber[T string | []byte](file T) (uint64, bool) {
	i := len(file)
	for i > 0 && file[i-1] != '.' {
		i--
	}
	return parseUint(file[i:])
}

// Position orders the changes of one source epoch and tells each from all others. It is what readers drop repeated
// records by: a record id would not do, since ids follow the selection of tables.
type Position struct {
	FileNumber uint64
	EventStart uint64
	Row        uint32
	Half       uint8 // 1 for an insert, else 0: an update that changes its key is a delete and an insert at one place
}

// Compare is -1, 0 or +1 as p stands before, at or after q.
func (p Position) Compare(q Position) int {
	return cmp.Or(
		cmp.Compare(p.FileNumber, q.FileNumber),
		cmp.Compare(p.EventStart, q.EventStart),
		cmp.Compare(p.Row, q.Row),
		cmp.Compare(p.Half, q.Half),
	)
}

// Position is where the change op at p stands.
func (p Place) Position(op Operation) (Position, error) {
	n, err := FileNumber(p.File)
	if err != nil {
		return Position{}, err
	}
	return position(n, p.EventStart, p.Row, op), nil
}

func position(file, eventStart uint64, row uint32, op Operation) Position {
	p := Position{FileNumber: file, EventStart: eventStart, Row: row}
	if op == Insert {
		p.Half = 1
	}
	return p
}
