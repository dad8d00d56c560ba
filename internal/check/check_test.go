package check

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/dynamo"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// run looks at one part and returns what is printed.
func run(t *testing.T, c Config) (string, int) {
	t.Helper()
	var lines []string
	faults := Run(t.Context(), c, func(r Result) { lines = append(lines, r.String()) })
	return strings.Join(lines, "\n"), faults
}

func mustSay(t *testing.T, out string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
}

func TestResultIsALineWithItsCureBelow(t *testing.T) {
	got := Result{"binlog_format", Fail, "STATEMENT,\nmust be ROW", "SET GLOBAL binlog_format = 'ROW';\nand restart"}.String()
	const want = "FAIL  binlog_format         STATEMENT, must be ROW\n" +
		"                            → SET GLOBAL binlog_format = 'ROW';\n" +
		"                            → and restart"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestGrants(t *testing.T) {
	g := parseGrants([]string{
		"GRANT REPLICATION SLAVE, binlog monitor ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*AB'",
		"GRANT SELECT ON `shop\\_eu`.* TO `u`@`%`",
		"GRANT SELECT, INSERT ON `tickets%`.* TO 'u'@'%'",
		"GRANT SELECT ON `a``b`.`c.d` TO `u`@`%`",
		"GRANT SELECT (`x`, `y`), UPDATE (`x`), INSERT ON `cols`.`t` TO `u`@`%`",
		"GRANT EXECUTE ON PROCEDURE `p`.`q` TO `u`@`%`",
		"GRANT `reader`@`%`,`writer`@`%` TO `u`@`%`",
		"GRANT PROXY ON ''@'%' TO 'u'@'%'",
		"SET DEFAULT ROLE `reader` FOR `u`@`%`",
		"GRANT ALL PRIVILEGES ON `own`.* TO `u`@`%`",
	})
	for _, c := range []struct {
		schema, table string
		want          bool
	}{
		{"shop_eu", "t", true}, {"shopXeu", "t", false}, {"tickets_2026", "t", true}, {"ticket", "t", false},
		{"a`b", "c.d", true}, {"a`b", "c", false}, {"cols", "t", false}, {"own", "t", true}, {"p", "q", false},
	} {
		if got := g.on(c.schema, c.table, "SELECT"); got != c.want {
			t.Errorf("SELECT on %s.%s = %v", c.schema, c.table, got)
		}
	}
	if !g.everywhere("REPLICATION SLAVE") || !g.everywhere("BINLOG MONITOR", "SUPER") || g.everywhere("REPLICATION CLIENT") {
		t.Errorf("global = %v", g.global)
	}
	if len(g.roles) != 1 || !strings.Contains(g.roles[0], "reader") {
		t.Errorf("roles = %q", g.roles)
	}
	all := parseGrants([]string{"GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION", "REVOKE SELECT ON `hidden`.* FROM `root`@`%`"})
	if !all.everywhere("REPLICATION SLAVE") || !all.on("any", "t", "SELECT") {
		t.Error("ALL PRIVILEGES must cover every one")
	}
	partial := parseGrants([]string{"GRANT SELECT ON *.* TO `u`@`%`", "REVOKE SELECT ON `hidden`.* FROM `u`@`%`"})
	if partial.on("hidden", "t", "SELECT") || !partial.on("shown", "t", "SELECT") {
		t.Error("a partial revoke must hold for its schema only")
	}
}

func FuzzGrants(f *testing.F) {
	f.Add("GRANT SELECT (`a`), INSERT ON `b`.* TO `u`@`%`", "b")
	f.Add("GRANT `r`@`%` TO `u`", "%\\")
	f.Add("GRANT SELECT ON `\\`.`", "ä")
	f.Fuzz(func(t *testing.T, line, schema string) {
		parseGrants([]string{line}).on(schema, "t", "SELECT")
	})
}

// stream is a Kinesis whose answers a test sets.
type stream struct {
	describe error
	summary  types.StreamDescriptionSummary
	list     error
	put      error
	get      error
	puts     []*kinesis.PutRecordsInput
}

func (s *stream) DescribeStreamSummary(context.Context, *kinesis.DescribeStreamSummaryInput, ...func(*kinesis.Options)) (*kinesis.DescribeStreamSummaryOutput, error) {
	return &kinesis.DescribeStreamSummaryOutput{StreamDescriptionSummary: &s.summary}, s.describe
}

func (s *stream) ListShards(context.Context, *kinesis.ListShardsInput, ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error) {
	return &kinesis.ListShardsOutput{Shards: []types.Shard{{ShardId: aws.String("shardId-0")}}}, s.list
}

func (s *stream) PutRecords(_ context.Context, in *kinesis.PutRecordsInput, _ ...func(*kinesis.Options)) (*kinesis.PutRecordsOutput, error) {
	s.puts = append(s.puts, in)
	return &kinesis.PutRecordsOutput{}, s.put
}

func (s *stream) GetShardIterator(context.Context, *kinesis.GetShardIteratorInput, ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error) {
	return &kinesis.GetShardIteratorOutput{ShardIterator: aws.String("it")}, nil
}

func (s *stream) GetRecords(context.Context, *kinesis.GetRecordsInput, ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
	return &kinesis.GetRecordsOutput{}, s.get
}

func healthy() *stream {
	return &stream{
		summary: types.StreamDescriptionSummary{
			StreamARN: aws.String("arn:aws:kinesis:eu-west-1:123456789012:stream/tickets"), StreamStatus: types.StreamStatusActive,
			OpenShardCount: aws.Int32(4), RetentionPeriodHours: aws.Int32(168),
			StreamModeDetails: &types.StreamModeDetails{StreamMode: types.StreamModeProvisioned},
		},
		put: &types.DryRunOperationException{},
	}
}

func denied(action string) error {
	return &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "not authorized to perform " + action}
}

