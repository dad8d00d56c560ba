package main

import (
	"io"
	"log/slog"
	"os"

	"github.com/binlogstreamer/binlogstreamer/internal/config"
)

// newLogger is the daemon's log. JSON is for machines: a terminal gets text. Its level can be changed while it runs.
func newLogger(w io.Writer, c config.Log, level *slog.LevelVar) *slog.Logger {
	level.Set(c.Level.Level())
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "text" || isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}
