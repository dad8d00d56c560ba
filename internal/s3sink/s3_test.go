package s3sink_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

// bucket is an S3 destination in front of a handler that plays the store.
func bucket(t *testing.T, compatible bool, handler http.HandlerFunc) *s3sink.S3 {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	endpoint := ""
	if compatible {
		endpoint = server.URL
	}
	client := s3.New(s3.Options{
		Region:           "us-east-1",
		Credentials:      aws.AnonymousCredentials{},
		HTTPClient:       &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		RetryMaxAttempts: 1,
	}, s3sink.ClientOptions(endpoint, true), func(o *s3.Options) { o.BaseEndpoint = aws.String(server.URL) })
	return s3sink.NewS3(s3sink.S3Config{API: client, Bucket: "b", Prefix: "pre/", Compatible: compatible})
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>no</Message></Error>", code)
}

func TestS3PutRequest(t *testing.T) {
	for _, compatible := range []bool{false, true} {
		var got *http.Request
		d := bucket(t, compatible, func(w http.ResponseWriter, r *http.Request) {
			got = r.Clone(context.WithoutCancel(r.Context()))
			w.Header().Set("ETag", `"x"`)
		})
		o := object("k")
		o.ContentEncoding = "gzip"
		if err := d.Put(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if got.Method != http.MethodPut || got.URL.Path != "/b/pre/k" {
			t.Errorf("%s %s", got.Method, got.URL.Path)
		}
		for key, want := range map[string]string{"If-None-Match": "*", "Content-Type": "application/octet-stream", "Content-Encoding": "gzip", "Content-Length": "1",
			"X-Amz-Meta-Binlogstreamer-Shard": "h", "X-Amz-Meta-Binlogstreamer-Last": "2"} {
			have := got.Header.Get(key)
			if key == "Content-Length" {
				have = fmt.Sprint(got.ContentLength)
			}
			if have != want {
				t.Errorf("compatible %v: %s is %q, want %q", compatible, key, have, want)
			}
		}
		if md5 := got.Header.Get("Content-Md5"); (md5 != "") != compatible {
			t.Errorf("compatible %v: Content-MD5 is %q", compatible, md5)
		}
		if crc := got.Header.Get("X-Amz-Checksum-Crc32"); (crc != "") == compatible {
			t.Errorf("compatible %v: CRC32 is %q", compatible, crc)
		}
		if trailer := got.Header.Get("X-Amz-Trailer"); trailer != "" {
			t.Errorf("compatible %v: trailer %q", compatible, trailer)
		}
	}
}

// What S3 is told of an object beside its content is sent with each, the probe as well: a key or a tag that is refused
// is found out at the start.
func TestS3PutOptions(t *testing.T) {
	var got http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			got = r.Header.Clone()
		}
		refuse(w, 400, "KMS.NotFoundException")
	}))
	t.Cleanup(server.Close)
	client := s3.New(s3.Options{Region: "us-east-1", Credentials: aws.AnonymousCredentials{}, RetryMaxAttempts: 1,
		HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}, s3sink.ClientOptions(server.URL, true))
	d := s3sink.NewS3(s3sink.S3Config{API: client, Bucket: "b", Compatible: true, KMSKey: "arn:aws:kms:eu-west-1:123456789012:key/k",
		StorageClass: "GLACIER_IR", Tags: map[string]string{"team": "tickets & more", "a": "ü"}})
	for _, err := range []error{d.Put(t.Context(), object("k")), d.Probe(t.Context(), ".p")} {
		if err == nil || !strings.Contains(err.Error(), "aws_kms_key_arn") {
			t.Errorf("the error names no cure: %v", err)
		}
		for name, want := range map[string]string{
			"X-Amz-Server-Side-Encryption": "aws:kms", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "arn:aws:kms:eu-west-1:123456789012:key/k",
			"X-Amz-Storage-Class": "GLACIER_IR", "X-Amz-Tagging": "a=%C3%BC&team=tickets+%26+more",
		} {
			if got.Get(name) != want {
				t.Errorf("%s is %q, want %q", name, got.Get(name), want)
			}
		}
	}
}

