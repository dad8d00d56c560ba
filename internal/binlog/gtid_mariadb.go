package binlog

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// mariaSet holds the last transaction of every replication domain.
type mariaSet map[uint32]mariaGTID

type mariaGTID struct {
	server uint32
	seq    uint64
}

// add moves a domain on to "domain-server-sequence"; an older transaction changes nothing.
func (s mariaSet) add(gtid string) error {
	d, rest, _ := strings.Cut(gtid, "-")
	sv, sq, ok := strings.Cut(rest, "-")
	domain, err1 := strconv.ParseUint(d, 10, 32)
	server, err2 := strconv.ParseUint(sv, 10, 32)
	seq, err3 := strconv.ParseUint(sq, 10, 64)
	if !ok || err1 != nil || err2 != nil || err3 != nil {
		return fmt.Errorf("%q is not a transaction: domain-server-sequence is", gtid)
	}
	if have, known := s[uint32(domain)]; !known || have.seq < seq {
		s[uint32(domain)] = mariaGTID{server: uint32(server), seq: seq}
	}
	return nil
}

func (s mariaSet) contains(o mariaSet) bool {
	for domain, g := range o {
		if have, ok := s[domain]; !ok || have.seq < g.seq {
			return false
		}
	}
	return true
}

func (s mariaSet) minus(o mariaSet) mariaSet {
	rest := mariaSet{}
	for domain, g := range s {
		if have, ok := o[domain]; !ok || have.seq < g.seq {
			rest[domain] = g
		}
	}
	return rest
}

func (s mariaSet) String() string {
	var b []byte
	for _, domain := range slices.Sorted(maps.Keys(s)) {
		if len(b) > 0 {
			b = append(b, ',')
		}
		g := s[domain]
		b = appendMariaGTID(b, domain, g.server, g.seq)
	}
	return string(b)
}

func appendMariaGTID(b []byte, domain, server uint32, seq uint64) []byte {
	b = append(strconv.AppendUint(b, uint64(domain), 10), '-')
	b = append(strconv.AppendUint(b, uint64(server), 10), '-')
	return strconv.AppendUint(b, seq, 10)
}
