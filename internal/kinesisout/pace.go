package kinesisout

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// What a shard takes in a second on average. A second's worth may come at once.
const (
	shardBytes   = 1 << 20
	shardRecords = 1000
)

const (
	// paceStep is the least that is sent while a shard is used to its limit: a twentieth of a second's worth, so that
	// requests do not shrink to the record or two that just became free.
	paceStep = 20

	cutFactor = 0.8                    // what throttling leaves of a rate
	cutEvery  = 250 * time.Millisecond // refusals that come together are one
	raiseBy   = 20                     // a limit rises by a twentieth of a shard's rate in a second
	forgetIn  = time.Minute            // without throttling, a learned limit says nothing any more

	// leastRate, of a shard's rate, is what a limit does not fall below: throttling of less has another cause (other
	// writers, the key service), which pauses between attempts are for.
	leastRate = 0.5
)

// pace keeps a lane below its shard's throttling. Where the limits are known (a provisioned stream at AWS) they hold
// from the start; elsewhere there are none until the shard throttles. Throttling cuts both rates to a part of what the
// shard took last; then they rise steadily, up to the known limits, and without those until they are forgotten.
//
// It belongs to whoever has its lane.
type pace struct {
	known   bool          // the ceiling is what a shard takes
	bytes   *rate.Limiter // nil: no limit
	records *rate.Limiter

	limited rates     // what the limiters have
	raised  time.Time // up to when limited has risen
	cut     time.Time // when throttling was seen last; zero: never, or it is forgotten
	recent  meter
}

// rates are bytes and records in a second.
type rates struct{ bytes, records float64 }

var (
	unlimited  = rates{math.Inf(1), math.Inf(1)}
	shardRates = rates{shardBytes, shardRecords}
)

func (r rates) min(o rates) rates {
	return rates{math.Min(r.bytes, o.bytes), math.Min(r.records, o.records)}
}

func (r rates) max(o rates) rates {
	return rates{math.Max(r.bytes, o.bytes), math.Max(r.records, o.records)}
}

func (r rates) plus(o rates) rates { return rates{r.bytes + o.bytes, r.records + o.records} }

func (r rates) times(f float64) rates { return rates{r.bytes * f, r.records * f} }

// room is how much the next request may hold, of a lane or in all, or how long to wait before there is one.
type room struct {
	records, bytes int
	wait           time.Duration
}

func (r room) min(o room) room {
	return room{records: min(r.records, o.records), bytes: min(r.bytes, o.bytes)}
}

// ceiling is the rate that no limit is above.
func (p *pace) ceiling() rates {
	if p.known {
		return shardRates
	}
	return unlimited
}

// room says what may be sent at now. known says whether a shard's limits are known to hold.
func (p *pace) room(now time.Time, known bool) room {
	p.follow(now, known)
	all := room{records: MaxRecordsPerRequest, bytes: MaxRequestBytes}
	if p.bytes == nil {
		return all
	}
	bytes, records := p.bytes.TokensAt(now), p.records.TokensAt(now)
	wait := max(until(bytes, p.limited.bytes), until(records, p.limited.records))
	if wait > 0 {
		return room{wait: wait}
	}
	return room{records: min(all.records, int(records)), bytes: min(all.bytes, int(bytes))}
}

// until is how long it takes at this rate until a step's worth has gathered.
func until(tokens, perSecond float64) time.Duration {
	lacking := math.Max(1, perSecond/paceStep) - tokens
	if lacking <= 0 {
		return 0
	}
	return time.Duration(math.Ceil(lacking / perSecond * float64(time.Second)))
}

// sent counts what the shard took, or may have taken. More than there was room for, which one large record is, is paid
// back before the next request.
func (p *pace) sent(now time.Time, bytes, records int) {
	p.recent.add(now, bytes, records)
	if p.bytes == nil {
		return
	}
	charge(p.bytes, now, bytes)
	charge(p.records, now, records)
}

// charge takes n tokens, also where there are fewer: the limiter takes no more than its burst at a time.
func charge(l *rate.Limiter, now time.Time, n int) {
	for burst := l.Burst(); n > 0; n -= burst {
		l.ReserveN(now, min(n, burst))
	}
}

// throttled learns that the shard takes less than it was sent.
func (p *pace) throttled(now time.Time) {
	if !p.cut.IsZero() && now.Sub(p.cut) < cutEvery {
		return
	}
	least, recent := shardRates.times(leastRate), p.recent.rates(now)
	if recent.bytes < least.bytes && recent.records < least.records {
		return
	}
	p.cut = now
	p.limit(now, recent.min(p.limitOrNone()).times(cutFactor).max(least))
	drain(p.bytes, now)
	drain(p.records, now)
}

func (p *pace) limitOrNone() rates {
	if p.bytes == nil {
		return unlimited
	}
	return p.limited
}

// drain empties a bucket: what it holds is what the shard has just refused.
func drain(l *rate.Limiter, now time.Time) { charge(l, now, int(l.TokensAt(now))) }

// follow lets limits rise, forgets them, and takes over the ceiling.
func (p *pace) follow(now time.Time, known bool) {
	was := p.known
	p.known = known
	switch {
	case p.cut.IsZero():
		if known != was || known && p.bytes == nil {
			p.limit(now, p.ceiling())
		}
	case now.Sub(p.cut) >= forgetIn:
		p.cut = time.Time{}
		p.limit(now, p.ceiling())
	default:
		if risen := now.Sub(p.raised).Seconds(); risen > 0 {
			p.limit(now, p.limited.plus(shardRates.times(risen/raiseBy)).min(p.ceiling()))
		}
	}
}

// limit makes r the limits.
func (p *pace) limit(now time.Time, r rates) {
	p.limited, p.raised = r, now
	if math.IsInf(r.bytes, 1) {
		p.bytes, p.records = nil, nil
		return
	}
	p.bytes = limiter(p.bytes, now, r.bytes)
	p.records = limiter(p.records, now, r.records)
}

// limiter gives a limiter this rate and a second's worth of burst. A new one is full.
func limiter(l *rate.Limiter, now time.Time, perSecond float64) *rate.Limiter {
	burst := max(1, int(perSecond))
	if l == nil {
		return rate.NewLimiter(rate.Limit(perSecond), burst)
	}
	l.SetLimitAt(now, rate.Limit(perSecond))
	l.SetBurstAt(now, burst)
	return l
}

// meter measures what was sent in the last one to two seconds.
type meter struct {
	since       time.Time // begin of the second that counts now
	now, before rates
}

func (m *meter) add(now time.Time, bytes, records int) {
	m.turn(now)
	m.now = m.now.plus(rates{float64(bytes), float64(records)})
}

func (m *meter) rates(now time.Time) rates {
	m.turn(now)
	return m.now.plus(m.before.times(1 - now.Sub(m.since).Seconds()))
}

func (m *meter) turn(now time.Time) {
	switch age := now.Sub(m.since); {
	case age >= 2*time.Second:
		m.since, m.now, m.before = now, rates{}, rates{}
	case age >= time.Second:
		m.since, m.now, m.before = m.since.Add(time.Second), rates{}, m.now
	}
}
