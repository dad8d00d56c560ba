package kinesisout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
)

// The steps that errors and log lines name.
const (
	stepDescribe = "describe stream"
	stepList     = "list shards"
	stepPut      = "put records"
)

// lookInterval is the least time between two listings that were asked for: listings may lag behind what answers tell.
const lookInterval = time.Second

// Run reads the stream's description, then writes what is Put until ctx is done, and returns nil then; what is still
// queued at that moment is cut off, so call Flush before. Trouble that does not pass by itself ends it with an *Error.
// It may be called once.
func (w *Writer) Run(ctx context.Context) error {
	defer close(w.stopped)
	w.err = w.run(ctx)
	if ctx.Err() != nil && !isFatal(w.err) {
		w.err = nil
	}
	return w.err
}

func isFatal(err error) bool {
	_, ok := errors.AsType[*Error](err)
	return ok
}

func (w *Writer) run(ctx context.Context) error {
	if err := w.persist(ctx, stepDescribe, w.describe); err != nil {
		return err
	}
	var shards layout
	err := w.persist(ctx, stepList, func(ctx context.Context) (err error) {
		shards, err = w.listOpen(ctx)
		return err
	})
	if err != nil {
		return err
	}
	w.install(shards)
	w.cfg.Logger.Info("writing to stream", "stream", w.cfg.stream(), "shards", len(shards), "max_record_bytes", w.maxRecord.Load())
	close(w.ready)
	for {
		if shards, err = w.serve(ctx); err != nil {
			return err
		}
		w.install(shards)
		w.cfg.Logger.Info("shards of the stream have changed", "stream", w.cfg.stream(), "shards", len(shards))
	}
}

// serve sends what the lanes have until the stream has other shards, which it returns once no request is under way any
// more. Between two calls a key may change its lane and no record of it is on the way.
func (w *Writer) serve(ctx context.Context) (layout, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := newSenders(w.line, cancel)
	for _, l := range w.lanes { // only this goroutine changes them
		w.line.push(l)
	}
	s.begin(ctx)
	shards, err := w.watch(ctx)
	if err != nil {
		cancel(err)
	}
	s.end()
	if err == nil && ctx.Err() != nil { // a request that was finished meanwhile found what ends the Writer
		err = context.Cause(ctx)
	}
	return shards, err
}

// watch lists the shards now and then, and when a lane asks for it, until they are others than the lanes'.
func (w *Writer) watch(ctx context.Context) (layout, error) {
	tick := time.NewTicker(w.cfg.ListEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		case <-w.look:
		}
		if err := w.describeAgain(ctx); err != nil {
			return nil, err
		}
		var shards layout
		err := w.persist(ctx, stepList, func(ctx context.Context) (err error) {
			shards, err = w.listOpen(ctx)
			return err
		})
		if err != nil || !shards.same(w.layout) {
			return shards, err
		}
		if err := backoff.Sleep(ctx, lookInterval); err != nil {
			return nil, err
		}
	}
}

// install makes lanes for these shards, and moves what is queued into them in the order of its Puts. No lane may run.
func (w *Writer) install(shards layout) {
	w.routing.Lock()
	defer w.routing.Unlock()
	var queued []*item
	for _, l := range w.lanes {
		queued = l.leave(queued)
	}
	slices.SortFunc(queued, func(a, b *item) int { return cmp.Compare(a.order, b.order) })
	former := w.lanes
	w.layout, w.lanes = shards, nil
	w.pages.size.Store(int64(pageSize(w.cfg.MaxBytes, len(shards))))
	w.line = newLine(w, len(shards))
	for _, s := range shards {
		w.lanes = append(w.lanes, newLane(w, s, w.line))
	}
	w.inherit(former)
	for _, it := range queued {
		w.lanes[shards.find(it.hash)].inherit(it)
	}
	w.metrics.shards.Set(float64(len(shards)))
	w.trouble.Forget(func(part string) bool {
		return !slices.ContainsFunc(shards, func(s shard) bool { return s.id == part })
	})
}

