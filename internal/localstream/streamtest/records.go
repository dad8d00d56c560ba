package streamtest

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

func (s *suite) putAndGet() {
	name := s.newStream(3)
	want := map[string][]types.PutRecordsRequestEntry{} // by shard
	ids := map[string][]string{}
	start := time.Now()
	for batch := range 4 {
		var entries []types.PutRecordsRequestEntry
		for i := range 50 {
			e := put(fmt.Sprintf("key %d ✓ \"\\\x01", i), number("v", batch*50+i))
			if i == 0 {
				e.Data = []byte{0, 1, 0xff, 0xfe, '"', '\n'}
			}
			entries = append(entries, e)
		}
		for i, r := range s.putAll(name, entries...) {
			want[*r.ShardId] = append(want[*r.ShardId], entries[i])
			ids[*r.ShardId] = append(ids[*r.ShardId], *r.SequenceNumber)
		}
	}
	if len(want) != 3 {
		s.Errorf("50 keys went to %d of 3 shards", len(want))
	}
	for shard, entries := range want {
		got := s.readShard(name, shard, len(entries))
		if len(got) != len(entries) {
			s.Errorf("%s: %d records read, %d put", shard, len(got), len(entries))
			continue
		}
		for i, r := range got {
			if !bytes.Equal(r.Data, entries[i].Data) || *r.PartitionKey != *entries[i].PartitionKey || *r.SequenceNumber != ids[shard][i] {
				s.Fatalf("%s record %d: got key %q data %q number %s, put key %q data %q number %s", shard, i, *r.PartitionKey, r.Data,
					*r.SequenceNumber, *entries[i].PartitionKey, entries[i].Data, ids[shard][i])
			}
			if i > 0 && !above(*r.SequenceNumber, *got[i-1].SequenceNumber) {
				s.Fatalf("%s: number %s comes after %s", shard, *r.SequenceNumber, *got[i-1].SequenceNumber)
			}
			if at := r.ApproximateArrivalTimestamp; at.Before(start.Add(-2*time.Second)) || at.After(time.Now().Add(2*time.Second)) {
				s.Fatalf("%s record %d arrived at %s, it is %s", shard, i, at, time.Now())
			}
		}
	}
}

func (s *suite) putRecordAlone() {
	name := s.newStream(1)
	var last *string
	for i := range 3 {
		out := must[*kinesis.PutRecordOutput](s)(s.client.PutRecord(s.ctx(), &kinesis.PutRecordInput{StreamName: &name,
			PartitionKey: aws.String("k"), Data: []byte(number("v", i)), SequenceNumberForOrdering: last}))
		if last != nil && !above(*out.SequenceNumber, *last) {
			s.Errorf("number %s comes after %s", *out.SequenceNumber, *last)
		}
		last = out.SequenceNumber
	}
	if got := datas(s.readShard(name, *s.shards(name)[0].ShardId, 3)); !slices.Equal(got, []string{"v-0000", "v-0001", "v-0002"}) {
		s.Errorf("read %q", got)
	}
}

// shardOf finds the open shard whose range holds h.
func shardOf(shards []types.Shard, h *big.Int) string {
	for _, sh := range shards {
		first, _ := new(big.Int).SetString(*sh.HashKeyRange.StartingHashKey, 10)
		last, _ := new(big.Int).SetString(*sh.HashKeyRange.EndingHashKey, 10)
		if sh.SequenceNumberRange.EndingSequenceNumber == nil && h.Cmp(first) >= 0 && h.Cmp(last) <= 0 {
			return *sh.ShardId
		}
	}
	return "none"
}

