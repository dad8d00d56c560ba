package pipeline

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/binlogstreamer/binlogstreamer/internal/outage"
	"github.com/binlogstreamer/binlogstreamer/internal/status"
)

// Report is Status with what is to be known beside it, as it is shown to people.
func (d *Deliver) Report() *status.Deliver {
	now := time.Now()
	s := d.Status()
	keep := d.keeps()
	out := &status.Deliver{
		Half:   status.Half{State: d.state(&s), StandingBy: d.life.standing(), Trouble: []status.Trouble{}},
		Stream: s.Stream, Destination: s.Destination, Freshness: s.Freshness.Seconds(), Interval: d.cfg.Interval.Seconds(),
		Retention: status.Retention{
			Known: keep > 0, Left: s.Retention.Seconds(), Of: keep.Seconds(),
			Low: keep > 0 && s.Retention < keep/2 && s.Retention > 0, Lost: keep > 0 && s.Retention == 0,
		},
		Memory:  status.Room{Used: s.Memory, Limit: s.MemoryLimit},
		Objects: total(d.written.Objects), ObjectBytes: total(d.written.Bytes),
		Shards: d.readShards(s.Shards, now), Latest: d.newest(),
	}
	for _, dropped := range d.metrics.dropped {
		if dropped != nil {
			out.Duplicates += total(dropped)
		}
	}
	if doc, _ := d.pause.now(); doc.Paused {
		out.Paused = doc.Since
	}
	out.Trouble = troubles(out.Trouble, now, map[string]*outage.Watch{
		"stream " + out.Stream: d.streamHealth, "destination " + out.Destination: d.destinationHealth, "checkpoint store": d.storeHealth,
		"oversized records": d.bodiesHealth,
	})
	return out
}

// state says what deliver does.
func (d *Deliver) state(s *DeliverStatus) status.State {
	_, _, alive := d.life.present()
	holds := slices.ContainsFunc(s.Shards, func(sh ShardStatus) bool { return sh.Records > 0 || sh.Storing })
	switch paused := d.pause.isPaused(); {
	case d.life.standing() != nil:
		return status.StandingBy
	case paused && holds:
		return status.Pausing
	case paused:
		return status.Paused
	case !alive:
		return status.Stopped
	case !d.started.Load():
		return status.Connecting
	}
	return status.Delivering
}

// readShards are the shards that this process reads, and those that others are known to read.
func (d *Deliver) readShards(here []ShardStatus, now time.Time) []status.ReadShard {
	me := thisProcess()
	list := make([]status.ReadShard, 0, len(here))
	for _, s := range here {
		list = append(list, status.ReadShard{
			Shard: s.Shard, Owner: me, Here: true, Behind: s.Behind.Seconds(), Freshness: s.freshness(now).Seconds(),
			Records: s.Records, Bytes: s.Bytes, Storing: s.Storing, Objects: s.Objects,
			Throttled: total(d.reading.Throttled.WithLabelValues(s.Shard)),
		})
	}
	for shard, owner := range d.elsewhere() {
		if !slices.ContainsFunc(list, func(s status.ReadShard) bool { return s.Shard == shard }) {
			list = append(list, status.ReadShard{Shard: shard, Owner: owner})
		}
	}
	slices.SortFunc(list, func(a, b status.ReadShard) int { return cmp.Compare(a.Shard, b.Shard) })
	return list
}

// elsewhere gives the owners of shards that other processes have.
func (d *Deliver) elsewhere() map[string]string {
	d.mu.Lock()
	sharing, listed := d.sharing, d.listed
	d.mu.Unlock()
	owners := map[string]string{}
	if leases, ok := sharing.(leasedShares); ok {
		for _, sh := range listed {
			if owner := leases.Owner(sh.ID); owner != "" && !leases.Ended(sh.ID) {
				owners[sh.ID] = owner
			}
		}
	}
	return owners
}

// newest are the latest objects, newest first.
func (d *Deliver) newest() []status.Object {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := slices.Clone(d.latest)
	slices.Reverse(list)
	return append([]status.Object{}, list...)
}

func thisProcess() string {
	host, err := os.Hostname()
	if err != nil {
		host = "this host"
	}
	return fmt.Sprintf("%s:%d", host, os.Getpid())
}

// total reads a counter.
func total(c prometheus.Counter) uint64 {
	var m dto.Metric
	if c.Write(&m) != nil {
		return 0
	}
	return uint64(m.GetCounter().GetValue())
}
