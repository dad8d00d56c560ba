package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/record"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// replicateDocument is the name of Replicate's checkpoint in its store.
const replicateDocument = "replicate"

// replicateVersion is the version of the document's form; docs/FORMATS.md specifies it.
const replicateVersion = 1

// replicateDoc is Replicate's checkpoint: all that a new process needs to go on.
type replicateDoc struct {
	Version  int             `json:"version"`
	Task     string          `json:"task"`
	Term     uint64          `json:"writer_term"`  // of the process that saved it
	Epoch    uint64          `json:"source_epoch"` // the term at which Position's coordinates were taken up
	Position source.Position `json:"position"`     // everything before it is acknowledged
	Done     uint64          `json:"done"`         // changes behind Position that are acknowledged, without a gap
	Through  *throughDoc     `json:"through,omitempty"`
	PrevTx   uint64          `json:"prev_transaction_id,omitempty"`
	PrevRec  uint64          `json:"prev_transaction_record_id,omitempty"`
	Tables   []tableDoc      `json:"tables,omitempty"`
	Started  bool            `json:"announced,omitempty"` // the control records of the task's start are acknowledged
	Saved    time.Time       `json:"saved"`
}

// throughDoc is the coordinate of the last of the Done changes. Unlike their number it does not depend on which tables
// are selected; unlike it, their number and the GTID of their transaction hold on another server.
type throughDoc struct {
	File       string `json:"file"`
	EventStart uint64 `json:"event_start"`
	Row        uint32 `json:"row"`
	Half       uint8  `json:"half,omitempty"`
	GTID       string `json:"gtid,omitempty"` // of its transaction, which is how another server's log is searched for it
}

// stateFile is the saved document and the right to replace it.
type stateFile struct {
	store checkpoint.Store
	rev   checkpoint.Revision
	doc   replicateDoc
	fresh bool // nothing was saved before this process
	saved atomic.Pointer[source.Position]
}

// savedPosition is the position of the document as it was saved last. It may be called from any goroutine.
func (s *stateFile) savedPosition() source.Position {
	if p := s.saved.Load(); p != nil {
		return *p
	}
	return source.Position{}
}

// openState reads the document and takes a new term by a conditional save. From then on a former process that is
// still alive cannot save any more, and readers drop what it sends.
func openState(ctx context.Context, store checkpoint.Store, task string, now time.Time) (*stateFile, error) {
	s := &stateFile{store: store}
	raw, rev, err := store.Load(ctx, replicateDocument)
	switch {
	case errors.Is(err, checkpoint.ErrNotFound):
		s.fresh = true
		s.doc = replicateDoc{Version: replicateVersion, Task: task}
	case err != nil:
		return nil, fmt.Errorf("load the checkpoint of replicate: %w", err)
	default:
		s.rev = rev
		if err := json.Unmarshal(raw, &s.doc); err != nil {
			return nil, fmt.Errorf("read the checkpoint of replicate: %w", err)
		}
	}
	if s.doc.Version != replicateVersion {
		return nil, fmt.Errorf("the checkpoint of replicate has version %d, this program knows version %d: use the program version that wrote it", s.doc.Version, replicateVersion)
	}
	if s.doc.Task != task {
		return nil, fmt.Errorf("the checkpoint store belongs to task %q, this is task %q: give each task a checkpoint.store of its own", s.doc.Task, task)
	}
	s.doc.Term = max(s.doc.Term+1, uint64(max(now.Unix(), 1)))
	return s, s.save(ctx)
}

// Saved is what a task's checkpoint says to whoever looks at the task from outside.
type Saved struct {
	Position  source.Position   // where it goes on; zero if it has saved none
	Suspended map[string]string // by schema.table: why nothing of the table is sent
	States    map[string]string // by schema.table: each table's state
}

