package binlog

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// mysqlSet holds the executed transaction numbers of every origin. An origin is a server's UUID, or "uuid:tag" for
// transactions that carry a tag; both parts are in lower case.
type mysqlSet map[string]*intervals

// interval is a run of transaction numbers, both ends included.
type interval struct{ first, last uint64 }

// intervals are in order, and no two touch.
type intervals []interval

// maxGNO is the highest transaction number that MySQL gives out.
const maxGNO = 1<<63 - 2

// add puts in "uuid:number" or "uuid:tag:number".
func (s mysqlSet) add(gtid string) error {
	at := strings.LastIndexByte(gtid, ':')
	n, err := strconv.ParseUint(gtid[at+1:], 10, 64)
	if at < 0 || err != nil || n == 0 || n > maxGNO {
		return fmt.Errorf("%q is not a transaction", gtid)
	}
	if runs, ok := s[gtid[:at]]; ok {
		runs.add(interval{n, n})
		return nil
	}
	return s.addPart(gtid)
}

// addPart puts in everything of one UUID: uuid:1-5:7:tag:1-3.
func (s mysqlSet) addPart(part string) error {
	fields := strings.Split(part, ":")
	uuid := strings.ToLower(strings.TrimSpace(fields[0]))
	if _, err := parseUUID(uuid); err != nil {
		return err
	}
	origin, used := uuid, false
	for _, f := range fields[1:] {
		f = strings.ToLower(strings.TrimSpace(f))
		if isTag(f) {
			origin = uuid + ":" + f
			continue
		}
		run, err := parseInterval(f)
		if err != nil {
			return fmt.Errorf("%q: %w", part, err)
		}
		runs := s[origin]
		if runs == nil {
			runs = &intervals{}
			s[origin] = runs
		}
		runs.add(run)
		used = true
	}
	if !used {
		return fmt.Errorf("%q has no transaction numbers", part)
	}
	return nil
}

func parseInterval(text string) (interval, error) {
	a, b, ranged := strings.Cut(text, "-")
	if !ranged {
		b = a
	}
	first, err1 := strconv.ParseUint(a, 10, 64)
	last, err2 := strconv.ParseUint(b, 10, 64)
	if err := cmp.Or(err1, err2); err != nil || first == 0 || last < first || last > maxGNO {
		return interval{}, fmt.Errorf("%q is not a range of transaction numbers", text)
	}
	return interval{first, last}, nil
}

// isTag reports whether a field names a tag: a letter or underscore, then at most 31 letters, digits or underscores.
func isTag(f string) bool {
	if f == "" || len(f) > 32 || f[0] >= '0' && f[0] <= '9' {
		return false
	}
	for _, c := range []byte(f) {
		if c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// parseUUID reads the 8-4-4-4-12 form.
func parseUUID(text string) (u [16]byte, err error) {
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return u, fmt.Errorf("%q is not a server UUID", text)
	}
	if _, err := hex.Decode(u[:], []byte(strings.ReplaceAll(text, "-", ""))); err != nil {
		return u, fmt.Errorf("%q is not a server UUID", text)
	}
	return u, nil
}

// appendUUID writes the 8-4-4-4-12 form of 16 bytes.
func appendUUID(dst, u []byte) []byte {
	for i, b := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, []byte{b})
	}
	return dst
}

// add merges a run in. Transactions nearly always extend the last run.
func (v *intervals) add(n interval) {
	s := *v
	if k := len(s); k > 0 && n.first == s[k-1].last+1 {
		s[k-1].last = n.last
		return
	}
	// from: the first run that ends at or behind n's left neighbour; to: the first that begins beyond its right one.
	from, _ := slices.BinarySearchFunc(s, n.first, func(r interval, first uint64) int { return cmp.Compare(r.last+1, first) })
	to := from
	for ; to < len(s) && s[to].first <= n.last+1; to++ {
		n.first, n.last = min(n.first, s[to].first), max(n.last, s[to].last)
	}
	*v = slices.Replace(s, from, to, n)
}

func (v intervals) contains(n interval) bool {
	i, _ := slices.BinarySearchFunc(v, n.first, func(r interval, first uint64) int { return cmp.Compare(r.last, first) })
	return i < len(v) && v[i].first <= n.first && n.last <= v[i].last
}

func (s mysqlSet) contains(o mysqlSet) bool {
	for origin, runs := range o {
		mine := s[origin]
		if mine == nil || slices.ContainsFunc(*runs, func(n interval) bool { return !mine.contains(n) }) {
			return false
		}
	}
	return true
}

// minus is what of v is not in o.
func (v intervals) minus(o intervals) (rest intervals) {
	for _, n := range v {
		i, _ := slices.BinarySearchFunc(o, n.first, func(r interval, first uint64) int { return cmp.Compare(r.last, first) })
		for ; i < len(o) && o[i].first <= n.last; i++ {
			if o[i].first > n.first {
				rest = append(rest, interval{n.first, o[i].first - 1})
			}
			n.first = o[i].last + 1
		}
		if n.first <= n.last {
			rest = append(rest, n)
		}
	}
	return rest
}

func (s mysqlSet) minus(o mysqlSet) mysqlSet {
	rest := mysqlSet{}
	for origin, runs := range s {
		var theirs intervals
		if t := o[origin]; t != nil {
			theirs = *t
		}
		if left := runs.minus(theirs); len(left) > 0 {
			rest[origin] = &left
		}
	}
	return rest
}

// origins are the keys in the server's order: by UUID, then by tag, the untagged first.
func (s mysqlSet) origins() []string { return slices.Sorted(maps.Keys(s)) }

func (s mysqlSet) String() string {
	var b []byte
	before := ""
	for _, origin := range s.origins() {
		uuid, tag, tagged := strings.Cut(origin, ":")
		if uuid != before {
			if len(b) > 0 {
				b = append(b, ',')
			}
			b = append(b, uuid...)
			before = uuid
		}
		if tagged {
			b = append(append(b, ':'), tag...)
		}
		for _, n := range *s[origin] {
			b = strconv.AppendUint(append(b, ':'), n.first, 10)
			if n.last != n.first {
				b = strconv.AppendUint(append(b, '-'), n.last, 10)
			}
		}
	}
	return string(b)
}

// encode writes the set as the dump command wants it. Sets with tags have a form of their own, which older servers
// do not know.
func (s mysqlSet) encode() []byte {
	origins := s.origins()
	tagged := slices.ContainsFunc(origins, func(o string) bool { return len(o) > 36 })
	head := uint64(len(origins))
	if tagged {
		head = head<<8 | 1 | 1<<56 // the count stands between two format marks
	}
	b := binary.LittleEndian.AppendUint64(nil, head)
	for _, origin := range origins {
		name, tag, _ := strings.Cut(origin, ":")
		uuid, _ := parseUUID(name)
		b = append(b, uuid[:]...)
		if tagged {
			b = append(append(b, byte(len(tag)<<1)), tag...)
		}
		b = binary.LittleEndian.AppendUint64(b, uint64(len(*s[origin])))
		for _, n := range *s[origin] {
			b = binary.LittleEndian.AppendUint64(b, n.first)
			b = binary.LittleEndian.AppendUint64(b, n.last+1)
		}
	}
	return b
}
