package pipeline

import (
	"fmt"
	"sync"
	"time"
)

// motion notices what should move and does not: a lock that is never given back, a wake-up that was lost, a request that
// has no end. Whoever asks gives it the state of things; what waits for a reason, such as an outage, is not due to move.
type motion struct {
	mu    sync.Mutex // covers marks
	marks map[string]mark
}

// mark is where a thing stood when it was seen moving last.
type mark struct {
	at    uint64
	since time.Time
}

// stuckAfter is how long something may stand still without a reason. Every request has a time limit, and retries of the SDK
// are over, well before that.
const stuckAfter = 5 * time.Minute

// turnEvery is how often loops go round that would otherwise wait for something to happen.
const turnEvery = 15 * time.Second

// thing is something that should move.
type thing struct {
	name string
	due  bool   // it has to move now
	at   uint64 // changes when it moves
	max  time.Duration
}

// stuck names the things that have not moved for too long.
func (m *motion) stuck(now time.Time, things []thing) (names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	marks := make(map[string]mark, len(things))
	for _, t := range things {
		if !t.due {
			continue
		}
		at, known := m.marks[t.name]
		if !known || at.at != t.at {
			at = mark{t.at, now}
		}
		marks[t.name] = at
		if still := now.Sub(at.since); still > t.max {
			names = append(names, fmt.Sprintf("%s has not moved for %s", t.name, still.Round(time.Second)))
		}
	}
	m.marks = marks
	return names
}

// StandsBy says whether another process replicates, and this one waits to take over.
func (r *Replicate) StandsBy() bool { return r.standby.Load() }

// Stuck names what should move and does not, without anything outside being the reason. It has to be asked now and then, at
// least every minute, to be able to tell; an answer that does not come is one, too.
func (r *Replicate) Stuck() []string {
	s := r.session.Load()
	if s == nil { // it starts, stands by, or ends, each of which waits for somebody else
		return r.motion.stuck(time.Now(), nil)
	}
	return r.motion.stuck(time.Now(), s.things())
}

func (s *session) things() []thing {
	acked, pending := s.tracker.Through()
	refused := s.writer.Refused() || !s.emitter.oversized.store.OK()
	return []thing{
		{name: "saving checkpoints", due: true, at: s.saver.rounds.Load(), max: stuckAfter},
		{name: "sending changes", due: pending && !refused, at: acked, max: stuckAfter},
	}
}

// StandsBy says whether another process delivers, and this one waits to take over.
func (d *Deliver) StandsBy() bool { return d.standby.Load() }

// Stuck names what should move and does not, without anything outside being the reason. It has to be asked now and then, at
// least every minute, to be able to tell; an answer that does not come is one, too.
func (d *Deliver) Stuck() []string {
	return d.motion.stuck(time.Now(), d.things())
}

// things are the supervisor's loop and, of each shard, the worker, its reader, and what it stores. During an outage each of
// them may wait for it.
func (d *Deliver) things() (things []thing) {
	calm := d.started.Load() && d.streamHealth.OK() && d.destinationHealth.OK() && d.storeHealth.OK() && d.bodiesHealth.OK()
	d.mu.Lock()
	defer d.mu.Unlock()
	any := false
	for id, w := range d.workers {
		working := calm && !w.ending.Load()
		any = any || working
		w.mu.Lock()
		s := w.status
		w.mu.Unlock()
		things = append(things,
			thing{name: "delivering " + id, due: working, at: w.rounds.Load(), max: stuckAfter},
			thing{name: "reading " + id, due: working && !d.Paused() && !s.Storing && !s.Answered.IsZero(), at: uint64(s.Answered.UnixNano()), max: 2 * stuckAfter},
			thing{name: "storing objects of " + id, due: working && s.Storing, at: uint64(s.Objects), max: 2 * stuckAfter},
		)
	}
	return append(things, thing{name: "looking for shards", due: any, at: d.looks.Load(), max: stuckAfter + d.cfg.ListEvery})
}
