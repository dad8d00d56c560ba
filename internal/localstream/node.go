package localstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/outage"
)

const (
	lockPause  = 200 * time.Millisecond // between attempts to take the lock: about how long a take-over takes
	sweepPause = time.Minute
	stopGrace  = 5 * time.Second // for requests in work when Run ends
)

// Config says what a Node serves and where.
type Config struct {
	Dir    string // holds everything; the same for all processes that share the streams
	Stream string // made if it is missing
	Shards int    // that it is made with; 0: 1

	RetentionHours int   // that it is made with; 0: 24
	MaxRecordKiB   int   // that it is made with; 0: 10240, the most there is
	SegmentBytes   int64 // 0: 32 MiB
	MemoryBytes    int64 // for requests and answers in work; 0: 64 MiB. The largest request needs 16 MiB, an answer 10

	Listen string // loopback address; "": 127.0.0.1 with any free port
	Region string // of the ARNs that are given out; "": us-east-1

	Logger     *slog.Logger          // nil: slog.Default()
	Registerer prometheus.Registerer // nil: metrics are not registered
}

// Node is one process's part in the embedded stream: it serves if no other process does, and it leads clients to
// whoever does.
type Node struct {
	cfg     Config
	metrics *metrics
	now     func() time.Time
}

// New checks the configuration.
func New(cfg Config) (*Node, error) {
	cfg.Shards = cmp.Or(cfg.Shards, 1)
	cfg.RetentionHours = cmp.Or(cfg.RetentionHours, minRetention)
	cfg.MaxRecordKiB = cmp.Or(cfg.MaxRecordKiB, maxRecordKiB)
	cfg.MemoryBytes = cmp.Or(cfg.MemoryBytes, 64<<20)
	cfg.Listen = cmp.Or(cfg.Listen, "127.0.0.1:0")
	cfg.Region = cmp.Or(cfg.Region, "us-east-1")
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	var errs []error
	if cfg.Dir == "" {
		errs = append(errs, errors.New("a directory is needed"))
	}
	if cfg.Stream != "" && !streamName.MatchString(cfg.Stream) {
		errs = append(errs, fmt.Errorf("stream name %q: 1 to 128 of the characters a-z, A-Z, 0-9, _, . and - are needed", cfg.Stream))
	}
	if cfg.Shards < 1 || cfg.Shards > maxShards {
		errs = append(errs, fmt.Errorf("%d shards: 1 to %d can be made", cfg.Shards, maxShards))
	}
	if cfg.RetentionHours < minRetention || cfg.RetentionHours > maxRetention {
		errs = append(errs, fmt.Errorf("retention of %d hours: %d to %d are possible", cfg.RetentionHours, minRetention, maxRetention))
	}
	if cfg.MaxRecordKiB < minRecordKiB || cfg.MaxRecordKiB > maxRecordKiB {
		errs = append(errs, fmt.Errorf("records of %d KiB: %d to %d are possible", cfg.MaxRecordKiB, minRecordKiB, maxRecordKiB))
	}
	if err := checkLoopback(cfg.Listen); err != nil {
		errs = append(errs, fmt.Errorf("listen: %w", err))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("embedded stream: %w", err)
	}
	return &Node{cfg: cfg, metrics: newMetrics(cfg.Registerer), now: time.Now}, nil
}

// Run waits for the right to serve, serves, and returns when ctx ends or the stream can't be served; nil in the first
// case. While another process serves it only waits for that one's end.
func (n *Node) Run(ctx context.Context) error {
	lock, err := n.lock(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("embedded stream: %w", err)
	}
	if err := errors.Join(n.serve(ctx), lock.release()); err != nil {
		return fmt.Errorf("embedded stream in %s: %w", n.cfg.Dir, err)
	}
	return nil
}

