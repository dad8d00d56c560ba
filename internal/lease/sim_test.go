package lease_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/binlogstreamer/binlogstreamer/internal/lease"
	"github.com/binlogstreamer/binlogstreamer/internal/lease/leasetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var schedules = flag.Int("lease-schedules", 12, "random schedules of TestSchedules")

const failover = 10 * time.Second

// TestSchedules lets workers join, leave, die, be cut off and be stopped, while the table is away, answers are lost and requests
// are carried out late, and shards are split and merged. No two workers that run may hold one shard, no child may be
// worked on before its parents are at their ends; and when it is quiet, every shard must get a worker, and the
// workers equally many.
func TestSchedules(t *testing.T) {
	for seed := range uint64(*schedules) {
		if faults := schedule(t, seed, mutation{}); len(faults) > 0 {
			t.Fatalf("seed %d: %q", seed, faults)
		}
	}
}

// mutation breaks a rule.
type mutation struct {
	alter func(*lease.Coordinator)
	table func(*leasetest.Table) lease.Table
	list  func([]lease.Shard) []lease.Shard
}

// TestSchedulesCanFail makes sure that each rule is needed, and missed by what it is for.
func TestSchedulesCanFail(t *testing.T) {
	for name, m := range map[string]struct {
		mutation

		fault string
	}{
		"a worker that cannot renew does not stop":    {mutation{alter: func(c *lease.Coordinator) { c.Hold(3 * failover) }}, "two workers"},
		"leases are taken before their owners stop":   {mutation{alter: func(c *lease.Coordinator) { c.Silence(failover / 3) }}, "two workers"},
		"leases are replaced without a condition":     {mutation{table: func(t *leasetest.Table) lease.Table { return careless{t} }}, "two workers"},
		"a thief does not wait for the former owner":  {mutation{table: func(t *leasetest.Table) lease.Table { return hasty{t} }}, "two workers"},
		"children do not wait for their parents":      {mutation{list: orphans}, "before its parent"},
		"nothing is taken from a worker that is gone": {mutation{alter: func(c *lease.Coordinator) { c.Silence(time.Hour) }}, "has no worker"},
		"nothing is stolen":                           {mutation{alter: func(c *lease.Coordinator) { c.Excess(1000) }}, "unequal"},
		"only the first leases are read":              {mutation{table: func(t *leasetest.Table) lease.Table { return firstPage{t} }}, "has no worker"},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(60) {
				faults := schedule(t, seed, m.mutation)
				if slices.ContainsFunc(faults, func(f fault) bool { return f.kind == m.fault }) {
					return
				}
			}
			t.Errorf("no schedule found %q", m.fault)
		})
	}
}

// careless ignores who has a lease by now.
type careless struct{ *leasetest.Table }

func (c careless) Replace(ctx context.Context, old, now lease.Lease) error {
	for range 10 {
		leases, err := c.Read(ctx, []string{old.Shard})
		if err != nil || len(leases) == 0 {
			return err
		}
		now.Counter = leases[0].Counter + 1
		if err := c.Table.Replace(ctx, leases[0], now); !errors.Is(err, lease.ErrChanged) {
			return err
		}
	}
	return lease.ErrChanged
}

// hasty leaves out that the former owner has to hand a shard over.
type hasty struct{ *leasetest.Table }

func (h hasty) Replace(ctx context.Context, old, now lease.Lease) error {
	now.CheckpointOwner = ""
	return h.Table.Replace(ctx, old, now)
}

// firstPage reads no more than three leases.
type firstPage struct{ *leasetest.Table }

func (f firstPage) Read(ctx context.Context, shards []string) ([]lease.Lease, error) {
	leases, err := f.Table.Read(ctx, shards)
	return leases[:min(len(leases), 3)], err
}

func orphans(shards []lease.Shard) []lease.Shard {
	shards = slices.Clone(shards)
	for i := range shards {
		shards[i].Parents = nil
	}
	return shards
}

type fault struct{ kind, what string }

// simulation is the world of one schedule. Time is the bubble's.
type simulation struct {
	*rand.Rand
	t       *testing.T
	service *leasetest.Service
	broken  mutation

	mu      sync.Mutex // covers what follows, and rand
	shards  []lease.Shard
	closed  map[string]bool // split or merged
	ended   map[string]bool // read to the end
	working map[string]*worker
	workers []*worker
	calm    bool      // nothing fails
	away    time.Time // the table is, until then
	faults  []fault
}

func schedule(t *testing.T, seed uint64, broken mutation) (faults []fault) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &simulation{
			Rand: rand.New(rand.NewPCG(seed, 3)), t: t, service: leasetest.NewService(), broken: broken,
			closed: map[string]bool{}, ended: map[string]bool{}, working: map[string]*worker{},
		}
		for range 3 + s.IntN(8) {
			s.add()
		}
		s.run()
		faults = s.faults
	})
	return faults
}

