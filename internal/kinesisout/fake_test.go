package kinesisout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"go.uber.org/goleak"

	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fault is what goes wrong with one PutRecords call.
type fault struct {
	delay  time.Duration                         // before anything else happens
	err    error                                 // nothing is stored
	lost   bool                                  // everything is stored, and the answer never comes
	cut    int                                   // so many answers are missing
	refuse func(i int, key string) (code string) // "" stores the record
	after  func(out *kinesis.PutRecordsOutput)   // last word on the answer
}

// stored is a record in the fake.
type stored struct {
	key, data, shard string
	explicit         bool
	packed           bool // it was part of an aggregate
}

type fakeShard struct {
	id       string
	from, to *big.Int
	open     bool
	parents  []string
}

// fakeKinesis keeps records in memory, divides its hash range as Kinesis does, and lets tests break things. It checks
// every request against the Writer's promises.
type fakeKinesis struct {
	t        *testing.T
	ledger   *ledger
	plan     func(call int, in *kinesis.PutRecordsInput) fault
	listErr  func(call int) error
	summary  types.StreamDescriptionSummary
	describe func(call int) error
	pageSize int
	stale    int // so many listings still tell what was before the last change

	mu        sync.Mutex
	shards    []*fakeShard
	before    []*fakeShard
	records   []stored
	calls     int
	lists     int
	describes int
	sizes     []int
	faults    []string
	under     map[string]bool // keys of which a record is on its way
}

func newFake(t *testing.T, shards int) *fakeKinesis {
	f := &fakeKinesis{t: t, ledger: newLedger(), pageSize: 1000, under: make(map[string]bool)}
	f.summary.StreamStatus = types.StreamStatusActive
	width := new(big.Int).Div(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(int64(shards)))
	for i := range shards {
		from := new(big.Int).Mul(width, big.NewInt(int64(i)))
		to := new(big.Int).Sub(new(big.Int).Add(from, width), big.NewInt(1))
		if i == shards-1 {
			to = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1))
		}
		f.add(from, to)
	}
	return f
}

func (f *fakeKinesis) add(from, to *big.Int, parents ...string) *fakeShard {
	s := &fakeShard{id: fmt.Sprintf("shardId-%012d", len(f.shards)), from: from, to: to, open: true, parents: parents}
	f.shards = append(f.shards, s)
	return s
}

// change prepares a reshard: listings may go on telling the old state.
func (f *fakeKinesis) change() {
	f.before = nil
	for _, s := range f.shards {
		c := *s
		f.before = append(f.before, &c)
	}
}

// split splits the open shard with this index, if it can be.
func (f *fakeKinesis) split(i int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	open := f.open()
	s := open[i%len(open)]
	if new(big.Int).Sub(s.to, s.from).BitLen() < 2 {
		return
	}
	f.change()
	s.open = false
	middle := new(big.Int).Rsh(new(big.Int).Add(s.from, s.to), 1)
	f.add(s.from, middle, s.id)
	f.add(new(big.Int).Add(middle, big.NewInt(1)), s.to, s.id)
}

// merge merges two open neighbours.
func (f *fakeKinesis) merge(i int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	open := f.open()
	for j := range open {
		a := open[(i+j)%len(open)]
		for _, b := range open {
			if new(big.Int).Sub(b.from, a.to).Cmp(big.NewInt(1)) == 0 {
				f.change()
				a.open, b.open = false, false
				f.add(a.from, b.to, a.id, b.id)
				return
			}
		}
	}
}

func (f *fakeKinesis) open() (open []*fakeShard) {
	for _, s := range f.shards {
		if s.open {
			open = append(open, s)
		}
	}
	return open
}

func (f *fakeKinesis) complain(format string, args ...any) {
	if len(f.faults) < 10 {
		f.faults = append(f.faults, fmt.Sprintf(format, args...))
	}
}

