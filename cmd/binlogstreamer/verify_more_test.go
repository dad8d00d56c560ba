package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/config"
	"github.com/binlogstreamer/binlogstreamer/internal/faultproxy"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisout"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// shopWith is a shop of a few tables on a server that others use as well, whose configuration has other lines.
func shopWith(t *testing.T, server *testservers.MySQLServer, with map[string]string) *shop {
	t.Helper()
	s := &shop{t: t, server: server}
	s.file, s.dir = sourceConfigFile(t, server, "")
	if len(with) > 0 {
		rewrite(t, s.file, with)
	}
	return s
}

const (
	cdc      = "replication:\n  migration_type: cdc"
	fullLoad = "replication:\n  migration_type: full-load"
)

// TestVerifyOversized looks into bodies that are stored elsewhere, in the stream and in objects, and takes LOBs that were
// cut for what they are, in tables with a key and without, while anything else that differs is found.
func TestVerifyOversized(t *testing.T) {
	server := testservers.MariaDB(t)
	t.Run("spill", func(t *testing.T) {
		lazy := fmt.Sprintf("delivery: {destination: \"file://%s/objects\", buffering_hints: {interval_in_seconds: 900}}", t.TempDir())
		s := shopWith(t, server, map[string]string{"stream:": "stream: {name: tickets, endpoint: embedded, oversized_records: spill}", "delivery:": lazy})
		s.exec("CREATE DATABASE a", "CREATE TABLE a.doc (id INT PRIMARY KEY, scan LONGBLOB)")
		s.smallRecords()
		s.exec("INSERT INTO a.doc VALUES (1, REPEAT(x'00ff', 900000)), (2, 'small'), (3, REPEAT('x', 2000000))")
		stop := s.running()
		s.exec("UPDATE a.doc SET scan = CONCAT(scan, 'more') WHERE id = 3")
		if r := s.verify(exitDone); r.Tail < 4 || counts(s.table(r, "a.doc")) != "3 rows, 0 missing, 0 extra, 0 different" {
			t.Errorf("of the tail: %+v", r)
		}
		s.silently("UPDATE a.doc SET scan = CONCAT(LEFT(scan, 1000000), 'y', SUBSTR(scan, 1000002)) WHERE id = 3")
		if r := s.table(s.verify(exitFaults), "a.doc"); r.Different != 1 || r.Differences[0].Key != "3" {
			t.Errorf("a byte in a body: %s", counts(r))
		}
		bodies := filepath.Join(filepath.Dir(strings.TrimPrefix(strings.Split(lazy, "\"")[1], "file://")), "objects", "oversized")
		if err := os.Rename(bodies, bodies+".away"); err != nil {
			t.Fatal(err)
		}
		if r := invoke(t, "verify", "-c", s.file); r.code != exitFailed || !strings.Contains(r.lastLine(), "put it back") {
			t.Errorf("without bodies: exit code %d, %s", r.code, r.stderr)
		}
		if err := os.Rename(bodies+".away", bodies); err != nil {
			t.Fatal(err)
		}
		stop()
		s.once()
		if r := s.verify(exitFaults); r.Tail != 0 || s.table(r, "a.doc").Different != 1 {
			t.Errorf("of objects: %+v", r)
		}
		s.silently("UPDATE a.doc SET scan = CONCAT(LEFT(scan, 1000000), 'x', SUBSTR(scan, 1000002)) WHERE id = 3")
		s.verify(exitDone)
		s.exec("DROP DATABASE a")
	})
	for name, before := range map[string]string{"truncate-lob": "", "truncate-lob, before-images": ", before_image: {enabled: true, column_filter: all}"} {
		t.Run(name, func(t *testing.T) {
			s := shopWith(t, server, map[string]string{"stream:": "stream: {name: tickets, endpoint: embedded, oversized_records: truncate-lob, lob_max_size: 4" + before + "}"})
			s.exec("CREATE DATABASE a", "CREATE TABLE a.doc (id INT PRIMARY KEY, note VARCHAR(20), body LONGTEXT)", "CREATE TABLE a.bare (note VARCHAR(20), body LONGTEXT)")
			s.smallRecords()
			s.exec("INSERT INTO a.doc VALUES (1, 'long', REPEAT('ab', 900000)), (2, 'short', 'ab'), (3, 'long', REPEAT('é', 700000)), (4, 'shrinks', REPEAT('x', 2000000))",
				"INSERT INTO a.bare VALUES ('long', REPEAT('ab', 900000)), ('long', REPEAT('ab', 900000)), ('short', 'ab'), ('shrinks', REPEAT('x', 2000000))")
			s.once()
			s.exec("UPDATE a.doc SET body = REPEAT('x', 100000) WHERE id = 4", "UPDATE a.doc SET note = 'changed' WHERE id = 3")
			if before != "" {
				s.exec("UPDATE a.bare SET body = REPEAT('x', 100000) WHERE note = 'shrinks'")
			}
			s.once()
			r := s.verify(exitDone)
			want := int64(2)
			if before != "" {
				want = 3
			}
			if doc := s.table(r, "a.doc"); doc.Cut != want || doc.Rows != 4 {
				t.Errorf("%d rows with LOBs cut, want %d: %+v", doc.Cut, want, doc)
			}
			s.silently("UPDATE a.doc SET note = 'other' WHERE id = 1", "UPDATE a.doc SET body = CONCAT('b', SUBSTR(body, 2)) WHERE id = 3",
				"UPDATE a.bare SET note = 'other' WHERE note = 'long' LIMIT 1")
			r = s.verify(exitFaults)
			if got := counts(s.table(r, "a.doc")); got != "4 rows, 0 missing, 0 extra, 2 different" {
				t.Errorf("a.doc: %s", got)
			}
			if got := counts(s.table(r, "a.bare")); got != "4 rows, 1 missing, 1 extra, 0 different" {
				t.Errorf("a.bare: %s", got)
			}
			s.exec("DROP DATABASE a")
		})
	}
}

