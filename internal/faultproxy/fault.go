package faultproxy

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// Fault is something that is done to a request.
type Fault string

// The faults that any request may meet.
const (
	Delay      Fault = "delay"       // passed on late
	LateAnswer Fault = "late-answer" // passed on at once, answered late
	Throttle   Fault = "throttle"    // refused as one too many; not passed on
	Fail       Fault = "fail"        // refused with 500 or 503; not passed on
	FailStored Fault = "fail-stored" // passed on, and answered with 500 or 503 all the same
	CutRequest Fault = "cut-request" // the connection is cut in the middle of the request; not passed on
	LoseAnswer Fault = "lose-answer" // passed on; the connection is cut instead of an answer
	CutAnswer  Fault = "cut-answer"  // passed on; the connection is cut in the middle of the answer
	HoldBack   Fault = "hold-back"   // the connection is cut at once; passed on later, perhaps behind newer requests
)

// The faults of some requests only. Where they do not apply nothing is done.
const (
	Partial        Fault = "partial"         // PutRecords: some entries are refused, in place, and the others passed on. It may come together with another fault
	ExpireIterator Fault = "expire-iterator" // GetRecords: the iterator has expired
	Conflict       Fault = "conflict"        // a conditional PUT of S3: 409, not passed on
	Twice          Fault = "twice"           // a conditional PUT of S3: passed on twice and answered as the second time, so that its own success is told as 412
)

// Rates say which share of requests meets a fault.
type Rates map[Fault]float64

// Faults are the rates by the name of the call: the operation of Kinesis and DynamoDB, the method of S3. "*" stands for
// the calls that are not named.
type Faults map[string]Rates

// Scaled gives the same faults with all rates multiplied.
func (f Faults) Scaled(by float64) Faults {
	scaled := Faults{}
	for call, rates := range f {
		scaled[call] = Rates{}
		for fault, rate := range rates {
			scaled[call][fault] = rate * by
		}
	}
	return scaled
}

// Outage is what a service shows that is away: nothing is passed on.
var Outage = Faults{"*": {CutRequest: 0.5, Fail: 0.5}}

func (f Faults) of(call string) Rates {
	if rates, ok := f[call]; ok {
		return rates
	}
	return f["*"]
}

// draw chooses at most one fault other than Partial, which is drawn for itself.
func (r Rates) draw(random *rand.Rand) (fault Fault, partial bool) {
	x := random.Float64()
	partial = random.Float64() < r[Partial]
	for _, f := range slices.Sorted(maps.Keys(r)) {
		if f == Partial {
			continue
		}
		if x -= r[f]; x < 0 {
			return f, partial
		}
	}
	return "", partial
}

// Counts are how often something was done, by call and fault, such as "PutRecords hold-back". "PutRecords" alone is how
// many requests came.
type Counts map[string]int

// Add adds other counts.
func (c Counts) Add(other Counts) {
	for what, n := range other {
		c[what] += n
	}
}

// Of is how many requests met a fault, whatever they asked for.
func (c Counts) Of(f Fault) (n int) {
	for what, count := range c {
		if strings.HasSuffix(what, " "+string(f)) {
			n += count
		}
	}
	return n
}
