package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

func TestStreamTextValues(t *testing.T) {
	each(t, func(t *testing.T, s *testservers.MySQLServer, f Flavor) {
		conn := open(t, s)
		s.MustExec(t, "SET GLOBAL max_allowed_packet = 67108864")
		Close(conn)
		conn = open(t, s)
		var got []string
		err := StreamText(t.Context(), conn, "SELECT 1, NULL, '', REPEAT('x', 70000), REPEAT('y', 17000000) UNION ALL SELECT 2, 'ü', 'b', 'c', NULL", func(row [][]byte) error {
			for _, v := range row {
				switch {
				case v == nil:
					got = append(got, "NULL")
				case len(v) > 100:
					got = append(got, fmt.Sprintf("%c%d", v[0], bytes.Count(v, v[:1])))
				default:
					got = append(got, string(v))
				}
			}
			return nil
		})
		if want := "[1 NULL  x70000 y17000000 2 ü b c NULL]"; err != nil || fmt.Sprint(got) != want {
			t.Errorf("got %v, %v, want %s", got, err, want)
		}
		// The connection is at the start of a new command.
		if v, err := value(t.Context(), conn, "SELECT 42"); err != nil || v != "42" {
			t.Errorf("afterwards: %q, %v", v, err)
		}
	})
}

func TestStreamTextEnds(t *testing.T) {
	each(t, func(t *testing.T, s *testservers.MySQLServer, f Flavor) {
		db := s.Database(t)
		s.MustExec(t, "CREATE TABLE "+db+".n (a INT PRIMARY KEY)")
		conn := open(t, s)
		err := StreamText(t.Context(), conn, "SELECT * FROM "+db+".missing", nil)
		if my, ok := errors.AsType[*mysql.MyError](err); !ok || my.Code != mysql.ER_NO_SUCH_TABLE {
			t.Errorf("a missing table gives %v", err)
		}
		// A refused statement leaves the connection in order.
		if err := StreamText(t.Context(), conn, "SELECT * FROM "+db+".n", func([][]byte) error { t.Error("a row"); return nil }); err != nil {
			t.Error(err)
		}
		if err := StreamText(t.Context(), conn, "DO 1", nil); err == nil {
			t.Error("a statement without a result gives no error")
		}

		conn = open(t, s)
		stop := errors.New("enough")
		err = StreamText(t.Context(), conn, "SELECT 1 UNION ALL SELECT 2", func([][]byte) error { return stop })
		if err != stop {
			t.Errorf("got %v, want the callback's error", err)
		}
		if _, err := value(t.Context(), conn, "SELECT 1"); err == nil {
			t.Error("the connection is still in use after the callback failed")
		}

		conn = open(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		err = StreamText(ctx, conn, "SELECT SLEEP(20)", func([][]byte) error { return nil })
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 15*time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
	})
}

func TestStreamTextDoesNotAllocatePerRow(t *testing.T) {
	s := testservers.SharedMySQL(t)
	conn := open(t, s)
	query := func(rows int) func() {
		q := fmt.Sprintf("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT i, 'some text', NULL FROM n", rows)
		return func() {
			n := 0
			if err := StreamText(t.Context(), conn, q, func([][]byte) error { n++; return nil }); err != nil || n != rows {
				t.Fatal(n, err)
			}
		}
	}
	few, many := testing.AllocsPerRun(5, query(10)), testing.AllocsPerRun(5, query(900))
	if many > few+5 {
		t.Errorf("10 rows take %v allocations, 900 rows take %v", few, many)
	}
}
