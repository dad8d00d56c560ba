package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// letterTable has rows that no record of a stream can hold.
const letterTable = "CREATE TABLE " + schemaName + ".letter (id INT PRIMARY KEY, version INT NOT NULL, body LONGTEXT NOT NULL) CHARACTER SET utf8mb4"

// repeated is an SQL text of n times 16 bytes, with what JSON escapes and what it does not.
func repeated(n int) string { return fmt.Sprintf(`REPEAT('Zoë "said" \n日', %d)`, n) }

// oversizedConfig is a scenario's configuration with what becomes of oversized records.
func oversizedConfig(t *testing.T, p *pipelineUnderTest, sc scenario, db *testservers.MySQLServer, dir string, settings ...string) string {
	t.Helper()
	text := p.yaml(sc, "127.0.0.1", db.Port)
	return writeConfig(t, dir, strings.Replace(text, "stream:\n", "stream:\n  "+strings.Join(settings, "\n  ")+"\n", 1))
}

// reference is what the stream has in the place of a record that it does not take.
type reference struct {
	Location, SHA256 string
	Bytes            int
}

// references are those of a stream's records.
func references(t *testing.T, stream []rec) (found []reference) {
	t.Helper()
	for _, r := range stream {
		var doc struct {
			Metadata struct {
				Reference *reference `json:"oversized-record"`
			} `json:"metadata"`
		}
		if err := json.Unmarshal([]byte(r.Raw), &doc); err != nil {
			t.Fatal(err)
		}
		if doc.Metadata.Reference != nil {
			found = append(found, *doc.Metadata.Reference)
		}
	}
	return found
}

// body is the key of a reference in the bucket, and what stands there.
func (p *pipelineUnderTest) body(t *testing.T, r reference) (key string, content []byte) {
	t.Helper()
	key, ok := strings.CutPrefix(r.Location, "s3://"+bucket+"/")
	if !ok || !strings.HasPrefix(key, "oversized/tickets/shop/letter/") {
		t.Fatalf("a record is at %s", r.Location)
	}
	out, err := p.store.S3().GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	content, err = io.ReadAll(out.Body)
	if err := errors.Join(err, out.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return key, content
}

// storedLines are the lines of the objects that deliver has stored, without the bodies beside them.
func (p *pipelineUnderTest) storedLines(t *testing.T) (lines []string) {
	t.Helper()
	pages := s3.NewListObjectsV2Paginator(p.store.S3(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			if !strings.HasSuffix(*o.Key, ".gz") {
				continue
			}
			got, err := p.store.S3().GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: o.Key})
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(got.Body)
			if err := errors.Join(err, got.Body.Close()); err != nil {
				t.Fatal(err)
			}
			for line := range bytes.Lines(parseObject(t, *o.Key, b).plain) {
				lines = append(lines, string(line))
			}
		}
	}
	return lines
}

