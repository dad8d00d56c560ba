package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/dedupe"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

// The names of Deliver's documents. All but the layouts belong to one stream, and the time when it was made is part of
// their names: shards of a stream made anew have the names and perhaps the sequence numbers of the old one's.
const (
	deliverLock     = "deliver"
	deliverVersion  = 1
	layoutsDocument = "deliver/layouts"
)

// deliverDocs loads and saves the documents of one stream.
type deliverDocs struct {
	store checkpoint.Store
	about kinesisin.Description
}

func (d *deliverDocs) name(parts ...string) string {
	name := "deliver/" + d.about.Name + "/" + strconv.FormatInt(d.about.Created.Unix(), 10)
	for _, p := range parts {
		name += "/" + p
	}
	return name
}

// startDoc says where the first start began, so that every later one means the same place.
type startDoc struct {
	Version int                `json:"version"`
	From    kinesisin.Position `json:"from"`
	Shards  []string           `json:"shards"` // those that were there; all others are read from their beginning
}

// start gives the stored start position, or resolves and stores it.
func (d *deliverDocs) start(ctx context.Context, want DeliverStart, list func(context.Context) ([]kinesisin.Shard, error)) (startDoc, error) {
	var doc startDoc
	name := d.name("start")
	_, err := loadDoc(ctx, d.store, name, &doc)
	if !errors.Is(err, checkpoint.ErrNotFound) {
		return doc, err
	}
	doc = startDoc{Version: deliverVersion, From: kinesisin.Horizon()}
	if want.Latest {
		doc.From = kinesisin.From(time.Now().UTC())
	} else if !want.Time.IsZero() {
		doc.From = kinesisin.From(want.Time.UTC())
	}
	shards, err := list(ctx)
	if err != nil {
		return startDoc{}, err
	}
	for _, s := range shards {
		doc.Shards = append(doc.Shards, s.ID)
	}
	_, err = saveDoc(ctx, d.store, name, doc, checkpoint.None)
	return doc, err
}

// origin is where a shard without a position begins.
func (s *startDoc) origin(shard string) kinesisin.Position {
	if slices.Contains(s.Shards, shard) {
		return s.From
	}
	return kinesisin.Horizon()
}

// shardDoc is how far a shard is stored.
type shardDoc struct {
	Version int                `json:"version"`
	Origin  kinesisin.Position `json:"origin"`          // the first record read; saved before anything of the shard is stored
	Stored  string             `json:"stored"`          // everything up to this sequence number is stored or was dropped; "" for nothing
	Seen    time.Time          `json:"seen"`            // and with it everything that arrived until then
	Layout  int                `json:"layout"`          // the layout version that the next object has, unless a newer one is in force
	Ended   bool               `json:"ended,omitempty"` // the shard is closed and stored to its end
	Saved   time.Time          `json:"saved"`
}

// shardState is a shard's document and the right to replace it.
type shardState struct {
	doc shardDoc
	rev checkpoint.Revision
}

func (d *deliverDocs) shard(ctx context.Context, id string) (shardState, error) {
	var s shardState
	var err error
	s.rev, err = loadDoc(ctx, d.store, d.name("shards", id), &s.doc)
	if errors.Is(err, checkpoint.ErrNotFound) {
		return shardState{}, nil
	}
	return s, err
}

func (d *deliverDocs) saveShard(ctx context.Context, id string, s *shardState) error {
	s.doc.Version, s.doc.Saved = deliverVersion, time.Now().UTC()
	rev, err := saveDoc(ctx, d.store, d.name("shards", id), &s.doc, s.rev)
	if err == nil {
		s.rev = rev
	}
	return err
}

// windowDoc is the state of de-duplication behind a record. It is a deterministic function of the shard's records up
// to there and of the parents' states, so it only saves reading them again; it is valid for a stored position at or
// behind it.
type windowDoc struct {
	Version int       `json:"version"`
	Through string    `json:"through"` // "" if the shard has no record
	Seen    time.Time `json:"seen"`
	State   []byte    `json:"state"`
}

