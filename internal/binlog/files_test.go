package binlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// The checksums of a file are what the server was set to when it began it.
func testChecksums(t *testing.T, s *testservers.MySQLServer) {
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY)")
	b.exec("INSERT INTO t VALUES (1)", "SET GLOBAL binlog_checksum = NONE", "INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (3)",
		"SET GLOBAL binlog_checksum = CRC32", "INSERT INTO t VALUES (4)")
	all := b.recorder(b.start)
	err := b.read(b.start, all)
	lines := []string{"schema 6 t (id)"}
	for id := 1; id <= 4; id++ {
		lines = append(lines, "begin", fmt.Sprintf("t insert %d", id), "commit")
	}
	b.want(all, err, lines...)
	for i, from := range all.boundaries[:len(all.boundaries)-1] {
		from.pos.ServerUUID = b.info.UUID
		r := b.recorder(from.pos)
		err := b.read(from.pos, r)
		b.want(r, err, append([]string{lines[0]}, lines[1+3*(i+1):]...)...)
	}
}

// A server that had to leave changes out of its log says so, and that is not passed over.
func testIncident(t *testing.T, s *testservers.MySQLServer) {
	s.MustExec(t, "SET GLOBAL binlog_stmt_cache_size = 4096", "SET GLOBAL max_binlog_stmt_cache_size = 4096")
	defer s.MustExec(t, "SET GLOBAL max_binlog_stmt_cache_size = DEFAULT", "SET GLOBAL binlog_stmt_cache_size = DEFAULT")
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY, v TEXT) ENGINE=MyISAM", "CREATE TABLE other LIKE t")
	b.exec("INSERT INTO t VALUES (1, 'small')")
	b.attempt("!INSERT INTO other VALUES (1, REPEAT('x', 30000)), (2, REPEAT('x', 30000))")
	r := b.recorder(b.start)
	err := b.read(b.start, r)
	if ev, ok := errors.AsType[*EventError](err); !ok || !errors.Is(err, ErrIncident) || ev.Offset == 0 || !strings.Contains(err.Error(), b.start.File) {
		t.Errorf("got %v", err)
	}
	b.want(r, nil, "schema 6 t (id v)", "begin", `t insert 1 "small"`, "commit")

	// From behind it reading goes on, in the same file too.
	b.exec("INSERT INTO t VALUES (2, 'x')")
	behind := r.read(t, b)
	b.exec("INSERT INTO t VALUES (3, 'x')")
	r = b.recorder(behind)
	err = b.read(behind, r)
	b.want(r, err, "schema 6 t (id v)", "begin", `t insert 3 "x"`, "commit")
}

// A byte that was changed in the server's file is seen, and told with its place. Rows in front of it that describe
// themselves are read.
func TestDamagedFile(t *testing.T) {
	full := testservers.Flags("--binlog-row-metadata=FULL")
	s := testservers.MySQL(t, testservers.NoGTID(), full)
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY, v TEXT)")
	b.exec("INSERT INTO t VALUES (1, 'before')", "INSERT INTO t VALUES (2, 'DAMAGED')", "INSERT INTO t VALUES (3, 'behind')")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.DataDir(), b.start.File)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(data), "DAMAGED")
	data[at] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s.MustStartAgain(t)
	r := b.recorder(b.start)
	err = b.read(b.start, r)
	ev, ok := errors.AsType[*EventError](err)
	if !ok || !errors.Is(err, ErrCorrupt) || ev.File != b.start.File || ev.Offset == 0 || ev.Offset > uint64(at) || uint64(at)-ev.Offset > 100 {
		t.Errorf("got %v for damage at %d", err, at)
	}
	b.want(r, nil, "schema 6 t (id v)", "begin", `t insert 1 "before"`, "commit")
}

// File names get a seventh digit after 999999, and are not to be compared as texts.
func TestFilesBeyondSixDigits(t *testing.T) {
	s := testservers.MySQL(t, testservers.NoGTID())
	s.MustExec(t, "RESET BINARY LOGS AND GTIDS TO 999998")
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY)")
	for id := range 4 {
		b.exec(fmt.Sprintf("INSERT INTO t VALUES (%d)", id), "FLUSH BINARY LOGS")
	}
	all := b.recorder(b.start)
	var ids []uint64
	all.onRows = func(*Rows) error { ids = append(ids, all.tx.ID>>32); return nil }
	if err := b.read(b.start, all); err != nil {
		t.Fatal(err)
	}
	if want := []uint64{999998, 999999, 1000000, 1000001}; !slices.Equal(ids, want) {
		t.Errorf("transactions are in files %d, want %d", ids, want)
	}
	last := all.boundaries[len(all.boundaries)-1]
	if last.pos.File != "binlog.1000001" {
		t.Errorf("the last boundary is in %s", last.pos.File)
	}
	for _, from := range all.boundaries {
		if from.pos.Before(last.pos) != (from != last) {
			t.Errorf("%v is not before %v", from.pos, last.pos)
		}
		from.pos.ServerUUID = b.info.UUID
		r := b.recorder(from.pos)
		err := b.read(from.pos, r)
		r.lines = withoutDefinitions(r.lines)
		b.want(r, err, withoutDefinitions(all.lines[from.lines:])...)
	}
}

