package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/childproc"
	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
	"github.com/binlogstreamer/binlogstreamer/internal/localstream"
)

// The latency of a change is measured as its reader has it: from the COMMIT to the answer of GetRecords that holds it.
// Everything is on this machine, so that there is one clock: the server, which syncs its log at every commit; the
// product; a stream with the API of Kinesis, in memory; and here the writers and the reader.

// embeddedStep is the child process that is the stream.
const embeddedStep = "embedded stream"

// pace is how fast changes are written.
type pace struct {
	name        string
	transaction int64 // a second
	rows        int64 // in a transaction
	connections int
}

var paces = []pace{
	{"idle", 10, 1, 1},
	{"200 changes/s", 200, 1, 4},
	{"2,000 changes/s", 1000, 2, 16},
	{"20,000 changes/s", 500, 40, 16},
}

func (p pace) changes() int64 { return p.transaction * p.rows }

// latencyResult is what one pace was found to take.
type latencyResult struct {
	Name        string       `json:"name"`
	Wanted      int64        `json:"wanted_per_second"`
	Achieved    float64      `json:"achieved_per_second"`
	Rows        int64        `json:"rows_a_transaction"`
	Connections int          `json:"connections"`
	Changes     int64        `json:"changes"`
	Returned    distribution `json:"from_return_of_commit"`
	Sent        distribution `json:"from_sending_commit"`
	Due         distribution `json:"from_when_it_was_due"`
	Process     measurement  `json:"process"` // of the product
}

// latency measures goal 6.
func (b *bench) latency(ctx context.Context) (err error) {
	progress("starting a MySQL server with sync_binlog=1, and a stream")
	flags := append([]string{"--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1"}, mysqlFlags...)
	db, err := dbserver.Start(ctx, filepath.Join(b.dir, "latency"), dbserver.Options{Flags: flags, Template: true})
	if err != nil {
		return err
	}
	defer db.Kill()
	b.report.server(db)
	err = db.Exec(ctx, "CREATE DATABASE "+database, "USE "+database,
		"CREATE TABLE "+latencyTable+" (id BIGINT PRIMARY KEY, holder VARCHAR(40) NOT NULL, price DECIMAL(8,2) NOT NULL, sold_at DATETIME(6) NOT NULL)")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(memoryFolder(b.dir), "bench-stream-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	endpoint, stream, err := startEmbedded(ctx, dir)
	if err != nil {
		return err
	}
	defer func() {
		_, endErr := stream.end()
		err = errors.Join(err, endErr)
	}()
	first := int64(1)
	for _, p := range paces {
		r, err := b.atPace(ctx, db, endpoint, p, first)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		first += r.Changes + 1
		b.report.latency(*r)
		progress("%-16s  p50 %6.2f ms  p99 %6.2f ms  p99.9 %6.2f ms from the return of COMMIT, at %.0f/s", p.name,
			milliseconds(r.Returned.P50), milliseconds(r.Returned.P99), milliseconds(r.Returned.P999), r.Achieved)
	}
	return nil
}

const latencyTable = "latency"

// atPace measures one pace, with a process of its own; its rows have numbers from first on.
func (b *bench) atPace(ctx context.Context, db *dbserver.Server, endpoint string, p pace, first int64) (*latencyResult, error) {
	at, err := binlogEnd(ctx, db)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.dir, "daemon-")
	if err != nil {
		return nil, err
	}
	changes := p.changes() * int64(b.Latency) / int64(time.Second)
	watch, err := watchStream(ctx, endpoint, first, changes+1)
	if err != nil {
		return nil, err
	}
	defer watch.stop()
	daemon, err := startStep(ctx, "daemon ours", params{Port: db.Port, File: at.file, Offset: at.offset, Table: latencyTable, Stream: endpoint, Dir: dir, Profile: b.profiles})
	if err != nil {
		return nil, err
	}
	defer daemon.kill()
	// The first row shows that all is running.
	w := &writers{db: db, pace: pace{transaction: 1, rows: 1, connections: 1}, first: first, sent: make([]moments, 1)}
	if err := errors.Join(w.run(ctx), watch.wait(ctx, 1)); err != nil {
		return nil, err
	}
	w = &writers{db: db, pace: p, first: first + 1, sent: make([]moments, changes/p.rows)}
	if err := errors.Join(w.run(ctx), watch.wait(ctx, 1+int64(len(w.sent))*p.rows)); err != nil {
		return nil, err
	}
	r := &latencyResult{Name: p.name, Wanted: p.changes(), Rows: p.rows, Connections: p.connections, Changes: int64(len(w.sent)) * p.rows}
	r.Achieved = w.achieved()
	r.compare(w.sent, watch.readable[1:])
	r.Process, err = daemon.end()
	r.Process.Items = r.Changes
	return r, err
}

// compare makes distributions of when the rows of the transactions were readable. A change can be read before its COMMIT
// has returned; then it took no time from that on.
func (r *latencyResult) compare(sent []moments, readable []time.Duration) {
	var returned, sending, due []time.Duration
	for i := range int64(len(sent)) * r.Rows {
		m, at := &sent[i/r.Rows], readable[i]
		returned = append(returned, max(0, at-m.returned))
		sending = append(sending, at-m.committing)
		due = append(due, at-m.due)
	}
	r.Returned, r.Sent, r.Due = distributed(returned), distributed(sending), distributed(due)
}

// startEmbedded starts the stream in a process of its own.
func startEmbedded(ctx context.Context, dir string) (endpoint string, stream *running, err error) {
	port, err := childproc.FreePort()
	if err != nil {
		return "", nil, err
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if stream, err = startStep(ctx, embeddedStep, params{Dir: dir, Stream: address, Shards: stubShards}); err != nil {
		return "", nil, err
	}
	for range 100 {
		if conn, err := new(net.Dialer).DialContext(ctx, "tcp4", address); err == nil {
			return "http://" + address, stream, conn.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	stream.kill()
	return "", nil, fmt.Errorf("the stream does not answer at %s", address)
}

// embeddedStream serves until SIGTERM.
func embeddedStream(ctx context.Context, p *params, done func(items, bytes int64)) error {
	ctx, stop := untilTerminated(ctx)
	defer stop()
	node, err := localstream.New(localstream.Config{Dir: p.Dir, Stream: streamName, Shards: p.Shards, Listen: p.Stream, Logger: discard})
	if err != nil {
		return err
	}
	err = node.Run(ctx)
	done(1, 0)
	return err
}