// inherit gives the lanes of shards that stay what was learned of their pace.
func (w *Writer) inherit(former []*lane) {
	for _, old := range former {
		i := slices.IndexFunc(w.lanes, func(l *lane) bool { return l.shard.id == old.shard.id })
		if i < 0 {
			w.metrics.forget(old.shard.id)
			continue
		}
		w.lanes[i].pace, w.lanes[i].told = old.pace, old.told
		w.lanes[i].throttledAt.Store(old.throttledAt.Load())
	}
}

// persist calls fn until it succeeds, ctx is done, or the error is one that does not pass by itself.
func (w *Writer) persist(ctx context.Context, step string, fn func(context.Context) error) error {
	for attempt := 0; ; attempt++ {
		err := fn(ctx)
		if err == nil {
			w.trouble.PartWorking(step)
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if isFatal(err) {
			return err
		}
		switch v, code, hint := classifyCall(err); v {
		case fatal, missing:
			return &Error{Step: step, Stream: w.cfg.stream(), Code: code, Hint: hint, Err: err}
		case throttled: // a call that others make too; not worth a word
		default:
			w.trouble.PartFailing(step, errors.New(short(err)))
		}
		if err := pauses.Sleep(ctx, attempt); err != nil {
			return err
		}
	}
}

func (w *Writer) listOpen(ctx context.Context) (layout, error) {
	all, err := w.listShards(ctx)
	if err != nil {
		return nil, err
	}
	return openShards(all)
}

// describe reads what the stream allows.
func (w *Writer) describe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.CallTimeout)
	defer cancel()
	out, err := w.cfg.API.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{
		StreamName: w.cfg.name(), StreamARN: w.cfg.arn(),
	})
	if err != nil {
		return err
	}
	d := out.StreamDescriptionSummary
	if d == nil {
		return errors.New("the answer describes no stream")
	}
	if d.StreamStatus != types.StreamStatusActive && d.StreamStatus != types.StreamStatusUpdating {
		return fmt.Errorf("the stream is %s", d.StreamStatus)
	}
	if d.RecordDistributionStrategy == types.RecordDistributionStrategyAuto {
		if !w.cfg.AllowAutoDistribution {
			return &Error{
				Step: stepDescribe, Stream: w.cfg.stream(),
				Err:  errors.New("its record distribution strategy is AUTO, which ignores partition keys: changes of one row would lose their order"),
				Hint: "set the strategy to USER_PARTITION_KEY (UpdateStreamRecordDistributionStrategy)",
			}
		}
		if !w.warned.Swap(true) {
			w.cfg.Logger.Warn("stream ignores partition keys: changes of one row may arrive in any order",
				"stream", w.cfg.stream(), "record_distribution_strategy", d.RecordDistributionStrategy)
		}
	}
	w.learnLimits(d)
	return nil
}

// learnLimits takes over what the stream allows.
func (w *Writer) learnLimits(d *types.StreamDescriptionSummary) {
	limit := DefaultRecordBytes
	if kib := int(aws.ToInt32(d.MaxRecordSizeInKiB)); kib > 0 {
		limit = kib << 10
	}
	if w.cfg.MaxRecordBytes > 0 {
		limit = min(limit, w.cfg.MaxRecordBytes)
	}
	if was := w.maxRecord.Swap(int64(limit)); was != 0 && was != int64(limit) {
		w.cfg.Logger.Info("the stream's record size limit has changed", "stream", w.cfg.stream(), "was", was, "is", limit)
	}
	onDemand := d.StreamModeDetails != nil && d.StreamModeDetails.StreamMode == types.StreamModeOnDemand
	w.paced.Store(w.cfg.ShardLimits && !onDemand)
}

// describeAgain looks whether the stream allows something else than before. What was known stands if there is no answer:
// whoever needs the stream finds out what ails it.
func (w *Writer) describeAgain(ctx context.Context) error {
	if err := w.describe(ctx); isFatal(err) {
		return err
	}
	return nil
}
