package binlog

import (
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }
