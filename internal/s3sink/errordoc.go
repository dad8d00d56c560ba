package s3sink

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// processingFailed is the error output type of records from which no partition can be made.
const processingFailed = "processing-failed"

// errorDocument is what Firehose stores of a record that it cannot process: a line of JSON. There is one attempt, as
// every other would end alike, and it ends when the record arrives, so that the document follows from the record alone.
type errorDocument struct {
	Attempts int    `json:"attemptsMade"`
	Arrival  int64  `json:"arrivalTimestamp"` // milliseconds since 1970
	Code     string `json:"errorCode"`
	Message  string `json:"errorMessage"`
	Ending   int64  `json:"attemptEndingTimestamp"`
	Data     []byte `json:"rawData"` // base64
	Sequence string `json:"sequenceNumber"`
}

// writeError writes the document of a record without a partition.
func (r *Run) writeError(w io.Writer, e *entry, data []byte) error {
	doc := errorDocument{Attempts: 1, Arrival: e.arrival.UnixMilli(), Ending: e.arrival.UnixMilli(), Data: data, Sequence: e.sequence}
	why := r.failure(e, data)
	doc.Code, doc.Message = why.code, clip(why.message)
	text, err := json.Marshal(&doc)
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// maxMessage is the most bytes of a message. A query can make one of any length.
const maxMessage = 1024

func clip(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	return strings.ToValidUTF8(s[:maxMessage], "") + "…"
}

// failure is why a record has no partition.
func (r *Run) failure(e *entry, data []byte) *failure {
	p := r.layout.partition(data, e.arrival)
	if p.failure != nil {
		return p.failure
	}
	sequence, arrival := r.First()
	_, err := r.layout.key(start{Chain{}, r.version, sequence, arrival}, &p)
	if why, ok := errors.AsType[*failure](err); ok {
		return why
	}
	return &failure{codePrefix, "the evaluated prefix cannot be used"}
}