func (s *simulation) add(parents ...string) {
	s.shards = append(s.shards, lease.Shard{ID: fmt.Sprintf("shard-%03d", len(s.shards)), Parents: parents})
}

func (s *simulation) fault(kind, format string, args ...any) {
	s.faults = append(s.faults, fault{kind, fmt.Sprintf(format, args...)})
}

func (s *simulation) draw(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.IntN(n)
}

func (s *simulation) run() {
	s.join()
	for range 40 {
		s.event()
		time.Sleep(time.Duration(s.draw(8000)) * time.Millisecond)
	}
	s.mu.Lock()
	s.calm = true
	for _, w := range s.workers {
		w.resume()
	}
	none := len(s.workers) == 0
	s.mu.Unlock()
	if none {
		s.join()
	}
	time.Sleep(3 * failover) // late requests, and the clocks of those that are gone
	for range 40 {           // what was split is read to its end
		time.Sleep(failover / 5)
	}
	s.settled()
	for len(s.workers) > 0 {
		w := s.workers[0]
		s.leave(w)
		for _, l := range s.service.All() {
			if l.Owner == w.coordinator.Worker() {
				s.fault("kept", "a worker that left keeps %+v", l)
			}
		}
	}
	time.Sleep(2 * time.Minute) // late requests
}

// settled checks what must hold after a quiet time.
func (s *simulation) settled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := map[*worker]int{}
	for _, sh := range s.shards {
		if s.ended[sh.ID] || slices.ContainsFunc(sh.Parents, func(p string) bool { return !s.ended[p] }) {
			continue
		}
		if w := s.working[sh.ID]; w != nil {
			counts[w]++
			continue
		}
		s.fault("has no worker", "%s", sh.ID)
	}
	least, most := 1<<30, 0
	for _, w := range s.workers {
		least, most = min(least, counts[w]), max(most, counts[w])
	}
	if most > least+1 {
		s.fault("unequal", "a worker has %d shards, another one %d", most, least)
	}
}

func (s *simulation) event() {
	s.mu.Lock()
	what := s.IntN(9)
	var w *worker
	if len(s.workers) > 0 {
		w = s.workers[s.IntN(len(s.workers))]
	}
	s.mu.Unlock()
	switch {
	case w == nil || what < 2 && len(s.workers) < 6:
		s.join()
	case what == 2:
		s.leave(w)
	case what == 3:
		s.kill(w)
	case what == 4: // stopped, as by SIGSTOP, or goes on
		s.mu.Lock()
		defer s.mu.Unlock()
		if w.stopped != nil {
			w.resume()
		} else {
			w.stopped = make(chan struct{})
		}
	case what == 5: // cut off from the table
		s.mu.Lock()
		defer s.mu.Unlock()
		w.cut = time.Now().Add(time.Duration(s.IntN(40)) * time.Second)
	case what == 6:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.away = time.Now().Add(time.Duration(s.IntN(25)) * time.Second)
	default:
		s.reshard()
	}
}

func (s *simulation) reshard() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var open []string
	for _, sh := range s.shards {
		if !s.closed[sh.ID] {
			open = append(open, sh.ID)
		}
	}
	i := s.IntN(len(open))
	s.closed[open[i]] = true
	if i > 0 && s.IntN(2) == 0 {
		s.closed[open[i-1]] = true
		s.add(open[i-1], open[i])
		return
	}
	s.add(open[i])
	s.add(open[i])
}

// worker is a process.
type worker struct {
	*simulation
	coordinator *lease.Coordinator
	stop        context.CancelFunc // of the process: its work, then its coordinator
	done        chan struct{}

	// Under the simulation's mutex:
	dead    bool
	stopped chan struct{} // nil: it runs; closed when it goes on
	resumed time.Time     // when it went on; what it does about that may be seen later in that same moment
	cut     time.Time     // no request gets through until then
}

func (s *simulation) join() {
	w := &worker{simulation: s, done: make(chan struct{})}
	table := s.service.Table()
	table.Around = w.request
	var way lease.Table = table
	if s.broken.table != nil {
		way = s.broken.table(table)
	}
	w.coordinator = lease.New(lease.Config{Table: way, Failover: failover})
	if s.broken.alter != nil {
		s.broken.alter(w.coordinator)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(s.t.Context()))
	w.stop = stop
	s.mu.Lock()
	s.workers = append(s.workers, w)
	s.mu.Unlock()
	go w.run(ctx)
}

