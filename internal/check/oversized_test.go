package check

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// inBucket is a place in a bucket of a server, for both halves.
func inBucket(api *s3.Client) *Oversized {
	return &Oversized{
		Destination: s3sink.NewS3(s3sink.S3Config{API: api, Bucket: "archive", Prefix: "large/", Compatible: true}),
		Bodies:      &s3sink.S3Bodies{API: api, Bucket: "archive", Prefix: "large/"},
		Location:    "s3://archive/large/", Bucket: "archive", Prefix: "large/", Key: "tickets/.binlogstreamer-probe",
	}
}

func TestOversizedPlaceOnARealStore(t *testing.T) {
	server := testservers.VersityGW(t)
	api := server.S3()
	out, faults := run(t, Config{Oversized: inBucket(api)})
	if faults != 1 {
		t.Errorf("without a bucket: %d faults", faults)
	}
	mustSay(t, out, "stream.oversized_destination s3://archive/large/", "aws s3 mb s3://archive")
	server.CreateBucket(t, "archive")
	for name, change := range map[string]func(*Oversized){
		"written to, and what was written can be read": func(*Oversized) {},
		"can be written to":                            func(o *Oversized) { o.Bodies = nil },
		"can be read":                                  func(o *Oversized) { o.Destination = nil },
	} {
		part := inBucket(api)
		change(part)
		out, faults := run(t, Config{Oversized: part})
		if faults != 0 {
			t.Errorf("%d faults:\n%s", faults, out)
		}
		mustSay(t, out, "ok    oversized records", name)
	}
	list, err := api.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("archive")})
	if err != nil || len(list.Contents) != 0 {
		t.Errorf("the trial is still there: %v, %v", list, err)
	}
}

// A store that lets its user do one thing and not the other.
func TestOversizedPlaceThatIsRefused(t *testing.T) {
	for method, wants := range map[string][]string{
		http.MethodPut: {"records cannot be stored there", `"s3:PutObject"`, "arn:aws:s3:::archive/large/*"},
		http.MethodGet: {"records cannot be read there", `"s3:GetObject"`, `"s3:ListBucket"`, "arn:aws:s3:::archive/large/*"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"x"`)
			if r.Method == method {
				w.WriteHeader(http.StatusForbidden)
				_, _ = w.Write([]byte("<Error><Code>AccessDenied</Code><Message>no</Message></Error>"))
			}
		}))
		t.Cleanup(server.Close)
		api := s3.New(s3.Options{Region: "us-east-1", Credentials: aws.AnonymousCredentials{}, RetryMaxAttempts: 1,
			HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}, s3sink.ClientOptions(server.URL, true))
		out, faults := run(t, Config{Oversized: inBucket(api)})
		if faults != 1 {
			t.Errorf("%s is refused: %d faults", method, faults)
		}
		mustSay(t, out, wants...)
	}
}

// lossy is a store that says it has stored something and has not.
type lossy struct{ s3sink.Destination }

func (lossy) Put(context.Context, *s3sink.Object) error { return nil }

func TestOversizedPlaceInAFolder(t *testing.T) {
	dir := t.TempDir()
	folder := func(dir string) *Oversized {
		return &Oversized{
			Destination: s3sink.NewFile(dir), Bodies: &s3sink.FileBodies{Dir: dir}, Location: "file://" + dir + "/", Key: "tickets/.binlogstreamer-probe",
		}
	}
	if out, faults := run(t, Config{Oversized: folder(dir)}); faults != 0 || !strings.Contains(out, "can be read") {
		t.Errorf("%d faults:\n%s", faults, out)
	}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("the trial is still there: %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, part := range map[string]*Oversized{
		"let the user of replicate write to " + file: folder(filepath.Join(file, "large")),
		"the folder that replicate writes to":        {Destination: lossy{}, Bodies: &s3sink.FileBodies{Dir: dir}, Location: "file://" + dir + "/", Key: "k"},
		"is not where such records are read":         {Bodies: &s3sink.FileBodies{Dir: dir}, Location: "file:///elsewhere/", Key: "k"},
	} {
		out, faults := run(t, Config{Oversized: part})
		if faults != 1 || !strings.Contains(out, want) {
			t.Errorf("%d faults, and it does not say %q:\n%s", faults, want, out)
		}
	}
}
