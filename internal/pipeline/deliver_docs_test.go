package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/dedupe"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

// The documents have a promised form: a daemon must be able to go on from those that its predecessor saved.
func TestDeliverDocuments(t *testing.T) {
	const golden = "testdata/deliver.golden.json"
	filter := dedupe.New()
	filter.Check([]byte(`{"data":{},"metadata":{"record-type":"data","operation":"insert","transaction-record-id":1,"stream-position":"bin.000007:4:0:99:1:bin.000007:2","gtid":"3e11fa47-71ca-11e1-9e33-c80aa9429562:5","writer-term":9,"source-epoch":8}}`))
	filter.Check([]byte(`{"data":{},"metadata":{"record-type":"data","operation":"insert","transaction-record-id":1,"stream-position":"bin.000002:4:0:99:1:bin.000002:2","gtid":"3e11fa47-71ca-11e1-9e33-c80aa9429562:6","writer-term":10,"source-epoch":10}}`))
	for _, n := range []int{3, 20} {
		filter.Check(fmt.Appendf(nil, `{"data":{},"metadata":{"record-type":"data","operation":"load","writer-term":10,"source-epoch":10,"writer-sequence":%d}}`, n))
	}
	state, err := filter.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	layout, err := s3sink.NewLayout(s3sink.LayoutConfig{Name: "tickets", Prefix: "a/", Compression: s3sink.GZIP, Deduplicate: true, AppendDelimiter: true, Extension: ".json.gz"})
	if err != nil {
		t.Fatal(err)
	}
	type documents struct {
		Layouts layoutsDoc `json:"layouts"`
		Start   startDoc   `json:"start"`
		Shard   shardDoc   `json:"shard"`
		Window  windowDoc  `json:"window"`
	}
	all := documents{
		layoutsDoc{Version: 1, Layouts: []layoutDoc{{Version: 1, Since: at, Layout: layout.Config()}}},
		startDoc{Version: 1, From: kinesisin.From(at), Shards: []string{shard0, shard1}},
		shardDoc{Version: 1, Origin: kinesisin.At("4900"), Stored: "4960", Seen: at, Layout: 1, Ended: true, Saved: at},
		windowDoc{Version: 1, Through: "4960", Seen: at, State: state},
	}
	got, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	var saved documents
	if err := json.Unmarshal(want, &saved); err != nil {
		t.Fatal(err)
	}
	old := dedupe.New()
	if err := old.UnmarshalBinary(saved.Window.State); err != nil {
		t.Fatal(err)
	}
	again, err := old.AppendBinary(nil)
	if err != nil || !bytes.Equal(again, state) {
		t.Errorf("the saved state is another one after reading: %v", err)
	}
	saved.Window.State, all.Window.State = nil, nil // its compression may change; its content was compared
	a, _ := json.Marshal(saved)
	b, _ := json.Marshal(all)
	if !bytes.Equal(a, b) {
		t.Errorf("documents are\n%s\nwant\n%s\nif that is meant, run with -update, and think of the documents that are out there", got, want)
	}
}
