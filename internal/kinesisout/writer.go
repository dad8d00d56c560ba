package kinesisout

import "context"

// Writer writes into one stream.
type Writer struct {
	cfg Config
}

// New makes a Writer. It does no I/O.
func New(cfg Config) *Writer { return &Writer{cfg: cfg.withDefaults()} }

// Run reads the stream's description, then writes what is Put until ctx is done, and returns nil then; what is still
// queued at that moment is cut off, so call Flush before. Trouble that does not pass by itself ends it with an *Error.
func (w *Writer) Run(ctx context.Context) error { panic("under way") }

// Put queues a copy of r. It blocks while the queue is full and until Run knows the stream. Records of one key are
// stored in the order of their Puts. It may be called from several goroutines.
func (w *Writer) Put(ctx context.Context, r Record) error { panic("under way") }

// Flush waits until everything Put before is acknowledged.
func (w *Writer) Flush(ctx context.Context) error { panic("under way") }

// EachShard puts a record with this data into every open shard and waits until all are acknowledged. Shards that are
// split or merged meanwhile are followed: when it returns, every open shard or one of its parents has the record.
func (w *Writer) EachShard(ctx context.Context, data []byte) error { panic("under way") }
