package stored

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

// ErrArchived is returned, wrapped, for an object that its store has moved where it cannot be read from at once.
var ErrArchived = errors.New("the object is archived")

// Item is an object as a listing shows it.
type Item struct {
	Key      string
	Size     int64
	Modified time.Time
	Archived bool // by the listing: it may have been restored for a while
}

// Store is where objects are. Its methods may be called from several goroutines.
type Store interface {
	// List calls fn with every object whose key begins with prefix.
	List(ctx context.Context, prefix string, fn func(Item) error) error
	// Describe reads what an object says about itself; s3sink.ErrNoMeta, wrapped, is that of one that is not ours.
	Describe(ctx context.Context, key string) (s3sink.Meta, error)
	// Open reads an object as it is stored; ErrArchived, wrapped, if that takes a restoration first.
	Open(ctx context.Context, key string) (io.ReadCloser, error)
	// String is the place as the configuration spells it.
	String() string
}

// Folder is a Store in a directory.
type Folder struct{ Dir string }

// String is the place as the configuration spells it.
func (f Folder) String() string { return "file://" + f.Dir }

// List walks the directory. Names that begin with a dot are the writer's own.
func (f Folder) List(ctx context.Context, prefix string, fn func(Item) error) error {
	err := filepath.WalkDir(f.Dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case strings.HasPrefix(entry.Name(), ".") && path != f.Dir:
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir():
			return nil
		}
		name, err := filepath.Rel(f.Dir, path)
		key := filepath.ToSlash(name)
		if err != nil || !strings.HasPrefix(key, prefix) {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return fn(Item{Key: key, Size: info.Size(), Modified: info.ModTime()})
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was stored yet
	}
	return err
}

// Describe reads the metadata beside the object, or in its gzip header.
func (f Folder) Describe(_ context.Context, key string) (s3sink.Meta, error) {
	return s3sink.NewFile(f.Dir).Describe(key)
}

// Open opens the file.
func (f Folder) Open(_ context.Context, key string) (io.ReadCloser, error) {
	return os.Open(filepath.Join(f.Dir, filepath.FromSlash(key)))
}

// BucketAPI is what Bucket needs of an S3 client; the SDK's satisfies it.
type BucketAPI interface {
	s3sink.S3API
	ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input, opts ...func(*s3.Options)) (*s3.ListObjectsV2Output, error)
}

// Bucket is a Store in S3.
type Bucket struct {
	API  BucketAPI
	Name string
}

// String is the place as the configuration spells it.
func (b Bucket) String() string { return "s3://" + b.Name }

// List asks for a thousand keys at a time.
func (b Bucket) List(ctx context.Context, prefix string, fn func(Item) error) error {
	pages := s3.NewListObjectsV2Paginator(b.API, &s3.ListObjectsV2Input{Bucket: aws.String(b.Name), Prefix: aws.String(prefix)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("list %s/%s: %w; allow s3:ListBucket on the bucket", b, prefix, err)
		}
		for i := range page.Contents {
			o := &page.Contents[i]
			archived := o.StorageClass == types.ObjectStorageClassGlacier || o.StorageClass == types.ObjectStorageClassDeepArchive
			if err := fn(Item{Key: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified), Archived: archived}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Describe asks for the object's metadata.
func (b Bucket) Describe(ctx context.Context, key string) (s3sink.Meta, error) {
	return s3sink.NewS3(s3sink.S3Config{API: b.API, Bucket: b.Name}).Head(ctx, key)
}

// Open begins to get the object.
func (b Bucket) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	out, err := b.API.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(b.Name), Key: aws.String(key)},
		func(o *s3.Options) { o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired })
	if _, archived := errors.AsType[*types.InvalidObjectState](err); archived {
		return nil, fmt.Errorf("%w: %w", ErrArchived, err)
	}
	if err != nil {
		return nil, fmt.Errorf("get %s/%s: %w", b, key, err)
	}
	return out.Body, nil
}
