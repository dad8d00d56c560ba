// Package demo shows the whole pipeline at work on one machine: a private MySQL or MariaDB server that sells tickets,
// the embedded stream, a folder of objects. It promises that everything it starts has ended when Run returns, that
// nothing but its own folder is touched, and that the count at the end is what verify finds when it holds every object
// against every row, with the pipeline at rest: it is not the pipeline that says the pipeline is right.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
	"github.com/binlogstreamer/binlogstreamer/internal/status"
	"github.com/binlogstreamer/binlogstreamer/internal/verify"
)

// Daemon runs the pipeline that a configuration file describes until ctx is done. once asks for what is left in the
// source to be replicated and delivered, and for nothing else.
type Daemon func(ctx context.Context, file string, registry *prometheus.Registry, log *slog.Logger, once bool, listening Listening) error

// Listening is told where a daemon's console is, and how it reports.
type Listening func(addr string, report func() *status.Report)

// Verify compares what the pipeline that a configuration file describes has delivered with its tables.
type Verify func(ctx context.Context, file string, log *slog.Logger, progress func(verify.Progress)) (*verify.Report, error)

// Config holds what a demo needs.
type Config struct {
	Dir      string        // folder to work in; "": a new one among the temporary files
	For      time.Duration // how long to sell tickets; 0: until ctx is done
	Rows     int           // rows of ticket_purchase_hist before the pipeline starts
	Keep     bool          // leave server, stream and checkpoints in the folder
	Out      io.Writer
	Terminal bool // Out is one: redraw the view in place, in colour
	Daemon   Daemon
	Verify   Verify
}

// ErrDiffer is returned, wrapped, when objects and tables do not agree at the end.
var ErrDiffer = errors.New("objects and tables differ")

// demo is one run.
type demo struct {
	Config
	server *dbserver.Server
	view   *view
	log    *slog.Logger
	shop   *shop
}

// Run runs the demo until Config.For has passed or ctx is done, and then counts.
func Run(ctx context.Context, c Config) (err error) {
	given := c.Dir != ""
	if c.Dir, err = workDir(c.Dir); err != nil {
		return err
	}
	logFile, err := os.OpenFile(filepath.Join(c.Dir, "pipeline.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the demo's log: %w", err)
	}
	defer logFile.Close()
	d := &demo{Config: c, view: newView(c.Out, c.Terminal), log: slog.New(slog.NewTextHandler(logFile, nil))}
	defer d.clean()
	err = d.run(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		fmt.Fprintln(c.Out, "  stopped before the pipeline began; there is nothing to count")
		return empty(c.Dir, given)
	}
	if err != nil && !errors.Is(err, ErrDiffer) {
		err = fmt.Errorf("demo: %w; its log is %s", err, logFile.Name())
		d.Keep = true
	}
	return err
}

func workDir(dir string) (string, error) {
	if dir == "" {
		dir, err := os.MkdirTemp("", "binlogstreamer-demo-")
		if err != nil {
			return "", fmt.Errorf("make a folder for the demo: %w", err)
		}
		return dir, nil
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find the demo's folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the demo's folder: %w", err)
	}
	if found, err := os.ReadDir(dir); err != nil || len(found) > 0 {
		return "", errors.Join(fmt.Errorf("the folder %s is not empty: choose another one with --dir", dir), err)
	}
	return dir, nil
}

func (d *demo) path(name string) string { return filepath.Join(d.Dir, name) }

// run is the demo's plot: a server, tickets, the pipeline, the show, the end, the count.
func (d *demo) run(ctx context.Context) error {
	if err := d.startServer(ctx); err != nil {
		return err
	}
	defer d.stopServer()
	d.shop = newShop(d.server, d.Rows)
	if err := d.shop.open(ctx, d.view.progress); err != nil {
		return err
	}
	if err := d.writeConfig(ctx); err != nil {
		return err
	}
	if err := d.show(ctx); err != nil {
		return err
	}
	return d.count(context.WithoutCancel(ctx)) // Ctrl-C has ended the show, and the count is what it was for
}

func (d *demo) startServer(ctx context.Context) error {
	flavor := installed()
	d.view.progress("starting a private "+brand(flavor)+" server", -1)
	var err error
	d.server, err = dbserver.Start(ctx, d.path("server"), dbserver.Options{Flavor: flavor})
	if errors.Is(err, dbserver.ErrNotInstalled) {
		return errors.New("neither mysqld nor mariadbd is on this machine: install one of them (Debian: apt-get install mariadb-server), or run make demo, which does it")
	}
	if err != nil {
		return err
	}
	d.view.title = fmt.Sprintf("%s %s → embedded stream → %s", brand(flavor), d.server.Program.Version, d.path("objects"))
	return nil
}

// installed is the server of this machine's own: MySQL if it is there, else MariaDB. What was unpacked for tests
// does not count.
func installed() dbserver.Flavor {
	p, err := dbserver.Find(dbserver.MySQL)
	if rel, relErr := filepath.Rel(dbserver.CacheDir(), p.Path); err != nil || relErr == nil && filepath.IsLocal(rel) {
		return dbserver.MariaDB
	}
	return dbserver.MySQL
}

// empty removes what is in a folder, and the folder itself unless it was given to us.
func empty(dir string, given bool) error {
	if !given {
		return os.RemoveAll(dir)
	}
	found, err := os.ReadDir(dir)
	for _, entry := range found {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, entry.Name())))
	}
	return err
}

// brand is how a server's makers write its name.
func brand(f dbserver.Flavor) string {
	if f == dbserver.MariaDB {
		return "MariaDB"
	}
	return "MySQL"
}

func (d *demo) stopServer() {
	// The data is thrown away: a clean shutdown would only take time. If it is kept, it must be usable.
	if !d.Keep {
		d.server.Kill()
		return
	}
	if err := d.server.Stop(); err != nil {
		d.log.Warn("the server did not stop in time", "error", err)
	}
}

// clean removes everything but the objects, the configuration and the log. What the count was made with is never kept.
func (d *demo) clean() {
	names := []string{"verify"}
	if !d.Keep {
		names = append(names, "server", "state", "stream")
	}
	for _, name := range names {
		if err := os.RemoveAll(d.path(name)); err != nil {
			d.log.Warn("could not clean up", "error", err)
		}
	}
}
