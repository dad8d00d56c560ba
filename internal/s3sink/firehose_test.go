package s3sink

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// TestFormatsAsFirehoseHasThem holds what Firehose gives an object of each format: extension, Content-Encoding, the one
// Content-Type, and how the body begins. ZSTD is ours.
func TestFormatsAsFirehoseHasThem(t *testing.T) {
	for _, want := range []struct {
		format              Compression
		extension, encoding string
		begins              string
	}{
		{Uncompressed, "", "", `{"a":1}`},
		{GZIP, ".gz", "gzip", "\x1f\x8b\x08"},
		{ZIP, ".zip", "zip", "PK\x03\x04"},
		{Snappy, ".snappy", "snappy-java", "\x82SNAPPY\x00"},
		{HadoopSnappy, ".snappy", "hadoop-snappy", "\x00\x00\x00\x0e"}, // the block's plain bytes, big-endian
		{ZSTD, ".zst", "zstd", "\x28\xb5\x2f\xfd"},
	} {
		t.Run(string(want.format), func(t *testing.T) {
			r := NewRun(mustLayout(LayoutConfig{Name: "n", Compression: want.format}), 1, nil)
			r.Add("1", testArrival, []byte(`{"a":1}`), []byte(`{"b":2}`))
			o, err := r.Object(t.Context(), testChain, &r.Groups(testChain)[0], new(bytes.Buffer))
			if err != nil {
				t.Fatal(err)
			}
			in := NewS3(S3Config{Bucket: "b"}).putInput(o)
			if got := aws.ToString(in.ContentEncoding); got != want.encoding {
				t.Errorf("Content-Encoding %q, want %q", got, want.encoding)
			}
			if got := aws.ToString(in.ContentType); got != "application/octet-stream" {
				t.Errorf("Content-Type %q", got)
			}
			name := o.Key[strings.LastIndexByte(o.Key, '-')+13:] // behind the uuid's last part
			if name != want.extension {
				t.Errorf("extension %q, want %q", name, want.extension)
			}
			if !strings.HasPrefix(string(o.Body), want.begins) {
				t.Errorf("the body begins with %q, want %q", o.Body[:8], want.begins)
			}
			if want.format == ZIP {
				z, err := zip.NewReader(bytes.NewReader(o.Body), int64(len(o.Body)))
				if err != nil || len(z.File) != 1 || z.File[0].Method != zip.Deflate || !strings.Contains(o.Key, "-"+z.File[0].Name+".zip") {
					t.Errorf("the archive is not one deflated entry named by the key's uuid: %+v, %v", z, err)
				}
			}
			if NewS3(S3Config{Bucket: "b", NoEncoding: true}).putInput(o).ContentEncoding != nil {
				t.Error("Content-Encoding is sent although it is not wanted")
			}
		})
	}
}

// TestErrorOutputPrefix holds where error output goes: an expression is evaluated, and a prefix without any gets the
// type and the date joined to its end.
func TestErrorOutputPrefix(t *testing.T) {
	for prefix, want := range map[string]string{
		"errors/!{firehose:error-output-type}/":                "errors/processing-failed/",
		"e/!{timestamp:yyyy/MM}/!{firehose:error-output-type}": "e/2026/02/processing-failed",
		"errors/": "errors/processing-failed2026/02/01/04/",
		"errors":  "errorsprocessing-failed2026/02/01/04/",
		"!{firehose:error-output-type}/!{firehose:random-string}/": "processing-failed/",
	} {
		c := partitioned("!{partitionKeyFromQuery:table}/", "")
		c.ErrorOutputPrefix, c.TimeZone = prefix, "Asia/Kolkata"
		got, message := prefixOf(t, c, []byte("no record"))
		if strings.Contains(prefix, "random") {
			got = got[:min(len(got), len(want))]
		}
		got, _, _ = strings.Cut(got, "n-1-")
		if got != want || message == "" {
			t.Errorf("%q evaluates to %q, want %q; %s", prefix, got, want, message)
		}
	}
}

// A body that is put back gets the delimiter that the record would have had.
func TestDelimiterBehindABody(t *testing.T) {
	for body, want := range map[string]string{"{}": "{}\n", "{}\n": "{}\n"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "x.json"), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		r := NewRun(mustLayout(LayoutConfig{Name: "n", AppendDelimiter: true}), 1, &FileBodies{Dir: dir})
		r.Add("1", testArrival, fmt.Appendf(nil, `{"data":{},"metadata":{"record-type":"data","oversized-record":{"location":"file://%s/x.json","bytes":%d,"sha256":"%x"}}}`,
			dir, len(body), sha256.Sum256([]byte(body))))
		o, err := r.Object(t.Context(), testChain, &r.Groups(testChain)[0], new(bytes.Buffer))
		if err != nil {
			t.Fatal(err)
		}
		if string(o.Body) != want || o.Meta.Bytes != int64(len(want)) {
			t.Errorf("%q is stored as %q, its metadata says %d bytes", body, o.Body, o.Meta.Bytes)
		}
	}
}
