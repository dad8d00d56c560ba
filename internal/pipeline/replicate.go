package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisout"
	"github.com/binlogstreamer/binlogstreamer/internal/mapping"
	"github.com/binlogstreamer/binlogstreamer/internal/outage"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/snapshot"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// Migration is what a task does, in DMS's words.
type Migration string

// The migration types.
const (
	FullLoad       Migration = "full-load"
	CDC            Migration = "cdc"
	FullLoadAndCDC Migration = "full-load-and-cdc"
)

// ReplicateConfig holds what Replicate needs.
type ReplicateConfig struct {
	Task        string
	Migration   Migration
	Source      source.Config
	ServerID    uint32
	Rules       *mapping.Rules
	Records     record.Options
	Rendered    schema.Options
	Deduplicate bool              // stamp records so that readers can drop what is sent twice
	Stream      kinesisout.Config // Registerer and Logger are filled in
	Store       checkpoint.Store
	Start       string      // cdc_start_position; used where nothing is saved
	Stop        time.Time   // cdc_stop_position, on the source's clock; zero: none
	Once        bool        // end where the binlog ends when reading begins, and the load is complete
	Parallel    int         // readers of the full load; default 8
	LoadBytes   int         // memory of the full load's chunks; default 32 MiB
	TableErrors ErrorPolicy // default SuspendTable
	Oversized   OversizedConfig
	ChunkBytes  int           // how large a chunk of a load should be; default snapshot's
	SaveEvery   time.Duration // default 500 ms
	Grace       time.Duration // for flushing at the end; default 25 s
	Log         *slog.Logger
	Registerer  prometheus.Registerer

	ignoreNotes   bool // set by tests alone, to show what the notes of windows are for
	ignoreNumbers bool // and what the numbers of records without a position are for
}

// Replicate is the half that takes rows from MySQL to the stream.
type Replicate struct {
	cfg     ReplicateConfig
	metrics *replicateMetrics
	active  prometheus.Gauge
	budget  atomic.Pointer[snapshot.Budget] // of all loaders
	tune    func(*snapshot.Config)          // for tests
	ready   atomic.Bool
	running atomic.Pointer[emitter] // of the session that runs
	pause   *pause
	life    life
	session atomic.Pointer[session] // that runs
	standby atomic.Bool             // another process replicates
	motion  motion

	sourceHealth, streamHealth, storeHealth, bodiesHealth *outage.Watch
}

// NewReplicate makes a Replicate. It does no I/O.
func NewReplicate(cfg ReplicateConfig) *Replicate {
	if cfg.SaveEvery <= 0 {
		cfg.SaveEvery = 500 * time.Millisecond
	}
	if cfg.Grace <= 0 {
		cfg.Grace = 25 * time.Second
	}
	if cfg.TableErrors == "" {
		cfg.TableErrors = SuspendTable
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.LoadBytes <= 0 {
		cfg.LoadBytes = 32 << 20
	}
	r := &Replicate{
		cfg: cfg, metrics: newReplicateMetrics(cfg.Registerer), pause: newPause("replicate", cfg.Store, cfg.Log), active: newActive("replicate"),
		sourceHealth: outage.New(cfg.Log, "source "+cfg.Source.Host),
		streamHealth: outage.New(cfg.Log, "writing to stream "+cmp.Or(cfg.Stream.StreamName, cfg.Stream.StreamARN)),
		storeHealth:  outage.New(cfg.Log, "checkpoint store"),
		bodiesHealth: outage.New(cfg.Log, "storing oversized records"),
	}
	r.register(cfg.Registerer)
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(r.pause.gauge())
	}
	return r
}

// Ready says whether source and stream have been reached.
func (r *Replicate) Ready() bool { return r.ready.Load() }

// Run replicates until ctx is done, the stop position is reached, a full load alone is through, or something fails
// that waiting cannot cure. In the first three cases everything acknowledged is saved and the result is nil. While
// another process replicates with the same store, Run stands by and touches neither source nor stream; a run that is to
// end by itself does not stand by: it ends with a *checkpoint.LockedError.
func (r *Replicate) Run(ctx context.Context) error {
	t := &tenancy{
		store: r.cfg.Store, name: replicateDocument, log: r.cfg.Log, health: r.storeHealth,
		standBy: !r.cfg.Once && r.cfg.Migration != FullLoad, waits: &r.standby, stands: r.life.stands,
	}
	err := r.pause.beside(ctx, func(ctx context.Context) error { return t.run(ctx, r.sessions) })
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = nil
	}
	return err
}