func (s *suite) placement() {
	name := s.newStream(4)
	shards := s.shards(name)
	var entries []types.PutRecordsRequestEntry
	var want []string
	for i := range 40 {
		key := fmt.Sprintf("Schlüssel %d", i)
		sum := md5.Sum([]byte(key))
		entries = append(entries, put(key, "v"))
		want = append(want, shardOf(shards, new(big.Int).SetBytes(sum[:])))
	}
	for _, sh := range shards {
		for _, h := range []*string{sh.HashKeyRange.StartingHashKey, sh.HashKeyRange.EndingHashKey} {
			e := put("any", "v")
			e.ExplicitHashKey = h
			entries = append(entries, e)
			want = append(want, *sh.ShardId)
		}
	}
	for i, r := range s.putAll(name, entries...) {
		if *r.ShardId != want[i] {
			s.Errorf("key %q, hash key %s went to %s, want %s", *entries[i].PartitionKey, aws.ToString(entries[i].ExplicitHashKey), *r.ShardId, want[i])
		}
	}
}

func (s *suite) limitAndMillisBehind() {
	name := s.newStream(1)
	shard := *s.shards(name)[0].ShardId
	s.putAll(name, put("k", "a"), put("k", "b"), put("k", "c"))
	time.Sleep(20 * time.Millisecond) // how far behind has to show
	measures := s.has(MillisBehind)
	it := s.iterator(name, shard, types.ShardIteratorTypeTrimHorizon)
	for i, want := range []string{"a", "b", "c"} {
		out := must[*kinesis.GetRecordsOutput](s)(s.client.GetRecords(s.ctx(), &kinesis.GetRecordsInput{ShardIterator: it, Limit: aws.Int32(1)}))
		if got := datas(out.Records); !slices.Equal(got, []string{want}) {
			s.Fatalf("with a limit of 1 the step %d gives %q, want %q", i, got, want)
		}
		if behind := aws.ToInt64(out.MillisBehindLatest); measures && (behind > 0) != (i < 2) {
			s.Errorf("after %q the reader is %d ms behind", want, behind)
		}
		it = out.NextShardIterator
	}
	out := must[*kinesis.GetRecordsOutput](s)(s.client.GetRecords(s.ctx(), &kinesis.GetRecordsInput{ShardIterator: it}))
	if len(out.Records) != 0 || out.NextShardIterator == nil || aws.ToInt64(out.MillisBehindLatest) != 0 {
		s.Errorf("at the tip: %+v", out)
	}
}

func (s *suite) iteratorTypes() {
	name := s.newStream(1)
	shard := s.shards(name)[0]
	put1 := s.putAll(name, put("k", "a"), put("k", "b"), put("k", "c"))
	latest := s.iterator(name, *shard.ShardId, types.ShardIteratorTypeLatest)
	for _, c := range []struct {
		kind types.ShardIteratorType
		set  func(*kinesis.GetShardIteratorInput)
		want []string
	}{
		{types.ShardIteratorTypeTrimHorizon, atSequence(nil), []string{"a", "b", "c"}},
		{types.ShardIteratorTypeAtSequenceNumber, atSequence(shard.SequenceNumberRange.StartingSequenceNumber), []string{"a", "b", "c"}},
		{types.ShardIteratorTypeAtSequenceNumber, atSequence(put1[1].SequenceNumber), []string{"b", "c"}},
		{types.ShardIteratorTypeAfterSequenceNumber, atSequence(put1[1].SequenceNumber), []string{"c"}},
		{types.ShardIteratorTypeAfterSequenceNumber, atSequence(put1[2].SequenceNumber), []string{}},
	} {
		got, _ := s.read(s.iterator(name, *shard.ShardId, c.kind, c.set), len(c.want))
		if !slices.Equal(datas(got), c.want) {
			s.Errorf("%s gives %q, want %q", c.kind, datas(got), c.want)
		}
	}
	s.putAll(name, put("k", "d"))
	if got, _ := s.read(latest, 1); !slices.Equal(datas(got), []string{"d"}) {
		s.Errorf("LATEST gives %q, want what came after it", datas(got))
	}
	// An iterator can be used again, and gives the same again.
	if got, _ := s.read(latest, 1); !slices.Equal(datas(got), []string{"d"}) {
		s.Errorf("LATEST used again gives %q", datas(got))
	}
}

