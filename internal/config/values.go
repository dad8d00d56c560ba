package config

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/binlogstreamer/binlogstreamer/internal/binlog"
)

// Destination is where objects go: a bucket or a folder. One of the two is set.
type Destination struct {
	Bucket string // s3://bucket
	Dir    string // file:///folder
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Destination) UnmarshalText(text []byte) error {
	s := string(text)
	if bucket, ok := strings.CutPrefix(s, "s3://"); ok {
		bucket = strings.TrimSuffix(bucket, "/")
		switch {
		case strings.Contains(bucket, "/"):
			return errors.New("has a path behind the bucket: write s3://bucket and put the path into delivery.prefix")
		case len(bucket) < 3 || strings.ContainsAny(bucket, " \t?#@:"):
			return errors.New("does not name a bucket: write s3://bucket, with 3 to 63 letters, digits, dots or dashes")
		}
		*d = Destination{Bucket: bucket}
		return nil
	}
	dir, err := fileURL(s)
	if err != nil {
		return fmt.Errorf("%w, or s3://bucket", err)
	}
	*d = Destination{Dir: dir}
	return nil
}

// String is the destination as it is written.
func (d Destination) String() string {
	switch {
	case d.Bucket != "":
		return "s3://" + d.Bucket
	case d.Dir != "":
		return "file://" + d.Dir
	}
	return ""
}

// folder is a place in the destination.
func (d Destination) folder(name string) Folder {
	if d.Dir != "" {
		return Folder{Dir: filepath.Join(d.Dir, filepath.FromSlash(name))}
	}
	return Folder{Bucket: d.Bucket, Prefix: name}
}

// Folder is a place in a bucket, or a folder. Bucket or Dir is set.
type Folder struct {
	Bucket, Prefix string // s3://bucket/prefix; Prefix is empty or ends in a slash
	Dir            string // file:///folder
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *Folder) UnmarshalText(text []byte) error {
	if rest, ok := strings.CutPrefix(string(text), "s3://"); ok {
		bucket, prefix, _ := strings.Cut(rest, "/")
		if len(bucket) < 3 || strings.ContainsAny(bucket, " \t?#@:") {
			return errors.New("does not name a bucket: write s3://bucket/prefix, with 3 to 63 letters, digits, dots or dashes in front of the slash")
		}
		if prefix = strings.TrimSuffix(prefix, "/"); prefix != "" {
			if path.Clean("/"+prefix) != "/"+prefix || strings.ContainsFunc(prefix, unicode.IsControl) || len(prefix) > 400 {
				return errors.New("does not name a prefix: write s3://bucket/prefix, with up to 400 bytes behind the bucket and without //, /./ and /../")
			}
			prefix += "/"
		}
		*f = Folder{Bucket: bucket, Prefix: prefix}
		return nil
	}
	dir, err := fileURL(string(text))
	if err != nil {
		return fmt.Errorf("%w, or s3://bucket/prefix", err)
	}
	*f = Folder{Dir: dir}
	return nil
}

// String is the folder as it is written, with its last slash: what a name stands behind.
func (f Folder) String() string {
	switch {
	case f.Bucket != "":
		return "s3://" + f.Bucket + "/" + f.Prefix
	case f.Dir != "":
		return "file://" + strings.TrimSuffix(f.Dir, "/") + "/"
	}
	return ""
}

// Store is where checkpoints are kept: a folder, a DynamoDB table, or a part of a bucket. One of Dir, Table and Bucket
// is set.
type Store struct {
	Dir    string // file:///folder
	Table  string // dynamodb://table
	Bucket string // s3://bucket/prefix
	Prefix string // without slashes at its ends; "" is the whole bucket
}