func TestS3Answers(t *testing.T) {
	for _, tc := range []struct {
		status int
		code   string
		want   error
		hint   string
	}{
		{412, "PreconditionFailed", s3sink.ErrExists, ""},
		{409, "ConditionalRequestConflict", nil, ""},
		{403, "AccessDenied", nil, "s3:PutObject"},
		{404, "NoSuchBucket", nil, "create bucket b"},
		{301, "PermanentRedirect", nil, "delivery.region"},
		{501, "NotImplemented", nil, "conditional writes"},
		{400, "ExpiredToken", nil, "credentials"},
		{503, "SlowDown", nil, ""},
	} {
		d := bucket(t, true, func(w http.ResponseWriter, _ *http.Request) { refuse(w, tc.status, tc.code) })
		err := d.Put(t.Context(), object("k"))
		if tc.want != nil {
			if !errors.Is(err, tc.want) {
				t.Errorf("%s: %v", tc.code, err)
			}
			continue
		}
		e, ok := errors.AsType[*s3sink.Error](err)
		if !ok || errors.Is(err, s3sink.ErrExists) || errors.Is(err, s3sink.ErrNotFound) {
			t.Errorf("%s: %v", tc.code, err)
			continue
		}
		if !strings.Contains(e.Hint, tc.hint) || !strings.Contains(e.Error(), "pre/k") {
			t.Errorf("%s: %v", tc.code, e)
		}
	}
}

// An answer may be 200 and hold an error in its body.
func TestS3AnswersOKWithAnError(t *testing.T) {
	d := bucket(t, true, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "<Error><Code>PreconditionFailed</Code></Error>")
	})
	if err := d.Put(t.Context(), object("k")); !errors.Is(err, s3sink.ErrExists) {
		t.Errorf("Put = %v", err)
	}
}

// Without an ETag, an answer of 200 is not believed.
func TestS3AnswersOKWithoutETag(t *testing.T) {
	for _, stored := range []string{"ours", "theirs", "nothing"} {
		o := object("k")
		meta := o.Meta
		if stored == "theirs" {
			meta.Last = "9"
		}
		d := bucket(t, true, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				return
			}
			if stored == "nothing" {
				w.WriteHeader(404)
				return
			}
			for k, v := range meta.Map() {
				w.Header().Set("X-Amz-Meta-"+k, v)
			}
		})
		err := d.Put(t.Context(), o)
		switch stored {
		case "ours":
			if err != nil {
				t.Errorf("ours is stored: %v", err)
			}
		case "theirs":
			if !errors.Is(err, s3sink.ErrExists) {
				t.Errorf("theirs is stored: %v", err)
			}
		default:
			if err == nil || errors.Is(err, s3sink.ErrExists) || errors.Is(err, s3sink.ErrNotFound) {
				t.Errorf("nothing is stored: %v", err)
			}
		}
	}
}

// A copied object may have lost its metadata; a gzip header still says what it holds.
func TestS3HeadOfACopy(t *testing.T) {
	var body []byte
	d := bucket(t, true, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			if r.Header.Get("Range") == "" {
				t.Error("the whole object is read")
			}
			_, _ = w.Write(body)
		}
	})
	layout, err := s3sink.NewLayout(s3sink.LayoutConfig{Name: "n", Compression: s3sink.GZIP})
	if err != nil {
		t.Fatal(err)
	}
	o := built(t, layout)
	body = o.Body
	if m, err := d.Head(t.Context(), o.Key); err != nil || m != o.Meta {
		t.Errorf("Head = %+v, %v", m, err)
	}
	body = []byte("something else")
	if _, err := d.Head(t.Context(), o.Key); err == nil || errors.Is(err, s3sink.ErrNotFound) {
		t.Errorf("Head of a foreign object = %v", err)
	}
}

func TestS3Probe(t *testing.T) {
	puts := 0
	overwrites := bucket(t, true, func(w http.ResponseWriter, _ *http.Request) { puts++; w.Header().Set("ETag", `"x"`) })
	if err := overwrites.Probe(t.Context(), ".p"); !errors.Is(err, s3sink.ErrOverwrites) {
		t.Errorf("a store that overwrites: %v", err)
	}
	deleted := false
	left := bucket(t, true, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			deleted = true
			refuse(w, 403, "AccessDenied")
			return
		}
		refuse(w, 412, "PreconditionFailed")
	})
	if err := left.Probe(t.Context(), ".p"); err != nil || !deleted {
		t.Errorf("a probe that was left behind: %v, deleted %v", err, deleted)
	}
	denied := bucket(t, true, func(w http.ResponseWriter, _ *http.Request) { refuse(w, 403, "AccessDenied") })
	if err := denied.Probe(t.Context(), ".p"); err == nil || errors.Is(err, s3sink.ErrOverwrites) {
		t.Errorf("a store that denies: %v", err)
	}
}
