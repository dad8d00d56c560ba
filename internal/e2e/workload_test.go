package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
)

// The tables of the workload. Every row carries a version that only its writer raises, in commit order, so that a key
// which went backwards shows. The columns cover the ordinary types.
const schemaSQL = `
CREATE TABLE ticket (
  id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  version BIGINT NOT NULL,
  holder VARCHAR(80) CHARACTER SET utf8mb4,
  note TEXT CHARACTER SET latin1,
  price DECIMAL(12,4) NOT NULL,
  weight FLOAT,
  seat ENUM('stand','seat','box') NOT NULL,
  extras SET('food','drink','parking'),
  sold_at DATETIME(6) NOT NULL,
  changed_at TIMESTAMP(3) NULL,
  code VARBINARY(16),
  paid BIT(1) NOT NULL,
  details LONGTEXT
) ENGINE=InnoDB;
CREATE TABLE seat_price (
  venue VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  seat INT NOT NULL,
  version BIGINT NOT NULL,
  price DECIMAL(8,2),
  PRIMARY KEY (venue, seat)
) ENGINE=InnoDB`

const schemaName = "shop"

// conn is what the workload does to the source, over connections that are made anew whenever the server goes away.
type conn struct {
	addr string
	c    *client.Conn
}

func (c *conn) exec(sql string) error {
	if c.c == nil {
		var err error
		if c.c, err = client.Connect(c.addr, "root", "", ""); err != nil {
			return err
		}
		if err := c.exec("SET NAMES utf8mb4"); err != nil {
			return err
		}
	}
	res, err := c.c.Execute(sql)
	if err != nil {
		c.c.Close()
		c.c = nil
		return err
	}
	res.Close()
	return nil
}

// seed makes the tables and fills them with rows rows in all.
func seed(t *testing.T, addr string, rows int) {
	t.Helper()
	c := &conn{addr: addr}
	must := func(sql string) {
		if err := c.exec(sql); err != nil {
			t.Fatalf("seed: %v (%.80s)", err, sql)
		}
	}
	must("CREATE DATABASE " + schemaName)
	must("USE " + schemaName)
	for sql := range strings.SplitSeq(schemaSQL, ";") {
		must(sql)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, table := range []string{"ticket", "seat_price"} {
		for done := 0; done < rows/2; {
			var b strings.Builder
			b.WriteString("INSERT INTO " + table + " VALUES ")
			for i := range min(500, rows/2-done) {
				if i > 0 {
					b.WriteByte(',')
				}
				b.WriteString(values(table, done+i, 0, r))
			}
			must(b.String())
			done += min(500, rows/2-done)
		}
	}
}

// values is one row as an SQL tuple. Key number n belongs to writer n % writers.
func values(table string, n int, version uint64, r *rand.Rand) string {
	if table == "seat_price" {
		return fmt.Sprintf("('venue-%02d',%d,%d,%d.%02d)", n%40, n/40, version, r.IntN(1000), r.IntN(100))
	}
	return fmt.Sprintf(`(%d,%d,%s,%s,%d.%04d,%g,%d,%d,'2024-05-0%d 10:1%d:00.%06d',%s,x'%016x',b'%d',%s)`,
		n, version, nullable(r, "'Zoë 🎫 \\\"%d\\\"'", r.IntN(1e6)), nullable(r, "'caf\u00e9 %d'", r.IntN(1e6)), r.IntN(1e7), r.IntN(1e4),
		r.Float32()*1000, r.IntN(3)+1, r.IntN(8), r.IntN(9)+1, r.IntN(10), r.IntN(1e6),
		nullable(r, "'2024-06-01 00:00:%02d.123'", r.IntN(60)), r.Uint64(), r.IntN(2),
		nullable(r, "'{\\\"tags\\\": [%d]}'", r.IntN(100)))
}

func nullable(r *rand.Rand, format string, n int) string {
	if r.IntN(5) == 0 {
		return "NULL"
	}
	return fmt.Sprintf(format, n)
}

const writers = 3

// workload writes to the source until it is stopped: inserts, updates, updates of keys, deletes, in transactions of
// one to a few rows with now and then a rollback.
type workload struct {
	addr    string
	rows    int // keys that were seeded, of each table
	pause   time.Duration
	changes atomic.Int64
	errs    atomic.Int64
	stop    context.CancelFunc
	wg      sync.WaitGroup
}

func startWorkload(addr string, rows int, pause time.Duration) *workload {
	ctx, cancel := context.WithCancel(context.Background())
	w := &workload{addr: addr, rows: rows / 2, pause: pause, stop: cancel}
	for i := range writers {
		w.wg.Go(func() { w.run(ctx, i) })
	}
	return w
}

// end stops the writers and waits for them.
func (w *workload) end() {
	w.stop()
	w.wg.Wait()
}

func (w *workload) run(ctx context.Context, writer int) {
	c := &conn{addr: w.addr}
	r := rand.New(rand.NewPCG(uint64(writer), 7))
	version := uint64(0)
	for ctx.Err() == nil {
		err := c.exec("USE " + schemaName)
		if err == nil {
			err = c.exec("BEGIN")
		}
		n := 0
		for range 1 + r.IntN(4) {
			if err != nil {
				break
			}
			version++
			if err = c.exec(w.statement(writer, version, r)); err == nil {
				n++
			}
		}
		end := "COMMIT"
		if r.IntN(20) == 0 {
			end, n = "ROLLBACK", 0
		}
		if err == nil {
			err = c.exec(end)
		}
		if err != nil {
			// The server is away, or two writers met: the connection, and with it the transaction, is gone.
			w.errs.Add(1)
			_ = backoff.Sleep(ctx, 20*time.Millisecond)
			continue
		}
		w.changes.Add(int64(n))
		_ = backoff.Sleep(ctx, w.pause)
	}
	if c.c != nil {
		c.c.Close()
	}
}

// statement is one change of a key of the writer's own.
func (w *workload) statement(writer int, version uint64, r *rand.Rand) string {
	key := func() int { // some keys are much busier than others, and some are beyond the seeded ones
		n := r.IntN(w.rows + w.rows/10)
		if r.IntN(2) == 0 {
			n = r.IntN(30)
		}
		return n/writers*writers + writer
	}
	if r.IntN(3) == 0 {
		n := key()
		where := fmt.Sprintf("WHERE venue = 'venue-%02d' AND seat = %d", n%40, n/40)
		switch r.IntN(4) {
		case 0:
			return "DELETE FROM seat_price " + where
		case 1:
			return fmt.Sprintf("REPLACE INTO seat_price VALUES %s", values("seat_price", n, version, r))
		default:
			return fmt.Sprintf("UPDATE seat_price SET version = %d, price = %d.5 %s", version, r.IntN(500), where)
		}
	}
	n := key()
	switch r.IntN(10) {
	case 0:
		return fmt.Sprintf("DELETE FROM ticket WHERE id = %d", n)
	case 1, 2, 3:
		return fmt.Sprintf("REPLACE INTO ticket VALUES %s", values("ticket", n, version, r))
	case 4: // a key moves to a free place, if it is free
		return fmt.Sprintf("UPDATE IGNORE ticket SET id = %d, version = %d WHERE id = %d", key(), version, n)
	default:
		return fmt.Sprintf("UPDATE ticket SET version = %d, price = price + 0.25, holder = 'h%d' WHERE id = %d", version, r.IntN(1e6), n)
	}
}
