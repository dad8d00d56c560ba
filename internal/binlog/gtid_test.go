package binlog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

const (
	uuidA = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	uuidB = "4e11fa47-71ca-11e1-9e33-c80aa9429562"
)

func TestGTIDSetCanonicalForm(t *testing.T) {
	for _, c := range []struct {
		flavor   source.Flavor
		in, want string
	}{
		{source.MySQL, "", ""},
		{source.MySQL, uuidB + ":5, \n" + uuidA + ":3-4:1-2:9", uuidA + ":1-4:9," + uuidB + ":5"},
		{source.MySQL, "3E11FA47-71CA-11E1-9E33-C80AA9429562:1-3:2-8", uuidA + ":1-8"},
		{source.MySQL, uuidA + ":1-3:blue:1-2:Amber:7", uuidA + ":1-3:amber:7:blue:1-2"},
		{source.MySQL, uuidA + ":1," + uuidA + ":2", uuidA + ":1-2"},
		{source.MariaDB, "1-2-3,0-1-9", "0-1-9,1-2-3"},
		{source.MariaDB, "0-1-9,0-2-4", "0-1-9"},
	} {
		s, err := ParseGTIDSet(c.flavor, c.in)
		if err != nil {
			t.Errorf("ParseGTIDSet(%q): %v", c.in, err)
			continue
		}
		if got := s.String(); got != c.want {
			t.Errorf("ParseGTIDSet(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestGTIDSetRefusesNonsense(t *testing.T) {
	for _, c := range []struct {
		flavor source.Flavor
		in     string
	}{
		{source.MySQL, "x"},
		{source.MySQL, uuidA},
		{source.MySQL, uuidA + ":"},
		{source.MySQL, uuidA + ":0"},
		{source.MySQL, uuidA + ":5-3"},
		{source.MySQL, uuidA + ":9223372036854775807"},
		{source.MySQL, uuidA + ":tag"},
		{source.MySQL, uuidA + ":1,,"},
		{source.MariaDB, "0-1"},
		{source.MariaDB, "0-1-x"},
		{source.MariaDB, "5000000000-1-1"},
	} {
		if _, err := ParseGTIDSet(c.flavor, c.in); err == nil {
			t.Errorf("ParseGTIDSet(%s, %q) gave no error", c.flavor, c.in)
		}
	}
}

func TestGTIDSetContains(t *testing.T) {
	s, err := ParseGTIDSet(source.MySQL, uuidA+":1-10:20-30:red:4")
	if err != nil {
		t.Fatal(err)
	}
	for other, want := range map[string]bool{
		"": true, uuidA + ":1": true, uuidA + ":1-10:25": true, uuidA + ":10-11": false, uuidA + ":15": false,
		uuidA + ":red:4": true, uuidA + ":red:3": false, uuidB + ":1": false, uuidA + ":1-30": false,
	} {
		if got, err := s.Contains(other); err != nil || got != want {
			t.Errorf("Contains(%q) = %v, %v, want %v", other, got, err, want)
		}
	}
	m, _ := ParseGTIDSet(source.MariaDB, "0-1-10,2-1-3")
	for other, want := range map[string]bool{"0-9-10": true, "0-1-11": false, "1-1-1": false, "2-1-2,0-1-1": true} {
		if got, err := m.Contains(other); err != nil || got != want {
			t.Errorf("Contains(%q) = %v, %v, want %v", other, got, err, want)
		}
	}
}

// Adding transactions in any order gives the set that another implementation gives, in text and on the wire.
func TestGTIDSetAgainstClientLibrary(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		mine, _ := ParseGTIDSet(source.MySQL, "")
		theirs, _ := mysql.ParseMysqlGTIDSet("")
		for range rnd.IntN(60) {
			gtid := fmt.Sprintf("%s:%d", []string{uuidA, uuidB}[rnd.IntN(2)], 1+rnd.IntN(40))
			if round%2 == 1 && rnd.IntN(3) == 0 {
				gtid = fmt.Sprintf("%s:tag%d:%d", uuidA, rnd.IntN(2), 1+rnd.IntN(40))
			}
			if err := mine.Add(gtid); err != nil {
				t.Fatal(err)
			}
			if err := theirs.Update(gtid); err != nil {
				t.Fatal(err)
			}
		}
		if mine.String() != theirs.String() {
			t.Fatalf("round %d: %s, want %s", round, mine, theirs)
		}
		if !bytes.Equal(mine.my.encode(), theirs.Encode()) {
			t.Fatalf("round %d: %s is encoded as\n%x, want\n%x", round, mine, mine.my.encode(), theirs.Encode())
		}
		if ok, err := mine.Contains(theirs.String()); !ok || err != nil {
			t.Fatalf("round %d: %s does not contain itself: %v", round, mine, err)
		}
	}
}

// What is left of a set without another one is, one by one, what only the first holds.
func TestGTIDSetMinus(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	origins := []string{uuidA, uuidB, uuidA + ":red"}
	for range 300 {
		a, _ := ParseGTIDSet(source.MySQL, "")
		b, _ := ParseGTIDSet(source.MySQL, "")
		want, _ := ParseGTIDSet(source.MySQL, "")
		for _, origin := range origins {
			for n := 1; n <= 20; n++ {
				gtid := fmt.Sprintf("%s:%d", origin, n)
				inA, inB := rnd.IntN(2) == 0, rnd.IntN(3) == 0
				if inA {
					_ = a.Add(gtid)
				}
				if inB {
					_ = b.Add(gtid)
				}
				if inA && !inB {
					_ = want.Add(gtid)
				}
			}
		}
		before := a.String()
		if got := a.Minus(b); got.String() != want.String() || a.String() != before {
			t.Fatalf("%s without %s is %s, want %s", before, b, got, want)
		}
	}
	m, _ := ParseGTIDSet(source.MariaDB, "0-1-10,1-1-5,2-1-7")
	o, _ := ParseGTIDSet(source.MariaDB, "0-2-10,1-1-4")
	if got := m.Minus(o).String(); got != "1-1-5,2-1-7" {
		t.Errorf("got %s", got)
	}
}

func TestGTIDSetAddDoesNotAllocate(t *testing.T) {
	s, _ := ParseGTIDSet(source.MySQL, uuidA+":1-1000")
	gtids := make([]string, 200)
	for i := range gtids {
		gtids[i] = fmt.Sprintf("%s:%d", uuidA, 1001+i)
	}
	i := 0
	if n := testing.AllocsPerRun(100, func() { _ = s.Add(gtids[i]); i++ }); n != 0 {
		t.Errorf("Add allocates %v times", n)
	}
}

func FuzzParseGTIDSet(f *testing.F) {
	f.Add(true, uuidA+":1-3:tag:5,"+uuidB+":7")
	f.Add(false, "0-1-2,3-4-5")
	f.Fuzz(func(t *testing.T, my bool, text string) {
		flavor := source.MariaDB
		if my {
			flavor = source.MySQL
		}
		s, err := ParseGTIDSet(flavor, text)
		if err != nil {
			return
		}
		again, err := ParseGTIDSet(flavor, s.String())
		if err != nil || again.String() != s.String() {
			t.Fatalf("%q becomes %q, then %q (%v)", text, s, again, err)
		}
		if ok, err := s.Contains(text); err != nil || !ok {
			t.Fatalf("%q does not contain itself: %v", text, err)
		}
	})
}

// Whoever wrote the events before it, a GTID is that of its own event.
func TestGTIDsOfSeveralServers(t *testing.T) {
	tag := mysql.NewTag("blue")
	var g gtidReader
	for _, c := range []struct {
		server byte
		tag    mysql.Tag
		number int64
		want   string
	}{
		{0xaa, mysql.Tag{}, 1, "aa000000-0000-0000-0000-000000000000:1"},
		{0xaa, mysql.Tag{}, 23, "aa000000-0000-0000-0000-000000000000:23"},
		{0xbb, mysql.Tag{}, 7, "bb000000-0000-0000-0000-000000000000:7"},
		{0xbb, tag, maxGNO, "bb000000-0000-0000-0000-000000000000:blue:9223372036854775806"},
		{0xaa, tag, 8, "aa000000-0000-0000-0000-000000000000:blue:8"},
		{0xaa, mysql.Tag{}, 3, "aa000000-0000-0000-0000-000000000000:3"},
	} {
		g.event.SID, g.event.Tag, g.event.GNO = append([]byte{c.server}, make([]byte, 15)...), c.tag, c.number
		if got := g.text(); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

// Nor is the time of a commit that of an earlier one: not every server says it.
func TestCommitTimeIsTheEventsOwn(t *testing.T) {
	var g gtidReader
	body := make([]byte, 25, 49)
	timed := append(append(body, replication.LogicalTimestampTypeCode), make([]byte, 16)...)
	timed = append(timed, 1, 2, 3, 0, 0, 0, 0)
	for _, c := range []struct {
		body []byte
		want uint64
	}{{timed, 0x030201}, {body, 0}} {
		if err := g.decode(&event{kind: replication.GTID_EVENT, body: c.body}); err != nil || g.event.ImmediateCommitTimestamp != c.want {
			t.Errorf("got %d, want %d: %v", g.event.ImmediateCommitTimestamp, c.want, err)
		}
	}
}