func (s *simulation) remove(w *worker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.workers = slices.DeleteFunc(s.workers, func(o *worker) bool { return o == w })
	w.resume()
}

// resume lets a stopped worker go on; the mutex is held.
func (w *worker) resume() {
	if w.stopped != nil {
		close(w.stopped)
		w.stopped, w.resumed = nil, time.Now()
	}
}

func (s *simulation) leave(w *worker) {
	s.remove(w)
	w.stop()
	<-w.done
}

// kill ends a worker in the middle of whatever it does.
func (s *simulation) kill(w *worker) {
	s.mu.Lock()
	w.dead = true
	for id, o := range s.working {
		if o == w {
			delete(s.working, id)
		}
	}
	s.mu.Unlock()
	s.leave(w)
}

// run is the process: its work ends before its coordinator does.
func (w *worker) run(ctx context.Context) {
	defer close(w.done)
	below, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = w.coordinator.Run(below)
	}()
	var group sync.WaitGroup
	begun := map[*lease.Grant]bool{}
	tick := time.NewTicker(4 * time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		w.list()
		for _, g := range w.coordinator.Held() {
			if !begun[g] {
				begun[g] = true
				group.Go(func() { w.work(ctx, g) })
			}
		}
		select {
		case <-w.coordinator.Changes():
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	w.coordinator.Retire()
	group.Wait()
	stop()
	<-ended
}

func (w *worker) list() {
	w.mu.Lock()
	shards := slices.Clone(w.shards)
	w.mu.Unlock()
	if w.broken.list != nil {
		shards = w.broken.list(shards)
	}
	w.coordinator.Sync(shards)
}

// work works on a shard until it is told to stop, or the shard is at its end.
func (w *worker) work(ctx context.Context, g *lease.Grant) {
	id := g.Shard()
	if !w.begin(id) {
		g.Release()
		return
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for end := false; !end; {
		select {
		case <-g.Lost():
			end = true
		case <-g.Wanted():
			end = true
		case <-ctx.Done():
			end = true
		case <-tick.C:
			if w.finish(id) {
				g.End()
				return
			}
		}
	}
	select { // what is held is stored, unless the shard is lost
	case <-g.Lost():
	case <-time.After(time.Duration(w.draw(3000)) * time.Millisecond):
	}
	w.pause()
	w.mu.Lock()
	if w.working[id] == w {
		delete(w.working, id)
	}
	w.mu.Unlock()
	g.Release()
}

// begin books that a worker works on a shard. Another one that runs must not.
func (w *worker) begin(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return false
	}
	if o := w.working[id]; o != nil && o != w && o.stopped == nil && !o.resumed.Equal(time.Now()) {
		w.fault("two workers", "%s", id)
	}
	for _, sh := range w.shards {
		for _, p := range sh.Parents {
			if sh.ID == id && !w.ended[p] {
				w.fault("before its parent", "%s, %s", id, p)
			}
		}
	}
	w.working[id] = w
	return true
}

// finish says that the shard is read to its end.
func (w *worker) finish(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead || w.stopped != nil || w.working[id] != w || !w.ended[id] && (!w.closed[id] || w.IntN(5) > 0) {
		return false
	}
	delete(w.working, id)
	w.ended[id] = true
	return true
}

// pause waits while the worker is stopped.
func (w *worker) pause() {
	w.mu.Lock()
	stopped := w.stopped
	w.mu.Unlock()
	if stopped != nil {
		<-stopped
	}
}

var errLost = errors.New("no answer")

// request is the way of a request to the table.
func (w *worker) request(ctx context.Context, call string, do func() error) error {
	w.pause()
	w.mu.Lock()
	calm, dead := w.calm, w.dead
	fate, there, back, late := w.IntN(100), w.IntN(200), w.IntN(200), 1+w.IntN(40)
	off := !calm && (time.Now().Before(w.cut) || time.Now().Before(w.away))
	w.mu.Unlock()
	if calm {
		fate, there, back = 100, there/10, back/10
	}
	switch {
	case dead:
		return errLost
	case off && fate%2 == 0:
		return leasetest.ErrAway
	case off, fate < 4:
		<-ctx.Done()
		return ctx.Err()
	case fate < 8 && call != "read" && call != "scan": // carried out when nobody waits for it any more
		go func() {
			time.Sleep(time.Duration(late) * time.Second)
			_ = do()
		}()
		<-ctx.Done()
		return ctx.Err()
	}
	if err := wait(ctx, there); err != nil {
		return err
	}
	w.pause()
	err := do()
	if err := wait(ctx, back); err != nil {
		return err
	}
	w.pause()
	if fate < 12 {
		return errLost
	}
	return err
}

func wait(ctx context.Context, ms int) error {
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
