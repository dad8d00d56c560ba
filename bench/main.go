// Command bench measures the product against baselines in one run and on one machine: from the binlog to records, to
// an acknowledged stream, from tables to records, from the stream to objects, and the memory all that takes. It
// promises that both sides of every ratio did the same work on the same data, each in a process of its own whose CPU
// time and memory are counted alone, and that nothing is asserted: it tells, and writes bench/results/latest.json.
//
// Absolute numbers depend on the machine and on what else runs there. The ratios are what to look at.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"
)

func main() {
	if step := os.Getenv(stepVariable); step != "" {
		os.Exit(runStep(step))
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings are the sizes of a run.
type settings struct {
	Changes  int64         `json:"changes"`      // row changes in the binlog
	TxRows   int64         `json:"tx_rows"`      // row changes a transaction
	Repeat   int           `json:"repeat"`       // runs of what goals are measured with; the median counts
	Deliver  int64         `json:"deliver_mib"`  // record bytes in the stream for the deliver measurements
	Workload int64         `json:"workload_mib"` // and for those of the workloads, at most
	Part     int64         `json:"part"`         // of the changes of the workloads one in so many is written
	Growth   int64         `json:"growth"`       // changes of each measurement of growth
	Backlog  int64         `json:"backlog"`      // changes behind, at most
	Ceiling  int64         `json:"ceiling_mib"`  // a transaction of the ceiling measurements
	Latency  time.Duration `json:"latency_ns"`   // how long each rate is kept up
	Cases    string        `json:"cases,omitempty"`

	VerifyRows int64 `json:"verify_rows,omitempty"`
}

func run() error {
	var s settings
	var out, only, profiles string
	var doc bool
	flag.Int64Var(&s.Changes, "changes", 1_000_000, "row changes to replicate")
	flag.Int64Var(&s.TxRows, "tx-rows", 1000, "row changes in one transaction")
	flag.IntVar(&s.Repeat, "repeat", 3, "how often what goals are measured with is measured; the median counts")
	flag.Int64Var(&s.Deliver, "deliver-mib", 640, "record bytes to deliver")
	flag.Int64Var(&s.Workload, "workload-mib", 192, "record bytes to deliver of each workload, at most")
	flag.Int64Var(&s.Part, "workload-part", 1, "for a quick look: the workloads write one in so many of their changes")
	flag.Int64Var(&s.Growth, "growth", 300_000, "row changes of each measurement of growth")
	flag.Int64Var(&s.Backlog, "backlog", 4_000_000, "row changes of the largest backlog")
	flag.DurationVar(&s.Latency, "latency", 10*time.Second, "how long each rate of the latency measurement is kept up")
	flag.Int64Var(&s.Ceiling, "ceiling-mib", 2048, "size of the large transactions of the memory and ceiling measurements")
	flag.StringVar(&s.Cases, "cases", "", "which workloads, and which cases of the ceiling measurement, are wanted: a part of their names (default all)")
	flag.Int64Var(&s.VerifyRows, "verify-rows", 5_000_000, "rows of the table that is verified")
	flag.StringVar(&out, "out", filepath.Join("bench", "results", "latest.json"), "where to write the results")
	flag.StringVar(&only, "only", "", "comma-separated parts: latency, binlog, stream, load, deliver, workloads, growth, memory (default these), and ceiling: memory under every extreme input; or alone deliver-scale: several deliver processes; or verify: the command of that name")
	flag.StringVar(&profiles, "profile", "", "folder to write a CPU profile of each step into")
	flag.BoolVar(&doc, "doc", false, "measure nothing: write the tables of "+quotedFile+" into "+pageFile)
	flag.Parse()
	if doc {
		return writePage(pageFile, quotedFile)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	switch only {
	case scalePart:
		return measureScale(ctx, s)
	case verifyPart:
		return measureVerify(ctx, s)
	}
	r, err := measureAll(ctx, s, selection(only), profiles)
	if err != nil {
		return err
	}
	previous := readReport(out) // what the last run found, to be shown beside
	r.print(os.Stdout, previous)
	return r.write(out)
}
