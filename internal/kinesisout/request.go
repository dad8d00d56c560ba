package kinesisout

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// request is one PutRecords call with records of one or more lanes, and its memory, which is used again for the next one.
// The lanes in it are its own until it is settled.
type request struct {
	w     *Writer
	lanes []*lane // whose batches it holds, one behind the other
	bytes int     // as of Config.MaxRequestBytes
	count int     // of records
	full  bool    // a lane had more than it has room for
	begun time.Time

	entries []types.PutRecordsRequestEntry
	keys    []string
	scratch []byte // memory of aggregates
	wire    wire
}

func newRequest(w *Writer) *request { return &request{w: w, wire: wire{bodies: &w.bodies}} }

// reset makes it empty.
func (r *request) reset() {
	clear(r.lanes)
	r.lanes, r.bytes, r.count, r.full = r.lanes[:0], 0, 0, false
}

// rest is what there is room for.
func (r *request) rest() room {
	return room{records: MaxRecordsPerRequest - r.count, bytes: r.w.cfg.MaxRequestBytes - r.bytes}
}

// closed says that no other lane may join it.
func (r *request) closed() bool { return r.full || len(r.lanes) > 0 && r.lanes[0].suspect }

// add takes the batch of a lane.
func (r *request) add(l *lane) {
	r.lanes = append(r.lanes, l)
	r.count += len(l.batch)
	for _, it := range l.batch {
		r.bytes += it.wireSize()
	}
	if rest := r.rest(); rest.records <= 0 || rest.bytes <= 0 {
		r.full = true
	}
}

// send makes the call, and deals with its answer: each lane with its own part. The error is one that ends the Writer.
func (r *request) send(ctx context.Context) (fault error) {
	answers, err := r.call(ctx)
	if err != nil && ctx.Err() == nil { // if we were cut off, the stream is not to blame
		r.w.metrics.failures.Inc()
	}
	now := time.Now()
	var sum tally
	for _, l := range r.lanes {
		var took tally
		var pause time.Duration
		var fatal error
		if err != nil {
			pause, fatal = l.failed(ctx, now, err)
		} else {
			n := len(l.batch)
			took, pause, fatal = l.answered(now, answers[:n])
			answers = answers[n:]
		}
		l.until = now.Add(pause)
		sum = sum.plus(took)
		fault = cmp.Or(fault, fatal)
	}
	r.w.settled(sum)
	return fault
}

// call makes the request and gives the answers to its records.
func (r *request) call(ctx context.Context) ([]types.PutRecordsResultEntry, error) {
	w := r.w
	ctx, cancel := context.WithTimeout(ctx, w.cfg.CallTimeout)
	defer cancel()
	begun := time.Now()
	out, err := w.cfg.API.PutRecords(ctx, &kinesis.PutRecordsInput{
		StreamName: w.cfg.name(), StreamARN: w.cfg.arn(), Records: r.records(),
	}, r.wire.use)
	w.metrics.latency.Observe(time.Since(begun).Seconds())
	if err != nil {
		return nil, err
	}
	if len(out.Records) != r.count {
		return nil, fmt.Errorf("the answer tells of %d records, %d were sent", len(out.Records), r.count)
	}
	return out.Records, nil
}

// records makes the entries. Data and keys are the queues' memory.
func (r *request) records() []types.PutRecordsRequestEntry {
	clear(r.entries)
	r.entries = slices.Grow(r.entries[:0], r.count)
	r.keys = slices.Grow(r.keys[:0], r.count) // it must not move while entries point into it
	packs, resent := r.packs(), 0
	for _, l := range r.lanes {
		for _, it := range l.batch {
			resent += it.attempt()
			r.keys = append(r.keys, textOf(it.key()))
			entry := types.PutRecordsRequestEntry{Data: it.data(), PartitionKey: &r.keys[len(r.keys)-1]}
			if it.packed != nil {
				mark := len(packs)
				packs = appendAggregate(packs, it)
				entry.Data = packs[mark:]
			}
			if it.hashKey != "" {
				entry.ExplicitHashKey = aws.String(it.hashKey)
			}
			r.entries = append(r.entries, entry)
		}
	}
	r.w.metrics.resent.Add(float64(resent))
	return r.entries
}