func (s *suite) atTimestamp() {
	name := s.newStream(1)
	shard := *s.shards(name)[0].ShardId
	s.putAll(name, put("k", "early"))
	time.Sleep(1100 * time.Millisecond) // a whole second, for servers that round
	s.putAll(name, put("k", "late"))
	all := s.readShard(name, shard, 2)
	for _, c := range []struct {
		at   time.Time
		want []string
	}{
		{all[0].ApproximateArrivalTimestamp.Add(-time.Hour), []string{"early", "late"}},
		{*all[1].ApproximateArrivalTimestamp, []string{"late"}},
		{all[1].ApproximateArrivalTimestamp.Add(-500 * time.Millisecond), []string{"late"}},
	} {
		it := s.iterator(name, shard, types.ShardIteratorTypeAtTimestamp, func(in *kinesis.GetShardIteratorInput) { in.Timestamp = &c.at })
		if got, _ := s.read(it, len(c.want)); !slices.Equal(datas(got), c.want) {
			s.Errorf("from %s on: %q, want %q", c.at, datas(got), c.want)
		}
	}
}

func (s *suite) futureTimestamp() {
	name := s.newStream(1)
	_, err := s.client.GetShardIterator(s.ctx(), &kinesis.GetShardIteratorInput{StreamName: &name, ShardId: s.shards(name)[0].ShardId,
		ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: aws.Time(time.Now().Add(time.Hour))})
	s.refused("a timestamp in the future", err, "InvalidArgumentException")
}

func (s *suite) refusedPuts() {
	name := s.newStream(1)
	with := func(e types.PutRecordsRequestEntry, hash string) types.PutRecordsRequestEntry {
		e.ExplicitHashKey = &hash
		return e
	}
	for what, entries := range map[string][]types.PutRecordsRequestEntry{
		"501 records":                slices.Repeat([]types.PutRecordsRequestEntry{put("k", "v")}, 501),
		"no records":                 {},
		"an empty key":               {put("", "v")},
		"a key of 257 characters":    {put(strings.Repeat("ä", 257), "v")},
		"a hash key that is no such": {with(put("k", "v"), "x1")},
		"a negative hash key":        {with(put("k", "v"), "-1")},
		"one bad among good":         {put("k", "v"), put("", "v")},
	} {
		_, err := s.client.PutRecords(s.ctx(), &kinesis.PutRecordsInput{StreamName: &name, Records: entries})
		s.refused(what, err, badRequest...)
	}
	s.putAll(name, put(strings.Repeat("k", 256), "longest key"))
	s.putAll(name, slices.Repeat([]types.PutRecordsRequestEntry{put("k", "v")}, 500)...)
	if got := s.readShard(name, *s.shards(name)[0].ShardId, 501); len(got) != 501 || string(got[0].Data) != "longest key" {
		s.Errorf("%d records are there, want the 501 of the good requests", len(got))
	}
}

func (s *suite) refusedHashKey() {
	name := s.newStream(1)
	e := put("k", "v")
	e.ExplicitHashKey = aws.String("340282366920938463463374607431768211456")
	_, err := s.client.PutRecords(s.ctx(), &kinesis.PutRecordsInput{StreamName: &name, Records: []types.PutRecordsRequestEntry{e}})
	s.refused("the hash key 2^128", err, badRequest...)
}

