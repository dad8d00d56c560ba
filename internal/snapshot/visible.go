package snapshot

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// A transaction is in the binlog, and reaches a replica, before the engine lets a SELECT see it. If a chunk's SELECT
// missed a change that the stream has emitted already, the chunk would bring an older row after a newer one. A
// visibility closes that gap: it runs a query only when everything emitted so far is visible to it.
type visibility interface {
	// read runs query on conn, which sees every change in emitted, and returns a position such that the rows that
	// query saw contain nothing that is not at or before it.
	read(ctx context.Context, conn *client.Conn, emitted source.Position, query func() error) (high source.Position, err error)
	// open opens a transaction on conn that sees the source as of one moment, every change in emitted included that is
	// not younger than settle. exact says that at is the position of that moment; otherwise nothing tells it.
	open(ctx context.Context, conn *client.Conn, emitted source.Position) (at source.Position, exact bool, err error)
	// end is a position behind everything that a SELECT could see before.
	end(ctx context.Context, conn *client.Conn) (source.Position, error)
	// guard is how long before a chunk's mark a change may have been emitted and still be missing from the chunk.
	guard() time.Duration
	// settle is how long a commit may stand in the binlog, before the stream's start position, and still be missing
	// from a chunk.
	settle() time.Duration
}

// visibilityFor picks the way that the server offers.
func visibilityFor(s source.Server) visibility {
	switch {
	case !s.LogBin:
		return unlogged{}
	case s.Flavor == source.MariaDB:
		return snapshotPosition{server: s}
	case s.GTIDMode:
		return executedGTIDs{server: s}
	default:
		return recentKeys{server: s}
	}
}

// executedGTIDs waits on gtid_executed, which moves only after the engine's commit.
type executedGTIDs struct{ server source.Server }

func (executedGTIDs) guard() time.Duration  { return 0 }
func (executedGTIDs) settle() time.Duration { return 0 }

func (v executedGTIDs) read(ctx context.Context, conn *client.Conn, emitted source.Position, query func() error) (source.Position, error) {
	if err := waitExecuted(ctx, conn, emitted.GTIDSet); err != nil {
		return source.Position{}, err
	}
	if err := query(); err != nil {
		return source.Position{}, err
	}
	return v.end(ctx, conn)
}

func (v executedGTIDs) end(ctx context.Context, conn *client.Conn) (source.Position, error) {
	return source.CurrentPosition(ctx, conn, v.server)
}

func (v executedGTIDs) open(ctx context.Context, conn *client.Conn, emitted source.Position) (source.Position, bool, error) {
	if err := waitExecuted(ctx, conn, emitted.GTIDSet); err != nil {
		return source.Position{}, false, err
	}
	return source.Position{}, false, beginSnapshot(ctx, conn)
}

// waitExecuted waits in steps of a second, so that the end of ctx is noticed.
func waitExecuted(ctx context.Context, conn *client.Conn, gtids string) error {
	if gtids == "" {
		return nil
	}
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		res, err := source.Query(ctx, conn, "SELECT WAIT_FOR_EXECUTED_GTID_SET("+quote(gtids)+", 1)")
		if err != nil {
			return fmt.Errorf("wait for emitted changes to become visible: %w", err)
		}
		timedOut, err := res.GetInt(0, 0)
		res.Close()
		if err != nil {
			return fmt.Errorf("wait for emitted changes to become visible: %w", err)
		}
		if timedOut == 0 {
			return nil
		}
	}
}

// snapshotPosition uses MariaDB's consistent snapshot, whose binlog position the server tells.
type snapshotPosition struct{ server source.Server }

func (snapshotPosition) guard() time.Duration  { return 0 }
func (snapshotPosition) settle() time.Duration { return 0 }

func (v snapshotPosition) read(ctx context.Context, conn *client.Conn, emitted source.Position, query func() error) (source.Position, error) {
	at, _, err := v.open(ctx, conn, emitted)
	if err != nil {
		return source.Position{}, err
	}
	err = query()
	return at, errors.Join(err, endSnapshot(ctx, conn, err))
}