func TestStream(t *testing.T) {
	cases := map[string]struct {
		change func(*stream)
		faults int
		want   []string
	}{
		"healthy":   {func(*stream) {}, 0, []string{"ACTIVE, 4 open shards, provisioned", "168 hours", "nothing was written", "GetRecords are allowed"}},
		"missing":   {func(s *stream) { s.describe = &types.ResourceNotFoundException{} }, 1, []string{"create-stream --stream-name tickets"}},
		"away":      {func(s *stream) { s.describe = errors.New("connection refused") }, 1, []string{"FAIL", "stream.endpoint"}},
		"denied":    {func(s *stream) { s.put = denied("kinesis:PutRecords") }, 1, []string{"FAIL  stream writable", `"kinesis:PutRecords"`, `stream/tickets"`}},
		"unread":    {func(s *stream) { s.get = denied("kinesis:GetRecords") }, 1, []string{"FAIL  stream readable", `"kinesis:GetRecords"`}},
		"auto":      {func(s *stream) { s.summary.RecordDistributionStrategy = types.RecordDistributionStrategyAuto }, 1, []string{"FAIL  stream distribution", "USER_PARTITION_KEY"}},
		"retention": {func(s *stream) { s.summary.RetentionPeriodHours = aws.Int32(24) }, 0, []string{"warn  stream retention", "increase-stream-retention-period"}},
		"deleting":  {func(s *stream) { s.summary.StreamStatus = types.StreamStatusDeleting }, 1, []string{"FAIL  stream", "DELETING"}},
		"expired":   {func(s *stream) { s.describe = &smithy.GenericAPIError{Code: "ExpiredTokenException"} }, 1, []string{"get-caller-identity"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := healthy()
			c.change(s)
			out, faults := run(t, Config{Stream: &Stream{API: s, Name: "tickets", Region: "eu-west-1", AWS: true, Write: true, Read: true}})
			if faults != c.faults {
				t.Errorf("%d faults, want %d:\n%s", faults, c.faults, out)
			}
			mustSay(t, out, c.want...)
			for _, put := range s.puts {
				if !aws.ToBool(put.DryRun) {
					t.Error("a record was written")
				}
			}
		})
	}
}

func TestStreamThatIsNotKinesisIsNotWrittenTo(t *testing.T) {
	s := healthy()
	out, faults := run(t, Config{Stream: &Stream{API: s, Name: "tickets", Write: true}})
	if faults != 0 || len(s.puts) > 0 {
		t.Errorf("%d faults, %d puts:\n%s", faults, len(s.puts), out)
	}
	mustSay(t, out, "not tried")
}

type prober struct{ err error }

func (p prober) Probe(context.Context, string) error { return p.err }
func (prober) String() string                        { return "s3://bucket" }

