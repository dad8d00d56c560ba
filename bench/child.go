package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// stepVariable names the step that a child process does; without it the process is the one that starts children.
const stepVariable = "BINLOGSTREAMER_BENCH_STEP"

// productMemory is the product's default memory_limit, which its steps run with as it would.
const productMemory = 256 << 20

// params is what a step has to know. The parent sends it on standard input.
type params struct {
	Port     int           `json:"port"` // of the database server
	File     string        `json:"file"` // where the changes begin
	Offset   uint32        `json:"offset"`
	EndFile  string        `json:"end_file"` // and where they end
	End      uint32        `json:"end"`
	Changes  int64         `json:"changes"`  // how many records they make
	Written  int64         `json:"written"`  // how many changes there are, where tables are not selected; 0: as many as Changes
	Warm     int64         `json:"warm"`     // of the records, so many are made before measuring begins
	Rows     int64         `json:"rows"`     // in the table
	Database string        `json:"database"` // default: the measurements' own
	Table    string        `json:"table"`    // that is selected; % at its end stands for any rest
	Stream   string        `json:"stream"`   // endpoint of the stub stream
	Shards   int           `json:"shards"`   // of the stub stream; 0: the usual number
	Takes    time.Duration `json:"takes"`    // until the stub stream acknowledges what is put
	Records  string        `json:"records"`  // file of records, one a line
	Dir      string        `json:"dir"`      // for what the step writes
	Profile  string        `json:"profile"`  // folder for CPU profiles; empty: none
	Refusal  string        `json:"refusal"`  // what the error says that the step must end with; empty: it must not

	warmed func() // is to be called when the first ones are made
}

// source is how the product reaches the database server.
func (p *params) source() source.Config {
	return source.Config{Host: dbserver.Host, Port: uint16(p.Port), User: dbserver.User, TLS: source.TLSDisabled,
		Password: func(context.Context) (string, error) { return "", nil }}
}

// database is where the selected tables are.
func (p *params) database() string { return cmp.Or(p.Database, database) }

// selects says whether changes of a table are wanted.
func (p *params) selects(schema, table string) bool {
	if prefix, ok := strings.CutSuffix(p.Table, "%"); ok {
		return schema == p.database() && strings.HasPrefix(table, prefix)
	}
	return schema == p.database() && table == p.Table
}

// written is how many changes are read while it is measured, whether they are selected or not.
func (p *params) written() int64 { return cmp.Or(p.Written, p.Changes) - p.Warm }

// measurement is what a step found out about itself.
type measurement struct {
	Step    string        `json:"step"`
	Items   int64         `json:"items"` // changes, rows or records
	Bytes   int64         `json:"bytes"` // of records
	Wall    time.Duration `json:"wall_ns"`
	CPU     time.Duration `json:"cpu_ns"`
	RSS     int64         `json:"peak_rss_bytes"`
	Garbage garbage       `json:"garbage"`
}

// cpuPerItem is in microseconds.
func (m measurement) cpuPerItem() float64 {
	return float64(m.CPU.Nanoseconds()) / 1e3 / float64(max(m.Items, 1))
}

func (m measurement) perSecond() float64 { return float64(m.Items) / m.Wall.Seconds() }

func (m measurement) mbPerSecond() float64 { return float64(m.Bytes) / 1e6 / m.Wall.Seconds() }

func (m measurement) bytesPerItem() int64 { return m.Bytes / max(m.Items, 1) }

// mbPerCPUSecond is how many megabytes of records one core does in a second.
func (m measurement) mbPerCPUSecond() float64 { return float64(m.Bytes) / 1e6 / m.CPU.Seconds() }

// step is one thing to measure. It calls done once, when the work is over, with what it did.
type step func(ctx context.Context, p *params, done func(items, bytes int64)) error