// ReadSaved reads the checkpoint of the task whose store it is.
func ReadSaved(ctx context.Context, store checkpoint.Store) (Saved, error) {
	raw, _, err := store.Load(ctx, replicateDocument)
	if errors.Is(err, checkpoint.ErrNotFound) {
		return Saved{}, nil
	}
	var d replicateDoc
	if err == nil {
		err = json.Unmarshal(raw, &d)
	}
	if err != nil {
		return Saved{}, fmt.Errorf("read the checkpoint of replicate: %w", err)
	}
	s := Saved{Position: d.Position, Suspended: make(map[string]string), States: make(map[string]string)}
	for _, t := range d.Tables {
		s.States[t.Schema+"."+t.Table] = t.State
		if t.State == StateError {
			s.Suspended[t.Schema+"."+t.Table] = t.Error
		}
	}
	return s, nil
}

// save writes the document. A conflict says that another process took over.
func (s *stateFile) save(ctx context.Context) error {
	s.doc.Saved = time.Now().UTC()
	raw, err := json.Marshal(&s.doc)
	if err != nil {
		return fmt.Errorf("write the checkpoint of replicate: %w", err)
	}
	rev, err := s.store.Save(ctx, replicateDocument, raw, s.rev)
	if err != nil {
		return fmt.Errorf("save the checkpoint of replicate: %w", err)
	}
	s.rev = rev
	position := s.doc.Position
	s.saved.Store(&position)
	return nil
}

// changeServer notes that the position is now to be found on another server. Coordinates of the old one mean nothing
// there; what is done of a transaction is known by its GTID.
func (d *replicateDoc) changeServer(at source.Position) {
	d.Epoch, d.Position = d.Term, at
	if d.Through != nil {
		d.Through = &throughDoc{GTID: d.Through.GTID}
	}
}

// skipRule says which changes behind the start position a former process has seen acknowledged. They all belong to
// one transaction: the first one on the server that the position was taken on. Another server may have logged others
// in front of it.
type skipRule struct {
	active  bool
	through *record.Position // on the server that gave the coordinates
	gtid    string           // on another one: their transaction, "" for the first,
	count   uint64           // and their number
	late    bool             // overtaken has said so
}

func (d *replicateDoc) skip(sameServer bool) (skipRule, error) {
	if d.Done == 0 {
		return skipRule{}, nil
	}
	if d.Through == nil {
		return skipRule{active: true, count: d.Done}, nil
	}
	if !sameServer || d.Through.File == "" {
		return skipRule{active: true, gtid: d.Through.GTID, count: d.Done}, nil
	}
	number, err := record.FileNumber(d.Through.File)
	if err != nil {
		return skipRule{}, fmt.Errorf("checkpoint of replicate: %w", err)
	}
	return skipRule{active: true, through: &record.Position{
		FileNumber: number, EventStart: d.Through.EventStart, Row: d.Through.Row, Half: d.Through.Half,
	}}, nil
}

// done reports whether the change at a place is one of them.
func (s *skipRule) done(at changeAt) bool {
	if !s.active {
		return false
	}
	if s.through != nil {
		p, err := at.position()
		return err == nil && p.Compare(*s.through) <= 0
	}
	if s.count == 0 || s.gtid != "" && s.gtid != at.GTID {
		return false
	}
	s.count--
	return true
}

// overtaken says, once, that another server has logged a change of another transaction in front of those that are done.
// Their number cannot be saved together with it: it would count changes of the wrong transaction. Should a process die
// before it comes to them, they are sent again, as what they were.
func (s *skipRule) overtaken(at changeAt) bool {
	if !s.active || s.late || s.gtid == "" || s.gtid == at.GTID {
		return false
	}
	s.late = true
	return true
}

// counts reports whether changes of a transaction are passed over by their number.
func (s *skipRule) counts(gtid string) bool {
	return s.active && s.through == nil && s.count > 0 && (s.gtid == "" || s.gtid == gtid)
}

// forget passes nothing more over. It says whether what was done is not overtaken yet, and still counts.
func (s *skipRule) forget() bool {
	first := !s.late
	s.late, s.count = true, 0
	return first
}

// end is called behind every transaction with its GTID.
func (s *skipRule) end(gtid string) {
	if s.gtid == "" || s.gtid == gtid {
		s.active = false
	}
}

func (a changeAt) position() (record.Position, error) {
	number, err := record.FileNumber(a.Place.File)
	return record.Position{FileNumber: number, EventStart: a.Place.EventStart, Row: a.Place.Row, Half: a.Half}, err
}