func (d *deliverDocs) window(ctx context.Context, id string) (doc windowDoc, rev checkpoint.Revision, found bool, err error) {
	rev, err = loadDoc(ctx, d.store, d.name("windows", id), &doc)
	if errors.Is(err, checkpoint.ErrNotFound) {
		return doc, checkpoint.None, false, nil
	}
	return doc, rev, err == nil, err
}

func (d *deliverDocs) saveWindow(ctx context.Context, id string, doc windowDoc, rev checkpoint.Revision) (checkpoint.Revision, error) {
	doc.Version = deliverVersion
	return saveDoc(ctx, d.store, d.name("windows", id), &doc, rev)
}

// inherited is the state in which a shard begins: what its parents ended with. Those that are no longer listed may
// have expired before the first start.
func (d *deliverDocs) inherited(ctx context.Context, parents []string, log *slog.Logger) (*dedupe.Filter, error) {
	var ends []*dedupe.Filter
	for _, id := range parents {
		doc, _, found, err := d.window(ctx, id)
		if err != nil {
			return nil, err
		}
		if !found {
			if err := d.withoutWindow(ctx, id, log); err != nil {
				return nil, err
			}
			continue
		}
		f := dedupe.New()
		if err := f.UnmarshalBinary(doc.State); err != nil {
			return nil, fmt.Errorf("%w: de-duplication state of %s: %w", errUnusable, id, err)
		}
		ends = append(ends, f)
	}
	return dedupe.Merge(ends...), nil
}

// withoutWindow says what it means that a parent which was read to its end left no state.
func (d *deliverDocs) withoutWindow(ctx context.Context, id string, log *slog.Logger) error {
	s, err := d.shard(ctx, id)
	if err != nil {
		return err
	}
	if !s.doc.Ended {
		return fmt.Errorf("%w: %s was delivered to its end, and the checkpoint that says so has vanished from the store", errUnusable, d.name("shards", id))
	}
	log.Warn("a shard was delivered without de-duplication, or its state was lost: records that a writer repeats from it may be stored again by its children", "shard", id)
	return nil
}

// layoutVersions are the layouts that were in force, each with the version in its objects' keys.
type layoutVersions struct {
	list []layoutVersion
}

type layoutVersion struct {
	version int
	layout  *s3sink.Layout
}

func (l *layoutVersions) current() layoutVersion { return l.list[len(l.list)-1] }

// since gives the versions from one on that are no longer in force.
func (l *layoutVersions) since(version int) []layoutVersion {
	var list []layoutVersion
	for _, v := range l.list[:len(l.list)-1] {
		if v.version >= version {
			list = append(list, v)
		}
	}
	return list
}

type layoutsDoc struct {
	Version int         `json:"version"`
	Layouts []layoutDoc `json:"layouts"`
}

type layoutDoc struct {
	Version int                 `json:"version"`
	Since   time.Time           `json:"since"`
	Layout  s3sink.LayoutConfig `json:"layout"`
}

// prepareLayouts gives the configured layout its version: that of the last start if nothing changed, else the next.
// It is saved before an object can have it.
func (d *Deliver) prepareLayouts(ctx context.Context) (*layoutVersions, error) {
	now, err := s3sink.NewLayout(d.cfg.Layout)
	if err != nil {
		return nil, err
	}
	var doc layoutsDoc
	rev, err := loadDoc(ctx, d.cfg.Store, layoutsDocument, &doc)
	if err != nil && !errors.Is(err, checkpoint.ErrNotFound) {
		return nil, err
	}
	if n := len(doc.Layouts); n == 0 || !doc.Layouts[n-1].Layout.Same(now.Config()) {
		version := 1
		if n > 0 {
			version = doc.Layouts[n-1].Version + 1
		}
		doc.Version = deliverVersion
		doc.Layouts = append(doc.Layouts, layoutDoc{Version: version, Since: time.Now().UTC(), Layout: now.Config()})
		if _, err := saveDoc(ctx, d.cfg.Store, layoutsDocument, &doc, rev); err != nil {
			return nil, err
		}
	}
	v := &layoutVersions{}
	for _, l := range doc.Layouts {
		layout, err := s3sink.NewLayout(l.Layout)
		if err != nil {
			return nil, fmt.Errorf("layout version %d of checkpoint %s: %w", l.Version, layoutsDocument, err)
		}
		v.list = append(v.list, layoutVersion{l.Version, layout})
	}
	return v, nil
}

