package stored

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

// DamageError is returned, or given beside the records, for an object that is not what it says it is.
type DamageError struct {
	Key string
	Err error
}

// Error names the object.
func (e *DamageError) Error() string { return fmt.Sprintf("object %s is damaged: %v", e.Key, e.Err) }

// Unwrap gives what is wrong.
func (e *DamageError) Unwrap() error { return e.Err }

// Reader reads an object's records, one at a time.
type Reader struct {
	key     string
	meta    s3sink.Meta
	body    io.ReadCloser
	plain   io.ReadCloser
	in      *bufio.Reader
	record  []byte
	sum     hash.Hash32
	records int
	bytesIn int64
}

// OpenRecords begins to read an object.
func OpenRecords(ctx context.Context, s Store, key string, meta s3sink.Meta) (*Reader, error) {
	body, err := s.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	r := &Reader{key: key, meta: meta, body: body, sum: crc32.NewIEEE()}
	if r.plain, err = plain(body); err != nil {
		return nil, errors.Join(r.damaged(err), body.Close())
	}
	r.in = bufio.NewReaderSize(io.TeeReader(r.plain, counting{r}), 256<<10)
	return r, nil
}

// counting sums up what is read.
type counting struct{ r *Reader }

func (c counting) Write(p []byte) (int, error) {
	c.r.bytesIn += int64(len(p))
	return c.r.sum.Write(p)
}

// Key is the object's.
func (r *Reader) Key() string { return r.key }

// Close ends the reading.
func (r *Reader) Close() error { return errors.Join(r.plain.Close(), r.body.Close()) }

func (r *Reader) damaged(err error) error { return &DamageError{r.key, err} }

// Next is the next record, valid until the next call. It ends with io.EOF where the object is what its metadata
// says, and with a *DamageError where it is not; then the records before it may be anything.
func (r *Reader) Next() ([]byte, error) {
	data, err := r.value()
	if errors.Is(err, io.EOF) {
		return nil, r.complete()
	}
	if err != nil {
		return nil, r.damaged(err)
	}
	r.records++
	return original(data)
}

// complete compares what was read with the object's metadata.
func (r *Reader) complete() error {
	m := &r.meta
	switch sum := fmt.Sprintf("%08x", r.sum.Sum32()); {
	case m.CRC32 == "":
		return io.EOF
	case r.records != m.Records || r.bytesIn != m.Bytes:
		return r.damaged(fmt.Errorf("it has %d records of %d bytes, and its metadata says %d of %d", r.records, r.bytesIn, m.Records, m.Bytes))
	case sum != m.CRC32:
		return r.damaged(fmt.Errorf("its checksum is %s, and its metadata says %s", sum, m.CRC32))
	}
	return io.EOF
}

// value reads one JSON object, whatever stands between it and the next.
func (r *Reader) value() ([]byte, error) {
	r.record = r.record[:0]
	depth, inString, escaped := 0, false, false
	for {
		part, err := r.in.Peek(max(1, min(r.in.Buffered(), r.in.Size())))
		if err != nil {
			if errors.Is(err, io.EOF) && len(r.record) > 0 {
				return nil, io.ErrUnexpectedEOF
			}
			return nil, err
		}
		start := 0
		if depth == 0 {
			if start = bytes.IndexByte(part, '{'); start < 0 {
				start = len(part)
			}
			if len(bytes.TrimSpace(part[:start])) > 0 {
				return nil, fmt.Errorf("record %d does not begin with a brace", r.records+1)
			}
		}
		i, done := start, false
		for ; i < len(part) && !done; i++ {
			c := part[i]
			switch {
			case escaped:
				escaped = false
			case inString:
				// Most bytes stand in strings.
				n := bytes.IndexAny(part[i:], `"\`)
				if n < 0 {
					i = len(part) - 1
					continue
				}
				i += n
				inString, escaped = part[i] == '\\', part[i] == '\\'
			case c == '"':
				inString = true
			case c == '{' || c == '[':
				depth++
			case c == '}' || c == ']':
				depth--
				done = depth == 0
			}
		}
		r.record = append(r.record, part[start:i]...)
		if _, err := r.in.Discard(i); err != nil {
			return nil, err
		}
		if done {
			return r.record, nil
		}
	}
}

// original is the record of an error document, and every other record itself.
func original(data []byte) ([]byte, error) {
	if bytes.HasPrefix(data, []byte(`{"attemptsMade":`)) {
		var doc struct {
			Data []byte `json:"rawData"`
		}
		if err := json.Unmarshal(data, &doc); err != nil {
			return nil, err
		}
		return doc.Data, nil
	}
	return data, nil
}
