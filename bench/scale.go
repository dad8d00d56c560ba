package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"golang.org/x/sync/errgroup"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/childproc"
	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
	"github.com/binlogstreamer/binlogstreamer/internal/dynamo"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisout"
	"github.com/binlogstreamer/binlogstreamer/internal/lease"
	"github.com/binlogstreamer/binlogstreamer/internal/localstream"
	"github.com/binlogstreamer/binlogstreamer/internal/pipeline"
	"github.com/binlogstreamer/binlogstreamer/internal/requestbody"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

// scalePart measures how several deliver processes share a stream, and what one that joins or leaves costs.
const scalePart = "deliver-scale"

const (
	scaleShards   = 64
	scaleRecord   = 400                    // bytes of a record
	scaleRate     = 2000                   // records a second while processes come and go
	scaleInterval = time.Second            // after which an object is closed then
	scaleLate     = 3 * time.Second        // what is stored later than that counts as late
	scalePause    = 25 * time.Millisecond  // between looks at the leases
	scaleQuiet    = 8 * time.Second        // between what is done to the processes
	scaleLimit    = 3 * time.Minute        // for one thing to happen
	scaleProbe    = 200 * time.Millisecond // between attempts to reach a server that starts
)

// scaling is the measurement.
type scaling struct {
	dir      string
	endpoint string // of the table
	params   params
	stream   *kinesis.Client
}

// measureScale needs no database: the records are made here.
func measureScale(ctx context.Context, s settings) (err error) {
	dir, err := os.MkdirTemp("", "bench-scale-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	m := &scaling{dir: dir}
	stop, err := m.startTable(ctx)
	if err != nil {
		return err
	}
	defer stop()
	node, err := localstream.New(localstream.Config{Dir: filepath.Join(dir, "stream"), Stream: streamName, Shards: scaleShards, Logger: discard})
	if err != nil {
		return err
	}
	below, stopNode := context.WithCancel(ctx)
	defer stopNode()
	group, below := errgroup.WithContext(below)
	defer func() {
		stopNode()
		err = errors.Join(err, group.Wait())
	}()
	group.Go(func() error { return node.Run(below) })
	m.params.Dir = dir
	m.stream = kinesis.New(kinesis.Options{Region: "us-east-1", Credentials: awsConfig().Credentials, BaseEndpoint: aws.String(node.Endpoint()), HTTPClient: node.HTTPClient(), APIOptions: requestbody.Options()})
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	if err := m.throughput(ctx, s.Deliver<<20/scaleRecord, out); err != nil {
		return err
	}
	if err := errors.Join(out.Flush(), m.changes(ctx, out)); err != nil {
		return err
	}
	return out.Flush()
}

// startTable starts a DynamoDB stand-in.
func (m *scaling) startTable(ctx context.Context) (stop func(), err error) {
	program, err := exec.LookPath("node")
	if err != nil {
		return nil, fmt.Errorf("node: %w", dbserver.ErrNotInstalled)
	}
	port, err := childproc.FreePort()
	if err != nil {
		return nil, err
	}
	// Without this a client that is killed in the middle of a request ends the server.
	mend := filepath.Join(m.dir, "mend.js")
	if err := os.WriteFile(mend, []byte("process.on('uncaughtException', e => { if (e.code !== 'ECONNRESET') { console.error(e); process.exit(1) } })\n"), 0o600); err != nil {
		return nil, err
	}
	script := filepath.Join(dbserver.CacheDir(), "npm", "node_modules", "dynalite", "cli.js")
	process, err := childproc.Start(childproc.Command{Path: program, Dir: m.dir, Log: filepath.Join(m.dir, "dynalite.log"),
		Args: []string{"--require", mend, script, "--host", "127.0.0.1", "--port", strconv.Itoa(port), "--createTableMs", "0"}})
	if err != nil {
		return nil, err
	}
	m.endpoint = fmt.Sprintf("http://127.0.0.1:%d", port)
	return process.Kill, m.waitFor(ctx, "the table's server", scaleProbe, func() (bool, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.endpoint, nil)
		if err != nil {
			return false, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false, nil //nolint:nilerror // it is not there yet
		}
		return true, resp.Body.Close()
	})
}

