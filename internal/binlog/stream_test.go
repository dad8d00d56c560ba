package binlog

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/replication"
	"github.com/klauspost/compress/zstd"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// script builds the events of a stream, as a server with checksums sends them.
type script struct {
	events [][]byte
	at     uint64
	plain  bool // inside a payload: no checksum, no positions
}

func (s *script) add(k replication.EventType, flags uint16, body ...byte) *script {
	b := withHeader(k, body)
	if !s.plain {
		b = append(b, 0, 0, 0, 0)
	}
	binary.LittleEndian.PutUint32(b[9:], uint32(len(b)))
	binary.LittleEndian.PutUint16(b[17:], flags)
	if !s.plain {
		if flags&replication.LOG_EVENT_ARTIFICIAL_F == 0 {
			s.at += uint64(len(b))
			binary.LittleEndian.PutUint32(b[13:], uint32(s.at))
		}
		binary.LittleEndian.PutUint32(b[len(b)-4:], crc32.ChecksumIEEE(b[:len(b)-4]))
	}
	s.events = append(s.events, b)
	return s
}

func (s *script) rotate(file string, offset uint64, flags uint16) *script {
	s.add(replication.ROTATE_EVENT, flags, append(binary.LittleEndian.AppendUint64(nil, offset), file...)...)
	s.at = offset
	return s
}

func (s *script) format() *script {
	body := append(binary.LittleEndian.AppendUint16(nil, 4), make([]byte, 50)...)
	copy(body[2:], "8.0.40")
	body = append(body, 0, 0, 0, 0, eventHeader)
	lengths := make([]byte, 42)
	lengths[replication.TABLE_MAP_EVENT-1] = 8
	for _, k := range []replication.EventType{replication.WRITE_ROWS_EVENTv2, replication.UPDATE_ROWS_EVENTv2, replication.DELETE_ROWS_EVENTv2} {
		lengths[k-1] = 10
	}
	body = append(body, lengths...)
	return s.add(replication.FORMAT_DESCRIPTION_EVENT, 0, append(body, byte(replication.BINLOG_CHECKSUM_ALG_CRC32))...)
}

// start is what every dump begins with.
func (s *script) start(file string, offset uint64) *script {
	s.rotate(file, offset, replication.LOG_EVENT_ARTIFICIAL_F)
	s.format()
	f := s.events[len(s.events)-1]
	binary.LittleEndian.PutUint32(f[13:], 0) // it stands at the start of the file, not here
	s.at = offset
	return s
}

func (s *script) gtid(n uint64) *script {
	body := make([]byte, 25)
	body[1] = 0xaa
	binary.LittleEndian.PutUint64(body[17:], n)
	return s.add(replication.GTID_EVENT, 0, body...)
}

func (s *script) query(text string) *script {
	body := make([]byte, 13)
	body[8] = 2
	return s.add(replication.QUERY_EVENT, 0, append(append(body, "db\x00"...), text...)...)
}

// table maps an id to a table of one INT column.
func (s *script) table(id byte, name string) *script {
	body := append([]byte{id, 0, 0, 0, 0, 0, 1, 0, 2}, "db\x00"...)
	body = append(append(append(body, byte(len(name))), name...), 0)
	return s.add(replication.TABLE_MAP_EVENT, 0, append(body, 1, 3, 0, 0)...)
}

// insert writes rows of one INT column.
func (s *script) insert(id byte, values ...uint32) *script {
	body := []byte{id, 0, 0, 0, 0, 0, 1, 0, 2, 0, 1, 0xff}
	for _, v := range values {
		body = binary.LittleEndian.AppendUint32(append(body, 0), v)
	}
	return s.add(replication.WRITE_ROWS_EVENTv2, 0, body...)
}

func (s *script) xid() *script { return s.add(replication.XID_EVENT, 0, make([]byte, 8)...) }

// payload compresses the events that fill adds.
func (s *script) payload(fill func(*script)) *script {
	inner := &script{plain: true}
	fill(inner)
	w, _ := zstd.NewWriter(nil)
	data := w.EncodeAll(slices.Concat(inner.events...), nil)
	body := []byte{payloadSize, 3, 0xfc, byte(len(data)), byte(len(data) >> 8), payloadCompression, 1, compressionZstd, payloadEnd}
	return s.add(replication.TRANSACTION_PAYLOAD_EVENT, 0, append(body, data...)...)
}

