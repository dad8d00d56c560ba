package kinesisin

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/segmentio/asm/base64"
)

// wire reads the answers of GetRecords in place of the SDK's JSON, which costs more than all the rest of delivery: the
// records of an answer are decoded into one piece of memory. Whatever it does not know is left to the SDK, and so is
// every other part of a call.
type wire struct {
	smithyhttp.ClientProtocol         // the SDK's own
	memory                    *memory // for the records
}

// use makes a call go through a wire that puts the records there.
func (m *memory) use(o *kinesis.Options) { o.Protocol = wire{o.Protocol, m} }

// memory is that of an answer and of the batch that is made of it. It is used again once the batch is through; only the
// text of the sequence numbers is made anew each time, as these are kept.
type memory struct {
	bytes     []byte // of the records
	sequences []string
	arrivals  []time.Time
	answer    []types.Record
	records   []Record
	single    [][]byte
}

var memories = sync.Pool{New: func() any { return new(memory) }}

// again gives n elements in the memory that kept has, or in new memory, which is kept then. What they hold is old.
func again[T any](kept *[]T, n int) []T {
	if cap(*kept) < n {
		*kept = make([]T, n+n/8) // answers are not all of one size
	}
	return (*kept)[:n]
}

func (m *memory) release() {
	if cap(m.bytes) <= largestBody {
		memories.Put(m)
	}
}

// bodies are answers that were decoded.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// largestBody is how large an answer's memory may be to be kept for another one.
const largestBody = 8 << 20

// DeserializeResponse implements smithyhttp.ClientProtocol.
func (w wire) DeserializeResponse(ctx context.Context, op *smithy.OperationSchema, reg *smithy.TypeRegistry, resp *smithyhttp.Response, out smithy.Deserializable) error {
	get, ok := out.(*kinesis.GetRecordsOutput)
	if !ok || resp.StatusCode != http.StatusOK {
		return w.ClientProtocol.DeserializeResponse(ctx, op, reg, resp, out)
	}
	body := bodies.Get().(*bytes.Buffer)
	body.Reset()
	defer func() {
		if body.Cap() <= largestBody {
			bodies.Put(body)
		}
	}()
	if n := resp.ContentLength; n > 0 && n < 4*largestBody {
		body.Grow(int(n) + bytes.MinRead)
	}
	if _, err := body.ReadFrom(resp.Body); err != nil {
		return &smithy.DeserializationError{Err: err}
	}
	if readInto(body.Bytes(), get, w.memory) {
		return nil
	}
	*get = kinesis.GetRecordsOutput{}
	resp.Body = io.NopCloser(bytes.NewReader(bytes.Clone(body.Bytes())))
	return w.ClientProtocol.DeserializeResponse(ctx, op, reg, resp, out)
}

// readInto reads an answer as Kinesis writes it, and says whether it could. Nothing in out is a part of body; what it has
// lies in m.
func readInto(body []byte, out *kinesis.GetRecordsOutput, m *memory) bool {
	p := parsers.Get().(*answerParser)
	defer p.release()
	p.body, p.decoded = body, m.bytes[:0]
	seen := false
	for more := p.begin('{', '}'); more; more = p.next('}') {
		switch string(p.member()) {
		case "Records":
			p.fail(seen)
			seen = true
			for more := p.begin('[', ']'); more; more = p.next(']') {
				p.record()
			}
		case "NextShardIterator":
			if !p.null() {
				s := string(p.text())
				out.NextShardIterator = &s
			}
		case "MillisBehindLatest":
			if n, ok := p.integer(); ok {
				out.MillisBehindLatest = &n
			}
		default:
			p.fail(true) // ChildShards, once in a shard's life, and what is not known yet
		}
	}
	p.space()
	if p.bad || !seen || p.at < len(body) {
		return false
	}
	p.give(out, m)
	return true
}

// answerParser knows as much of JSON as answers need.
type answerParser struct {
	body      []byte
	at        int // how far it is read
	bad       bool
	decoded   []byte // the records' bytes, one behind the other
	sequences []byte // and their sequence numbers
	list      []parsedRecord
	shape     shape
	arrival   struct { // the last one: many records arrive in the same millisecond
		text  []byte
		milli int64
	}
}

// parsers keep the lists that they made.
var parsers = sync.Pool{New: func() any { return new(answerParser) }}

func (p *answerParser) release() {
	*p = answerParser{sequences: p.sequences[:0], list: p.list[:0], shape: shape{parts: p.shape.parts[:0]}}
	parsers.Put(p)
}

// parsedRecord is what an answer says of a record.
type parsedRecord struct {
	data     int // where its bytes end in decoded
	sequence int // where its sequence number ends in sequences
	arrival  int64
}

// span is a part of an answer.
type span struct{ from, to int }