// A transaction across the border of 4 GiB, and the places behind it, which the dump command has no room for. The file is
// made by hand: its first 4 GiB are events that say that they may be ignored.
func TestFileBeyond4GiB(t *testing.T) {
	s := testservers.MySQL(t, testservers.NoGTID())
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY)")
	b.exec("BEGIN", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)", "COMMIT", "INSERT INTO t VALUES (3)", "FLUSH BINARY LOGS")
	next := b.recorder(b.start).read(t, b).File
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.DataDir(), b.start.File)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const border = 1 << 32
	move := stretch(t, path, data, int(b.start.Offset), border-250)
	s.MustStartAgain(t)

	start := b.start
	start.Offset += move
	r := b.recorder(start)
	var places []uint64
	r.onRows = func(rows *Rows) error { places = append(places, rows.Place.EventStart); return nil }
	err = b.read(start, r)
	b.want(r, err, "schema 6 t (id)", "begin", "t insert 1", "t insert 2", "commit", "begin", "t insert 3", "commit")
	if len(places) != 3 || places[0] >= border || places[2] <= border || !slices.IsSorted(places) {
		t.Errorf("rows are at %d", places)
	}
	if r.boundaries[0].pos.Offset <= border || r.boundaries[0].pos.File == next {
		t.Fatalf("boundaries are %v", r.boundaries)
	}
	from := r.boundaries[0].pos
	from.ServerUUID = b.info.UUID
	again := b.recorder(from)
	err = b.read(from, again)
	b.want(again, err, "schema 6 t (id)", "begin", "t insert 3", "commit")
}

// stretch writes a log file anew with the events from an offset on moved to where they stand at least at wanted, and says by
// how much that is. What fills the gap takes no room on the disk.
func stretch(t *testing.T, path string, data []byte, from int, wanted uint64) (move uint64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write := func(at uint64, b []byte) {
		t.Helper()
		if _, err := f.WriteAt(b, int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	write(0, data[:from])
	const filler = 32 << 20
	zeros := make([]byte, 1<<20)
	at := uint64(from)
	for at < wanted {
		size := min(wanted-at, filler)
		head := withHeader(replication.IGNORABLE_EVENT, nil)
		binary.LittleEndian.PutUint32(head[5:], 1)
		binary.LittleEndian.PutUint32(head[9:], uint32(size))
		binary.LittleEndian.PutUint32(head[13:], uint32(at+size))
		binary.LittleEndian.PutUint16(head[17:], replication.LOG_EVENT_IGNORABLE_F)
		sum := crc32.ChecksumIEEE(head)
		for left := size - eventHeader - checksumSize; left > 0; {
			n := min(left, uint64(len(zeros)))
			sum = crc32.Update(sum, crc32.IEEETable, zeros[:n])
			left -= n
		}
		write(at, head)
		at += size
		write(at-checksumSize, binary.LittleEndian.AppendUint32(nil, sum))
	}
	move = at - uint64(from)
	for rest := data[from:]; len(rest) > 0; {
		e := slices.Clone(rest[:binary.LittleEndian.Uint32(rest[9:])])
		rest = rest[len(e):]
		end := binary.LittleEndian.Uint32(e[13:])
		binary.LittleEndian.PutUint32(e[13:], end+uint32(move))
		binary.LittleEndian.PutUint32(e[len(e)-checksumSize:], crc32.ChecksumIEEE(e[:len(e)-checksumSize]))
		write(at, e)
		at += uint64(len(e))
	}
	return move
}

// A prepared XA transaction is refused where its rows are, although its end is in another file after a restart; one of a
// table that is not selected is not.
func TestXAPreparedAcrossRestart(t *testing.T) {
	s := testservers.MySQL(t)
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE other (id INT PRIMARY KEY)")
	prepare := func(xid, table string) {
		b.exec("XA START '"+xid+"'", fmt.Sprintf("INSERT INTO %s VALUES (%d)", table, xid[0]), "XA END '"+xid+"'", "XA PREPARE '"+xid+"'")
	}
	prepare("a", "other")
	prepare("b", "other")
	s.MustRestart(t)
	b.exec("XA COMMIT 'a'", "FLUSH BINARY LOGS", "XA ROLLBACK 'b'", "INSERT INTO t VALUES (7)")
	r := b.recorder(b.start)
	err := b.read(b.start, r)
	b.want(r, err, "commit", "commit", "commit", "commit", "schema 6 t (id)", "begin", "t insert 7", "commit")

	prepare("c", "t")
	s.MustRestart(t)
	b.exec("XA COMMIT 'c'", "FLUSH BINARY LOGS", "INSERT INTO t VALUES (8)")
	err = b.read(b.start, b.recorder(b.start))
	if te, ok := errors.AsType[*TableError](err); !ok || te.Name != "t" || !errors.Is(err, ErrXA) || te.Place.EventStart == 0 {
		t.Errorf("got %v", err)
	}
	// Behind the end of the transaction reading goes on, as the error says.
	behind := b.recorder(b.start).read(t, b)
	b.exec("INSERT INTO t VALUES (9)")
	r = b.recorder(behind)
	err = b.read(behind, r)
	b.want(r, err, "schema 6 t (id)", "begin", "t insert 9", "commit")
}

// An encrypted log comes in clear.
func TestEncryptedLog(t *testing.T) {
	s := testservers.MySQL(t, testservers.Keyring(), testservers.Flags("--binlog-encryption=ON"))
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY, v TEXT)")
	b.exec("INSERT INTO t VALUES (1, 'in clear')", "FLUSH BINARY LOGS", "INSERT INTO t VALUES (2, 'in clear')")
	data, err := os.ReadFile(filepath.Join(s.DataDir(), b.start.File))
	if err != nil || strings.Contains(string(data), "in clear") {
		t.Fatalf("the file is not encrypted; %v", err)
	}
	for _, from := range []source.Position{b.start, {File: b.start.File, Offset: b.start.Offset, ServerUUID: b.info.UUID}} {
		r := b.recorder(from)
		err = b.read(from, r)
		b.want(r, err, "schema 6 t (id v)", "begin", `t insert 1 "in clear"`, "commit", "begin", `t insert 2 "in clear"`, "commit")
	}
}
