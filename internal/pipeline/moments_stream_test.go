package pipeline_test

import (
	"context"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
)

var errKilled = errors.New("this process is dead")

// stream is Kinesis as far as the test needs it: shards of equal width, whose records are kept in the order of their
// storage together with the moment at which that was acknowledged.
type stream struct {
	bits int // there are 2^bits shards

	mu      sync.Mutex // covers everything below
	log     []stored
	clock   int64 // counts acknowledged requests and saved checkpoints
	late    []postponed
	refused int
	lost    int
	delayed int // records that came late
	packed  int // records that came in aggregates
}

// postponed happens when so many more requests have come.
type postponed struct {
	requests int
	happen   func()
}

// stored is a record in a shard. acked is 0 for one whose answer never arrived.
type stored struct {
	shard uint64
	data  string
	acked int64
}

func newStream(r *rand.Rand) *stream {
	bits := r.IntN(3)
	return &stream{bits: bits}
}

// shardOf is where Kinesis puts an entry.
func (s *stream) shardOf(e *types.PutRecordsRequestEntry) uint64 {
	var high uint64
	if e.ExplicitHashKey != nil {
		n, _ := new(big.Int).SetString(*e.ExplicitHashKey, 10)
		high = new(big.Int).Rsh(n, 64).Uint64()
	} else {
		sum := md5.Sum([]byte(*e.PartitionKey))
		high = binary.BigEndian.Uint64(sum[:8])
	}
	return high >> 32 >> (32 - s.bits)
}

// put stores the wanted entries. The answer tells of the others that they failed: throttling would slow
// the writer down.
func (s *stream) put(in []types.PutRecordsRequestEntry, wanted func(int) bool, answered bool) *kinesis.PutRecordsOutput {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock++
	out := &kinesis.PutRecordsOutput{FailedRecordCount: aws.Int32(0)}
	for i := range in {
		if !wanted(i) {
			s.refused++
			*out.FailedRecordCount++
			out.Records = append(out.Records, types.PutRecordsResultEntry{
				ErrorCode: aws.String("InternalFailure"), ErrorMessage: aws.String("made up"),
			})
			continue
		}
		shard := s.shardOf(&in[i])
		parts := kinesisin.Deaggregate(in[i].Data)
		if len(parts) > 1 {
			s.packed += len(parts)
		}
		for _, part := range parts {
			rec := stored{shard: shard, data: string(part)}
			if answered {
				rec.acked = s.clock
			} else {
				s.lost++
			}
			s.log = append(s.log, rec)
		}
		out.Records = append(out.Records, types.PutRecordsResultEntry{
			ShardId: aws.String(shardID(shard)), SequenceNumber: aws.String(strconv.Itoa(len(s.log))),
		})
	}
	return out
}

func shardID(i uint64) string { return fmt.Sprintf("shardId-%012d", i) }

// postpone lets f happen when so many more requests have come.
func (s *stream) postpone(requests int, f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.late = append(s.late, postponed{requests, f})
}

// arrive counts a request, and lets happen what was postponed.
func (s *stream) arrive() {
	s.mu.Lock()
	var due []func()
	s.late = slices.DeleteFunc(s.late, func(p postponed) bool {
		if p.requests <= 1 {
			due = append(due, p.happen)
			return true
		}
		return false
	})
	for i := range s.late {
		s.late[i].requests--
	}
	s.mu.Unlock()
	for _, happen := range due {
		happen()
	}
}

func (s *stream) countDelayed(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delayed += n
}

// end lets everything happen that is still postponed.
func (s *stream) end() {
	for len(s.late) > 0 {
		s.arrive()
	}
}

// mark is how much is stored now, and the clock.
func (s *stream) mark() (length int, clock int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock++
	return len(s.log), s.clock
}

// life is one process: the stream and the store as it sees them, until it is killed. After that nothing of it arrives
// anywhere, except a request that was on its way.
type life struct {
	s      *schedule
	cancel context.CancelCauseFunc
	killed chan struct{}

	mu    sync.Mutex // covers everything below
	r     *rand.Rand
	dead  bool
	puts  int // requests and saves until the end; 0: it is not killed by them
	saves int
}

func (l *life) kill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.die()
}

// die is kill with mu held.
func (l *life) die() {
	if !l.dead {
		l.dead = true
		close(l.killed)
		l.cancel(errKilled)
	}
}

// fate is what becomes of one request.
type fate struct {
	delay  time.Duration
	last   bool // the process is killed by it
	stored bool
	late   int // it is stored when so many requests have come of others
	answer bool
	some   func(int) bool
}

func (l *life) next() (f fate, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return f, errKilled
	}
	f = fate{stored: true, answer: true, some: func(int) bool { return true }}
	if l.r.IntN(3) == 0 {
		f.delay = time.Duration(l.r.IntN(3000)) * time.Microsecond
	}
	if l.r.Float64() < l.s.trouble {
		r := rand.New(rand.NewPCG(l.r.Uint64(), 1))
		switch l.r.IntN(5) {
		case 0:
			f.stored, f.answer = false, false
		case 1:
			f.answer = false
		case 2:
			f.stored, f.answer, f.late = false, false, 1+l.r.IntN(20)
		default:
			f.some = func(int) bool { return r.IntN(3) > 0 }
		}
	}
	if l.puts--; l.puts == 0 {
		f.last, f.answer = true, false
		switch l.r.IntN(3) {
		case 0:
			f.stored = false
		case 1:
			f.stored, f.late = false, 1+l.r.IntN(8)
		}
	}
	return f, nil
}

// PutRecords implements kinesisout.API.
func (l *life) PutRecords(ctx context.Context, in *kinesis.PutRecordsInput, _ ...func(*kinesis.Options)) (*kinesis.PutRecordsOutput, error) {
	f, err := l.next()
	if err != nil {
		return nil, err
	}
	l.s.stream.arrive()
	pause(ctx, f.delay)
	if f.late > 0 {
		entries := cloneEntries(in.Records)
		l.s.stream.postpone(f.late, func() {
			l.s.stream.put(entries, f.some, false)
			l.s.stream.countDelayed(len(entries))
		})
	}
	if f.last {
		defer l.kill()
	} else if l.isDead() {
		return nil, errKilled
	}
	if !f.stored {
		return nil, errors.New("no connection")
	}
	out := l.s.stream.put(in.Records, f.some, f.answer)
	if !f.answer {
		return nil, errors.New("no answer")
	}
	return out, nil
}

func (l *life) isDead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

func cloneEntries(in []types.PutRecordsRequestEntry) []types.PutRecordsRequestEntry {
	var out []types.PutRecordsRequestEntry
	for _, e := range in {
		e.PartitionKey = aws.String(strings.Clone(*e.PartitionKey))
		e.Data = append([]byte(nil), e.Data...)
		out = append(out, e)
	}
	return out
}

// ListShards implements kinesisout.API.
func (l *life) ListShards(context.Context, *kinesis.ListShardsInput, ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error) {
	out := &kinesis.ListShardsOutput{}
	width := new(big.Int).Lsh(big.NewInt(1), uint(128-l.s.stream.bits))
	for i := range 1 << l.s.stream.bits {
		from := new(big.Int).Mul(width, big.NewInt(int64(i)))
		to := new(big.Int).Sub(new(big.Int).Add(from, width), big.NewInt(1))
		out.Shards = append(out.Shards, types.Shard{
			ShardId:             aws.String(shardID(uint64(i))),
			HashKeyRange:        &types.HashKeyRange{StartingHashKey: aws.String(from.String()), EndingHashKey: aws.String(to.String())},
			SequenceNumberRange: &types.SequenceNumberRange{StartingSequenceNumber: aws.String("0")},
		})
	}
	return out, nil
}

// DescribeStreamSummary implements kinesisout.API.
func (l *life) DescribeStreamSummary(context.Context, *kinesis.DescribeStreamSummaryInput, ...func(*kinesis.Options)) (*kinesis.DescribeStreamSummaryOutput, error) {
	return &kinesis.DescribeStreamSummaryOutput{StreamDescriptionSummary: &types.StreamDescriptionSummary{StreamStatus: types.StreamStatusActive}}, nil
}

// lifeStore is the checkpoint store as a process sees it.
type lifeStore struct {
	checkpoint.Store
	l *life
}

// Save implements checkpoint.Store. What was saved is noted together with what the stream held before.
func (s lifeStore) Save(ctx context.Context, name string, doc []byte, rev checkpoint.Revision) (checkpoint.Revision, error) {
	l := s.l
	l.mu.Lock()
	defer l.mu.Unlock() // so that nobody can die in the middle
	if l.dead {
		return checkpoint.None, errKilled
	}
	l.saves--
	last := l.saves == 0
	if last {
		defer l.die()
		if l.r.IntN(2) == 0 {
			return checkpoint.None, errKilled
		}
	}
	length, clock := l.s.stream.mark()
	rev, err := s.Store.Save(ctx, name, doc, rev)
	if err != nil {
		return rev, err
	}
	l.s.note(moment{doc: append([]byte(nil), doc...), length: length, clock: clock})
	if last {
		return checkpoint.None, errKilled
	}
	return rev, nil
}

func pause(ctx context.Context, d time.Duration) {
	_ = backoff.Sleep(ctx, d) // an end of ctx is seen elsewhere
}
