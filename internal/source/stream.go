package source

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
)

// StreamText runs a SELECT and calls fn for each row as it arrives. The values are the server's own text, nil for NULL;
// the row and its values are overwritten by the next. The connection is closed when ctx ends or fn fails, since the rest of
// the result would still be in the way. Errors are *Error, except those of fn, which come back as they are.
func StreamText(ctx context.Context, conn *client.Conn, query string, fn func(row [][]byte) error) error {
	var row [][]byte
	take := func(columns int, data []byte) error {
		if row == nil {
			row = make([][]byte, columns)
		}
		return splitTextRow(row, data)
	}
	return stream(ctx, conn, query, nil, take, func(int, []byte) error { return fn(row) })
}

// StreamRows is StreamText for whoever wants a row as the server sent it, which SplitRow can split, and has a say in how much
// memory it may take: large is called as Packets.BeforeLarge says. Its error, too, comes back as it is.
func StreamRows(ctx context.Context, conn *client.Conn, query string, large func(size int) error, fn func(columns int, row []byte) error) error {
	return stream(ctx, conn, query, large, checkRow, fn)
}

// stream gives each row to take, which says whether it is one, and to fn.
func stream(ctx context.Context, conn *client.Conn, query string, large func(size int) error, take, fn func(columns int, row []byte) error) (err error) {
	stop := closeOnDone(ctx, conn)
	var stopped error
	defer func() {
		inTime := stop()
		if stopped != nil {
			conn.Conn.Conn.Close()
			err = stopped
			return
		}
		if !inTime && err == nil {
			err = context.Cause(ctx)
		}
		if _, answered := errors.AsType[*mysql.MyError](err); err != nil && !answered {
			conn.Conn.Conn.Close()
		}
		err = failed(ctx, Config{}, "run "+shorten(query), err)
	}()
	if err := ctx.Err(); err != nil {
		return err
	}
	p, err := Send(conn, mysql.COM_QUERY, []byte(query))
	if err != nil {
		return err
	}
	defer p.release()
	if large != nil {
		p.BeforeLarge(func(size int) error {
			stopped = large(size)
			return stopped
		})
	}
	columns, err := resultHead(p)
	if err != nil {
		return err
	}
	for {
		data, err := p.Next()
		if err != nil {
			return err
		}
		if IsEOF(data) {
			return nil
		}
		if my, ok := IsError(data); ok {
			return my
		}
		if err := take(columns, data); err != nil {
			return err
		}
		if stopped = fn(columns, data); stopped != nil {
			return nil
		}
	}
}

// resultHead reads a result up to its first row: the number of columns and their definitions.
func resultHead(p *Packets) (columns int, err error) {
	data, err := p.Next()
	if err != nil {
		return 0, err
	}
	if my, ok := IsError(data); ok {
		return 0, my
	}
	if len(data) == 0 || data[0] == packetOK {
		return 0, errors.New("the statement returned no result set")
	}
	n, rest, null, ok := LengthEncoded(data)
	if !ok || null || len(rest) != 0 || n > 4096 {
		return 0, fmt.Errorf("a result set begins with % x", data[:min(len(data), 16)])
	}
	for range n {
		if _, err := p.Next(); err != nil {
			return 0, err
		}
	}
	if data, err = p.Next(); err != nil {
		return 0, err
	}
	if !IsEOF(data) {
		return 0, errors.New("the list of columns has no end")
	}
	return int(n), nil
}

// checkRow makes sure that a row packet has the values of so many columns, and nothing else.
func checkRow(columns int, data []byte) error {
	rest := data
	for i := range columns {
		n, behind, null, ok := LengthEncoded(rest)
		switch {
		case !ok || n > uint64(len(behind)):
			return fmt.Errorf("row is cut off in column %d of %d", i+1, columns)
		case null:
			rest = behind
		default:
			rest = behind[n:]
		}
	}
	if len(rest) != 0 {
		return fmt.Errorf("row has %d bytes more than its %d columns", len(rest), columns)
	}
	return nil
}

// splitTextRow cuts a row packet into the values of its columns.
func splitTextRow(row [][]byte, data []byte) error {
	if err := checkRow(len(row), data); err != nil {
		return err
	}
	SplitRow(row, data)
	return nil
}

// SplitRow cuts a row, as StreamRows gave it, into the values of its columns, nil for NULL.
func SplitRow(values [][]byte, row []byte) {
	for i := range values {
		if n := int(row[0]); n < longLength { // which most values are
			values[i], row = row[1:1+n:1+n], row[1+n:]
			continue
		}
		n, rest, null, _ := LengthEncoded(row)
		if null {
			values[i], row = nil, rest
			continue
		}
		values[i], row = rest[:n:n], rest[n:]
	}
}

// AppendValue appends a value as it stands in a row.
func AppendValue(row, v []byte) []byte {
	switch n := len(v); {
	case v == nil:
		row = append(row, nullValue)
	case n < longLength:
		row = append(row, byte(n))
	default:
		row = binary.LittleEndian.AppendUint64(append(row, eightBytes), uint64(n))
	}
	return append(row, v...)
}

// What the first byte of a length-encoded integer says. Below longLength it is the integer itself.
const (
	longLength = 0xfb
	nullValue  = 0xfb
	twoBytes   = 0xfc
	threeBytes = 0xfd
	eightBytes = 0xfe
)

// LengthEncoded reads a length-encoded integer, or the mark of a NULL in its place, from the start of b.
func LengthEncoded(b []byte) (n uint64, rest []byte, null, ok bool) {
	if len(b) == 0 {
		return 0, nil, false, false
	}
	var size int
	switch b[0] {
	case nullValue:
		return 0, b[1:], true, true
	case twoBytes:
		size = 2
	case threeBytes:
		size = 3
	case eightBytes:
		size = 8
	case 0xff:
		return 0, nil, false, false
	default:
		return uint64(b[0]), b[1:], false, true
	}
	if len(b) <= size {
		return 0, nil, false, false
	}
	for i := size; i >= 1; i-- {
		n = n<<8 | uint64(b[i])
	}
	return n, b[1+size:], false, true
}

// texts runs a query whose result is small and returns its values as text; NULL is "".
func texts(ctx context.Context, conn *client.Conn, query string) ([][]string, error) {
	var out [][]string
	err := StreamText(ctx, conn, query, func(row [][]byte) error {
		line := make([]string, len(row))
		for i, v := range row {
			line[i] = string(v)
		}
		out = append(out, line)
		return nil
	})
	return out, err
}