var steps = map[string]step{
	"binlog raw":      binlogRaw,
	"binlog baseline": binlogBaseline,
	"binlog lean":     binlogLean,
	"binlog ours":     binlogOurs,
	"stream sdk":      streamSDK,
	"stream baseline": streamBaseline,
	"stream ours":     streamOurs,
	"refusal ours":    refusalOurs,
	"spill ours":      spillOurs,
	"daemon ours":     daemonOurs,
	"load bare":       loadBare,
	"load baseline":   loadBaseline,
	"load ours":       loadOurs,
	"deliver gzip":    deliverGzip,
	"deliver ours":    deliverOurs,
	"deliver s3 ours": deliverS3Ours,
	"records":         writeRecords,
	"scale ours":      scaleOurs,
	embeddedStep:      embeddedStream,
}

// runStep is the whole life of a child process; the result is its exit code.
func runStep(name string) int {
	if name == stubStep {
		return serveStub()
	}
	var p params
	do := steps[name]
	err := json.NewDecoder(os.Stdin).Decode(&p)
	if err == nil && do == nil {
		err = fmt.Errorf("no such step: %q", name)
	}
	if err == nil {
		err = measured(name, do, &p)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}

func measured(name string, do step, p *params) error {
	if strings.HasSuffix(name, " ours") {
		debug.SetMemoryLimit(productMemory - productMemory/8)
	}
	if p.Profile != "" {
		stop, err := profile(filepath.Join(p.Profile, strings.ReplaceAll(name, " ", "-")+".pprof"))
		if err != nil {
			return err
		}
		defer stop()
	}
	var m measurement
	var begin time.Time
	var cpu time.Duration
	var before garbage
	p.warmed = func() { begin, cpu, before = time.Now(), cpuTime(), readGarbage() }
	p.warmed()
	err := do(context.Background(), p, func(items, bytes int64) {
		m = measurement{Step: name, Items: items, Bytes: bytes, Wall: time.Since(begin)}
	})
	if err != nil {
		return err
	}
	if m.Items == 0 {
		return fmt.Errorf("did nothing")
	}
	m.CPU, m.RSS, m.Garbage = cpuTime()-cpu, peakMemory(), readGarbage().since(before)
	return json.NewEncoder(os.Stdout).Encode(m)
}

// profile writes a CPU profile until stop is called.
func profile(path string) (stop func(), err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		f.Close()
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}

// stepCommand is the command that does a step.
func stepCommand(ctx context.Context, name string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), stepVariable+"="+name)
	cmd.Stderr = os.Stderr
	return cmd, nil
}

// stepWith is stepCommand with what the step has to know.
func stepWith(ctx context.Context, name string, p params) (*exec.Cmd, error) {
	in, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	cmd, err := stepCommand(ctx, name)
	if err != nil {
		return nil, err
	}
	cmd.Stdin = bytes.NewReader(in)
	return cmd, nil
}

// child runs a step in a process of its own.
func child(ctx context.Context, name string, p params) (measurement, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	cmd, err := stepWith(ctx, name, p)
	if err != nil {
		return measurement{}, err
	}
	out, err := cmd.Output()
	if err != nil {
		return measurement{}, fmt.Errorf("step %q: %w", name, err)
	}
	var m measurement
	if err := json.Unmarshal(out, &m); err != nil {
		return m, fmt.Errorf("step %q: result %q: %w", name, out, err)
	}
	return m, nil
}

// cpuTime is what this process has used so far, in user and system mode.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakMemory is the highest resident set of this process. The kernel's getrusage would also count what the parent
// had when it forked us, so the high-water mark of the address space is asked for where there is one.
func peakMemory() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err == nil {
		if _, rest, ok := bytes.Cut(status, []byte("VmHWM:")); ok {
			fields := bytes.Fields(rest)
			if kb, err := strconv.ParseInt(string(fields[0]), 10, 64); err == nil {
				return kb << 10
			}
		}
	}
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Maxrss << 10
}
