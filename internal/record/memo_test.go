package record

import (
	"bytes"
	"reflect"
	"testing"
	"time"
)

// TestMemoSeesEveryField changes one thing after the other of what a memo was made from, each alone, and wants the bytes
// that come without a memo. A field that is added to Stamp, Place or Transaction is tested, too.
func TestMemoSeesEveryField(t *testing.T) {
	base := Stamp{
		Time: time.Unix(1_700_000_000, 123_456_000), RecordID: 5, PrevTxID: 6, PrevTxRecordID: 7, Term: 8, Epoch: 9, Sequence: 10,
		Tx:    &Transaction{ID: 11, GTID: "a:1", CommitTime: time.Unix(1_600_000_000, 0)},
		Place: Place{File: "bin.000001", TableMapStart: 12, EventStart: 13, EventEnd: 14, Row: 15},
	}
	p := plan(t, players())
	r := row(`"Ann"`, "7", `"abc"`, "46.5", "")
	var changed []string
	try := func(name string, change func(*Stamp)) {
		memo := &Memo{}
		with, without := base, base
		with.Memo = memo
		first := appendRecord(t, p, Insert, r, nil, &with)
		tx := *base.Tx
		with.Tx, without.Tx = &tx, &tx
		change(&with)
		change(&without)
		got, want := appendRecord(t, p, Insert, r, nil, &with), appendRecord(t, p, Insert, r, nil, &without)
		if !bytes.Equal(got, want) {
			t.Errorf("%s changed: with a memo\n%s\nwithout\n%s", name, got, want)
		}
		if !bytes.Equal(first, want) {
			changed = append(changed, name)
		}
	}
	eachField(reflect.TypeFor[Stamp](), func(name string, index []int) {
		try(name, func(s *Stamp) { disturb(reflect.ValueOf(s).Elem().FieldByIndex(index)) })
	})
	eachField(reflect.TypeFor[Transaction](), func(name string, index []int) {
		try("Tx."+name, func(s *Stamp) { disturb(reflect.ValueOf(s.Tx).Elem().FieldByIndex(index)) })
	})
	try("second", func(s *Stamp) { s.Time = s.Time.Add(time.Second) })
	try("year", func(s *Stamp) { s.Time = s.Time.AddDate(10_000, 0, 0) })
	if len(changed) < 12 {
		t.Errorf("only %q made another record: this test would see nothing", changed)
	}
}

// eachField goes through the fields of a struct and of the structs in it that are ours.
func eachField(typ reflect.Type, do func(name string, index []int)) {
	for _, f := range reflect.VisibleFields(typ) {
		switch {
		case f.Type == reflect.TypeFor[Place]():
			eachField(f.Type, func(name string, index []int) { do(f.Name+"."+name, append(f.Index[:1:1], index...)) })
		case f.Type.Kind() != reflect.Pointer:
			do(f.Name, f.Index)
		}
	}
}

// disturb gives a field another value.
func disturb(v reflect.Value) {
	switch x := v.Addr().Interface().(type) {
	case *uint64:
		*x += 100
	case *uint32:
		*x += 100
	case *string:
		*x += "x"
	case *time.Time:
		*x = x.Add(654_321 * time.Microsecond)
	default:
		panic("a field of a type that this test does not know: " + v.Type().String())
	}
}
