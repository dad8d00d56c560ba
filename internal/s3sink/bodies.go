package s3sink

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
)

// Bodies is where a writer puts records that are too large for the stream. Its methods may be called from several
// goroutines. Open makes one attempt.
type Bodies interface {
	// Owns reports whether a location lies in this place. Others are never opened.
	Owns(location string) bool

	// Open reads what stands at a location that is owned.
	Open(ctx context.Context, location string) (io.ReadCloser, error)
}

// BodyError is returned when a record's body cannot be read, or is not what the record in the stream says it is.
// Nothing was stored; it may be tried again.
type BodyError struct {
	Location string
	Hint     string
	Err      error
}

// Error names the place, the cause and the cure.
func (e *BodyError) Error() string {
	s := fmt.Sprintf("read oversized record %s: %v", e.Location, e.Err)
	if e.Hint != "" {
		s += ": " + e.Hint
	}
	return s
}

// Unwrap gives the cause.
func (e *BodyError) Unwrap() error { return e.Err }

// writeBody writes a record's body in place of the record. It passes through, so that no body is in memory whole. If
// it turns out to be another one than was put there, the error comes behind its last byte, and the object is thrown
// away.
func (r *Run) writeBody(ctx context.Context, w io.Writer, s record.Spilled) error {
	fail := func(err error) error {
		return &BodyError{Location: s.Location, Err: err, Hint: "put it back, or let this program read it; delivery goes on by itself then"}
	}
	body, err := r.bodies.Open(ctx, s.Location)
	if err != nil {
		return fail(err)
	}
	defer body.Close()
	sum, end := sha256.New(), &ending{}
	n, err := io.Copy(io.MultiWriter(&failedWrites{w: w}, sum, end), bufio.NewReaderSize(io.LimitReader(body, s.Bytes+1), 64<<10))
	if broken, ok := errors.AsType[*writeError](err); ok {
		return broken.err
	}
	switch {
	case err != nil:
		return fail(err)
	case n != s.Bytes:
		return fail(fmt.Errorf("it does not have the %d bytes that the stream says", s.Bytes))
	case hex.EncodeToString(sum.Sum(nil)) != strings.ToLower(s.SHA256):
		return fail(fmt.Errorf("its SHA-256 is %x, the stream says %s", sum.Sum(nil), s.SHA256))
	}
	if r.layout.config.AppendDelimiter && end.last != '\n' {
		_, err = w.Write(newline)
	}
	return err
}

// writeError is an error of where the body goes, not of the body.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }

type failedWrites struct{ w io.Writer }

func (f *failedWrites) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err != nil {
		err = &writeError{err}
	}
	return n, err
}

// ending remembers the last byte written.
type ending struct{ last byte }

func (e *ending) Write(p []byte) (int, error) {
	if len(p) > 0 {
		e.last = p[len(p)-1]
	}
	return len(p), nil
}

// S3Bodies is a place in a bucket.
type S3Bodies struct {
	API    S3API
	Bucket string
	Prefix string // with its slash
}

func (b *S3Bodies) base() string { return "s3://" + b.Bucket + "/" + b.Prefix }

// Owns reports whether a location is an object below the prefix.
func (b *S3Bodies) Owns(location string) bool {
	key, ok := strings.CutPrefix(location, b.base())
	return ok && key != "" && checkPath(key) == nil
}

// Open reads the object.
func (b *S3Bodies) Open(ctx context.Context, location string) (io.ReadCloser, error) {
	key, _ := strings.CutPrefix(location, "s3://"+b.Bucket+"/")
	out, err := b.API.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(b.Bucket), Key: aws.String(key)},
		func(o *s3.Options) { o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired })
	if err != nil {
		return nil, err
	}
	return out.Body, nil
}

// FileBodies is a directory.
type FileBodies struct{ Dir string }

// Owns reports whether a location is a path below the directory.
func (b *FileBodies) Owns(location string) bool {
	_, ok := b.local(location)
	return ok
}

func (b *FileBodies) local(location string) (string, bool) {
	name, ok := strings.CutPrefix(location, "file://"+strings.TrimSuffix(b.Dir, "/")+"/")
	return filepath.FromSlash(name), ok && filepath.IsLocal(filepath.FromSlash(name)) && checkPath(name) == nil
}

// Open reads the file. A link in the directory does not lead out of it.
func (b *FileBodies) Open(_ context.Context, location string) (io.ReadCloser, error) {
	name, _ := b.local(location)
	root, err := os.OpenRoot(b.Dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Open(name)
}
