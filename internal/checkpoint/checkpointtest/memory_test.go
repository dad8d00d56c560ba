package checkpointtest_test

import (
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint/checkpointtest"
)

func TestMemory(t *testing.T) {
	checkpointtest.Run(t, func(*testing.T) func() checkpoint.Store {
		m := checkpointtest.NewMemory()
		return func() checkpoint.Store { return m }
	})
}
