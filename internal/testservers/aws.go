package testservers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/binlogstreamer/binlogstreamer/internal/childproc"
	"github.com/binlogstreamer/binlogstreamer/internal/requestbody"
)

// What every stand-in for an AWS service accepts.
const (
	Region    = "us-east-1"
	AccessKey = "testaccesskey"
	SecretKey = "testsecretkey"
)

// AWSServer is a private stand-in for an AWS service.
type AWSServer struct {
	Name     string // of the program, for messages
	Endpoint string // http://host:port
	Dir      string // its files
	Log      string // its log file

	port    int
	start   func(port int) (*childproc.Process, error)
	probe   func(context.Context, int) error
	process *childproc.Process
}

// Kill ends the server as a crash would.
func (s *AWSServer) Kill() { s.process.Kill() }

// MustStartAgain starts a killed server on the same port and waits until it answers. Kinesalite, kinesis-local
// and dynalite keep everything in memory and come back empty.
func (s *AWSServer) MustStartAgain(t testing.TB) {
	t.Helper()
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Process is the running server, to be signalled or watched.
func (s *AWSServer) Process() *childproc.Process { return s.process }

// Config is what an AWS SDK client of the server needs, apart from the endpoint.
func (s *AWSServer) Config() aws.Config {
	return aws.Config{
		Region:      Region,
		Credentials: credentials.NewStaticCredentialsProvider(AccessKey, SecretKey, ""),
		HTTPClient:  &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, // no idle connection outlives a test
		APIOptions:  requestbody.Options(),
	}
}

// Kinesis is a client of a Kinesis stand-in.
func (s *AWSServer) Kinesis() *kinesis.Client {
	return kinesis.NewFromConfig(s.Config(), func(o *kinesis.Options) { o.BaseEndpoint = &s.Endpoint })
}

// DynamoDB is a client of a DynamoDB stand-in.
func (s *AWSServer) DynamoDB() *dynamodb.Client {
	return dynamodb.NewFromConfig(s.Config(), func(o *dynamodb.Options) { o.BaseEndpoint = &s.Endpoint })
}

// S3 is a client of an S3 store.
func (s *AWSServer) S3() *s3.Client {
	return s3.NewFromConfig(s.Config(), func(o *s3.Options) { o.BaseEndpoint, o.UsePathStyle = &s.Endpoint, true })
}

// CreateStream creates a stream in a Kinesis stand-in and waits until it is active.
func (s *AWSServer) CreateStream(t testing.TB, name string, shards int32) {
	t.Helper()
	_, err := s.Kinesis().CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: &name, ShardCount: &shards})
	if err != nil {
		t.Fatalf("create stream %s: %v", name, err)
	}
	s.AwaitStream(t, name)
}

// AwaitStream waits until a stream is active, as it is again some time after a split or merge.
func (s *AWSServer) AwaitStream(t testing.TB, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	if err := s.process.Await(ctx, func(ctx context.Context) error { return s.active(ctx, name) }); err != nil {
		t.Fatalf("wait for stream %s: %v", name, err)
	}
}

func (s *AWSServer) active(ctx context.Context, name string) error {
	d, err := s.Kinesis().DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &name})
	if err != nil {
		return err
	}
	if st := d.StreamDescriptionSummary.StreamStatus; st != types.StreamStatusActive {
		return fmt.Errorf("stream %s is %s", name, st)
	}
	return nil
}

// CreateBucket creates a bucket in an S3 store.
func (s *AWSServer) CreateBucket(t testing.TB, name string) {
	t.Helper()
	if _, err := s.S3().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatalf("create bucket %s: %v", name, err)
	}
}

// Kinesalite starts a Kinesis stand-in that is fast enough for volume. It has no streams at first, knows streams
// by name only (no ARNs), and leaves ChildShards out of GetRecords.
func Kinesalite(t testing.TB) *AWSServer {
	t.Helper()
	program, script, err := node("kinesalite", "cli.js")
	if err != nil {
		t.Fatal(missing("kinesalite", err))
	}
	return awsServer(t, "kinesalite", func(s *AWSServer, port int) (childproc.Command, error) {
		mend := filepath.Join(s.Dir, "mend.js")
		return childproc.Command{Path: program, Log: s.Log, Dir: s.Dir, Args: []string{"--require", mend, script, "--port", strconv.Itoa(port),
			"--createStreamMs", "0", "--deleteStreamMs", "0", "--updateStreamMs", "0", "--shardLimit", "1000"},
		}, os.WriteFile(mend, fmt.Appendf(nil, kinesaliteMend, filepath.Join(filepath.Dir(script), "db")), 0o600)
	}, answersHTTP)
}

// kinesaliteMend is loaded before kinesalite and mends two faults of version 3.3.3 that tests of crashes run into: a
// client that dies in the middle of a request ends the server, and an iterator that found nothing moves on to the
// present time, past records that are being put meanwhile. Kinesis does neither. An iterator still has to move, since
// the server knows by its time when a closed shard is read to its end; so it stays two seconds behind.
const kinesaliteMend = `
process.on('uncaughtException', function(err) {
  if (err.code !== 'ECONNRESET') { console.error(err); process.exit(1) }
})
const db = require(%q)
const increment = db.incrementSequence
db.incrementSequence = function(sequence, time) {
  if (typeof sequence == 'string') sequence = db.parseSequence(sequence)
  return increment(sequence, time ? Math.max(sequence.seqTime, time - 2000) : null)
}
`

