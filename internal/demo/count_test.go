package demo

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/verify"
)

func TestResultNamesWhatDiffers(t *testing.T) {
	var out strings.Builder
	d := &demo{Config: Config{Out: &out}, view: newView(&out, false)}
	d.result(&verify.TableReport{Table: "seat", Rows: 2000, Missing: 20, Extra: 3, Different: 1, Differences: []verify.Difference{
		{Kind: verify.Missing, Key: "1", Source: json.RawMessage(`{"id":1}`)},
		{Kind: verify.Extra, Key: "2", Delivered: json.RawMessage(`{"id":2}`)},
		{Kind: verify.Different, Key: "3", Delivered: json.RawMessage(`{"id":3,"v":"a"}`), Source: json.RawMessage(`{"id":3,"v":"b"}`)},
	}})
	d.result(&verify.TableReport{Table: "person", Rows: 1, NotCompared: "it is suspended"})
	d.result(&verify.TableReport{Table: "team", Rows: 7})
	want := `  seat                          2,000        1,983  24 rows differ
      1: in the table, not in the objects
        table    {"id":1}
      2: in the objects, not in the table
        objects  {"id":2}
      3: the objects hold other values
        objects  {"id":3,"v":"a"}
        table    {"id":3,"v":"b"}
      … and 21 more
  person                            1            1  not compared: it is suspended
  team                              7            7  equal
`
	if out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", &out, want)
	}
}

// TestVerdict: objects and source agree only if everything was compared, and all of it lies in objects.
func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		name   string
		report verify.Report
		want   string // in the error; "": there is none
		differ bool
	}{
		{"equal", verify.Report{Tables: []verify.TableReport{{Rows: 1}}}, "", false},
		{"missing", verify.Report{Tables: []verify.TableReport{{Missing: 1}, {Extra: 2}}}, "3 rows;", true},
		{"damaged", verify.Report{FaultCount: 2}, ": 2 faults of objects;", true},
		{"both", verify.Report{FaultCount: 1, Tables: []verify.TableReport{{Different: 1}}}, "1 row and 1 fault of objects", true},
		{"not compared", verify.Report{Tables: []verify.TableReport{{Table: "seat", NotCompared: "it is suspended"}}}, "seat: it is suspended", false},
		{"in the stream", verify.Report{Tail: 5}, "5 records", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			d := &demo{Config: Config{Out: &out}, view: newView(&out, false)}
			err := d.verdict(&c.report)
			if c.want == "" {
				if err != nil || !strings.Contains(out.String(), "agree") {
					t.Errorf("%v, printed %q", err, &out)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrDiffer) != c.differ || d.Keep != c.differ || out.String() != "" {
				t.Errorf("%v, keep %v, printed %q", err, d.Keep, &out)
			}
		})
	}
}
