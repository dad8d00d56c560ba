package main

import "fmt"

// task is a size that Fargate offers: its vCPU, and the memory that goes with it.
type task struct {
	vcpu     float64
	memoryGB string  // what may be chosen
	least    float64 // of that
}

var tasks = []task{{0.25, "0.5, 1 or 2", 0.5}, {0.5, "1 to 4", 1}, {1, "2 to 8", 2}, {2, "4 to 16", 4}}

// Nobody says how much of a hardware thread a vCPU is. So these are the bounds of what is told: half of one of the
// machine's, and all of it.
const (
	halfThread  = 0.5
	wholeThread = 1
)

// headRoom is the part of a task's CPU that is left for bursts and for catching up.
const headRoom = 0.5

// carries is how many changes a second a task carries if each takes so many microseconds of CPU, but no more than
// the half did in a second on the machine of the run: its parts that are done one after the other do not gain from more cores.
func carries(vcpu, perHardwareThread float64, m ...measurement) float64 {
	var each float64
	for _, x := range m {
		each += x.cpuPerItem()
	}
	rate := vcpu * perHardwareThread * (1 - headRoom) * 1e6 / each
	for _, x := range m {
		rate = min(rate, x.perSecond()*(1-headRoom))
	}
	return rate
}

// sizing says what tasks carry of each workload.
func (r *report) sizing() grid {
	g := grid{name: "sizing", title: "What a Fargate task carries, changes a second with half of its CPU: vCPU as half a hardware thread of this machine, and as a whole one",
		header: []string{"workload", "half"}}
	for _, t := range tasks {
		g.header = append(g.header, fmt.Sprintf("%g vCPU, %s GB", t.vcpu, t.memoryGB))
	}
	row := func(workload, half string, m ...measurement) {
		cells := []string{workload, half}
		for _, t := range tasks {
			cells = append(cells, number(carries(t.vcpu, halfThread, m...))+" to "+number(carries(t.vcpu, wholeThread, m...)))
		}
		g.add(cells...)
	}
	for _, w := range r.Workloads {
		row(w.Name, "replicate", w.Replicate)
		row("", "deliver", w.Deliver)
		row("", "both in one task", w.Replicate, w.Deliver)
	}
	return g
}
