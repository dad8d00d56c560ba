package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/faultproxy"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// shape is what the schedules of one kind have in common: the servers, and how the program is built and set up.
type shape struct {
	stream      string // kinesalite, kinesis-local or embedded
	destination string // s3 or file
	checkpoints string // dynamodb, s3 or file
	rows        int
	pause       time.Duration // of each writer between two transactions

	small       bool   // a span and a window of 64 changes
	unlocked    bool   // locks keep nobody out
	partitioned bool   // several objects a run
	spilled     bool   // records over 2,000 bytes are spilled
	aggregated  bool   // records of one key in one
	keys        string // partition_key_type
}

// shapes are taken in turn: seed n has shape n modulo their number.
var shapes = []shape{
	{stream: "kinesalite", destination: "s3", checkpoints: "dynamodb", rows: 1000, pause: 15 * time.Millisecond, small: true, unlocked: true},
	{stream: "embedded", destination: "file", checkpoints: "file", rows: 2000, pause: 10 * time.Millisecond},
	{stream: "kinesalite", destination: "s3", checkpoints: "s3", rows: 600, pause: 20 * time.Millisecond, aggregated: true, keys: "schema-table"},
	{stream: "embedded", destination: "s3", checkpoints: "dynamodb", rows: 1000, pause: 20 * time.Millisecond, small: true, spilled: true, partitioned: true},
	{stream: "kinesis-local", destination: "s3", checkpoints: "dynamodb", rows: 60, pause: 100 * time.Millisecond},
	{stream: "embedded", destination: "s3", checkpoints: "s3", rows: 1000, pause: 15 * time.Millisecond, small: true, unlocked: true, partitioned: true},
	{stream: "kinesalite", destination: "file", checkpoints: "dynamodb", rows: 1000, pause: 15 * time.Millisecond, small: true, spilled: true, aggregated: true},
	{stream: "embedded", destination: "s3", checkpoints: "dynamodb", rows: 2000, pause: 10 * time.Millisecond, small: true, unlocked: true, aggregated: true},
}

func (s shape) String() string {
	name := s.stream + "," + s.destination + "," + s.checkpoints
	for _, option := range []struct {
		name string
		on   bool
	}{{"small", s.small}, {"unlocked", s.unlocked}, {"partitioned", s.partitioned}, {"spilled", s.spilled}, {"aggregated", s.aggregated}} {
		if option.on {
			name += "," + option.name
		}
	}
	return name
}

// TestChaos runs schedules of some seconds: two replicate and two deliver processes are killed, stopped and continued at
// random while three writers write, shards are split and merged, and every request to a server of AWS may be refused,
// lost, cut off, late, or carried out when nobody waits for it any more. Then everything is let through, and nothing may be
// missing, doubled or out of order anywhere. docs/TESTING.md has what a schedule does.
//
// BINLOGSTREAMER_SEED is the seed of the first schedule, and BINLOGSTREAMER_CHAOS says how many there are.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("schedules take their time")
	}
	seed := testservers.Setting(t, "BINLOGSTREAMER_SEED", uint64(time.Now().Unix())*uint64(len(shapes)/2)) // one half of the shapes or the other
	n := testservers.Setting(t, "BINLOGSTREAMER_CHAOS", uint64(len(shapes)/2))
	lanes := testservers.Setting(t, "BINLOGSTREAMER_LANES", 2)
	all := uint64(len(shapes))
	t.Logf("seed %d; BINLOGSTREAMER_SEED=%d repeats it", seed, seed)
	total := &tally{faults: faultproxy.Counts{}}
	t.Run("lanes", func(t *testing.T) {
		var next atomic.Uint64
		var wrong atomic.Bool
		for lane := range min(lanes, n) {
			t.Run(strconv.FormatUint(lane, 10), func(t *testing.T) {
				t.Parallel()
				servers := &laneServers{t: t}
				for {
					i := next.Add(1) - 1
					if i >= n || mutant != "" && wrong.Load() {
						return
					}
					at := seed + i
					if of := mutation().shapes; len(of) > 0 {
						at = seed/all*all + i/uint64(len(of))*all + uint64(of[i%uint64(len(of))])
					}
					if runChaos(t, at, servers, total) {
						wrong.Store(true)
					}
				}
			})
		}
	})
	t.Logf("chaos: %s", total)
}

// runChaos runs the schedule of a seed, and says whether something was stored that is wrong.
func runChaos(t *testing.T, seed uint64, servers *laneServers, total *tally) (wrong bool) {
	sh := shapes[seed%uint64(len(shapes))]
	t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
		t.Logf("BINLOGSTREAMER_SEED=%d repeats this schedule (%s)", seed, sh)
		c := newChaos(t, seed, sh, servers)
		defer func() {
			total.add(c)
			wrong = c.wrong
		}()
		c.run()
	})
	return wrong
}

// laneServers are the servers that the schedules of a lane share, one after the other. Each is started when it is needed.
type laneServers struct {
	t       *testing.T // of the lane
	db      *testservers.MySQLServer
	servers map[string]*testservers.AWSServer
}

func (l *laneServers) database() *testservers.MySQLServer {
	if l.db == nil {
		l.db = testservers.MySQL(l.t)
	}
	return l.db
}

func (l *laneServers) server(name string) *testservers.AWSServer {
	start := map[string]func(testing.TB) *testservers.AWSServer{
		"kinesalite": testservers.Kinesalite, "versitygw": testservers.VersityGW, "dynalite": testservers.Dynalite,
		"kinesis-local": func(t testing.TB) *testservers.AWSServer { return testservers.KinesisLocal(t) },
	}
	if l.servers[name] == nil {
		if l.servers == nil {
			l.servers = map[string]*testservers.AWSServer{}
		}
		l.servers[name] = start[name](l.t)
	}
	return l.servers[name]
}

// tally is what all schedules together did.
type tally struct {
	mu        sync.Mutex // covers everything below
	schedules int
	failed    []uint64
	events    map[string]int
	records   int
	objects   int
	changes   int64
	faults    faultproxy.Counts
}

func (s *tally) add(c *chaos) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.schedules++
	if c.t.Failed() {
		s.failed = append(s.failed, c.seed)
	}
	if s.events == nil {
		s.events = map[string]int{}
	}
	for what, n := range c.events {
		s.events[what] += n
	}
	for name, p := range c.proxies {
		for what, n := range p.Counts() {
			s.faults[name+" "+what] += n
		}
	}
	s.records += c.records
	s.objects += c.objects
	if c.work != nil {
		s.changes += c.work.changes.Load()
	}
}

func (s *tally) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%d schedules, %d failed %v; %d changes committed, %d records in the streams, %d objects", s.schedules, len(s.failed), s.failed, s.changes, s.records, s.objects)
	for _, what := range slices.Sorted(maps.Keys(s.events)) {
		fmt.Fprintf(&b, "\n  %-28s %6d", what, s.events[what])
	}
	requests := 0
	byFault := map[string]int{}
	for what, n := range s.faults {
		if parts := strings.Fields(what); len(parts) == 3 {
			byFault[parts[0]+" "+parts[2]] += n
		} else {
			requests += n
		}
	}
	fmt.Fprintf(&b, "\n  %-28s %6d", "requests", requests)
	for _, what := range slices.Sorted(maps.Keys(byFault)) {
		fmt.Fprintf(&b, "\n  %-28s %6d", what, byFault[what])
	}
	return b.String()
}
