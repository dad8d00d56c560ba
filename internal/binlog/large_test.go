package binlog

import (
	"bytes"
	"cmp"
	"compress/zlib"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// small makes nearly every event a large one.
var small = limits{whole: 60, event: 120, statement: 150, block: 7}

// sent puts events on the wire, each in a packet with a zero byte in front.
func sent(events [][]byte) []byte {
	var out []byte
	for i, e := range events {
		n := len(e) + 1
		out = append(append(out, byte(n), byte(n>>8), byte(n>>16), byte(i), 0), e...)
	}
	return out
}

// connections reads a script's events as often as the stream asks for another connection, each time from the last boundary
// on. change may do something to the events of the n-th.
func connections(s *stream, sc *script, change func(n int, events [][]byte)) (n int, err error) {
	for {
		events := slices.Clone(sc.events)
		if change != nil {
			change(n, events)
		}
		from := s.progress.boundary
		again := new(script).start(from.File, from.Offset)
		for i := 2; i < len(events); i++ {
			if uint64(binary.LittleEndian.Uint32(sc.events[i][13:])) > from.Offset {
				again.events = append(again.events, events[i])
			}
		}
		if n == 0 {
			again.events = events
		}
		next := newStream(s.r, s.progress, s.tables, source.NewPackets(bytes.NewReader(sent(again.events)), 0))
		err = next.run(context.Background(), func() {})
		s.progress.part = next.part()
		if n++; !errors.Is(err, errReadAgain) || n > 2*maxAgain {
			return n, err
		}
	}
}

func largeScript() *script {
	return new(script).start("b.000007", 100).
		gtid(1).query("BEGIN").add(replication.ROWS_QUERY_EVENT, 0, make([]byte, 500)...).
		table(1, "t").table(2, "u").insert(2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26).
		insert(1, 1, 2, 3, 4, 5, 6).xid().
		gtid(2).payload(func(p *script) {
		p.query("BEGIN").table(2, "u").insert(2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26).
			table(1, "t").insert(1, 3).insert(1, 4, 5, 6, 7, 8, 9).xid()
	}).
		gtid(3).query("CREATE TABLE t9 (a INT /* and a comment that makes it long */)")
}

// Events that are taken in pieces give what they give in one piece.
func TestLargeEvents(t *testing.T) {
	sc := largeScript()
	from := source.Position{File: "b.000007", Offset: 100}
	whole := newRecorder(t)
	if err := play(offline(t, whole, from), sc.events); err != nil {
		t.Fatal(err)
	}
	pieces := newRecorder(t)
	s := offline(t, pieces, from)
	s.r.limits = small
	n, err := connections(s, sc, nil)
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if n != 2 {
		t.Errorf("%d connections", n)
	}
	if len(whole.lines) < 10 || !slices.Equal(whole.lines, pieces.lines) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(pieces.lines, "\n"), strings.Join(whole.lines, "\n"))
	}
	if pieces.boundaries[len(pieces.boundaries)-1] != whole.boundaries[len(whole.boundaries)-1] {
		t.Errorf("boundaries are %v and %v", pieces.boundaries, whole.boundaries)
	}
}

// A large event that is damaged is refused before anything of it is handed over, also if the damage comes only with the
// second reading.
func TestLargeEventsSeeDamage(t *testing.T) {
	sc := largeScript()
	from := source.Position{File: "b.000007", Offset: 100}
	right := newRecorder(t)
	if err := play(offline(t, right, from), sc.events); err != nil {
		t.Fatal(err)
	}
	payload := slices.IndexFunc(sc.events, func(e []byte) bool { return replication.EventType(e[4]) == replication.TRANSACTION_PAYLOAD_EVENT })
	readings := [][]int{{0}, {0, 1}, {1}} // what stands before the payload is read once, itself twice, the rest on the second connection
	for i, e := range sc.events[2:] {
		for at := range e {
			for _, reading := range readings[cmp.Compare(2+i, payload)+1] {
				rec := newRecorder(t)
				s := offline(t, rec, from)
				s.r.limits = small
				_, err := connections(s, sc, func(n int, events [][]byte) {
					if n == reading {
						events[2+i] = slices.Clone(e)
						events[2+i][at] ^= 0x10
					}
				})
				inChecksum := reading == 1 && at >= len(e)-checksumSize // of what was verified already
				if !errors.Is(err, ErrCorrupt) && !inChecksum {
					t.Fatalf("reading %d: byte %d of event %d is changed, and that gives %v", reading, at, i, err)
				}
				for _, l := range rec.lines {
					if !slices.Contains(right.lines, l) {
						t.Fatalf("reading %d: byte %d of event %d is changed, and %q came out", reading, at, i, l)
					}
				}
			}
		}
	}
}

