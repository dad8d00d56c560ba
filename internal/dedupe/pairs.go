package dedupe

import (
	"cmp"
	"slices"
)

// pair tells a change from all others whatever server its coordinates are of: the transaction's GTID and the change's
// number in the transaction. The GTID is split into an interned name and the number at its end. The zero value is no
// change: name 0 is never given.
type pair struct {
	gtid uint64 // name << nameShift | number
	id   uint64
}

const (
	numberBits = 48
	maxNames   = 1 << (64 - numberBits)
)

func (p pair) compare(q pair) int {
	return cmp.Or(cmp.Compare(p.gtid, q.gtid), cmp.Compare(p.id, q.id))
}

func hasPair(sorted []pair, p pair) bool {
	_, ok := slices.BinarySearchFunc(sorted, p, pair.compare)
	return ok
}

func sortedPairs(lists ...[]pair) []pair {
	all := slices.Concat(lists...)
	slices.SortFunc(all, pair.compare)
	return slices.Compact(all)
}

// names interns the part of GTIDs that hardly changes: a server's UUID, or MariaDB's domain and server.
type names struct {
	index map[string]uint64
	list  []string
	last  uint64 // the one that was asked for last
}

func newNames() *names { return &names{index: map[string]uint64{"": 0}, list: []string{""}} }

// pair splits a GTID; without one there is no pair. A number that is too large for its field, or that has leading
// zeros, becomes part of the name, so two GTIDs never give one pair.
func (n *names) pair(gtid []byte, id uint64) pair {
	if len(gtid) == 0 {
		return pair{}
	}
	cut, number, unit := len(gtid), uint64(0), uint64(1)
	for cut > 1 && gtid[cut-1] >= '0' && gtid[cut-1] <= '9' && len(gtid)-cut < 14 {
		cut--
		number += uint64(gtid[cut]-'0') * unit
		unit *= 10
	}
	if cut == len(gtid) || gtid[cut] == '0' {
		cut, number = len(gtid), 0
	}
	name, ok := n.intern(gtid[:cut])
	if !ok {
		return pair{}
	}
	return pair{gtid: name<<numberBits | number, id: id}
}

// intern gives a name its number. There are as many names as servers, so running out of numbers means that the GTIDs
// are made up; such changes then have no pair.
func (n *names) intern(name []byte) (uint64, bool) {
	if string(name) == n.list[n.last] {
		return n.last, true
	}
	if i, ok := n.index[string(name)]; ok {
		n.last = i
		return i, true
	}
	if len(n.list) == maxNames {
		return 0, false
	}
	i := uint64(len(n.list))
	n.list = append(n.list, string(name))
	n.index[n.list[i]] = i
	return i, true
}

// adopt takes another's names over and gives the function that translates its pairs.
func (n *names) adopt(other *names) func([]pair) []pair {
	to := make([]uint64, len(other.list))
	for i, name := range other.list {
		to[i], _ = n.intern([]byte(name))
	}
	return func(list []pair) []pair {
		moved := make([]pair, len(list))
		for i, p := range list {
			if name := to[p.gtid>>numberBits]; name != 0 {
				moved[i] = pair{gtid: name<<numberBits | p.gtid&(1<<numberBits-1), id: p.id}
			}
		}
		return moved
	}
}