func (s *suite) refusedReads() {
	name := s.newStream(2)
	shards := s.shards(name)
	_, err := s.client.GetRecords(s.ctx(), &kinesis.GetRecordsInput{ShardIterator: aws.String("nonsense")})
	s.refused("an iterator that is none", err, badRequest...)
	it := s.iterator(name, *shards[0].ShardId, types.ShardIteratorTypeTrimHorizon)
	for _, limit := range []int32{0, 10001} {
		_, err = s.client.GetRecords(s.ctx(), &kinesis.GetRecordsInput{ShardIterator: it, Limit: aws.Int32(limit)})
		s.refused(fmt.Sprintf("a limit of %d", limit), err, badRequest...)
	}
	damaged := "A" + (*it)[:len(*it)-2]
	_, err = s.client.GetRecords(s.ctx(), &kinesis.GetRecordsInput{ShardIterator: &damaged})
	s.refused("a damaged iterator", err, badRequest...)

	in := &kinesis.GetShardIteratorInput{StreamName: &name, ShardId: shards[0].ShardId, ShardIteratorType: types.ShardIteratorTypeAfterSequenceNumber}
	_, err = s.client.GetShardIterator(s.ctx(), in)
	s.refused("AFTER_SEQUENCE_NUMBER without one", err, badRequest...)
	in.StartingSequenceNumber = aws.String("12345")
	_, err = s.client.GetShardIterator(s.ctx(), in)
	s.refused("a sequence number from nowhere", err, badRequest...)
	in.StartingSequenceNumber = shards[1].SequenceNumberRange.StartingSequenceNumber
	_, err = s.client.GetShardIterator(s.ctx(), in)
	s.refused("a sequence number of another shard", err, badRequest...)
}

func (s *suite) recordSize() {
	name := s.newStream(1)
	at := func(key, data int) error {
		_, err := s.client.PutRecords(s.ctx(), &kinesis.PutRecordsInput{StreamName: &name, Records: []types.PutRecordsRequestEntry{
			put(strings.Repeat("k", key), strings.Repeat("d", data))}})
		return err
	}
	if err := at(100, 1<<20-100); err != nil {
		s.Errorf("a record of 1 MiB with its key: %v", err)
	}
	s.refused("a record of 1 MiB and a byte with its key", at(100, 1<<20-99), badRequest...)
	s.refused("a record of 1 MiB and a byte without its key", at(1, 1<<20+1), badRequest...)
}

func (s *suite) maxRecordSize() {
	name := s.newStream(1)
	sum := func() types.StreamDescriptionSummary {
		return *must[*kinesis.DescribeStreamSummaryOutput](s)(s.client.DescribeStreamSummary(s.ctx(),
			&kinesis.DescribeStreamSummaryInput{StreamName: &name})).StreamDescriptionSummary
	}
	if kib := aws.ToInt32(sum().MaxRecordSizeInKiB); kib != 1024 {
		s.Errorf("a new stream takes records of %d KiB, want 1024", kib)
	}
	must[*kinesis.UpdateMaxRecordSizeOutput](s)(s.client.UpdateMaxRecordSize(s.ctx(), &kinesis.UpdateMaxRecordSizeInput{
		StreamARN: sum().StreamARN, MaxRecordSizeInKiB: aws.Int32(4096)}))
	s.active(name)
	if kib := aws.ToInt32(sum().MaxRecordSizeInKiB); kib != 4096 {
		s.Errorf("after the update the stream takes records of %d KiB, want 4096", kib)
	}
	s.putAll(name, put("k", strings.Repeat("d", 4<<20-1)))
	_, err := s.client.PutRecords(s.ctx(), &kinesis.PutRecordsInput{StreamName: &name, Records: []types.PutRecordsRequestEntry{
		put("k", strings.Repeat("d", 4<<20))}})
	s.refused("a record above the limit", err, badRequest...)
}

