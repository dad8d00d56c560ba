package binlog

import (
	"context"
	"fmt"
	"time"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// byGTID reports whether a position is found by its set on this server, rather than by file and offset.
func byGTID(server source.Server, set *GTIDSet) bool { return server.GTIDMode && set != nil }

// checkStart finds out before reading whether the server can go on at a position, so that the error can say what is
// missing. The server's own refusal, should it come all the same, is understood too.
func checkStart(ctx context.Context, conn *client.Conn, server source.Server, pos source.Position, set *GTIDSet) error {
	if !server.LogBin {
		return &PositionError{Pos: pos, Err: ErrNoLog, Hint: "start the server with log_bin"}
	}
	if byGTID(server, set) {
		if server.Flavor == source.MariaDB {
			return nil // the server compares by domain, which only it can do
		}
		return checkSet(ctx, conn, pos, set)
	}
	if pos.File == "" {
		return &PositionError{
			Pos: pos, Err: ErrNoPlace, Hint: "give a position with file and offset, or, where the server has gtid_mode=ON, with a GTID set",
		}
	}
	if pos.ServerUUID != "" && pos.ServerUUID != server.UUID {
		return &PositionError{
			Pos: pos, Err: ErrOtherServer, Detail: fmt.Sprintf("it was taken on %s, this is %s", pos.ServerUUID, server.UUID),
			Hint: "connect to that server, or load the tables again from this one's present position; with gtid_mode=ON on both it would be found",
		}
	}
	logs, err := source.BinaryLogs(ctx, conn)
	if err != nil {
		return err
	}
	return checkFile(logs, pos)
}

// checkFile compares a position with the list of log files.
func checkFile(logs []source.LogFile, pos source.Position) error {
	if len(logs) == 0 {
		return &PositionError{Pos: pos, Err: ErrPurged, Detail: "the server lists no log file", Hint: hintPurged}
	}
	first, last := logs[0], logs[len(logs)-1]
	detail := fmt.Sprintf("the server has %s to %s:%d", first.Name, last.Name, last.Size)
	for _, l := range logs {
		if l.Name != pos.File {
			continue
		}
		if pos.Offset > l.Size {
			detail = fmt.Sprintf("%s ends at %d", l.Name, l.Size)
			return &PositionError{Pos: pos, Err: ErrAhead, Detail: detail, Hint: hintAhead}
		}
		return nil
	}
	if want, err := source.FileNumber(pos.File); err == nil {
		if have, err := source.FileNumber(last.Name); err == nil && want > have {
			return &PositionError{Pos: pos, Err: ErrAhead, Detail: detail, Hint: hintAhead}
		}
	}
	return &PositionError{Pos: pos, Err: ErrPurged, Detail: detail, Hint: hintPurged}
}

// checkSet compares a position's GTID set with what MySQL has executed and purged. The log is ahead of gtid_executed by
// the transactions that are being committed just now, so being ahead of it is only believed when it lasts.
func checkSet(ctx context.Context, conn *client.Conn, pos source.Position, set *GTIDSet) error {
	purged, err := source.GTIDPurged(ctx, conn)
	if err != nil {
		return err
	}
	if ok, err := set.Contains(purged); err != nil {
		return err
	} else if !ok {
		return &PositionError{Pos: pos, Err: ErrPurged, Detail: "the server has purged " + purged, Hint: hintPurged}
	}
	for deadline := time.Now().Add(catchUpTimeout); ; {
		text, err := source.GTIDExecuted(ctx, conn)
		if err != nil {
			return err
		}
		executed, err := ParseGTIDSet(source.MySQL, text)
		if err != nil {
			return err
		}
		if ok, err := executed.Contains(set.String()); err != nil {
			return err
		} else if ok {
			return nil
		}
		if time.Now().After(deadline) {
			return &PositionError{Pos: pos, Err: ErrAhead, Detail: "the server has executed " + text, Hint: hintAhead}
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// catchUpTimeout is how long a server may take to have executed what it has already sent: more than a semi-synchronous
// source waits for its replicas by default.
var catchUpTimeout = 20 * time.Second

// sleep waits for d or until ctx is done, and reports why it returned early.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
