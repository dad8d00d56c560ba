package testservers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("TESTSERVERS_DIE_IN"); dir != "" {
		dieWithServer(dir)
	}
	Main(m)
}

func TestMySQLHasWhatChangeCaptureNeeds(t *testing.T) {
	t.Parallel()
	s := SharedMySQL(t)
	got := s.MustQuery(t, "SELECT @@log_bin, @@binlog_format, @@binlog_row_image, @@gtid_mode, @@server_id, @@version")
	if want := "[1 ROW FULL ON 1 " + s.Program.Version; !strings.HasPrefix(fmt.Sprint(got[0]), want) {
		t.Errorf("settings = %v, want %s…", got[0], want)
	}
	if got := s.MustQuery(t, "SELECT @@gtid_executed"); got[0][0] != "" {
		t.Errorf("a new server has executed %q", got[0][0])
	}
}

func TestMariaDBHasWhatChangeCaptureNeeds(t *testing.T) {
	t.Parallel()
	old, newer := SharedMariaDB(t), SharedMariaDBNew(t)
	for _, s := range []*MySQLServer{old, newer} {
		got := s.MustQuery(t, "SELECT @@log_bin, @@binlog_format, @@binlog_row_image, @@server_id")
		if want := "[1 ROW FULL 1]"; fmt.Sprint(got[0]) != want {
			t.Errorf("settings of %s = %v, want %s", s.Program.Version, got[0], want)
		}
	}
	if old.Program.Version == newer.Program.Version {
		t.Errorf("both are %s", old.Program.Version)
	}
}

func TestRowsOutliveKillAndRestart(t *testing.T) {
	t.Parallel()
	s := MySQL(t, NoGTID(), ServerID(7), Flags("--binlog-row-image=MINIMAL"))
	db := s.Database(t)
	s.MustExec(t, "CREATE TABLE "+db+".t (id INT PRIMARY KEY)", "INSERT INTO "+db+".t VALUES (1), (2)")
	port := s.Port

	s.Kill()
	if err := s.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("the server still answers after Kill")
	}
	s.MustStartAgain(t)
	s.MustRestart(t, "--binlog-rows-query-log-events=ON")

	got := s.MustQuery(t, "SELECT COUNT(*), @@server_id, @@gtid_mode, @@binlog_row_image, @@binlog_rows_query_log_events, @@port FROM "+db+".t")
	if want := "[2 7 OFF MINIMAL 1 " + strconv.Itoa(port) + "]"; fmt.Sprint(got[0]) != want {
		t.Errorf("after kill and restart: %v, want %s", got[0], want)
	}
}

func TestServersHaveTheirOwnIdentity(t *testing.T) {
	t.Parallel()
	a, b := MySQL(t), SharedMySQL(t)
	id := func(s *MySQLServer) string { return s.MustQuery(t, "SELECT @@server_uuid")[0][0] }
	if id(a) == id(b) {
		t.Errorf("two servers have the same UUID %s", id(a))
	}
}

func TestPausedServerDoesNotAnswerUntilResumed(t *testing.T) {
	t.Parallel()
	s := MariaDB(t)
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if conn, err := s.Connect(ctx, ""); err == nil {
		conn.Close()
		t.Error("a paused server answers")
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	s.MustExec(t, "SELECT 1")
}

func TestKinesisStandIns(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T) *AWSServer{
		"kinesalite": func(t *testing.T) *AWSServer {
			s := Kinesalite(t)
			s.CreateStream(t, "orders", 2)
			return s
		},
		"kinesis-local": func(t *testing.T) *AWSServer { return KinesisLocal(t, "orders:2") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			stream, key := "orders", "a"
			if _, err := s.Kinesis().PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: &stream, PartitionKey: &key, Data: []byte("x")}); err != nil {
				t.Fatal(err)
			}
			shards, err := s.Kinesis().ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: &stream})
			if err != nil {
				t.Fatal(err)
			}
			if len(shards.Shards) != 2 {
				t.Errorf("%d shards, want 2", len(shards.Shards))
			}
			s.Kill()
			if _, err := os.Stat(s.Log); err != nil {
				t.Error(err)
			}
			s.MustStartAgain(t)
			if _, err := s.Kinesis().ListStreams(t.Context(), &kinesis.ListStreamsInput{}); err != nil {
				t.Errorf("after a restart: %v", err)
			}
		})
	}
}

func TestVersityGWRefusesASecondCreation(t *testing.T) {
	t.Parallel()
	s := VersityGW(t)
	s.CreateBucket(t, "objects")
	bucket, key, only := "objects", "k", "*"
	put := func() error {
		_, err := s.S3().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, IfNoneMatch: &only, Body: strings.NewReader("x")})
		return err
	}
	if err := put(); err != nil {
		t.Fatal(err)
	}
	if err := put(); err == nil || !strings.Contains(err.Error(), "PreconditionFailed") {
		t.Errorf("second create-only PUT: %v, want PreconditionFailed", err)
	}
}

func TestDynalite(t *testing.T) {
	t.Parallel()
	s := Dynalite(t)
	if !strings.HasPrefix(s.Endpoint, "http://127.0.0.1:") {
		t.Errorf("endpoint %q", s.Endpoint)
	}
}

func TestMissingServerNamesTheCure(t *testing.T) {
	t.Setenv("BINLOGSTREAMER_TEST_SERVERS", t.TempDir())
	_, _, err := node("kinesalite", "cli.js")
	if err == nil {
		t.Fatal("found kinesalite in an empty folder")
	}
	if msg := missing("kinesalite", err).Error(); !strings.Contains(msg, "scripts/install-test-servers") {
		t.Errorf("no cure in %q", msg)
	}
}

// dieWithServer is the body of the child process of TestServerDiesWithTheTestBinary.
func dieWithServer(dir string) {
	s, err := StartMariaDB(context.Background(), dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(s.PID())
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

func TestServerDiesWithTheTestBinary(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TESTSERVERS_DIE_IN="+tempDir(t))
	out, err := cmd.Output()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("the child was not killed: %v", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for running(pid) {
		select {
		case <-ctx.Done():
			t.Fatalf("the server %d outlived the process that started it", pid)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// running is false for a process that is gone or only waits for its parent to take its exit code.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestFindRefusesMariaDBAsMySQL(t *testing.T) {
	p, err := dbserver.Find(dbserver.MySQL)
	if err != nil {
		t.Fatal(err)
	}
	if p.Flavor != dbserver.MySQL {
		t.Errorf("found %s %s at %s", p.Flavor, p.Version, p.Path)
	}
}
