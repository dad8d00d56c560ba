package localstream

import (
	"crypto/md5"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestHashKey(t *testing.T) {
	limit := new(big.Int).Lsh(big.NewInt(1), 128)
	rapid.Check(t, func(t *rapid.T) {
		h := hashKey{rapid.Uint64().Draw(t, "hi"), rapid.Uint64().Draw(t, "lo")}
		back, err := parseHashKey(h.String())
		if err != nil || back != h {
			t.Fatalf("%s reads back as %s, %v", h, back, err)
		}
		if h != maxHash && (h.next().prev() != h || !h.less(h.next()) || h.next().big().Cmp(new(big.Int).Add(h.big(), big.NewInt(1))) != 0) {
			t.Fatalf("next of %s is %s", h, h.next())
		}
		above := new(big.Int).Add(limit, h.big())
		if _, err := parseHashKey(above.String()); err == nil {
			t.Fatalf("%s is taken", above)
		}
	})
	for _, s := range []string{"", "-1", "+1", "01", "1 ", "0x1", "1e3", "340282366920938463463374607431768211456", "999999999999999999999999999999999999999"} {
		if h, err := parseHashKey(s); err == nil {
			t.Errorf("%q is taken as %s", s, h)
		}
	}
	sum := md5.Sum([]byte("key"))
	if got := hashOf("key").big(); got.Cmp(new(big.Int).SetBytes(sum[:])) != 0 {
		t.Errorf("hashOf = %s", got)
	}
}

func TestSequence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) sequence {
			return sequence{rapid.Int64Range(0, 9_999_999_999_999).Draw(t, name), int(rapid.Int32Range(0, 1<<31-1).Draw(t, name)),
				uint64(rapid.Int64Range(0, 1<<62).Draw(t, name))}
		}
		a, b := draw("a"), draw("b")
		if back, ok := parseSequence(a.String()); !ok || back != a {
			t.Fatalf("%+v reads back as %+v", a, back)
		}
		if len(a.String()) != 56 {
			t.Fatalf("%s has %d digits", a, len(a.String()))
		}
		b.stream = a.stream
		if a.shard < b.shard && a.String() >= b.String() {
			t.Fatalf("%s of a parent is not below %s of a child", a, b)
		}
		b.shard = a.shard
		if (a.counter < b.counter) != (a.String() < b.String()) {
			t.Fatalf("order of %s and %s", a, b)
		}
	})
	for _, s := range []string{"", "0", "49", sequence{1, 1, 1}.String() + "0", "4x" + sequence{}.String()[2:], "59" + sequence{}.String()[2:]} {
		if _, ok := parseSequence(s); ok {
			t.Errorf("%q is taken", s)
		}
	}
}

// Whatever is done to the shards, the open ones cover the hash space, parents come before children and a child's range
// lies within its parents'.
func TestReshardKeepsTheSpaceCovered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := streamMeta{Name: "s"}
		starts := evenStarts(rapid.IntRange(1, 5).Draw(t, "shards"))
		for i, first := range starts {
			last := maxHash
			if i+1 < len(starts) {
				last = starts[i+1].prev()
			}
			m.addShard(first, last, 1)
		}
		now := int64(1)
		t.Repeat(map[string]func(*rapid.T){
			"split": func(t *rapid.T) {
				at := hashKey{rapid.Uint64().Draw(t, "hi"), rapid.Uint64().Draw(t, "lo")}
				now++
				if err := m.split(rapid.IntRange(0, m.NextShard).Draw(t, "shard"), at, now); err != nil {
					t.Skip(err)
				}
			},
			"merge": func(t *rapid.T) {
				now++
				if err := m.merge(rapid.IntRange(0, m.NextShard).Draw(t, "one"), rapid.IntRange(0, m.NextShard).Draw(t, "other"), now); err != nil {
					t.Skip(err)
				}
			},
			"scale": func(t *rapid.T) {
				now++
				n := rapid.IntRange(1, 9).Draw(t, "target")
				if err := m.scale(n, now); err != nil {
					t.Fatal(err)
				}
				open := slices.DeleteFunc(slices.Clone(m.Shards), func(s shardMeta) bool { return !s.open() })
				if len(open) != n {
					t.Fatalf("%d shards are open, want %d", len(open), n)
				}
			},
			"": func(t *rapid.T) {
				st, err := newStream(m, nil)
				if err != nil {
					t.Fatal(err)
				}
				h := hashKey{rapid.Uint64().Draw(t, "hi"), rapid.Uint64().Draw(t, "lo")}
				if sh := st.shardFor(h); h.less(sh.meta.First) || sh.meta.Last.less(h) {
					t.Fatalf("%s goes to the shard from %s to %s", h, sh.meta.First, sh.meta.Last)
				}
				for _, s := range m.Shards {
					var covered []shardMeta
					for _, p := range []*int{s.Parent, s.Adjacent} {
						if p == nil {
							continue
						}
						if *p >= s.Number || m.find(*p).open() {
							t.Fatalf("shard %d has the parent %d", s.Number, *p)
						}
						covered = append(covered, *m.find(*p))
					}
					if len(covered) == 0 {
						continue
					}
					low, high := covered[0], covered[len(covered)-1]
					if high.First.less(low.First) {
						low, high = high, low
					}
					if s.First.less(low.First) || high.Last.less(s.Last) {
						t.Fatalf("shard %d is outside of its parents", s.Number)
					}
				}
			},
		})
	})
}

func TestTokens(t *testing.T) {
	it := iterator{Issued: 5, Stream: "s", Created: 7, Shard: 3}
	text := encodeToken(it)
	var back iterator
	if err := decodeToken(text, &back); err != nil || back != it {
		t.Errorf("reads back as %+v, %v", back, err)
	}
	for i := range text {
		damaged := []byte(text)
		damaged[i] ^= 1
		if err := decodeToken(string(damaged), &back); err == nil && string(damaged) != text {
			// The last character of an unpadded Base64 text has bits that mean nothing.
			if i < len(text)-1 {
				t.Errorf("damage at %d is taken", i)
			}
		}
	}
}
