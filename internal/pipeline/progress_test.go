package pipeline

import (
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
	g.seal(uint64(rows))
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
