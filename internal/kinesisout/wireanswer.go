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
	shards  map[string]string

	in    string
	at    int  // what comes before this is read
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
	r.in, r.at, r.bad = s, 0, false
	r.plain = ascii.ValidPrintString(s) && strings.IndexByte(s, '\\') < 0
	seen := r.whole()
	r.space()
	ok := seen && !r.bad && r.at == len(s)
	r.in = ""
	return ok
}

// whole reads the object that an answer is, and says whether it has records.
func (r *answerReader) whole() (seen bool) {
	for more := r.open('{', '}'); more; more = r.next('}') {
		switch r.member() {
		case "FailedRecordCount":
			r.failed = r.number()
		case "Records":
			r.bad = r.bad || seen
			seen = true
			for more := r.open('[', ']'); more; more = r.next(']') {
				r.record()
			}
		case "EncryptionType":
			r.text()
		default:
			r.bad = true
		}
	}
	return seen
}

// record reads the answer to one record.
func (r *answerReader) record() {
	r.records = append(r.records, types.PutRecordsResultEntry{})
	e := &r.records[len(r.records)-1]
	for more := r.open('{', '}'); more; more = r.next('}') {
		switch r.member() {
		case "SequenceNumber":
			e.SequenceNumber = r.optional(itself)
		case "ShardId":
			e.ShardId = r.optional(r.sameShard)
		case "ErrorCode":
			e.ErrorCode = r.optional(strings.Clone)
		case "ErrorMessage":
			e.ErrorMessage = r.optional(strings.Clone)
		default:
			r.bad = true
		}
	}
}

// optional reads a string or null. It gives what keep makes of the string.
func (r *answerReader) optional(keep func(string) string) *string {
	if r.null() {
		return nil
	}
	if len(r.strings) == cap(r.strings) { // impossible, but it must not grow
		r.bad = true
		return nil
	}
	r.strings = append(r.strings, keep(r.text()))
	return &r.strings[len(r.strings)-1]
}

func itself(s string) string { return s }

// sameShard is strings.Clone for what mostly is the same, and one of the stream's shards.
func (r *answerReader) sameShard(id string) string {
	if id == r.shard {
		return r.shard
	}
	known, ok := r.shards[id]
	if !ok {
		if r.shards == nil {
			r.shards = make(map[string]string)
		}
		known = strings.Clone(id)
		r.shards[known] = known
	}
	r.shard = known
	return known
}

// open reads the begin of an object or array, and says whether there is something in it.
func (r *answerReader) open(begin, end byte) (more bool) {
	r.expect(begin)
	return !r.accept(end) && !r.bad
}

// next reads what comes behind a member or element, and says whether there is another one.
func (r *answerReader) next(end byte) (more bool) {
	if r.bad || r.accept(end) {
		return false
	}
	r.expect(',')
	return !r.bad
}

// member reads the name of an object's member, and what separates it from the value.
func (r *answerReader) member() string {
	name := r.text()
	r.expect(':')
	if r.bad {
		return ""
	}
	return name
}

// text reads a string without escapes.
func (r *answerReader) text() string {
	r.expect('"')
	if r.bad {
		return ""
	}
	rest := r.in[r.at:]
	size := strings.IndexByte(rest, '"')
	if size < 0 || !r.plain && !plainText(rest[:size]) {
		r.bad = true
		return ""
	}
	r.at += size + 1
	return rest[:size]
}

// plainText says whether a string is what its JSON says: characters beyond ASCII need a look at their UTF-8.
func plainText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c == '\\' || c < 0x20 || c >= 0x80 {
			return false
		}
	}
	return true
}

// number reads a number of digits alone.
func (r *answerReader) number() int32 {
	r.space()
	rest := r.in[r.at:]
	n := 0
	for n < len(rest) && '0' <= rest[n] && rest[n] <= '9' {
		n++
	}
	v, err := strconv.ParseInt(rest[:n], 10, 32)
	if err != nil || n > 1 && rest[0] == '0' {
		r.bad = true
	}
	r.at += n
	return int32(v)
}

// null reads null if that is what is ahead.
func (r *answerReader) null() bool {
	r.space()
	if !strings.HasPrefix(r.in[r.at:], "null") {
		return false
	}
	r.at += len("null")
	return true
}

func (r *answerReader) expect(c byte) {
	if !r.accept(c) {
		r.bad = true
	}
}

func (r *answerReader) accept(c byte) bool {
	r.space()
	if r.at == len(r.in) || r.in[r.at] != c {
		return false
	}
	r.at++
	return true
}

func (r *answerReader) space() {
	for r.at < len(r.in) && (r.in[r.at] == ' ' || r.in[r.at] == '\n' || r.in[r.at] == '\r' || r.in[r.at] == '\t') {
		r.at++
	}
}