func (r *Replicate) run(ctx context.Context) error {
	r.active.Set(1)
	defer r.active.Set(0)
	defer r.forget()
	r.budget.Store(snapshot.NewBudget(r.cfg.LoadBytes)) // what a former session held is gone with it
	s, err := r.start(ctx)
	if err != nil || s == nil {
		return err
	}
	defer s.registry.unregisterAll()
	r.metrics.observe(s)
	defer r.metrics.forget()
	defer r.ready.Store(false)
	r.life.reached(s)
	r.session.Store(s)
	defer r.session.Store(nil)
	r.running.Store(s.emitter)
	defer s.emitter.refuseRequests()
	defer r.running.Store(nil)
	return during(ctx, s.saver.run, s.saver.last, r.cfg.Grace, func(ctx context.Context) error {
		return during(ctx, s.writer.Run, s.writer.Flush, r.cfg.Grace, func(ctx context.Context) error {
			return ended(r.stream(ctx, s))
		})
	})
}

// ended says which ends of the stream are no failures.
func ended(err error) error {
	if errors.Is(err, errStopPosition) || errors.Is(err, context.Canceled) {
		return nil
	}
	if errors.Is(err, source.ErrServerChanged) {
		return &restartError{err}
	}
	return err
}

// restartError ends a run that a new one can continue from the saved position.
type restartError struct{ err error }

func (e *restartError) Error() string { return e.err.Error() }
func (e *restartError) Unwrap() error { return e.err }

// RestartHelps tells the command which exit code to use.
func (e *restartError) RestartHelps() bool { return true }

// session is one run with all its parts.
type session struct {
	server    source.Server
	rules     *mapping.Rules
	state     *stateFile
	from      source.Position
	continues bool // from is behind what a former process has read
	tracker   *checkpoint.Tracker[boundary, changeAt]
	progress  *progress
	writer    *kinesisout.Writer
	emitter   *emitter
	handler   binlog.Handler // the emitter; tests put themselves in front of it
	saver     *saver
	retention *retention
	registry  *temporary // of what the parts measure
	jobs      []snapshot.Job
	loadable  sync.Once // see mayLoad
	refused   error     // what mayLoad came to
}

// prepare reaches the source, takes a term, and decides where to begin. A nil session says that nothing is left to do.
func (r *Replicate) prepare(ctx context.Context) (*session, error) {
	conn, server, err := r.reach(ctx)
	if err != nil {
		return nil, err
	}
	defer source.Close(conn)
	if r.cfg.Migration != FullLoad {
		if err := replicable(server); err != nil {
			return nil, err
		}
	}
	s := &session{server: server, rules: r.cfg.Rules, registry: newTemporary(r.cfg.Registerer)}
	if server.LowerCaseTables != 0 {
		s.rules = s.rules.CaseInsensitive()
	}
	if s.state, err = openState(ctx, r.cfg.Store, r.cfg.Task, time.Now()); err != nil {
		return nil, err
	}
	skip, err := r.begin(ctx, conn, s)
	if err != nil {
		return nil, err
	}
	s.progress = newProgress(s.state.doc.Tables)
	if err := r.plan(ctx, conn, s); err != nil {
		return nil, err
	}
	if r.cfg.Migration == FullLoad && len(s.jobs) == 0 {
		r.cfg.Log.Info("the full load is complete already; nothing to do (remove the checkpoint to load again)")
		return nil, nil
	}
	return s, r.assemble(s, skip)
}

// begin decides the start position and the source epoch, and saves them before anything is read.
func (r *Replicate) begin(ctx context.Context, conn *client.Conn, s *session) (skipRule, error) {
	d := &s.state.doc
	if !d.Position.IsZero() {
		return r.resume(ctx, conn, s)
	}
	from, err := r.firstPosition(ctx, conn, s)
	if err != nil {
		return skipRule{}, err
	}
	d.Position, d.Epoch = from, d.Term
	s.from = from
	r.cfg.Log.Info("starting", "position", from.String(), "migration_type", r.cfg.Migration)
	skip, err := d.skip(true)
	if err != nil {
		return skip, err
	}
	return skip, s.state.save(ctx)
}