// ReadLayouts reads the layouts that deliver's objects have or had, by the version in their keys.
func ReadLayouts(ctx context.Context, store checkpoint.Store) (map[int]s3sink.LayoutConfig, error) {
	var doc layoutsDoc
	_, err := loadDoc(ctx, store, layoutsDocument, &doc)
	if err != nil && !errors.Is(err, checkpoint.ErrNotFound) {
		return nil, err
	}
	layouts := make(map[int]s3sink.LayoutConfig)
	for _, l := range doc.Layouts {
		layouts[l.Version] = l.Layout
	}
	return layouts, nil
}

// ReadStored reads up to which sequence number a shard of a stream is stored; known is false if nothing says so.
func ReadStored(ctx context.Context, store checkpoint.Store, about kinesisin.Description, shard string) (last string, known bool, err error) {
	d := deliverDocs{store: store, about: about}
	s, err := d.shard(ctx, shard)
	return s.doc.Stored, s.rev != checkpoint.None, err
}

// errUnusable marks a document that no waiting makes readable.
var errUnusable = errors.New("document cannot be used")

// persist calls f, which loads or saves documents, until it succeeds, ctx ends, or its error cannot heal.
func (d *Deliver) persist(ctx context.Context, f func() error) error {
	const longest = 10 * time.Second
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, longest) {
		err := f()
		if err == nil {
			d.storeHealth.Working()
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if final(err) {
			return err
		}
		d.storeHealth.Failing(err)
		if err := backoff.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// final reports whether an error of a document stays.
func final(err error) bool {
	return errors.Is(err, checkpoint.ErrConflict) || errors.Is(err, checkpoint.ErrCorrupt) || errors.Is(err, checkpoint.ErrName) || errors.Is(err, errUnusable)
}

func loadDoc(ctx context.Context, store checkpoint.Store, name string, doc any) (checkpoint.Revision, error) {
	raw, rev, err := store.Load(ctx, name)
	if err != nil {
		return checkpoint.None, fmt.Errorf("load checkpoint %s: %w", name, err)
	}
	var version struct {
		Version int `json:"version"`
	}
	if err := errors.Join(json.Unmarshal(raw, &version), json.Unmarshal(raw, doc)); err != nil {
		return checkpoint.None, fmt.Errorf("read checkpoint %s: %w: %w", name, errUnusable, err)
	}
	if version.Version != deliverVersion {
		return checkpoint.None, fmt.Errorf("%w: checkpoint %s has version %d, this program knows version %d: use the program version that wrote it",
			errUnusable, name, version.Version, deliverVersion)
	}
	return rev, nil
}

func saveDoc(ctx context.Context, store checkpoint.Store, name string, doc any, rev checkpoint.Revision) (checkpoint.Revision, error) {
	raw, err := json.Marshal(doc)
	if err != nil {
		return checkpoint.None, fmt.Errorf("write checkpoint %s: %w", name, err)
	}
	next, err := store.Save(ctx, name, raw, rev)
	if errors.Is(err, checkpoint.ErrConflict) {
		return checkpoint.None, fmt.Errorf("save checkpoint %s: %w: another deliver process has taken over; stop one of the two", name, err)
	}
	if err != nil {
		return checkpoint.None, fmt.Errorf("save checkpoint %s: %w", name, err)
	}
	return next, nil
}
