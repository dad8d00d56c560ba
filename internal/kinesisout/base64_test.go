package kinesisout

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// TestBodiesHaveWhatWasPut: whatever the lengths of records are, and however many of them are encoded at once, each stands
// in the body with its own text, key and place.
func TestBodiesHaveWhatWasPut(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var w texts // one for all bodies, as a lane has it
	for round := range 300 {
		in := &kinesis.PutRecordsInput{StreamName: aws.String("s")}
		for i := range 1 + random.IntN(60) {
			data := make([]byte, []int{random.IntN(7), random.IntN(700), textsAtOnce/4 + random.IntN(3) - 1, random.IntN(3 * textsAtOnce)}[random.IntN(4)])
			for i := range data {
				data[i] = byte(random.Uint32())
			}
			in.Records = append(in.Records, types.PutRecordsRequestEntry{Data: data, PartitionKey: aws.String(fmt.Sprint(round, "/", i))})
		}
		var got struct {
			StreamName string
			Records    []struct{ Data, PartitionKey string }
		}
		body := w.appendPutRecords(nil, in)
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("%v in %.300s", err, body)
		}
		if len(got.Records) != len(in.Records) || got.StreamName != "s" {
			t.Fatalf("%d records of %d", len(got.Records), len(in.Records))
		}
		for i, r := range in.Records {
			if want := base64.StdEncoding.EncodeToString(r.Data); got.Records[i].Data != want || got.Records[i].PartitionKey != *r.PartitionKey {
				t.Fatalf("record %d of %d bytes: %s %s, want %s", i, len(r.Data), got.Records[i].PartitionKey, got.Records[i].Data, want)
			}
		}
	}
	if empty := string(w.appendPutRecords(nil, &kinesis.PutRecordsInput{})); empty != `{"Records":[]}` {
		t.Errorf("a body without records: %s", empty)
	}
}

// BenchmarkBodies is a request's body made of records of some lengths.
func BenchmarkBodies(b *testing.B) {
	for _, size := range []int{100, 700, 5000} {
		in := &kinesis.PutRecordsInput{StreamName: aws.String("s")}
		for i := range 500 {
			in.Records = append(in.Records, types.PutRecordsRequestEntry{Data: make([]byte, size), PartitionKey: aws.String(fmt.Sprint("shop.customer.", i))})
		}
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			var w texts
			dst := make([]byte, 0, bodySize(in))
			b.SetBytes(int64(500 * size))
			b.ReportAllocs()
			for b.Loop() {
				w.appendPutRecords(dst, in)
			}
		})
	}
}