// offline is a stream without a connection.
func offline(t testing.TB, rec *recorder, from source.Position) *stream {
	set, err := ParseGTIDSet(source.MySQL, "")
	if err != nil {
		t.Fatal(err)
	}
	r := New(Config{
		Handler:  rec,
		Selected: func(_, table string) bool { return strings.HasPrefix(table, "t") },
		LoadTable: func(_ context.Context, schemaName, name string) (*schema.Table, error) {
			return &schema.Table{Schema: schemaName, Name: name, Columns: []schema.Column{{Name: "id", Type: schema.Int, ColumnType: "int"}}}, nil
		},
	})
	r.catalog.sets = charsets{}
	r.catalog.end = func(context.Context) (source.Position, error) { return source.Position{}, nil }
	p := &progress{boundary: from, set: set, server: source.Server{Flavor: source.MySQL, Version: "8.0.40"}}
	return newStream(r, p, newTables(r.cfg.Selected), nil)
}

func play(s *stream, events [][]byte) error {
	for _, e := range events {
		if err := s.take(context.Background(), e); err != nil {
			return err
		}
	}
	return nil
}

func newRecorder(t testing.TB) *recorder { return &recorder{t: t, places: map[string]bool{}} }

func TestStreamFraming(t *testing.T) {
	rec := newRecorder(t)
	rec.idle = true
	s := offline(t, rec, source.Position{File: "b.000007", Offset: 100})
	sc := new(script).start("b.000007", 100).
		gtid(1).query("BEGIN").table(1, "t").table(2, "u").insert(2, 8).insert(1, 1, 2).xid().
		gtid(2).query("CREATE TABLE t9 (a INT)").
		gtid(3).query("BEGIN").query("COMMIT").
		rotate("b.000008", 4, 0)
	sc.start("b.000008", 4).gtid(4).payload(func(p *script) { p.query("BEGIN").table(1, "t").insert(1, 3).insert(1, 4, 5).xid() })
	if err := play(s, sc.events); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"idle", "schema 6 t (id)", "begin", "t insert 1", "t insert 2", "commit", "schema 1 t9", "commit", "commit", "idle", "idle",
		"begin", "t insert 3", "t insert 4", "t insert 5", "commit",
	}
	if !slices.Equal(rec.lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(rec.lines, "\n"), strings.Join(want, "\n"))
	}
	if got := s.progress.set.String(); got != "aa000000-0000-0000-0000-000000000000:1-4" {
		t.Errorf("set is %s", got)
	}
	if last := rec.boundaries[len(rec.boundaries)-1].pos; last.File != "b.000008" || last.Offset != sc.at {
		t.Errorf("last boundary is %v, want offset %d", last, sc.at)
	}
}

// A connection that breaks while it repeats what an earlier one handed over does not shorten what is skipped next time.
func TestInterruptedTwice(t *testing.T) {
	rec := newRecorder(t)
	s := offline(t, rec, source.Position{File: "b.000001", Offset: 100})
	tx := new(script).start("b.000001", 100).gtid(1).query("BEGIN").table(1, "t").insert(1, 1).insert(1, 2).insert(1, 3).xid()
	ends := []int{7, 2, 6, 5, 8, 9} // events that each connection brings
	for _, n := range ends {
		next := newStream(s.r, s.progress, s.tables, nil)
		if err := play(next, tx.events[:n]); err != nil {
			t.Fatal(err)
		}
		s.progress.part = next.part()
	}
	want := []string{"schema 6 t (id)", "begin", "t insert 1", "t insert 2", "t insert 3", "commit"}
	if !slices.Equal(rec.lines, want) {
		t.Errorf("got\n%s", strings.Join(rec.lines, "\n"))
	}
	// Another transaction in its place is an error.
	s.progress.part = part{id: 5, begun: true, events: 1}
	s.progress.boundary.Offset = 100
	if err := play(newStream(s.r, s.progress, s.tables, nil), tx.events); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

func TestStreamRefuses(t *testing.T) {
	begin := func() *script { return new(script).start("b.000001", 4).gtid(1).query("BEGIN") }
	for name, c := range map[string]struct {
		sc   *script
		want error
	}{
		"incident":                   {begin().add(replication.INCIDENT_EVENT, 0, 1, 0, 0), ErrIncident},
		"unknown event":              {begin().add(99, 0, 1, 2, 3), ErrUnknownEvent},
		"old rows event":             {begin().add(replication.WRITE_ROWS_EVENTv0, 0, 1, 2, 3), ErrUnknownEvent},
		"rows without map":           {begin().insert(1, 1), ErrCorrupt},
		"map of another transaction": {begin().table(1, "t").insert(1, 1).xid().gtid(2).query("BEGIN").insert(1, 1), ErrCorrupt},
		"rows outside a transaction": {new(script).start("b.000001", 4).table(1, "t").insert(1, 1), ErrCorrupt},
		"no end":                     {begin().table(1, "t").insert(1, 1).gtid(2), ErrCorrupt},
		"no end in the file":         {begin().table(1, "t").insert(1, 1).rotate("b.000002", 4, 0).start("b.000002", 4), ErrCorrupt},
		"rolled back":                {begin().table(1, "t").insert(1, 1).query("ROLLBACK"), ErrRolledBack},
		"rolled back to savepoint":   {begin().table(1, "t").insert(1, 1).query("ROLLBACK TO `s`"), ErrRolledBack},
		"unlogged rows":              {begin().query("INSERT INTO t VALUES (1)"), ErrNotRowFormat},
		"unlogged load":              {begin().add(replication.EXECUTE_LOAD_QUERY_EVENT, 0, append(make([]byte, 26), "\x00LOAD DATA INFILE 'x' INTO TABLE t"...)...), ErrNotRowFormat},
		"hidden effect":              {begin().query("SELECT f()"), ErrNotRowFormat},
		"row cut off":                {begin().table(1, "t").add(replication.WRITE_ROWS_EVENTv2, 0, 1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 1, 0xff, 0, 1), schema.ErrCorrupt},
		"other width":                {begin().table(1, "t").add(replication.WRITE_ROWS_EVENTv2, 0, 1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 2, 0xff, 0, 1), ErrCorrupt},
	} {
		rec := newRecorder(t)
		err := play(offline(t, rec, source.Position{File: "b.000001", Offset: 4}), c.sc.events)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		} else if !final(err, true) {
			t.Errorf("%s: %v would be tried again", name, err)
		} else if !strings.Contains(err.Error(), "b.00000") {
			t.Errorf("%s: %v names no place", name, err)
		}
	}
	// An event that says that it may be ignored, is; the same with unlogged changes of tables that are not selected.
	fine := begin().add(99, replication.LOG_EVENT_IGNORABLE_F, 1).query("INSERT INTO u VALUES (1)").query("UPDATE x.u SET a = 1").xid()
	if err := play(offline(t, newRecorder(t), source.Position{File: "b.000001", Offset: 4}), fine.events); err != nil {
		t.Error(err)
	}
}