// resume goes on from the saved position. On another server only the GTID set still means something: the coordinates
// are new ones, and so is the epoch.
func (r *Replicate) resume(ctx context.Context, conn *client.Conn, s *session) (skipRule, error) {
	d := &s.state.doc
	s.continues = true
	same := d.Position.ServerUUID == s.server.UUID
	skip, err := d.skip(same)
	if err != nil {
		return skip, err
	}
	s.from = d.Position
	if same {
		r.cfg.Log.Info("going on", "position", s.from.String(), "changes_done_behind_it", d.Done)
		return skip, nil
	}
	if s.from.GTIDSet == "" || !s.server.GTIDMode {
		return skip, &binlog.PositionError{
			Pos: s.from, Err: binlog.ErrOtherServer,
			Detail: fmt.Sprintf("saved on server %s, this is server %s", d.Position.ServerUUID, s.server.UUID),
			Hint:   "without GTIDs a failover cannot be followed: point source.host at the old server, or load anew with an empty checkpoint.store",
		}
	}
	r.cfg.Log.Warn("the source is another server than before; going on by GTID",
		"gtid_set", s.from.GTIDSet, "was", d.Position.ServerUUID, "is", s.server.UUID)
	s.from = source.Position{GTIDSet: s.from.GTIDSet, ServerUUID: s.server.UUID}
	if err := r.hasBegun(ctx, conn, s); err != nil {
		return skip, err
	}
	d.changeServer(s.from)
	return skip, s.state.save(ctx)
}

// plan finds the selected tables and what of them is to load.
func (r *Replicate) plan(ctx context.Context, conn *client.Conn, s *session) error {
	tables, err := source.Tables(ctx, conn)
	if err != nil {
		return err
	}
	s.progress.leave(func(id tableID) bool {
		return s.rules.Selected(id.Schema, id.Table) || s.rules.SelectedView(id.Schema, id.Table)
	}, r.cfg.Migration == FullLoadAndCDC)
	if r.cfg.Migration != CDC {
		r.planMissing(s, tables)
	}
	selected := 0
	for _, t := range tables {
		if t.View {
			if !s.rules.SelectedView(t.Schema, t.Name) {
				continue
			}
			if err := r.planView(s, tableID{t.Schema, t.Name}); err != nil {
				return err
			}
			selected++
			continue
		}
		if !s.rules.Selected(t.Schema, t.Name) {
			continue
		}
		selected++
		id := tableID{t.Schema, t.Name}
		if r.cfg.Migration == CDC {
			s.progress.table(id, StateCompleted)
			continue
		}
		r.planLoad(s, id)
	}
	if selected == 0 {
		return errors.New("no table of the source is selected by the table mappings (or the user may not see them); check the schema and table names, which are case-sensitive, and GRANT SELECT")
	}
	slices.SortStableFunc(s.jobs, func(a, b snapshot.Job) int {
		return s.rules.LoadOrder(b.Schema, b.Table) - s.rules.LoadOrder(a.Schema, a.Table)
	})
	return nil
}

// planMissing ends what was left to load of tables that the server does not show any more. They may have been dropped while
// no rule selected them: then nothing in the log tells of it.
func (r *Replicate) planMissing(s *session, there []source.TableName) {
	exists := make(map[tableID]bool, len(there))
	for _, t := range there {
		exists[tableID{t.Schema, t.Name}] = true
	}
	for _, d := range s.progress.shown() {
		if !exists[tableID{d.Schema, d.Table}] && !d.loaded() {
			s.jobs = append(s.jobs, d.job())
		}
	}
}

// planView plans the load of a view. A binlog knows nothing of views: what a load finds in one is all that is ever sent.
func (r *Replicate) planView(s *session, id tableID) error {
	if r.cfg.Migration == CDC {
		return fmt.Errorf("view %s.%s is selected by the table mappings, but no log tells of changes of a view: exclude it, or use table-type table or migration type full-load", id.Schema, id.Table)
	}
	r.planLoad(s, id)
	return nil
}

// planLoad plans what is left of a table's load, or a view's. A full load alone tries those again that it had to leave out.
func (r *Replicate) planLoad(s *session, id tableID) {
	if r.cfg.Migration == FullLoad {
		s.progress.tryAgain(id)
	}
	if d := s.progress.table(id, StateBeforeLoad).snapshot(); !d.loaded() {
		s.jobs = append(s.jobs, d.job())
	}
}

