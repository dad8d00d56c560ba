package kinesisout

import (
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/segmentio/asm/ascii"
)

// answerReader reads the JSON of a PutRecords answer as Kinesis writes it. It knows no more of JSON than that needs:
// whatever else comes (an escape, a member it does not know) makes read say false, and the SDK reads it.
type answerReader struct {
	failed  int32
	records []types.PutRecordsResultEntry
	strings []string // what records point to
	shard   string   // the last one, which mostly is the next one too

	rest  string
	plain bool // there is nothing in the answer that text has to look for
	bad   bool
}

// read reads an answer. Sequence numbers are parts of s; every other string is a copy.
func (r *answerReader) read(s string) bool {
	r.failed, r.records, r.strings = 0, r.records[:0], r.strings[:0]
	// The strings must not move while records point to them. Each comes with a name, so there are four quotes to it.
	if most := strings.Count(s, `"`) / 4; cap(r.strings) < most {
		r.strings = make([]string, 0, most)
	}
	r.rest, r.bad = s, false
	r.plain = ascii.ValidPrintString(s) && strings.IndexByte(s, '\\') < 0
	seen := false
	r.object(func(member string) {
		switch member {
		case "FailedRecordCount":
			r.failed = r.number()
		case "Records":
			r.bad = r.bad || seen
			seen = true
			r.array(r.record)
		case "EncryptionType":
			r.text()
		default:
			r.bad = true
		}
	})
	r.space()
	ok := seen && !r.bad && r.rest == ""
	r.rest = ""
	return ok
}

// record reads the answer to one record.
func (r *answerReader) record() {
	var e types.PutRecordsResultEntry
	r.object(func(member string) {
		var to **string
		keep := strings.Clone
		switch member {
		case "SequenceNumber":
			to, keep = &e.SequenceNumber, nil
		case "ShardId":
			to, keep = &e.ShardId, r.keepShard
		case "ErrorCode":
			to = &e.ErrorCode
		case "ErrorMessage":
			to = &e.ErrorMessage
		default:
			r.bad = true
			return
		}
		if r.null() {
			*to = nil
			return
		}
		if len(r.strings) == cap(r.strings) { // impossible, but it must not grow
			r.bad = true
			return
		}
		text := r.text()
		if keep != nil {
			text = keep(text)
		}
		r.strings = append(r.strings, text)
		*to = &r.strings[len(r.strings)-1]
	})
	r.records = append(r.records, e)
}

// keepShard is strings.Clone for what mostly is the same.
func (r *answerReader) keepShard(id string) string {
	if id != r.shard {
		r.shard = strings.Clone(id)
	}
	return r.shard
}

// object reads { "member": value, ... } and calls value for each with the value ahead.
func (r *answerReader) object(value func(member string)) {
	r.list('{', '}', func() {
		member := r.text()
		r.expect(':')
		if !r.bad {
			value(member)
		}
	})
}

func (r *answerReader) array(value func()) { r.list('[', ']', value) }

func (r *answerReader) list(open, end byte, value func()) {
	r.expect(open)
	if r.accept(end) {
		return
	}
	for !r.bad {
		value()
		if r.accept(end) {
			return
		}
		r.expect(',')
	}
}

// text reads a string without escapes.
func (r *answerReader) text() string {
	r.expect('"')
	if r.bad {
		return ""
	}
	if r.plain {
		s, rest, found := strings.Cut(r.rest, `"`)
		r.rest, r.bad = rest, !found
		return s
	}
	for i := range len(r.rest) {
		switch c := r.rest[i]; {
		case c == '"':
			s := r.rest[:i]
			r.rest = r.rest[i+1:]
			return s
		case c == '\\' || c < 0x20 || c >= 0x80: // the last need a look at UTF-8
			r.bad = true
			return ""
		}
	}
	r.bad = true
	return ""
}

// number reads a number of digits alone.
func (r *answerReader) number() int32 {
	r.space()
	n := 0
	for n < len(r.rest) && '0' <= r.rest[n] && r.rest[n] <= '9' {
		n++
	}
	v, err := strconv.ParseInt(r.rest[:n], 10, 32)
	if err != nil || n > 1 && r.rest[0] == '0' {
		r.bad = true
	}
	r.rest = r.rest[n:]
	return int32(v)
}

// null reads null if that is what is ahead.
func (r *answerReader) null() bool {
	r.space()
	rest, found := strings.CutPrefix(r.rest, "null")
	r.rest = rest
	return found
}

func (r *answerReader) expect(c byte) {
	if !r.accept(c) {
		r.bad = true
	}
}

func (r *answerReader) accept(c byte) bool {
	r.space()
	if r.rest == "" || r.rest[0] != c {
		return false
	}
	r.rest = r.rest[1:]
	return true
}

func (r *answerReader) space() {
	for r.rest != "" && (r.rest[0] == ' ' || r.rest[0] == '\n' || r.rest[0] == '\r' || r.rest[0] == '\t') {
		r.rest = r.rest[1:]
	}
}
