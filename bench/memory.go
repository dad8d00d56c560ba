package main

import (
	"context"
	"fmt"
	"time"
)

// outage is how long the stream or the bucket is away in the memory measurement.
const outage = 10 * time.Second

// memory measures goal 5, as far as other parts have not: through an outage of what is written to, and through the
// largest input there usually is.
func (b *bench) memory(ctx context.Context) error {
	p, err := b.changes(ctx)
	if err != nil {
		return err
	}
	m, err := b.onStub(ctx, "stream ours", p, func(endpoint string) error { return failStub(ctx, endpoint, outage) })
	if err != nil {
		return err
	}
	b.report.memory(fmt.Sprintf("replicate, a backlog after %s without the stream", outage), m)
	if p, err = b.records(ctx, p, b.Deliver); err != nil {
		return err
	}
	defer removeRecords(p)
	m, err = b.onStub(ctx, "deliver s3 ours", p, func(endpoint string) error { return failBucket(ctx, endpoint, outage) })
	if err != nil {
		return err
	}
	b.report.memory(fmt.Sprintf("deliver, a backlog and %s without the bucket", outage), m)
	return b.extremes(ctx, func(x extreme) bool { return x.usual })
}
