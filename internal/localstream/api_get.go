package localstream

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/binlogstreamer/binlogstreamer/internal/localstream/shardlog"
)

type getShardIteratorIn struct {
	streamRef
	ShardId                *string
	ShardIteratorType      string
	StartingSequenceNumber *string
	Timestamp              *float64
	DryRun                 bool
}

type getShardIteratorOut struct {
	ShardIterator string
}

func (a *api) getShardIterator(_ context.Context, in *getShardIteratorIn) (any, error) {
	if err := needed("ShardId", in.ShardId); err != nil {
		return nil, err
	}
	st, err := a.stream(in.streamRef)
	if err != nil {
		return nil, err
	}
	sh, err := st.byID(*in.ShardId)
	if err != nil {
		return nil, err
	}
	c, err := a.start(st, sh, in)
	if err != nil {
		return nil, err
	}
	if in.DryRun {
		return nil, dryRun()
	}
	return getShardIteratorOut{a.iterator(st, sh, c)}, nil
}

func (a *api) iterator(st *stream, sh *shard, c shardlog.Cursor) string {
	return encodeToken(iterator{Issued: a.store.now().UnixMilli(), Stream: st.meta.Name, Created: st.meta.Created,
		Shard: sh.meta.Number, Cursor: c})
}

// start finds the record that an iterator of the given type begins with.
func (a *api) start(st *stream, sh *shard, in *getShardIteratorIn) (shardlog.Cursor, error) {
	none := shardlog.Cursor{}
	bySequence := in.ShardIteratorType == "AT_SEQUENCE_NUMBER" || in.ShardIteratorType == "AFTER_SEQUENCE_NUMBER"
	if bySequence != (in.StartingSequenceNumber != nil) {
		return none, invalidArgument("StartingSequenceNumber belongs to AT_SEQUENCE_NUMBER and AFTER_SEQUENCE_NUMBER and to no other type.")
	}
	if (in.ShardIteratorType == "AT_TIMESTAMP") != (in.Timestamp != nil) {
		return none, invalidArgument("Timestamp belongs to AT_TIMESTAMP and to no other type.")
	}
	switch in.ShardIteratorType {
	case "TRIM_HORIZON":
		return shardlog.Cursor{Counter: sh.log.Bounds().First}, nil
	case "LATEST":
		return shardlog.Cursor{Counter: sh.log.Bounds().Next}, nil
	case "AT_TIMESTAMP":
		if t, now := milli(*in.Timestamp), a.store.now().UnixMilli(); t > now {
			return none, invalidArgument("Timestamp %d is after the current time %d (in milliseconds).", t, now)
		}
		return sh.log.SeekTime(milli(*in.Timestamp))
	case "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER":
		counter, err := bySequenceNumber(st, sh, *in.StartingSequenceNumber, in.ShardIteratorType == "AFTER_SEQUENCE_NUMBER")
		return shardlog.Cursor{Counter: counter}, err
	}
	return none, validation("ShardIteratorType", "be one of AT_SEQUENCE_NUMBER, AFTER_SEQUENCE_NUMBER, TRIM_HORIZON, LATEST, "+
		"AT_TIMESTAMP, not %q", in.ShardIteratorType)
}

// bySequenceNumber returns the counter of the record to start with. A place from which records have expired already
// is refused: their loss must not pass in silence.
func bySequenceNumber(st *stream, sh *shard, text string, after bool) (uint64, error) {
	seq, ok := parseSequence(text)
	if !ok {
		return 0, invalidArgument("StartingSequenceNumber %s is not a sequence number of an embedded stream.", text)
	}
	if seq.stream != st.meta.Created {
		return 0, invalidArgument("StartingSequenceNumber %s is invalid because it did not come from this stream.", text)
	}
	if seq.shard != sh.meta.Number {
		return 0, invalidArgument("StartingSequenceNumber %s belongs to shard %s, not %s.", text, shardID(seq.shard), shardID(sh.meta.Number))
	}
	b := sh.log.Bounds()
	last := b.Next // the end of a closed shard has a number, too
	if sh.meta.open() {
		last = b.Next - 1
	}
	if seq.counter > last {
		return 0, invalidArgument("StartingSequenceNumber %s is above the newest one in shard %s: the stream's files are older "+
			"than what the number comes from.", text, shardID(sh.meta.Number))
	}
	counter := max(seq.counter, 1) // a shard's own starting number stands before its first record
	if after && seq.counter > 0 {
		counter = seq.counter + 1
	}
	counter = min(counter, b.Next)
	if counter < b.First {
		return 0, invalidArgument("StartingSequenceNumber %s is past the retention period: shard %s now begins with %s.",
			text, shardID(sh.meta.Number), st.sequence(sh, b.First))
	}
	return counter, nil
}

type getRecordsIn struct {
	ShardIterator *string
	StreamARN     *string
	Limit         *int
	DryRun        bool
}

func (a *api) getRecords(ctx context.Context, in *getRecordsIn) (any, error) {
	limit, err := within("Limit", in.Limit, 1, maxGetRecords, maxGetRecords)
	if err != nil {
		if *in.Limit > maxGetRecords {
			err = invalidArgument("Limit has to be at most %d, not %d.", maxGetRecords, *in.Limit)
		}
		return nil, err
	}
	it, st, sh, err := a.resolve(in)
	if err != nil {
		return nil, err
	}
	if in.DryRun {
		return nil, dryRun()
	}
	release := func() {}
	if it.Cursor.Counter < sh.log.Bounds().Next { // an empty answer, the usual one, needs no wait
		if release, err = a.reads.reserve(ctx, min(sh.log.Size(), maxGetBytes)); err != nil {
			return nil, err
		}
	}
	records, next, err := sh.log.Read(it.Cursor, limit, maxGetBytes)
	if err != nil {
		release()
		return nil, a.readFailed(st, sh, err)
	}
	out := &getRecordsOut{st: st, sh: sh, records: records, done: release, behind: behind(sh, records, next, a.store.now().UnixMilli())}
	if !sh.meta.open() && next.Counter == sh.meta.End {
		out.children = st.children(sh.meta.Number)
	} else {
		out.next = a.iterator(st, sh, next)
	}
	return out, nil
}

