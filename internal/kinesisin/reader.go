package kinesisin

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
)

// Record is one Kinesis record.
type Record struct {
	Sequence string
	Arrival  time.Time
	Data     [][]byte // what it holds: one record, or those of an aggregate; none if that was dropped
}

// Batch is the answer of one call.
type Batch struct {
	Records  []Record
	Behind   time.Duration // how far the answer's end is from the shard's end
	Asked    time.Time     // when the call was made
	Seen     time.Time     // everything that arrived until then has been read
	End      bool          // the shard is closed and this was the last of it
	Children []string      // at End, where the endpoint names them
	Reserved int64         // bytes taken at the Gate, which now belong to whoever got the batch

	memory *memory // of the records
}

// Release lets the memory of the records be used for another answer. It may be called once, when nothing refers to them
// and their bytes any more, and need not be. Their sequence numbers may be kept.
func (b *Batch) Release() {
	if b.memory != nil {
		b.memory.release()
		b.memory, b.Records = nil, nil
	}
}

// CaughtUp reports whether there was nothing more to read.
func (b *Batch) CaughtUp() bool { return len(b.Records) == 0 && b.Behind == 0 }

// Request says what to read.
type Request struct {
	Shard string
	From  Position
	Seen  time.Time // everything that arrived until then has been read; zero if that is not known

	// Within, if not nil, is the shard's range of hash keys: an aggregate of which a part lies outside is dropped as a whole.
	Within *HashRange
}

// Read reads a shard and gives every answer to deliver, in order, until the shard ends (nil), ctx ends, deliver
// returns an error, which is then returned as it is, or the position has expired (*ExpiredError). deliver may block:
// nothing is read meanwhile.
func (s *Stream) Read(ctx context.Context, req Request, deliver func(context.Context, *Batch) error) error {
	r := &reader{Stream: s, shard: req.Shard, at: req.From, seen: req.Seen, within: req.Within, want: firstRead, average: firstAverage}
	for {
		iterator, err := r.iterator(ctx)
		if err != nil {
			return err
		}
		for iterator != "" {
			out, memory, err := r.get(ctx, iterator)
			if is[*types.ExpiredIteratorException](err) {
				break // waiting for memory took too long: go on behind the last record
			}
			if err != nil {
				return err
			}
			b := r.batch(out, memory)
			if err := deliver(ctx, b); err != nil {
				return err
			}
			iterator = aws.ToString(out.NextShardIterator)
			if iterator == "" {
				return nil
			}
		}
		if iterator == "" {
			return deliver(ctx, &Batch{End: true, Asked: r.called, Seen: r.seen})
		}
	}
}

// reader is the state of one Read.
type reader struct {
	*Stream
	shard  string
	at     Position
	seen   time.Time
	within *HashRange
	called time.Time // when the last call was made
	idle   bool      // it found nothing more

	want    int64 // bytes to ask for
	average int64 // bytes of a record
	taken   int64 // bytes reserved for the call
}

// How much is asked for: little where little comes, and more as long as answers are full.
const (
	firstRead    = 256 << 10
	firstAverage = 1 << 10
	maxRecords   = 10_000
	// transfer is how often an answer is in memory while it is read: as base64 text, as bytes, and what the decoder
	// leaves behind.
	transfer = 3
)

// iterator asks for a shard iterator at the position reached.
func (r *reader) iterator(ctx context.Context) (string, error) {
	if err := r.checkRetention(time.Now()); err != nil {
		return "", err
	}
	for {
		it, err := r.askIterator(ctx)
		switch {
		case err == nil:
			return it, nil
		case is[*types.ResourceNotFoundException](err):
			gone, err := r.gone(ctx)
			if err != nil {
				return "", err
			}
			if gone {
				return "", r.lost()
			}
		case is[*types.InvalidArgumentException](err):
			// The sequence number is too old to be known, or of another stream. What arrived since the shard was
			// last read to its end is still there, so nothing is between that and the oldest record left.
			if _, err := r.Describe(ctx); err != nil {
				return "", err
			}
			if r.seen.IsZero() && !r.config.AcceptLoss {
				return "", r.expired()
			}
			r.at = Horizon()
		default:
			return "", err
		}
		if err := backoff.Sleep(ctx, pauses.First); err != nil {
			return "", err
		}
	}
}

func (r *reader) askIterator(ctx context.Context) (string, error) {
	in := &kinesis.GetShardIteratorInput{ShardId: aws.String(r.shard)}
	in.StreamName, in.StreamARN = r.address()
	if err := r.at.apply(in); err != nil {
		return "", err
	}
	bySequence := r.at.Sequence != ""
	var it string
	final := func(err error) bool {
		return is[*types.ResourceNotFoundException](err) || bySequence && is[*types.InvalidArgumentException](err)
	}
	err := r.call(ctx, "get iterator", r.shard, final, func(ctx context.Context) error {
		out, err := r.config.API.GetShardIterator(ctx, in)
		if err == nil {
			it = aws.ToString(out.ShardIterator)
		}
		return err
	})
	return it, err
}

