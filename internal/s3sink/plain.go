package s3sink

import (
	"io"
	"sync"
)

// plain keeps the bytes of records, one behind the other, in pieces of memory that are used again when the records are
// stored. A run that is cut in two lets go of its pieces: both parts refer to them then, and the collector takes them.
type plain struct {
	pieces [][]byte // the last one has room
	bytes  int64    // in the pieces
}

// pieceSize is small against a run, and large against a write to a compressor. The first piece is smaller, as there are
// many shards with little in their runs.
const (
	pieceSize  = 64 << 10
	firstPiece = 4 << 10
)

var pieces = sync.Pool{New: func() any { return new([pieceSize]byte) }}

// add copies a record's bytes and gives the copy. A record that is larger than a piece gets one of its own.
func (p *plain) add(data []byte) []byte {
	n := len(p.pieces)
	if n == 0 || cap(p.pieces[n-1])-len(p.pieces[n-1]) < len(data) {
		p.pieces = append(p.pieces, piece(n == 0, len(data)))
		n++
	}
	last := &p.pieces[n-1]
	p.bytes += int64(len(data))
	from := len(*last)
	*last = append(*last, data...)
	return (*last)[from:len(*last):len(*last)]
}

func piece(first bool, atLeast int) []byte {
	switch {
	case first && atLeast <= firstPiece:
		return make([]byte, 0, firstPiece)
	case atLeast <= pieceSize:
		return pieces.Get().(*[pieceSize]byte)[:0]
	}
	return make([]byte, 0, atLeast)
}

// free is how much room there is, which is memory as well.
func (p *plain) free() int64 {
	if len(p.pieces) == 0 {
		return 0
	}
	last := p.pieces[len(p.pieces)-1]
	return int64(cap(last) - len(last))
}

// release lets the memory be used for other records. Nothing may refer to these any more.
func (p *plain) release() {
	for _, b := range p.pieces {
		if cap(b) == pieceSize {
			pieces.Put((*[pieceSize]byte)(b[:pieceSize]))
		}
	}
	*p = plain{}
}

func (p *plain) writeTo(w io.Writer) error {
	for _, b := range p.pieces {
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}
