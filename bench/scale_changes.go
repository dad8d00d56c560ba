package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/binlogstreamer/binlogstreamer/internal/lease"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

// countingDestination counts what is stored.
type countingDestination struct {
	s3sink.Destination

	objects atomic.Int64
}

func (d *countingDestination) Put(ctx context.Context, o *s3sink.Object) error {
	err := d.Destination.Put(ctx, o)
	if err == nil {
		d.objects.Add(1)
	}
	return err
}

// window is a span of time in which something is done to the processes.
type window struct {
	name     string
	from, to time.Time
	settled  time.Duration // until all shards were shared again

	records, late int
	longest       time.Duration
}

// changes lets processes come and go while records come, and tells what that costs.
func (m *scaling) changes(ctx context.Context, out io.Writer) error {
	p := m.params
	p.Dir, p.Changes, p.Rows = filepath.Join(m.dir, "changes"), 1, 1
	if err := m.makeTable(ctx, filepath.Base(p.Dir)); err != nil {
		return err
	}
	leases, err := m.leases(ctx, filepath.Base(p.Dir))
	if err != nil {
		return err
	}
	var running []*exec.Cmd
	defer func() {
		for _, c := range running {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	}()
	begin := func(name string) error {
		r, err := startStep(ctx, "scale ours", m.process(p, name))
		if err == nil {
			running = append(running, r.cmd)
		}
		return err
	}
	if err := errors.Join(begin("a"), begin("b")); err != nil {
		return err
	}
	if err := m.shared(ctx, leases, running); err != nil {
		return err
	}
	putCtx, stopPutting := context.WithCancel(ctx)
	defer stopPutting()
	putting := make(chan error, 1)
	go func() { putting <- m.trickle(putCtx) }()
	// What was put before is a backlog, which is read first.
	if err := m.pause(ctx, 3*scaleQuiet); err != nil {
		return err
	}
	var windows []*window
	during := func(name string, do func() error) error {
		progress("%s", name)
		began := time.Now()
		w := &window{name: name, from: began.Add(-2 * scaleInterval)} // what is not stored yet belongs to it
		if n := len(windows); n > 0 {
			windows[n-1].to = w.from
		}
		windows = append(windows, w)
		if do != nil {
			if err := do(); err != nil {
				return err
			}
			if err := m.shared(ctx, leases, running); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			w.settled = time.Since(began)
		}
		if err := m.pause(ctx, scaleQuiet); err != nil {
			return err
		}
		w.to = time.Now()
		return nil
	}
	end := func(s syscall.Signal) func() error {
		return func() error {
			c := running[0]
			running = running[1:]
			if err := c.Process.Signal(s); err != nil {
				return err
			}
			err := c.Wait()
			if s == syscall.SIGKILL {
				return nil
			}
			return err
		}
	}
	err = errors.Join(
		during("nothing happens (2 processes)", nil),
		during("a third one joins", func() error { return begin("c") }),
		during("one ends by SIGTERM", end(syscall.SIGTERM)),
		during("a third one joins again", func() error { return begin("d") }),
		during("one is killed", end(syscall.SIGKILL)),
	)
	stopPutting()
	if err := errors.Join(err, <-putting, m.pause(ctx, scaleQuiet)); err != nil {
		return err
	}
	if err := delays(filepath.Join(p.Dir, "objects"), windows); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nat %d records/s, objects of %s\tshared again after\trecords\tstored later than %s\tlongest\n", scaleRate, scaleInterval, scaleLate)
	for _, w := range windows {
		settled := "–"
		if w.settled > 0 {
			settled = w.settled.Round(100 * time.Millisecond).String()
		}
		fmt.Fprintf(out, "%s\t%s\t%d\t%d\t%s\n", w.name, settled, w.records, w.late, w.longest.Round(100*time.Millisecond))
	}
	return nil
}

func (m *scaling) pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (m *scaling) leases(ctx context.Context, table string) (lease.Table, error) {
	about, err := m.stream.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String(streamName)})
	if err != nil {
		return nil, err
	}
	d := about.StreamDescriptionSummary
	account := strings.Split(aws.ToString(d.StreamARN), ":")[4]
	return lease.NewDynamoDB(m.table(table), lease.StreamID(account, streamName, aws.ToTime(d.StreamCreationTimestamp))), nil
}

// shared waits until the processes share all shards, with one more or less each.
func (m *scaling) shared(ctx context.Context, leases lease.Table, running []*exec.Cmd) error {
	return m.waitFor(ctx, "sharing the shards", scalePause, func() (bool, error) {
		all, err := leases.Scan(ctx)
		if err != nil {
			return false, err
		}
		total, least, most := 0, scaleShards, 0
		for _, c := range running {
			n := 0
			for i := range all {
				if strings.Contains(all[i].Owner, fmt.Sprintf(":%d:", c.Process.Pid)) && all[i].CheckpointOwner == "" {
					n++
				}
			}
			total, least, most = total+n, min(least, n), max(most, n)
		}
		return total == scaleShards && most-least <= 1, nil
	})
}

// trickle puts records at a steady rate until ctx ends.
func (m *scaling) trickle(ctx context.Context) error {
	const batch = scaleRate / 20
	tick := time.NewTicker(time.Second / 20)
	defer tick.Stop()
	for n := int64(0); ; n += batch {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if err := m.put(context.WithoutCancel(ctx), n, batch); err != nil {
			return err
		}
	}
}

// delays finds out when the records of each window were stored.
func delays(dir string, windows []*window) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".gz") {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		z, err := gzip.NewReader(bufio.NewReader(f))
		if err != nil {
			return err
		}
		lines := bufio.NewScanner(z)
		for lines.Scan() {
			var n, sent int64
			if _, err := fmt.Sscanf(lines.Text(), `{"n":%d,"sent":%d,`, &n, &sent); err != nil {
				return fmt.Errorf("record %.40q: %w", lines.Text(), err)
			}
			at := time.Unix(0, sent)
			for _, w := range windows {
				if at.Before(w.from) || !at.Before(w.to) {
					continue
				}
				took := info.ModTime().Sub(at)
				w.records++
				w.longest = max(w.longest, took)
				if took > scaleLate {
					w.late++
				}
			}
		}
		return lines.Err()
	})
}
