package e2e

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/localstream"
	"github.com/binlogstreamer/binlogstreamer/internal/requestbody"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

const (
	streamName = "tickets"
	bucket     = "archive"
	shards     = 3
)

// pipelineUnderTest is what lies between the halves and behind them, and how to look into it.
type pipelineUnderTest struct {
	dir            string
	config         string
	streamEndpoint string // for the configuration
	destination    string
	s3Endpoint     string
	bucket         string // of the objects; "" : the constant
	objects        int    // how many were read
	decoded        decoder
	build          func() (string, error)           // the program
	checkpoints    string                           // for the configuration; "": a folder
	openStore      func() (checkpoint.Store, error) // the same store; nil: a folder

	kinesis     *testservers.AWSServer // nil: the embedded stream
	store       *testservers.AWSServer // nil: a folder
	embeddedDir string
}

func startDatabase(t *testing.T, flavor string, opts ...testservers.Option) *testservers.MySQLServer {
	t.Helper()
	if flavor == "mariadb" {
		return testservers.MariaDB(t, opts...)
	}
	return testservers.MySQL(t, opts...)
}

func newPipeline(t *testing.T, sc scenario, db *testservers.MySQLServer) *pipelineUnderTest {
	t.Helper()
	p := &pipelineUnderTest{dir: t.TempDir(), streamEndpoint: "embedded", build: binary}
	if sc.plain {
		p.build = plainBinary
	}
	p.embeddedDir = filepath.Join(p.dir, "stream")
	switch sc.stream {
	case "kinesalite":
		p.kinesis = testservers.Kinesalite(t)
		p.kinesis.CreateStream(t, streamName, shards)
	case "kinesis-local":
		p.kinesis = testservers.KinesisLocal(t, fmt.Sprintf("%s:%d", streamName, shards))
	}
	if p.kinesis != nil {
		p.streamEndpoint = p.kinesis.Endpoint
	}
	p.destination = "file://" + filepath.Join(p.dir, "objects")
	if sc.destination == "s3" {
		p.store = testservers.VersityGW(t)
		p.store.CreateBucket(t, bucket)
		p.destination, p.s3Endpoint = "s3://"+bucket, p.store.Endpoint
	}
	p.config = writeConfig(t, p.dir, p.yaml(sc, "127.0.0.1", db.Port))
	return p
}

