package pipeline_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// TestZonesOfServerSessionAndProcessDoNotMatter loads and follows a table where the server, the session that writes and
// this process live in three zones, on the day when clocks are changed. Moments come in UTC all the same.
func TestZonesOfServerSessionAndProcessDoNotMatter(t *testing.T) {
	local := time.Local
	time.Local = time.FixedZone("here", -9*3600)
	t.Cleanup(func() { time.Local = local })
	const zone = "--default-time-zone=+05:30"
	for name, db := range map[string]*testservers.MySQLServer{
		"mysql": testservers.MySQL(t, testservers.Flags(zone)), "mariadb": testservers.MariaDB(t, testservers.Flags(zone)),
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 1))
			store, err := checkpoint.OpenFile(t.TempDir())
			must(t, err)
			s := &schedule{
				t: t, db: db, r: r, schema: db.Database(t), stream: newStream(r), store: store, saved: make(chan struct{}, 1),
				proxy: newMySQLProxy(t, db.Addr(), r), tables: []*randomTable{{}},
			}
			s.proxy.start()
			defer s.proxy.stop()
			ticket := "`" + s.schema + "`.ticket"
			// A key that is a moment, too: it pages through the load.
			row := func(n int) string { return fmt.Sprintf("('2024-03-31 03:3%d:00', '2024-03-31 02:30:00', %d)", n, n) }
			db.MustExec(t, "CREATE TABLE "+ticket+" (ts TIMESTAMP(3) PRIMARY KEY, dt DATETIME, n INT)")
			write := func(sql string) { db.MustExec(t, sql) }
			session := func(sql string) {
				conn := db.Conn(t, s.schema)
				for _, q := range []string{"SET time_zone = '-03:00'", sql} {
					_, err := conn.Execute(q)
					must(t, err)
				}
			}
			session("INSERT INTO ticket VALUES " + row(1))
			write("INSERT INTO " + ticket + " VALUES " + row(2)) // in the server's zone
			s.stopWriters = func() {
				session("INSERT INTO ticket VALUES " + row(3))
				write("INSERT INTO " + ticket + " VALUES " + row(4))
			}
			must(t, s.live(true))
			want := map[string]string{ // by n
				"1": "load 2024-03-31T06:31:00.000Z", "2": "load 2024-03-30T22:02:00.000Z",
				"3": "insert 2024-03-31T06:33:00.000Z", "4": "insert 2024-03-30T22:04:00.000Z",
			}
			for _, rec := range s.stream.log {
				l, ok := parseLine(t, rec.data)
				if !ok {
					continue
				}
				n := fmt.Sprint(l.data["n"])
				if got := fmt.Sprint(l.op, " ", l.data["ts"]); got != want[n] {
					t.Errorf("row %s came as %s, want %s", n, got, want[n])
				}
				if l.data["dt"] != "2024-03-31T02:30:00Z" { // which has no zone
					t.Errorf("row %s: DATETIME %v", n, l.data["dt"])
				}
				delete(want, n)
			}
			if len(want) > 0 {
				t.Errorf("missing: %v", want)
			}
		})
	}
}
