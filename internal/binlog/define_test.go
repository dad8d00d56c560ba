package binlog

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// TestRefusedAtTheDoorIsNoFaultOfATable: a password that is just being changed suspends no table.
func TestRefusedAtTheDoorIsNoFaultOfATable(t *testing.T) {
	s := testservers.SharedMariaDB(t)
	_, refused := source.Connect(t.Context(), source.Config{
		Host: "127.0.0.1", Port: s.Port16(), User: "nobody", TLS: source.TLSDisabled,
		Password: func(context.Context) (string, error) { return "x", nil },
	})
	for _, err := range []error{refused, &source.LoginError{Origin: "secret a", Err: errors.New("denied"), Final: true}} {
		if got := loadFailed(&table{}, record.Place{}, err); isA[*TableError](got) {
			t.Errorf("%v suspends the table", got)
		}
	}
	denied := &mysql.MyError{Code: mysql.ER_TABLEACCESS_DENIED_ERROR, Message: "SELECT command denied"}
	if got := loadFailed(&table{}, record.Place{}, denied); !isA[*TableError](got) {
		t.Errorf("%v does not suspend the table", got)
	}
}

// Waiting for locks is limited on every connection for definitions, and each is told so once.
func TestFenceLimitsItsWaits(t *testing.T) {
	s := testservers.SharedMySQL(t)
	b := newBench(t, s, "CREATE TABLE t (id INT PRIMARY KEY)")
	told := func() (n int) {
		for _, row := range s.MustQuery(t, "SHOW GLOBAL STATUS LIKE 'Com_set_option'") {
			n, _ = strconv.Atoi(row[1])
		}
		return n
	}
	c := catalog{cfg: b.config(), server: b.info}
	defer c.close()
	for range 2 {
		if _, err := c.settled(t.Context(), b.db, "t"); err != nil { // opens the connection
			t.Fatal(err)
		}
		before := told()
		for range 3 {
			if _, err := c.settled(t.Context(), b.db, "t"); err != nil {
				t.Fatal(err)
			}
		}
		if n := told() - before; n != 0 {
			t.Errorf("an option was set %d times more", n)
		}
		if got, err := c.conn.Execute("SELECT @@SESSION.lock_wait_timeout"); err != nil || len(got.Values) != 1 || got.Values[0][0].AsUint64() != 3 {
			t.Errorf("waits are not limited: %v", err)
		}
		c.close()
	}
}