func (m *scaling) waitFor(ctx context.Context, what string, pause time.Duration, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, scaleLimit, fmt.Errorf("%s took too long", what))
	defer cancel()
	for {
		done, err := ok()
		if done || err != nil {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// put sends records from a number on; each says when it was sent.
func (m *scaling) put(ctx context.Context, from, n int64) error {
	in := &kinesis.PutRecordsInput{StreamName: aws.String(streamName)}
	for i := range n {
		head := fmt.Sprintf(`{"n":%d,"sent":%d,"`, from+i, time.Now().UnixNano())
		in.Records = append(in.Records, types.PutRecordsRequestEntry{
			Data:         []byte(head + strings.Repeat("x", max(0, scaleRecord-len(head)-6)) + "\":0}\n"),
			PartitionKey: aws.String(strconv.FormatInt(from+i, 10)),
		})
	}
	out, err := m.stream.PutRecords(ctx, in)
	if err == nil && aws.ToInt32(out.FailedRecordCount) > 0 {
		err = fmt.Errorf("%d records were refused", *out.FailedRecordCount)
	}
	return err
}

// throughput delivers the same backlog with 1, 2 and 4 processes that end when all is stored.
func (m *scaling) throughput(ctx context.Context, records int64, out io.Writer) error {
	records -= records % 500
	progress("putting %d records into %d shards", records, scaleShards)
	group, putCtx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for from := int64(0); from < records; from += 500 {
		group.Go(func() error { return m.put(putCtx, from, 500) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	fmt.Fprintf(out, "deliver processes\trecords/s\tµs CPU a record\tleast and most objects of one\n")
	for _, n := range []int{1, 2, 4} {
		if err := m.backlog(ctx, n, records, out); err != nil {
			return fmt.Errorf("%d processes: %w", n, err)
		}
	}
	return nil
}

func (m *scaling) backlog(ctx context.Context, n int, records int64, out io.Writer) error {
	p := m.params
	p.Dir, p.Changes = filepath.Join(m.dir, fmt.Sprintf("with-%d", n)), records
	if err := m.makeTable(ctx, filepath.Base(p.Dir)); err != nil {
		return err
	}
	began := time.Now()
	group, runCtx := errgroup.WithContext(ctx)
	results := make([]measurement, n)
	for i := range n {
		group.Go(func() (err error) {
			results[i], err = child(runCtx, "scale ours", m.process(p, fmt.Sprint(i)))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	wall := time.Since(began)
	stored, err := storedLines(filepath.Join(p.Dir, "objects"))
	if err != nil || stored != records {
		return fmt.Errorf("%d records are stored, of %d: %w", stored, records, err)
	}
	var cpu time.Duration
	least, most := results[0].Bytes, results[0].Bytes
	for _, r := range results {
		cpu += r.CPU
		least, most = min(least, r.Bytes), max(most, r.Bytes)
	}
	progress("%d processes: %v", n, wall.Round(time.Millisecond))
	fmt.Fprintf(out, "%d\t%.0f\t%.2f\t%d, %d\n", n, float64(records)/wall.Seconds(), float64(cpu.Microseconds())/float64(records), least, most)
	return os.RemoveAll(p.Dir)
}

// process is what a process has to know; Stream is the stream's folder here, File the table's endpoint.
func (m *scaling) process(p params, name string) params {
	p.Stream, p.File, p.Table, p.Database = filepath.Join(m.dir, "stream"), m.endpoint, filepath.Base(p.Dir), name
	return p
}

func (m *scaling) table(name string) *dynamo.Table { return leaseTable(m.endpoint, name) }

func leaseTable(endpoint, name string) *dynamo.Table {
	c := awsConfig()
	return &dynamo.Table{Name: name, API: dynamodb.NewFromConfig(c, func(o *dynamodb.Options) { o.BaseEndpoint = &endpoint })}
}

func (m *scaling) makeTable(ctx context.Context, name string) error { return m.table(name).Ensure(ctx) }

// scaleOurs is one deliver process: until all is stored, or, where Rows is set, until SIGTERM.
func scaleOurs(ctx context.Context, p *params, done func(items, bytes int64)) error {
	ctx, stop := untilTerminated(ctx)
	defer stop()
	node, err := localstream.New(localstream.Config{Dir: p.Stream, Logger: discard})
	if err != nil {
		return err
	}
	table := leaseTable(p.File, p.Table)
	api := kinesisout.NewClient(aws.Config{Region: "us-east-1", Credentials: awsConfig().Credentials, HTTPClient: node.HTTPClient()}, node.Endpoint())
	interval := 5 * time.Minute
	if p.Rows > 0 {
		interval = scaleInterval
	}
	counting := &countingDestination{Destination: s3sink.NewFile(filepath.Join(p.Dir, "objects"))}
	err = pipeline.NewDeliver(pipeline.DeliverConfig{
		Stream:      kinesisin.Config{API: api, Stream: streamName, PollInterval: 200 * time.Millisecond, CallInterval: time.Millisecond},
		Destination: counting, Layout: s3sink.LayoutConfig{Name: "bench", Compression: s3sink.GZIP, Deduplicate: true},
		Store: checkpoint.NewDynamoDB(table, 0), Leases: func(stream string) lease.Table { return lease.NewDynamoDB(table, stream) },
		Size: objectSize, Interval: interval, MaxBytes: productMemory / 4, Once: p.Rows == 0, Log: discard,
	}).Run(ctx)
	done(p.Changes, counting.objects.Load())
	return err
}
