package source

import (
	"slices"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

func TestLoadKey(t *testing.T) {
	each(t, func(t *testing.T, s *testservers.MySQLServer, _ Flavor) {
		db := s.Database(t)
		s.MustExec(t, "USE "+db,
			"CREATE TABLE down (v INT, a INT, b INT, PRIMARY KEY (b DESC, a))",
			"CREATE TABLE part (a TEXT, b INT, PRIMARY KEY (a(10), b))",
			"CREATE TABLE uniq (a INT NOT NULL, b INT, UNIQUE KEY z (b), UNIQUE KEY y (a))",
			"CREATE TABLE hash (a INT PRIMARY KEY) ENGINE=MEMORY",
			"CREATE TABLE none (a INT)")
		conn := open(t, s)
		for table, want := range map[string]Key{
			"down": {Name: "PRIMARY", Parts: []KeyPart{{Column: 2, Desc: true}, {Column: 1}}},
			"part": {Name: "PRIMARY", Parts: []KeyPart{{Column: 0, Prefix: 10}, {Column: 1}}},
			"uniq": {Name: "y", Parts: []KeyPart{{Column: 0}}},
			"hash": {Parts: []KeyPart{{Column: 0}}},
			"none": {},
		} {
			def, err := LoadTable(t.Context(), conn, db, table)
			if err != nil {
				t.Fatal(err)
			}
			got, err := LoadKey(t.Context(), conn, def)
			if err != nil {
				t.Fatal(err)
			}
			if got.Name != want.Name || !slices.Equal(got.Parts, want.Parts) || !slices.Equal(got.columns(), def.Key) {
				t.Errorf("%s: %+v with key %v, want %+v", table, got, def.Key, want)
			}
		}
	})
}
