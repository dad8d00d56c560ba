package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
	"github.com/binlogstreamer/binlogstreamer/internal/outage"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/status"
)

// retention watches how long the source will still have the binlog that a restart needs: the file of the saved
// checkpoint's position, which may lie far behind what is read. The server may remove a file so many seconds after it was
// last written, which was when its successor began.
type retention struct {
	source source.Config
	saved  func() source.Position
	every  time.Duration // between two looks; a random quarter is taken off
	log    *slog.Logger
	health *outage.Watch // of the source

	ended map[string]int64 // when files began, by name; run's goroutine only, as the three below
	low   bool             // so little is left that it was said
	gone  bool             // and that the file is no more
	blind bool             // and that looking failed

	mu   sync.Mutex // covers left and at
	left timeLeft
	at   time.Time // when it was found out
}

// timeLeft is what is known of the saved position's file.
type timeLeft struct {
	known   bool
	forever bool
	purged  bool          // the file is gone
	written bool          // the file is still written, and its time begins when that ends
	keep    time.Duration // the setting
	left    time.Duration
}

const retentionLooks = 30 * time.Second

// run looks at once and then again and again, on a connection of its own each time.
func (w *retention) run(ctx context.Context) {
	w.ended = make(map[string]int64)
	for {
		left, err := w.look(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			if !w.blind && w.health.OK() { // an outage of the source is told by whoever reads it
				w.log.Warn("how long the source keeps its binlog cannot be found out; trying again until it can", "error", err)
			}
			w.blind = true
		} else {
			if w.blind {
				w.log.Info("how long the source keeps its binlog is known again")
			}
			w.blind = false
			w.tell(left)
		}
		pause := w.every
		if w.saved().File == "" {
			pause = min(pause, time.Second) // the first boundary that is read tells
		}
		if backoff.Sleep(ctx, pause-rand.N(pause/4+1)) != nil {
			return
		}
	}
}

// look asks the server.
func (w *retention) look(ctx context.Context) (timeLeft, error) {
	pos := w.saved()
	conn, err := source.Connect(ctx, w.source)
	if err != nil {
		return timeLeft{}, err
	}
	defer source.Close(conn)
	server, err := source.Describe(ctx, conn)
	if err != nil {
		return timeLeft{}, err
	}
	if server.UUID != pos.ServerUUID || pos.File == "" {
		return timeLeft{}, nil // the position is known by its transactions only, and their file when they are read
	}
	keep, err := source.ReadRetention(ctx, conn)
	if err != nil {
		return timeLeft{}, err
	}
	logs, err := source.BinaryLogs(ctx, conn)
	if err != nil {
		return timeLeft{}, err
	}
	i := indexFile(logs, pos.File)
	if i < 0 {
		return timeLeft{known: true, purged: true, keep: keep.Keep}, nil
	}
	left := timeLeft{known: !keep.Unknown, forever: keep.Forever, keep: keep.Keep, left: keep.Keep, written: i == len(logs)-1}
	if left.written || left.forever || keep.Unknown {
		return left, nil
	}
	ended, err := w.began(ctx, server, logs[i+1].Name)
	if err != nil {
		return timeLeft{}, err
	}
	now, err := source.Clock(ctx, conn)
	if err != nil {
		return timeLeft{}, err
	}
	left.left = max(0, time.Unix(ended, 0).Add(keep.Keep).Sub(now))
	return left, nil
}

func indexFile(logs []source.LogFile, name string) int {
	for i, l := range logs {
		if l.Name == name {
			return i
		}
	}
	return -1
}

// began is when a file begins, which is asked once for each.
func (w *retention) began(ctx context.Context, server source.Server, file string) (int64, error) {
	if at, ok := w.ended[file]; ok {
		return at, nil
	}
	head, err := binlog.ReadHead(ctx, w.source, server, file)
	if err != nil {
		return 0, fmt.Errorf("find out when the binlog file before it ended: %w", err)
	}
	clear(w.ended) // the position only moves on
	w.ended[file] = head.Began
	return head.Began, nil
}

// tell notes what was found, and says once when it gets tight, when it is too late, and when it is well again.
func (w *retention) tell(t timeLeft) {
	w.mu.Lock()
	w.left, w.at = t, time.Now()
	w.mu.Unlock()
	pos := w.saved()
	low := t.known && !t.purged && t.tight()
	switch {
	case t.purged && !w.gone:
		w.log.Error("the source has purged the binlog that a restart needs: do not stop this process before it has caught up; "+
			"if it stops before, the tables must be loaded again with an empty checkpoint.store; keep the log longer: "+keepLonger,
			"file", pos.File, "offset", pos.Offset)
	case low && !w.low:
		w.log.Warn("the source will soon purge the binlog that a restart needs: find out why the stream or the reading lags, or keep the log longer: "+keepLonger,
			"file", pos.File, "offset", pos.Offset, "left", t.left.Round(time.Second), "retention", t.keep)
	case (w.gone || w.low) && t.known && !t.purged && !low:
		w.log.Info("the binlog that a restart needs will be kept long enough again", "file", pos.File, "left", t.left.Round(time.Second))
	}
	w.gone, w.low = t.purged, low
}

const keepLonger = "SET PERSIST binlog_expire_logs_seconds = 604800 (MariaDB: SET GLOBAL), " +
	"or on RDS CALL mysql.rds_set_configuration('binlog retention hours', 168)"

// tight says whether less than a quarter of the setting is left, or less than an hour where the setting is some hours.
func (t timeLeft) tight() bool {
	return !t.forever && !t.written && t.left < max(t.keep/4, min(time.Hour, t.keep/2))
}

// report is what Status tells.
func (w *retention) report() status.Retention {
	w.mu.Lock()
	t, at := w.left, w.at
	w.mu.Unlock()
	r := status.Retention{Known: t.known, Forever: t.forever, Lost: t.purged, Of: t.keep.Seconds(), Left: t.left.Seconds()}
	if !t.written && !t.forever && !t.purged {
		t.left = max(0, t.left-time.Since(at))
		r.Left = t.left.Seconds()
	}
	r.Low = t.known && !t.purged && t.tight()
	return r
}

// period is how long the source keeps a file: +Inf for ever, NaN while that is not known.
func (w *retention) period() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch t := w.left; {
	case t.forever:
		return math.Inf(1)
	case t.keep == 0:
		return math.NaN()
	default:
		return t.keep.Seconds()
	}
}

// seconds is the metric: +Inf if the file is kept for ever, NaN while nothing is known.
func (w *retention) seconds() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch t := w.left; {
	case t.purged:
		return 0
	case !t.known:
		return math.NaN()
	case t.forever:
		return math.Inf(1)
	case t.written:
		return t.left.Seconds()
	default:
		return max(0, t.left-time.Since(w.at)).Seconds()
	}
}
