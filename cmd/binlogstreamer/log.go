package main

import (
	"io"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/config"
)

// newLogger is the daemon's log, which is counted in r. JSON is for machines: a terminal gets text. Its level can be changed
// while it runs.
func newLogger(w io.Writer, c config.Log, level *slog.LevelVar, r prometheus.Registerer) *slog.Logger {
	level.Set(c.Level.Level())
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "text" || isTerminal(w) {
		return countLog(slog.NewTextHandler(w, options), r)
	}
	return countLog(slog.NewJSONHandler(w, options), r)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}
