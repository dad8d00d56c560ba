package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
)

// pauseVersion is the version of the document's form; docs/FORMATS.md specifies it.
const pauseVersion = 1

// pauseDoc says whether a half is paused. It is kept in the checkpoint store, so that a pause outlasts restarts and
// failovers and means all processes of the half.
type pauseDoc struct {
	Version int       `json:"version"`
	Paused  bool      `json:"paused"`
	Since   time.Time `json:"since,omitzero"` // when it was paused, if it is
}

// pauseLooks is the time between two looks at whether another process was told to pause or to resume.
const pauseLooks = 5 * time.Second

// pause is the switch by which a half takes nothing in. Its methods may be called from any goroutine.
type pause struct {
	half  string // "replicate", "deliver"
	store checkpoint.Store
	log   *slog.Logger

	saving sync.Mutex // covers rev; held while the document is read or written. Taken before mu
	rev    checkpoint.Revision

	mu      sync.Mutex // covers what follows
	doc     pauseDoc
	changed chan struct{} // closed, and another one made, when doc.Paused changes
	told    func()        // called, with mu held, when the half becomes paused; nil: nobody is to be told
}

func newPause(half string, store checkpoint.Store, log *slog.Logger) *pause {
	return &pause{half: half, store: store, log: log, changed: make(chan struct{})}
}

func (p *pause) document() string { return p.half + "/paused" }

// beside runs work while the document is looked at now and then. The first look must succeed.
func (p *pause) beside(ctx context.Context, work func(context.Context) error) error {
	if err := p.look(ctx); err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for backoff.Sleep(watching, pauseLooks) == nil {
			_ = p.look(watching) // a store that is away says nothing new, and others tell of it
		}
	}()
	defer func() { stop(); <-ended }()
	return work(ctx)
}

// look reads the document.
func (p *pause) look(ctx context.Context) error {
	p.saving.Lock()
	defer p.saving.Unlock()
	doc, err := p.load(ctx)
	if err != nil {
		return err
	}
	p.adopt(doc)
	return nil
}

// load reads the document. Called with saving held.
func (p *pause) load(ctx context.Context) (doc pauseDoc, err error) {
	raw, rev, err := p.store.Load(ctx, p.document())
	if errors.Is(err, checkpoint.ErrNotFound) {
		p.rev = checkpoint.None
		return doc, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &doc)
	}
	if err != nil {
		return doc, fmt.Errorf("read whether %s is paused: %w", p.half, err)
	}
	if doc.Version != pauseVersion {
		return doc, fmt.Errorf("the checkpoint %s has version %d, this program knows version %d: use the program version that wrote it", p.document(), doc.Version, pauseVersion)
	}
	p.rev = rev
	return doc, nil
}

// adopt makes a document the one that holds.
func (p *pause) adopt(doc pauseDoc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if doc.Paused == p.doc.Paused {
		return
	}
	p.doc = doc
	close(p.changed)
	p.changed = make(chan struct{})
	if doc.Paused {
		p.log.Warn(p.half+" is paused: it takes nothing in until somebody resumes it (binlogstreamer resume), also after a restart", "since", doc.Since)
		if p.told != nil {
			p.told()
		}
		return
	}
	p.log.Info(p.half + " goes on after a pause")
}

// set pauses or resumes the half, in the store first: when it returns without an error, that holds whatever crashes.
func (p *pause) set(ctx context.Context, paused bool) error {
	p.saving.Lock()
	defer p.saving.Unlock()
	for {
		doc, err := p.load(ctx)
		if err != nil {
			return err
		}
		if doc.Paused != paused {
			doc = pauseDoc{Version: pauseVersion, Paused: paused}
			if paused {
				doc.Since = time.Now().UTC().Truncate(time.Millisecond)
			}
			if err = p.save(ctx, doc); errors.Is(err, checkpoint.ErrConflict) {
				continue // somebody else has said something
			}
		}
		if err != nil {
			return err
		}
		p.adopt(doc)
		return nil
	}
}

func (p *pause) save(ctx context.Context, doc pauseDoc) error {
	raw, err := json.Marshal(&doc)
	if err != nil {
		return fmt.Errorf("write whether %s is paused: %w", p.half, err)
	}
	rev, err := p.store.Save(ctx, p.document(), raw, p.rev)
	if err != nil {
		return fmt.Errorf("save whether %s is paused: %w", p.half, err)
	}
	p.rev = rev
	return nil
}

// now says whether the half is paused, and gives a channel that is closed when that changes.
func (p *pause) now() (pauseDoc, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.doc, p.changed
}

func (p *pause) isPaused() bool {
	doc, _ := p.now()
	return doc.Paused
}

// tell calls f when the half becomes paused, or at once if it is. f must not block. nil ends that.
func (p *pause) tell(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = f
	if f != nil && p.doc.Paused {
		f()
	}
}

// open waits until the half is not paused.
func (p *pause) open(ctx context.Context) error {
	for {
		doc, changed := p.now()
		if !doc.Paused {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// gauge is the half's metric.
func (p *pause) gauge() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "binlogstreamer_paused", Help: "1 while an operator has paused the half, which takes nothing in then.",
		ConstLabels: prometheus.Labels{"half": p.half},
	}, func() float64 {
		if p.isPaused() {
			return 1
		}
		return 0
	})
}