// gone reports whether the stream is there and the shard is not.
func (r *reader) gone(ctx context.Context) (bool, error) {
	if _, err := r.Describe(ctx); err != nil {
		return false, err
	}
	shards, err := r.Shards(ctx)
	return err == nil && !slices.ContainsFunc(shards, func(s Shard) bool { return s.ID == r.shard }), err
}

// errGone is what Read returns where a shard has expired as a whole and the loss is accepted.
var errGone = errors.New("shard has expired")

// IsGone reports whether Read ended because the shard has expired as a whole and Config.AcceptLoss is set.
func IsGone(err error) bool { return errors.Is(err, errGone) }

func (r *reader) lost() error {
	if r.config.AcceptLoss {
		r.logLoss()
		return errGone
	}
	return r.expired()
}

// checkRetention compares how far was read with how long records are kept.
func (r *reader) checkRetention(now time.Time) error {
	keep := r.retention()
	if r.seen.IsZero() || keep == 0 || now.Sub(r.seen) <= keep {
		return nil
	}
	if !r.config.AcceptLoss {
		return r.expired()
	}
	r.logLoss()
	r.at = Horizon()
	return nil
}

func (r *reader) logLoss() {
	r.config.Logger.Error("records may have expired unread; going on with the oldest that is left, as accepted",
		"severity", "DATALOSS", "stream", r.config.Stream, "shard", r.shard, "sequence", r.at.Sequence, "read_until", r.seen)
}

func (r *reader) expired() error {
	return &ExpiredError{Stream: r.config.Stream, Shard: r.shard, Sequence: r.at.Sequence, Since: r.seen, Retention: r.retention()}
}

// get makes the next call for records, in its time and with its memory.
func (r *reader) get(ctx context.Context, iterator string) (*kinesis.GetRecordsOutput, *memory, error) {
	gap := r.config.CallInterval
	if r.idle {
		gap = max(gap, r.config.PollInterval)
	}
	if wait := time.Until(r.called.Add(gap)); wait > 0 { // a timer that is due still costs milliseconds on a busy machine
		if err := backoff.Sleep(ctx, wait); err != nil {
			return nil, nil, err
		}
	}
	r.taken = transfer * r.want
	if err := r.config.Gate.Reserve(ctx, r.taken); err != nil {
		return nil, nil, err
	}
	m := memories.Get().(*memory)
	var out *kinesis.GetRecordsOutput
	in := &kinesis.GetRecordsInput{ShardIterator: aws.String(iterator), Limit: aws.Int32(r.limit())}
	if name, arn := r.address(); name == nil {
		in.StreamARN = arn
	}
	err := r.call(ctx, "get records", r.shard, is[*types.ExpiredIteratorException], func(ctx context.Context) error {
		r.called = time.Now()
		var err error
		out, err = r.config.API.GetRecords(ctx, in, m.use)
		return err
	})
	if err != nil {
		m.release()
		r.config.Gate.Add(-r.taken)
		return nil, nil, err
	}
	return out, m, nil
}

func (r *reader) limit() int32 {
	return int32(min(max(r.want/r.average, 1), maxRecords))
}

// batch takes an answer over.
func (r *reader) batch(out *kinesis.GetRecordsOutput, m *memory) *Batch {
	b := &Batch{
		memory:  m,
		Records: again(&m.records, len(out.Records)),
		Behind:  time.Duration(aws.ToInt64(out.MillisBehindLatest)) * time.Millisecond,
		Asked:   r.called,
		End:     aws.ToString(out.NextShardIterator) == "",
	}
	single := again(&m.single, len(out.Records)) // the records that are no aggregates
	for i := range out.Records {
		rec := &out.Records[i]
		b.Records[i] = Record{
			Sequence: aws.ToString(rec.SequenceNumber),
			Arrival:  aws.ToTime(rec.ApproximateArrivalTimestamp),
		}
		if mayBeAggregate(rec.Data) {
			var outside bool
			if b.Records[i].Data, outside = deaggregate(rec.Data, r.within); outside {
				r.config.Metrics.Outside.Inc()
			}
		} else {
			single[i] = rec.Data
			b.Records[i].Data = single[i : i+1 : i+1]
		}
		b.Reserved += int64(len(rec.Data))
	}
	for _, c := range out.ChildShards {
		b.Children = append(b.Children, aws.ToString(c.ShardId))
	}
	if n := len(b.Records); n > 0 {
		r.at = After(b.Records[n-1].Sequence)
		r.average = max(b.Reserved/int64(n), 64)
	}
	r.config.Metrics.Records.Add(float64(len(b.Records)))
	r.config.Metrics.Bytes.Add(float64(b.Reserved))
	r.config.Gate.Add(b.Reserved - r.taken)
	r.adapt(b)
	r.seen = later(r.seen, r.called.Add(-b.Behind))
	b.Seen = r.seen
	r.idle = b.Behind == 0
	return b
}

// adapt asks for more after a full answer and for less after an empty one.
func (r *reader) adapt(b *Batch) {
	switch {
	case b.Reserved*2 >= r.want:
		r.want = min(2*r.want, r.config.MaxRead)
	case len(b.Records) == 0:
		r.want = min(firstRead, r.config.MaxRead)
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
