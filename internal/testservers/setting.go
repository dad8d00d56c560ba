package testservers

import (
	"os"
	"strconv"
	"testing"
)

// Setting reads a number from the environment, such as a seed; otherwise is what holds without one.
func Setting(t testing.TB, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s=%q is no number", name, text)
	}
	return n
}