func (n *Node) lock(ctx context.Context) (*dirLock, error) {
	if err := os.MkdirAll(n.cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	for told := false; ; told = true {
		lock, err := tryLock(filepath.Join(n.cfg.Dir, "lock"))
		if lock != nil || err != nil {
			return lock, err
		}
		if !told {
			a, _ := n.readAddress() // for the message only
			n.cfg.Logger.Info("another process serves the embedded stream; this one takes over when it ends",
				"dir", n.cfg.Dir, "address", a.Address, "pid", a.PID)
		}
		if err := backoff.Sleep(ctx, lockPause); err != nil {
			return nil, err
		}
	}
}

// serve serves until ctx ends. The caller holds the lock.
func (n *Node) serve(ctx context.Context) (err error) {
	store, err := openStore(n.cfg.Dir, n.cfg.SegmentBytes, n.cfg.Logger, n.metrics, n.now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.close()) }()
	if err := n.makeStream(store); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", n.cfg.Listen)
	if err != nil {
		return err
	}
	defer listener.Close() // a second close is harmless
	if err := n.writeAddress(listener.Addr().String()); err != nil {
		return err
	}
	n.cfg.Logger.Info("serving the embedded stream", "dir", n.cfg.Dir, "address", listener.Addr().String(), "streams", len(store.names()))
	n.metrics.serving.Set(1)
	defer n.metrics.serving.Set(0)

	unused := &fresh{conns: map[net.Conn]bool{}}
	server := &http.Server{
		ConnState: unused.watch,
		Handler: &handler{
			operations: (&api{store: store, region: n.cfg.Region, reads: newBudget(n.cfg.MemoryBytes / 2)}).operations(),
			bodies:     newBudget(n.cfg.MemoryBytes / 2),
			logger:     n.cfg.Logger,
			health:     outage.New(n.cfg.Logger, "the embedded stream in "+n.cfg.Dir),
		},
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      5 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(n.cfg.Logger.Handler(), slog.LevelWarn),
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error { return n.sweep(ctx, store) })
	group.Go(func() error {
		var failure error
		select {
		case <-ctx.Done():
		case failure = <-store.failed:
		}
		return errors.Join(failure, n.stop(server, unused))
	})
	return group.Wait()
}

// makeStream makes the configured stream if it is missing.
func (n *Node) makeStream(s *store) error {
	if n.cfg.Stream == "" {
		return nil
	}
	made, err := s.create(streamMeta{Name: n.cfg.Stream, RetentionHours: n.cfg.RetentionHours, MaxRecordKiB: n.cfg.MaxRecordKiB}, n.cfg.Shards)
	if err != nil {
		return fmt.Errorf("make stream %s: %w", n.cfg.Stream, err)
	}
	if made {
		n.cfg.Logger.Info("made the stream", "stream", n.cfg.Stream, "shards", n.cfg.Shards)
	}
	return nil
}

// sweep removes what has expired, from time to time. A failure is told and tried again; it does not end the service.
func (n *Node) sweep(ctx context.Context, s *store) error {
	health := outage.New(n.cfg.Logger, "removing expired records in "+n.cfg.Dir)
	for {
		if err := s.sweep(); err != nil {
			health.Failing(err)
		} else {
			health.Working()
		}
		n.metrics.stored.Set(float64(s.size()))
		if backoff.Sleep(ctx, sweepPause) != nil {
			return nil
		}
	}
}

// stop ends the service: requests in work get a while to end, then they are cut off. The address is taken back first,
// so that clients look for the next server.
func (n *Node) stop(server *http.Server, unused *fresh) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	if err := n.writeAddress(""); err != nil { // clients find out by themselves, a little later
		n.cfg.Logger.Warn("the address of the embedded stream could not be taken back", "error", err)
	}
	unused.close()
	if err := server.Shutdown(ctx); err != nil {
		n.cfg.Logger.Warn("requests were cut off at the end of the embedded stream", "error", err)
		return server.Close()
	}
	return nil
}
