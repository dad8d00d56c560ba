package main

import (
	"context"
	"fmt"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
)

// rawEvents counts events whose bytes nobody looks at, and notices the last one.
type rawEvents struct {
	endFile  string
	end      uint32
	file     string
	bytes    int64
	finished chan<- int64 // gets the bytes, once
}

func (r *rawEvents) HandleEvent(e *replication.BinlogEvent) error {
	if rotate, ok := e.Event.(*replication.RotateEvent); ok {
		r.file = string(rotate.NextLogName)
	}
	r.bytes += int64(len(e.RawData))
	if r.file == r.endFile && e.Header.LogPos >= r.end && r.finished != nil {
		r.finished <- r.bytes
		r.finished = nil
	}
	return nil
}

// binlogRaw takes the log apart into its events and drops them: what being a replica costs at least.
func binlogRaw(ctx context.Context, p *params, done func(items, bytes int64)) error {
	finished := make(chan int64, 1)
	events := &rawEvents{endFile: p.EndFile, end: p.End, file: p.File, finished: finished}
	syncer := replication.NewBinlogSyncer(replication.BinlogSyncerConfig{
		ServerID: 7004, Flavor: mysql.MySQLFlavor, Host: dbserver.Host, Port: uint16(p.Port), User: dbserver.User,
		RawModeEnabled: true, SynchronousEventHandler: events, Logger: discard,
	})
	defer syncer.Close()
	if _, err := syncer.StartSync(mysql.Position{Name: p.File, Pos: p.Offset}); err != nil {
		return err
	}
	select {
	case bytes := <-finished:
		done(p.written(), bytes)
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the end of the log did not come: %w", context.Cause(ctx))
	}
}
