package s3sink

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

// S3API is what S3 needs of an S3 client; the SDK's satisfies it.
type S3API interface {
	PutObject(ctx context.Context, in *s3.PutObjectInput, opts ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	HeadObject(ctx context.Context, in *s3.HeadObjectInput, opts ...func(*s3.Options)) (*s3.HeadObjectOutput, error)
	GetObject(ctx context.Context, in *s3.GetObjectInput, opts ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	DeleteObject(ctx context.Context, in *s3.DeleteObjectInput, opts ...func(*s3.Options)) (*s3.DeleteObjectOutput, error)
}

// S3Config is what an S3 destination needs.
type S3Config struct {
	API        S3API
	Bucket     string
	Prefix     string // in front of every key, from s3://bucket/prefix
	Compatible bool   // not AWS: send Content-MD5, which all stores know, in place of CRC32
	NoEncoding bool   // leave Content-Encoding out

	KMSKey       string            // ARN, id or alias of the key that objects are encrypted with; "" for the bucket's default
	StorageClass string            // "" for STANDARD
	Tags         map[string]string // of every object
}

// ClientOptions sets an SDK client up for a custom endpoint, or for AWS if endpoint is "". Stores other than AWS refuse
// the checksum trailers that the SDK sends by default.
func ClientOptions(endpoint string, pathStyle bool) func(*s3.Options) {
	return func(o *s3.Options) {
		o.UsePathStyle = pathStyle
		if endpoint != "" {
			o.BaseEndpoint = aws.String(endpoint)
			o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
			o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		}
	}
}

// S3 is a bucket.
type S3 struct{ config S3Config }

// NewS3 makes the destination; nothing is sent.
func NewS3(c S3Config) *S3 { return &S3{c} }

// String is the destination as the configuration spells it.
func (d *S3) String() string { return "s3://" + path.Join(d.config.Bucket, d.config.Prefix) }

// Put creates the object with If-None-Match: *.
func (d *S3) Put(ctx context.Context, o *Object) error {
	out, err := d.config.API.PutObject(ctx, d.putInput(o))
	if err != nil {
		return d.fault("put object", o.Key, err)
	}
	if aws.ToString(out.ETag) == "" {
		// Every stored object has an ETag. An answer of success without one may hide an error: look what is there.
		return d.resolve(ctx, o)
	}
	return nil
}

func (d *S3) resolve(ctx context.Context, o *Object) error {
	switch found, err := d.Head(ctx, o.Key); {
	case err == nil && found == o.Meta:
		return nil
	case err == nil:
		return ErrExists
	case errors.Is(err, ErrNotFound):
		return &Error{Step: "put object", Key: d.key(o.Key), Err: errors.New("answered as stored, but it is not there")}
	default:
		return err
	}
}

func (d *S3) putInput(o *Object) *s3.PutObjectInput {
	in := &s3.PutObjectInput{
		Bucket:        aws.String(d.config.Bucket),
		Key:           aws.String(d.key(o.Key)),
		Body:          bytes.NewReader(o.Body),
		ContentLength: aws.Int64(int64(len(o.Body))),
		ContentType:   aws.String(contentType),
		IfNoneMatch:   aws.String("*"),
	}
	if o.Meta != (Meta{}) {
		in.Metadata = o.Meta.Map()
	}
	if o.ContentEncoding != "" && !d.config.NoEncoding {
		in.ContentEncoding = aws.String(o.ContentEncoding)
	}
	if d.config.KMSKey != "" {
		in.ServerSideEncryption = types.ServerSideEncryptionAwsKms
		in.SSEKMSKeyId = aws.String(d.config.KMSKey)
	}
	in.StorageClass = types.StorageClass(d.config.StorageClass)
	if len(d.config.Tags) > 0 {
		tags := url.Values{}
		for name, value := range d.config.Tags {
			tags.Set(name, value)
		}
		in.Tagging = aws.String(tags.Encode())
	}
	if d.config.Compatible {
		sum := md5.Sum(o.Body)
		in.ContentMD5 = aws.String(base64.StdEncoding.EncodeToString(sum[:]))
	} else {
		sum := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(o.Body))
		in.ChecksumCRC32 = aws.String(base64.StdEncoding.EncodeToString(sum))
	}
	return in
}

// gzipHeadSize is how much of an object is read for its gzip header.
const gzipHeadSize = 16 << 10

// Head reads the object's metadata; that of a gzip object that lost it, say in a copy, from its header.
func (d *S3) Head(ctx context.Context, key string) (Meta, error) {
	out, err := d.config.API.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(d.config.Bucket), Key: aws.String(d.key(key))})
	if err != nil {
		return Meta{}, d.fault("look at object", key, err)
	}
	m, err := MetaFromMap(out.Metadata)
	if errors.Is(err, ErrNoMeta) {
		m, err = d.headGzip(ctx, key)
	}
	if err != nil {
		return Meta{}, d.foreign(key, err)
	}
	return m, nil
}

