package s3sink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
)

// partition is what a record says of the prefix it belongs under. It follows from the record and the layout alone.
type partition struct {
	values  []string // of the parts that are the record's own, in the order of the prefix
	failure *failure // it has none
}

// failure is why a record has no partition, as its error document says it.
type failure struct{ code, message string }

// Error says both.
func (f *failure) Error() string { return f.code + ": " + f.message }

// The codes of failures, in the manner of Firehose's.
const (
	codeExtraction = "DynamicPartitioning.MetadataExtractionFailed"
	codePrefix     = "DynamicPartitioning.InvalidPrefix"
)

func failed(code, format string, args ...any) partition {
	return partition{failure: &failure{code, fmt.Sprintf(format, args...)}}
}

// The partition keys that are answered from a record's metadata.
const (
	keySchema    = "schema"
	keyTable     = "table"
	keyOperation = "operation"
)

func builtin(key string) bool { return key == keySchema || key == keyTable || key == keyOperation }

// partition finds a record's partition. arrival stands in for the commit time of records that have none.
func (l *Layout) partition(data []byte, arrival time.Time) partition {
	var header record.Header
	var noHeader error
	if l.needsHeader {
		header, noHeader = record.Parse(data)
	}
	var object map[string]any
	if l.query != nil {
		var err error
		if object, err = l.query.run(data); err != nil {
			return failed(codeExtraction, "%v", err)
		}
	}
	p := partition{}
	for i := range l.prefix {
		part := &l.prefix[i]
		if !part.own {
			continue
		}
		if part.key == "" {
			p.values = append(p.values, part.date.format(commitTime(&header, arrival).In(l.zone)))
			continue
		}
		if noHeader != nil && builtin(part.key) {
			return failed(codeExtraction, "%v", noHeader)
		}
		value, err := l.value(part.key, &header, object)
		if err == nil {
			err = checkValue(value)
		}
		if err != nil {
			return failed(codeExtraction, "partition key %s %v", part.key, err)
		}
		p.values = append(p.values, value)
	}
	return p
}

func (l *Layout) value(key string, header *record.Header, object map[string]any) (string, error) {
	switch key {
	case keySchema:
		return header.Schema, nil
	case keyTable:
		return header.Table, nil
	case keyOperation:
		return header.Operation, nil
	}
	return text(object[key])
}

// commitTime is when the record's transaction was committed; records without one (loads, control records, those of
// other writers) count by their arrival.
func commitTime(header *record.Header, arrival time.Time) time.Time {
	if t, err := record.ParseTime(header.CommitTimestamp); err == nil {
		return t
	}
	return arrival
}

// checkValue refuses values that would make two partitions one path in a file system.
func checkValue(s string) error {
	switch {
	case s == "":
		return errors.New("is empty")
	case strings.HasPrefix(s, "/"), strings.HasSuffix(s, "/"), strings.Contains(s, "//"):
		return fmt.Errorf("%.200q has an empty path segment", s)
	}
	return nil
}

// What a key may measure: S3's limit, and that of a name in most file systems.
const (
	maxKey     = 1024
	maxSegment = 255
)

// checkKey refuses a prefix whose values are not known before its records come.
func checkKey(prefix, key string) error {
	fail := func(format string, args ...any) error { return &failure{codePrefix, fmt.Sprintf(format, args...)} }
	if n := utf8.RuneCountInString(prefix); n > maxPrefix {
		return fail("the evaluated prefix has %d characters, at most %d are allowed: %.200q", n, maxPrefix, prefix)
	}
	if err := checkPath(prefix); err != nil {
		return fail("the evaluated prefix cannot be used: %v: %.200q", err, prefix)
	}
	if len(key) > maxKey {
		return fail("the key has %d bytes, at most %d are allowed", len(key), maxKey)
	}
	for segment := range strings.SplitSeq(key, "/") {
		if len(segment) > maxSegment {
			return fail("a path segment of the key has %d bytes, at most %d are allowed: %.200q", len(segment), maxSegment, segment)
		}
	}
	return nil
}

// id tells partitions apart.
func (p *partition) id() string {
	if p.failure != nil {
		return ""
	}
	var b []byte
	for _, v := range p.values {
		b = binary.AppendUvarint(b, uint64(len(v)))
		b = append(b, v...)
	}
	return string(b)
}