// awaitReplicated waits until replicate has saved that everything in the source's binlog is acknowledged and all
// tables are loaded.
func (p *pipelineUnderTest) awaitReplicated(t *testing.T, db *testservers.MySQLServer, running ...interface{ alive() }) {
	t.Helper()
	conn, err := source.Connect(t.Context(), source.Config{Host: "127.0.0.1", Port: db.Port16(), User: "root", TLS: source.TLSDisabled})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close(conn)
	server, err := source.Describe(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	end, err := source.CurrentPosition(t.Context(), conn, server)
	if err != nil {
		t.Fatal(err)
	}
	await(t, 3*time.Minute, "replicate to catch up with "+end.String(), func() error {
		for _, d := range running {
			d.alive()
		}
		at, err := p.loaded(t)
		if err != nil {
			return err
		}
		if at.Before(end) {
			return fmt.Errorf("replicate stands at %s", at)
		}
		return nil
	})
}

// loaded gives the position that replicate has saved, or an error if not all tables are loaded.
func (p *pipelineUnderTest) loaded(t *testing.T) (source.Position, error) {
	t.Helper()
	var doc struct {
		Position source.Position `json:"position"`
		Tables   []struct {
			Table, State string
		} `json:"tables"`
	}
	store, err := p.state()
	if err != nil {
		return doc.Position, err
	}
	raw, _, err := store.Load(t.Context(), "replicate")
	if err != nil {
		return doc.Position, err
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return doc.Position, err
	}
	for _, table := range doc.Tables {
		if table.State != "Table completed" {
			return doc.Position, fmt.Errorf("table %s is in state %s", table.Table, table.State)
		}
	}
	if len(doc.Tables) == 0 {
		return doc.Position, errors.New("no table is known yet")
	}
	return doc.Position, nil
}

// state is where checkpoints are kept.
func (p *pipelineUnderTest) state() (checkpoint.Store, error) {
	if p.openStore != nil {
		return p.openStore()
	}
	return checkpoint.OpenFile(filepath.Join(p.dir, "state"))
}

// drain delivers what is left in the stream and ends.
func (p *pipelineUnderTest) drain(t *testing.T) {
	t.Helper()
	d := newDaemon(t, "drain", "deliver", "--once", "-c", p.config)
	d.build = p.build
	d.start()
	if code := d.wait(2 * time.Minute); code != 0 {
		t.Fatalf("deliver --once: exit code %d\n%s", code, tail(d.log, 6000))
	}
}

// api is a client of the stream.
func (p *pipelineUnderTest) api(t *testing.T) *kinesis.Client {
	t.Helper()
	if p.kinesis != nil {
		return p.kinesis.Kinesis()
	}
	node, err := localstream.New(localstream.Config{Dir: p.embeddedDir})
	if err != nil {
		t.Fatal(err)
	}
	run(t, node.Run)
	return kinesis.New(kinesis.Options{
		Region: "eu-west-1", BaseEndpoint: aws.String(node.Endpoint()), HTTPClient: node.HTTPClient(),
		Credentials: credentials.NewStaticCredentialsProvider("embedded", "embedded", ""),
		APIOptions:  requestbody.Options(),
	})
}

// streamRecords are all records of the stream, shard by shard.
func (p *pipelineUnderTest) streamRecords(t *testing.T) []rec {
	t.Helper()
	return readStream(t, p.api(t), streamName, &p.decoded)
}

// object is a stored object: whose run it is and what it holds.
type object struct {
	key                string
	shard, first, last string
	part, parts        int // of the run, where that has several; 0
	plain              []byte
}

// sameRun is true for two objects of one run.
func (o *object) sameRun(other *object) bool {
	return o.first == other.first && o.last == other.last && o.parts > 1 && o.parts == other.parts && o.part != other.part
}

// readExtra finds the facts: subfield BS of the gzip header's extra field holds them as JSON.
func (o *object) readExtra(extra []byte) error {
	if len(extra) < 4 || string(extra[:2]) != "BS" || int(extra[2])|int(extra[3])<<8 != len(extra)-4 {
		return fmt.Errorf("the extra field is %q", extra)
	}
	var facts struct {
		Shard, First, Last string
		Part, Parts        int
	}
	if err := json.Unmarshal(extra[4:], &facts); err != nil {
		return fmt.Errorf("the extra field is %q: %w", extra, err)
	}
	o.shard, o.first, o.last, o.part, o.parts = facts.Shard, facts.First, facts.Last, facts.Part, facts.Parts
	return nil
}

// objectRecords are all records of all objects, shard by shard in the order of the runs.
func (p *pipelineUnderTest) objectRecords(t *testing.T) []rec {
	t.Helper()
	all := p.listObjects(t)
	p.objects = len(all)
	slices.SortFunc(all, func(a, b object) int {
		if c := strings.Compare(a.shard, b.shard); c != 0 {
			return c
		}
		return cmp.Or(compareNumbers(a.first, b.first), a.part-b.part)
	})
	var out []rec
	for i, o := range all {
		if i > 0 && all[i-1].shard == o.shard && !o.sameRun(&all[i-1]) &&
			compareNumbers(all[i-1].last, o.first) >= 0 {
			t.Errorf("objects overlap: %s ends at %s, %s begins at %s", all[i-1].key, all[i-1].last, o.key, o.first)
		}
		for line := range bytes.Lines(o.plain) {
			out = append(out, p.decoded.parse(t, o.shard, line))
		}
	}
	return out
}

// compareNumbers orders decimal numbers of any length.
func compareNumbers(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

func (p *pipelineUnderTest) listObjects(t *testing.T) []object {
	t.Helper()
	if p.store != nil {
		return p.listBucket(t)
	}
	var out []object
	root := filepath.Join(p.dir, "objects")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".gz") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		out = append(out, parseObject(t, path, b))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (p *pipelineUnderTest) listBucket(t *testing.T) []object {
	t.Helper()
	var out []object
	bucket := cmp.Or(p.bucket, bucket)
	pages := s3.NewListObjectsV2Paginator(p.store.S3(), &s3.ListObjectsV2Input{Bucket: &bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			got, err := p.store.S3().GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: o.Key})
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(got.Body)
			if err := errors.Join(err, got.Body.Close()); err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(aws.ToString(o.Key), ".gz") {
				t.Errorf("an object that is none: %s", aws.ToString(o.Key))
				continue
			}
			out = append(out, parseObject(t, aws.ToString(o.Key), b))
		}
	}
	return out
}

// parseObject reads an object as a stranger would: gunzip, and the facts in the gzip header's extra field.
func parseObject(t *testing.T, key string, b []byte) object {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("object %s: %v", key, err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatalf("object %s: %v", key, err)
	}
	o := object{key: key, plain: plain}
	if err := o.readExtra(z.Extra); err != nil {
		t.Fatalf("object %s: %v", key, err)
	}
	return o
}

// run runs something in the background until the test ends.
func run(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// await waits for a condition that another process brings about.
func await(t *testing.T, limit time.Duration, what string, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s: %v", limit, what, err)
		}
		time.Sleep(50 * time.Millisecond) // the condition is in a file of another process
	}
}