func (f *fakeKinesis) PutRecords(ctx context.Context, in *kinesis.PutRecordsInput, _ ...func(*kinesis.Options)) (*kinesis.PutRecordsOutput, error) {
	f.mu.Lock()
	f.calls++
	var broken fault
	call := f.calls
	f.inspect(in)
	f.mu.Unlock()
	defer f.leave(in)
	if f.plan != nil {
		broken = f.plan(call, in)
	}
	if broken.delay > 0 {
		select {
		case <-time.After(broken.delay):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if broken.err != nil {
		return nil, broken.err
	}
	out := f.store(in, broken.refuse)
	if broken.lost {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if broken.after != nil {
		broken.after(out)
	}
	out.Records = out.Records[:len(out.Records)-broken.cut]
	return out, nil
}

// inspect holds a request against the promises.
func (f *fakeKinesis) inspect(in *kinesis.PutRecordsInput) {
	keys := make(map[string]bool)
	size := 0
	for _, e := range in.Records {
		key := *e.PartitionKey
		if keys[key] && e.ExplicitHashKey == nil {
			f.complain("a request has two records of key %q", key)
		}
		keys[key] = true
		size += len(key) + len(e.Data)
		if e.ExplicitHashKey == nil {
			f.inspectEntry(key, e.Data)
			if f.under[key] {
				f.complain("two requests with key %q are under way", key)
			}
		}
	}
	for _, e := range in.Records {
		if e.ExplicitHashKey == nil {
			f.under[strings.Clone(*e.PartitionKey)] = true
		}
	}
	f.sizes = append(f.sizes, size)
	if len(in.Records) > MaxRecordsPerRequest {
		f.complain("a request has %d records", len(in.Records))
	}
}

// leave notes that a request is not under way any more.
func (f *fakeKinesis) leave(in *kinesis.PutRecordsInput) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range in.Records {
		if e.ExplicitHashKey == nil {
			delete(f.under, *e.PartitionKey)
		}
	}
}

// inspectEntry holds the records of one entry, which may be an aggregate, against the promises: those before the first
// are acknowledged, and the others follow it without a gap.
func (f *fakeKinesis) inspectEntry(key string, data []byte) {
	parts := kinesisin.Deaggregate(data)
	first := string(parts[0])
	if n := f.ledger.unackedBefore(key, first); n > 0 {
		f.complain("record %.20q of key %q is sent while %d before it are not acknowledged", first, key, n)
	}
	for i, part := range parts {
		if n := f.ledger.unackedBefore(key, string(part)); n != i {
			f.complain("record %d of an aggregate of key %q has %d before it that are not acknowledged", i, key, n)
		}
	}
}

func (f *fakeKinesis) store(in *kinesis.PutRecordsInput, refuse func(int, string) string) *kinesis.PutRecordsOutput {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := &kinesis.PutRecordsOutput{FailedRecordCount: aws.Int32(0)}
	for i, e := range in.Records {
		if refuse != nil {
			if code := refuse(i, *e.PartitionKey); code != "" {
				out.Records = append(out.Records, types.PutRecordsResultEntry{ErrorCode: &code, ErrorMessage: aws.String("made up")})
				*out.FailedRecordCount++
				continue
			}
		}
		place := placeOf(e)
		var shard string
		for _, s := range f.open() {
			if s.from.Cmp(place) <= 0 && place.Cmp(s.to) <= 0 {
				shard = s.id
			}
		}
		parts := kinesisin.Deaggregate(e.Data)
		for _, part := range parts {
			f.records = append(f.records, stored{strings.Clone(*e.PartitionKey), string(part), shard, e.ExplicitHashKey != nil, len(parts) > 1})
		}
		out.Records = append(out.Records, types.PutRecordsResultEntry{
			SequenceNumber: aws.String(strconv.Itoa(len(f.records))), ShardId: aws.String(shard),
		})
	}
	return out
}

func placeOf(e types.PutRecordsRequestEntry) *big.Int {
	place := new(big.Int)
	if e.ExplicitHashKey != nil {
		place.SetString(*e.ExplicitHashKey, 10)
		return place
	}
	h := hashOf([]byte(*e.PartitionKey))
	return place.Add(new(big.Int).Lsh(new(big.Int).SetUint64(h.hi), 64), new(big.Int).SetUint64(h.lo))
}

func (f *fakeKinesis) ListShards(_ context.Context, in *kinesis.ListShardsInput, _ ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lists++
	if f.listErr != nil {
		if err := f.listErr(f.lists); err != nil {
			return nil, err
		}
	}
	if in.NextToken != nil && (in.StreamName != nil || in.StreamARN != nil) {
		return nil, errors.New("a token and a stream's name do not go together")
	}
	shards := f.shards
	if f.stale > 0 && f.before != nil {
		f.stale--
		shards = f.before
	}
	from := 0
	if in.NextToken != nil {
		from, _ = strconv.Atoi(*in.NextToken)
	}
	out := &kinesis.ListShardsOutput{}
	for i, s := range shards[from:] {
		if i == f.pageSize {
			out.NextToken = aws.String(strconv.Itoa(from + i))
			break
		}
		listed := types.Shard{
			ShardId:             aws.String(s.id),
			HashKeyRange:        &types.HashKeyRange{StartingHashKey: aws.String(s.from.String()), EndingHashKey: aws.String(s.to.String())},
			SequenceNumberRange: &types.SequenceNumberRange{StartingSequenceNumber: aws.String("1")},
		}
		if !s.open {
			listed.SequenceNumberRange.EndingSequenceNumber = aws.String("2")
		}
		if len(s.parents) > 0 {
			listed.ParentShardId = aws.String(s.parents[0])
		}
		if len(s.parents) > 1 {
			listed.AdjacentParentShardId = aws.String(s.parents[1])
		}
		out.Shards = append(out.Shards, listed)
	}
	return out, nil
}

func (f *fakeKinesis) DescribeStreamSummary(context.Context, *kinesis.DescribeStreamSummaryInput, ...func(*kinesis.Options)) (*kinesis.DescribeStreamSummaryOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.describes++
	if f.describe != nil {
		if err := f.describe(f.describes); err != nil {
			return nil, err
		}
	}
	summary := f.summary
	return &kinesis.DescribeStreamSummaryOutput{StreamDescriptionSummary: &summary}, nil
}

// ledger knows what was Put and what was acknowledged, and is the Ack of every record.
type ledger struct {
	mu    sync.Mutex
	seqs  map[string][]uint64 // of each key, in the order of Puts
	acks  map[uint64]int
	next  uint64
	total int
}

func newLedger() *ledger {
	return &ledger{seqs: make(map[string][]uint64), acks: make(map[uint64]int)}
}

// record makes the next record of a key; its data begin with its number.
func (l *ledger) record(key string, padding int) Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	l.seqs[key] = append(l.seqs[key], l.next)
	data := append(strconv.AppendUint(nil, l.next, 10), '/')
	return Record{Key: []byte(key), Data: append(data, bytes.Repeat([]byte{'x'}, padding)...), Seq: l.next, Ack: l}
}

func (l *ledger) Acked(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acks[seq]++
	l.total++
}

func seqOf(data string) uint64 {
	number, _, _ := strings.Cut(data, "/")
	seq, _ := strconv.ParseUint(number, 10, 64)
	return seq
}

// unackedBefore counts the records of the key that were Put before this one and are not acknowledged.
func (l *ledger) unackedBefore(key, data string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seq := seqOf(data)
	for _, s := range l.seqs[key] {
		if s >= seq {
			break
		}
		if l.acks[s] == 0 {
			n++
		}
	}
	return n
}

// verify checks that everything is acknowledged once and stored in order; it returns how many records were stored
// more than once.
func (f *fakeKinesis) verify() (doubled int, faults []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ledger.mu.Lock()
	defer f.ledger.mu.Unlock()
	for seq := uint64(1); seq <= f.ledger.next; seq++ {
		if n := f.ledger.acks[seq]; n != 1 {
			f.complain("record %d was acknowledged %d times", seq, n)
		}
	}
	newest := make(map[string]uint64)
	last := make(map[string]uint64)
	times := make(map[uint64]int)
	for _, r := range f.records {
		if r.explicit {
			continue
		}
		seq := seqOf(r.data)
		if times[seq]++; times[seq] > 1 {
			doubled++
		}
		last[r.key] = seq
		if seq < newest[r.key] && !(r.packed && times[seq] > 1) { // an aggregate is repeated whole
			f.complain("key %q: record %d is stored after record %d", r.key, seq, newest[r.key])
		}
		newest[r.key] = max(newest[r.key], seq)
	}
	for key, seq := range last {
		if seq != newest[key] {
			f.complain("the last record of key %q is %d, and not %d", key, seq, newest[key])
		}
	}
	if len(times) != int(f.ledger.next) {
		f.complain("%d of %d records are stored", len(times), f.ledger.next)
	}
	return doubled, f.faults
}

func (f *fakeKinesis) mustHold() (doubled int) {
	f.t.Helper()
	doubled, faults := f.verify()
	for _, s := range faults {
		f.t.Error(s)
	}
	return doubled
}