// assemble connects the parts of a session.
func (r *Replicate) assemble(s *session, skip skipRule) error {
	d := &s.state.doc
	var gtids *binlog.GTIDSet
	if s.server.GTIDMode && (s.from.GTIDSet != "" || s.from.File == "") {
		var err error
		if gtids, err = binlog.ParseGTIDSet(s.server.Flavor, s.from.GTIDSet); err != nil {
			return fmt.Errorf("saved position: %w", err)
		}
	}
	if gtids == nil && s.from.File != "" {
		// The set does not grow any more, so it must not be what a later process goes on by, here or on another server.
		d.Position.GTIDSet, s.from.GTIDSet = "", ""
	}
	start := boundary{prevTx: d.PrevTx, prevRec: d.PrevRec, file: s.from.File, offset: s.from.Offset, began: s.from.FileBegan}
	if gtids != nil {
		start.gtids, _ = binlog.ParseGTIDSet(s.server.Flavor, s.from.GTIDSet)
	}
	s.tracker = checkpoint.NewTracker[boundary, changeAt](checkpoint.Span, start, foldBoundary(s.server.Flavor))
	s.resumeTracker(skip)
	out := r.cfg.Stream
	out.Logger, out.Registerer, out.Health = r.cfg.Log, s.registry.registerer(), r.streamHealth
	s.writer = kinesisout.New(out)
	s.emitter = &emitter{
		out: s.writer, tracker: s.tracker, records: r.cfg.Records,
		rules: s.rules, stop: stopRule{after: r.cfg.Stop}, progress: s.progress, metrics: r.metrics, log: r.cfg.Log,
		reached: func() { r.ready.Store(true) }, started: time.Now(), streams: r.cfg.Migration != FullLoad,
		reloads: r.cfg.Migration == FullLoadAndCDC, policy: r.cfg.TableErrors, oversized: newOversizer(r.cfg.Oversized, r.cfg.Task, r.metrics, r.bodiesHealth, r.cfg.Log), barrier: s.writer, loads: newLoadQueue(),
		suspended: make(map[tableID]bool),
		at:        s.from, gtids: gtids, prevTx: d.PrevTx, prevRec: d.PrevRec, skip: skip,
		plans: make(map[schema.Codec]*record.Plan), windows: make(map[tableID]*window), ignoreNotes: r.cfg.ignoreNotes,
		starved: make(chan struct{}, 1),
	}
	s.handler = s.emitter
	if r.cfg.Deduplicate {
		s.emitter.term, s.emitter.epoch = d.Term, d.Epoch
		if !r.cfg.ignoreNumbers {
			s.emitter.numbers = checkpoint.NewNumbers(checkpoint.Span)
		}
	}
	s.saver = &saver{
		tracker: s.tracker, progress: s.progress, interval: r.cfg.SaveEvery, health: r.storeHealth, state: s.state, started: new(atomic.Bool),
	}
	s.saver.savedAt.Store(time.Now().UnixNano()) // by begin
	s.saver.started.Store(d.Started)
	s.emitter.persist = s.saver.now
	if s.emitter.streams { // a full load alone tries them again
		r.resumeSuspended(s)
	}
	s.retention = &retention{source: r.cfg.Source, saved: s.state.savedPosition, every: retentionLooks, log: r.cfg.Log, health: r.sourceHealth}
	return nil
}

// resumeSuspended leaves out what an earlier process has suspended.
func (r *Replicate) resumeSuspended(s *session) {
	ids, reasons := s.progress.suspended()
	for i, id := range ids {
		s.emitter.suspended[id] = true
		r.cfg.Log.Error("table is suspended: nothing of it is sent until it is loaded again", "schema", id.Schema, "table", id.Table, "error", reasons[i])
	}
}

// resumeTracker tells the tracker what of the first transaction a former process has done. Coordinates of another
// server are left out: they would be taken for this one's.
func (s *session) resumeTracker(skip skipRule) {
	if !skip.active {
		return
	}
	at := changeAt{GTID: skip.gtid}
	if through := s.state.doc.Through; skip.through != nil {
		at.GTID = through.GTID
		at.Place = record.Place{File: through.File, EventStart: through.EventStart, Row: through.Row}
		at.Half = through.Half
	}
	s.tracker.Resume(s.state.doc.Done, at)
}

