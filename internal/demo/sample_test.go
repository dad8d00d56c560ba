package demo

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

// put makes an object of an age.
func put(t *testing.T, dir, name string, age time.Duration, records ...string) int64 {
	t.Helper()
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	for _, r := range records {
		fmt.Fprintln(z, r)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	file, at := filepath.Join(dir, name), time.Now().Add(-age)
	if err := os.WriteFile(file, body.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, at, at); err != nil {
		t.Fatal(err)
	}
	return int64(body.Len())
}

func change(operation string, id int) string {
	return fmt.Sprintf(`{"data":{"id":%d},"metadata":{"record-type":"data","operation":%q,"schema-name":"s","table-name":"seat"}}`, id, operation)
}

func TestTheNewestSaleIsShown(t *testing.T) {
	dir := t.TempDir()
	if size, sample, err := lookAt(t.Context(), filepath.Join(dir, "nowhere")); size != 0 || sample != nil || err != nil {
		t.Errorf("of no objects: %d bytes, %s, %v", size, sample, err)
	}
	check := func(wantSize int64, want string) {
		t.Helper()
		if size, sample, err := lookAt(t.Context(), dir); size != wantSize || string(sample) != want || err != nil {
			t.Errorf("%d bytes, %s, %v; want %d, %s", size, sample, err, wantSize, want)
		}
	}
	size := put(t, dir, "c", 4*time.Hour, change("load", 1), change("load", 2))
	check(size, change("load", 2))
	size += put(t, dir, "b", 3*time.Hour, change("insert", 3), change("insert", 4), change("update", 5))
	check(size, change("insert", 4))
	size += put(t, dir, "a", 2*time.Hour, change("delete", 6), `{"metadata":{"record-type":"control","operation":"drop-table","schema-name":"s","table-name":"seat"}}`)
	check(size, change("insert", 4))
	size += put(t, dir, "d", time.Hour, "what is this?")
	check(size, change("insert", 4))
	size += put(t, dir, "bb", time.Minute, change("insert", 7))
	check(size, change("insert", 7))
}