func (v snapshotPosition) open(ctx context.Context, conn *client.Conn, emitted source.Position) (at source.Position, exact bool, err error) {
	for {
		at, err := openSnapshot(ctx, conn)
		if err != nil {
			return source.Position{}, false, err
		}
		if at.Compare(emitted) >= 0 {
			at.ServerUUID = v.server.UUID
			return at, true, nil
		}
		// The newest emitted change is still on its way into the engine.
		if err := errors.Join(endSnapshot(ctx, conn, nil), backoff.Sleep(ctx, 2*time.Millisecond)); err != nil {
			return source.Position{}, false, err
		}
	}
}

func (v snapshotPosition) end(ctx context.Context, conn *client.Conn) (source.Position, error) {
	return source.CurrentPosition(ctx, conn, v.server)
}

func beginSnapshot(ctx context.Context, conn *client.Conn) error {
	if err := source.Exec(ctx, conn, "START TRANSACTION WITH CONSISTENT SNAPSHOT"); err != nil {
		return fmt.Errorf("open a consistent snapshot: %w", err)
	}
	return nil
}

func openSnapshot(ctx context.Context, conn *client.Conn) (source.Position, error) {
	if err := beginSnapshot(ctx, conn); err != nil {
		return source.Position{}, err
	}
	res, err := source.Query(ctx, conn, "SHOW SESSION STATUS LIKE 'binlog_snapshot_%'")
	if err != nil {
		return source.Position{}, fmt.Errorf("read the snapshot's binlog position: %w", err)
	}
	defer res.Close()
	return parseSnapshotStatus(res)
}

func parseSnapshotStatus(res *mysql.Result) (source.Position, error) {
	var at source.Position
	for i := range res.RowNumber() {
		name, _ := res.GetString(i, 0)
		value, _ := res.GetString(i, 1)
		switch name {
		case "Binlog_snapshot_file", "binlog_snapshot_file":
			at.File = value
		case "Binlog_snapshot_position", "binlog_snapshot_position":
			at.Offset, _ = strconv.ParseUint(value, 10, 64)
		}
	}
	if at.File == "" || at.Offset == 0 {
		return at, errors.New("the server gave no binlog_snapshot_file and binlog_snapshot_position; is the binlog on (log_bin)?")
	}
	return at, nil
}

// endSnapshot leaves the connection free of a transaction; after a failed query it is not used again.
func endSnapshot(ctx context.Context, conn *client.Conn, failed error) error {
	if failed != nil {
		return nil
	}
	if err := source.Exec(ctx, conn, "COMMIT"); err != nil {
		return fmt.Errorf("close the consistent snapshot: %w", err)
	}
	return nil
}

// recentKeys serves MySQL without GTIDs, where nothing says what is visible: a key counts as touched if the stream
// emitted a change of it within the guard before the window opened. A commit that stays invisible for longer than
// the guard after it was sent to replicas is not covered; GTIDs are.
type recentKeys struct{ server source.Server }

func (recentKeys) guard() time.Duration  { return 60 * time.Second }
func (recentKeys) settle() time.Duration { return 5 * time.Second }

func (v recentKeys) read(ctx context.Context, conn *client.Conn, _ source.Position, query func() error) (source.Position, error) {
	if err := query(); err != nil {
		return source.Position{}, err
	}
	return v.end(ctx, conn)
}

func (v recentKeys) end(ctx context.Context, conn *client.Conn) (source.Position, error) {
	return source.CurrentPosition(ctx, conn, v.server)
}

func (recentKeys) open(ctx context.Context, conn *client.Conn, _ source.Position) (source.Position, bool, error) {
	return source.Position{}, false, beginSnapshot(ctx, conn)
}

// unlogged serves servers without a binlog, for a full load alone: there are no changes that a chunk could get in
// the way of.
type unlogged struct{}

func (unlogged) guard() time.Duration  { return 0 }
func (unlogged) settle() time.Duration { return 0 }

func (unlogged) read(_ context.Context, _ *client.Conn, _ source.Position, query func() error) (source.Position, error) {
	return source.Position{}, query()
}

func (unlogged) end(context.Context, *client.Conn) (source.Position, error) {
	return source.Position{}, nil
}

func (unlogged) open(ctx context.Context, conn *client.Conn, _ source.Position) (source.Position, bool, error) {
	return source.Position{}, false, beginSnapshot(ctx, conn)
}

func quote(s string) string { return "'" + s + "'" } // GTID sets hold no quotes
