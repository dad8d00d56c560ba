package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/status"
)

// pipelineYAML is what a user would write, so that it can be looked at and used again.
const pipelineYAML = `# Written by binlogstreamer demo.
name: tickets
source:
  host: %[1]s
  port: %[2]d
  user: %[3]s
  password: ""
  tls: disabled
replication:
  migration_type: full-load-and-cdc
  table_mappings:
    rules:
      - {rule-type: selection, rule-id: 1, rule-name: everything, rule-action: include, object-locator: {schema-name: %[4]s, table-name: "%%"}}
stream:
  name: tickets
  endpoint: embedded
delivery:
  destination: file://%[5]s/objects
  buffering_hints: {interval_in_seconds: 3, size_in_mbs: 5}
checkpoint:
  store: file://%[5]s/state
http:
  listen: %[6]s
log: {level: info, format: text}
`

func (d *demo) configFile() string { return d.path("pipeline.yaml") }

func (d *demo) writeConfig(ctx context.Context) error {
	text := fmt.Sprintf(pipelineYAML, "127.0.0.1", d.server.Port, "root", schemaName, d.Dir, listenAddress(ctx))
	if err := os.WriteFile(d.configFile(), []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the demo's configuration: %w", err)
	}
	return nil
}

// listenAddress is the console's usual address, or any free one if another process has that.
func listenAddress(ctx context.Context) string {
	const usual = "127.0.0.1:9187"
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", usual)
	if err != nil {
		return "127.0.0.1:0"
	}
	_ = l.Close() // nothing was accepted
	return usual
}

// show runs the pipeline and sells tickets until time is up, then lets the pipeline catch up and delivers what is
// left. The order of stopping is the plot: first the sellers, then replicate, then deliver.
func (d *demo) show(ctx context.Context) error {
	above := context.WithoutCancel(ctx)
	if err := d.perform(ctx, above); err != nil {
		return err
	}
	d.view.phase("delivering what is left")
	return d.Daemon(above, d.configFile(), prometheus.NewRegistry(), d.log, true, nil)
}

func (d *demo) perform(ctx, above context.Context) error {
	pipeline := &reporter{}
	pipelineCtx, stopPipeline := context.WithCancel(above)
	defer stopPipeline()
	ended := make(chan error, 1)
	go func() {
		ended <- d.Daemon(pipelineCtx, d.configFile(), prometheus.NewRegistry(), d.log, false, func(addr string, report func() *status.Report) {
			d.view.listening(addr)
			pipeline.set(report)
		})
	}()

	selling, stopSelling := context.WithCancel(ctx)
	defer stopSelling()
	if d.For > 0 {
		selling, stopSelling = context.WithTimeout(ctx, d.For)
		defer stopSelling()
	}
	sold := make(chan error, 1)
	go func() { sold <- d.shop.sell(selling, pipeline.hasStarted) }()

	err := d.watch(selling, pipeline, ended)
	stopSelling()
	sellErr := <-sold
	if err == nil && sellErr == nil {
		err = d.catchUp(above, pipeline, ended)
	}
	stopPipeline()
	if errors.Is(err, errPipelineEnded) {
		return errors.Join(fmt.Errorf("the pipeline ended too early: %w", <-ended), sellErr)
	}
	return errors.Join(err, sellErr, <-ended)
}

// errPipelineEnded says that the reason is to be found in the pipeline's own result.
var errPipelineEnded = errors.New("the pipeline has ended")

const redrawEvery = 200 * time.Millisecond

// watch draws until selling ends.
func (d *demo) watch(selling context.Context, pipeline *reporter, ended chan error) error {
	tick := time.NewTicker(redrawEvery)
	defer tick.Stop()
	for {
		select {
		case <-selling.Done():
			return nil
		case err := <-ended:
			ended <- err
			return errPipelineEnded
		case <-d.server.Done():
			return errors.New("the database server has ended by itself")
		case <-tick.C:
			d.view.draw(pipeline.figures(), d.shop.figures())
		}
	}
}

// catchUpPatience is how long the pipeline may take to replicate what was sold: slower machines than any today.
const catchUpPatience = 10 * time.Minute

// quietLooks are three seconds without anything to do: three heartbeats of the source.
const quietLooks = int(3 * time.Second / redrawEvery)

// catchUp draws until replicate has handed over every row and every change, and the stream has acknowledged them.
func (d *demo) catchUp(ctx context.Context, pipeline *reporter, ended chan error) error {
	d.view.phase("the shop is closed; waiting for the pipeline to catch up")
	ctx, cancel := context.WithTimeout(ctx, catchUpPatience)
	defer cancel()
	tick := time.NewTicker(redrawEvery)
	defer tick.Stop()
	quiet := 0 // looks in a row at a pipeline that has nothing to do
	for {
		f, s := pipeline.figures(), d.shop.figures()
		d.view.draw(f, s)
		loaded := f.tables > 0 && f.tablesLoaded == f.tables
		if f.sourceLag == 0 && f.targetLag == 0 {
			quiet++
		} else {
			quiet = 0
		}
		if loaded && f.targetLag == 0 && (f.changes >= s.changes || quiet >= quietLooks) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the pipeline did not catch up within %s: %d of %d changes", catchUpPatience, f.changes, s.changes)
		case err := <-ended:
			ended <- err
			return errPipelineEnded
		case <-tick.C:
		}
	}
}