// A payload that never comes from where it came is not asked for forever.
func TestLargePayloadThatMoves(t *testing.T) {
	sc := largeScript()
	s := offline(t, newRecorder(t), source.Position{File: "b.000007", Offset: 100})
	s.r.limits = small
	n, err := connections(s, sc, func(n int, events [][]byte) {
		for i, e := range events {
			if replication.EventType(e[4]) == replication.TRANSACTION_PAYLOAD_EVENT {
				e = slices.Clone(e)
				binary.LittleEndian.PutUint32(e[13:], binary.LittleEndian.Uint32(e[13:])+uint32(n))
				binary.LittleEndian.PutUint32(e[len(e)-checksumSize:], crc32.ChecksumIEEE(e[:len(e)-checksumSize]))
				events[i] = e
			}
		}
	})
	if _, ok := errors.AsType[*EventError](err); !ok || !errors.Is(err, ErrCorrupt) || n != maxAgain+1 {
		t.Errorf("after %d connections: %v", n, err)
	}
}

// What is not taken into memory although it is needed is refused by name, wherever it stands.
func TestTooLarge(t *testing.T) {
	begin := func() *script { return new(script).start("b.000001", 4).gtid(1).query("BEGIN") }
	rows := make([]uint32, 40)
	pressed := testPressed(rows)
	for name, sc := range map[string]*script{
		"rows":                    begin().table(1, "t").insert(1, rows...),
		"rows in a payload":       new(script).start("b.000001", 4).gtid(1).payload(func(p *script) { p.query("BEGIN").table(1, "t").insert(1, rows...).xid() }),
		"rows that are inflated":  begin().table(1, "t").add(replication.MARIADB_WRITE_ROWS_COMPRESSED_EVENT_V1, 0, pressed...),
		"statement":               begin().query("CREATE TABLE t (a INT) /*" + strings.Repeat("long ", 50) + "*/"),
		"statement in a payload":  new(script).start("b.000001", 4).gtid(1).payload(func(p *script) { p.query("CREATE TABLE t (a INT) /*" + strings.Repeat("long ", 50) + "*/") }),
		"rows of an unknown type": begin().table(1, "t").add(99, 0, make([]byte, 200)...),
	} {
		rec := newRecorder(t)
		s := offline(t, rec, source.Position{File: "b.000001", Offset: 4})
		s.r.limits = small
		_, err := connections(s, sc, nil)
		want := ErrTooLarge
		if strings.HasSuffix(name, "type") {
			want = ErrUnknownEvent
		}
		if !errors.Is(err, want) || !final(err, true) || !strings.Contains(err.Error(), "b.000001:") || strings.Contains(err.Error(), "b.000001:0") {
			t.Errorf("%s: got %v", name, err)
		}
		if te, ok := errors.AsType[*TableError](err); strings.HasPrefix(name, "rows ") && want == ErrTooLarge && (!ok || te.Name != "t") {
			t.Errorf("%s: %v names no table", name, err)
		}
	}
}

// A packet that ends before or after its event is damage; a connection that breaks within one is not.
func TestLargePacketFraming(t *testing.T) {
	sc := largeScript()
	for i, e := range sc.events[2:] {
		if len(e) <= small.whole {
			continue
		}
		for what, change := range map[string]func([]byte) []byte{
			"short": func(b []byte) []byte { return b[:len(b)-1] }, "long": func(b []byte) []byte { return append(slices.Clone(b), 0) },
		} {
			s := offline(t, newRecorder(t), source.Position{File: "b.000007", Offset: 100})
			s.r.limits = small
			_, err := connections(s, sc, func(_ int, events [][]byte) { events[2+i] = change(e) })
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("event %d is too %s, and that gives %v", i, what, err)
			}
		}
	}
	for i, e := range sc.events {
		for n := range e {
			s := offline(t, newRecorder(t), source.Position{File: "b.000007", Offset: 100})
			s.r.limits = small
			wire := sent(sc.events[:i+1])
			next := newStream(s.r, s.progress, s.tables, source.NewPackets(bytes.NewReader(wire[:len(wire)-len(e)+n]), 0))
			err := next.run(context.Background(), func() {})
			if errors.Is(err, errReadAgain) {
				break // the rest comes with another connection
			}
			if final(err, true) || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("a connection that breaks after %d bytes of event %d gives %v", n, i, err)
			}
		}
		if replication.EventType(e[4]) == replication.TRANSACTION_PAYLOAD_EVENT {
			break
		}
	}
}

// testPressed is a compressed rows event of a table of one INT column.
func testPressed(values []uint32) []byte {
	var image []byte
	for _, v := range values {
		image = binary.LittleEndian.AppendUint32(append(image, 0), v)
	}
	return append([]byte{1, 0, 0, 0, 0, 0, 1, 0, 1, 0xff}, deflated(image)...)
}

// Nothing is lost or doubled when connections break within a large compressed transaction of a real server.
func TestLargePayloadKilled(t *testing.T) {
	b := newBench(t, testservers.SharedMySQL(t), "CREATE TABLE t (id INT PRIMARY KEY, v LONGTEXT)", "CREATE TABLE other (id INT PRIMARY KEY, v LONGTEXT)")
	const rows = 60
	statements := []string{"SET SESSION binlog_transaction_compression = ON", "BEGIN", "INSERT INTO other VALUES (1, REPEAT('o', 2000000))"}
	for i := range rows {
		random := make([]byte, 200_000)
		_, _ = rand.Read(random)
		statements = append(statements, fmt.Sprintf("INSERT INTO t VALUES (%d, '%x')", i, random))
	}
	b.exec(append(statements, "COMMIT", "SET SESSION binlog_transaction_compression = OFF", "INSERT INTO t VALUES (1000, 'end')")...)
	events, kills, connected, due := 0, 0, 0, false
	r := b.recorder(b.start)
	cfg := b.config()
	cfg.Handler = untilEndOf{handlerFunc{r, func(rows *Rows) error {
		events++
		if due = due || events%10 == 1; due && kills < 3 { // at first while most of the transaction is still to be sent
			n := b.killDumps()
			kills, due = kills+n, n == 0
		}
		return r.Rows(t.Context(), rows)
	}}, r.read(t, b)}
	reader := New(cfg)
	reader.limits = limits{whole: 100_000, event: 1 << 20, statement: 1 << 20, block: 64 << 10}
	reader.onReady = func(n int) { connected = n }
	if err := reader.Run(t.Context(), b.start); !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	inserts := slices.DeleteFunc(slices.Clone(r.lines), func(l string) bool { return !strings.HasPrefix(l, "t insert ") })
	if len(inserts) != rows+1 || len(r.places) != rows+1 || len(slices.Compact(inserts)) != rows+1 {
		t.Errorf("%d inserts at %d places", len(inserts), len(r.places))
	}
	if kills == 0 || connected < 3 { // one to verify, one that was killed, one to go on
		t.Errorf("%d connections were killed, %d were made", kills, connected)
	}
}

// deflated is how MariaDB writes the compressed part of an event.
func deflated(data []byte) []byte {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write(data)
	_ = w.Close()
	return append([]byte{0x80 | 4, byte(len(data) >> 24), byte(len(data) >> 16), byte(len(data) >> 8), byte(len(data))}, b.Bytes()...)
}
