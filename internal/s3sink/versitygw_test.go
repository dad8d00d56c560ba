package s3sink_test

import (
	"io"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink/sinktest"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

func TestRealStore(t *testing.T) {
	server := testservers.VersityGW(t)
	server.CreateBucket(t, "objects")
	for name, compatible := range map[string]bool{"as AWS": false, "as a compatible store": true} {
		t.Run(name, func(t *testing.T) {
			endpoint := ""
			if compatible {
				endpoint = server.Endpoint
			}
			client := s3.NewFromConfig(server.Config(), s3sink.ClientOptions(endpoint, true), func(o *s3.Options) { o.BaseEndpoint = aws.String(server.Endpoint) })
			prefix := map[bool]string{false: "a/", true: "b/"}[compatible]
			d := s3sink.NewS3(s3sink.S3Config{API: client, Bucket: "objects", Prefix: prefix, Compatible: compatible})
			sinktest.Run(t, d, func(t *testing.T, key string) []byte {
				out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("objects"), Key: aws.String(prefix + key)})
				if err != nil {
					t.Fatal(err)
				}
				defer out.Body.Close()
				b, err := io.ReadAll(out.Body)
				if err != nil {
					t.Fatal(err)
				}
				if aws.ToString(out.ContentType) != "application/octet-stream" {
					t.Errorf("Content-Type is %q", aws.ToString(out.ContentType))
				}
				return b
			})
			list, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("objects"), Prefix: aws.String(prefix + ".")})
			if err != nil || len(list.Contents) != 0 {
				t.Errorf("the probe stays: %v, %v", list.Contents, err)
			}
		})
	}
}

// Tags, metadata and Content-Encoding arrive at a store that is not AWS, with its checksum looked at.
func TestRealStoreKeepsWhatIsSaid(t *testing.T) {
	server := testservers.VersityGW(t)
	server.CreateBucket(t, "objects")
	client := s3.NewFromConfig(server.Config(), s3sink.ClientOptions(server.Endpoint, true))
	tags := map[string]string{"team": "tickets + more", "of:kind": "ü/x@y=z"}
	d := s3sink.NewS3(s3sink.S3Config{API: client, Bucket: "objects", Compatible: true, Tags: tags, StorageClass: "STANDARD"})
	o := object("a/b")
	o.ContentEncoding = "hadoop-snappy"
	if err := d.Put(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if m, err := d.Head(t.Context(), "a/b"); err != nil || m != o.Meta {
		t.Errorf("the metadata is %+v, %v", m, err)
	}
	head, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String("objects"), Key: aws.String("a/b")})
	if err != nil || aws.ToString(head.ContentEncoding) != "hadoop-snappy" || aws.ToString(head.ContentType) != "application/octet-stream" {
		t.Errorf("%q, %q, %v", aws.ToString(head.ContentEncoding), aws.ToString(head.ContentType), err)
	}
	out, err := client.GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: aws.String("objects"), Key: aws.String("a/b")})
	if err != nil || len(out.TagSet) != len(tags) {
		t.Fatalf("tags %v, %v", out, err)
	}
	for _, tag := range out.TagSet {
		if tags[*tag.Key] != *tag.Value {
			t.Errorf("tag %s is %q", *tag.Key, *tag.Value)
		}
	}
}
