package binlog

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// GTIDSet is a set of executed transactions in the notation of its server's flavor. Add is cheap enough to be called for
// every transaction. It is not safe for concurrent use.
type GTIDSet struct {
	flavor source.Flavor
	my     mysqlSet
	maria  mariaSet
}

// ParseGTIDSet reads a set as the server prints it; "" is the empty set.
func ParseGTIDSet(flavor source.Flavor, text string) (*GTIDSet, error) {
	s := &GTIDSet{flavor: flavor, my: mysqlSet{}, maria: mariaSet{}}
	return s, s.AddSet(text)
}

// AddSet puts every transaction of a set in text form into s.
func (s *GTIDSet) AddSet(text string) error {
	text = strings.ReplaceAll(text, "\n", "")
	if strings.TrimSpace(text) == "" {
		return nil
	}
	for part := range strings.SplitSeq(text, ",") {
		var err error
		if s.flavor == source.MariaDB {
			err = s.maria.add(strings.TrimSpace(part))
		} else {
			err = s.my.addPart(strings.TrimSpace(part))
		}
		if err != nil {
			return fmt.Errorf("read GTID set: %w", err)
		}
	}
	return nil
}

// Add puts one transaction into the set, named as Boundary.GTID names it; "" changes nothing.
func (s *GTIDSet) Add(gtid string) error {
	if gtid == "" {
		return nil
	}
	var err error
	if s.flavor == source.MariaDB {
		err = s.maria.add(gtid)
	} else {
		err = s.my.add(gtid)
	}
	if err != nil {
		return fmt.Errorf("add to GTID set: %w", err)
	}
	return nil
}

// Contains reports whether every transaction of other, a set or a single transaction in text form, is in s. On MariaDB
// that is: s has come at least as far in every domain of other.
func (s *GTIDSet) Contains(other string) (bool, error) {
	o, err := ParseGTIDSet(s.flavor, other)
	if err != nil {
		return false, err
	}
	if s.flavor == source.MariaDB {
		return s.maria.contains(o.maria), nil
	}
	return s.my.contains(o.my), nil
}

// Minus is the set of the transactions of s that are not in o. On MariaDB those are the last ones of the domains in which
// s has come further.
func (s *GTIDSet) Minus(o *GTIDSet) *GTIDSet {
	return &GTIDSet{flavor: s.flavor, my: s.my.minus(o.my), maria: s.maria.minus(o.maria)}
}

// Clone is a copy that shares nothing with s.
func (s *GTIDSet) Clone() *GTIDSet {
	c := &GTIDSet{flavor: s.flavor, my: make(mysqlSet, len(s.my)), maria: maps.Clone(s.maria)}
	for origin, runs := range s.my {
		copied := slices.Clone(*runs)
		c.my[origin] = &copied
	}
	return c
}

// Empty reports whether nothing is in the set.
func (s *GTIDSet) Empty() bool { return len(s.my) == 0 && len(s.maria) == 0 }

// String is the set in the server's notation, in canonical order.
func (s *GTIDSet) String() string {
	if s.flavor == source.MariaDB {
		return s.maria.String()
	}
	return s.my.String()
}