func TestDestination(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		faults int
		want   string
	}{
		"healthy":    {nil, 0, "refuses to overwrite"},
		"overwrites": {s3sink.ErrOverwrites, 1, "If-None-Match"},
		"no bucket":  {&smithy.GenericAPIError{Code: "NoSuchBucket"}, 1, "aws s3 mb s3://bucket"},
		"denied":     {&smithy.GenericAPIError{Code: "AccessDenied"}, 1, `"s3:PutObject","s3:GetObject"`},
		"away":       {errors.New("no route"), 1, "delivery.endpoint"},
	} {
		out, faults := run(t, Config{Destination: &Destination{Prober: prober{c.err}, Bucket: "bucket"}})
		if faults != c.faults || !strings.Contains(out, c.want) {
			t.Errorf("%s: %d faults:\n%s", name, faults, out)
		}
	}
	out, faults := run(t, Config{Destination: &Destination{Prober: s3sink.NewFile(t.TempDir()), Key: "check"}})
	if faults != 0 {
		t.Errorf("a folder: %s", out)
	}
}

func TestStore(t *testing.T) {
	dir := t.TempDir()
	store, err := checkpoint.OpenFile(dir)
	if err != nil {
		t.Fatal(err)
	}
	part := &Store{Store: store, Where: "file://" + dir, Names: []string{"replicate"}}
	out, faults := run(t, Config{Store: part})
	if faults != 0 {
		t.Errorf("%s", out)
	}
	mustSay(t, out, "has saved nothing yet")

	held, err := store.Lock(t.Context(), "replicate")
	if err != nil {
		t.Fatal(err)
	}
	out, _ = run(t, Config{Store: part})
	mustSay(t, out, "warn", "locked by process")
	if err := held.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Save(t.Context(), "replicate", []byte("{}"), checkpoint.None); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "replicate*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := os.WriteFile(f, []byte("broken"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, faults = run(t, Config{Store: part})
	if faults != 1 {
		t.Errorf("a damaged checkpoint: %d faults\n%s", faults, out)
	}
}

// refusal is what AWS answers to who may not.
var refusal = &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "not for you"}

func TestRemoteStore(t *testing.T) {
	server := testservers.Dynalite(t)
	table := &dynamo.Table{API: server.DynamoDB(), Name: "tickets", Region: "eu-west-1"}
	store := checkpoint.NewDynamoDB(table, time.Second)
	part := &Store{Store: store, Where: "dynamodb://tickets", Names: []string{"replicate"}, Table: table, Probe: store.Probe}
	out, faults := run(t, Config{Store: part})
	if faults != 0 {
		t.Errorf("a table that is missing is made at the start, and no fault:\n%s", out)
	}
	mustSay(t, out, "is made when the pipeline starts", "dynamodb:CreateTable")
	if there, err := table.Exists(t.Context()); there || err != nil {
		t.Errorf("a check made the table: %v, %v", there, err)
	}
	if err := table.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	out, faults = run(t, Config{Store: part})
	if faults != 0 {
		t.Errorf("%s", out)
	}
	mustSay(t, out, "keeps conditions", "has saved nothing yet")
	held, err := store.Lock(t.Context(), "replicate")
	if err != nil {
		t.Fatal(err)
	}
	out, _ = run(t, Config{Store: part})
	mustSay(t, out, "warn", "locked by process")
	if err := held.Release(); err != nil {
		t.Fatal(err)
	}
	part.Probe = func(context.Context) error { return table.Fault("PutItem", refusal) }
	out, faults = run(t, Config{Store: part})
	if faults != 1 {
		t.Errorf("a store that refuses: %d faults", faults)
	}
	mustSay(t, out, "allow dynamodb:PutItem", `"dynamodb:Scan"`, "arn:aws:dynamodb:eu-west-1:ACCOUNT:table/tickets")
	server.Kill()
	part.Timeout = 2 * time.Second
	out, faults = run(t, Config{Store: part})
	if faults != 1 {
		t.Errorf("a store that is away: %d faults", faults)
	}
	mustSay(t, out, "checkpoint.endpoint")
}

func TestStoreInABucket(t *testing.T) {
	refused := &Store{Where: "s3://archive/state", Bucket: "archive", Prefix: "state", Probe: func(context.Context) error { return refusal }}
	out, faults := run(t, Config{Store: refused})
	if faults != 1 {
		t.Errorf("%d faults", faults)
	}
	mustSay(t, out, `"s3:GetObject","s3:PutObject"`, "arn:aws:s3:::archive/state/*", `"s3:ListBucket"`)
	blind := &Store{Where: "s3://archive/state", Bucket: "archive", Probe: func(context.Context) error { return checkpoint.ErrIgnoresConditions }}
	if _, faults := run(t, Config{Store: blind}); faults != 1 {
		t.Errorf("a store without conditional writes: %d faults", faults)
	}
}
