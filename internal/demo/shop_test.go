package demo

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestShop fills and runs the shop on each kind of server.
func TestShop(t *testing.T) {
	for _, flavor := range []dbserver.Flavor{dbserver.MySQL, dbserver.MariaDB} {
		t.Run(string(flavor), func(t *testing.T) { testShop(t, flavor) })
	}
}

func testShop(t *testing.T, flavor dbserver.Flavor) {
	server, err := dbserver.Start(t.Context(), t.TempDir(), dbserver.Options{Flavor: flavor, Template: true})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Kill()
	s := newShop(server, 2500)
	begun := time.Now()
	done := 0.0
	if err := s.open(t.Context(), func(_ string, share float64) { done = share }); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d rows in %v", s.size.total(), time.Since(begun))
	if done != 1 {
		t.Errorf("progress ended at %v", done)
	}
	if got := rows(t, server); got != s.size.total() {
		t.Errorf("%d rows in the tables, %d were meant", got, s.size.total())
	}

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	selling := make(chan error, 1)
	go func() { selling <- s.sell(ctx, func() bool { return true }) }()
	deadline := time.After(30 * time.Second)
	for f := s.figures(); f.sold < 100 || f.resold < 10 || f.returned < 10; f = s.figures() {
		select {
		case err := <-selling:
			t.Fatalf("the sellers went home: %v", err)
		case <-deadline:
			t.Fatalf("business is slow: %+v", f)
		case <-time.After(10 * time.Millisecond):
		}
	}
	stop()
	if err := <-selling; err != nil {
		t.Error(err)
	}
	if rows(t, server) <= s.size.total() {
		t.Error("the history did not grow")
	}
}

func rows(t *testing.T, server *dbserver.Server) (sum int64) {
	t.Helper()
	for _, table := range tables {
		r, err := server.Query(t.Context(), fmt.Sprintf("SELECT COUNT(*) FROM %s.%s", schemaName, table.name))
		if err != nil {
			t.Fatal(err)
		}
		n, err := r.GetInt(0, 0)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}
