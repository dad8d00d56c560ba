package record

import (
	"slices"
	"testing"
)

func TestStreamPosition(t *testing.T) {
	const sample = "mysql-bin-changelog.002171:36912271:0:36912333:9324410911751:mysql-bin-changelog.002171:36912209"
	p, tx, err := ParseStreamPosition(sample)
	want := Place{File: "mysql-bin-changelog.002171", TableMapStart: 36912209, EventStart: 36912271, EventEnd: 36912333}
	if err != nil || p != want || tx != 9324410911751 {
		t.Errorf("parsed %+v, %d, %v", p, tx, err)
	}
	for _, file := range []string{"a.1", "c:\\logs\\bin.000009", "::.4", "\"quoted\".5"} {
		in := Place{file, 1, 2, 1<<64 - 1, 1<<32 - 1}
		text := string(AppendStreamPosition(nil, in, 7))
		if out, tx, err := ParseStreamPosition(text); err != nil || out != in || tx != 7 {
			t.Errorf("%s came back as %+v, %d, %v", text, out, tx, err)
		}
	}
	for _, bad := range []string{"", "x", ":::::::", "a:1:2:3:4:b:5", "a:1:-1:3:4:a:5", "a:1:2:3:4:a:", "a:1:4294967296:3:4:a:5", "a:1:2:3:4:a:5:6",
		"00000001/2A", ":1:2:3:4::5", "a:1:2:3:18446744073709551616:a:5"} {
		if p, _, err := ParseStreamPosition(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, p)
		}
	}
}

func TestPositionOrder(t *testing.T) {
	ascending := []Position{{1, 900, 5, 1}, {2, 4, 0, 0}, {2, 4, 0, 1}, {2, 4, 1, 0}, {2, 5, 0, 0}, {10, 1, 0, 0}}
	if !slices.IsSortedFunc(ascending, Position.Compare) {
		t.Error("not ascending")
	}
	for i, p := range ascending {
		for j, q := range ascending {
			if got, want := p.Compare(q), min(1, max(-1, i-j)); got != want {
				t.Errorf("%v.Compare(%v) = %d, want %d", p, q, got, want)
			}
		}
	}
	place := Place{File: "bin.000012", EventStart: 5, Row: 3}
	for op, half := range map[Operation]uint8{Insert: 1, Update: 0, Delete: 0} {
		if p, err := place.Position(op); err != nil || p != (Position{12, 5, 3, half}) {
			t.Errorf("%v: %+v, %v", op, p, err)
		}
	}
	for _, file := range []string{"", "bin", "bin.", "bin.x", "bin.00000000000000000000000000000000001x"} {
		if _, err := (Place{File: file}).Position(Insert); err == nil {
			t.Errorf("file %q has a number", file)
		}
	}
}

func FuzzParseStreamPosition(f *testing.F) {
	f.Add("mysql-bin-changelog.002171:36912271:0:36912333:9324410911751:mysql-bin-changelog.002171:36912209")
	f.Fuzz(func(t *testing.T, s string) {
		p, tx, err := ParseStreamPosition(s)
		if err != nil {
			return
		}
		text := AppendStreamPosition(nil, p, tx)
		again, txAgain, err := ParseStreamPosition(string(text))
		if err != nil || again != p || txAgain != tx {
			t.Errorf("%q → %q → %+v, %d, %v", s, text, again, txAgain, err)
		}
	})
}
