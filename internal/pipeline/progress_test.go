package pipeline

import (
	"reflect"
	"strings"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/snapshot"
)

var progressTable = &schema.Table{
	Schema: "shop", Name: "ticket", Columns: []schema.Column{{Name: "id", Type: schema.Int}}, Key: []int{0}, KeyKind: schema.PrimaryKey,
}

func loadedChunk(p *tableProgress, to string, last bool, rows int) *chunkGroup {
	g := p.chunk(&snapshot.Chunk{Table: progressTable, Form: []string{"id"}, To: snapshot.Bound{to}, Last: last})
	for range rows {
		g.add()
	}
	g.rows = uint64(rows)
	g.seal()
	return g
}

func TestProgressCountsChunksInTheirOrder(t *testing.T) {
	p := newProgress(nil).table(tableID{"shop", "ticket"}, StateFullLoad)
	first := loadedChunk(p, "10", false, 2)
	second := loadedChunk(p, "20", true, 1)

	second.Acked(0)
	if d := p.snapshot(); d.After != nil || d.Rows != 0 || d.State != StateFullLoad {
		t.Errorf("the second chunk's acknowledgement moved progress past the first: %+v", d)
	}
	first.Acked(0)
	if d := p.snapshot(); d.After != nil {
		t.Errorf("half a chunk moved progress: %+v", d)
	}
	first.Acked(0)
	if d := p.snapshot(); d.State != StateCompleted || d.Rows != 3 || d.After != nil {
		t.Errorf("after all acknowledgements: %+v", d)
	}
}

func TestProgressSavesWhereToGoOn(t *testing.T) {
	all := newProgress(nil)
	p := all.table(tableID{"shop", "ticket"}, StateFullLoad)
	loadedChunk(p, "10", false, 0) // all of its rows were touched: nothing to wait for
	d := all.docs()[0]
	if len(d.After) != 1 || d.After[0] != "10" || len(d.AfterKey) != 1 || d.AfterKey[0] != "id" {
		t.Errorf("saved %+v", d)
	}
	again := newProgress(all.docs()).table(tableID{"shop", "ticket"}, StateFullLoad).snapshot()
	if again.State != StateFullLoad || len(again.After) != 1 || again.After[0] != "10" {
		t.Errorf("read back as %+v", again)
	}
}

// inRange begins a chunk of a range.
func inRange(p *tableProgress, number int, to string, last bool) *chunkGroup {
	g := p.chunk(&snapshot.Chunk{Table: progressTable, Form: []string{"id"}, Range: number, To: snapshot.Bound{to}, Last: last})
	g.add()
	g.rows = 1
	g.seal()
	return g
}

func TestProgressOfRanges(t *testing.T) {
	all := newProgress(nil)
	p := all.table(tableID{"shop", "ticket"}, StateBeforeLoad)
	first := p.restart()
	check := func(what, after string, ranges ...rangeDoc) {
		t.Helper()
		d := p.snapshot()
		if strings.Join(d.After, ",") != after || !reflect.DeepEqual(d.Ranges, ranges) {
			t.Errorf("%s: saved %+v", what, d)
		}
		again := newProgress(all.docs()).table(tableID{"shop", "ticket"}, StateBeforeLoad).snapshot()
		if !reflect.DeepEqual(again, d) {
			t.Errorf("%s: %+v is read back as %+v", what, d, again)
		}
	}
	a := inRange(p, first, "10", false)
	second := p.split(first, snapshot.Bound{"100"}, []string{"id"})
	third := p.split(second, snapshot.Bound{"200"}, []string{"id"})
	check("nothing acknowledged", "", rangeDoc{To: []string{"100"}}, rangeDoc{[]string{"100"}, []string{"200"}}, rangeDoc{After: []string{"200"}})

	b := inRange(p, third, "250", false)
	c := inRange(p, second, "200", true)
	c.Acked(0)
	b.Acked(0)
	check("the second through", "", rangeDoc{To: []string{"100"}}, rangeDoc{After: []string{"250"}})
	inRange(p, first, "100", true).Acked(0) // its first chunk is not acknowledged yet
	check("the first's end", "", rangeDoc{To: []string{"100"}}, rangeDoc{After: []string{"250"}})
	a.Acked(0)
	check("one left", "250")
	if job := p.snapshot().job(); !reflect.DeepEqual(job.Ranges, []snapshot.Range{{After: snapshot.Bound{"250"}}}) || job.Form[0] != "id" {
		t.Errorf("job %+v", job)
	}
	d := inRange(p, third, "300", false)
	number := p.restart()
	d.Acked(0)
	p.split(third, snapshot.Bound{"400"}, []string{"id"}) // of what is no more
	check("begun anew", "")
	if d := p.snapshot(); d.State != StateBeforeLoad || d.Rows != 0 || d.AfterKey != nil || len(d.job().Ranges) != 0 {
		t.Errorf("begun anew: %+v", d)
	}
	inRange(p, number, "900", true).Acked(0)
	if d := p.snapshot(); d.State != StateCompleted || d.Rows != 1 || !all.complete() {
		t.Errorf("at the end: %+v", d)
	}
}

func TestProgressOfATableThatIsGone(t *testing.T) {
	all := newProgress(nil)
	p := all.table(tableID{"shop", "ticket"}, StateBeforeLoad)
	if all.complete() {
		t.Error("complete before anything was loaded")
	}
	p.gone()
	if !all.complete() || p.snapshot().State != StateGone {
		t.Errorf("a dropped table still counts as to be loaded: %+v", p.snapshot())
	}
}

func TestProgressOfTablesThatAreNotSelectedAnyMore(t *testing.T) {
	saved := []tableDoc{
		{Schema: "shop", Table: "done", State: StateCompleted, Rows: 7}, {Schema: "shop", Table: "half", State: StateFullLoad, After: []string{"1"}, AfterKey: []string{"id"}},
		{Schema: "shop", Table: "gone", State: StateGone}, {Schema: "shop", Table: "ill", State: StateError, Error: "because"}, {Schema: "shop", Table: "stays", State: StateCompleted},
	}
	p := newProgress(saved)
	p.leave(func(id tableID) bool { return id.Table == "stays" }, true)
	want := []tableDoc{
		{Schema: "shop", Table: "done", State: StateReloading}, {Schema: "shop", Table: "half", State: StateReloading},
		{Schema: "shop", Table: "ill", State: StateError, Error: "because"}, {Schema: "shop", Table: "stays", State: StateCompleted},
	}
	if got := p.docs(); !reflect.DeepEqual(got, want) {
		t.Errorf("saved %+v", got)
	}
	if _, err := p.find("shop.done"); err == nil {
		t.Error("a table that is not selected can be reloaded")
	}
	if ids, _ := p.suspended(); len(ids) != 0 || !p.complete() || len(p.shown()) != 1 || len(p.inSchema("shop")) != 1 {
		t.Errorf("suspended %v, complete %v, shown %v, in the schema %v", ids, p.complete(), p.shown(), p.inSchema("shop"))
	}

	// Where nothing is loaded, what was loaded stays so.
	p = newProgress(saved)
	p.leave(func(tableID) bool { return false }, false)
	if got := p.docs(); got[0].State != StateCompleted || !p.complete() {
		t.Errorf("saved %+v, complete: %v", got, p.complete())
	}
}