// resolve reads an iterator and finds what it means.
func (a *api) resolve(in *getRecordsIn) (it iterator, st *stream, sh *shard, err error) {
	if err := needed("ShardIterator", in.ShardIterator); err != nil {
		return it, nil, nil, err
	}
	if err := decodeToken(*in.ShardIterator, &it); err != nil {
		return it, nil, nil, invalidArgument("Invalid ShardIterator: %v.", err)
	}
	if age := a.store.now().UnixMilli() - it.Issued; age > tokenLife.Milliseconds() {
		return it, nil, nil, fault("ExpiredIteratorException", "The iterator is %d s old; it was good for %s.", age/1000, tokenLife)
	}
	st, err = a.store.lookup(it.Stream)
	if err != nil {
		return it, nil, nil, err
	}
	if in.StreamARN != nil {
		if _, err := (streamRef{&it.Stream, in.StreamARN}).name(); err != nil {
			return it, nil, nil, err
		}
	}
	if st.meta.Created != it.Created {
		return it, nil, nil, notFound("Stream %s was deleted and made again since the iterator was issued.", it.Stream)
	}
	if sh = st.shard(it.Shard); sh == nil {
		return it, nil, nil, notFound("Shard %s of stream %s is past the retention period.", shardID(it.Shard), it.Stream)
	}
	if it.Cursor.Counter < 1 || it.Cursor.Counter > sh.log.Bounds().Next {
		return it, nil, nil, invalidArgument("Invalid ShardIterator: it points outside of shard %s.", shardID(it.Shard))
	}
	return it, st, sh, nil
}

// readFailed is the answer for records that can't be read.
func (a *api) readFailed(st *stream, sh *shard, err error) error {
	if errors.Is(err, shardlog.ErrTrimmed) {
		return fault("ExpiredIteratorException", "The records that the iterator points to are past the retention period: "+
			"shard %s now begins with %s.", shardID(sh.meta.Number), st.sequence(sh, sh.log.Bounds().First))
	}
	if now, e := a.store.lookup(st.meta.Name); e != nil || now.meta.Created != st.meta.Created {
		return notFound("Stream %s was deleted.", st.meta.Name)
	}
	return fmt.Errorf("read shard %s of stream %s: %w", shardID(sh.meta.Number), st.meta.Name, err)
}

// behind is how far in time a reader is from the end of the shard, in milliseconds; 0 only at the end.
func behind(sh *shard, records []shardlog.Record, next shardlog.Cursor, now int64) int64 {
	if next.Counter >= sh.log.Bounds().Next || len(records) == 0 {
		return 0
	}
	return max(now-records[len(records)-1].Arrival, 1)
}

// getRecordsOut is the answer of GetRecords. It is written piece by piece, since its Base64 form would take more
// memory than the records.
type getRecordsOut struct {
	st       *stream
	sh       *shard
	records  []shardlog.Record
	behind   int64
	next     string // "": the shard has ended
	children []*shard
	done     func()
}

func (o *getRecordsOut) release() { o.done() }

type childShard struct {
	ShardId      string
	ParentShards []string
	HashKeyRange hashRange
}

func (o *getRecordsOut) writeJSON(to io.Writer) error {
	w := bufio.NewWriterSize(to, 64<<10)
	w.WriteString(`{"MillisBehindLatest":`)
	w.WriteString(strconv.FormatInt(o.behind, 10))
	if o.next != "" {
		w.WriteString(`,"NextShardIterator":"`)
		w.WriteString(o.next)
		w.WriteString(`"`)
	} else {
		children, err := json.Marshal(childShards(o.children))
		if err != nil {
			return err
		}
		w.WriteString(`,"ChildShards":`)
		w.Write(children)
	}
	w.WriteString(`,"Records":[`)
	for i, r := range o.records {
		if i > 0 {
			w.WriteByte(',')
		}
		key, err := json.Marshal(string(r.Key))
		if err != nil {
			return err
		}
		fmt.Fprintf(w, `{"SequenceNumber":"%s","ApproximateArrivalTimestamp":%d.%03d,"PartitionKey":%s,"Data":"`,
			o.st.sequence(o.sh, r.Counter), r.Arrival/1000, r.Arrival%1000, key)
		e := base64.NewEncoder(base64.StdEncoding, w)
		_, _ = e.Write(r.Data)
		_ = e.Close()
		w.WriteString(`"}`)
	}
	w.WriteString(`]}`)
	return w.Flush() // which knows of an error before it
}

func childShards(children []*shard) []childShard {
	out := []childShard{}
	for _, c := range children {
		o := childShard{ShardId: shardID(c.meta.Number), HashKeyRange: hashRange{c.meta.First, c.meta.Last}}
		for _, p := range []*int{c.meta.Parent, c.meta.Adjacent} {
			if p != nil {
				o.ParentShards = append(o.ParentShards, shardID(*p))
			}
		}
		out = append(out, o)
	}
	return out
}
