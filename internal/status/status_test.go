package status

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// full is a report with everything in it that a report can have.
func full() *Report {
	at := time.Date(2026, 11, 26, 19, 4, 35, 649e6, time.UTC)
	share, remaining := 0.54, 82.5
	r := &Report{
		Version: Version, Name: "tickets", Program: "v1.0.0", Time: at, Started: at.Add(-26 * time.Hour),
		Replicate: &Replicate{
			Half: Half{State: Loading, Trouble: []Trouble{
				{What: "stream tickets, shardId-000000000001", Error: "request send failed", Since: at.Add(-12 * time.Second)},
			}},
			Source: "db.example.com:3306", Server: "mysql 8.4.3", Stream: "tickets", Migration: "full-load-and-cdc",
			SourceLag: 0.6, TargetLag: 75, CheckpointAge: 0.3,
			Position:  Position{File: "binlog.000017", Offset: 49429715, GTIDs: "8d1c8a3e-e9cd-11f1-91e3-02fc00000001:1-934"},
			Retention: Retention{Known: true, Left: 6000, Of: 86400, Low: true},
			Queue:     Room{Used: 33554304, Limit: 33554432}, Changes: 2048, LoadRows: 393940, Records: 350610, Throttled: 17,
			Shards: []WriteShard{{Shard: "shardId-000000000000"}, {Shard: "shardId-000000000001", Throttled: 17, LastThrottled: at.Add(-3 * time.Second)}},
			Tables: []Table{
				{Schema: "shop", Table: "person", State: "Table error", Error: "table shop.person at binlog.000017:4711: the row image leaves columns out; set binlog_row_image=FULL"},
				{Schema: "shop", Table: "ticket", State: "Full load", Load: &Load{Rows: 216160, Estimate: 399912, Share: &share, Remaining: &remaining},
					Inserts: 935, Updates: 12, Deletes: 81, DDLs: 1},
			},
		},
		Deliver: &Deliver{
			Half:   Half{State: Paused, Paused: at.Add(-20 * time.Hour), Trouble: []Trouble{}},
			Stream: "tickets", Destination: "s3://tickets-archive", Freshness: 72000, Interval: 300,
			Retention: Retention{Known: true, Left: 14400, Of: 86400, Low: true}, Memory: Room{Used: 20008599, Limit: 67108864},
			Objects: 29, ObjectBytes: 11150532, Duplicates: 3,
			Shards: []ReadShard{
				{Shard: "shardId-000000000000", Owner: "a.example.com:17", Here: true, Behind: 0.2, Freshness: 1.5, Records: 6208, Bytes: 2720923, Storing: true, Throttled: 2, Objects: 15},
				{Shard: "shardId-000000000001", Owner: "b.example.com:23:KQ3V"},
			},
			Latest: []Object{{Key: "2026/11/26/19/tickets-1-2026-11-26-19-04-31-0c34d0db-9a8f-5571-ba83-faebdef2cad2.gz", Shard: "shardId-000000000000",
				Records: 11898, Bytes: 390012, Stored: at.Add(-time.Second)}},
		},
		Events: []Event{{Time: at.Add(-12 * time.Second), Level: Warning, Message: "stream does not take what is sent; trying again until it does", Details: "half=replicate stream=tickets", Times: 2}},
	}
	r.Judge()
	return r
}

