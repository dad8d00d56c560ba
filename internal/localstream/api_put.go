package localstream

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/binlogstreamer/binlogstreamer/internal/localstream/shardlog"
)

type putEntry struct {
	PartitionKey    *string
	ExplicitHashKey *string
	Data            []byte // nil: not given
}

// check reports what is wrong with the entry whatever stream it is for, and finds its place in the hash space.
func (e *putEntry) check() (hashKey, error) {
	if err := checkKey(e.PartitionKey); err != nil {
		return hashKey{}, err
	}
	if e.Data == nil {
		return hashKey{}, validation("Data", "not be null")
	}
	if len(e.Data) > maxRecordKiB<<10 {
		return hashKey{}, validation("Data", "have at most %d bytes, not %d", maxRecordKiB<<10, len(e.Data))
	}
	if e.ExplicitHashKey == nil {
		return hashOf(*e.PartitionKey), nil
	}
	h, err := parseHashKey(*e.ExplicitHashKey)
	if err != nil {
		return hashKey{}, invalidArgument("ExplicitHashKey: %v.", err)
	}
	return h, nil
}

// put is one record on its way to its shard.
type put struct {
	hash   hashKey
	record shardlog.Record

	shard    int // the answer
	sequence string
	err      error
}

// prepare turns entries into puts for st, or reports the first thing that is wrong with any of them.
func prepare(st *stream, entries []putEntry) ([]put, error) {
	puts := make([]put, len(entries))
	total, limit := 0, st.meta.MaxRecordKiB<<10
	for i := range entries {
		e := &entries[i]
		h, err := e.check()
		if err != nil {
			return nil, err
		}
		size := len(*e.PartitionKey) + len(e.Data)
		if size > limit {
			return nil, invalidArgument("Record %d has %d bytes of key and data; stream %s takes %d.", i, size, st.meta.Name, limit)
		}
		total += size
		puts[i] = put{hash: h, record: shardlog.Record{Key: []byte(*e.PartitionKey), Data: e.Data}}
	}
	if total > maxPutBytes {
		return nil, invalidArgument("The records have %d bytes of keys and data; a request may have %d.", total, maxPutBytes)
	}
	return puts, nil
}

// storeAll stores the puts, those of one shard in their order, and fills in the answers. It follows a change of shards
// that comes in between.
func (a *api) storeAll(ctx context.Context, name string, puts []put) {
	pending := make([]int, len(puts))
	for i := range pending {
		pending[i] = i
	}
	for len(pending) > 0 {
		st, err := a.store.lookup(name)
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			for _, i := range pending {
				puts[i].err = err
			}
			return
		}
		pending = a.storeOnce(st, puts, pending)
		if len(pending) == 0 {
			return
		}
		if err := a.store.settled(); err != nil {
			for _, i := range pending {
				puts[i].err = err
			}
			return
		}
	}
}

// storeOnce tries with the shards as st has them and returns the indices of those puts whose shard was just closed.
func (a *api) storeOnce(st *stream, puts []put, pending []int) (again []int) {
	groups := map[*shard][]int{}
	for _, i := range pending {
		sh := st.shardFor(puts[i].hash)
		groups[sh] = append(groups[sh], i)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex // covers again
	for sh, group := range groups {
		appendGroup := func() {
			if a.appendTo(st, sh, puts, group) {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			again = append(again, group...)
		}
		if len(groups) == 1 {
			appendGroup()
		} else {
			wg.Go(appendGroup)
		}
	}
	wg.Wait()
	slices.Sort(again)
	return again
}

// appendTo appends the puts of one shard. It returns false, and has done nothing, if the shard was just closed.
func (a *api) appendTo(st *stream, sh *shard, puts []put, group []int) bool {
	records := make([]shardlog.Record, len(group))
	for n, i := range group {
		records[n] = puts[i].record
	}
	first, err := sh.log.Append(records)
	if errors.Is(err, shardlog.ErrSealed) {
		return false
	}
	if errors.Is(err, shardlog.ErrClosed) { // the stream was deleted, or the server is ending
		if _, e := a.store.lookup(st.meta.Name); e != nil {
			err = e
		}
	}
	for n, i := range group {
		puts[i].shard, puts[i].err = sh.meta.Number, err
		if err == nil {
			puts[i].sequence = st.sequence(sh, first+uint64(n))
		}
	}
	return true
}

type putRecordIn struct {
	streamRef
	putEntry
	SequenceNumberForOrdering *string
	DryRun                    bool
}

type putOut struct {
	ShardId        string `json:",omitempty"`
	SequenceNumber string `json:",omitempty"`
	ErrorCode      string `json:",omitempty"`
	ErrorMessage   string `json:",omitempty"`
	EncryptionType string `json:",omitempty"`
}

func (a *api) putRecord(ctx context.Context, in *putRecordIn) (any, error) {
	st, err := a.stream(in.streamRef)
	if err != nil {
		return nil, err
	}
	puts, err := prepare(st, []putEntry{in.putEntry})
	if err != nil {
		return nil, err
	}
	if s := in.SequenceNumberForOrdering; s != nil { // our numbers always go up, so that it is valid is all that matters
		if seq, ok := parseSequence(*s); !ok || seq.stream != st.meta.Created {
			return nil, invalidArgument("SequenceNumberForOrdering %s did not come from stream %s.", *s, st.meta.Name)
		}
	}
	if in.DryRun {
		return nil, dryRun()
	}
	a.storeAll(ctx, st.meta.Name, puts)
	if puts[0].err != nil {
		return nil, puts[0].err
	}
	return putOut{ShardId: shardID(puts[0].shard), SequenceNumber: puts[0].sequence, EncryptionType: "NONE"}, nil
}

// dryRun is the answer for a request that would have been done.
func dryRun() error {
	return fault("DryRunOperationException", "The request would have succeeded, but DryRun is set.")
}

type putRecordsIn struct {
	streamRef
	Records []putEntry
	DryRun  bool
}

type putRecordsOut struct {
	FailedRecordCount int
	Records           []putOut
	EncryptionType    string
}

func (a *api) putRecords(ctx context.Context, in *putRecordsIn) (any, error) {
	if n := len(in.Records); n < 1 || n > maxPutRecords {
		return nil, validation("Records", "have 1 to %d members, not %d", maxPutRecords, n)
	}
	st, err := a.stream(in.streamRef)
	if err != nil {
		return nil, err
	}
	puts, err := prepare(st, in.Records)
	if err != nil {
		return nil, err
	}
	if in.DryRun {
		return nil, dryRun()
	}
	a.storeAll(ctx, st.meta.Name, puts)
	out := putRecordsOut{Records: make([]putOut, len(puts)), EncryptionType: "NONE"}
	for i, p := range puts {
		if p.err == nil {
			out.Records[i] = putOut{ShardId: shardID(p.shard), SequenceNumber: p.sequence}
			continue
		}
		out.FailedRecordCount++
		out.Records[i] = putOut{ErrorCode: "InternalFailure", ErrorMessage: p.err.Error()}
	}
	if out.FailedRecordCount == len(puts) { // one answer for all, which the SDKs try again by themselves
		return nil, puts[0].err
	}
	return out, nil
}
