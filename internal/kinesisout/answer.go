package kinesisout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// barrenTooLong is how many requests in a row may be refused whole before it is told as trouble.
const barrenTooLong = 10

// failed deals with a request that has no answer, or one for the whole of it. Everything is sent again: what was
// stored although we were not told is stored twice. Unless there were too many requests, the next one has nothing of other
// lanes: should what failed be this lane's doing, they do not fail with it again.
func (l *lane) failed(ctx context.Context, now time.Time, err error) (pause time.Duration, _ error) {
	l.took = l.took[:0]
	for _, it := range l.batch {
		l.took = append(l.took, false)
		l.pace.sent(now, it.wireSize(), 1) // it may have been
	}
	l.settle(now)
	if ctx.Err() != nil {
		return 0, nil // we were cut off; the stream is not to blame
	}
	l.barren++
	v, code, hint := classifyCall(err)
	l.suspect = v != throttled
	switch v {
	case fatal:
		return 0, &Error{Step: stepPut, Stream: l.w.cfg.stream(), Code: code, Hint: hint, Err: err}
	case throttled:
		l.w.metrics.throttled.WithLabelValues(l.shard.id).Add(float64(len(l.batch)))
		l.wasThrottled(now)
	case missing:
		l.w.lookAgain() // whoever lists the shards finds out whether the stream is gone
	}
	if v != throttled || l.barren >= barrenTooLong {
		l.w.trouble.PartFailing(l.shard.id, errors.New(short(err)))
	}
	return l.pause(), nil
}

// answered deals with the answers to the records of its batch, and says what the stream took.
func (l *lane) answered(now time.Time, answers []types.PutRecordsResultEntry) (took tally, pause time.Duration, fault error) {
	l.suspect = false
	l.took = l.took[:0]
	refused, slow := -1, false // index of the last one; a shard is at its limit
	for i := range answers {
		v, hint := judge(&answers[i])
		l.took = append(l.took, v == accepted)
		if v != accepted {
			refused = i
		}
		switch v {
		case accepted:
			l.stored(l.batch[i], aws.ToString(answers[i].ShardId))
		case throttled:
			l.w.metrics.throttled.WithLabelValues(l.shard.id).Inc()
			slow = true
		case missing:
			l.w.lookAgain()
		case fatal:
			fault = &Error{
				Step: stepPut, Stream: l.w.cfg.stream(), Code: aws.ToString(answers[i].ErrorCode), Hint: hint,
				Err: fmt.Errorf("a record was refused: %s", describeRefusal(&answers[i])),
			}
		}
	}
	took = l.settle(now)
	if slow {
		l.wasThrottled(now)
	}
	if fault != nil {
		return took, 0, fault
	}
	return took, l.paceAfter(took.records > 0, refused, answers), nil
}

// judge reads the answer to one record.
func judge(e *types.PutRecordsResultEntry) (v verdict, hint string) {
	if code := aws.ToString(e.ErrorCode); code != "" {
		return classify(code, aws.ToString(e.ErrorMessage))
	}
	if aws.ToString(e.SequenceNumber) == "" {
		return again, "" // neither taken nor refused
	}
	return accepted, ""
}

func describeRefusal(e *types.PutRecordsResultEntry) string {
	return aws.ToString(e.ErrorCode) + ": " + aws.ToString(e.ErrorMessage)
}

// stored notes where an accepted record went. Another shard than the lane's means that the shards have changed.
func (l *lane) stored(it *item, shardID string) {
	if shardID == "" {
		shardID = l.shard.id
	} else if shardID != l.shard.id {
		l.w.lookAgain()
	}
	if it.fence != nil {
		it.fence.stored(shardID)
	}
}

// paceAfter says how long to wait after a request of which some, all, or none was accepted.
func (l *lane) paceAfter(progress bool, refused int, answers []types.PutRecordsResultEntry) time.Duration {
	if progress {
		l.barren = 0
		l.attempt = 0
		l.w.trouble.PartWorking(l.shard.id)
	} else if l.barren++; l.barren >= barrenTooLong {
		l.w.trouble.PartFailing(l.shard.id, errors.New(describeRefusal(&answers[refused])))
	}
	if refused < 0 {
		return 0
	}
	return l.pause()
}

// tally counts accepted records.
type tally struct {
	records, aggregates int
	bytes               int // data and partition keys
	weight              int // as of the budget
}

func (t tally) plus(o tally) tally {
	return tally{t.records + o.records, t.aggregates + o.aggregates, t.bytes + o.bytes, t.weight + o.weight}
}

// settle acknowledges the accepted records of the batch and puts the others back, to be sent before any later record
// of their keys.
func (l *lane) settle(now time.Time) (took tally) {
	entries := 0
	for i, it := range l.batch {
		if !l.took[i] {
			continue
		}
		for part := range it.records {
			if part.ack != nil {
				part.ack.Acked(part.seq)
			}
			took.records++
			took.weight += part.weight()
		}
		entries++
		took.bytes += it.wireSize()
		if it.packed != nil {
			took.aggregates++
		}
	}

	l.mu.Lock()
	for i, it := range l.batch {
		if l.took[i] {
			l.queue.settle(it)
		} else {
			l.queue.refuse(it)
		}
	}
	l.mu.Unlock()

	for i, it := range l.batch {
		if l.took[i] {
			l.w.recycle(it)
		}
		l.batch[i] = nil
	}
	if entries > 0 {
		l.pace.sent(now, took.bytes, entries)
	}
	return took
}

// settled counts what was settled, and gives its room in the queue back.
func (w *Writer) settled(t tally) {
	if t.records == 0 {
		return
	}
	w.metrics.records.Add(float64(t.records))
	w.metrics.bytes.Add(float64(t.bytes))
	w.metrics.aggregates.Add(float64(t.aggregates))
	w.budget.give(t.weight, t.records)
}