func TestStreamSeesDamage(t *testing.T) {
	sc := new(script).start("b.000001", 4).gtid(1).query("BEGIN").table(1, "t").insert(1, 1).xid()
	for i := 2; i < len(sc.events); i++ {
		for at := range sc.events[i] {
			events := slices.Clone(sc.events)
			events[i] = slices.Clone(events[i])
			events[i][at] ^= 0x10
			if err := play(offline(t, newRecorder(t), source.Position{File: "b.000001", Offset: 4}), events); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("byte %d of event %d is changed, and that gives %v", at, i, err)
			}
		}
	}
}

func TestCursorBeyond4GiB(t *testing.T) {
	const gib = 1 << 30
	c := cursor{end: 4*gib - 100}
	e := event{kind: replication.XID_EVENT, size: 300, logPos: 200}
	if err := c.place(&e, false); err != nil || e.start != 4*gib-100 || e.end != 4*gib+200 || c.end != e.end {
		t.Errorf("over the border: %d to %d, %v", e.start, e.end, err)
	}
	e = event{kind: replication.XID_EVENT, size: 50, logPos: 5000}
	if err := c.place(&e, false); err != nil || e.start != 4*gib+4950 || e.end != 4*gib+5000 {
		t.Errorf("after events that were left out: %d to %d, %v", e.start, e.end, err)
	}
	e = event{kind: replication.XID_EVENT, size: 50, logPos: 5000}
	if err := c.place(&e, false); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a step back gives %v", err)
	}
	e = event{kind: replication.XID_EVENT, size: 50}
	if err := c.place(&e, true); err != nil || e.start != 4*gib+5000 || e.end != 4*gib+5050 {
		t.Errorf("without a position: %d to %d, %v", e.start, e.end, err)
	}
	for _, e := range []event{
		{kind: replication.HEARTBEAT_EVENT, size: 50, logPos: 1}, {kind: replication.FORMAT_DESCRIPTION_EVENT, size: 50},
		{kind: replication.ROTATE_EVENT, size: 50, logPos: 9, flags: replication.LOG_EVENT_ARTIFICIAL_F},
	} {
		if err := c.place(&e, true); err != nil || c.end != 4*gib+5050 {
			t.Errorf("%v moves the cursor to %d, %v", e.kind, c.end, err)
		}
	}
}