var tableName = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,255}$`)

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Store) UnmarshalText(text []byte) error {
	if table, ok := strings.CutPrefix(string(text), "dynamodb://"); ok {
		if !tableName.MatchString(table) {
			return errors.New("does not name a table: write dynamodb://table, with 3 to 255 letters, digits, dots, dashes and underscores")
		}
		*s = Store{Table: table}
		return nil
	}
	if rest, ok := strings.CutPrefix(string(text), "s3://"); ok {
		bucket, prefix, _ := strings.Cut(rest, "/")
		prefix = strings.TrimSuffix(prefix, "/")
		switch {
		case len(bucket) < 3 || strings.ContainsAny(bucket, " \t?#@:"):
			return errors.New("does not name a bucket: write s3://bucket/prefix, with 3 to 63 letters, digits, dots or dashes")
		case prefix != "" && (path.Clean(prefix) != prefix || strings.HasPrefix(prefix, "/") || strings.HasPrefix(prefix, "..")):
			return errors.New("has an empty part, . or .. in its prefix: write s3://bucket/prefix")
		case !utf8.ValidString(prefix) || strings.ContainsFunc(prefix, unicode.IsControl) || len(prefix) > 512:
			return errors.New("has a prefix that no key can have: write s3://bucket/prefix, with up to 512 bytes of text")
		}
		*s = Store{Bucket: bucket, Prefix: prefix}
		return nil
	}
	dir, err := fileURL(string(text))
	if err != nil {
		return fmt.Errorf("%w, dynamodb://table, or s3://bucket/prefix", err)
	}
	*s = Store{Dir: dir}
	return nil
}

// String is the store as it is written.
func (s Store) String() string {
	switch {
	case s.Table != "":
		return "dynamodb://" + s.Table
	case s.Prefix != "":
		return "s3://" + s.Bucket + "/" + s.Prefix
	case s.Bucket != "":
		return "s3://" + s.Bucket
	}
	return "file://" + s.Dir
}

func fileURL(s string) (dir string, err error) {
	dir, ok := strings.CutPrefix(s, "file://")
	switch {
	case !ok:
		return "", errors.New("has no scheme that is known: write file:///folder")
	case !filepath.IsAbs(dir):
		return "", errors.New("does not name a folder from the root: write file:///folder, with three slashes")
	case strings.ContainsRune(dir, 0):
		return "", errors.New("has a zero byte in it: write file:///folder")
	}
	return filepath.Clean(dir), nil
}

// StartKind says where a reader begins that has no checkpoint.
type StartKind string

// The kinds of start.
const (
	TrimHorizon StartKind = "TRIM_HORIZON"
	Latest      StartKind = "LATEST"
	AtTimestamp StartKind = "AT_TIMESTAMP"
)

// StartFrom is where delivery begins in a stream of which nothing is stored yet.
type StartFrom struct {
	Kind StartKind
	Time time.Time // AT_TIMESTAMP
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *StartFrom) UnmarshalText(text []byte) error {
	switch s := strings.ToUpper(string(text)); StartKind(s) {
	case TrimHorizon, Latest:
		*f = StartFrom{Kind: StartKind(s)}
		return nil
	}
	t, err := binlog.ParseTime(string(text))
	if err != nil {
		return errors.New("is no place to start from: use TRIM_HORIZON, LATEST or a time such as 2026-11-23T08:00:00Z")
	}
	*f = StartFrom{Kind: AtTimestamp, Time: t}
	return nil
}

// String is the start as it is written.
func (f StartFrom) String() string {
	if f.Kind == AtTimestamp {
		return f.Time.Format(time.RFC3339Nano)
	}
	return string(f.Kind)
}

// TimeZone is the zone of object names.
type TimeZone struct{ *time.Location }

// UnmarshalText implements encoding.TextUnmarshaler. "Local" is refused: names must not depend on the machine.
func (z *TimeZone) UnmarshalText(text []byte) error {
	l, err := time.LoadLocation(string(text))
	if err != nil || string(text) == "Local" || len(text) == 0 {
		return errors.New("is not a time zone: use an IANA name such as UTC or Europe/Berlin")
	}
	z.Location = l
	return nil
}
