package record

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
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
	colons := strings.Count(s, ":")
	inFile := (colons - 6) / 2 // colons in the file name, which stands there twice
	if colons < 6 || colons%2 != 0 {
		return Place{}, 0, fmt.Errorf("stream-position %q has %d colons: it is not the position of a binlog row", s, colons)
	}
	file, rest := cutFile(s, inFile)
	var row uint64
	for _, n := range []struct {
		to   *uint64
		bits int
	}{{&p.EventStart, 64}, {&row, 32}, {&p.EventEnd, 64}, {&txID, 64}} {
		var field string
		field, rest, _ = strings.Cut(rest, ":")
		if *n.to, err = strconv.ParseUint(field, 10, n.bits); err != nil {
			return Place{}, 0, fmt.Errorf("stream-position %q: %w", s, err)
		}
	}
	again, last := cutFile(rest, inFile)
	if p.TableMapStart, err = strconv.ParseUint(last, 10, 64); err != nil {
		return Place{}, 0, fmt.Errorf("stream-position %q: %w", s, err)
	}
	if file == "" || again != file {
		return Place{}, 0, fmt.Errorf("stream-position %q names two files: %q and %q", s, file, again)
	}
	p.File, p.Row = file, uint32(row)
	return p, txID, nil
}

// cutFile cuts s behind a file name that holds the given number of colons.
func cutFile(s string, colons int) (file, rest string) {
	end := 0
	for ; ; colons-- {
		i := strings.IndexByte(s[end:], ':')
		if i < 0 {
			return s, ""
		}
		end += i
		if colons == 0 {
			return s[:end], s[end+1:]
		}
		end++
	}
}

// FileNumber is the number in a binlog file's name: 42 for mysql-bin.000042.
func FileNumber(file string) (uint64, error) {
	n, err := strconv.ParseUint(file[strings.LastIndexByte(file, '.')+1:], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("binlog file %q does not end in a number", file)
	}
	return n, nil
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
	pos := Position{FileNumber: n, EventStart: p.EventStart, Row: p.Row}
	if op == Insert {
		pos.Half = 1
	}
	return pos, nil
}
