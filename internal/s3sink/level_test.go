package s3sink

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

// kinds are record data of several kinds; what they have in common is the metadata, which is most of a small record.
var kinds = []struct {
	name string
	data func(r *rand.Rand, i int) string
}{
	{"small", func(_ *rand.Rand, i int) string {
		return fmt.Sprintf(`"data":{"sporting_event_ticket_id":%d,"purchased_by_id":%d,"transaction_date_time":"2026-01-%02dT%02d:%02d:%02dZ","purchase_price":%d.%02d}`,
			i, i*7919%1000003, 1+i/86400%28, i/3600%24, i/60%60, i%60, i%500, i%100)
	}},
	{"before-image", func(r *rand.Rand, i int) string {
		row := fmt.Sprintf(`{"id":%d,"status":"paid","total":%d.%02d,"address":%q,"uuid":"%016x%016x"}`, i, r.IntN(999), r.IntN(100), prose(r, 5), r.Uint64(), r.Uint64())
		return `"data":` + row + `,"before-image":` + strings.Replace(row, "paid", "new", 1)
	}},
	{"wide", func(r *rand.Rand, i int) string {
		var b strings.Builder
		fmt.Fprintf(&b, `"data":{"id":%d`, i)
		for c := range 200 {
			fmt.Fprintf(&b, `,"col_%03d":%d`, c, r.IntN(1<<(1+c%30)))
		}
		return b.String() + "}"
	}},
	{"json", func(r *rand.Rand, i int) string {
		return fmt.Sprintf(`"data":{"id":%d,"doc":"{\"user\":%d,\"tags\":[\"%s\",\"%s\"],\"lat\":%.6f,\"lon\":%.6f,\"note\":\"%s\"}"}`,
			i, r.IntN(1_000_000), prose(r, 1), prose(r, 1), r.Float64()*90, r.Float64()*180, prose(r, 12))
	}},
	{"text", func(r *rand.Rand, i int) string {
		return fmt.Sprintf(`"data":{"id":%d,"title":%q,"body":%q}`, i, prose(r, 6), prose(r, 40+r.IntN(120)))
	}},
	{"random", func(r *rand.Rand, i int) string {
		return fmt.Sprintf(`"data":{"id":%d,"hash":"%016x%016x%016x%016x"}`, i, r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64())
	}},
}

// prose is made of some 4,000 words, the first ones the most frequent.
func prose(r *rand.Rand, words int) string {
	var b strings.Builder
	for i := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		n := r.IntN(1 + r.IntN(4000))
		for n++; n > 0; n /= 14 {
			b.WriteString([]string{"ra", "ti", "on", "es", "mar", "lo", "ken", "is", "to", "qu", "ver", "al", "in", "dos"}[n%14])
		}
	}
	return b.String()
}

// cpuTime is what this process has used: on a busy machine, the clock says little.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkGzipLevels is what gzipLevel was chosen by: docs/why/gzip-level.md.
func BenchmarkGzipLevels(b *testing.B) {
	for _, kind := range kinds {
		r := rand.New(rand.NewPCG(1, 1))
		var plain []byte
		for i := 0; len(plain) < 5<<20; i++ {
			tx := 4294968247 + i/20*400
			plain = fmt.Appendf(plain, `{%s,"metadata":{"timestamp":"2026-01-02T03:04:%02d.%06dZ","record-type":"data","operation":"insert","partition-key-type":"primary-key",`+
				`"schema-name":"shop","table-name":"purchases","transaction-id":%d,"transaction-record-id":%d,"prev-transaction-id":%d,"prev-transaction-record-id":20,`+
				`"commit-timestamp":"2026-01-02T03:04:%02d.%06dZ","stream-position":"binlog.000001:%d:%d:%d:%d:binlog.000001:%d",`+
				`"gtid":"3e11fa47-71ca-11e1-9e33-c80aa9429562:%d","writer-term":1,"source-epoch":1}}`+"\n",
				kind.data(r, i), i/9000%60, i/50*137%1000000, tx, i%20+1, tx-400, i/9000%60, i/20*991%1000000, 1119+i*97, i%20, 9316+i*97, tx, 1040+i*97, i/20)
		}
		for level := 1; level <= 6; level++ {
			b.Run(fmt.Sprintf("%s/%d", kind.name, level), func(b *testing.B) {
				w, err := gzip.NewWriterLevel(io.Discard, level)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(plain)))
				out := &tally{to: io.Discard}
				begin := cpuTime(b)
				for b.Loop() {
					out.bytes = 0
					w.Reset(out)
					if _, err := w.Write(plain); err != nil {
						b.Fatal(err)
					}
					if err := w.Close(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(len(plain))/float64(out.bytes), "ratio")
				b.ReportMetric(float64(len(plain)*b.N)/1e6/(cpuTime(b)-begin).Seconds(), "MB/CPU-s")
			})
		}
	}
}
