package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// reach connects to the source. A server that is away is waited for; one that refuses us is an error.
func (r *Replicate) reach(ctx context.Context) (*client.Conn, source.Server, error) {
	for attempt := 0; ; attempt++ {
		conn, server, err := r.connect(ctx)
		if err == nil {
			r.sourceHealth.Working()
			if attempt > 0 {
				r.cfg.Log.Info("the source is reached")
			}
			return conn, server, nil
		}
		if ctx.Err() != nil {
			return nil, server, context.Cause(ctx)
		}
		if source.Refused(err) {
			return nil, server, err
		}
		r.sourceHealth.Failing(err)
		if attempt == 0 {
			r.cfg.Log.Warn("the source cannot be reached; trying again until it can", "error", err)
		}
		if err := pauses.Sleep(ctx, attempt); err != nil {
			return nil, server, err
		}
	}
}

// start prepares a session, anew for as long as the connection breaks in the middle of it.
func (r *Replicate) start(ctx context.Context) (s *session, err error) {
	err = r.persist(ctx, "start", func() error {
		s, err = r.prepare(ctx)
		return err
	})
	return s, err
}

// persist does something over a connection of its own until no connection breaks under it.
func (r *Replicate) persist(ctx context.Context, what string, step func() error) error {
	for attempt := 0; ; attempt++ {
		err := step()
		if err == nil || ctx.Err() != nil || !source.Lost(err) {
			return err
		}
		if attempt == 0 {
			r.cfg.Log.Warn("lost the source; trying again", "step", what, "error", err)
		}
		if err := pauses.Sleep(ctx, attempt); err != nil {
			return err
		}
	}
}

// pauses are those between attempts to reach the source.
var pauses = backoff.Pauses{First: 100 * time.Millisecond, Longest: 10 * time.Second}

func (r *Replicate) connect(ctx context.Context) (*client.Conn, source.Server, error) {
	conn, err := source.Connect(ctx, r.cfg.Source)
	if err != nil {
		return nil, source.Server{}, err
	}
	server, err := source.Describe(ctx, conn)
	if err != nil {
		source.Close(conn)
		return nil, server, err
	}
	return conn, server, nil
}

// replicable names every setting of the server that change capture cannot work with.
func replicable(s source.Server) error {
	var faults []error
	fault := func(what, cure string) { faults = append(faults, fmt.Errorf("%s: %s", what, cure)) }
	if !s.LogBin {
		fault("the source has no binary log (log_bin is off)", "start it with log_bin; on RDS turn automated backups on")
	}
	if s.BinlogFormat != "" && s.BinlogFormat != "ROW" {
		fault("the source's binlog_format is "+s.BinlogFormat, "SET PERSIST binlog_format = 'ROW' (in the parameter group on RDS), and let open sessions reconnect")
	}
	if s.RowImage != "" && s.RowImage != "FULL" {
		fault("the source's binlog_row_image is "+s.RowImage, "SET PERSIST binlog_row_image = 'FULL' (in the parameter group on RDS), and let open sessions reconnect")
	}
	return errors.Join(faults...)
}
