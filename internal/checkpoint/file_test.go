package checkpoint_test

import (
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint/checkpointtest"
)

func TestFileStore(t *testing.T) {
	checkpointtest.Run(t, func(t *testing.T) func() checkpoint.Store {
		dir := t.TempDir() + "/made/by/the store"
		return func() checkpoint.Store {
			s, err := checkpoint.OpenFile(dir)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	})
}
