package kinesisout

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"sync"
	"unsafe"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// wire takes the place of the SDK's JSON for PutRecords, where it costs more than everything else between Put and the
// network: bodies are written into memory that is used again, and answers are read without a copy of each string.
// Endpoint, credentials, signature and connection stay the SDK's, and so does whatever wire does not know.
//
// A wire serves one call at a time. What it gave as an answer is valid until the next call; shards and errors stay so.
type wire struct {
	smithyhttp.ClientProtocol // the SDK's own

	bodies  *sync.Pool // of *[]byte: bodies that no transport reads any more
	body    *[]byte    // of the call under way, or of one that failed
	records int        // in that body
	payload bytes.Buffer
	answer  answerReader
	texts   texts
}

// largestBody is how large a body may be to be kept for another call.
const largestBody = 2 << 20

// use makes a call go through the wire.
func (w *wire) use(o *kinesis.Options) {
	w.ClientProtocol = o.Protocol
	o.Protocol = w
}

// SerializeRequest implements smithyhttp.ClientProtocol.
func (w *wire) SerializeRequest(ctx context.Context, op *smithy.OperationSchema, in smithy.Serializable, req *smithyhttp.Request) error {
	put, ok := in.(*kinesis.PutRecordsInput)
	if !ok || put.DryRun != nil || put.StreamId != nil {
		return w.ClientProtocol.SerializeRequest(ctx, op, in, req)
	}
	w.newBody(bodySize(put))
	*w.body, w.records = w.texts.appendPutRecords(*w.body, put), len(put.Records)

	req.Method = http.MethodPost
	if req.URL.Path == "" {
		req.URL.Path = "/"
	}
	req.Header.Set("X-Amz-Target", "Kinesis_20131202.PutRecords")
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	withBody, err := req.SetStream(bytes.NewReader(*w.body))
	if err != nil {
		return fmt.Errorf("set request body: %w", err)
	}
	*req = *withBody
	return nil
}

// DeserializeResponse implements smithyhttp.ClientProtocol.
func (w *wire) DeserializeResponse(ctx context.Context, op *smithy.OperationSchema, reg *smithy.TypeRegistry, resp *smithyhttp.Response, out smithy.Deserializable) error {
	put, ok := out.(*kinesis.PutRecordsOutput)
	if !ok || resp.StatusCode != http.StatusOK {
		return w.ClientProtocol.DeserializeResponse(ctx, op, reg, resp, out)
	}
	w.payload.Reset()
	if _, err := w.payload.ReadFrom(resp.Body); err != nil {
		return &smithy.DeserializationError{Err: err}
	}
	if w.answer.read(textOf(w.payload.Bytes())) {
		put.FailedRecordCount = &w.answer.failed
		put.Records = w.answer.records
		if len(put.Records) == w.records {
			w.recycle()
		}
		return nil
	}
	resp.Body = io.NopCloser(bytes.NewReader(w.payload.Bytes()))
	return w.ClientProtocol.DeserializeResponse(ctx, op, reg, resp, out)
}

// textOf is b as a string, which changes when b does.
func textOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// newBody makes an empty body with room for n bytes. A former one that was not recycled may still be read by its
// transport, and is left alone.
func (w *wire) newBody(n int) {
	w.body, _ = w.bodies.Get().(*[]byte)
	if w.body == nil || cap(*w.body) < n {
		b := make([]byte, 0, n)
		w.body = &b
	}
	*w.body = (*w.body)[:0]
}

// recycle gives the body back. Whoever has answered for every record in it has read it to the end.
func (w *wire) recycle() {
	if cap(*w.body) <= largestBody {
		w.bodies.Put(w.body)
	}
	w.body = nil
}

// bodySize is at least what appendPutRecords appends if no string needs an escape.
func bodySize(in *kinesis.PutRecordsInput) int {
	n := 128 + len(aws.ToString(in.StreamName)) + len(aws.ToString(in.StreamARN))
	for i := range in.Records {
		e := &in.Records[i]
		n += 64 + len(aws.ToString(e.PartitionKey)) + len(aws.ToString(e.ExplicitHashKey)) + base64.StdEncoding.EncodedLen(len(e.Data))
	}
	return n
}

// appendPutRecords appends the body of a request.
func (t *texts) appendPutRecords(dst []byte, in *kinesis.PutRecordsInput) []byte {
	dst = append(dst, `{"Records":[`...)
	for records := in.Records; len(records) > 0; {
		n := t.fill(records)
		for i := range records[:n] {
			e := &records[i]
			dst = append(dst, `{"Data":"`...)
			dst = append(t.appendNext(dst, e.Data), '"')
			dst = appendMember(dst, "ExplicitHashKey", e.ExplicitHashKey)
			dst = appendMember(dst, "PartitionKey", e.PartitionKey)
			dst = append(dst, '}', ',')
		}
		if records = records[n:]; len(records) == 0 {
			dst = dst[:len(dst)-1] // no comma behind the last
		}
	}
	dst = append(dst, ']')
	dst = appendMember(dst, "StreamARN", in.StreamARN)
	dst = appendMember(dst, "StreamName", in.StreamName)
	return append(dst, '}')
}

// appendMember appends one more member of an object, unless it is nil.
func appendMember(dst []byte, name string, value *string) []byte {
	if value == nil {
		return dst
	}
	dst = append(append(append(dst, `,"`...), name...), `":"`...)
	return append(appendEscaped(dst, *value), '"')
}

// appendEscaped appends the inside of a JSON string.
func appendEscaped(dst []byte, s string) []byte {
	plain := 0 // what comes before this is appended
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[plain:i]...)
		plain = i + 1
		if c < 0x20 {
			dst = append(dst, '\\', 'u', '0', '0', '0'+c>>4, "0123456789abcdef"[c&15])
		} else {
			dst = append(dst, '\\', c)
		}
	}
	return append(dst, s[plain:]...)
}
