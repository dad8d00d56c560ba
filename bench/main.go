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
	Changes int64  `json:"changes"` // row changes in the binlog
	TxRows  int64  `json:"tx_rows"` // row changes a transaction
	Repeat  int    `json:"repeat"`  // runs of everything; the median counts
	LargeTx int64  `json:"large_tx_mib"`
	Deliver int64  `json:"deliver_mib"` // record bytes in the stream for the deliver measurements
	Ceiling int64  `json:"ceiling_mib"` // a transaction of the ceiling measurements
	Cases   string `json:"cases"`

	VerifyRows int64 `json:"verify_rows,omitempty"`
}

func run() error {
	var s settings
	var out, only, profiles string
	flag.Int64Var(&s.Changes, "changes", 1_000_000, "row changes to replicate")
	flag.Int64Var(&s.TxRows, "tx-rows", 1000, "row changes in one transaction")
	flag.IntVar(&s.Repeat, "repeat", 3, "how often everything is measured; the median counts")
	flag.Int64Var(&s.LargeTx, "large-tx-mib", 1024, "size of the large transaction of the memory measurement")
	flag.Int64Var(&s.Deliver, "deliver-mib", 384, "record bytes to deliver")
	flag.StringVar(&out, "out", filepath.Join("bench", "results", "latest.json"), "where to write the results")
	flag.StringVar(&only, "only", "", "comma-separated parts: binlog, stream, load, deliver, memory (default these), and ceiling: memory under extreme input; or alone deliver-scale: several deliver processes; or verify: the command of that name")
	flag.Int64Var(&s.VerifyRows, "verify-rows", 5_000_000, "rows of the table that is verified")
	flag.Int64Var(&s.Ceiling, "ceiling-mib", 2048, "size of the large transactions of the ceiling measurement")
	flag.StringVar(&s.Cases, "cases", "", "what of the ceiling measurement is wanted: a part of the cases' names (default all)")
	flag.StringVar(&profiles, "profile", "", "folder to write a CPU profile of each step into")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if selection(only) == scalePart {
		return measureScale(ctx, s)
	}
	if selection(only) == verifyPart {
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