// TestSpill replicates rows that are larger than the stream's records. The bucket has them whole, the stream refers to
// them, and the objects hold them as if they had come through the stream. While one cannot be read, or is another one
// than was put there, nothing behind it is stored, and deliver says so; it goes on by itself.
func TestSpill(t *testing.T) {
	t.Parallel()
	sc := scenario{database: "mysql", stream: "kinesalite", destination: "s3", dedupe: true}
	db := startDatabase(t, sc.database)
	db.MustExec(t, "CREATE DATABASE "+schemaName, letterTable,
		"INSERT INTO shop.letter VALUES (1, 1, "+repeated(100_000)+"), (2, 1, 'short')")
	p := newPipeline(t, sc, db)
	p.config = oversizedConfig(t, p, sc, db, p.dir, "oversized_records: spill")
	replicate, deliver := newDaemon(t, "replicate", "replicate", "-c", p.config), newDaemon(t, "deliver", "deliver", "-c", p.config)
	replicate.start()
	p.awaitReplicated(t, db, replicate)
	check := newDaemon(t, "check", "check", "-c", p.config)
	check.start()
	if code, log := check.wait(time.Minute), tail(check.log, 1<<20); code != 0 ||
		!strings.Contains(log, "s3://archive/oversized/ can be written to, and what was written can be read") {
		t.Errorf("check: exit code %d\n%s", code, log)
	}
	deliver.start()
	db.MustExec(t, "UPDATE shop.letter SET version = 2, body = "+repeated(130_000)+" WHERE id = 1",
		"INSERT INTO shop.letter VALUES (3, 2, "+repeated(200_000)+")", "UPDATE shop.letter SET version = 3 WHERE id = 2",
		"DELETE FROM shop.letter WHERE id = 1")
	p.awaitReplicated(t, db, replicate, deliver)
	if n := replicate.metric("binlogstreamer_oversized_records_total", `policy="spill"`, `table="letter"`); n != 4 {
		t.Errorf("%v records are counted as spilled, want 4: a load, an update, an insert and a delete", n)
	}
	await(t, time.Minute, "four oversized records in the objects", func() error {
		return atLeast(4, large(p.storedLines(t)))
	})

	deliver.stop()
	before := references(t, p.streamRecords(t))
	db.MustExec(t, "INSERT INTO shop.letter VALUES (4, 4, "+repeated(90_000)+")")
	p.awaitReplicated(t, db, replicate)
	after := references(t, p.streamRecords(t))
	if len(before) != 4 || len(after) != 5 {
		t.Fatalf("the stream refers to %d records, then to %d, want 4 and 5", len(before), len(after))
	}
	last := after[slices.IndexFunc(after, func(r reference) bool { return !slices.Contains(before, r) })]
	key, body := p.body(t, last)
	if _, err := p.store.S3().DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: &key}); err != nil {
		t.Fatal(err)
	}
	waits := func(why string) {
		t.Helper()
		deliver.start()
		deliver.awaitLog(why, 1)
		await(t, time.Minute, "the metric of freshness to tell", func() error {
			if age := deliver.metric("binlogstreamer_delivery_freshness_seconds"); age < 1 {
				return fmt.Errorf("it says %v", age)
			}
			return nil
		})
		if n := len(large(p.storedLines(t))); n != 4 {
			t.Errorf("%s: %d oversized records are stored, want 4", why, n)
		}
	}
	waits("reading oversized records fails")
	deliver.kill()
	p.put(t, key, bytes.Replace(body, []byte("said"), []byte("sold"), 1))
	waits("its SHA-256 is")
	p.put(t, key, body)
	deliver.awaitLog("reading oversized records works again", 1)
	deliver.stop()
	replicate.stop()
	p.drain(t)

	for _, r := range after {
		_, content := p.body(t, r)
		if sum := fmt.Sprintf("%x", sha256.Sum256(content)); sum != r.SHA256 || len(content) != r.Bytes {
			t.Errorf("%s: %d bytes, SHA-256 %s", r.Location, len(content), sum)
		}
		if n := countOf(p.storedLines(t), string(content)); n != 1 {
			t.Errorf("the record %s stands in the objects %d times", r.Location, n)
		}
	}
	p.replayLetters(t, db)
}

// replayLetters compares what is in the objects with the table.
func (p *pipelineUnderTest) replayLetters(t *testing.T, db *testservers.MySQLServer) {
	t.Helper()
	newest := map[string]rec{}
	for _, line := range p.storedLines(t) {
		r := p.decoded.parse(t, "", []byte(line))
		if r.Meta.RecordType != "data" {
			continue
		}
		id := fmt.Sprint(r.Data["id"])
		if was, ok := newest[id]; !ok || r.version() > was.version() || r.Meta.Operation == "delete" {
			newest[id] = r
		}
	}
	rows := db.MustQuery(t, "SELECT id, version, SHA2(body, 256) FROM shop.letter")
	if len(rows) != 3 || len(newest) != 4 || newest["1"].Meta.Operation != "delete" {
		t.Errorf("the table has %d rows; the objects tell of %d, and row 1 was %sd at last", len(rows), len(newest), newest["1"].Meta.Operation)
	}
	for _, row := range rows {
		r := newest[row[0]]
		if sum := fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, r.Data["body"]))); sum != row[2] || fmt.Sprint(r.version()) != row[1] {
			t.Errorf("row %s has version %s; the objects have version %d, or another body", row[0], row[1], r.version())
		}
	}
}

func (p *pipelineUnderTest) put(t *testing.T, key string, body []byte) {
	t.Helper()
	_, err := p.store.S3().PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: bytes.NewReader(body)})
	if err != nil {
		t.Fatal(err)
	}
}

// large are the lines that no record of a stream can hold.
func large(lines []string) (found []string) {
	for _, line := range lines {
		if len(line) > 1<<20 {
			found = append(found, line)
		}
	}
	return found
}

func atLeast(n int, lines []string) error {
	if len(lines) < n {
		return fmt.Errorf("there are %d", len(lines))
	}
	return nil
}

func countOf(lines []string, want string) (n int) {
	for _, line := range lines {
		if line == want {
			n++
		}
	}
	return n
}