// TestForms keeps the forms that docs/FORMATS.md describes, for programs and for people.
func TestForms(t *testing.T) {
	var doc bytes.Buffer
	e := json.NewEncoder(&doc)
	e.SetIndent("", "  ")
	if err := e.Encode(full()); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{"status.json": doc.String(), "status.txt": full().Text()} {
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	var back Report
	if err := json.Unmarshal(doc.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full(), &back); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

// TestEveryMemberIsDescribed holds docs/FORMATS.md against the golden file.
func TestEveryMemberIsDescribed(t *testing.T) {
	doc, err := os.ReadFile("../../docs/FORMATS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(doc), "\n## Status\n")
	section, _, _ = strings.Cut(section, "\n## ")
	golden, err := os.ReadFile("testdata/status.json")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(golden)) {
		if _, member, ok := strings.Cut(line, `"`); ok && strings.Contains(member, `":`) {
			if name, _, _ := strings.Cut(member, `"`); !strings.Contains(section, "`"+name+"`") {
				t.Errorf("docs/FORMATS.md does not say what %s is", name)
			}
		}
	}
}

func TestProblems(t *testing.T) {
	calm := func() *Report {
		r := full()
		r.Replicate.Half, r.Replicate.TargetLag, r.Replicate.Retention, r.Replicate.Shards, r.Replicate.Tables = Half{State: Streaming}, 0, Retention{Known: true, Left: 86400}, nil, nil
		r.Deliver.Half, r.Deliver.Freshness, r.Deliver.Retention = Half{State: Delivering}, 10, Retention{Known: true, Left: 86400}
		return r
	}
	for _, c := range []struct {
		what   string
		change func(r *Report)
		level  Level
		says   string
	}{
		{"nothing", func(*Report) {}, OK, ""},
		{"paused", func(r *Report) { r.Replicate.State = Paused }, Warning, "replicate is paused"},
		{"paused for so long that the binlog goes", func(r *Report) { r.Replicate.State, r.Replicate.Retention.Low = Paused, true }, Error, "will be gone in"},
		{"the binlog is gone", func(r *Report) { r.Replicate.Retention.Lost = true }, Error, "is gone"},
		{"reading lags", func(r *Report) { r.Replicate.SourceLag = 70 }, Warning, "behind the source"},
		{"reading lags a lot", func(r *Report) { r.Replicate.SourceLag = 7000 }, Error, "behind the source"},
		{"a lag that a pause explains", func(r *Report) { r.Replicate.State, r.Replicate.SourceLag = Paused, 7000 }, Warning, "is paused"},
		{"the stream throttles", func(r *Report) { r.Replicate.Shards = []WriteShard{{Shard: "s", LastThrottled: r.Time}} }, Warning, "throttles"},
		{"the stream throttled long ago", func(r *Report) {
			r.Replicate.Shards = []WriteShard{{Shard: "s", LastThrottled: r.Time.Add(-time.Hour)}}
		}, OK, ""},
		{"delivery within its interval", func(r *Report) { r.Deliver.Freshness = 310 }, OK, ""},
		{"delivery is late", func(r *Report) { r.Deliver.Freshness = 400 }, Warning, "not stored"},
		{"delivery is very late", func(r *Report) { r.Deliver.Freshness = 4000 }, Error, "not stored"},
		{"records are lost", func(r *Report) { r.Deliver.Retention.Lost = true }, Error, "is gone"},
		{"standing by", func(r *Report) { r.Deliver.State, r.Deliver.StandingBy = StandingBy, &Holder{Host: "b", PID: 7} }, OK, "process 7 on b"},
		{"something fails", func(r *Report) { r.Deliver.Trouble = []Trouble{{What: "destination", Error: "no such bucket"}} }, Error, "no such bucket"},
		{"a table is suspended", func(r *Report) {
			r.Replicate.Tables = []Table{{Schema: "a", Table: "b", Error: "broken"}}
		}, Error, "table a.b is suspended: broken"},
	} {
		r := calm()
		c.change(r)
		r.Judge()
		said := slices.ContainsFunc(r.Problems, func(p Problem) bool { return strings.Contains(p.What, c.says) && p.Cure != "" })
		if r.Level != c.level || said != (c.says != "") {
			t.Errorf("%s: %s %+v, want %s and %q", c.what, r.Level, r.Problems, c.level, c.says)
		}
	}
}

func TestEventsKeepWarnings(t *testing.T) {
	var passed bytes.Buffer
	events := NewEvents(slog.NewTextHandler(&passed, &slog.HandlerOptions{Level: slog.LevelError}))
	log := slog.New(events).With("half", "deliver").WithGroup("s3").With("bucket", "b")
	log.Info("all is well")
	for range 3 {
		log.Warn("slow", "error", "no answer", slog.Group("call", "name", "put"))
	}
	log.Error("down", "long", strings.Repeat("ü", keptDetails))
	got := events.Latest()
	if len(got) != 2 || got[1].Times != 3 || got[1].Level != Warning || got[1].Details != "half=deliver s3.bucket=b s3.error=no answer s3.call.name=put" ||
		got[0].Level != Error || len(got[0].Details) > keptDetails+10 || strings.Contains(got[0].Details, "\ufffd") {
		t.Errorf("%+v", got)
	}
	if s := passed.String(); strings.Contains(s, "slow") || !strings.Contains(s, "down") {
		t.Errorf("passed on: %.200s", s)
	}
	for i := range 2 * keptEvents {
		log.Warn(fmt.Sprint(i))
	}
	if got := events.Latest(); len(got) != keptEvents || got[0].Message != fmt.Sprint(2*keptEvents-1) {
		t.Errorf("%d are kept, the newest is %+v", len(got), got[0])
	}
}

func TestHistoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := uint64(0)
		h := NewHistory(func() Sample {
			n += 50
			if n == 1000 {
				n = 0 // a part began anew
			}
			return Sample{Time: time.Now(), SourceLag: float64(n), Changes: n}
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- h.Run(ctx) }()
		time.Sleep(3*time.Hour + time.Second)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		points := h.Points()
		if len(points) != int(Span/Step) {
			t.Errorf("%d points", len(points))
		}
		for i, p := range points {
			if p.Changes != 10 && p.Changes != 0 {
				t.Errorf("point %d: %v changes a second", i, p.Changes)
			}
		}
	})
}

func TestFormats(t *testing.T) {
	for s, want := range map[float64]string{0: "0.0 s", 9.94: "9.9 s", 9.96: "10 s", 59.4: "59 s", 59.6: "1 min", 60: "1 min", 200: "3 min 20 s",
		3599.4: "59 min 59 s", 3599.9: "1 h", 3600: "1 h", 18720: "5 h 12 min", 86400: "1 d", 604798: "6 d 23 h", math.Inf(1): "for ever", math.NaN(): "unknown"} {
		if got := Seconds(s); got != want {
			t.Errorf("Seconds(%v) = %q, want %q", s, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234", -123: "-123"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) = %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 64 << 20: "64 MiB", 1<<20 - 1: "1.0 MiB", math.MaxInt64: "8.0 EiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
	if got := clean("a\x1b[31m\u202eb\nc"); got != "a·[31m·b c" {
		t.Errorf("clean = %q", got)
	}
}
