package verify

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"crypto/sha256"

	"github.com/cespare/xxhash/v2"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
)

// held is what the replay holds of a row: an entry's value.
type held struct {
	order uint64 // of its application, over all shards
	shard uint32 // the one whose record it is
	live  bool
	count int64 // of a table without a key: how many rows there are of this content
	data  []byte
}

const heldSize = 8 + 4 + 1 + 8

func (h *held) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, h.order)
	dst = binary.BigEndian.AppendUint32(dst, h.shard)
	live := byte(0)
	if h.live {
		live = 1
	}
	dst = append(dst, live)
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.count))
	return append(dst, h.data...)
}

var errEntry = errors.New("the work folder is damaged: remove it and begin anew")

func parseHeld(value []byte) (held, error) {
	if len(value) < heldSize {
		return held{}, errEntry
	}
	return held{
		order: binary.BigEndian.Uint64(value), shard: binary.BigEndian.Uint32(value[8:]), live: value[12] == 1,
		count: int64(binary.BigEndian.Uint64(value[13:])), data: value[heldSize:],
	}, nil
}

// errNoKey is returned for a record that lacks a column of its table's key.
var errNoKey = errors.New("the record lacks a column of the key that the table has now")

// rowKey appends what record.Plan.AppendRowKey gives of a source's row: the key columns' values, joined by commas.
func rowKey(dst []byte, data []byte, columns []string) ([]byte, error) {
	var values [8][]byte
	found := values[:0]
	for range columns {
		found = append(found, nil)
	}
	err := record.EachMember(data, func(key, value []byte) error {
		for i, name := range columns {
			if record.KeyIs(key, name) {
				found[i] = value
			}
		}
		return nil
	})
	if err != nil {
		return dst, err
	}
	for i, v := range found {
		if v == nil {
			return dst, fmt.Errorf("%w: %s", errNoKey, columns[i])
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, v...)
	}
	return dst, nil
}

// sampled says whether a row is looked at. It depends on table and key alone, so it is the same on both sides.
func (t *table) sampled(key []byte) bool {
	return t.threshold == 0 || xxhash.Sum64(key)^t.seed <= t.threshold
}

// member is one value of a row.
type member struct{ key, value []byte }

// members are the values of a row that are not NULL, by name.
func members(data []byte) ([]member, error) {
	var list []member
	err := record.EachMember(data, func(key, value []byte) error {
		if string(value) != "null" {
			list = append(list, member{key, value})
		}
		return nil
	})
	slices.SortFunc(list, func(a, b member) int { return bytes.Compare(a.key, b.key) })
	return list, err
}

// sameRow compares two rows as readers of records do: by name, and NULL is the same as no member.
func sameRow(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, err1 := members(a)
	y, err2 := members(b)
	return err1 == nil && err2 == nil && slices.EqualFunc(x, y, func(p, q member) bool {
		return bytes.Equal(p.key, q.key) && sameValue(p.value, q.value)
	})
}

// sameValue compares two JSON values, whose layout and escapes may differ: the format of records can be changed.
func sameValue(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if len(a) == 0 || len(b) == 0 || a[0] != b[0] || a[0] != '"' && a[0] != '{' && a[0] != '[' {
		return false
	}
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && fmt.Sprint(x) == fmt.Sprint(y)
}

// content is a key for a row of a table without one: equal for equal rows.
func content(data []byte) ([]byte, error) {
	list, err := members(data)
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	for _, m := range list {
		var head [8]byte
		binary.BigEndian.PutUint32(head[:], uint32(len(m.key)))
		binary.BigEndian.PutUint32(head[4:], uint32(len(m.value)))
		sum.Write(head[:])
		sum.Write(m.key)
		sum.Write(m.value)
	}
	return sum.Sum(nil)[:16], nil
}