// stream reads the binlog and loads what is to load, at the same time.
func (r *Replicate) stream(ctx context.Context, s *session) error {
	loader := r.loader(s)
	if err := loader.Open(s.jobs); err != nil {
		return err
	}
	return s.emitter.fed(ctx, func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		if s.emitter.streams {
			group.Go(func() error { return r.read(ctx, s) })
		}
		if len(s.jobs) > 0 {
			group.Go(func() error { return r.load(ctx, s, loader) })
		}
		if s.emitter.reloads {
			group.Go(func() error { return r.reloader(ctx, s) })
		}
		return group.Wait()
	})
}

func (r *Replicate) read(ctx context.Context, s *session) error {
	if r.cfg.Migration == CDC && !s.saver.started.Load() {
		if err := s.emitter.announceStart(ctx, s.saver.started, s.progress.shown()); err != nil {
			return err
		}
	}
	known, err := openDefinitions(ctx, r.cfg.Store, r.cfg.Task, s.continues, s.state.savedPosition, r.storeHealth)
	if err != nil {
		return err
	}
	reader := binlog.New(binlog.Config{
		Source: r.cfg.Source, Server: s.server, ServerID: r.cfg.ServerID, Handler: s.handler,
		Selected: s.rules.Selected, Options: r.cfg.Rendered, History: known, Logger: r.cfg.Log, Registerer: r.cfg.Registerer,
		Health: r.sourceHealth,
	})
	s.emitter.retryWith(reader.Retry)
	return r.watched(ctx, s, func(ctx context.Context) error { return reader.Run(ctx, s.from) })
}

// load runs the full load.
func (r *Replicate) load(ctx context.Context, s *session, loader *snapshot.Loader) error {
	if err := r.mayLoad(ctx, s); err != nil {
		return err
	}
	if err := backoff.Sleep(ctx, loader.Settle()); err != nil {
		return err
	}
	r.ready.Store(true)
	if err := loader.Run(ctx); err != nil {
		return err
	}
	if _, reasons := s.progress.suspended(); len(reasons) > 0 && !s.emitter.streams {
		return &SuspendedError{Tables: reasons}
	}
	r.cfg.Log.Info("full load is read; everything of it is on its way", "tables", len(s.jobs))
	return nil
}

// mayLoad does what comes before the first chunk of a process. A record of our own term in every shard keeps a former
// process that is still alive from slipping newer changes in behind our chunks. And whatever a former process has
// emitted must be emitted again by us before a chunk is read: a change that it saw in the binlog may not be visible to
// a SELECT yet. An error ends the run, so there is no second attempt.
func (r *Replicate) mayLoad(ctx context.Context, s *session) error {
	s.loadable.Do(func() { s.refused = r.fenceOff(ctx, s) })
	return s.refused
}

func (r *Replicate) fenceOff(ctx context.Context, s *session) error {
	if s.emitter.term > 0 {
		if err := s.emitter.fence(ctx, s.writer); err != nil {
			return err
		}
	}
	if !s.emitter.streams || s.state.fresh {
		return nil
	}
	end, err := r.binlogEnd(ctx, s.server)
	if err != nil {
		return err
	}
	return s.emitter.wait(ctx, end)
}

func (r *Replicate) loader(s *session) *snapshot.Loader {
	cfg := snapshot.Config{
		Server:  s.server,
		Connect: func(ctx context.Context) (*client.Conn, error) { return source.Connect(ctx, r.cfg.Source) },
		Load:    s.progress.estimating(source.LoadTable), Stream: s.emitter, Rendered: r.cfg.Rendered, Parallel: r.cfg.Parallel,
		ChunkBytes: r.cfg.ChunkBytes, Budget: r.budget.Load(), Log: r.cfg.Log, Health: r.sourceHealth,
	}
	if r.tune != nil {
		r.tune(&cfg)
	}
	return snapshot.New(cfg)
}

// binlogEnd is where the binlog ends now.
func (r *Replicate) binlogEnd(ctx context.Context, server source.Server) (end source.Position, err error) {
	err = r.persist(ctx, "find the end of the binary log", func() error {
		conn, present, err := r.reach(ctx)
		if err != nil {
			return err
		}
		defer source.Close(conn)
		if present.UUID != server.UUID {
			return fmt.Errorf("find the end of the binary log: %w: %s instead of %s", source.ErrServerChanged, present.UUID, server.UUID)
		}
		end, err = source.CurrentPosition(ctx, conn, server)
		return err
	})
	return end, err
}
