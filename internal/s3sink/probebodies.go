package s3sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// remover is a destination that can delete what was put only to try it out.
type remover interface {
	remove(ctx context.Context, key string) error
}

func (d *S3) remove(ctx context.Context, key string) error {
	_, err := d.config.API.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(d.config.Bucket), Key: aws.String(d.key(key))})
	return err
}

func (d *File) remove(_ context.Context, key string) error {
	return errors.Join(os.Remove(d.path(key)), os.RemoveAll(d.hidden(metaDir, filepath.FromSlash(key))))
}

// The steps of trying out a place for oversized records.
var (
	ErrNotWritable = errors.New("records cannot be stored there")
	ErrNotReadable = errors.New("records cannot be read there")
)

var bodyProbe = []byte("binlogstreamer tries out whether oversized records can be stored here and read again; this object may be deleted\n")

// ProbeBodies tries out a place for oversized records under a key that is free to use: whether d stores there (nil:
// that is not asked) and b reads (nil: that is not asked). location is the place with its last slash. The trial is
// deleted again, if that is allowed. The error is an ErrNotWritable or an ErrNotReadable.
func ProbeBodies(ctx context.Context, d Destination, b Bodies, location, key string) error {
	if d != nil {
		if err := d.Put(ctx, &Object{Key: key, Body: bodyProbe}); err != nil && !errors.Is(err, ErrExists) {
			return fmt.Errorf("%w: %w", ErrNotWritable, err)
		}
		if r, ok := d.(remover); ok {
			defer func() { _ = r.remove(context.WithoutCancel(ctx), key) }() // it does no harm if it stays
		}
	}
	if b == nil {
		return nil
	}
	if err := readProbe(ctx, b, location+key, d != nil); err != nil {
		return fmt.Errorf("%w: %w", ErrNotReadable, err)
	}
	return nil
}

// readProbe reads what ProbeBodies has put. Where nothing was put, it is enough to hear that nothing is there.
func readProbe(ctx context.Context, b Bodies, location string, put bool) error {
	if !b.Owns(location) {
		return fmt.Errorf("%s is not where such records are read", location)
	}
	body, err := b.Open(ctx, location)
	if err != nil {
		if status, code := answer(err); !put && (errors.Is(err, fs.ErrNotExist) || code == "NoSuchKey" || status == 404 && code != "NoSuchBucket") {
			return nil
		}
		return err
	}
	defer body.Close()
	got, err := io.ReadAll(io.LimitReader(body, int64(len(bodyProbe))+1))
	if err == nil && !bytes.Equal(got, bodyProbe) {
		err = fmt.Errorf("%s has another content than was put there", location)
	}
	return err
}