// TestOversizedPolicies cuts LOBs of records that the stream does not take, and stops at one where nothing may be cut.
func TestOversizedPolicies(t *testing.T) {
	t.Parallel()
	sc := scenario{database: "mysql", stream: "kinesalite", destination: "file", dedupe: true}
	db := startDatabase(t, sc.database)
	db.MustExec(t, "CREATE DATABASE "+schemaName, letterTable,
		"INSERT INTO shop.letter VALUES (1, 1, "+repeated(100_000)+"), (2, 1, "+repeated(6000)+")")
	p := newPipeline(t, sc, db)
	p.config = oversizedConfig(t, p, sc, db, p.dir, "oversized_records: truncate-lob", "lob_max_size: 64")
	d := newDaemon(t, "replicate", "replicate", "-c", p.config)
	d.start()
	p.awaitReplicated(t, db, d)
	db.MustExec(t, "UPDATE shop.letter SET version = 2, body = CONCAT(body, 'end')")
	p.awaitReplicated(t, db, d)
	if n := d.metric("binlogstreamer_oversized_records_total", `policy="truncate-lob"`, `table="letter"`); n != 2 {
		t.Errorf("%v records are counted as cut, want 2: a load and an update", n)
	}
	if log := tail(d.log, 1<<20); strings.Count(log, "DATALOSS") != 1 || !strings.Contains(log, "table=letter") {
		t.Errorf("the log does not name the table once:\n%s", log)
	}
	d.stop()
	p.drain(t)
	lengths := map[string]int{}
	for _, r := range p.objectRecords(t) {
		if r.Meta.RecordType == "data" {
			lengths[fmt.Sprintf("%v %s", r.Data["id"], r.Meta.Operation)] = len(fmt.Sprint(r.Data["body"]))
		}
	}
	const unit = len("Zoë \"said\" \n日") // as MySQL reads the literal
	want := map[string]int{"1 load": 64 << 10, "1 update": 64 << 10, "2 load": 6000 * unit, "2 update": 6000*unit + 3}
	for what, n := range want {
		if got := lengths[what]; got > n || got < n-3 { // a whole character at the cut
			t.Errorf("the body of %s has %d bytes, want %d", what, got, n)
		}
	}

	p.config = oversizedConfig(t, p, sc, db, t.TempDir(), "oversized_records: fail")
	d = newDaemon(t, "fail", "replicate", "-c", p.config)
	d.start()
	d.awaitLog("serving status page, metrics and health", 1)
	d.awaitReady()
	db.MustExec(t, "INSERT INTO shop.letter VALUES (47, 1, "+repeated(100_000)+")")
	code := d.wait(time.Minute)
	lines := strings.Split(strings.TrimSpace(tail(d.log, 1<<20)), "\n")
	line := lines[len(lines)-1]
	for _, says := range []string{"shop.letter", `"47"`, "bytes", "stream.oversized_records"} {
		if !strings.Contains(line, says) {
			t.Errorf("the last line does not say %s: %s", says, line)
		}
	}
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
}

// TestSpillMemory moves records of 66 MB, which is as large as they may be with the default memory limit: a load, and
// updates, whose event has the row twice.
func TestSpillMemory(t *testing.T) {
	sc := scenario{database: "mysql", stream: "embedded", destination: "s3", dedupe: true, plain: true}
	db := testservers.MySQL(t, testservers.Flags("--max-allowed-packet=1G", "--innodb-redo-log-capacity=1G"))
	db.MustExec(t, "CREATE DATABASE "+schemaName, letterTable, "INSERT INTO shop.letter VALUES (1, 1, REPEAT('1', 66000000))")
	p := newPipeline(t, sc, db)
	p.config = oversizedConfig(t, p, sc, db, p.dir, "oversized_records: spill")
	replicate, deliver := newDaemon(t, "replicate", "replicate", "-c", p.config), newDaemon(t, "deliver", "deliver", "-c", p.config)
	replicate.build, deliver.build = p.build, p.build
	replicate.start()
	p.awaitReplicated(t, db, replicate)
	const updates = 2
	for i := range updates {
		db.MustExec(t, fmt.Sprintf("UPDATE shop.letter SET version = %d, body = REPEAT('%d', 66000000)", i+2, i+2))
	}
	p.awaitReplicated(t, db, replicate)
	deliver.start()
	await(t, 3*time.Minute, "the records in the objects", func() error {
		deliver.alive()
		return atLeast(1+updates, large(p.storedLines(t)))
	})
	for _, d := range []*daemon{replicate, deliver} {
		if peak := peakMemory(t, d.cmd.Process.Pid); peak > memoryLimit {
			t.Errorf("%s: %d MiB were resident", d.args[0], peak>>20)
		} else {
			t.Logf("%s: up to %d MiB were resident", d.args[0], peak>>20)
		}
	}
	deliver.stop()
	replicate.stop()
}

// metric is the sum of a metric's series that have these labels.
func (d *daemon) metric(name string, labels ...string) (sum float64) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.address()+"/metrics", nil)
	if err != nil {
		d.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		d.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		at := strings.LastIndexByte(line, ' ')
		series, value := line[:max(at, 0)], line[at+1:]
		if series != name && !strings.HasPrefix(series, name+"{") || slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(series, l) }) {
			continue
		}
		var n float64
		if _, err := fmt.Sscan(value, &n); err != nil {
			d.t.Fatalf("%s: %v", line, err)
		}
		sum += n
	}
	return sum
}
