package pipeline_test

import (
	"strconv"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

func eachServer(t *testing.T, f func(t *testing.T, db *testservers.MySQLServer)) {
	t.Run("mysql", func(t *testing.T) {
		t.Parallel()
		f(t, testservers.MySQL(t))
	})
	t.Run("mariadb", func(t *testing.T) {
		t.Parallel()
		f(t, testservers.MariaDB(t))
	})
}

// TestEveryCheckpointEqualsTheTables runs random schedules: tables of all sorts of keys, writers that meet each other on
// few rows, commits that replicas see before a SELECT does, a stream that refuses and loses, and kills at any moment.
// After every checkpoint that was saved, and not only at the end, replaying the stream gives the tables.
//
// BINLOGSTREAMER_SCHEDULES says how many schedules to run on each server, BINLOGSTREAMER_SEED where they begin.
func TestEveryCheckpointEqualsTheTables(t *testing.T) {
	schedules, first := testservers.Setting(t, "BINLOGSTREAMER_SCHEDULES", 3), testservers.Setting(t, "BINLOGSTREAMER_SEED", 1)
	eachServer(t, func(t *testing.T, db *testservers.MySQLServer) {
		var sum figures
		for seed := first; seed < first+schedules; seed++ {
			t.Run("seed "+strconv.FormatUint(seed, 10), func(t *testing.T) {
				s := newSchedule(t, db, seed, none)
				t.Cleanup(func() {
					if t.Failed() {
						t.Log(s.describe())
					}
				})
				f, faults := s.run()
				sum.add(f)
				for i, fault := range faults {
					if i == 5 {
						t.Errorf("and %d more", len(faults)-i)
						break
					}
					t.Error(fault)
				}
			})
		}
		t.Log(sum)
	})
}

// mustFail runs schedules with a flaw until the check finds a fault.
func mustFail(t *testing.T, db *testservers.MySQLServer, f flaw, reached func(*schedule) bool) {
	const limit = 25
	for seed := uint64(1); seed <= limit; seed++ {
		s := newSchedule(t, db, seed, f)
		_, faults := s.run()
		if !reached(s) {
			t.Fatal("the schedule never came to the place of the flaw: has the product changed?")
		}
		if len(faults) > 0 {
			t.Logf("schedule %d has %d faults, the first: %s", seed, len(faults), faults[0])
			return
		}
	}
	t.Errorf("none of %d schedules failed: the test above would not notice", limit)
}

// TestWithoutTheVisibilityWaitTheTestFails takes the wait for visibility out of the full load.
func TestWithoutTheVisibilityWaitTheTestFails(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testservers.MySQLServer) {
		mustFail(t, db, noWait, func(s *schedule) bool { return s.proxy.changed.Load() > 0 })
	})
}

// TestWithoutTheNumbersTheTestFails leaves the numbers of records without a position out: what comes late is taken for new.
func TestWithoutTheNumbersTheTestFails(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testservers.MySQLServer) {
		mustFail(t, db, noNumbers, func(s *schedule) bool { return s.stream.lost > 0 })
	})
}

// TestWithoutTheNotesTheTestFails lets every row of a chunk through, whatever happened to it meanwhile.
func TestWithoutTheNotesTheTestFails(t *testing.T) {
	eachServer(t, func(t *testing.T, db *testservers.MySQLServer) {
		mustFail(t, db, noNotes, func(*schedule) bool { return true })
	})
}