func (p *answerParser) record() {
	var r parsedRecord
	begin, decoded, sequences := p.at, len(p.decoded), len(p.sequences)
	if !p.recordAlike(&r) && !p.bad {
		p.at, p.decoded, p.sequences = begin, p.decoded[:decoded], p.sequences[:sequences]
		p.recordAnew(&r)
	}
	r.data, r.sequence = len(p.decoded), len(p.sequences)
	p.list = append(p.list, r)
}

// recordAlike reads a record that is written as the one before it was, and says whether it is.
func (p *answerParser) recordAlike(r *parsedRecord) bool {
	for _, part := range p.shape.parts {
		if !p.skip(part.before) {
			return false
		}
		p.value(part.of, r)
	}
	return len(p.shape.parts) > 0 && p.skip(p.shape.end)
}

// recordAnew reads a record and notes how it is written.
func (p *answerParser) recordAnew(r *parsedRecord) {
	p.shape.parts = p.shape.parts[:0]
	alike := true
	var seen [known]int
	end := p.at // of the last value
	for more := p.begin('{', '}'); more; more = p.next('}') {
		of := memberOf(p.member())
		seen[of]++
		p.space()
		if of == encryption && p.null() {
			alike = false
			continue
		}
		if of != arrival {
			p.expect('"')
		}
		p.shape.parts = append(p.shape.parts, shapePart{before: span{end, p.at}, of: of})
		p.value(of, r)
		end = p.at
	}
	p.shape.end = span{end, p.at}
	p.fail(seen[unknown] > 0 || seen[data] != 1 || seen[sequence] != 1 || seen[arrival] != 1)
	if !alike || p.bad {
		p.shape.parts = p.shape.parts[:0]
	}
}

// value reads the value that is ahead; if it is a text, its quote is behind us.
func (p *answerParser) value(of member, r *parsedRecord) {
	switch of {
	case data:
		p.decode(p.toQuote())
	case sequence:
		p.sequences = append(p.sequences, p.plain()...)
	case arrival:
		r.arrival = p.moment()
	case partitionKey, encryption:
		p.skipText()
	default:
		p.fail(true)
	}
}

// member is one of a record's.
type member uint8

const (
	unknown member = iota
	data
	sequence
	arrival
	partitionKey
	encryption
	known
)

func memberOf(name []byte) member {
	switch string(name) {
	case "Data":
		return data
	case "SequenceNumber":
		return sequence
	case "ApproximateArrivalTimestamp":
		return arrival
	case "PartitionKey":
		return partitionKey
	case "EncryptionType":
		return encryption
	}
	return unknown
}

// shape is how a record was written: what stood before its values, and behind the last. All records of an answer are
// mostly written in one way, so that the next one need not be taken apart.
type shape struct {
	parts []shapePart
	end   span
}

type shapePart struct {
	before span
	of     member
}

// decode decodes the bytes of a record, as soon as its end is found and while it is in the processor's cache.
func (p *answerParser) decode(text span) {
	size := base64.StdEncoding.DecodedLen(text.len())
	end := len(p.decoded)
	p.reserve(size)
	n, ok := decode(p.decoded[end:end+size], p.body[text.from:text.to])
	p.decoded = p.decoded[:end+n]
	p.fail(!ok)
}

// reserve makes room for a record's bytes, and for those of all that follow if the answer goes on much as it is up to here.
func (p *answerParser) reserve(size int) {
	need := len(p.decoded) + size
	if need > cap(p.decoded) {
		whole := int(int64(need) * int64(len(p.body)) / int64(max(p.at, 1)))
		p.decoded = append(make([]byte, 0, max(need, whole+whole/8)), p.decoded...)
	}
}

// give hands the records over. Their strings and bytes are parts of one piece each.
func (p *answerParser) give(out *kinesis.GetRecordsOutput, m *memory) {
	m.bytes = p.decoded
	sequences := string(p.sequences)
	strings, times := again(&m.sequences, len(p.list)), again(&m.arrivals, len(p.list))
	out.Records = again(&m.answer, len(p.list))
	data, begin := 0, 0
	for i := range p.list {
		r := &p.list[i]
		strings[i] = sequences[begin:r.sequence]
		times[i] = time.UnixMilli(r.arrival).UTC()
		rec := &out.Records[i] // of an answer before; nobody sets anything else in it
		rec.Data, rec.SequenceNumber, rec.ApproximateArrivalTimestamp = p.decoded[data:r.data:r.data], &strings[i], &times[i]
		data, begin = r.data, r.sequence
	}
}

// decode decodes base64 and says whether it could. Line breaks in it, which decoders step over and JSON does not allow
// in a text, make the result shorter than the text's length says.
func decode(dst, text []byte) (n int, ok bool) {
	n, err := base64.StdEncoding.Decode(dst, text)
	want := base64.StdEncoding.DecodedLen(len(text))
	for end := len(text); end > 0 && text[end-1] == '='; end-- {
		want--
	}
	return n, err == nil && n == want && len(text)%4 == 0
}
