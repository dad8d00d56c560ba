package schema

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// compress stores a value as MariaDB would with column_compression_zlib_wrap, and says that it has so many bytes.
func compress(plain []byte, claimed uint32) []byte {
	out := bytes.NewBuffer(binary.BigEndian.AppendUint32([]byte{methodZlib<<4 | 4}, claimed))
	w := zlib.NewWriter(out)
	_, _ = w.Write(plain)
	_ = w.Close()
	return out.Bytes()
}

func TestCompressedValuesThatLie(t *testing.T) {
	l := imageLayout(t, Options{}, imageType{"tinytext /*M!100301 COMPRESSED*/", 140, 1}, imageType{"longtext /*M!100301 COMPRESSED*/", 140, 4})
	good := compress([]byte("abc"), 3)
	damaged := bytes.Clone(good)
	damaged[len(damaged)-1] ^= 1
	bomb := compress(make([]byte, 8<<20), 255)
	for name, v := range map[string][]byte{
		"more than the column holds": compress([]byte(strings.Repeat("x", 256)), 256), "more than there is": compress([]byte("abc"), 200), "less than there is": compress([]byte("abc"), 2),
		"a bomb": bomb, "another method": {0x13, 0, 0, 3, 'a'}, "no length": {0x80, 1, 2}, "a long length": {0x87, 0, 0, 0, 0, 0, 0, 1}, "cut off in its length": {0x84, 0, 0},
		"cut off": good[:len(good)-6], "nothing behind the length": good[:5], "a wrong checksum": damaged, "no zlib": {0x81, 3, 'a', 'b', 'c'}, "no deflate": {0x89, 3, 0xff, 0xff},
	} {
		got, err := l.AppendJSON([]byte("x"), 0, v)
		if !errors.Is(err, ErrCorrupt) || string(got) != "x" {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	// A claim costs no memory by itself.
	claim := compress([]byte("abc"), maxDecompressed)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := l.AppendJSON(nil, 1, claim); !errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 1<<20 {
		t.Errorf("a claim of %d bytes takes %d", maxDecompressed, allocated)
	}
}

func TestCompressedValuesAtOnce(t *testing.T) {
	l := imageLayout(t, Options{}, imageType{"longtext /*M!100301 COMPRESSED*/", 140, 4})
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			text := strings.Repeat(string(rune('a'+i)), 1000*(i+1))
			v := compress([]byte(text), uint32(len(text)))
			for range 100 {
				got, err := l.AppendJSON(nil, 0, v)
				if err != nil || string(got) != `"`+text+`"` {
					t.Errorf("%d bytes, %v", len(got), err)
					return
				}
			}
		})
	}
	group.Wait()
}
