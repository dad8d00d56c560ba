package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// memoryLimit is the default one.
const memoryLimit = 256 << 20

// TestMemory sends transactions that are larger than the memory limit, plain and compressed, and rows of the size of the
// largest record, through the replicate half with an embedded stream. bench has the same at full size.
func TestMemory(t *testing.T) {
	db := testservers.MySQL(t, testservers.Flags("--max-allowed-packet=1G", "--innodb-redo-log-capacity=1G"))
	db.MustExec(t, "CREATE DATABASE "+schemaName+" CHARACTER SET latin1", "CREATE DATABASE aside",
		// The engine logs rows and keeps none, which is all that is needed.
		"CREATE TABLE "+schemaName+".big (id BIGINT PRIMARY KEY, body LONGTEXT NOT NULL) ENGINE=BLACKHOLE",
		"CREATE TABLE aside.big LIKE "+schemaName+".big",
		"CREATE TABLE aside.pool (id INT PRIMARY KEY, body LONGTEXT NOT NULL)")
	const pieces, copies = 256, 10 // of 64 KiB
	for i := range pieces {
		random := make([]byte, 8<<10)
		_, _ = rand.Read(random)
		db.MustExec(t, fmt.Sprintf("INSERT INTO aside.pool VALUES (%d, RPAD('%s', 65536, 'x'))", i, hex.EncodeToString(random)))
	}
	p := &pipelineUnderTest{dir: t.TempDir()}
	p.config = writeConfig(t, p.dir, fmt.Sprintf(`
name: tickets
source: {host: 127.0.0.1, port: %d, user: root, password: "", tls: disabled}
replication:
  migration_type: cdc
  table_mappings:
    rules:
      - {rule-type: selection, rule-id: 1, rule-name: all, rule-action: include, object-locator: {schema-name: %s, table-name: "%%"}}
stream: {name: tickets, region: us-east-1, endpoint: embedded, embedded_directory: %q}
delivery: {destination: "file://%s"}
checkpoint: {store: "file://%s"}
http: {listen: "127.0.0.1:0"}
`, db.Port, schemaName, filepath.Join(p.dir, "stream"), filepath.Join(p.dir, "objects"), filepath.Join(p.dir, "state")))
	d := newDaemon(t, "replicate", "replicate", "-c", p.config)
	d.build = plainBinary
	d.start()
	p.awaitReplicated(t, db, d)

	transaction := []string{"BEGIN"}
	for i := range copies {
		transaction = append(transaction, fmt.Sprintf("INSERT INTO %s.big SELECT %d + id, body FROM aside.pool", schemaName, i*pieces))
	}
	transaction = append(transaction, "COMMIT")
	compressed := append([]string{"SET SESSION binlog_transaction_compression = ON"}, transaction...)
	rows := []string{"INSERT INTO aside.big SELECT 1, REPEAT('x', 200000000)"}
	for i := range 10 {
		rows = append(rows, fmt.Sprintf("INSERT INTO %s.big SELECT %d, REPEAT('%d', 1000000)", schemaName, i, i))
	}
	for what, sql := range map[string][]string{"plain": transaction, "compressed": compressed, "rows": rows} {
		db.MustExec(t, sql...)
		p.awaitReplicated(t, db, d)
		if peak := peakMemory(t, d.cmd.Process.Pid); peak > memoryLimit {
			t.Errorf("%s: %d MiB were resident", what, peak>>20)
		} else {
			t.Logf("%s: up to %d MiB were resident until then", what, peak>>20)
		}
	}
	d.stop()
	if !bytes.Contains([]byte(tail(d.log, 1<<20)), []byte("is intact and read once more")) {
		t.Error("the compressed transaction was too small to prove anything")
	}
}

// peakMemory is the largest resident set that a process has had.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := bytes.Cut(status, []byte("VmHWM:"))
	if !ok {
		t.Fatalf("no peak in %s", status)
	}
	kib, err := strconv.ParseInt(string(bytes.Fields(rest)[0]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
