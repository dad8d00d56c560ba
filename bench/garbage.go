package main

import (
	"runtime/metrics"
	"time"
)

// garbage is what a process has allocated, and what collecting that has cost.
type garbage struct {
	Bytes   int64         `json:"alloc_bytes"`
	Objects int64         `json:"alloc_objects"`
	Cycles  int64         `json:"gc_cycles"`
	CPU     time.Duration `json:"gc_cpu_ns"` // the runtime's estimate, as of the last cycle
}

// readGarbage is what this process has come to so far.
func readGarbage() garbage {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/allocs:objects"},
		{Name: "/gc/cycles/total:gc-cycles"}, {Name: "/cpu/classes/gc/total:cpu-seconds"},
	}
	metrics.Read(samples)
	return garbage{
		Bytes:   int64(samples[0].Value.Uint64()),
		Objects: int64(samples[1].Value.Uint64()),
		Cycles:  int64(samples[2].Value.Uint64()),
		CPU:     time.Duration(samples[3].Value.Float64() * float64(time.Second)),
	}
}

func (g garbage) since(before garbage) garbage {
	return garbage{g.Bytes - before.Bytes, g.Objects - before.Objects, g.Cycles - before.Cycles, g.CPU - before.CPU}
}

// gcShare is the part of a step's CPU time that went into collecting garbage, in percent.
func (m measurement) gcShare() float64 {
	return 100 * m.Garbage.CPU.Seconds() / max(m.CPU.Seconds(), 1e-9)
}

// allocated is how many bytes were allocated for each item, and objects how many objects.
func (m measurement) allocated() float64 { return float64(m.Garbage.Bytes) / float64(max(m.Items, 1)) }
func (m measurement) objects() float64   { return float64(m.Garbage.Objects) / float64(max(m.Items, 1)) }
