package checkpoint

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// S3API is what S3 calls of an S3 client; the SDK's satisfies it.
type S3API interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	DeleteObject(context.Context, *s3.DeleteObjectInput, ...func(*s3.Options)) (*s3.DeleteObjectOutput, error)
	ListObjectsV2(context.Context, *s3.ListObjectsV2Input, ...func(*s3.Options)) (*s3.ListObjectsV2Output, error)
}

// S3Config is what an S3 store needs.
type S3Config struct {
	API        S3API
	Bucket     string
	Prefix     string        // a folder, without slashes at its ends; "" is the whole bucket
	Compatible bool          // not AWS: send Content-MD5, which all stores know
	Failover   time.Duration // after how long a lock's holder counts as gone; default 10 s
}

// S3 is a Store in a bucket: one object per document, replaced by PUTs with If-Match.
type S3 struct{ remote }

var _ Store = (*S3)(nil)

// NewS3 makes the store; nothing is sent.
func NewS3(c S3Config) *S3 { return &S3{newRemote(&s3Backend{c}, c.Failover)} }

// s3Backend keeps documents under the paths that a FileStore has for them. A tag is an ETag; the bytes differ with every
// revision, and so does it.
type s3Backend struct{ config S3Config }

// The endings of a name's objects.
var suffixes = map[kind]string{isDocument: documentSuffix, isLock: lockSuffix, isProbe: ".probe"}

// keyLength is S3's limit for a key, in bytes.
const keyLength = 1024

func (b *s3Backend) key(p place) string {
	relative, _ := pathOf(p.name) // fits has seen to it
	return path.Join(b.config.Prefix, relative) + suffixes[p.kind]
}

func (b *s3Backend) where(p place) string {
	return "s3://" + b.config.Bucket + "/" + b.key(p)
}

func (b *s3Backend) fits(name string) error {
	if _, err := pathOf(name); err != nil {
		return err
	}
	if key := b.key(place{isDocument, name}); len(key) > keyLength {
		return fmt.Errorf("%w %.40q…: its key would have %d bytes, and an object's may have %d", ErrName, name, len(key), keyLength)
	}
	return nil
}

// read implements backend.
func (b *s3Backend) read(ctx context.Context, p place) ([]byte, string, error) {
	out, err := b.config.API.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.config.Bucket, Key: aws.String(b.key(p))})
	if err != nil {
		if status, code := s3Answer(err); status == http.StatusNotFound && code != "NoSuchBucket" {
			return nil, "", ErrNotFound
		}
		return nil, "", b.fault("get", b.where(p), err)
	}
	defer out.Body.Close()
	stored, err := io.ReadAll(out.Body)
	if err != nil {
		return nil, "", b.fault("get", b.where(p), err)
	}
	return stored, aws.ToString(out.ETag), nil
}

// replace implements backend.
func (b *s3Backend) replace(ctx context.Context, p place, body []byte, _ Revision, tag string) (string, error) {
	in := &s3.PutObjectInput{
		Bucket: &b.config.Bucket, Key: aws.String(b.key(p)), Body: bytes.NewReader(body), ContentLength: aws.Int64(int64(len(body))),
		ContentType: aws.String("application/octet-stream"),
	}
	if tag == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = aws.String(tag)
	}
	if b.config.Compatible {
		sum := md5.Sum(body)
		in.ContentMD5 = aws.String(base64.StdEncoding.EncodeToString(sum[:]))
	}
	out, err := b.config.API.PutObject(ctx, in)
	if err == nil {
		if aws.ToString(out.ETag) == "" {
			return "", &S3Error{Step: "put", Where: b.where(p), Err: errors.New("answered as stored, but without an ETag")}
		}
		return aws.ToString(out.ETag), nil
	}
	status, code := s3Answer(err)
	switch {
	case status == http.StatusPreconditionFailed, code == "PreconditionFailed",
		status == http.StatusConflict,                                        // another request for the key was under way
		status == http.StatusNotFound && code != "NoSuchBucket" && tag != "": // what had the ETag was deleted
		return "", errChanged
	}
	return "", b.fault("put", b.where(p), err)
}

// list implements backend.
func (b *s3Backend) list(ctx context.Context) ([]string, error) {
	prefix := ""
	if b.config.Prefix != "" {
		prefix = b.config.Prefix + "/"
	}
	var names []string
	pages := s3.NewListObjectsV2Paginator(b.config.API, &s3.ListObjectsV2Input{Bucket: &b.config.Bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, b.fault("list", "s3://"+b.config.Bucket+"/"+prefix, err)
		}
		for _, o := range page.Contents {
			relative, found := strings.CutSuffix(strings.TrimPrefix(aws.ToString(o.Key), prefix), documentSuffix)
			if name, ok := nameOf(relative); found && ok {
				names = append(names, name)
			}
		}
	}
	return names, nil
}

func (b *s3Backend) remove(ctx context.Context, p place) error {
	if _, err := b.config.API.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.config.Bucket, Key: aws.String(b.key(p))}); err != nil {
		return b.fault("delete", b.where(p), err)
	}
	return nil
}

// S3Error is a refusal of the store, or that it could not be reached, with what the operator can do about it.
type S3Error struct {
	Step, Where string
	Hint        string // the cure, if one is known
	Err         error
}

// Error names step, object, cause and cure.
func (e *S3Error) Error() string {
	s := fmt.Sprintf("%s %s: %v", e.Step, e.Where, e.Err)
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// Unwrap gives the cause.
func (e *S3Error) Unwrap() error { return e.Err }

// RestartHelps tells the command that the store may answer the next time: it was not reached, its answer was cut off, or it
// is not well.
func (e *S3Error) RestartHelps() bool {
	status, code := s3Answer(e.Err)
	return e.Hint == "" && (status == 0 || status == http.StatusOK || status >= http.StatusInternalServerError || code == "SlowDown")
}

func (b *s3Backend) fault(step, where string, err error) error {
	status, code := s3Answer(err)
	hint := ""
	switch {
	case code == "NoSuchBucket":
		hint = "create the bucket, or correct checkpoint.store"
	case code == "PermanentRedirect" || code == "AuthorizationHeaderMalformed" || status == http.StatusMovedPermanently:
		hint = "the bucket is in another Region: correct checkpoint.region"
	case code == "InvalidAccessKeyId" || code == "SignatureDoesNotMatch" || code == "ExpiredToken" || code == "InvalidToken":
		hint = "check the credentials (environment, shared file or role) and the clock"
	case status == http.StatusForbidden || code == "AccessDenied":
		// Without s3:ListBucket an object that is not there looks like one that may not be read.
		hint = fmt.Sprintf("allow s3:GetObject and s3:PutObject on arn:aws:s3:::%s, and s3:ListBucket on arn:aws:s3:::%s", path.Join(b.config.Bucket, b.config.Prefix, "*"), b.config.Bucket)
	case status == http.StatusNotImplemented:
		hint = "the store does not know conditional writes (If-Match, If-None-Match); use one that does"
	}
	return &S3Error{Step: step, Where: where, Hint: hint, Err: err}
}

// s3Answer is the status and the error code with which the store refused, if it answered at all.
func s3Answer(err error) (status int, code string) {
	if e, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		status = e.HTTPStatusCode()
	}
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		code = e.ErrorCode()
	}
	return status, code
}
