package record

import (
	"sync"
	"time"
)

// Memo remembers the parts of the metadata that a record shares with the one before it: the moment it was built at,
// and all that is the same for the rows of one event. It saves work and never changes a byte, since it compares what
// it was made from by value. A Memo serves the stamps of one goroutine, and any number of plans. The zero value is
// ready for use.
type Memo struct {
	form form
	tx   Transaction
	same Stamp // what the runs below were made of, but for Tx

	toRecordID []byte // the transaction's id, up to the record's id
	toRow      []byte // from there to the row's index in stream-position
	toEnd      []byte // from there to the end of the record

	time    time.Time // the last one that was written
	clock   [len("2006-01-02T15:04:05.000000Z")]byte
	clocked bool
}

// form is what the metadata of changes depends on besides the stamp.
type form struct {
	format        Format
	details, gtid bool
}

// metadataForm is the part of a Plan that Memo can share between plans: the keys of the optional metadata.
type metadataForm struct {
	form
	recordID, prevID, prevRecordID, commitTime, position, gtidKey, term, epoch, sequence, end []byte
}

// forms are all that were asked for; there are as many as formats, with and without details and GTIDs.
var forms sync.Map // form to *metadataForm

// formOf is the form that all plans with such options have in common.
func formOf(o *Options) *metadataForm {
	of := form{o.Format, o.IncludeTransactionDetails, o.IncludeGTID}
	f, _ := forms.LoadOrStore(of, newMetadataForm(of))
	return f.(*metadataForm)
}

func newMetadataForm(of form) *metadataForm {
	f := of.format
	quoted := func(name string) []byte { return append(f.appendKey(nil, 2, true, name), '"') }
	plain := func(name string) []byte { return f.appendKey(nil, 2, true, name) }
	return &metadataForm{
		form:     of,
		recordID: plain("transaction-record-id"), prevID: plain("prev-transaction-id"),
		prevRecordID: plain("prev-transaction-record-id"), commitTime: quoted("commit-timestamp"),
		position: quoted("stream-position"), gtidKey: plain("gtid"), term: plain("writer-term"), epoch: plain("source-epoch"),
		sequence: plain("writer-sequence"), end: f.appendEnd(f.appendClose(nil, 1)),
	}
}

// appendChange appends the metadata of a change from the value of transaction-id on, to the end of the record.
func (f *metadataForm) appendChange(dst []byte, s *Stamp) []byte {
	if m := s.Memo; m != nil {
		m.remember(f, s)
		return f.join(dst, m, s)
	}
	dst = f.appendToRecordID(dst, s)
	if f.details {
		dst = appendUint(dst, s.RecordID)
		dst = f.appendToRow(dst, s)
		dst = appendUint(dst, uint64(s.Place.Row))
	}
	return f.appendToEnd(dst, s)
}

func (f *metadataForm) join(dst []byte, m *Memo, s *Stamp) []byte {
	dst = append(dst, m.toRecordID...)
	if f.details {
		dst = appendUint(dst, s.RecordID)
		dst = append(dst, m.toRow...)
		dst = appendUint(dst, uint64(s.Place.Row))
	}
	return append(dst, m.toEnd...)
}

// remember makes the memo fit the stamp.
func (m *Memo) remember(f *metadataForm, s *Stamp) {
	if m.form == f.form && m.same.rendersAs(s) && m.tx == *s.Tx {
		return
	}
	m.form, m.same, m.tx = f.form, *s, *s.Tx
	m.toRecordID = f.appendToRecordID(m.toRecordID[:0], s)
	m.toRow = f.appendToRow(m.toRow[:0], s)
	m.toEnd = f.appendToEnd(m.toEnd[:0], s)
}

// rendersAs says whether two stamps of one transaction differ at most in what stands between the runs that a memo has: the
// time, the record's id and the row. It is asked for every record, which is why it copies and compares no whole Stamp.
func (s *Stamp) rendersAs(other *Stamp) bool {
	p, q := &s.Place, &other.Place
	return p.EventStart == q.EventStart && p.EventEnd == q.EventEnd && p.TableMapStart == q.TableMapStart && p.File == q.File &&
		s.PrevTxID == other.PrevTxID && s.PrevTxRecordID == other.PrevTxRecordID && s.Term == other.Term && s.Epoch == other.Epoch
}

func (f *metadataForm) appendToRecordID(dst []byte, s *Stamp) []byte {
	dst = appendUint(dst, s.Tx.ID)
	if f.details {
		dst = append(dst, f.recordID...)
	}
	return dst
}

func (f *metadataForm) appendToRow(dst []byte, s *Stamp) []byte {
	if s.PrevTxID != 0 {
		dst = append(dst, f.prevID...)
		dst = appendUint(dst, s.PrevTxID)
		dst = append(dst, f.prevRecordID...)
		dst = appendUint(dst, s.PrevTxRecordID)
	}
	dst = append(dst, f.commitTime...)
	dst = append(appendTime(dst, s.Tx.CommitTime), '"')
	dst = append(dst, f.position...)
	dst = appendInside(dst, s.Place.File)
	dst = append(appendUint(append(dst, ':'), s.Place.EventStart), ':')
	return dst
}

func (f *metadataForm) appendToEnd(dst []byte, s *Stamp) []byte {
	if f.details {
		dst = append(appendUint(append(dst, ':'), s.Place.EventEnd), ':')
		dst = append(appendUint(dst, s.Tx.ID), ':')
		dst = append(appendInside(dst, s.Place.File), ':')
		dst = append(appendUint(dst, s.Place.TableMapStart), '"')
	}
	if f.gtid && s.Tx.GTID != "" {
		dst = append(dst, f.gtidKey...)
		dst = appendString(dst, s.Tx.GTID)
	}
	return append(f.appendTerm(dst, s), f.end...)
}

// appendLoad appends what a load record has of the metadata behind its table, to the end of the record.
func (f *metadataForm) appendLoad(dst []byte, s *Stamp) []byte {
	dst = f.appendTerm(dst, s)
	if s.Term != 0 && s.Sequence != 0 {
		dst = append(dst, f.sequence...)
		dst = appendUint(dst, s.Sequence)
	}
	return append(dst, f.end...)
}

// appendTerm appends the writer's term, if it has one.
func (f *metadataForm) appendTerm(dst []byte, s *Stamp) []byte {
	if s.Term != 0 {
		dst = append(dst, f.term...)
		dst = appendUint(dst, s.Term)
		dst = append(dst, f.epoch...)
		dst = appendUint(dst, s.Epoch)
	}
	return dst
}

// appendStampTime appends the time a record is built.
func appendStampTime(dst []byte, s *Stamp) []byte {
	m := s.Memo
	if m == nil || !m.tell(s.Time) {
		return appendTime(dst, s.Time)
	}
	return append(dst, m.clock[:]...)
}

// tell makes the memo's clock show t, and says whether it can: a year of more than four digits does not fit. Often it
// shows it already, for the rows of an event have one time, or the same second.
func (m *Memo) tell(t time.Time) bool {
	switch {
	case m.clocked && m.time == t:
		return true
	case m.clocked && m.time.Unix() == t.Unix():
		appendMicros(m.clock[:len("2006-01-02T15:04:05.")], t.Nanosecond()/1000)
	default:
		var whole [64]byte
		text := appendTime(whole[:0], t)
		if len(text) != len(m.clock) {
			return false
		}
		copy(m.clock[:], text)
	}
	m.time, m.clocked = t, true
	return true
}
