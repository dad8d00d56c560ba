package demo

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

// store puts records as one object of a shard into a folder.
func store(t *testing.T, dir, shard string, first int, records ...string) {
	t.Helper()
	layout, err := s3sink.NewLayout(s3sink.LayoutConfig{Name: "tickets", Compression: s3sink.GZIP})
	if err != nil {
		t.Fatal(err)
	}
	run := s3sink.NewRun(layout, 1, nil)
	for i, r := range records {
		run.Add(fmt.Sprint(first+i), time.Unix(1_700_000_000, 0), []byte(r+"\n"))
	}
	var buf bytes.Buffer
	chain := s3sink.Chain{Stream: "tickets", Created: time.Unix(1, 0), Shard: shard}
	o, err := run.Object(t.Context(), chain, &run.Groups(chain)[0], &buf)
	if err != nil {
		t.Fatal(err)
	}
	if err := s3sink.NewFile(dir).Put(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

func change(operation, data string) string {
	return fmt.Sprintf(`{"data":%s,"metadata":{"record-type":"data","operation":%q,"table-name":"seat"}}`, data, operation)
}

func TestReplayFollowsTheOrderOfEachShard(t *testing.T) {
	dir := t.TempDir()
	// The objects of one second have names without an order; what they say about themselves has one.
	store(t, dir, "shard-0", 1000, change("update", `{"id":1,"v":"c"}`), change("delete", `{"id":2}`))
	store(t, dir, "shard-0", 99, change("load", `{"id":1,"v":"a"}`), change("update", `{"id":1,"v":"b"}`), change("insert", `{"id":2}`))
	store(t, dir, "shard-1", 5, change("insert", `{"id":3}`), `{"metadata":{"record-type":"control","operation":"create-table","table-name":"seat"}}`)
	r, err := replay(dir, map[string][]string{"seat": {"id"}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]digest{"id=1": digestOf([]byte(`{"id":1,"v":"c"}`)), "id=3": digestOf([]byte(`{"id":3}`))}
	if diff := cmp.Diff(want, r.tables["seat"]); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if r.objects != 3 || r.records != 7 {
		t.Errorf("%d objects, %d records", r.objects, r.records)
	}
}

func TestReplayNamesTheObjectThatIsBroken(t *testing.T) {
	for name, record := range map[string]string{
		"no JSON":   "{",
		"no key":    change("insert", `{"v":1}`),
		"operation": change("upsert", `{"id":1}`),
		"no data":   `{"metadata":{"record-type":"data","operation":"insert","table-name":"seat"}}`,
	} {
		dir := t.TempDir()
		store(t, dir, "shard-0", 1, record)
		if _, err := replay(dir, map[string][]string{"seat": {"id"}}); err == nil || !strings.Contains(err.Error(), ".gz") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r, err := replay(t.TempDir()+"/nowhere", nil); err != nil || r.objects != 0 {
		t.Errorf("no objects at all: %v", err)
	}
}