func (s *suite) largeRequest() {
	name := s.newStream(1)
	arn := must[*kinesis.DescribeStreamSummaryOutput](s)(s.client.DescribeStreamSummary(s.ctx(),
		&kinesis.DescribeStreamSummaryInput{StreamName: &name})).StreamDescriptionSummary.StreamARN
	must[*kinesis.UpdateMaxRecordSizeOutput](s)(s.client.UpdateMaxRecordSize(s.ctx(), &kinesis.UpdateMaxRecordSizeInput{
		StreamARN: arn, MaxRecordSizeInKiB: aws.Int32(10240)}))
	s.active(name)
	s.putAll(name, put("k", strings.Repeat("1", 10<<20-1)))
	s.putAll(name, put("k", strings.Repeat("2", 5<<20-1)), put("k", strings.Repeat("3", 5<<20-1)))
	s.putAll(name, put("k", "last"))
	_, err := s.client.PutRecords(s.ctx(), &kinesis.PutRecordsInput{StreamName: &name, Records: []types.PutRecordsRequestEntry{
		put("k", strings.Repeat("4", 5<<20)), put("k", strings.Repeat("5", 5<<20))}})
	s.refused("a request above 10 MiB", err, badRequest...)

	it := s.iterator(name, *s.shards(name)[0].ShardId, types.ShardIteratorTypeTrimHorizon)
	var got []int
	for len(got) < 4 {
		out := must[*kinesis.GetRecordsOutput](s)(s.client.GetRecords(s.ctx(), &kinesis.GetRecordsInput{ShardIterator: it}))
		size := 0
		for _, r := range out.Records {
			size += len(r.Data)
			got = append(got, len(r.Data))
		}
		if size > 10<<20 {
			s.Errorf("one answer has %d bytes of data", size)
		}
		it = out.NextShardIterator
	}
	if !slices.Equal(got, []int{10<<20 - 1, 5<<20 - 1, 5<<20 - 1, 4}) {
		s.Errorf("records of %v bytes come back", got)
	}
}

func (s *suite) dryRun() {
	name := s.newStream(1)
	shard := s.shards(name)[0].ShardId
	it := s.iterator(name, *shard, types.ShardIteratorTypeTrimHorizon)
	yes := aws.Bool(true)
	_, err := s.client.PutRecords(s.ctx(), &kinesis.PutRecordsInput{StreamName: &name, DryRun: yes, Records: []types.PutRecordsRequestEntry{put("k", "v")}})
	s.refused("PutRecords", err, "DryRunOperationException")
	_, err = s.client.PutRecord(s.ctx(), &kinesis.PutRecordInput{StreamName: &name, DryRun: yes, PartitionKey: aws.String("k"), Data: []byte("v")})
	s.refused("PutRecord", err, "DryRunOperationException")
	_, err = s.client.GetShardIterator(s.ctx(), &kinesis.GetShardIteratorInput{StreamName: &name, DryRun: yes, ShardId: shard,
		ShardIteratorType: types.ShardIteratorTypeLatest})
	s.refused("GetShardIterator", err, "DryRunOperationException")
	_, err = s.client.GetRecords(s.ctx(), &kinesis.GetRecordsInput{ShardIterator: it, DryRun: yes})
	s.refused("GetRecords", err, "DryRunOperationException")
	if got, _ := s.read(it, 0); len(got) != 0 {
		s.Errorf("a dry run stored %q", datas(got))
	}
}

func (s *suite) concurrentWriters() {
	name := s.newStream(2)
	const writers, each = 8, 10
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				out, err := s.client.PutRecords(s.ctx(), &kinesis.PutRecordsInput{StreamName: &name, Records: []types.PutRecordsRequestEntry{
					put(fmt.Sprint(w), fmt.Sprintf("%d %d", w, i*2)), put(fmt.Sprint(w), fmt.Sprintf("%d %d", w, i*2+1))}})
				if err != nil || aws.ToInt32(out.FailedRecordCount) != 0 {
					s.Errorf("put: %+v, %v", out, err)
					return
				}
			}
		})
	}
	wg.Wait()
	next := map[string]int{}
	for _, sh := range s.shards(name) {
		for _, r := range s.readShard(name, *sh.ShardId, 0) {
			if want := fmt.Sprintf("%s %d", *r.PartitionKey, next[*r.PartitionKey]); string(r.Data) != want {
				s.Fatalf("%q stands where %q is due", r.Data, want)
			}
			next[*r.PartitionKey]++
		}
	}
	for w := range writers {
		if n := next[fmt.Sprint(w)]; n != 2*each {
			s.Errorf("%d records of writer %d, want %d", n, w, 2*each)
		}
	}
}
