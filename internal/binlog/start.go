package binlog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// byGTID reports whether a position is found by its set on this server, rather than by file and offset.
func byGTID(server source.Server, set *GTIDSet) bool { return server.GTIDMode && set != nil }

// CheckStart finds out whether a server can go on at a position, without reading its log from there. It may be behind by
// patience. The error is a *PositionError that says what is missing, and how it is cured, or tells what could not be asked.
func CheckStart(
	ctx context.Context, cfg source.Config, conn *client.Conn, server source.Server, pos source.Position, patience time.Duration,
) error {
	var set *GTIDSet
	if pos.GTIDSet != "" && server.GTIDMode {
		var err error
		if set, err = ParseGTIDSet(server.Flavor, pos.GTIDSet); err != nil {
			return &PositionError{Pos: pos, Err: err, Hint: "give the GTID set as this server prints it"}
		}
	}
	return checkStart(ctx, cfg, conn, server, pos, set, patience)
}

// checkStart does it before reading, so that the error can say what is missing. The server's own refusal, should it come
// all the same, is understood too. patience is how long the server may be behind.
func checkStart(
	ctx context.Context, cfg source.Config, conn *client.Conn, server source.Server, pos source.Position, set *GTIDSet, patience time.Duration,
) error {
	if !server.LogBin {
		return &PositionError{Pos: pos, Err: ErrNoLog, Hint: "start the server with log_bin"}
	}
	same := pos.ServerUUID == "" || pos.ServerUUID == server.UUID
	if byGTID(server, set) {
		if same && pos.File != "" {
			if err := checkHistory(ctx, cfg, conn, server, pos, set); err != nil {
				return err
			}
		}
		return checkSet(ctx, cfg, conn, server, pos, set, patience)
	}
	if pos.File == "" {
		return &PositionError{
			Pos: pos, Err: ErrNoPlace, Hint: "give a position with file and offset, or, where the server has gtid_mode=ON, with a GTID set",
		}
	}
	if !same {
		return &PositionError{
			Pos: pos, Err: ErrOtherServer, Detail: fmt.Sprintf("it was taken on %s, this is %s", pos.ServerUUID, server.UUID),
			Hint: "connect to that server, or load the tables again from this one's present position; with gtid_mode=ON on both it would be found",
		}
	}
	logs, err := source.BinaryLogs(ctx, conn)
	if err != nil {
		return err
	}
	if err := checkFile(logs, pos); err != nil {
		return err
	}
	return checkBegan(ctx, cfg, server, pos)
}

// checkHistory finds out whether the server that a position with a GTID set was taken on is still in the same history:
// after a reset, or a restore from a backup, transactions that never were read may have the numbers of those that were.
func checkHistory(ctx context.Context, cfg source.Config, conn *client.Conn, server source.Server, pos source.Position, set *GTIDSet) error {
	logs, err := source.BinaryLogs(ctx, conn)
	if err != nil {
		return err
	}
	err = checkFile(logs, pos)
	switch {
	case err == nil:
		return checkBegan(ctx, cfg, server, pos)
	case len(logs) == 0 || baseName(pos.File) != baseName(logs[0].Name):
		return nil // the set decides
	case errors.Is(err, ErrAhead):
		return err
	}
	// The file was purged, and with it everything that was read up to the position.
	purged, err := purgedSet(ctx, cfg, conn, server)
	if err != nil {
		return err
	}
	if there := set.Minus(purged); !there.Empty() {
		return &PositionError{
			Pos: pos, Err: ErrOtherLog, Detail: "the server's newer files begin with transactions that were read from " + pos.File + ": " + there.String(),
			Hint: hintOtherLog,
		}
	}
	return nil
}

// baseName is a log file's name without its number, which begins anew when the server is told another name.
func baseName(file string) string { return file[:max(0, strings.LastIndexByte(file, '.'))] }

// checkBegan compares the file with the one that the position was taken in.
func checkBegan(ctx context.Context, cfg source.Config, server source.Server, pos source.Position) error {
	if pos.FileBegan == 0 {
		return nil
	}
	head, err := ReadHead(ctx, cfg, server, pos.File)
	if err != nil || head.Began == pos.FileBegan {
		return err
	}
	at := func(sec int64) string { return time.Unix(sec, 0).UTC().Format(time.RFC3339) }
	return &PositionError{
		Pos: pos, Err: ErrOtherLog, Detail: fmt.Sprintf("the server began its %s at %s, the one that was read at %s", pos.File, at(head.Began), at(pos.FileBegan)),
		Hint: hintOtherLog,
	}
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

// checkSet compares a position's GTID set with what the server has executed and purged. A server is ahead in its log of
// what it says it has executed by the transactions that are being committed just now, and a replica that has taken over
// may still be applying what it has received, so that being behind is only believed when it lasts.
func checkSet(
	ctx context.Context, cfg source.Config, conn *client.Conn, server source.Server, pos source.Position, set *GTIDSet, patience time.Duration,
) error {
	purged, err := purgedSet(ctx, cfg, conn, server)
	if err != nil {
		return err
	}
	if lost := purged.Minus(set); !lost.Empty() {
		return &PositionError{Pos: pos, Err: ErrPurged, Detail: "these transactions are needed and purged: " + lost.String(), Hint: hintPurged}
	}
	for deadline := time.Now().Add(patience); ; {
		text, err := source.GTIDExecuted(ctx, conn, server)
		if err != nil {
			return err
		}
		executed, err := ParseGTIDSet(server.Flavor, text)
		if err != nil {
			return err
		}
		errant := set.Minus(executed)
		if errant.Empty() {
			return nil
		}
		if time.Now().After(deadline) {
			return &PositionError{Pos: pos, Err: ErrAhead, Detail: "these transactions were read and are not on this server: " + errant.String(), Hint: hintAhead}
		}
		if err := backoff.Sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// purgedSet is every transaction that the server has had in its log and has no more. MariaDB says it at the start of its
// oldest file only.
func purgedSet(ctx context.Context, cfg source.Config, conn *client.Conn, server source.Server) (*GTIDSet, error) {
	if server.Flavor == source.MySQL {
		text, err := source.GTIDPurged(ctx, conn)
		if err != nil {
			return nil, err
		}
		return ParseGTIDSet(server.Flavor, text)
	}
	for attempt := 0; ; attempt++ {
		logs, err := source.BinaryLogs(ctx, conn)
		if err != nil {
			return nil, err
		}
		if len(logs) == 0 {
			return ParseGTIDSet(server.Flavor, "")
		}
		head, err := ReadHead(ctx, cfg, server, logs[0].Name)
		switch {
		case errors.Is(err, ErrPurged) && attempt < 3: // just now
		case err != nil:
			return nil, err
		case head.Set == nil:
			return ParseGTIDSet(server.Flavor, "")
		default:
			return head.Set, nil
		}
	}
}

// CatchUp is how long a server may take to have executed what it, or the server that it took over from, has already
// sent: more than a semi-synchronous source waits for its replicas by default.
const CatchUp = 20 * time.Second

var catchUpTimeout = CatchUp // (tests lower it)
