package kinesisout

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// Where nothing is under way, a record leaves when it is Put, and what comes behind it when it is answered: nothing in
// between waits for a timer.
func TestNothingLingers(t *testing.T) {
	for name, cfg := range map[string]Config{"plain": {}, "paced": {ShardLimits: true}, "aggregating": {Aggregate: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t, 4)
				const answer = 7 * time.Millisecond
				f.plan = func(int, *kinesis.PutRecordsInput) fault { return fault{delay: answer} }
				b := start(t, f, cfg)
				for range 3 {
					time.Sleep(time.Hour)
					begun, before := time.Now(), len(f.records)
					b.put("one")
					synctest.Wait() // until it is under way
					b.put("one")    // which waits for the first one's answer
					b.put("two")
					if err := b.w.Flush(t.Context()); err != nil {
						t.Fatal(err)
					}
					if took := time.Since(begun); took != 2*answer {
						t.Errorf("two answers took %v, and the records of them %v", 2*answer, took)
					}
					if n := len(f.records) - before; n != 3 {
						t.Errorf("%d records are stored", n)
					}
				}
				b.finish()
			})
		})
	}
}

// Lanes make no connection for a request: they find those of former ones.
func TestConnectionsAreUsedAgain(t *testing.T) {
	const shards, rounds = 4, 100
	listed := newFake(t, shards)
	answers := newCountingHTTP().answers
	var connections, requests atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch _, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); op {
		case "DescribeStreamSummary":
			fmt.Fprint(rw, `{"StreamDescriptionSummary":{"StreamName":"s","StreamStatus":"ACTIVE","StreamCreationTimestamp":1.7e9}}`)
		case "ListShards":
			out, err := listed.ListShards(r.Context(), &kinesis.ListShardsInput{})
			if err != nil {
				t.Error(err)
			}
			if err := json.NewEncoder(rw).Encode(map[string]any{"Shards": out.Shards}); err != nil {
				t.Error(err)
			}
		case "PutRecords":
			var in struct {
				Records []struct{ PartitionKey string }
			}
			if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
				t.Error(err)
			}
			requests.Add(1)
			fmt.Fprint(rw, answers[len(in.Records)])
		}
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	w := New(Config{
		API:        NewClient(aws.Config{Region: "eu-west-1", Credentials: aws.CredentialsProviderFunc(credentials)}, server.URL),
		StreamName: "s", Logger: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	for i := range rounds {
		for n := range 40 {
			if err := w.Put(t.Context(), Record{Key: fmt.Append(nil, "key", n), Data: fmt.Append(nil, i)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// An answer is read before its connection is free again, so a lane may find none and make one more.
	if c, r := connections.Load(), requests.Load(); r < rounds || c > 5*shards {
		t.Errorf("%d connections for %d requests", c, r)
	}
}
