package binlog

import (
	"context"
	"errors"
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