// KinesisLocal starts the Kinesis stand-in that is closest to AWS (ARNs, ChildShards, the newer calls), with
// streams given as "name:shards". It slows down with thousands of records: it is for behaviour, not volume.
func KinesisLocal(t testing.TB, streams ...string) *AWSServer {
	t.Helper()
	program, script, err := node("kinesis-local", "main.js")
	if err != nil {
		t.Fatal(missing("kinesis-local", err))
	}
	s := awsServer(t, "kinesis-local", func(s *AWSServer, port int) (childproc.Command, error) {
		tls, err := childproc.FreePort()
		var initial []string // an empty list is refused
		if len(streams) > 0 {
			initial = []string{"INITIALIZE_STREAMS=" + strings.Join(streams, ",")}
		}
		return childproc.Command{Path: program, Log: s.Log, Dir: strings.TrimSuffix(script, "main.js"), Args: []string{script},
			Env: append(initial,
				"KINESIS_MOCK_PLAIN_PORT="+strconv.Itoa(port), "KINESIS_MOCK_TLS_PORT="+strconv.Itoa(tls),
				"AWS_REGION="+Region, "LOG_LEVEL=WARN",
				"CREATE_STREAM_DURATION=0ms", "DELETE_STREAM_DURATION=0ms", "UPDATE_SHARD_COUNT_DURATION=0ms",
				"SPLIT_SHARD_DURATION=0ms", "MERGE_SHARDS_DURATION=0ms", "SHARD_LIMIT=1000",
			)}, err
	}, answersHTTP)
	for _, stream := range streams {
		name, _, _ := strings.Cut(stream, ":")
		s.AwaitStream(t, name)
	}
	return s
}

// Dynalite starts a DynamoDB stand-in without tables.
func Dynalite(t testing.TB) *AWSServer {
	t.Helper()
	program, script, err := node("dynalite", "cli.js")
	if err != nil {
		t.Fatal(missing("dynalite", err))
	}
	return awsServer(t, "dynalite", func(s *AWSServer, port int) (childproc.Command, error) {
		mend := filepath.Join(s.Dir, "mend.js")
		return childproc.Command{Path: program, Log: s.Log, Dir: s.Dir, Args: []string{"--require", mend, script, "--host", "127.0.0.1",
			"--port", strconv.Itoa(port), "--createTableMs", "0", "--deleteTableMs", "0", "--updateTableMs", "0"},
		}, os.WriteFile(mend, []byte(dynaliteMend), 0o600)
	}, answersHTTP)
}

// dynaliteMend is loaded before dynalite: without it a client that gives up a request ends the server.
const dynaliteMend = `
process.on('uncaughtException', function(err) {
  if (err.code !== 'ECONNRESET') { console.error(err); process.exit(1) }
})
`

// VersityGW starts an S3 store without buckets. Its objects are the files under Dir/objects.
func VersityGW(t testing.TB) *AWSServer {
	t.Helper()
	program, err := installed("bin", "versitygw")
	if err != nil {
		t.Fatal(missing("versitygw", err))
	}
	return awsServer(t, "versitygw", func(s *AWSServer, port int) (childproc.Command, error) {
		objects := s.Dir + "/objects"
		return childproc.Command{Path: program, Log: s.Log, Dir: s.Dir,
			Args: []string{"--port", "127.0.0.1:" + strconv.Itoa(port), "--region", Region, "posix", objects},
			Env:  []string{"ROOT_ACCESS_KEY=" + AccessKey, "ROOT_SECRET_KEY=" + SecretKey}}, os.MkdirAll(objects, 0o700)
	}, answersHTTP)
}

// awsServer starts a stand-in and ends it with the test.
func awsServer(t testing.TB, name string, command func(*AWSServer, int) (childproc.Command, error), probe func(context.Context, int) error) *AWSServer {
	t.Helper()
	dir := tempDir(t)
	s := &AWSServer{Name: name, Dir: dir, Log: dir + "/server.log", probe: probe}
	s.start = func(port int) (*childproc.Process, error) {
		c, err := command(s, port)
		if err != nil {
			return nil, err
		}
		return childproc.Start(c)
	}
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.process.Kill() })
	printLogOnFailure(t, name, s.Log)
	return s
}

func (s *AWSServer) run(ctx context.Context) error {
	process, port, err := startOn(ctx, s.port, s.start, s.probe)
	if err != nil {
		return fmt.Errorf("start %s: %w", s.Name, err)
	}
	s.process, s.port = process, port
	s.Endpoint = "http://127.0.0.1:" + strconv.Itoa(port)
	return nil
}

// answersHTTP is satisfied by any HTTP answer, also by a refusal of the unsigned request.
func answersHTTP(ctx context.Context, port int) error {
	_, err := probeHTTP(ctx, port, "/")
	return err
}

// probeHTTP asks a server on this machine, on a connection of its own, and gives the answer's status code.
func probeHTTP(ctx context.Context, port int, path string) (status int, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Second, errors.New("no HTTP answer"))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+strconv.Itoa(port)+path, nil)
	if err != nil {
		return 0, err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
