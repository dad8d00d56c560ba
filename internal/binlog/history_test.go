package binlog

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// A server that was reset is seen for what it is, also when it has long had as many transactions, files and bytes again.
func TestResetServer(t *testing.T) {
	for name, s := range map[string]*testservers.MySQLServer{
		"MySQL": testservers.MySQL(t), "MySQL without GTIDs": testservers.MySQL(t, testservers.NoGTID()), "MariaDB": testservers.MariaDB(t),
	} {
		t.Run(name, func(t *testing.T) {
			defer func(d time.Duration) { catchUpTimeout = d }(catchUpTimeout)
			catchUpTimeout = 300 * time.Millisecond
			b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY)")
			reset := "RESET BINARY LOGS AND GTIDS"
			if b.info.Flavor == source.MariaDB {
				reset = "RESET MASTER"
			}
			grow := func(statements ...string) {
				t.Helper()
				for range 20 {
					statements = append(statements, "REPLACE INTO t VALUES (1)")
				}
				b.exec(append(statements, "FLUSH BINARY LOGS", "INSERT INTO t VALUES (2)", "DELETE FROM t WHERE id = 2")...)
			}
			b.exec(reset)
			b.start = source.Position{File: s.MustQuery(t, "SHOW BINARY LOGS")[0][0], Offset: 4, ServerUUID: b.info.UUID}
			grow()
			r := b.recorder(b.start)
			if err := b.read(b.start, r); err != nil {
				t.Fatal(err)
			}
			pos := r.boundaries[len(r.boundaries)-2].pos
			pos.ServerUUID = b.info.UUID
			if b.info.GTIDMode {
				pos.GTIDSet = b.present().GTIDSet
			}
			if pos.FileBegan == 0 {
				t.Fatalf("position %+v does not say when its file began", pos)
			}
			b.nextSecond()

			// A connected reader meets it at its next connection.
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			cfg := b.config()
			live := b.recorder(pos)
			live.idle = true
			done := false
			live.stop = func(*recorder) bool {
				if !done {
					done = true
					grow(reset)
					b.killDumps()
				}
				return false
			}
			cfg.Handler = live
			if err := New(cfg).Run(ctx, pos); !isHistory(err) {
				t.Errorf("a connected reader: %v", err)
			}
			grow()
			grow()
			conn, err := source.Connect(t.Context(), b.source())
			if err != nil {
				t.Fatal(err)
			}
			defer source.Close(conn)
			if err := CheckStart(t.Context(), b.source(), conn, b.info, pos, catchUpTimeout); !errors.Is(err, ErrOtherLog) || !strings.Contains(err.Error(), "reset or restored") {
				t.Errorf("it has grown again: %v", err)
			}
			if b.info.GTIDMode { // without, it is a purged file like any other
				end := b.present()
				for s.MustQuery(t, "SHOW BINARY LOGS")[0][0] != end.File { // MariaDB keeps files until its engine has flushed
					b.exec("FLUSH LOGS", "PURGE BINARY LOGS TO '"+end.File+"'")
				}
				gone := pos
				gone.GTIDSet = end.GTIDSet
				if err := CheckStart(t.Context(), b.source(), conn, b.info, gone, catchUpTimeout); !errors.Is(err, ErrOtherLog) || !strings.Contains(err.Error(), "newer files begin with") {
					t.Errorf("its files were purged: %v", err)
				}
				head, err := ReadHead(t.Context(), b.source(), b.info, end.File)
				if err != nil {
					t.Fatal(err)
				}
				gone.GTIDSet = head.Set.String()
				if err := CheckStart(t.Context(), b.source(), conn, b.info, gone, catchUpTimeout); err != nil {
					t.Errorf("purged up to the position: %v", err)
				}
			}
			b.exec(reset)
			if err := CheckStart(t.Context(), b.source(), conn, b.info, pos, catchUpTimeout); !isHistory(err) {
				t.Errorf("it is empty: %v", err)
			}
		})
	}
}

func isHistory(err error) bool { return errors.Is(err, ErrOtherLog) || errors.Is(err, ErrAhead) }

// What was read and is not there, and what was not read and is purged, are named as sets.
func TestErrantAndPurgedAreNamed(t *testing.T) {
	defer func(d time.Duration) { catchUpTimeout = d }(catchUpTimeout)
	catchUpTimeout = 300 * time.Millisecond
	b := newBench(t, testservers.MySQL(t), "CREATE TABLE t (id INT PRIMARY KEY)")
	names := func(pos source.Position, want error, set string) {
		t.Helper()
		conn, err := source.Connect(t.Context(), b.source())
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close(conn)
		err = CheckStart(t.Context(), b.source(), conn, b.info, pos, catchUpTimeout)
		if pe, ok := errors.AsType[*PositionError](err); !ok || !errors.Is(err, want) || !strings.HasSuffix(pe.Detail, ": "+set) {
			t.Errorf("%v, want %v with the set %s", err, want, set)
		}
	}
	ahead := b.start
	ahead.GTIDSet += "," + uuidA + ":7:blue:3-4"
	names(ahead, ErrAhead, uuidA+":7:blue:3-4")

	b.exec("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)", "FLUSH BINARY LOGS")
	end := b.present()
	b.server.MustExec(t, "PURGE BINARY LOGS TO '"+end.File+"'")
	had, err := ParseGTIDSet(source.MySQL, b.start.GTIDSet)
	if err != nil {
		t.Fatal(err)
	}
	has, err := ParseGTIDSet(source.MySQL, end.GTIDSet)
	if err != nil {
		t.Fatal(err)
	}
	names(b.start, ErrPurged, has.Minus(had).String())

	b = newBench(t, testservers.MariaDB(t), "CREATE TABLE t (id INT PRIMARY KEY)")
	ahead = b.start
	ahead.GTIDSet = "0-1-99999,7-1-3"
	names(ahead, ErrAhead, "0-1-99999,7-1-3")
	b.exec("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)", "FLUSH BINARY LOGS")
	end = b.present()
	for b.server.MustQuery(t, "SHOW BINARY LOGS")[0][0] != end.File { // it keeps files until its engine has flushed
		b.exec("FLUSH LOGS", "PURGE BINARY LOGS TO '"+end.File+"'")
	}
	names(b.start, ErrPurged, end.GTIDSet)
}
