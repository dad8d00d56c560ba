package kinesisin

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// wire reads the answers of GetRecords in place of the SDK's JSON, which costs more than all the rest of delivery: the
// records of an answer are decoded into one piece of memory. Whatever it does not know is left to the SDK, and so is
// every other part of a call.
type wire struct {
	smithyhttp.ClientProtocol // the SDK's own
}

// useWire makes a call go through a wire.
func useWire(o *kinesis.Options) { o.Protocol = wire{o.Protocol} }

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
	if readAnswer(body.Bytes(), get) {
		return nil
	}
	*get = kinesis.GetRecordsOutput{}
	resp.Body = io.NopCloser(bytes.NewReader(bytes.Clone(body.Bytes())))
	return w.ClientProtocol.DeserializeResponse(ctx, op, reg, resp, out)
}

// readAnswer reads an answer as Kinesis writes it, and says whether it could. Nothing in out is a part of body.
func readAnswer(body []byte, out *kinesis.GetRecordsOutput) bool {
	p := &answerParser{body: body}
	seen := false
	p.object(func(member []byte) {
		switch string(member) {
		case "Records":
			p.fail(seen)
			seen = true
			p.array(p.record)
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
	})
	p.space()
	if p.bad || !seen || p.at < len(body) {
		return false
	}
	return p.give(out)
}

// answerParser knows as much of JSON as answers need.
type answerParser struct {
	body      []byte
	at        int // how far it is read
	bad       bool
	sequences []byte // of all records, one after the other
	list      []parsedRecord
}

// parsedRecord is what an answer says of a record.
type parsedRecord struct {
	data     []byte // in base64
	sequence int    // where its sequence number ends in sequences
	arrival  float64
}

func (p *answerParser) record() {
	var r parsedRecord
	data, sequence, arrival := 0, 0, 0
	p.object(func(member []byte) {
		switch string(member) {
		case "Data":
			data++
			r.data = p.quoted()
		case "SequenceNumber":
			sequence++
			p.sequences = append(p.sequences, p.text()...)
		case "ApproximateArrivalTimestamp":
			arrival++
			r.arrival = p.number()
			p.fail(r.arrival < 0 || r.arrival > 1<<33) // the SDK's business
		case "PartitionKey":
			p.skipText()
		case "EncryptionType":
			if !p.null() {
				p.skipText()
			}
		default:
			p.fail(true)
		}
	})
	p.fail(data != 1 || sequence != 1 || arrival != 1)
	r.sequence = len(p.sequences)
	p.list = append(p.list, r)
}

// give hands the records over, unless one cannot be decoded. Their strings and bytes are parts of one piece each.
func (p *answerParser) give(out *kinesis.GetRecordsOutput) bool {
	size := 0
	for _, r := range p.list {
		size += base64.StdEncoding.DecodedLen(len(r.data))
	}
	data := make([]byte, size)
	sequences := string(p.sequences)
	strings := make([]string, len(p.list))
	times := make([]time.Time, len(p.list))
	out.Records = make([]types.Record, len(p.list))
	begin := 0
	for i, r := range p.list {
		n, err := base64.StdEncoding.Decode(data, r.data)
		if err != nil || bytes.IndexByte(r.data, '\n') >= 0 || bytes.IndexByte(r.data, '\r') >= 0 {
			return false
		}
		strings[i] = sequences[begin:r.sequence]
		times[i] = time.UnixMilli(int64(r.arrival * 1000)).UTC() // rounded as the SDK does, since keys are made of it
		out.Records[i] = types.Record{Data: data[:n:n], SequenceNumber: &strings[i], ApproximateArrivalTimestamp: &times[i]}
		data, begin = data[n:], r.sequence
	}
	return true
}
