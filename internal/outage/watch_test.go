package outage

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

var errDown = errors.New("connection refused")

// lines runs a story in fake time and gives the log's lines.
func lines(t *testing.T, story func(w *Watch)) (out []string) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		drop := func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
		story(New(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: drop})), "stream s"))
		out = strings.Split(strings.TrimSpace(log.String()), "\n")
	})
	return out
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	for i := range want {
		for _, part := range strings.Split(want[i], "…") {
			if !strings.Contains(got[i], part) {
				t.Errorf("line %d is %s, want %q in it", i, got[i], part)
			}
		}
	}
}

// fail fails again and again, several times a second.
func fail(w *Watch, for_ time.Duration) {
	for range for_ / (250 * time.Millisecond) {
		w.Failing(errDown)
		time.Sleep(250 * time.Millisecond)
	}
}

func TestAShortOutageIsTwoLines(t *testing.T) {
	got := lines(t, func(w *Watch) {
		w.Working()
		fail(w, 20*time.Second)
		if w.OK() || w.Trouble() == nil || w.Lasts() != 20*time.Second {
			t.Errorf("it fails for %s with %v", w.Lasts(), w.Trouble())
		}
		w.Working()
		w.Working()
		if !w.OK() || w.Lasts() != 0 {
			t.Errorf("it works, and fails for %s with %v", w.Lasts(), w.Trouble())
		}
	})
	expect(t, got, "level=WARN…stream s fails; trying again…connection refused", "level=INFO…stream s works again…after=20s")
}

func TestALongOutageIsToldAgain(t *testing.T) {
	got := lines(t, func(w *Watch) {
		fail(w, 30*time.Minute)
		w.Working()
	})
	expect(t, got, "level=WARN", "level=ERROR…still fails…for=1m0s", "level=ERROR…for=11m0s", "level=ERROR…for=21m0s", "level=INFO…after=30m0s")
}

// What comes and goes is told once; what stays away after that is told when the quiet minute is over.
func TestComingAndGoing(t *testing.T) {
	got := lines(t, func(w *Watch) {
		for range 20 {
			fail(w, time.Second)
			w.Working()
			time.Sleep(time.Second)
		}
	})
	expect(t, got, "fails", "works again")
	got = lines(t, func(w *Watch) {
		fail(w, time.Second)
		w.Working()
		fail(w, 90*time.Second)
		w.Working()
	})
	expect(t, got, "WARN", "INFO…after=1s", "WARN", "ERROR…for=1m0", "INFO…after=1m30s")
}

// A thing works again when all of its parts do, those that are gone aside.
func TestParts(t *testing.T) {
	got := lines(t, func(w *Watch) {
		for _, part := range []string{"a", "b", "gone"} {
			w.PartFailing(part, errDown)
		}
		time.Sleep(time.Second)
		w.PartWorking("a")
		w.Forget(func(part string) bool { return part == "gone" })
		time.Sleep(time.Second)
		if w.OK() {
			t.Error("b fails")
		}
		w.PartWorking("b")
	})
	expect(t, got, "fails…part=a", "works again…after=2s")
}

func TestResetIsSilent(t *testing.T) {
	got := lines(t, func(w *Watch) {
		w.Failing(errDown)
		w.Reset()
		w.Working()
		if w.Lasts() != 0 {
			t.Error("it still fails")
		}
	})
	expect(t, got, "fails")
}

func TestGauge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(nil, "x")
		g := w.Gauge("deliver", "destination")
		if v := testutil.ToFloat64(g); v != 0 {
			t.Errorf("it works, and the gauge is %v", v)
		}
		w.Failing(errDown)
		time.Sleep(3 * time.Second)
		if v := testutil.ToFloat64(g); v != 3 {
			t.Errorf("after 3 s the gauge is %v", v)
		}
	})
}