// Whatever a server sends, reading it ends in an error or goes on; it never panics.
func FuzzStream(f *testing.F) {
	sc := new(script).start("b.000007", 100).gtid(1).query("BEGIN").table(1, "t").table(2, "u").insert(2, 8).insert(1, 1, 2).xid().
		payload(func(p *script) { p.query("BEGIN").table(1, "t").insert(1, 3).xid() })
	for i := 2; i < len(sc.events); i++ {
		e := sc.events[i]
		f.Add(e[4], e[eventHeader:len(e)-4])
	}
	f.Add(byte(replication.HEARTBEAT_LOG_EVENT_V2), []byte("\x01\x08b.000007\x02\x01\x05\x00"))
	f.Add(byte(replication.GTID_TAGGED_LOG_EVENT), []byte{2, 0, 0, 1})
	f.Add(byte(replication.MARIADB_GTID_EVENT), make([]byte, 19))
	f.Add(byte(replication.MARIADB_WRITE_ROWS_COMPRESSED_EVENT_V1), []byte{1, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0x81, 5, 1, 2})
	f.Add(byte(replication.MARIADB_QUERY_COMPRESSED_EVENT), make([]byte, 20))
	f.Fuzz(func(t *testing.T, kind byte, body []byte) {
		if len(body) > 1<<16 {
			return
		}
		rec := newRecorder(quiet{t})
		s := offline(t, rec, source.Position{File: "b.000007", Offset: 100})
		ev := new(script).start("b.000007", 100).gtid(1).query("BEGIN").table(1, "t").add(replication.EventType(kind), 0, body...).
			insert(1, 5).xid()
		_ = play(s, ev.events)
		s = offline(t, newRecorder(quiet{t}), source.Position{File: "b.000007", Offset: 100})
		s.r.limits = small
		if n, _ := connections(s, ev, nil); n > 3 {
			t.Errorf("%d connections were made", n)
		}
	})
}

// quiet keeps a recorder from failing a test over values that are nonsense by design.
type quiet struct{ testing.TB }

func (quiet) Errorf(string, ...any) {}

// steady is a stream that has read its start, and what reads a transaction of one row once more.
func steady(t testing.TB, kind replication.EventType) (s *stream, again func()) {
	s = offline(t, nil, source.Position{File: "b.000001", Offset: 4})
	s.h = nothing{}
	if err := play(s, new(script).start("b.000001", 4).events); err != nil {
		t.Fatal(err)
	}
	tx := &script{at: 4}
	tx.gtid(1).query("BEGIN").table(1, "t").insert(1, 1).xid()
	tx.events[0][4] = byte(kind)
	binary.LittleEndian.PutUint32(tx.events[0][len(tx.events[0])-4:], crc32.ChecksumIEEE(tx.events[0][:len(tx.events[0])-4]))
	again = func() {
		s.cursor.end = 4
		if err := play(s, tx.events); err != nil {
			t.Fatal(err)
		}
	}
	again()
	return s, again
}

// A transaction costs its GTID, which may be kept, and nothing where it has none.
func TestTransactionsAllocateTheirGTID(t *testing.T) {
	for kind, want := range map[replication.EventType]float64{replication.GTID_EVENT: 1, replication.ANONYMOUS_GTID_EVENT: 0} {
		if _, again := steady(t, kind); testing.AllocsPerRun(1000, again) != want {
			t.Errorf("%s: %v allocations a transaction, want %v", eventName(kind), testing.AllocsPerRun(1000, again), want)
		}
	}
}

// Between two events none is kept: the next may need as much memory as there is for one.
func TestNoEventIsKept(t *testing.T) {
	s := offline(t, newRecorder(t), source.Position{File: "b.000001", Offset: 4})
	sc := new(script).start("b.000001", 4).gtid(1).query("BEGIN").table(1, "t").insert(1, 1).xid().gtid(2)
	for _, e := range sc.events {
		if err := s.take(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if s.outer.body != nil {
			t.Errorf("%d bytes are kept behind %s", len(s.outer.body), eventName(s.outer.kind))
		}
	}
	inner := &script{plain: true}
	inner.query("BEGIN").table(1, "t").insert(1, 2).xid()
	read := 0
	next := readerFunc(func(b []byte) (int, error) {
		if s.inner.body != nil {
			t.Errorf("%d bytes of %s are kept while the next is read", len(s.inner.body), eventName(s.inner.kind))
		}
		n := copy(b, slices.Concat(inner.events...)[read:])
		if read += n; n == 0 {
			return 0, io.EOF
		}
		return n, nil
	})
	if err := s.innerEvents(t.Context(), &event{end: sc.at + 100}, next, compressionNone); err != nil || read == 0 {
		t.Error(read, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func BenchmarkStream(b *testing.B) {
	_, again := steady(b, replication.GTID_EVENT)
	b.ReportAllocs()
	for b.Loop() {
		again()
	}
}

// nothing is a Handler that reads every row and keeps none.
type nothing struct{ Handler }

func (nothing) Begin(context.Context, *record.Transaction) error { return nil }
func (nothing) Commit(context.Context, Boundary) error           { return nil }
func (nothing) Schema(context.Context, SchemaChange) error       { return nil }
func (nothing) Rows(_ context.Context, r *Rows) error {
	for r.Next() {
	}
	return r.Err()
}
