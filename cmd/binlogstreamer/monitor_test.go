package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/config"
)

func TestTokenInAFileIsReadAgain(t *testing.T) {
	cfg := &config.Pipeline{}
	cfg.HTTP.TokenFile = filepath.Join(t.TempDir(), "token")
	if _, err := consoleToken(cfg); err == nil || !strings.Contains(err.Error(), "http.token_file") {
		t.Errorf("without the file: %v", err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(cfg.HTTP.TokenFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("short\n")
	if _, err := consoleToken(cfg); err == nil || !strings.Contains(err.Error(), "less than 16 characters") {
		t.Errorf("with a short token: %v", err)
	}
	write("the-first-of-our-tokens\n")
	token, err := consoleToken(cfg)
	if err != nil || token() != "the-first-of-our-tokens" {
		t.Fatalf("%q, %v", token(), err)
	}
	write("the-second-of-our-tokens")
	if got := token(); got != "the-second-of-our-tokens" {
		t.Errorf("exchanged: %q", got)
	}
	write("") // while it is being written
	if got := token(); got != "the-second-of-our-tokens" {
		t.Errorf("an empty file opens the door: %q", got)
	}
}

func TestBeyondThisMachine(t *testing.T) {
	for listen, want := range map[string]bool{
		"127.0.0.1:9187": false, "[::1]:9187": false, "localhost:0": false, ":9187": true, "0.0.0.0:9187": true, "10.0.0.1:9187": true, "db.example.com:1": true,
	} {
		if got := beyondThisMachine(listen); got != want {
			t.Errorf("%s: %v", listen, got)
		}
	}
}
