package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/binlogstreamer/binlogstreamer/internal/check"
	"github.com/binlogstreamer/binlogstreamer/internal/config"
	"github.com/binlogstreamer/binlogstreamer/internal/pipeline"
)

type checkCmd struct{ configFlag }

// Run prints a line for every item. The faults of the configuration come first; nothing else can be looked at then.
func (c *checkCmd) Run(a *app) error {
	show := func(r check.Result) { fmt.Fprintln(a.stdout, r) }
	cfg, err := load(c.Config, config.Present)
	if faults, ok := errors.AsType[*config.Faults](err); ok {
		for _, f := range faults.List {
			cure := f.Cure
			f.Cure = ""
			show(check.Result{Item: "config", State: check.Fail, Found: f.String(), Cure: cure})
		}
		return err
	}
	show(check.Result{Item: "config", State: check.OK, Found: cfg.File + ", pipeline " + cfg.Name})

	what, stop, err := checks(a.ctx, cfg)
	if err != nil {
		return err
	}
	defer stop()
	faults := check.Run(a.ctx, what, show)
	switch {
	case a.ctx.Err() != nil:
		return context.Cause(a.ctx)
	case faults > 0:
		fmt.Fprintf(a.stdout, "\n%s; what is behind → cures it\n", count(faults, "fault"))
		return errFaultsFound
	}
	fmt.Fprintln(a.stdout, "\nno faults")
	return nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// checks says what to look at for the halves of cfg, and how to end what looking needs.
func checks(ctx context.Context, cfg *config.Pipeline) (c check.Config, stop func(), err error) {
	stop = func() {}
	if c.Credentials, err = checkCredentials(ctx, cfg); err != nil {
		return c, stop, err
	}
	store, table, err := makeStore(ctx, cfg)
	if err != nil {
		return c, stop, err
	}
	c.Store = &check.Store{
		Store: store, Where: cfg.Checkpoint.Store.String(), Names: lockNames(cfg.Halves),
		Table: table, Bucket: cfg.Checkpoint.Store.Bucket, Prefix: cfg.Checkpoint.Store.Prefix,
		Timeout: time.Minute + time.Duration(len(lockNames(cfg.Halves)))*cfg.Checkpoint.FailoverTime,
	}
	if s, ok := store.(interface{ Probe(context.Context) error }); ok {
		c.Store.Probe = s.Probe
	}
	if cfg.Halves&config.Replicate != 0 {
		saved, err := pipeline.ReadSaved(ctx, store)
		if err != nil && cfg.Checkpoint.Store.Dir != "" {
			return c, stop, err
		} // what is wrong with another store is an item of its own
		if c.Source, err = checkSource(ctx, cfg, saved); err != nil {
			return c, stop, err
		}
	}
	if cfg.Halves&config.Deliver != 0 {
		if c.Destination, err = checkDestination(ctx, cfg); err != nil {
			return c, stop, err
		}
	}
	if c.Oversized, err = checkOversized(ctx, cfg); err != nil {
		return c, stop, err
	}
	c.Stream, stop, err = checkStream(ctx, cfg)
	return c, stop, err
}

// checkCredentials looks at what is shown to AWS; nil where the pipeline has no part there.
func checkCredentials(ctx context.Context, cfg *config.Pipeline) (*check.Credentials, error) {
	section, region := inAWS(cfg)
	if section == "" {
		return nil, nil
	}
	awsConfig, err := loadAWS(ctx, cfg, section, region, "")
	return &check.Credentials{Provider: awsConfig.Credentials}, err
}

// inAWS is the first section of the configuration that is about something in AWS itself, and its region.
func inAWS(cfg *config.Pipeline) (section, region string) {
	s := &cfg.Source
	for _, part := range []struct {
		section string
		there   bool
		region  string
	}{
		{"stream", cfg.Stream.Endpoint == "", cfg.Stream.Region},
		{"delivery", cfg.Halves&config.Deliver != 0 && cfg.Delivery.Destination.Bucket != "" && cfg.Delivery.Endpoint == "", cfg.Delivery.Region},
		{"checkpoint", cfg.Checkpoint.Store.Dir == "" && cfg.Checkpoint.Endpoint == "", cfg.Checkpoint.Region},
		{"source", cfg.Halves&config.Replicate != 0 && (s.SecretID != "" || s.ParameterName != "" || s.IAM), loginRegion(cfg)},
	} {
		if part.there {
			return part.section, cmp.Or(part.region, cfg.Stream.Region)
		}
	}
	return "", ""
}

// lockNames are the checkpoints that the halves hold while they run.
func lockNames(h config.Half) (names []string) {
	if h&config.Replicate != 0 {
		names = append(names, check.Replicate)
	}
	if h&config.Deliver != 0 {
		names = append(names, "deliver")
	}
	return names
}

func checkSource(ctx context.Context, cfg *config.Pipeline, saved pipeline.Saved) (*check.Source, error) {
	from, err := makeSource(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	login, _ := from.Logins.(check.Login)
	return &check.Source{
		Config: from, Login: login, LoginFile: cfg.Source.PasswordFile,
		ServerID: cfg.Source.ServerID,
		Changes:  cfg.Replication.MigrationType != config.FullLoad,
		Saved:    saved.Position, Suspended: saved.Suspended,
		Start: cfg.Replication.CDCStart.Start,
		Rules: func(lowerCaseTables int) check.Rules {
			if lowerCaseTables != 0 {
				return cfg.Replication.Rules.CaseInsensitive()
			}
			return cfg.Replication.Rules
		},
	}, nil
}

// checkStream looks at the stream. The embedded one is served for as long as that takes, unless another process does
// it, but it is not made: a check changes nothing.
func checkStream(ctx context.Context, cfg *config.Pipeline) (*check.Stream, func(), error) {
	c := &check.Stream{
		Name: cfg.Stream.Name, ARN: cfg.Stream.ARN, AWS: cfg.Stream.Endpoint == "", Embedded: cfg.Stream.Embedded(),
		Write: cfg.Halves&config.Replicate != 0, Read: cfg.Halves&config.Deliver != 0,
	}
	awsConfig, endpoint, stop, err := reachStream(ctx, cfg)
	if err != nil {
		return nil, stop, err
	}
	c.Region = awsConfig.Region
	c.API = kinesis.NewFromConfig(awsConfig, func(o *kinesis.Options) {
		if endpoint != "" {
			o.BaseEndpoint = aws.String(endpoint)
		}
	})
	return c, stop, nil
}

// reachStream is how the stream is reached by a command that only looks. The embedded one is served until stop is
// called, unless another process does it.
func reachStream(ctx context.Context, cfg *config.Pipeline) (c aws.Config, endpoint string, stop func(), err error) {
	stop = func() {}
	if !cfg.Stream.Embedded() {
		c, endpoint, err = streamAWS(ctx, cfg, nil)
		return c, endpoint, stop, err
	}
	node, err := embeddedNode(cfg, "", slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return c, "", stop, err
	}
	nodeCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = node.Run(nodeCtx) // if it fails, the calls to it do
	}()
	stop = func() { cancel(); <-done }
	if c, endpoint, err = streamAWS(ctx, cfg, node); err != nil {
		stop()
		return c, "", func() {}, err
	}
	return c, endpoint, stop, nil
}

func checkDestination(ctx context.Context, cfg *config.Pipeline) (*check.Destination, error) {
	d, err := makeDestination(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &check.Destination{Prober: d, Bucket: cfg.Delivery.Destination.Bucket, Key: ".binlogstreamer/probe/" + cfg.Name}, nil
}

// checkOversized looks at where oversized records go, if they go anywhere.
func checkOversized(ctx context.Context, cfg *config.Pipeline) (*check.Oversized, error) {
	if cfg.Stream.OversizedRecords != config.Oversized(pipeline.OversizedSpill) {
		return nil, nil
	}
	place := cfg.Stream.OversizedDestination
	c := &check.Oversized{
		Location: place.String(), Bucket: place.Bucket, Prefix: place.Prefix, Key: cfg.Name + "/.binlogstreamer-probe",
	}
	if cfg.Halves&config.Replicate != 0 {
		o, err := makeOversized(ctx, cfg)
		if err != nil {
			return nil, err
		}
		c.Destination = o.Destination
	}
	if cfg.Halves&config.Deliver != 0 {
		var err error
		if c.Bodies, err = makeBodies(ctx, cfg); err != nil {
			return nil, err
		}
	}
	return c, nil
}