// archive is what S3 is once a lifecycle rule has moved objects where they cannot be read from: it lists them with their
// class and describes them as ever. See https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html and
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
type archive struct {
	server *httptest.Server
	before atomic.Int64 // objects that were stored before are archived
}

func newArchive(t *testing.T, store *testservers.AWSServer) *archive {
	t.Helper()
	target, err := url.Parse(store.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	a := &archive{}
	proxy := &httputil.ReverseProxy{
		Transport: &http.Transport{DisableKeepAlives: true},
		Rewrite:   func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host }, // signed with the host as it came
		ModifyResponse: func(r *http.Response) error {
			switch stored, err := http.ParseTime(r.Header.Get("Last-Modified")); {
			case r.Request.Method != http.MethodGet || r.StatusCode != http.StatusOK:
			case r.Request.URL.Query().Has("list-type"):
				listing, err := io.ReadAll(r.Body)
				if err != nil {
					return err
				}
				replaceBody(r, "", listedItem.ReplaceAllFunc(listing, a.classify))
			case err == nil && stored.Unix() < a.before.Load():
				_, _ = io.Copy(io.Discard, r.Body)
				r.StatusCode, r.Status = http.StatusForbidden, "403 Forbidden"
				replaceBody(r, "application/xml", []byte(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>InvalidObjectState</Code>`+
					`<Message>The operation is not valid for the object's storage class</Message><StorageClass>GLACIER</StorageClass></Error>`))
			}
			return nil
		},
	}
	a.server = httptest.NewServer(proxy)
	t.Cleanup(a.server.Close)
	return a
}

var (
	listedItem   = regexp.MustCompile(`(?s)<Contents>.*?</Contents>`)
	lastModified = regexp.MustCompile(`<LastModified>(.*?)</LastModified>`)
)

// classify gives an archived object of a listing its class.
func (a *archive) classify(item []byte) []byte {
	at := lastModified.FindSubmatch(item)
	if at == nil {
		return item
	}
	stored, err := time.Parse(time.RFC3339, string(at[1]))
	if err != nil || stored.Unix() >= a.before.Load() {
		return item
	}
	return bytes.Replace(item, []byte("<StorageClass>STANDARD<"), []byte("<StorageClass>GLACIER<"), 1)
}

// replaceBody answers with another body, with no header but its own if it is of another type.
func replaceBody(r *http.Response, contentType string, body []byte) {
	r.Body.Close()
	if contentType != "" {
		r.Header = http.Header{"Content-Type": {contentType}}
	}
	r.ContentLength, r.Body = int64(len(body)), io.NopCloser(bytes.NewReader(body))
	r.Header.Set("Content-Length", fmt.Sprint(len(body)))
}

// TestVerifyArchived says which records cannot be read and what can be done, blames no row, and does what it advises.
func TestVerifyArchived(t *testing.T) {
	store := testservers.VersityGW(t)
	store.CreateBucket(t, "tickets")
	t.Setenv("AWS_ACCESS_KEY_ID", testservers.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", testservers.SecretKey)
	a := newArchive(t, store)
	s := shopWith(t, testservers.MariaDB(t), map[string]string{"delivery:": fmt.Sprintf("delivery: {destination: \"s3://tickets\", endpoint: %q, region: us-east-1, "+
		"use_path_style: true, buffering_hints: {interval_in_seconds: 1}}", a.server.URL)})
	s.exec("CREATE DATABASE a", "CREATE TABLE a.t (id INT PRIMARY KEY, v VARCHAR(20))", "USE a", "INSERT INTO a.t SELECT seq, 'new' FROM seq_1_to_50")
	s.once()
	next := time.Now().Truncate(time.Second).Add(time.Second)
	time.Sleep(time.Until(next)) // so that what is stored now is never of the same second as what was stored before
	s.exec("USE a", "INSERT INTO a.t SELECT seq, 'new' FROM seq_51_to_100")
	s.once()
	now := time.Now().Truncate(time.Second)
	a.before.Store(now.Unix() + 1)
	r := invoke(t, "verify", "-c", s.file)
	since := regexp.MustCompile(`--since (\S+):`).FindStringSubmatch(r.lastLine())
	if r.code != exitFailed || since == nil || strings.Contains(r.stdout, "missing") {
		t.Fatalf("exit code %d\n%s\n%s", r.code, r.stdout, r.stderr)
	}
	for _, want := range []string{"shardId-000000000000", "records", "is archived and cannot be read, so nothing was compared", "restore-object"} {
		if !strings.Contains(r.lastLine(), want) {
			t.Errorf("%q is not in %s", want, r.lastLine())
		}
	}
	at, err := time.Parse(time.RFC3339, since[1])
	if err != nil || at.After(now.Add(2*time.Second)) {
		t.Fatalf("--since %s, %v", since[1], err)
	}
	time.Sleep(time.Until(now.Add(1100 * time.Millisecond))) // S3 tells seconds: what comes now is newer
	s.exec("UPDATE a.t SET v = 'later' WHERE id <= 30")
	s.once()
	if got := s.table(s.verify(exitDone, "--since", since[1]), "a.t"); got.Rows != 30 || got.NotCovered != 70 {
		t.Errorf("since then: %s, %d not covered", counts(got), got.NotCovered)
	}
	a.before.Store(0) // restored
	if got := counts(s.table(s.verify(exitDone), "a.t")); got != "100 rows, 0 missing, 0 extra, 0 different" {
		t.Errorf("restored: %s", got)
	}
}

// TestVerifySuspended compares nothing of a table of which nothing is sent, whatever the task sends, and ends as documented.
func TestVerifySuspended(t *testing.T) {
	server := testservers.MariaDB(t)
	for _, replication := range []string{"replication:", cdc} {
		t.Run(strings.TrimPrefix(replication, "replication:\n  "), func(t *testing.T) {
			s := shopWith(t, server, map[string]string{"replication:": replication})
			s.exec("CREATE DATABASE a", "CREATE TABLE a.t (id INT PRIMARY KEY, v VARCHAR(20), w INT)", "CREATE TABLE a.u (id INT PRIMARY KEY)")
			s.once()
			s.exec("INSERT INTO a.t (id, v) VALUES (1, 'x'), (2, 'y')", "INSERT INTO a.u VALUES (1)", "SET SESSION binlog_row_image = MINIMAL", "UPDATE a.t SET w = 1 WHERE id = 1")
			s.exec("INSERT INTO a.t (id, v) VALUES (3, 'never sent')")
			if r := invoke(t, "run", "--once", "-c", s.file); r.code != exitDone && r.code != exitFailed {
				t.Fatalf("run: exit code %d\n%s", r.code, r.stderr)
			}
			r := s.verify(exitFailed)
			if got := s.table(r, "a.t"); !strings.Contains(got.NotCompared, "suspended") || !strings.Contains(got.NotCompared, "reload-table a.t") || got.Missing+got.Different+got.Extra != 0 {
				t.Errorf("a.t: %+v", got)
			}
			if got := counts(s.table(r, "a.u")); got != "1 rows, 0 missing, 0 extra, 0 different" {
				t.Errorf("a.u: %s", got)
			}
			s.silently("DELETE FROM a.u")
			s.verify(exitFaults)
			s.exec("DROP DATABASE a")
		})
	}
}

// TestVerifyDropped reports a table that readers still have and the source does not, until its drop-table is delivered, and
// mentions what the mappings do not select any more.
func TestVerifyDropped(t *testing.T) {
	s := shopWith(t, testservers.MariaDB(t), nil)
	s.exec("CREATE DATABASE a", "CREATE TABLE a.t (id INT PRIMARY KEY)", "CREATE TABLE a.gone (id INT PRIMARY KEY, v INT)", "CREATE TABLE a.emptied (id INT PRIMARY KEY)",
		"CREATE TABLE a.bare (v INT)", "CREATE TABLE a.told (id INT PRIMARY KEY)",
		"INSERT INTO a.t VALUES (1), (2)", "INSERT INTO a.gone VALUES (1, 1), (2, 1), (3, 1)", "INSERT INTO a.emptied VALUES (1)", "INSERT INTO a.bare VALUES (1), (1), (2)", "INSERT INTO a.told VALUES (1)")
	s.once()
	s.exec("DELETE FROM a.gone WHERE id = 2", "UPDATE a.gone SET v = 2 WHERE id = 1", "DELETE FROM a.emptied", "DROP TABLE a.told")
	s.once()
	s.silently("DROP TABLE a.gone", "DROP TABLE a.emptied", "DROP TABLE a.bare")
	r := s.verify(exitFaults)
	if got := s.table(r, "a.gone"); got.Extra != 3 || len(got.Differences) != 3 || !strings.Contains(string(got.Differences[0].Delivered), "id") || !strings.Contains(got.Note, "never delivered") {
		t.Errorf("a.gone: %+v", got)
	}
	if got := s.table(r, "a.bare"); got.Extra == 0 || !strings.Contains(got.Note, "never delivered") {
		t.Errorf("a.bare: %+v", got)
	}
	if len(r.Tables) != 3 {
		t.Errorf("the tables are %+v", r.Tables)
	}
	if r := s.verify(exitDone, "--table", "a.t"); len(r.Tables) != 1 {
		t.Errorf("of one table: %+v", r.Tables)
	}

	s.exec("CREATE TABLE a.gone (id INT PRIMARY KEY)", "DROP TABLE a.gone", "CREATE TABLE a.bare (id INT PRIMARY KEY)", "DROP TABLE a.bare") // the cure
	s.once()
	if r := s.verify(exitDone); len(r.Tables) != 1 {
		t.Errorf("cured: %+v", r.Tables)
	}

	s.exec("CREATE TABLE a.late (id INT PRIMARY KEY)", "INSERT INTO a.late VALUES (1)")
	stop := s.running()
	drop := sync.OnceFunc(func() {
		if err := s.server.Exec(t.Context(), "DROP TABLE a.late", "CREATE TABLE a.new (id INT PRIMARY KEY)", "INSERT INTO a.new VALUES (1)"); err != nil {
			t.Error(err)
		}
	})
	var stdout bytes.Buffer
	stderr := &trigger{text: "listing objects", fn: drop}
	if code := execute(t.Context(), []string{"verify", "-c", s.file}, &stdout, stderr); code != exitTemporary || !strings.Contains(stdout.String(), "it was dropped while it was compared") ||
		!strings.Contains(stdout.String(), "it was made while the others were compared") {
		t.Errorf("dropped and made meanwhile: exit code %d\n%s\n%s", code, stdout.String(), stderr)
	}
	stop()

	s.exec("DROP TABLE a.new", "CREATE TABLE a.other (id INT PRIMARY KEY)", "INSERT INTO a.other VALUES (1)")
	s.once()
	text, err := os.ReadFile(s.file)
	if err == nil {
		err = os.WriteFile(s.file, bytes.ReplaceAll(text, []byte(`table-name: "%"`), []byte(`table-name: "t"`)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if r := s.verify(exitDone); len(r.Tables) != 1 || !slices.Equal(r.Unselected, []string{"a.other"}) {
		t.Errorf("not selected: %+v", r)
	}
	if r := invoke(t, "verify", "-c", s.file); !strings.Contains(r.stdout, "do not select, which were not looked at: a.other") {
		t.Errorf("it says %s", r.stdout)
	}

	load := shopWith(t, s.server, map[string]string{"replication:": fullLoad})
	load.once()
	if r := invoke(t, "verify", "-c", load.file); r.code != exitDone || !strings.Contains(r.stdout, "exact only while the source stands still") {
		t.Errorf("a full load alone: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	s.exec("INSERT INTO a.t VALUES (3)")
	if r := load.verify(exitFaults); !r.StandsStill || load.table(r, "a.t").Missing != 1 {
		t.Errorf("written to since: %+v", r)
	}
}

// resharding splits and merges shards of the stream that run serves, until it is stopped.
func (s *shop) resharding() (stop func() (splits, merges int)) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan map[string]int, 1)
	go func() { done <- s.reshard(ctx) }()
	s.t.Cleanup(cancel)
	return func() (int, int) {
		cancel()
		n := <-done
		return n["split"], n["merge"]
	}
}

// stream is a client of the pipeline's stream until stop is called; nil, with an error of the test, if there is none.
func (s *shop) stream(ctx context.Context) (api *kinesis.Client, stop func()) {
	cfg, err := load(s.file, config.Both)
	if err != nil {
		s.t.Error(err)
		return nil, nil
	}
	access, endpoint, stop, err := reachStream(ctx, cfg)
	if err != nil {
		s.t.Error(err)
		return nil, nil
	}
	return kinesisout.NewClient(access, endpoint), stop
}

// smallRecords makes the stream, and lets it take what a stream of Kinesis takes at first.
func (s *shop) smallRecords() {
	s.t.Helper()
	s.once()
	api, stop := s.stream(s.t.Context())
	if api == nil {
		s.t.FailNow()
	}
	defer stop()
	d, err := api.DescribeStreamSummary(s.t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("tickets")})
	if err == nil {
		_, err = api.UpdateMaxRecordSize(s.t.Context(), &kinesis.UpdateMaxRecordSizeInput{StreamARN: d.StreamDescriptionSummary.StreamARN, MaxRecordSizeInKiB: aws.Int32(1024)})
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) reshard(ctx context.Context) map[string]int {
	n := map[string]int{}
	api, stop := s.stream(ctx)
	if api == nil {
		return n
	}
	defer stop()
	shards := &faultproxy.Resharder{API: api, Stream: "tickets", Most: 5}
	random := rand.New(rand.NewPCG(3, 4))
	for ctx.Err() == nil {
		what, err := shards.Reshard(ctx, random)
		if err != nil && ctx.Err() == nil {
			s.t.Error(err)
			return n
		}
		n[what]++
		_ = backoff.Sleep(ctx, time.Second) // its end is looked at above
	}
	return n
}