func (d *S3) foreign(key string, err error) error {
	return &Error{Step: "look at object", Key: d.key(key), Err: err, Hint: "it was not written by this program; move it away"}
}

func (d *S3) headGzip(ctx context.Context, key string) (Meta, error) {
	out, err := d.config.API.GetObject(ctx, &s3.GetObjectInput{
		Bucket: aws.String(d.config.Bucket), Key: aws.String(d.key(key)),
		Range: aws.String(fmt.Sprintf("bytes=0-%d", gzipHeadSize-1)),
	}, func(o *s3.Options) { o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired })
	if err != nil {
		return Meta{}, d.fault("read object", key, err)
	}
	defer out.Body.Close()
	return MetaFromGzip(out.Body)
}

// Probe puts an object twice: the second time must be refused. It is deleted again, if that is allowed.
func (d *S3) Probe(ctx context.Context, key string) error {
	o := &Object{Key: key, Body: []byte("binlogstreamer probes whether this store honours If-None-Match; this object may be deleted\n")}
	for range 3 { // another process may delete its probe between our two attempts
		first := d.Put(ctx, o)
		if first != nil && !errors.Is(first, ErrExists) {
			return first
		}
		second := first
		if first == nil {
			second = d.Put(ctx, o)
		}
		if errors.Is(second, ErrExists) {
			// Without the permission to delete it stays: the next probe meets it and is as good.
			_, _ = d.config.API.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(d.config.Bucket), Key: aws.String(d.key(key))})
			return nil
		}
		if second != nil {
			return second
		}
	}
	return &Error{Step: "probe bucket with object", Key: d.key(key), Err: ErrOverwrites,
		Hint: "objects could be stored twice or lost; use a store with conditional writes"}
}

func (d *S3) key(key string) string {
	if d.config.Prefix == "" {
		return key
	}
	return d.config.Prefix + key
}

// fault turns an SDK error into one of ours.
func (d *S3) fault(step, key string, err error) error {
	status, code := answer(err)
	switch {
	case status == http.StatusPreconditionFailed || code == "PreconditionFailed":
		return ErrExists
	case status == http.StatusNotFound && code != "NoSuchBucket" && step != "put object":
		return ErrNotFound
	}
	return &Error{Step: step, Key: d.key(key), Hint: d.hint(status, code), Err: err}
}

// answer is the status and the error code with which the store refused, if it answered at all.
func answer(err error) (status int, code string) {
	if e, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		status = e.HTTPStatusCode()
	}
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		code = e.ErrorCode()
	}
	return status, code
}

func (d *S3) hint(status int, code string) string {
	switch {
	case code == "NoSuchBucket" || status == http.StatusNotFound:
		return "create bucket " + d.config.Bucket + " or correct delivery.destination; delivery goes on by itself then"
	case code == "PermanentRedirect" || code == "AuthorizationHeaderMalformed" || status == http.StatusMovedPermanently:
		return "the bucket is in another Region: correct delivery.region"
	case code == "InvalidAccessKeyId" || code == "SignatureDoesNotMatch" || code == "ExpiredToken" || code == "InvalidToken":
		return "check the credentials (environment, shared file or role) and the clock"
	case strings.HasPrefix(code, "KMS."):
		return "check delivery.encryption_configuration.kms_encryption_config.aws_kms_key_arn: the key must exist, be enabled, and be in the bucket's Region"
	case code == "InvalidStorageClass":
		return "the store does not know delivery.storage_class " + d.config.StorageClass + ": write one that it has, or remove the key"
	case code == "InvalidTag":
		return "the store refuses delivery.object_tags: remove what it does not allow"
	case status == http.StatusForbidden || code == "AccessDenied":
		return "allow " + d.permissions() + "; delivery goes on by itself then"
	case status == http.StatusNotImplemented:
		return "the store does not know conditional writes (If-None-Match); use one that does"
	}
	return ""
}

// permissions is what the daemon's role must be allowed to do.
func (d *S3) permissions() string {
	s := "s3:PutObject and s3:GetObject on the bucket's objects (and s3:ListBucket)"
	if len(d.config.Tags) > 0 {
		s += ", s3:PutObjectTagging"
	}
	if d.config.KMSKey != "" {
		return s + ", and kms:GenerateDataKey and kms:Decrypt on " + d.config.KMSKey
	}
	return s + ", and kms:GenerateDataKey where the bucket has a key of its own"
}
